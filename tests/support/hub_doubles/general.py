"""Doubles of the other labelled sets. Where each was read: README.md here."""

import runpy
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from .kinds import (
    IMAGE,
    LABELS,
    Row,
    Spec,
    Split,
    classes,
    label,
    labelled,
    number,
    text,
)

ONE = Split(1)
DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")


def _beside(package: str, *parts: str) -> Path:
    """A file of an installed package, which is not imported: that takes ten seconds."""
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent.joinpath(*parts)


# -- ImageNet ------------------------------------------------------------------------------------


def imagenet() -> tuple[list[str], list[str]]:
    """OpenAI's class names and templates, as the webdataset ships them."""
    known = runpy.run_path(str(_beside("open_clip", "zero_shot_metadata.py")))
    templates = [template("{c}") for template in known["OPENAI_IMAGENET_TEMPLATES"]]
    return list(known["IMAGENET_CLASSNAMES"]), templates


def wordnet() -> list[str]:
    """The lemmas of the thousand classes; where two are equal, the second has a number."""
    folder = _beside("timm", "data", "_info")
    lines = (folder / "imagenet_synset_to_lemma.txt").read_text().splitlines()
    lemmas = dict(line.split("\t", 1) for line in lines)
    names: list[str] = []
    for synset in (folder / "imagenet_synsets.txt").read_text().split():
        name = lemmas[synset].strip()
        names.append(f"{name}{names.count(name) + 1}" if name in names else name)
    return names


def imagenet_wds(revision: str, **splits: Split) -> Spec:
    names, templates = imagenet()
    return Spec(
        revision=revision,
        files="{split}/{i}.tar",
        columns={"jpg": IMAGE, "cls": number(lambda row: row.label)},
        splits=splits,
        classes=tuple(names),
        canonical=tuple(str(i) for i in range(1000)),
        extra={
            "classnames.txt": "\n".join(names).encode(),
            "zeroshot_classification_templates.txt": "\n".join(templates).encode(),
        },
    )


def imagenet_gated() -> Spec:
    names = tuple(wordnet())
    return Spec(
        revision="49e2ee26f3810fb5a7536bbf732a7b07389a47b5",
        columns={"image": IMAGE, "label": label(names)},
        splits={"train": Split(40, 2), "validation": Split(40, 2), "test": Split(40)},
        classes=names,
        canonical=tuple(str(i) for i in range(1000)),
        gated=True,
    )


# -- general -------------------------------------------------------------------------------------


def cifar100(revision: str, config: str, era: int) -> Spec:
    coarse = classes(LABELS["cifar100_coarse"], lambda row: row.label % 20)
    names = LABELS["cifar100"]  # class 26, the crab, is published as "cra"
    return labelled(
        "cifar100",
        {"train": Split(3), "test": Split(2)},
        revision=revision,
        files=("data" if config == "default" else config) + "/{split}-{i:05d}-of-{n:05d}.parquet",
        config=config,
        era=era,
        columns={"img": IMAGE, "fine_label": label(names), "coarse_label": coarse},
        image="png",
        size=(32, 32),
        card=("license: unknown",),
    )


def eurosat() -> Spec:
    names = LABELS["eurosat"]
    return labelled(
        "eurosat",
        {"train": Split(4), "validation": Split(2), "test": Split(3)},
        revision="b4e28552cd5f3932b6abc37eb20d3e84901ad728",
        columns={
            "image": IMAGE,
            "label": label(names),
            "image_id": text(lambda row: f"{names[row.label]}_{row.number}"),
        },
        size=(64, 64),
        card=("license: mit",),
    )


def eurosat_mteb() -> Spec:
    names = [  # as blanchon/EuroSAT_RGB spells them
        "Annual Crop", "Forest", "Herbaceous Vegetation", "Highway", "Industrial Buildings",
        "Pasture", "Permanent Crop", "Residential Buildings", "River", "SeaLake",
    ]  # fmt: skip
    return labelled(
        "eurosat",
        {"train": Split(2), "validation": ONE, "test": Split(2)},
        names,
        revision="da02b77448e750b3b034e0b5da008167b9706571",
        columns={
            "image": IMAGE, "label": label(names), "image_id": text(lambda row: str(row.number)),
        },
        size=(64, 64),
    )  # fmt: skip


def domain_of(row: Row) -> str:
    share = np.array([48, 53, 75, 172, 175, 70]) / 593  # uneven, so that a macro mean shows
    # One of each first: no domain may be missing
    return DOMAINS[row.index if row.index < 6 else int(row.rng.choice(6, p=share))]


def domainnet() -> Spec:
    names = LABELS["domainnet"]
    return labelled(
        "domainnet",
        {"train": Split(1, 3), "test": ONE},
        revision="ee20570ae7a29c51571e55a9a17983f7625295d6",
        columns={
            "image": IMAGE,
            "label": label(names),
            "domain": classes(DOMAINS, lambda row: DOMAINS.index(row.group)),
        },
        group=domain_of,
        card=("language:", "- en", "license: other", "pretty_name: DomainNet"),
    )


def domainnet_outdated() -> Spec:
    """Before the last two uploads: other columns, of which none is `label`."""
    names = LABELS["domainnet"]
    return labelled(
        "domainnet",
        {"test": ONE},
        revision="8f5b9a174c161881d17be113cce1d7fe946ccc52",
        columns={
            "image": IMAGE,
            "domain": text(lambda row: row.group),
            "category": text(lambda row: names[row.label]),
            "y": label(names),
        },
        group=domain_of,
    )


def mnist(revision: str, config: str) -> Spec:
    return labelled(
        "mnist",
        {"train": Split(6), "test": Split(4)},
        revision=revision,
        files=("data" if config == "default" else config) + "/{split}-{i:05d}-of-{n:05d}.parquet",
        config=config,
        image="png",
        size=(28, 28),
        mode="L",
        card=("license: mit",),
    )


def dtd_mteb() -> Spec:
    names = [name.replace("-", " ").title() for name in LABELS["dtd"]]  # not known
    return labelled(
        "dtd",
        {"train": Split(2, 2), "test": ONE},
        names,
        revision="96726183040de9e64a590d08eaac8de940dfcbdf",
    )


GENERAL: dict[str, Callable[[], Spec]] = {
    "clip-benchmark/wds_imagenet1k": lambda: imagenet_wds(
        "b24c7a5a3ef12df09089055d1795e2ce7c7e7397", train=Split(12, 3), test=Split(40, 7)
    ),
    "djghosh/wds_imagenet1k_test": lambda: imagenet_wds(
        "cd4497d301eab11097af2f80a08eec9374c87828", test=Split(40, 7)
    ),
    "ILSVRC/imagenet-1k": imagenet_gated,
    "wltjr1007/DomainNet": domainnet,
    "mteb/Caltech101": lambda: labelled(
        "caltech101",
        {"train": Split(3), "test": ONE},
        revision="011e51e5fb01f0c820824734edb7a539ab8e6650",
        card=("license: unknown",),
    ),
    "uoft-cs/cifar100": lambda: cifar100(
        "aadb3af77e9048adbea6b47c21a81e47dd092ae5", "cifar100", 2023
    ),
    "mteb/cifar100": lambda: cifar100("ac5511f885f65fb75d31a9d8810a8440913f7721", "default", 2025),
    "tanganke/dtd": lambda: labelled(
        "dtd",
        {"train": Split(4), "test": Split(2)},
        revision="d2afa97d9f335b1a6b3b09c637aef667f98f966e",
    ),
    "mteb/dtd": dtd_mteb,
    "timm/eurosat-rgb": eurosat,
    "mteb/eurosat-rgb": eurosat_mteb,
    "ylecun/mnist": lambda: mnist("77f3279092a1c1579b2250db8eafed0ad422088c", "mnist"),
    "mteb/mnist": lambda: mnist("cf6afcbae72cc3bb1fc07a9480fe0d8e0b615fcd", "default"),
    "tanganke/sun397": lambda: labelled(
        "sun397",
        {"train": Split(1, 3), "test": Split(1, 3)},
        revision="9c4afd6174afa3974f209a0ef099dbbe244dfd27",
    ),
}
OUTDATED: dict[str, Callable[[], Spec]] = {"wltjr1007/DomainNet": domainnet_outdated}
