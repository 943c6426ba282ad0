"""Small doubles of the real repositories, for `LocalHub`.

Files, columns and types are those of the real ones as far as they are known; the content is noise.
Nothing here is read from the product's own declarations, so that a test compares the two. The only
exception is the class names, which a repository and the product have to agree on; where a publisher
is known to spell one otherwise, its double does so too.
"""

import csv
import hashlib
import io
import json
import runpy
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

CLASSES = Path(__file__).parents[2] / "benchmark" / "data" / "catalog" / "classes"
DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")
ROW_GROUP = 5  # rows, so that every shard has several groups
Odd = Literal["exif", "rgba", "palette", "cmyk", "grey", "grey16", "truncated", "junk"]
UNDECODABLE = {"truncated", "junk"}


@dataclass(frozen=True)
class Facts:
    """What a test may know of a repository."""

    revision: str  # head of main
    rows: dict[str, int]
    values: dict[str, list[Any]]  # per split and row: captions, or the label's index
    undecodable: tuple[tuple[str, int], ...] = ()
    odd: dict[tuple[str, int], str] = field(default_factory=dict)  # rows with unusual images
    before: tuple[str, ...] = ()  # earlier commits, newest first
    refs: dict[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ()  # the `split` column, where the true split is one
    gated: bool = False


class Hub(Protocol):
    """The part of `LocalHub` that is used here."""

    def add(
        self,
        repo_id: str,
        files: Mapping[str, bytes | Path],
        *,
        revision: str | None = None,
        ref: str = "main",
        gated: bool = False,
    ) -> str: ...


@dataclass
class Row:
    """What the columns of one row are made from."""

    split: str
    index: int
    number: int  # over all splits
    image: bytes
    size: tuple[int, int]
    suffix: str
    captions: list[str]
    label: int
    rng: np.random.Generator

    @property
    def file(self) -> str:
        return f"{1000092795 + 17 * self.number}.{self.suffix}"


@dataclass(frozen=True)
class Column:
    """A column: its `datasets` feature, its Arrow type, and its value in a row."""

    feature: Any
    type: pa.DataType
    value: Callable[[Row], Any]


@dataclass(frozen=True)
class Split:
    """Rows (of every class where there are labels) and files of a split."""

    rows: int
    shards: int = 1


@dataclass(frozen=True)
class Spec:
    """A repository: `files` is the path of a shard, with {split}, {i}, {n} and {hash}."""

    columns: dict[str, Column]
    splits: dict[str, Split]
    revision: str = ""  # all of it or how it begins
    files: str = "data/{split}-{i:05d}-of-{n:05d}.parquet"
    config: str = "default"
    captions: int = 1
    wording: str = "{caption}"
    more: int = 0  # captions beyond those, once or twice, of every fifth image
    classes: tuple[str, ...] = ()
    image: str = "jpg"
    size: tuple[int, int] | None = None
    mode: str = "RGB"
    odd: dict[tuple[str, int], Odd] = field(default_factory=dict)
    extra: dict[str, bytes] = field(default_factory=dict)
    gated: bool = False


# -- pictures and words --------------------------------------------------------------------------


def picture(
    rng: np.random.Generator,
    *,
    suffix: str = "jpg",
    mode: str = "RGB",
    size: tuple[int, int] | None = None,
    odd: Odd | None = None,
    hue: int = 0,
) -> tuple[bytes, tuple[int, int]]:
    """Encoded noise around a colour, and its stored width and height."""
    width, height = size or (int(n) for n in rng.integers(20, 61, 2))
    base = np.random.default_rng(hue).integers(40, 216, 3)
    pixels = (base + rng.integers(-40, 40, (height, width, 3))).astype(np.uint8)
    image = Image.fromarray(pixels).convert(mode) if mode != "RGB" else Image.fromarray(pixels)
    options: dict[str, Any] = {}
    match odd:
        case "exif":
            exif = Image.Exif()
            exif[0x0112] = 6  # orientation: to be turned by 90 degrees
            options["exif"] = exif
        case "rgba":
            image.putalpha(Image.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8)))
        case "palette":
            image = image.quantize(16)
            options["transparency"] = 0
        case "cmyk":
            image = image.convert("CMYK")
        case "grey":
            image = image.convert("L")
        case "grey16":
            image = Image.fromarray(rng.integers(0, 1 << 16, (height, width), dtype=np.uint16))
    file = io.BytesIO()
    png = odd in {"rgba", "palette", "grey16"} or (suffix == "png" and odd not in {"exif", "cmyk"})
    image.save(file, "PNG" if png else "JPEG", **options)
    data = file.getvalue()
    if odd == "truncated":
        data = data[: len(data) // 2]
    elif odd == "junk":
        data = b"<html><body>404 Not Found</body></html>"
    return data, (width, height)


ADJECTIVES = ["old", "red", "quiet", "tall", "wet", "bright", "broken", "empty", "golden", "small"]
NOUNS = ["boat", "dog", "bridge", "violin", "tower", "market", "child", "lamp", "horse", "garden"]
VERBS = ["stands", "waits", "leans", "shines", "sleeps", "turns", "falls", "drifts"]
PLACES = ["by the river", "in the snow", "at a café", "on a table", "under trees", "near a wall"]


def sentence(rng: np.random.Generator, number: int) -> str:
    """A caption no other row has."""
    words = [str(rng.choice(words)) for words in (ADJECTIVES, NOUNS, VERBS, PLACES)]
    return f"A {' '.join(words)}, view {number}."


# -- columns -------------------------------------------------------------------------------------

STRING = {"dtype": "string", "_type": "Value"}
INT32 = {"dtype": "int32", "_type": "Value"}
INT64 = {"dtype": "int64", "_type": "Value"}


def text(value: Callable[[Row], str]) -> Column:
    return Column(STRING, pa.string(), value)


def texts(value: Callable[[Row], list[str]], *, style: str = "List") -> Column:
    """A list of strings; files from before `datasets` 4 say it in other ways."""
    styles = {"old": [STRING], "Sequence": {"feature": STRING, "_type": "Sequence"}}
    feature = styles.get(style, {"feature": STRING, "_type": "List"})
    return Column(feature, pa.list_(pa.string()), value)


def number(value: Callable[[Row], int], feature: dict[str, str] = INT64) -> Column:
    return Column(feature, {"int32": pa.int32()}.get(feature["dtype"], pa.int64()), value)


def label(names: Iterable[str], value: Callable[[Row], int] = lambda row: row.label) -> Column:
    return Column({"names": list(names), "_type": "ClassLabel"}, pa.int64(), value)


IMAGE = Column(
    {"_type": "Image"},
    pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    lambda row: {"bytes": row.image, "path": row.file},
)
CAPTION = text(lambda row: row.captions[0])
SENTIDS = texts(lambda row: [str(5 * row.number + i) for i in range(5)], style="Sequence")
IMG_ID = text(lambda row: str(row.number))
FILENAME = text(lambda row: row.file)


def names(dataset: str, count: int) -> tuple[str, ...]:
    """The class names as the repository has them, or stand-ins."""
    path = CLASSES / f"{dataset}.csv"
    if not path.is_file():
        return tuple(f"class {i}" for i in range(count))
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(row["source"] for row in csv.DictReader(file))


def imagenet() -> tuple[list[str], list[str]]:
    """OpenAI's class names and templates, as the webdataset ships them."""
    package = find_spec("open_clip")
    assert package is not None
    assert package.origin is not None
    # The file alone: importing the package takes ten seconds
    known = runpy.run_path(str(Path(package.origin).with_name("zero_shot_metadata.py")))
    templates = [template("{c}") for template in known["OPENAI_IMAGENET_TEMPLATES"]]
    return list(known["IMAGENET_CLASSNAMES"]), templates


# -- captioned sets ------------------------------------------------------------------------------

HASHED = "data/{split}-{i:05d}-of-{n:05d}-{hash}.parquet"  # as push_to_hub wrote until 2023
TXT_TAR = {"jpg": IMAGE, "txt": CAPTION}


def flickr30k() -> Spec:
    return Spec(
        revision="d775c63",
        files=HASHED,
        columns={
            "image": IMAGE,
            "caption": texts(lambda row: row.captions, style="Sequence"),
            "sentids": SENTIDS,
            "img_id": IMG_ID,
            "filename": FILENAME,
        },
        splits={"train": Split(24, 3), "val": Split(8), "test": Split(12, 2)},
        captions=5,
        odd={("train", 2): "exif", ("test", 1): "exif"},
    )


def flickr30k_wds() -> Spec:
    return Spec(
        revision="f8af3ceee1b944bf761340682621dfafd23974d2",
        files="{split}/{i}.tar",
        columns=TXT_TAR,
        splits={"train": Split(20, 5), "test": Split(12, 5)},
        captions=5,
        odd={("train", 3): "exif"},
        extra={"dataset_type.txt": b"retrieval"},
    )


def karpathy(row: Row) -> str:
    return ("train", "train", "train", "val", "test")[row.number % 5]


def flickr30k_converted() -> Spec:
    """What the hub made of the script repository: all rows in `test`, the true split a column."""
    return Spec(
        revision="cd91f9a",
        files="TEST/{split}/{i:04d}.parquet",
        config="TEST",
        columns={
            "image": IMAGE,
            "caption": texts(lambda row: row.captions, style="old"),
            "sentids": texts(SENTIDS.value, style="old"),
            "split": text(karpathy),
            "img_id": IMG_ID,
            "filename": FILENAME,
        },
        splits={"test": Split(30, 2)},
        captions=5,
    )


def lexica() -> Spec:
    return Spec(
        revision="65d2b71",
        files=HASHED,
        columns={"image": IMAGE, "text": CAPTION},
        splits={"train": Split(36, 10)},
        image="png",
        odd={("train", 4): "junk"},
    )


def wikiart() -> Spec:
    return Spec(
        revision="eec5b3a",
        columns={"image": IMAGE, "text": CAPTION},
        splits={"train": Split(40, 4)},
        odd={("train", 5): "cmyk", ("train", 11): "truncated"},
    )


def kream() -> Spec:
    return Spec(
        revision="54f0f63fca385f12052fdc318093de7a65fbaf2a",
        files=HASHED,
        columns={"image": IMAGE, "text": CAPTION},
        splits={"train": Split(30, 3)},
        wording="outer, Jacket {number}, {caption}",
        odd={("train", 3): "rgba", ("train", 7): "palette"},
    )


def flintstones() -> Spec:
    return Spec(
        revision="1fa338d",
        columns={
            "id": number(lambda row: row.number),
            "flintstonesSV_image_id": text(lambda row: f"s_{row.number % 7:02d}_e_{row.number}"),
            "image": IMAGE,
            "text": CAPTION,
        },
        splits={"train": Split(24, 2), "validation": Split(8), "test": Split(12)},
        image="png",
    )


def sketch() -> Spec:
    return Spec(
        revision="a2d1f3ffb0f65796a24037e15347e8d56f1e692a",
        files=HASHED,
        columns={"image": IMAGE, "text": CAPTION},
        splits={"train": Split(25)},
        odd={("train", 2): "palette"},
    )


def rocov2() -> Spec:
    return Spec(
        revision="80ffeef",
        columns={
            "image": IMAGE,
            "image_id": text(lambda row: f"ROCOv2_2023_{row.split}_{row.index:06d}"),
            "caption": CAPTION,
            "cui": texts(lambda row: [f"C{row.number:07d}", "C0040405"][: 1 + row.number % 2]),
        },
        splits={"train": Split(24, 3), "validation": Split(8, 2), "test": Split(12, 2)},
        image="png",
        odd={
            ("train", 1): "grey16",
            ("train", 2): "grey",
            ("train", 9): "grey",
            ("test", 0): "grey",
            ("test", 3): "grey16",
        },
    )


def coco() -> Spec:
    return Spec(
        revision="3bf9ad5d280b03126293bcc691585015e29ce691",
        files="{split}/{i}.tar",
        columns=TXT_TAR,
        splits={"train": Split(12, 3), "test": Split(16, 5)},
        captions=5,
        more=1,
        odd={("test", 2): "grey"},
        extra={"dataset_type.txt": b"retrieval"},
    )


def nocaps() -> Spec:
    return Spec(
        revision="a26b3fe1e0021164ec430c57c48085d58f2fe922",
        columns={
            "image": IMAGE,
            "image_coco_url": text(lambda row: f"https://s3.example.org/nocaps/{row.file}"),
            "image_date_captured": text(lambda row: "2018-11-06 11:04:33"),
            "image_file_name": FILENAME,
            "image_height": number(lambda row: row.size[1], INT32),
            "image_width": number(lambda row: row.size[0], INT32),
            "image_id": number(lambda row: row.number, INT32),
            "image_license": number(lambda row: 0, INT32),
            "image_open_images_id": text(lambda row: f"{row.number:016x}"),
            "annotations_ids": Column(
                {"feature": INT32, "_type": "Sequence"},
                pa.list_(pa.int32()),
                lambda row: [10 * row.number + i for i in range(len(row.captions))],
            ),
            "annotations_captions": texts(lambda row: row.captions, style="Sequence"),
        },
        splits={"validation": Split(18, 3), "test": Split(10, 2)},
        captions=10,  # none in `test`
        odd={("validation", 2): "grey", ("validation", 4): "exif"},
    )


# -- labelled sets -------------------------------------------------------------------------------


def labelled(
    dataset: str, count: int, splits: dict[str, Split], revision: str = "", **other: Any
) -> Callable[[], Spec]:
    """A set with the columns `image` and `label`."""

    def spec() -> Spec:
        classes = names(dataset, count)
        columns = {"image": IMAGE, "label": label(classes)}
        return Spec(columns, splits, revision, classes=classes, **other)

    return spec


def imagenet_wds() -> Spec:
    classes, templates = imagenet()
    return Spec(
        files="{split}/{i}.tar",
        columns={"jpg": IMAGE, "cls": number(lambda row: row.label)},
        splits={"test": Split(40, 7)},
        classes=tuple(classes),
        extra={
            "classnames.txt": "\n".join(classes).encode(),
            "zeroshot_classification_templates.txt": "\n".join(templates).encode(),
            "dataset_type.txt": b"classification",
        },
    )


def imagenet_gated() -> Spec:
    classes = imagenet()[0]
    return Spec(
        columns={"image": IMAGE, "label": label(classes)},
        splits={"train": Split(40, 2), "validation": Split(40, 2), "test": Split(40)},
        classes=tuple(classes),
        gated=True,
    )


COARSE = (
    "aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables",
    "household_electrical_devices", "household_furniture", "insects", "large_carnivores",
    "large_man-made_outdoor_things", "large_natural_outdoor_scenes",
    "large_omnivores_and_herbivores", "medium_mammals", "non-insect_invertebrates", "people",
    "reptiles", "small_mammals", "trees", "vehicles_1", "vehicles_2",
)  # fmt: skip


def cifar100() -> Spec:
    fine = list(names("cifar100", 100))
    fine[26] = "cra"  # as published: the crab
    classes = tuple(fine)
    return Spec(
        files="cifar100/{split}-{i:05d}-of-{n:05d}.parquet",
        config="cifar100",
        columns={
            "img": IMAGE,
            "fine_label": label(classes),
            "coarse_label": label(COARSE, lambda row: row.label % 20),
        },
        splits={"train": Split(3), "test": Split(2)},
        classes=classes,
        image="png",
        size=(32, 32),
    )


def eurosat() -> Spec:
    classes = names("eurosat", 10)
    return Spec(
        revision="b4e28552cd5f3932b6abc37eb20d3e84901ad728",
        columns={
            "image": IMAGE,
            "label": label(classes),
            "image_id": text(lambda row: f"{classes[row.label]}_{row.number}"),
        },
        splits={"train": Split(4), "validation": Split(2), "test": Split(3)},
        classes=classes,
        size=(64, 64),
    )


def domain_of(row: Row) -> int:
    share = np.array([48, 53, 75, 172, 175, 70]) / 593  # uneven, so that a macro mean shows
    # One of each first: no domain may be missing
    return row.index if row.index < 6 else int(row.rng.choice(6, p=share))


def domainnet() -> Spec:
    classes = names("domainnet", 345)  # how the repository spells them is not known
    return Spec(
        revision="ee20570ae7a29c51571e55a9a17983f7625295d6",
        columns={"image": IMAGE, "label": label(classes), "domain": label(DOMAINS, domain_of)},
        splits={"train": Split(1, 2), "test": Split(1)},
        classes=classes,
    )


def domainnet_outdated() -> Spec:
    """Before the last two uploads: other columns, of which none is `label`."""
    classes = names("domainnet", 345)
    return Spec(
        revision="8f5b9a174c161881d17be113cce1d7fe946ccc52",
        columns={
            "image": IMAGE,
            "domain": text(lambda row: DOMAINS[domain_of(row)]),
            "category": text(lambda row: classes[row.label]),
            "y": label(classes),
        },
        splits={"test": Split(1)},
        classes=classes,
    )


FAMILIES = (
    "A300", "A310", "A320", "A330", "A340", "A380", "ATR-42", "ATR-72", "An-12", "BAE 146",
    "BAE-125", "Beechcraft 1900", "Boeing 707", "Boeing 717", "Boeing 727", "Boeing 737",
    "Boeing 747", "Boeing 757", "Boeing 767", "Boeing 777", "C-130", "C-47", "CRJ-200", "CRJ-700",
    "Cessna 172", "Cessna 208", "Cessna Citation", "Challenger 600", "DC-10", "DC-3", "DC-6",
    "DC-8", "DC-9", "DH-82", "DHC-1", "DHC-6", "DR-400", "Dash 8", "Dornier 328", "EMB-120",
    "Embraer E-Jet", "Embraer ERJ 145", "Embraer Legacy 600", "Eurofighter Typhoon", "F-16",
    "F/A-18", "Falcon 2000", "Falcon 900", "Fokker 100", "Fokker 50", "Fokker 70",
    "Global Express", "Gulfstream", "Hawk T1", "Il-76", "King Air", "L-1011", "MD-11", "MD-80",
    "MD-90", "Metroliner", "PA-28", "SR-20", "Saab 2000", "Saab 340", "Spitfire", "Tornado",
    "Tu-134", "Tu-154", "Yak-42",
)  # fmt: skip
MAKERS = (
    "ATR", "Airbus", "Antonov", "Beechcraft", "Boeing", "Bombardier Aerospace",
    "British Aerospace", "Canadair", "Cessna", "Cirrus Aircraft", "Dassault Aviation", "Dornier",
    "Douglas Aircraft Company", "Embraer", "Eurofighter", "Fairchild", "Fokker",
    "Gulfstream Aerospace", "Ilyushin", "Lockheed Corporation", "Lockheed Martin",
    "McDonnell Douglas", "Panavia", "Piper", "Robin", "Saab", "Supermarine", "Tupolev",
    "Yakovlev", "de Havilland",
)  # fmt: skip
FAMILY = label(FAMILIES, lambda row: row.label % len(FAMILIES))
MAKER = label(MAKERS, lambda row: row.label % len(MAKERS))


def aircraft() -> Spec:
    """Its `label` is the family: the hundred classes are in `variation`."""
    classes = names("aircraft", 100)
    return Spec(
        revision="3237e2c",
        columns={
            "image": IMAGE,
            "label": FAMILY,
            "variation": label(classes),
            "manufacturer": MAKER,
        },
        splits={"train": Split(3, 2), "test": Split(1)},
        classes=classes,
    )


def aircraft_variants() -> Spec:
    classes = names("aircraft", 100)
    return Spec(
        revision="3ae0e4e94e37c610c26df758ec3255fa90d80e67",
        columns={
            "image": IMAGE,
            "family": FAMILY,
            "manufacturer": MAKER,
            "variant": label(classes),
        },
        splits={"train": Split(3), "validation": Split(1), "test": Split(1)},
        classes=classes,
    )


def pets() -> Spec:
    classes = names("oxford-pets", 37)
    return Spec(
        revision="0b061922a132175141736196aef1136ae3c64c35",
        columns={
            "image": IMAGE,
            "label": label(classes),
            "image_id": text(lambda row: f"{classes[row.label]}_{row.number}"),
            "label_cat_dog": label(("cat", "dog"), lambda row: row.label % 2),
        },
        splits={"train": Split(3), "test": Split(2)},
        classes=classes,
    )


ONE = Split(1)
CARS = {"train": Split(1, 2), "test": ONE, "contrast": ONE, "gaussian_noise": ONE, "spatter": ONE}
SPECS: dict[str, Callable[[], Spec]] = {
    "umaru97/flickr30k_train_val_test": flickr30k,
    "clip-benchmark/wds_flickr30k": flickr30k_wds,
    "nlphuji/flickr30k": flickr30k_converted,
    "yuwan0/lexica-stable-diffusion-v1-5": lexica,
    "AterMors/wikiart_recaption": wikiart,
    "hahminlew/kream-product-blip-captions": kream,
    "Janak12/FlintstonesSV_Plus_Plus": flintstones,
    "zoheb/sketch-scene": sketch,
    "eltorio/ROCOv2-radiology": rocov2,
    "clip-benchmark/wds_mscoco_captions": coco,
    "lmms-lab/NoCaps": nocaps,
    "clip-benchmark/wds_imagenet1k": imagenet_wds,
    "ILSVRC/imagenet-1k": imagenet_gated,
    "uoft-cs/cifar100": cifar100,
    "timm/eurosat-rgb": eurosat,
    "wltjr1007/DomainNet": domainnet,
    "Donghyun99/FGVC-Aircraft": aircraft,
    "mteb/FGVCAircraft": aircraft_variants,
    "mteb/Caltech101": labelled(
        "caltech101",
        102,
        {"train": Split(3), "test": ONE},
        "011e51e5fb01f0c820824734edb7a539ab8e6650",
    ),
    "tanganke/dtd": labelled("dtd", 47, {"train": Split(4), "test": Split(2)}, "d2afa97"),
    "Donghyun99/Oxford-Flower-102": labelled(
        "flowers102", 102, {"train": Split(3), "validation": ONE, "test": ONE}, "06fcc9a"
    ),
    "ethz/food101": labelled("food101", 101, {"train": Split(3, 3), "validation": Split(1, 2)}),
    "ylecun/mnist": labelled(
        "mnist",
        10,
        {"train": Split(6), "test": Split(4)},
        files="mnist/{split}-{i:05d}-of-{n:05d}.parquet",
        config="mnist",
        image="png",
        size=(28, 28),
        mode="L",
    ),
    "timm/oxford-iiit-pet": pets,
    "tanganke/stanford_cars": labelled("stanford-cars", 196, CARS),
    "tanganke/sun397": labelled("sun397", 397, {"train": Split(1, 2), "test": ONE}, "9c4afd6"),
}
OUTDATED: dict[str, Callable[[], Spec]] = {"wltjr1007/DomainNet": domainnet_outdated}


# -- files ---------------------------------------------------------------------------------------


def make_rows(spec: Spec, split: str, first: int, rng: np.random.Generator) -> list[Row]:
    """The rows of a split; `first` counts those of the splits before."""
    count = spec.splits[split].rows
    labels = np.zeros(count, dtype=int)
    if spec.classes and len(spec.classes) < 1000:
        labels = rng.permutation(np.repeat(np.arange(len(spec.classes)), count))
    elif spec.classes:  # ImageNet: some classes only
        labels = rng.choice(len(spec.classes), count, replace=False)
    rows = []
    for index, of in enumerate(labels):
        odd = spec.odd.get((split, index))
        data, size = picture(
            rng, suffix=spec.image, mode=spec.mode, size=spec.size, odd=odd, hue=int(of)
        )
        captions: list[str] = []
        if not spec.classes:
            total = spec.captions + (spec.more * (1 + index % 2) if index % 5 == 4 else 0)
            for i in range(total):
                caption = sentence(rng, 20 * (first + index) + i)
                captions.append(spec.wording.format(caption=caption, number=first + index))
        rows.append(
            Row(split, index, first + index, data, size, spec.image, captions, int(of), rng)
        )
    return rows


def parquet(columns: dict[str, Column], rows: list[Row]) -> bytes:
    """A file as `Dataset.to_parquet` writes it: the features are in the schema's metadata."""
    features = {name: column.feature for name, column in columns.items()}
    schema = pa.schema(
        {name: column.type for name, column in columns.items()},
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    data = {name: [column.value(row) for row in rows] for name, column in columns.items()}
    sink = io.BytesIO()
    pq.write_table(pa.table(data, schema=schema), sink, row_group_size=ROW_GROUP)
    return sink.getvalue()


def tar(columns: dict[str, Column], rows: list[Row]) -> bytes:
    """A webdataset shard: `sNNNNNNN.jpg` and its text beside it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for row in rows:
            for suffix in columns:
                texts = {"txt": "\n".join(row.captions), "cls": str(row.label)}
                data = row.image if suffix == "jpg" else texts[suffix].encode()
                info = tarfile.TarInfo(f"s{row.index:07d}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def readme(spec: Spec) -> bytes:
    """A card with the configuration that `load_dataset` goes by."""
    lines = ["---", "license: other"]
    if spec.files.endswith(".parquet"):
        lines += ["configs:", f"- config_name: {spec.config}", "  data_files:"]
        for split in spec.splits:
            pattern = spec.files.split("{i")[0].replace("{split}", split) + "*"
            lines += [f"  - split: {split}", f"    path: {pattern}"]
    return "\n".join([*lines, "---", "", "# A double for tests", ""]).encode()


def make_files(name: str, spec: Spec, seed: int) -> tuple[dict[str, bytes], dict[str, list[Row]]]:
    """All files of a repository, and its rows."""
    rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
    files = {".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n", **spec.extra}
    rows: dict[str, list[Row]] = {}
    first = 0
    for split, size in spec.splits.items():
        made = rows[split] = make_rows(spec, split, first, rng)
        first += len(made)
        if name == "lmms-lab/NoCaps" and split == "test":
            for row in made:
                row.captions = []
        if name == "yuwan0/lexica-stable-diffusion-v1-5":
            made[9].captions = made[3].captions  # galleries repeat prompts
        cuts = [len(made) * i // size.shards for i in range(size.shards + 1)]
        for i in range(size.shards):
            part = made[cuts[i] : cuts[i + 1]]
            digest = hashlib.sha1(f"{seed}/{name}/{split}/{i}".encode()).hexdigest()[:16]
            path = spec.files.format(split=split, i=i, n=size.shards, hash=digest)
            files[path] = (tar if path.endswith(".tar") else parquet)(spec.columns, part)
        if spec.files.endswith(".tar"):
            files[f"{split}/nshards.txt"] = str(size.shards).encode()
    files["README.md"] = readme(spec)
    return files, rows


def whole(revision: str, name: str) -> str:
    """A commit id that begins with `revision`, or is it."""
    return revision + hashlib.sha1(name.encode()).hexdigest()[len(revision) :]


def build(hub: Hub, names: Collection[str] | None = None, seed: int = 0) -> dict[str, Facts]:
    """Register the repositories (all, or those named); equal seeds give equal bytes."""
    if unknown := set(names or ()) - SPECS.keys():
        raise KeyError(f"no such repositories here: {sorted(unknown)}")
    facts = {}
    for name, make in SPECS.items():
        if names is not None and name not in names:
            continue
        spec = make()
        files, rows = make_files(name, spec, seed)
        head = whole(spec.revision, name)
        before: list[str] = []
        refs: dict[str, str] = {}
        if name == "nlphuji/flickr30k":
            refs["refs/convert/parquet"] = hub.add(
                name, files, revision=head, ref="refs/convert/parquet"
            )
            script = {
                ".gitattributes": files[".gitattributes"],
                "README.md": b"# Flickr30k\n",
                "flickr30k.py": b"import datasets\n\nclass Flickr30k(datasets.Builder): ...\n",
                "flickr_annotations_30k.csv": b"raw,sentids,split,filename,img_id\n",
                "flickr30k-images.zip": b"PK\5\6" + bytes(18),
            }
            head = hub.add(name, script, revision=whole("", name))
        else:
            if name == "yuwan0/lexica-stable-diffusion-v1-5":  # the last commit is of the card only
                old = files | {"README.md": b"---\nlicense: openrail\n---\n"}
                before.append(hub.add(name, old, revision=whole("ae9d37e", name)))
            if name in OUTDATED:
                was = OUTDATED[name]()
                old = make_files(name, was, seed)[0]
                before.append(hub.add(name, old, revision=whole(was.revision, name)))
            hub.add(name, files, revision=head, gated=spec.gated)
        facts[name] = Facts(
            revision=head,
            rows={split: len(made) for split, made in rows.items()},
            values={
                split: [row.label if spec.classes else row.captions for row in made]
                for split, made in rows.items()
            },
            undecodable=tuple(at for at, odd in spec.odd.items() if odd in UNDECODABLE),
            odd={at: str(odd) for at, odd in spec.odd.items()},
            before=tuple(before),
            refs=refs,
            parts=tuple(karpathy(row) for row in rows["test"]) if refs else (),
            gated=spec.gated,
        )
    return facts
