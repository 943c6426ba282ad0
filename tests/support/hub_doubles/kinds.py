"""What a double is made of: rows, columns as `datasets` writes them, and a layout."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

LABELS: dict[str, list[str]] = json.loads(Path(__file__).with_name("labels.json").read_text())
Odd = Literal["exif", "rgba", "palette", "cmyk", "grey", "grey16", "truncated", "junk"]
UNDECODABLE = {"truncated", "junk"}
# How the columns stand in a parquet file's schema: the words of `datasets` changed over the years;
# None is a file that something else wrote.
Era = Literal[2022, 2023, 2025] | None


@dataclass
class Row:
    """What the columns of one row are made from; `label` counts in the order of `Spec.classes`."""

    split: str
    index: int
    number: int  # over all splits
    image: bytes
    size: tuple[int, int]
    suffix: str
    captions: list[str]
    label: int
    rng: np.random.Generator
    group: str = ""

    @property
    def file(self) -> str:
        return f"{1000092795 + 17 * self.number}.{self.suffix}"


TYPES: dict[str, pa.DataType] = {
    "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    "class": pa.int64(),
    "string": pa.string(),
    "large_string": pa.large_string(),
    "binary": pa.binary(),
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "timestamp[us]": pa.timestamp("us"),
    "null": pa.null(),
}


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        kind: a key of `TYPES`, or "list:" before one.
        value: what stands in a row. names: of a "class" column's numbers.
        label: whether it is the column of `Spec.classes`.
        listed: how the card and the schema speak of a list; "[]" is the oldest way.
    """

    kind: str
    value: Callable[[Row], Any]
    names: tuple[str, ...] = ()
    label: bool = False
    listed: Literal["[]", "Sequence", "List"] = "Sequence"

    @property
    def type(self) -> pa.DataType:
        """In Arrow."""
        inner = TYPES[self.kind.removeprefix("list:")]
        return pa.list_(inner) if self.kind.startswith("list:") else inner

    def feature(self, era: Era) -> Any:
        """As `datasets` of that year writes it into the schema."""
        old: dict[str, Any] = {"id": None} if era == 2022 else {}
        if self.kind == "image":
            return {**({"decode": True} if era == 2022 else {}), **old, "_type": "Image"}
        if self.kind == "class":
            count = {"num_classes": len(self.names)} if era == 2022 else {}
            return {**count, "names": list(self.names), **old, "_type": "ClassLabel"}
        inner = {"dtype": self.kind.removeprefix("list:"), **old, "_type": "Value"}
        if not self.kind.startswith("list:"):
            return inner
        if self.listed == "[]":
            return [inner]
        length = {"length": -1} if era == 2022 else {}
        return {"feature": inner, **length, **old, "_type": self.listed}

    def card(self, name: str) -> list[str]:
        """Its lines below `features:` in a card's `dataset_info`."""
        lines = [f"  - name: {quoted(name)}"]
        if self.kind == "class":
            pairs = [f"          '{i}': {quoted(n)}" for i, n in enumerate(self.names)]
            return [*lines, "    dtype:", "      class_label:", "        names:", *pairs]
        if self.kind.startswith("list:"):
            word = "sequence" if self.listed == "Sequence" else "list"
            return [*lines, f"    {word}: {self.kind.removeprefix('list:')}"]
        return [*lines, f"    dtype: {quoted(self.kind)}"]


def quoted(text: str) -> str:
    """A YAML scalar that is read as this text."""
    safe = text.replace(" ", "").replace("_", "").isalpha() and text.lower() not in YAML_WORDS
    return text if safe else json.dumps(text, ensure_ascii=False)


YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


@dataclass(frozen=True)
class Split:
    """Rows (of every class where there are labels) and files of a split."""

    rows: int
    shards: int = 1
    captioned: bool = True


@dataclass(frozen=True)
class Spec:
    """A repository.

    Attributes:
        files: path of a shard, with {split}, {i}, {n} and {hash}.
        revision: of the head, all of it or how it begins. data: of an earlier commit with another
            card, if the head is one of the card alone.
        ref: where the files are; what is on `main` beside it is in `script`.
        classes: names in the order of the numbers. canonical: the publisher's own names of the
            same classes, from labels.json, whatever a variation makes of `classes`.
        more: captions beyond those, once or twice, of every fifth image.
        repeats: row of `train` -> the row whose captions it has, too.
        card: what the card's front matter says beside its configuration.
    """

    columns: dict[str, Column]
    splits: dict[str, Split]
    revision: str = ""
    data: str = ""
    files: str = "data/{split}-{i:05d}-of-{n:05d}.parquet"
    config: str = "default"
    era: Era = 2023
    captions: int = 1
    wording: str = "{caption}"
    more: int = 0
    repeats: dict[int, int] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    canonical: tuple[str, ...] = ()
    group: Callable[[Row], str] = lambda row: ""
    image: str = "jpg"
    size: tuple[int, int] | None = None
    mode: str = "RGB"
    odd: dict[tuple[str, int], Odd] = field(default_factory=dict)
    extra: dict[str, bytes] = field(default_factory=dict)
    card: tuple[str, ...] = ("license: other",)
    ref: str = "main"
    script: dict[str, bytes] = field(default_factory=dict)
    gated: bool = False


# -- columns -------------------------------------------------------------------------------------

HASHED = "data/{split}-{i:05d}-of-{n:05d}-{hash}.parquet"  # as push_to_hub wrote until 2023
CONVERTED = "/{split}/{i:04d}.parquet"  # below a folder of the configuration's name


def text(value: Callable[[Row], str]) -> Column:
    return Column("string", value)


def texts(value: Callable[[Row], list[str]], listed: Any = "Sequence") -> Column:
    return Column("list:string", value, listed=listed)


def number(value: Callable[[Row], int], kind: str = "int64") -> Column:
    return Column(kind, value)


def classes(names: Iterable[str], value: Callable[[Row], int]) -> Column:
    """A ClassLabel that is not the one that is wanted."""
    return Column("class", value, tuple(names))


def label(names: Iterable[str]) -> Column:
    return Column("class", lambda row: row.label, tuple(names), label=True)


IMAGE = Column("image", lambda row: {"bytes": row.image, "path": row.file})
CAPTION = text(lambda row: row.captions[0])


def labelled(
    dataset: str, splits: dict[str, Split], published: Iterable[str] | None = None, **other: Any
) -> Spec:
    """A set with the columns `image` and `label`, in the spelling of labels.json or another."""
    canonical = tuple(LABELS[dataset])
    names = tuple(canonical if published is None else published)
    columns = other.pop("columns", None) or {"image": IMAGE, "label": label(names)}
    return Spec(columns, splits, classes=names, canonical=canonical, **other)
