"""Names of the suites that come with the package, and the words that suites are declared in."""

from typing import Literal

SplitName = Literal["train", "test"]
ClassScope = Literal["own", "union"]
Kind = Literal["pairs", "labelled"]
Decay = Literal["matrices", "all"]
Templates = Literal["generic", "per-dataset", "first", "ensemble"]
CaptionSampling = Literal["random", "all"]
Crops = Literal["none", "random"]

EMBEDDED = ("mini", "mini-xtail", "mini-mtil", "mini-peft")
PUBLISHED = ("retrieval", "xtail", "xtail-coop", "mtil", "mtil-zscl", "peft")
# Suites that come or will come with the package, and the folder of unfinished work.
RESERVED = (*EMBEDDED, *PUBLISHED, "scratch")


def is_reserved(name: str) -> bool:
    """Whether a name is kept for suites of cl-bench, so that nobody's own may have it."""
    return name in RESERVED or name.startswith("mini")


def suite_names() -> tuple[str, ...]:
    """Names of the suites that come with the package."""
    return (*EMBEDDED, *PUBLISHED)
