"""The suites of published data: `retrieval` (DAR), and those of CoDyRA.

`xtail`, `mtil` and `peft` have the splits on the hub; `xtail-coop` and `mtil-zscl` the papers' own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.origins import Origin
from .names import SplitName, Templates
from .suite import Dataset, Recipe, Suite

if TYPE_CHECKING:
    from ..data.published.declare import SplitRule
    from ..data.split import Split

BACKBONE, PRETRAINED = "ViT-B-16-quickgelu", "openai"
# Of all of them; at 1.0 their recipes said nothing of the precision, at 1.1 of what weight decay
# falls on, and MTIL's prompts were ensembles.
VERSION = "1.2"
SHOTS_SEED = 42  # RAIL's; fixed, so that all seeds of a run train on the same images

RETRIEVAL = ("flickr30k", "lexica-sd", "wikiart", "kream", "flintstones", "sketch", "rocov2")
XTAIL = (
    "aircraft", "caltech101", "dtd", "eurosat", "flowers102", "food101", "mnist", "oxford-pets",
    "stanford-cars", "sun397",
)  # fmt: skip
MTIL = (*XTAIL[:2], "cifar100", *XTAIL[2:])
# Order II of X-TAIL is LADA's (ICML 2025, from a replication of it), of MTIL ZSCL's and DIKI's.
XTAIL_II = (
    "stanford-cars", "aircraft", "oxford-pets", "food101", "sun397", "mnist", "flowers102", "dtd",
    "caltech101", "eurosat",
)  # fmt: skip
MTIL_II = (
    "stanford-cars", "food101", "mnist", "oxford-pets", "flowers102", "sun397", "aircraft",
    "caltech101", "dtd", "eurosat", "cifar100",
)  # fmt: skip
# CoDyRA's Table 7: each of these alone.
PEFT = ("caltech101", "stanford-cars", "oxford-pets")

# DAR, Section 4.1: AdamW, 1e-4, batch 256, 20 epochs; decay, 5 warm-up epochs and the cosine are in
# the arXiv version.
_DAR = Recipe(
    epochs=20, batch_size=256, lr=1e-4, lr_added=1e-4, weight_decay=0.2, warmup=0.25,
    precision="bf16",
)  # fmt: skip
# CoDyRA, official code: 500 steps of 64 images, 5e-4 for what is added. 1e-5 for pretrained weights
# is ZSCL's (Thunderbeee/ZSCL, mtil/scripts). Crops are those of all official scripts.
_CODYRA = Recipe(
    epochs=1, steps=500, batch_size=64, lr=1e-5, lr_added=5e-4, weight_decay=0.0, warmup=0.0,
    precision="bf16", crops="random",
)  # fmt: skip


@dataclass(frozen=True)
class Location:
    """Where a suite's data are, and how they are prompted.

    Attributes:
        root: the cache folder; None for the default one.
        side: the image side, None for any. The rows of a set do not depend on the side, unless
            one side was prepared from a copy.
        templates: set of prompts of few-shot suites; None for the suite's default.
    """

    root: Path | None = None
    side: int | None = None
    templates: Templates | None = None


def _load(
    split: SplitName,
    *,
    at: "Location",
    declared: str,
    rules: "dict[str, SplitRule]",
    names: str | None,
    templates: tuple[str, ...],
    name: str,
) -> "Split":
    from ..common.files import cache_root
    from ..data.catalog import declaration
    from ..data.published.load import load_split

    rule = rules[split]
    root, side = cache_root(at.root), at.side
    return load_split(root, declaration(declared), rule, names, templates, name=name, side=side)


def _dataset(
    declared: str,
    at: Location,
    rules: "dict[str, SplitRule] | None" = None,
    names: str | None = None,
    templates: tuple[str, ...] = (),
    name: str | None = None,
    title: str | None = None,
    optional: bool = False,
) -> Dataset:
    from ..data.catalog import declaration
    from ..data.published.declare import Shots

    about = declaration(declared)
    chosen = dict(rules or about.splits)
    shots = rule if isinstance(rule := chosen.get("train"), Shots) else None
    load = partial(
        _load, at=at, declared=declared, rules=chosen, names=names,
        templates=templates, name=name or declared,
    )  # fmt: skip
    return Dataset(
        name or declared, title or about.title, load, about.licence, about.citation,
        needs=declared, optional=optional, kind=about.kind,
        test_images=_expected(chosen.get("test"), about.source.rows), shots=shots,
    )  # fmt: skip


def _expected(rule: "SplitRule | None", rows: Mapping[str, int]) -> int | None:
    """Rows of a split as declared; None where the declaration does not say how many."""
    from ..data.published.declare import Fraction, Whole

    if isinstance(rule, Whole) and rule.group is None and rows.keys() >= set(rule.parts):
        return sum(rows[part] for part in rule.parts)
    if isinstance(rule, Fraction) and rule.part in rows:
        n_test = ceil(rule.test * rows[rule.part])
        return n_test if rule.side == "test" else rows[rule.part] - n_test
    return None


def retrieval(at: Location) -> Suite:
    """Continual image-text retrieval; `at` says where its data are."""
    from ..data.catalog.held_out import DOMAINS
    from ..data.catalog.templates import OOD
    from ..data.published.declare import Whole

    labelled = [
        _dataset(name, at, names="ood", templates=OOD[name])
        for name in ("imagenet", "cifar100", "eurosat")
    ]
    domains = [
        _dataset(
            "domainnet",
            at,
            {"test": Whole(("test",), group=domain)},
            names="ood",
            templates=OOD["domainnet"],
            name=f"domainnet-{domain}",
            title=f"DomainNet {domain}",
        )
        for domain in DOMAINS
    ]
    captioned = [_dataset(name, at) for name in ("coco", "nocaps")]
    return Suite(
        name="retrieval",
        version=VERSION,
        tasks=tuple(_dataset(name, at) for name in RETRIEVAL),
        held_out=(*labelled, *domains, *captioned),
        backbone=BACKBONE,
        pretrained=PRETRAINED,
        recipe=_DAR,
        class_scope="own",
        about="seven image-text datasets of the DAR paper and its held-out sets",
    )


def _held_out(at: Location, names: tuple[str, ...]) -> tuple[Dataset, ...]:
    from ..data.catalog.templates import GENERIC

    return tuple(
        _dataset(name, at, names="ood", templates=GENERIC, optional=name == "places365")
        for name in names
    )


def _reference(at: Location) -> Dataset:
    """COCO's 5,000 test images with their captions, which no task and no held-out set has.

    ZSCL's own are ImageNet's training images and Conceptual Captions, 150 GB; ImageNet is held out
    here.
    """
    from ..data.catalog import declaration

    rules = {"train": declaration("coco").splits["test"]}
    return _dataset("coco", at, rules, name="reference", title="Reference (COCO)")


def _few_shot(
    protocol: str, task: str, k: int, at: Location, templates: tuple[str, ...], own: str,
    names: str = "",
) -> Dataset:  # fmt: skip
    """One task; without a training image to spare, validation images are shots too.

    `own` ends the names of sets in a paper's own splits; of others the test images are the hub's.
    """
    from ..data.catalog import CATALOG, declaration
    from ..data.published.declare import Shots, SplitRule

    declared = one if (one := f"{task}{own}") in CATALOG else task
    about = declaration(declared)
    parts: tuple[str, ...] = ("train",)
    if task == "flowers102" and k > 10 and declared == task:
        parts = ("train", "validation")
    rules: dict[str, SplitRule] = {
        "train": Shots(protocol, parts, k, SHOTS_SEED),
        "test": about.splits["test"],
    }
    names = names or protocol
    return _dataset(declared, at, rules, names, templates, name=task, title=about.title)


def xtail(at: Location, coop: bool = False) -> Suite:
    """X-TAIL, 16 shots; on CoOp's own splits with `coop`."""
    from ..data.catalog.templates import SETS

    chosen = at.templates or "per-dataset"  # as CoDyRA
    splits = "CoOp's splits, from files that you give" if coop else "the splits on the hub"
    own = "-coop" if coop else ""
    return Suite(
        name="xtail-coop" if coop else "xtail",
        version=VERSION,
        tasks=tuple(_few_shot("xtail", t, 16, at, SETS[chosen][t], own) for t in XTAIL),
        held_out=_held_out(at, ("cifar100", "imagenet", "places365")),
        backbone=BACKBONE,
        pretrained=PRETRAINED,
        recipe=_CODYRA,
        class_scope="union",
        about=f"ten labelled datasets, 16 shots, 1,100 classes compete; {splits}",
        reference=_reference(at),
        templates=chosen,
        order_ii=XTAIL_II,
    )


def mtil(at: Location, zscl: bool = False) -> Suite:
    """MTIL, 5 shots, each test image among its own dataset's classes; ZSCL's splits with `zscl`."""
    from ..data.catalog.templates import SETS

    chosen = at.templates or "first"  # of ZSCL's, as CoDyRA's lab tests MTIL
    splits = "ZSCL's splits, from files that you give" if zscl else "the splits on the hub"
    own = "-zscl" if zscl else ""
    return Suite(
        name="mtil-zscl" if zscl else "mtil",
        version=VERSION,
        tasks=tuple(_few_shot("mtil", t, 5, at, SETS[chosen][t], own) for t in MTIL),
        held_out=_held_out(at, ("imagenet", "places365")),
        backbone=BACKBONE,
        pretrained=PRETRAINED,
        recipe=_CODYRA,
        class_scope="own",
        about=f"eleven labelled datasets, 5 shots, the task is known; {splits}",
        reference=_reference(at),
        templates=chosen,
        order_ii=MTIL_II,
        settings={"dense": 0.7},
        origins={"dense": Origin("CoDyRA, section 4.1, for MTIL")},
    )


def peft(at: Location) -> Suite:
    """16 shots of three sets, each learned alone: names of classes and test sets are MTIL's."""
    from ..data.catalog.templates import SETS

    chosen = at.templates or "first"
    tasks = (_few_shot("peft", t, 16, at, SETS[chosen][t], "", names="mtil") for t in PEFT)
    return Suite(
        name="peft",
        version="1.0",
        tasks=tuple(tasks),
        held_out=(),
        backbone=BACKBONE,
        pretrained=PRETRAINED,
        recipe=_CODYRA,
        class_scope="own",
        about="three labelled datasets, 16 shots, each learned alone (-o caltech101)",
        reference=_reference(at),
        templates=chosen,
        alone=True,
    )


BUILDERS: dict[str, Callable[[Location], Suite]] = {
    "retrieval": retrieval,
    "xtail": xtail,
    "xtail-coop": partial(xtail, coop=True),
    "mtil": mtil,
    "mtil-zscl": partial(mtil, zscl=True),
    "peft": peft,
}
