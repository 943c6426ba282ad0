"""The sets of X-TAIL in CoOp's own splits, from files that the user gives (`--from FOLDER`).

The lists split_zhou_*.json were shuffled without a seed, so that they can only be had from the
links in CoOp's DATASETS.md (KaiyangZhou/CoOp). The folder is laid out as that file says: one
folder a dataset, with its list and its images. Aircraft and MNIST have the same test images on the
hub and are taken from there.
"""

from dataclasses import replace

from ..published.declare import Declaration, Folder, SplitRule, Whole
from . import fine_grained as fine
from . import general

URL = "https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md"
SPLITS: dict[str, SplitRule] = {"train": Whole(("train",)), "test": Whole(("test",))}


def _coop(
    declared: Declaration, images: str, listing: str, train: int, val: int, test: int
) -> Declaration:
    source = Folder(
        layout="coop",
        parts=("train", "val", "test"),
        images=images,
        listing=listing,
        rows={"train": train, "val": val, "test": test},
        url=URL,
        unsure=frozenset({"rows"}),
    )
    note = "split_zhou of CoOp; its val part is not used, as in RAIL and CoDyRA"
    return replace(
        declared, name=f"{declared.name}-coop", source=source, fallbacks=(), splits=SPLITS,
        notes=(note,),
    )  # fmt: skip


DATASETS = (
    _coop(general.CALTECH101, "caltech-101/101_ObjectCategories",
          "caltech-101/split_zhou_Caltech101.json", 4_128, 1_649, 2_465),
    _coop(general.DTD, "dtd/images",
          "dtd/split_zhou_DescribableTextures.json", 2_820, 1_128, 1_692),
    _coop(general.EUROSAT, "eurosat/2750",
          "eurosat/split_zhou_EuroSAT.json", 13_500, 5_400, 8_100),
    _coop(fine.FLOWERS102, "oxford_flowers/jpg",
          "oxford_flowers/split_zhou_OxfordFlowers.json", 4_093, 1_633, 2_463),
    _coop(fine.FOOD101, "food-101/images",
          "food-101/split_zhou_Food101.json", 50_500, 20_200, 30_300),
    _coop(fine.PETS, "oxford_pets/images",
          "oxford_pets/split_zhou_OxfordPets.json", 2_944, 736, 3_669),
    _coop(fine.CARS, "stanford_cars",
          "stanford_cars/split_zhou_StanfordCars.json", 6_509, 1_635, 8_041),
    _coop(general.SUN397, "sun397/SUN397",
          "sun397/split_zhou_SUN397.json", 15_880, 3_970, 19_850),
)  # fmt: skip
