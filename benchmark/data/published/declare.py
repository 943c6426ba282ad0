"""What a declaration of a published dataset says. Data only: no network, no torch, no numpy."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from ...errors import BenchError

Kind = Literal["pairs", "labelled"]
CLASSES = Path(__file__).parents[1] / "catalog" / "classes"
PUBLISHED = "published"  # column of a class table: how its publisher spells a class, if otherwise


@dataclass(frozen=True)
class Source:
    """Where the rows of a dataset are, and what they are called there.

    Attributes:
        repo: hub id, "owner/name".
        revision: 40 hex digits; or the first 7 of a commit, or a ref such as "main", which the
            lock file resolves once.
        parts: part of the data -> glob patterns of its files, parquet or webdataset tars. Only
            files of these parts are downloaded. Files are read in the order of their paths.
            Where the repository's README says which files are of which split (`configs`,
            `data_files`), it counts and not the pattern, which then only says what the split is
            called: `**/validation-*.parquet` is the split `validation` (or `val`, `valid`, `dev`);
            `test/*.tar`, without a name, the split of its folder. Of several configurations it is
            the one whose files fit the patterns, else the README's default one.
        rows: expected rows per part, those that cannot be decoded included.
        size: of the download in 10^9 bytes, None where unknown.
        image: names that the column of the image may have; the first that exists is taken, and
            noted in the lock.
        value: the same for the column of the captions or of the label; of several with class
            names, the first whose names are those of the class table.
        key: column with the publisher's name of the row, if any.
        part_column: a column whose value is the part, where one file holds several.
        group: a column that divides the part further (DomainNet's domain), if any.
        unsure: which of these facts no source confirms. For these, the first preparation takes
            what it finds and notes it in the lock.
        by_number: class numbers are those of the class table; the names are not compared.
        gated: whether the hub asks for a token and accepted terms.
    """

    repo: str
    revision: str
    parts: Mapping[str, tuple[str, ...]]
    rows: Mapping[str, int]
    size: float | None = None
    image: tuple[str, ...] = ("image",)
    value: tuple[str, ...] = ("text",)
    key: str | None = None
    part_column: str | None = None
    group: str | None = None
    unsure: frozenset[str] = frozenset()
    by_number: bool = False
    gated: bool = False


@dataclass(frozen=True)
class Folder:
    """Files that are not on the hub, in a folder that the user gives with `--from`.

    Attributes:
        layout: "places365": a tar of images and a text file with a name and a class number a
            line. "coop": image files and a split_zhou JSON of CoOp (KaiyangZhou/CoOp) that lists
            path, class number and class name of the parts train, val and test. "folders": image
            files in a folder for each class, as torchvision has them, which `split` divides.
        parts: the parts that are read.
        images: the tar, or the folder of the image files. listing: the text or JSON file; of
            "folders" the same folder, which is its own list.
        rows: expected rows per part.
        md5: file name -> its md5, where the publisher states it.
        url: where the files are offered.
    """

    layout: Literal["places365", "coop", "folders"]
    parts: tuple[str, ...]
    images: str
    listing: str
    rows: Mapping[str, int]
    url: str
    md5: Mapping[str, str] = field(default_factory=dict)
    size: float | None = None
    unsure: frozenset[str] = frozenset()
    split: "RandomSplit | None" = None
    without: tuple[str, ...] = ()  # names of folders that are no class


@dataclass(frozen=True)
class RandomSplit:
    """A division by `torch.utils.data.random_split`, see `split_rules.random_split`.

    Attributes:
        train: share of the training part, in (0, 1); the rest is the test part.
        seed: of the generator.
    """

    train: float
    seed: int


@dataclass(frozen=True)
class Whole:
    """All rows of the parts, in file order; `group` keeps only the rows of one group."""

    parts: tuple[str, ...]
    group: str | None = None


@dataclass(frozen=True)
class Fraction:
    """One side of a part that its publisher does not divide, see `split_rules.by_fraction`.

    Attributes:
        part: the part that is divided. test: share of its test side, in (0, 1).
        seed: of the permutation. side: which of the two.
    """

    part: str
    test: float
    seed: int
    side: Literal["train", "test"]


@dataclass(frozen=True)
class Shots:
    """k rows of every class of a part, see `splits.few_shot`."""

    protocol: str
    parts: tuple[str, ...]
    k: int
    seed: int


SplitRule = Whole | Fraction | Shots


@dataclass(frozen=True)
class Declaration:
    """One published dataset.

    Attributes:
        name: identifier, lower-case letters, digits and '-'. title: column head.
        kind: image-caption pairs, or labelled images.
        source: where its rows are. fallbacks: copies that `--source` can choose; they are not
            the same bytes, so that a run over one is never ranked beside the others.
        splits: split name -> rule.
        licence: label and what it covers. citation: whom to cite.
        classes: file of class names under catalog/classes, for labelled sets.
        notes: what a reader of its numbers has to know.
    """

    name: str
    title: str
    kind: Kind
    source: Source | Folder
    splits: Mapping[str, SplitRule]
    licence: str
    citation: str
    fallbacks: tuple[Source, ...] = ()
    classes: str | None = None
    notes: tuple[str, ...] = field(default=())


@cache
def class_table(name: str) -> dict[str, tuple[str, ...]]:
    """Columns of catalog/classes/<name>.csv: `source` in label order, and names for prompts.

    A name for prompts is empty where a protocol leaves the class out. The column `published` is
    not among them: no prompt may be made of it, see `published_names`.

    Raises:
        BenchError: a damaged file: columns of unequal length or a source name twice.
    """
    return {key: column for key, column in _columns(name).items() if key != PUBLISHED}


@cache
def published_names(name: str) -> tuple[str, ...]:
    """How the publisher spells each class, in label order; '' where it is no other than ours.

    Beside `source` and not in its place: `source` is part of the identity of stores and of the
    draw of few shots, so that a spelling learnt later may not change it.

    Raises:
        BenchError: as `class_table`.
    """
    columns = _columns(name)
    cells = columns.get(PUBLISHED, ("",) * len(columns["source"]))
    return tuple((cell or "").strip() for cell in cells)  # None: a line that ends early


@cache
def _columns(name: str) -> dict[str, tuple[str, ...]]:
    file = CLASSES / f"{name}.csv"
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    columns = {key: tuple(row[key] for row in rows) for key in (rows[0] if rows else {})}
    if not rows or len(set(columns["source"])) < len(rows):
        got = "a name twice" if rows else "an empty file"
        raise BenchError(f"distinct classes in {file}", got, "restore that file with git")
    return columns
