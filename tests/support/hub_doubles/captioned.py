"""Doubles of the captioned sets. Where each was read: README.md here."""

from collections.abc import Callable
from typing import Any

from .kinds import (
    CAPTION,
    CONVERTED,
    HASHED,
    IMAGE,
    Column,
    Row,
    Spec,
    Split,
    number,
    text,
    texts,
)

TXT_TAR = {"jpg": IMAGE, "txt": CAPTION}
FILENAME = text(lambda row: row.file)
RETRIEVAL = {"dataset_type.txt": b"retrieval"}


def sentids(listed: str) -> Column:
    return texts(lambda row: [str(5 * row.number + i) for i in range(5)], listed)


def captions(listed: str) -> Column:
    return texts(lambda row: row.captions, listed)


def script(name: str, *others: str) -> dict[str, bytes]:
    """What is on `main` of a repository that needs its own code; its data are on another ref."""
    return {
        ".gitattributes": b"*.zip filter=lfs diff=lfs merge=lfs -text\n",
        "README.md": b"# A double for tests\n",
        f"{name}.py": b"import datasets\n\nclass Builder(datasets.GeneratorBasedBuilder): ...\n",
        **{other: b"PK\5\6" + bytes(18) for other in others},
    }


def flickr30k() -> Spec:
    return Spec(
        revision="d775c63",
        files=HASHED,
        columns={
            "image": IMAGE,
            "caption": captions("[]"),
            "sentids": sentids("[]"),
            "split": text(lambda row: row.split),
            "img_id": text(lambda row: str(row.number)),
            "filename": FILENAME,
        },
        splits={"train": Split(24, 3), "val": Split(8), "test": Split(12, 2)},
        captions=5,
        odd={("train", 2): "exif", ("test", 1): "exif"},
        card=(),
    )


def flickr30k_wds() -> Spec:
    return Spec(
        revision="f8af3ceee1b944bf761340682621dfafd23974d2",
        files="{split}/{i}.tar",
        columns=TXT_TAR,
        splits={"train": Split(20, 5), "test": Split(12, 5)},
        captions=5,
        odd={("train", 3): "exif"},
        extra=RETRIEVAL,
    )


def karpathy(row: Row) -> str:
    return ("train", "train", "train", "val", "test")[row.number % 5]


def flickr30k_converted() -> Spec:
    """What the hub made of the script repository: all rows in `test`, the true split a column."""
    return Spec(
        revision="cd91f9a",
        ref="refs/convert/parquet",
        script=script("flickr30k", "flickr_annotations_30k.csv", "flickr30k-images.zip"),
        files="TEST" + CONVERTED,
        config="TEST",
        columns={
            "image": IMAGE,
            "caption": captions("[]"),
            "sentids": sentids("[]"),
            "split": text(karpathy),
            "img_id": text(lambda row: str(row.number)),
            "filename": FILENAME,
        },
        splits={"test": Split(30, 2)},
        captions=5,
        group=karpathy,
    )


def lexica() -> Spec:
    """The last commit is of the card alone."""
    return Spec(
        revision="65d2b71",
        data="ae9d37e",
        files=HASHED,
        columns={"image": IMAGE, "text": CAPTION},
        splits={"train": Split(36, 10)},
        image="png",
        odd={("train", 4): "junk"},
        repeats={9: 3},  # galleries repeat prompts
        card=("license: openrail",),
    )


def wikiart() -> Spec:
    return Spec(
        revision="eec5b3a",
        data="6506117",
        columns={"image": IMAGE, "text": CAPTION},
        splits={"train": Split(40, 4)},
        odd={("train", 5): "cmyk", ("train", 11): "truncated"},
        card=("license: apache-2.0", "task_categories:", "- image-to-text", "language:", "- en"),
    )


def kream() -> Spec:
    return Spec(
        revision="54f0f63fca385f12052fdc318093de7a65fbaf2a",
        files=HASHED,
        columns={"image": IMAGE, "text": CAPTION},
        splits={"train": Split(30, 3)},
        wording="outer, Jacket {number}, {caption}",
        odd={("train", 3): "rgba", ("train", 7): "palette"},
        card=("license: cc-by-nc-sa-4.0",),
    )


def flintstones() -> Spec:
    """Uploaded by hand, so that nothing of `datasets` need be in its files."""
    return Spec(
        revision="1fa338d",
        columns={
            "id": number(lambda row: row.number),
            "flintstonesSV_image_id": Column(
                "large_string", lambda row: f"s_{row.number % 7:02d}_e_{row.number}"
            ),
            "image": IMAGE,
            "text": Column("large_string", lambda row: row.captions[0]),
        },
        splits={"train": Split(24, 2), "validation": Split(8), "test": Split(12)},
        image="png",
        era=None,
        card=("license: cc-by-4.0",),
    )


def sketch() -> Spec:
    return Spec(
        revision="a2d1f3ffb0f65796a24037e15347e8d56f1e692a",
        files=HASHED,
        columns={"image": IMAGE, "text": CAPTION},
        splits={"train": Split(25)},
        era=2022,
        odd={("train", 2): "palette"},
        card=("license: cc-by-nc-sa-4.0",),
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
        extra={"generate.ipynb": b"{}"},
        card=("language:", "- en", "license: cc-by-nc-sa-4.0", "tags:", "- medical"),
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
        extra=RETRIEVAL,
    )


def coco_converted() -> Spec:
    return Spec(
        revision="fb42856fbf2ecad4d1382679f0abb33cab9fc952",
        ref="refs/convert/parquet",
        script=script("mscoco_2014_5k_test_image_text_retrieval", "test_5k_mscoco_2014.csv"),
        files="TEST" + CONVERTED,
        config="TEST",
        columns={
            "image": IMAGE,
            "caption": captions("[]"),
            "sentids": sentids("[]"),
            "split": text(lambda row: "test"),
            "cocoid": text(lambda row: str(391_895 + row.number)),
            "filename": FILENAME,
        },
        splits={"test": Split(16, 2)},
        captions=5,
        more=1,
    )


def nocaps_columns(listed: Any) -> dict[str, Column]:
    return {
        "image": IMAGE,
        "image_coco_url": text(lambda row: f"https://s3.example.org/nocaps/{row.file}"),
        "image_date_captured": text(lambda row: "2018-11-06 11:04:33"),
        "image_file_name": FILENAME,
        "image_height": number(lambda row: row.size[1], "int32"),
        "image_width": number(lambda row: row.size[0], "int32"),
        "image_id": number(lambda row: row.number, "int32"),
        "image_license": number(lambda row: 0, "int8"),
        "image_open_images_id": text(lambda row: f"{row.number:016x}"),
        "annotations_ids": Column(
            "list:int32",
            lambda row: [10 * row.number + i for i in range(len(row.captions))],
            listed=listed,
        ),
        "annotations_captions": captions(listed),
    }


def nocaps() -> Spec:
    return Spec(
        revision="a26b3fe1e0021164ec430c57c48085d58f2fe922",
        files=HASHED,
        columns=nocaps_columns("Sequence"),
        splits={"validation": Split(18, 3), "test": Split(10, 2, captioned=False)},
        captions=10,
        odd={("validation", 2): "grey", ("validation", 4): "exif"},
    )


def nocaps_converted() -> Spec:
    return Spec(
        revision="f59b387",
        ref="refs/convert/parquet",
        script=script("NoCaps"),
        files="default" + CONVERTED,
        columns=nocaps_columns("[]"),
        splits={"test": Split(9, 2, captioned=False), "validation": Split(15, 3)},
        captions=10,
        odd={("validation", 3): "grey"},
    )


CAPTIONED: dict[str, Callable[[], Spec]] = {
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
    "nlphuji/mscoco_2014_5k_test_image_text_retrieval": coco_converted,
    "lmms-lab/NoCaps": nocaps,
    "HuggingFaceM4/NoCaps": nocaps_converted,
}
