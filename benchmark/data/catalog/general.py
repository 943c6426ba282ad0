"""Objects, textures, digits, land and scenes of X-TAIL and MTIL, in their splits on the hub.

The test images of MNIST and SUN397 are those of CoOp's split_zhou files; those of Caltech101, DTD
and EuroSAT are not (see `coop`).
"""

from ..published.declare import Declaration, Source, SplitRule, Whole

OFFICIAL: dict[str, SplitRule] = {"train": Whole(("train",)), "test": Whole(("test",))}
TRAIN_TEST = {"train": ("**/train-*.parquet",), "test": ("**/test-*.parquet",)}

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
    licence="cc-by-4.0 for the original; the hub's label of this copy is unknown",
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
        revision="aadb3af77e9048adbea6b47c21a81e47dd092ae5",
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
        ),
    ),
    splits=OFFICIAL,
    licence="unknown, as the hub's label says; research use",
    citation="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    classes="cifar100",
)

DTD = Declaration(
    name="dtd",
    title="DTD",
    kind="labelled",
    source=Source(
        repo="tanganke/dtd",
        revision="d2afa97d9f335b1a6b3b09c637aef667f98f966e",
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
            rows={"train": 3_760, "test": 1_880},
            value=("label",),
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
        size=0.07,
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
        ),
    ),
    splits=OFFICIAL,
    licence="mit",
    citation="Helber et al., EuroSAT, JSTARS 2019",
    classes="eurosat",
)

MNIST = Declaration(
    name="mnist",
    title="MNIST",
    kind="labelled",
    source=Source(
        repo="ylecun/mnist",
        revision="77f3279092a1c1579b2250db8eafed0ad422088c",
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

SUN397 = Declaration(
    name="sun397",
    title="SUN397",
    kind="labelled",
    source=Source(
        repo="tanganke/sun397",
        revision="9c4afd6174afa3974f209a0ef099dbbe244dfd27",
        parts=TRAIN_TEST,
        rows={"train": 19_850, "test": 19_850},
        size=14.6,
        value=("label",),
        unsure=frozenset({"size"}),
    ),
    splits=OFFICIAL,
    licence="research use",
    citation="Xiao et al., SUN database, CVPR 2010",
    classes="sun397",
    notes=("official partition 1",),
)

DATASETS = (CALTECH101, CIFAR100, DTD, EUROSAT, MNIST, SUN397)
