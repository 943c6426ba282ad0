"""Zero-shot scores beside published ones, and in what the two are known to differ. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from ...run.request import Plan
from ...tables.paper.zero_shot import PublishedScore, published_zero_shot
from ...tables.spec import FAMILIES, PAPER_PRETRAINED

if TYPE_CHECKING:
    from ...run.zero_shot import ZeroShot

KINDS = {"t2i": "T→I R@1", "i2t": "I→T R@1", "acc": "accuracy"}
OFF = 2.0  # points; more is not a matter of decoders or rounding
# Where metric, test images, classes or prompts are known to differ. Published figures of one model
# differ by as much for these reasons alone: ViT-B-16 has 51.4 (open_clip) and 59.4 (CoDyRA) on
# MNIST, and on Caltech101 89.0 as mean over classes and 82.5 over images (CLIP_benchmark).
OFF_LOOSE = 8.0
# Among so many times the classes, a score is another one and no comparison.
OTHER_TASK = 2.0


@dataclass(frozen=True)
class Comparison:
    """One published score beside ours.

    Attributes:
        published: the score. gap: ours minus it, in points.
        differs: in what the two are known to differ, in words.
        comparable: whether it is the same task at all.
    """

    published: PublishedScore
    gap: float
    differs: tuple[str, ...]
    comparable: bool

    @property
    def tolerance(self) -> float:
        """Points that the two may differ by."""
        return OFF_LOOSE if self.differs else OFF


@dataclass(frozen=True)
class ComparedSet:
    """One set, or the mean over a family of sets.

    Attributes:
        name, title: of it. held_out: whether it is no task.
        images: of the test split. candidates: captions, or classes that compete.
        ours: kind of score -> percent.
        published: kind -> published scores beside it.
        copy: the source, where the data are not the declared one's; nothing is beside it then.
    """

    name: str
    title: str
    held_out: bool
    images: int
    candidates: int
    ours: Mapping[str, float]
    published: Mapping[str, tuple[Comparison, ...]]
    copy: str = ""

    @property
    def labelled(self) -> bool:
        """Whether it has labels, and no captions."""
        return "acc" in self.ours

    def nearest(self, kind: str) -> Comparison | None:
        """The comparison that is judged: of those with the fewest known differences the nearest."""
        beside = [one for one in self.published.get(kind, ()) if one.comparable]
        return min(beside, key=lambda one: (bool(one.differs), abs(one.gap)), default=None)

    def gaps(self) -> dict[str, Comparison]:
        """Kind of score -> what is judged."""
        found = ((kind, self.nearest(kind)) for kind in self.ours)
        return {kind: one for kind, one in found if one is not None}


def compare(plan: Plan, measured: "Mapping[str, ZeroShot]") -> list[ComparedSet]:
    """Every set of a plan's suite that was measured, tasks in forward order first.

    Args:
        plan: suite, backbone and weights.
        measured: see `run.zero_shot.measure_sets`.
    """
    printed: list[PublishedScore] = []
    if plan.pretrained == PAPER_PRETRAINED and plan.request.limit is None:
        printed = published_zero_shot(plan.suite.name, plan.backbone)
    sources = copies(plan)
    needs = {d.name: d.needs for d in plan.suite.datasets}
    left, found = dict(measured), []
    for name in measured:
        family = next((f for f in FAMILIES if name in FAMILIES[f].members), "")
        members = FAMILIES[family].members if family else ()
        if members and set(members) <= left.keys():
            title = f"{FAMILIES[family].title}, mean of {len(members)}"
            parts = [left.pop(member) for member in members]
            copy = sources.get(family, "")
            found.append(_set(family, title, parts, printed, copy))
        if name in left:
            copy = sources.get(needs.get(name) or name, "")
            found.append(_set(name, left[name].title, [left.pop(name)], printed, copy))
    return found


def copies(plan: Plan) -> dict[str, str]:
    """Dataset -> source, where it is not the declared one."""
    sources = {k: v for k, v in plan.settings.items() if k.startswith("source.")}
    return {k.removeprefix("source."): v for k, v in sources.items()}


def _set(
    name: str, title: str, parts: "Sequence[ZeroShot]", printed: Sequence[PublishedScore], copy: str
) -> ComparedSet:
    first = parts[0]
    ours = {kind: fmean(p.scores[kind] for p in parts) for kind in KINDS if kind in first.scores}
    images = sum(part.images for part in parts)
    published = {
        kind: tuple(
            _compared(one, ours[kind], first, images)
            for one in printed
            if (one.dataset, one.direction) == (name, kind) and not copy
        )
        for kind in ours
    }
    candidates = first.candidates
    return ComparedSet(
        name, title, first.held_out, images, candidates, ours, published, copy
    )  # fmt: skip


def _compared(one: PublishedScore, ours: float, at: "ZeroShot", images: int) -> Comparison:
    facts, differs = one.facts, []
    comparable = True
    if facts.images not in (None, images):
        differs.append(f"{facts.images:,} test images there, {images:,} here")
    if facts.metric not in (None, "top-1"):
        differs.append(f"{facts.metric} there, top-1 here")
    if facts.classes not in (None, at.candidates):
        assert facts.classes is not None
        differs.append(f"{facts.classes:,} classes there, {at.candidates:,} here")
        ratio = at.candidates / facts.classes
        comparable = 1 / OTHER_TASK < ratio < OTHER_TASK
    if facts.templates is not None and at.templates:
        if facts.templates != len(at.templates):
            differs.append(f"{_prompts(facts.templates)} there, {len(at.templates)} here")
        elif facts.first != at.templates[0]:
            differs.append(f"'{facts.first}' there, '{at.templates[0]}' here")
    return Comparison(one, ours - one.value, tuple(differs), comparable)


def _prompts(count: int) -> str:
    return f"{count} prompt{'s' * (count > 1)} a class"
