"""The sets of MTIL that ZSCL divides itself, from files that the user gives (`--from FOLDER`).

ZSCL (Thunderbeee/ZSCL b96e714, mtil/src/datasets/collections.py) takes all images of torchvision's
datasets Caltech101, EuroSAT and SUN397 and divides them four to one by `random_split` with seed 42.
The folder is laid out as torchvision unpacks them: `caltech101/101_ObjectCategories`,
`eurosat/2750`, `SUN397`. Of the other eight sets, ZSCL's test images are those on the hub.

torchvision lists Caltech101 and EuroSAT by sorted names, so that these divisions are ZSCL's to the
image. Of SUN397 it takes the files as the file system of the machine gives them, which nobody else
can know: here they are sorted by their paths, so that the sizes are ZSCL's and the images are not.
"""

from dataclasses import replace

from ..published.declare import Declaration, Folder, RandomSplit, SplitRule, Whole
from . import general

SPLITS: dict[str, SplitRule] = {"train": Whole(("train",)), "test": Whole(("test",))}
EXACT = "all images of torchvision's set, four to one by random_split with seed 42, as ZSCL"


def _zscl(
    declared: Declaration, images: str, train: int, test: int, url: str, *more: str,
    without: tuple[str, ...] = (),
) -> Declaration:  # fmt: skip
    source = Folder(
        layout="folders",
        parts=("train", "test"),
        images=images,
        listing=images,
        rows={"train": train, "test": test},
        url=url,
        split=RandomSplit(0.8, 42),
        without=without,
    )
    return replace(
        declared, name=f"{declared.name}-zscl", source=source, fallbacks=(), splits=SPLITS,
        notes=(EXACT, *more),
    )  # fmt: skip


DATASETS = (
    _zscl(general.CALTECH101, "caltech101/101_ObjectCategories", 6_941, 1_736,
          "https://data.caltech.edu/records/mzrjq-6wc02", without=("BACKGROUND_Google",)),
    _zscl(general.EUROSAT, "eurosat/2750", 21_600, 5_400,
          "https://github.com/phelber/EuroSAT"),
    _zscl(general.SUN397, "SUN397", 87_003, 21_751,
          "https://vision.princeton.edu/projects/2010/SUN/",
          "which images ZSCL's split has is unknown: torchvision lists them as a file system does; "
          "here they are sorted, and the sizes alone agree"),
)  # fmt: skip
