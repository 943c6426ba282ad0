"""Which tables there are and what is in them, as data; and how rows are ordered."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Literal

DIRECTIONS = (("t2i", "T→I"), ("i2t", "I→T"))
ARROWS = dict(DIRECTIONS)
AVERAGE, HELD_OUT = "average", "ood"
"""Names of means over sets: the learned image-caption sets, and the held-out ones."""
UPPER_BOUND = "joint"
LOW_RANK, PRUNED = "lora", "codyra"  # what studies of updates compare
GAMMA = "γ"  # noqa: RUF001 - the paper's letter for the margin
PAPER_PRETRAINED = "openai"
PAPER_BACKBONES = ("ViT-B-32-quickgelu", "ViT-B-16-quickgelu", "ViT-L-14-quickgelu")
# Backbones are columns from small to large; those that are not here follow by name.
BACKBONE_ORDER = (*PAPER_BACKBONES, "tiny-s", "tiny-b")
# The order of the rows in the paper's tables.
METHOD_ORDER = ("zs", "ft", "ewc", "mod-x", "c-clip", "l2p", "dkr", "ta", "dar")
ZERO_SHOT = METHOD_ORDER[0]
# Those of the CoDyRA paper follow, in its order.
FEW_SHOT_ORDER = (
    "lwf", "lwf-vr", "wise-ft", "icarl", "zscl", "moe-adapter", "rail-primal",
    "codyra-rail-primal", "rail-dual", "codyra-rail-dual", "lora", "codyra", "codyra-plus",
)  # fmt: skip
ABLATED = "dar"  # its variants were made for Tables 3 to 6
EXTRA_ROWS: Mapping[str, str] = {"dar.r8": "dar", "codyra.released": "codyra"}
"""Rows of a paper's own run or code that differ from the other rows in more than a table compares,
and the row that they are held against. Tables mark them, and they are never the best."""
_TOLD = frozenset({"task id", "test pairing", "test batch"})
TITLES = {
    "flickr30k": "Flickr",
    "lexica-sd": "Lexica",
    "wikiart": "WikiArt",
    "kream": "KreaM",
    "flintstones": "Flints",
    "sketch": "Sketch",
    "rocov2": "ROCOv2",
    AVERAGE: "Avg.",
    HELD_OUT: "Avg.",
    "imagenet": "ImageNet",
    "cifar100": "CIFAR100",
    "eurosat": "EuroSAT",
    "domainnet": "DomainNet",
    "coco": "COCO2014",
    "nocaps": "NoCaps",
    "aircraft": "Aircraft",
    "caltech101": "Caltech101",
    "dtd": "DTD",
    "flowers102": "Flowers",
    "food101": "Food",
    "mnist": "MNIST",
    "oxford-pets": "OxfordPet",
    "stanford-cars": "Cars",
    "sun397": "SUN397",
    "places365": "Places365",
}


@dataclass(frozen=True)
class Family:
    """Held-out sets whose mean a table shows as one set.

    Attributes:
        title: of the mean.
        members: dataset names; a run that lacks one shows the others as sets of their own.
    """

    title: str
    members: tuple[str, ...]


_DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")
FAMILIES: Mapping[str, Family] = {
    "domainnet": Family(TITLES["domainnet"], tuple(f"domainnet-{domain}" for domain in _DOMAINS)),
}


@dataclass(frozen=True)
class RowSpec:
    """A row that a table names.

    Attributes:
        name: as the paper prints it; in our words where the paper has no such row. Where a table
            has several text columns, their texts, separated by a comma.
        label: our method, with its variant.
        printed: whether the paper has it.
    """

    name: str
    label: str
    printed: bool = False


ColumnKind = Literal[
    "tasks",
    "backbones",
    "average",
    "margin",
    "stages",
    "lifelong",
    "summary",
    "unseen",
    "tuning",
    "cost",
]
World = Literal["pairs", "union", "own"]
"""What the learned sets of a run are: images with captions, or labelled sets whose test images are
classified among the classes of all tasks, or of their own."""
Paper = Literal["dar", "codyra"]
PAPERS: Mapping[Paper, str] = {"dar": "DAR", "codyra": "CoDyRA"}


@dataclass(frozen=True)
class TableSpec:
    """One table of the paper.

    Attributes:
        number: its number in the paper.
        title: what it shows.
        columns: `tasks`: every learned set, then their average; `backbones`: the average on every
            backbone; `average`: the average alone; `margin`: the average on learned and on held-out
            sets; `stages`: one held-out set after every task; `lifelong`: Transfer, Average and
            Last of every learned set; `summary`: their means over sets; `unseen`: held-out sets,
            mean over all steps; `tuning`: one task just after it, and what is kept of it;
            `cost`: parameters and memory.
        k: the K of Recall@K; None for accuracy.
        order: of the tasks, as named in records; '' for tasks that are learned alone.
        rows: `all` methods; the `named` ones, which are those of the paper and `more`; or these and
            those that ran on several backbones (`shared`).
        more: rows that the paper does not have.
        stubs: heads of the text columns before the method's.
        held_out: for stages, the name of the paper's set; its kind follows from k.
        paper: whose table it is.
        suites: those of the paper's numbers.
        world: of the runs that it shows; None for all.
        backbones: of the runs that it shows; none for all.
        pretrained: weights that the paper's numbers may be those of.
    """

    number: int
    title: str
    columns: ColumnKind
    k: int | None = 1
    order: str = "forward"
    rows: Literal["all", "named", "shared"] = "all"
    more: tuple[RowSpec, ...] = ()
    stubs: tuple[str, ...] = ()
    held_out: str = ""
    paper: Paper = "dar"
    suites: tuple[str, ...] = ("retrieval",)
    world: World | None = None
    backbones: tuple[str, ...] = ()
    pretrained: tuple[str, ...] = (PAPER_PRETRAINED,)

    @property
    def name(self) -> str:
        """What it is called beside the tables of other papers; the DAR paper's have no prefix."""
        return f"{'' if self.paper == 'dar' else f'{PAPERS[self.paper]} '}Table {self.number}"

    @property
    def stem(self) -> str:
        """Name of its files, without suffix."""
        return f"{'' if self.paper == 'dar' else f'{self.paper}-'}table-{self.number}"

    @property
    def kind(self) -> str:
        """The kind of the sets whose scores it shows, as in records."""
        return "labelled" if self.k is None else "pairs"


_END = "at the end of continual training"
_STAGES = "after every stage, forward order:"
TABLES = (
    TableSpec(1, f"Recall@1 {_END}, forward order", "tasks"),
    TableSpec(
        2, f"Backbones: average Recall@1 {_END}, forward order", "backbones", rows="shared",
        more=(RowSpec("DAR", "dar"),),
    ),
    TableSpec(
        3, f"Rank of the adapters: average Recall@1 {_END}, forward order", "average", rows="named",
        more=(RowSpec("DAR - LoRA (r=8)", "dar.rank8"),),
    ),
    TableSpec(
        4, f"Routing to adapters: average Recall@1 {_END}, forward order", "average", rows="named",
        more=(
            RowSpec("DAR: Image+Text (avg)", "dar"),
            RowSpec("By the item's own modality", "dar.route-modality"),
            RowSpec("By the test pair", "dar.route-pair"),
        ),
    ),
    TableSpec(
        5, f"Merging of adapters: average Recall@1 {_END}, forward order", "average", rows="named",
        more=(
            RowSpec("CoreSpace", "dar"),
            RowSpec("CoreSpace, ISO-C", "dar.merge-core-iso-c"),
            RowSpec("CoreSpace, TSV", "dar.merge-core-tsv"),
            RowSpec("CoreSpace, TSV, isotropic", "dar.merge-core-tsv-iso"),
            RowSpec("CoreSpace, DARE-TIES", "dar.merge-core-dare-ties"),
        ),
    ),
    TableSpec(
        6, f"Adapters in a merge (k) and margin ({GAMMA}): average Recall@1 at the end on learned "
        "(ID) and held-out (OOD) image-caption sets, forward order", "margin", rows="named",
        more=(RowSpec("2, 0.05", "dar"),), stubs=("k", GAMMA),
    ),
    TableSpec(7, f"Recall@5 {_END}, forward order", "tasks", k=5),
    TableSpec(8, f"Recall@1 {_END}, reverse order", "tasks", order="reverse"),
    *(
        TableSpec(
            number, f"Zero-shot accuracy {_STAGES} {TITLES[name]} in the paper", "stages",
            k=None, held_out=name,
        )
        for number, name in enumerate(("imagenet", "cifar100", "eurosat", "domainnet"), start=9)
    ),
    *(
        TableSpec(
            number, f"Zero-shot Recall@1 {_STAGES} {TITLES[name]} in the paper", "stages",
            held_out=name,
        )
        for number, name in enumerate(("coco", "nocaps"), start=13)
    ),
)  # fmt: skip

_XTAIL, _MTIL = ("xtail", "xtail-coop"), ("mtil", "mtil-zscl")
_FEW_SHOT = "Transfer, Average and Last, order I"
FEW_SHOT_TABLES = (
    TableSpec(
        1, f"X-TAIL: {_FEW_SHOT}", "lifelong", k=None, paper="codyra", suites=_XTAIL, world="union"
    ),
    TableSpec(
        2, f"MTIL: {_FEW_SHOT}", "lifelong", k=None, paper="codyra", suites=_MTIL, world="own"
    ),
    TableSpec(
        3, "Cost: parameters, memory and time, order I", "cost", k=None, paper="codyra",
        suites=_XTAIL,
    ),
    TableSpec(
        4, "Held-out sets: zero-shot accuracy, mean over all steps, order I", "unseen", k=None,
        paper="codyra", suites=_XTAIL, world="union",
    ),
    TableSpec(
        5, "Regression beside the classifier: means of Transfer, Average and Last, order I",
        "summary", k=None, rows="named", paper="codyra", suites=_XTAIL, world="union",
        more=(
            RowSpec("CoDyRA + RAIL-Primal, features rebuilt", "codyra-rail-primal.rebuilt"),
            RowSpec("CoDyRA + RAIL-Dual, features rebuilt", "codyra-rail-dual.rebuilt"),
        ),
    ),
    TableSpec(
        6, "BLIP as the backbone: means of Transfer, Average and Last, order I", "summary", k=None,
        rows="named", paper="codyra", suites=_XTAIL, world="union", backbones=("blip-base",),
        pretrained=("itm-coco", "itm-flickr"),
    ),
    TableSpec(
        7, "One task alone, 16 shots: accuracy, and parameters that are left", "tuning", k=None,
        order="", rows="named", paper="codyra", suites=("peft",), world="own",
    ),
)  # fmt: skip
ALL_TABLES = (*TABLES, *FEW_SHOT_TABLES)


def told(uses: Set[str], known: bool) -> frozenset[str]:
    """The badges of a row that say it was told what no method may know about a test item.

    Such a row can't be the best of a column, and has no rank.

    Args:
        uses: its badges.
        known: whether the task is known to all rows: each set is scored among its own classes.
    """
    return frozenset(uses & (_TOLD - {"task id"} if known else _TOLD))


def is_ablation(method: str, variant: str) -> bool:
    """Whether a row belongs to the ablations (Tables 2 to 6) and not among the methods."""
    return method == ABLATED and variant != ""


def row_key(method: str, variant: str, settings: str) -> tuple[int, str, str, str]:
    """Sort key of rows: the papers' methods in their order, then the others; variants follow."""
    order = (*METHOD_ORDER, *FEW_SHOT_ORDER)
    known = order.index(method) if method in order else len(order)
    return known, method, variant, settings


def backbone_key(backbone: str) -> tuple[int, str]:
    """Sort key of backbones, see `BACKBONE_ORDER`."""
    known = BACKBONE_ORDER.index(backbone) if backbone in BACKBONE_ORDER else len(BACKBONE_ORDER)
    return known, backbone
