"""The fine-grained sets of X-TAIL and MTIL, in their splits on the hub.

The test images of Aircraft, Pets and Cars are those of CoOp's split_zhou files; those of Flowers
and Food101 are not (see `coop`).
"""

from ..published.declare import Declaration, Source
from .general import OFFICIAL, TRAIN_TEST

TRAIN_VAL_TEST = {**TRAIN_TEST, "validation": ("**/val*-*.parquet",)}

AIRCRAFT = Declaration(
    name="aircraft",
    title="Aircraft",
    kind="labelled",
    source=Source(
        repo="Donghyun99/FGVC-Aircraft",
        revision="3237e2c15db36fa9016794561b7aae6b49eef9a2",
        parts=TRAIN_TEST,
        rows={"train": 3_334, "test": 3_333},
        size=1.85,
        value=("variation",),  # `label` is the family, of which there are 70
        unsure=frozenset({"rows"}),
    ),
    fallbacks=(
        Source(
            repo="mteb/FGVCAircraft",
            revision="3ae0e4e94e37c610c26df758ec3255fa90d80e67",
            parts=TRAIN_TEST,
            rows={"train": 3_334, "test": 3_333},
            value=("variant",),
        ),
    ),
    splits=OFFICIAL,
    licence="non-commercial research",
    citation="Maji et al., Fine-Grained Visual Classification of Aircraft, 2013",
    classes="aircraft",
)

FLOWERS102 = Declaration(
    name="flowers102",
    title="Flowers",
    kind="labelled",
    source=Source(
        repo="Donghyun99/Oxford-Flower-102",
        revision="06fcc9a13ee3f84cc7f36fa0eef10df2c7f8750f",
        parts=TRAIN_VAL_TEST,
        rows={"train": 1_020, "validation": 1_020, "test": 6_149},
        size=0.35,
        value=("label",),
    ),
    fallbacks=(
        Source(
            repo="dpdl-benchmark/oxford_flowers102",
            revision="544b55c9af69a05742ead7571cd7ae23cfcd758b",
            parts=TRAIN_VAL_TEST,
            rows={"train": 1_020, "validation": 1_020, "test": 6_149},
            size=3.35,
            value=("label",),
            unsure=frozenset({"value"}),
        ),
    ),
    splits=OFFICIAL,
    licence="not stated; research use",
    citation="Nilsback and Zisserman, ICVGIP 2008",
    classes="flowers102",
    notes=("ten training images a class; 16 shots are drawn from training and validation",),
)

FOOD101 = Declaration(
    name="food101",
    title="Food",
    kind="labelled",
    source=Source(
        repo="ethz/food101",
        revision="e06acf2a88084f04bce4d4a525165d68e0a36c38",
        parts={"train": ("**/train-*.parquet",), "test": ("**/validation-*.parquet",)},
        rows={"train": 75_750, "test": 25_250},
        size=5.0,
        value=("label",),
    ),
    fallbacks=(
        Source(
            repo="mteb/food101",
            revision="7cca05bfde8fdad4a9b39ed14a881c800cc1dca2",
            parts={"train": ("**/train-*.parquet",), "test": ("**/validation-*.parquet",)},
            rows={"train": 75_750, "test": 25_250},
            size=5.0,
            value=("label",),
        ),
    ),
    splits=OFFICIAL,
    licence="research use; the images belong to Foodspotting",
    citation="Bossard et al., Food-101, ECCV 2014",
    classes="food101",
)

PETS = Declaration(
    name="oxford-pets",
    title="OxfordPet",
    kind="labelled",
    source=Source(
        repo="timm/oxford-iiit-pet",
        revision="10b688881011725fa2fa3d856a47536c9a7e6968",
        parts=TRAIN_TEST,
        rows={"train": 3_680, "test": 3_669},
        size=0.8,
        value=("label",),
        key="image_id",
    ),
    fallbacks=(
        Source(
            repo="mteb/OxfordPets",
            revision="557b480fae8d69247be74d9503b378a09425096f",
            parts=TRAIN_TEST,
            rows={"train": 3_680, "test": 3_669},
            value=("label",),
        ),
    ),
    splits=OFFICIAL,
    licence="cc-by-sa-4.0",
    citation="Parkhi et al., Cats and Dogs, CVPR 2012",
    classes="oxford-pets",
)

CARS = Declaration(
    name="stanford-cars",
    title="StanfordCars",
    kind="labelled",
    source=Source(
        repo="tanganke/stanford_cars",
        revision="9abf6cf7d6dfa7b95152a0d6e791ea9435b47a40",
        parts={"train": ("data/train-*.parquet",), "test": ("data/test-*.parquet",)},
        rows={"train": 8_144, "test": 8_041},
        size=2.0,
        value=("label",),
        unsure=frozenset({"size"}),
    ),
    fallbacks=(
        Source(
            repo="Donghyun99/Stanford-Cars",
            revision="c9c43a068ed98f2bb655814a01eacbe2afc2e3f1",
            parts=TRAIN_TEST,
            rows={"train": 8_144, "test": 8_041},
            value=("label",),
            unsure=frozenset({"rows"}),
        ),
    ),
    splits=OFFICIAL,
    licence="non-commercial research",
    citation="Krause et al., 3D Object Representations for Fine-Grained Categorization, 2013",
    classes="stanford-cars",
    notes=("the repository's corruption splits are not downloaded",),
)

DATASETS = (AIRCRAFT, FLOWERS102, FOOD101, PETS, CARS)
