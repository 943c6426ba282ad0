"""What is pinned of a suite's version: sets, counts, orders, data, and the untouched scores."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("pins")
FORM = 1
ZeroShotHits = Mapping[str, Mapping[str, list[int]]]
"""Set -> direction, or acc -> hits at every K, of one set of weights."""


@dataclass(frozen=True)
class PinnedSet:
    """One evaluation set.

    Attributes:
        title: head of its column. task: whether it is learned. optional: whether a run may lack it.
        kind: pairs or labelled. label_space: own, union, or None for pairs.
        images: of the test split. candidates: its captions, or the classes that compete.
        key: digest of what is right, see `AnswerKey.digest`.
    """

    title: str
    task: bool
    optional: bool
    kind: str
    label_space: str | None
    images: int
    candidates: int
    key: str

    def counts(self, direction: str | None) -> tuple[int, int]:
        """Queries and gallery of a direction, None for classes."""
        both = (self.images, self.candidates)
        return both[::-1] if direction == "t2i" else both


@dataclass(frozen=True)
class PinnedSuite:
    """All that records of a version of a suite must agree with.

    Attributes:
        suite, version: which.
        backbone, pretrained, templates, recipe, settings: what a run takes where nothing else is
            asked for.
        sets: name -> evaluation set. orders: name -> tasks as they are learned; where each task
            is learned alone, its name -> it, beside "forward", all of them.
        data: transform -> split ("train", "test") -> set -> fingerprint, and "reference".
        weights: "backbone pretrained" -> sha256 of these weights.
        zero_shot: sha256 of weights -> hits of the untouched backbone.
    """

    suite: str
    version: str
    backbone: str
    pretrained: str
    templates: str | None
    recipe: Mapping[str, Any]
    sets: Mapping[str, PinnedSet]
    orders: Mapping[str, list[str]]
    data: Mapping[str, Mapping[str, Any]]
    weights: Mapping[str, str]
    zero_shot: Mapping[str, ZeroShotHits]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> list[str]:
        """The tasks in forward order."""
        return list(self.orders["forward"])

    def text(self) -> str:
        """The file that holds it."""
        return json.dumps({"form": FORM, **asdict(self)}, indent=1, ensure_ascii=False) + "\n"


def pins_file(suite: str) -> Path:
    """Where the pins of a suite are."""
    return FOLDER / f"{suite}.json"


def parsed_pins(text: str) -> PinnedSuite:
    """Read what `PinnedSuite.text` wrote; ValueError, KeyError or TypeError for another text."""
    data = json.loads(text)
    if data.pop("form") != FORM:
        raise ValueError("another form")
    sets = {name: PinnedSet(**one) for name, one in data["sets"].items()}
    return PinnedSuite(**{**data, "sets": sets})


@cache
def pinned() -> Mapping[str, PinnedSuite]:
    """Suite -> its pins, of all suites that have some."""
    found = (
        parsed_pins(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))
    )
    return {one.suite: one for one in found}
