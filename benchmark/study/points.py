"""The studies that are no whole runs: placement, removal, amplification. All on test data.

Lu et al., Adaptive Rank, Reduced Forgetting (CoDyRA), section 3.2, Figure 4, and appendix B.2,
Figure 9. Nothing is chosen by what they find.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from ..backbones.sites import MAPS, TOWERS, shortest
from ..common.report import Report
from ..errors import BenchError, nearest
from ..run.request import Plan, Request
from ..suites.find import find_suite
from ..suites.suite import Dataset, Suite
from .amplification import amplification
from .desk import Desk, Keeping, plan_of
from .learn import LearnedAlone, learn, scored_set

PARTS = {
    "attention": tuple(name for name in MAPS if name.startswith("attn.")),
    "mlp": tuple(name for name in MAPS if name.startswith("mlp.")),
    "all": MAPS,
}
"""Part of a block -> its linear maps."""
BOTH = "both"
EVERY, NONE = "every map", "no map"


@dataclass(frozen=True)
class Study:
    """What the studies of one call have in common.

    Attributes:
        request: suite, backbone and the like; its method and settings are those of every point.
        seeds: of the points, one after the other.
        place: where they are kept.
        report: what the user sees.
    """

    request: Request
    seeds: Sequence[int]
    place: Keeping
    report: Report

    @property
    def suite(self) -> Suite:
        """As declared."""
        return find_suite(self.request.suite, self.request.cache_dir)

    def task(self, name: str | None) -> Dataset:
        """The task of that name, the first one for None; BenchError for another name."""
        return _named(self.suite.tasks, name, "--task", self.suite)

    def reference(self, name: str | None) -> Dataset:
        """The held-out set of that name, the first with labels for None; BenchError for another."""
        labelled = [d for d in self.suite.held_out if d.kind != "pairs"]
        return _named(labelled, name, "--reference", self.suite)

    def plan(self, task: str, seed: int, method: str = "", *hp: str) -> Plan:
        """Of one point."""
        asked = replace(
            self.request, method=method or self.request.method, seed=seed,
            hp=(*self.request.hp, *hp),
        )  # fmt: skip
        return plan_of(asked, task)


def _named(sets: Sequence[Dataset], name: str | None, flag: str, suite: Suite) -> Dataset:
    names = {d.name: d for d in sets}
    if name is None and sets:
        return sets[0]
    if name is None or name not in names:
        what = f"{flag} with a labelled set of '{suite.name}'"
        got = "none there" if name is None else f"'{name}'"
        raise BenchError(f"{what} ({', '.join(names) or 'none'})", got, nearest(name or "", names))
    return names[name]


def targets(tower: str, part: str) -> str:
    """The maps of a part of blocks, of one tower or of `BOTH`, as `--hp targets` takes them."""
    own = PARTS[part]
    named = own if tower == BOTH else tuple(f"{tower}.{name}" for name in own)
    return ",".join(shortest(named))


def rank_settings(plan: Plan, rank: int) -> list[str]:
    """A rank, with a scale alpha / rank as it was, so that nothing else changes."""
    config: Any = plan.method.config
    if not hasattr(config, "rank"):
        raise BenchError("a method with a rank", plan.method.name, "choose another --method")
    scale = [f"alpha={config.alpha * rank / config.rank!r}"] if hasattr(config, "alpha") else []
    return [f"rank={rank}", *scale]


def placement(study: Study, task: str | None, reference: str | None, ranks: Sequence[int]) -> Path:
    """Towers x parts of blocks x ranks: the new task against a reference set (Figure 4a).

    Returns:
        The file of the points: accuracy of the untouched model, and at every place.
    """
    new, old = study.task(task), study.reference(reference)
    base = study.plan(new.name, study.seeds[0])
    asked = {"method": study.request.method, "task": new.name, "reference": old.name}
    desk = Desk("placement", [base], asked, study.place, study.report)
    places = list(product((*TOWERS, BOTH), PARTS, ranks))
    with study.report.phase("placement", len(places) * len(study.seeds), "points") as advance:
        for seed, (tower, part, rank) in product(study.seeds, places):
            at = {"tower": tower, "part": part, "rank": rank, "seed": seed}
            if desk.missing(at):
                chosen = rank_settings(base, rank)
                plan = study.plan(new.name, seed, "", f"targets={targets(tower, part)}", *chosen)
                learned = learn(plan, study.report)
                found = _scores(learned, plan, new, old)
                desk.keep(at, found, learned.ground.clip.fingerprint)
            advance(1)
        _untouched(study, desk, base, new, old)
    return desk.path


def _scores(learned: LearnedAlone, plan: Plan, new: Dataset, old: Dataset) -> dict[str, Any]:
    sets = {"task": new, "reference": old}
    return {
        name: learned.score(scored_set(learned.ground, dataset, plan))
        for name, dataset in sets.items()
    }


def _untouched(study: Study, desk: Desk, plan: Plan, new: Dataset, old: Dataset) -> None:
    """The pretrained model on both sets, once: no seed changes it."""
    at = {"untouched": True, "seed": None}
    if desk.missing(at):
        learned = learn(plan, study.report)
        _restore(learned, learned.start)
        found = _scores(learned, plan, new, old)
        desk.keep(at, found, learned.ground.clip.fingerprint)


def removal(study: Study, task: str | None, reference: str | None) -> Path:
    """All maps learned, then each tower's update of one map taken out, and kept alone (Figure 4b).

    Returns:
        The file of the points: the same two accuracies as in `placement`.
    """
    new, old = study.task(task), study.reference(reference)
    base = study.plan(new.name, study.seeds[0])
    asked = {"method": study.request.method, "task": new.name, "reference": old.name}
    desk = Desk("removal", [base], asked, study.place, study.report)
    places = list(_groups())
    with study.report.phase("removal", len(places) * len(study.seeds), "points") as advance:
        for seed in study.seeds:
            todo = [(at | {"seed": seed}, gone) for at, gone in places]
            todo = [one for one in todo if desk.missing(one[0])]
            advance(len(places) - len(todo))
            if not todo:
                continue
            plan = study.plan(new.name, seed)
            learned = learn(plan, study.report)
            whole = {name: site.weight.detach().clone() for name, site in learned.sites.items()}
            for at, gone in todo:
                _restore(learned, whole)
                _restore(learned, {n: w for n, w in learned.start.items() if _group_of(n) in gone})
                found = _scores(learned, plan, new, old)
                desk.keep(at, found, learned.ground.clip.fingerprint)
                advance(1)
    return desk.path


def _groups() -> Iterator[tuple[dict[str, Any], set[str]]]:
    """Where a point is, and the groups ("image.attn.q") whose update is taken out."""
    every = {f"{tower}.{name}" for tower in TOWERS for name in MAPS}
    yield {"kept": EVERY}, set()
    yield {"kept": NONE}, every
    for tower, name in product(TOWERS, MAPS):
        one = {f"{tower}.{name}"}
        yield {"removed": name, "tower": tower}, one
        yield {"kept": name, "tower": tower}, every - one


def _group_of(site: str) -> str:
    tower, _, name = site.split(".", 2)
    return f"{tower}.{name}"


@torch.no_grad()
def _restore(learned: LearnedAlone, weights: Any) -> None:
    for name, weight in weights.items():
        learned.sites[name].weight.copy_(weight)


def amplified(study: Study, methods: Sequence[str], tasks: Sequence[str], top: int) -> Path:
    """The amplification factor of every map, of several methods and tasks (Figure 9).

    Args:
        study: with its seeds.
        methods: that are compared.
        tasks: each learned alone; none for the first three.
        top: singular vectors, see `amplification`.

    Returns:
        The file of the points: one for each map.
    """
    if top < 1:
        raise BenchError("--top of at least 1", str(top), "correct it")
    names = [study.task(name).name for name in tasks] or [d.name for d in study.suite.tasks[:3]]
    plans = [study.plan(names[0], study.seeds[0], method) for method in methods]
    desk = Desk("amplification", plans, {"top": top}, study.place, study.report)
    grid = list(product(methods, names, study.seeds))
    with study.report.phase("amplification", len(grid), "updates") as advance:
        for method, name, seed in grid:
            at = {"method": method, "task": name, "seed": seed}
            if desk.missing(at):
                learned = learn(study.plan(name, seed, method), study.report)
                desk.keep(at, {"maps": _maps(learned, top)}, learned.ground.clip.fingerprint)
            advance(1)
    return desk.path


def _maps(learned: LearnedAlone, top: int) -> dict[str, dict[str, float | int | None]]:
    """Site name -> the numbers of its map; of one that nothing was added to, a change of 0."""
    found = {}
    for name, weight in learned.start.items():
        empty = weight.new_zeros(len(weight), 0), weight.new_zeros(0, weight.shape[1])
        one = amplification(weight, *learned.updates.get(name, empty), top)
        found[name] = {**vars(one), "factor": one.factor}
    return found
