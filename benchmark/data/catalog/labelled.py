"""The labelled sets of X-TAIL and MTIL, in their splits on the hub.

Those of Pets, Cars, Aircraft, SUN397 and MNIST have the test images of CoOp's split_zhou files;
Caltech101, DTD, EuroSAT, Flowers and Food101 do not (see `xtail-coop`).
"""

from ..hub.declare import Declaration, Rule, Source, Whole

OFFICIAL: dict[str, Rule] = {"train": Whole(("train",)), "test": Whole(("test",))}
TRAIN_TEST = {"train": ("**/train-*.parquet",), "test": ("**/test-*.parquet",)}

AIRCRAFT = Declaration(
    name="aircraft",
    title="Aircraft",
    kind="labelled",
    source=Source(
        repo="Donghyun99/FGVC-Aircraft",
        revision="3237e2c",
        parts=TRAIN_TEST,
        rows={"train": 3_334, "test": 3_333},
        size=2.76,
        value=("label", "variant"),
        unsure=frozenset({"rows", "value"}),
    ),
    fallbacks=(
        Source(
            repo="mteb/FGVCAircraft",
            revision="3ae0e4e94e37c610c26df758ec3255fa90d80e67",
            parts=TRAIN_TEST,
            rows={"train": 3_334, "test": 3_333},
            value=("variant",),
            unsure=frozenset({"rows"}),
        ),
    ),
    splits=OFFICIAL,
    licence="non-commercial research",
    citation="Maji et al., Fine-Grained Visual Classification of Aircraft, 2013",
    classes="aircraft",
)

CALTECH101 = Declaration(
    name="caltech101",
    title="Caltech101",
    kind="labelled",
    source=Source(
        repo="mteb/Caltech101",
        revision="011e51e5fb01f0c820824734edb7a539ab8e6650",
        parts=TRAIN_TEST,
        rows={"train": 3_060, "test": 6_084},
        size=0.14,
        value=("label",),
    ),
    splits=OFFICIAL,
    licence="cc-by-4.0",
    citation="Fei-Fei et al., CVPR workshop 2004",
    classes="caltech101",
    notes=("the split of TFDS, 30 training images a class; the background class is left out",),
)

CIFAR100 = Declaration(
    name="cifar100",
    title="CIFAR100",
    kind="labelled",
    source=Source(
        repo="uoft-cs/cifar100",
        revision="main",
        parts=TRAIN_TEST,
        rows={"train": 50_000, "test": 10_000},
        size=0.16,
        image=("img", "image"),
        value=("fine_label",),
    ),
    fallbacks=(
        Source(
            repo="mteb/cifar100",
            revision="ac5511f885f65fb75d31a9d8810a8440913f7721",
            parts=TRAIN_TEST,
            rows={"train": 50_000, "test": 10_000},
            size=0.16,
            image=("img", "image"),
            value=("fine_label", "label"),
            unsure=frozenset({"value"}),
        ),
    ),
    splits=OFFICIAL,
    licence="not stated; research use",
    citation="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    classes="cifar100",
)

DTD = Declaration(
    name="dtd",
    title="DTD",
    kind="labelled",
    source=Source(
        repo="tanganke/dtd",
        revision="d2afa97",
        parts=TRAIN_TEST,
        rows={"train": 3_760, "test": 1_880},
        size=0.63,
        value=("label",),
    ),
    fallbacks=(
        Source(
            repo="mteb/dtd",
            revision="96726183040de9e64a590d08eaac8de940dfcbdf",
            parts=TRAIN_TEST,
            rows={"train": 1_880, "test": 1_880},
            value=("label",),
            unsure=frozenset({"rows"}),
        ),
    ),
    splits=OFFICIAL,
    licence="research use",
    citation="Cimpoi et al., Describing Textures in the Wild, CVPR 2014",
    classes="dtd",
    notes=("partition 1; training is its train and validation lists together",),
)

EUROSAT = Declaration(
    name="eurosat",
    title="EuroSAT",
    kind="labelled",
    source=Source(
        repo="timm/eurosat-rgb",
        revision="b4e28552cd5f3932b6abc37eb20d3e84901ad728",
        parts=TRAIN_TEST,
        rows={"train": 16_200, "test": 5_400},
        size=0.08,
        value=("label",),
        key="image_id",
    ),
    fallbacks=(
        Source(
            repo="mteb/eurosat-rgb",
            revision="da02b77448e750b3b034e0b5da008167b9706571",
            parts=TRAIN_TEST,
            rows={"train": 16_200, "test": 5_400},
            value=("label",),
            unsure=frozenset({"rows"}),
        ),
    ),
    splits=OFFICIAL,
    licence="mit",
    citation="Helber et al., EuroSAT, JSTARS 2019",
    classes="eurosat",
)

FLOWERS102 = Declaration(
    name="flowers102",
    title="Flowers",
    kind="labelled",
    source=Source(
        repo="Donghyun99/Oxford-Flower-102",
        revision="06fcc9a",
        parts={
            "train": ("**/train-*.parquet",),
            "validation": ("**/val*-*.parquet",),
            "test": ("**/test-*.parquet",),
        },
        rows={"train": 1_020, "validation": 1_020, "test": 6_149},
        size=0.35,
        value=("label",),
        unsure=frozenset({"rows"}),
    ),
    fallbacks=(
        Source(
            repo="dpdl-benchmark/oxford_flowers102",
            revision="544b55c",
            parts={
                "train": ("**/train-*.parquet",),
                "validation": ("**/val*-*.parquet",),
                "test": ("**/test-*.parquet",),
            },
            rows={"train": 1_020, "validation": 1_020, "test": 6_149},
            size=3.35,
            value=("label",),
            unsure=frozenset({"rows", "value"}),
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
        revision="main",
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

MNIST = Declaration(
    name="mnist",
    title="MNIST",
    kind="labelled",
    source=Source(
        repo="ylecun/mnist",
        revision="main",
        parts=TRAIN_TEST,
        rows={"train": 60_000, "test": 10_000},
        size=0.02,
        value=("label",),
    ),
    fallbacks=(
        Source(
            repo="mteb/mnist",
            revision="cf6afcbae72cc3bb1fc07a9480fe0d8e0b615fcd",
            parts=TRAIN_TEST,
            rows={"train": 60_000, "test": 10_000},
            size=0.02,
            value=("label",),
        ),
    ),
    splits=OFFICIAL,
    licence="mit",
    citation="LeCun et al., Proceedings of the IEEE 1998",
    classes="mnist",
)

PETS = Declaration(
    name="oxford-pets",
    title="OxfordPet",
    kind="labelled",
    source=Source(
        repo="timm/oxford-iiit-pet",
        revision="0b061922a132175141736196aef1136ae3c64c35",
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
        revision="main",
        parts={"train": ("data/train-*.parquet",), "test": ("data/test-*.parquet",)},
        rows={"train": 8_144, "test": 8_041},
        size=2.0,
        value=("label",),
        unsure=frozenset({"size"}),
    ),
    fallbacks=(
        Source(
            repo="Donghyun99/Stanford-Cars",
            revision="9551c78",
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

SUN397 = Declaration(
    name="sun397",
    title="SUN397",
    kind="labelled",
    source=Source(
        repo="tanganke/sun397",
        revision="9c4afd6",
        parts=TRAIN_TEST,
        rows={"train": 19_850, "test": 19_850},
        size=18.0,
        value=("label",),
        unsure=frozenset({"size"}),
    ),
    splits=OFFICIAL,
    licence="research use",
    citation="Xiao et al., SUN database, CVPR 2010",
    classes="sun397",
    notes=("official partition 1",),
)

DATASETS = (
    AIRCRAFT, CALTECH101, CIFAR100, DTD, EUROSAT, FLOWERS102, FOOD101, MNIST, PETS, CARS, SUN397,
)  # fmt: skip
