"""From a record to the numbers of its run, with no mean over holes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from .groups import ComparableRecord, Group

MIB = 2**20


class At(NamedTuple):
    """Which number of a run.

    Attributes:
        dataset: its name, or that of a mean over several.
        direction: t2i or i2t; '' for accuracy.
        metric: hit, acc, or delta: the end minus stage 0; transfer or average: means of acc over
            the steps before a set is learned, or over all; kept: parameters that a task leaves.
            Of a whole run: trained: most parameters that a task trains; read, read_bytes: numbers
            that predictions read at the end beside one copy of the model, and their size; extra:
            bytes that are kept at the end beside it; train, evaluate: most memory, in bytes.
        k: the K of Recall@K; None for accuracy.
        step: tasks learned; None for the end of the run, whatever its length, and for what is of
            no single step.
    """

    dataset: str
    direction: str
    metric: str
    k: int | None
    step: int | None


Outcome = tuple[float | None, str]
"""One seed's value (a fraction) and status."""
ABSENT: Outcome = (None, "missing")


def mean_of(outcomes: Sequence[Outcome]) -> Outcome:
    """The mean of one seed's numbers, or the status of the first hole among them."""
    values = []
    for value, status in outcomes:
        if value is None:
            return None, status
        values.append(value)
    return (fmean(values), "ok") if values else ABSENT


@dataclass(frozen=True)
class SetInfo:
    """One evaluation set of a run.

    Attributes:
        title: as recorded.
        kind: pairs or labelled.
        position: when it is learned, from 1; 0 for a held-out set.
        space: of labelled sets, whose classes compete: own or union.
    """

    title: str
    kind: str
    position: int
    space: str = ""


@dataclass(frozen=True)
class RunNumbers:
    """The numbers of one record, and what a table must know of it.

    Attributes:
        group: what it shares with the runs that it is compared with.
        method, variant, settings: its row.
        why: why it is compared with no other row, '' if it is.
        order: of tasks, as named; tasks: the order itself, as recorded.
        seed: its seed.
        n_steps: number of tasks.
        uses: badges.
        sets: name -> what was evaluated.
        numbers: place -> value and status; steps are counted, never None.
        reports: what the method said of each task, see `Method.report`.
    """

    group: Group
    method: str
    variant: str
    settings: str
    why: str
    order: str
    tasks: str
    seed: int
    n_steps: int
    uses: frozenset[str]
    sets: Mapping[str, SetInfo]
    numbers: Mapping[At, Outcome]
    reports: tuple[Mapping[str, Any], ...] = ()

    @property
    def worlds(self) -> frozenset[str]:
        """What its learned sets are, see `spec.World`."""
        learned = [one for one in self.sets.values() if one.position]
        return frozenset(one.kind if one.kind == "pairs" else one.space for one in learned)

    def outcome(self, place: At, parts: Sequence[str]) -> Outcome:
        """A number, or the mean of that number over several sets.

        Args:
            place: which number.
            parts: the sets; one, for a number that is no mean.
        """
        if place.metric == "delta":
            level = place._replace(metric="hit" if place.direction else "acc")
            end = self.outcome(level, parts)
            start = self.outcome(level._replace(step=0), parts)
            if end[0] is None or start[0] is None:
                return None, end[1] if end[0] is None else start[1]
            return end[0] - start[0], "ok"
        if place.metric in ("transfer", "average"):
            return mean_of([self._over_steps(name, place.metric) for name in parts])
        if not place.dataset:
            return self.numbers.get(place, ABSENT)
        step = self.n_steps if place.step is None else place.step
        wanted = (place._replace(dataset=name, step=step) for name in parts)
        return mean_of([self.numbers.get(each, ABSENT) for each in wanted])

    def _over_steps(self, name: str, metric: str) -> Outcome:
        """Mean accuracy over steps: all, or those before the set is learned (Zheng et al., 2023).

        As `metrics.continual`, with holes by their status.
        """
        position = self.sets[name].position if name in self.sets else 0
        end = position if metric == "transfer" and position else self.n_steps + 1
        steps = (At(name, "", "acc", None, step) for step in range(1, end))
        return mean_of([self.numbers.get(each, ABSENT) for each in steps])


_WORDS = (
    "eval_task", "eval_title", "kind", "label_space", "direction", "metric", "value", "status",
)  # fmt: skip


def read_run(judged: ComparableRecord) -> RunNumbers:
    """The numbers of a record; what only diagnoses a method (routes) is left out."""
    frame = judged.record.frame
    sets: dict[str, SetInfo] = {}
    numbers: dict[At, Outcome] = {}
    words = (frame[name].tolist() for name in _WORDS)
    counts = (
        frame[name].to_numpy(dtype=np.int64, na_value=0).tolist()
        for name in ("k", "step", "eval_position")
    )
    # One plain pass: pandas takes ten times as long for the many small selections of a table.
    for task, title, kind, space, direction, metric, value, status, k, step, position in zip(
        *words, *counts, strict=True
    ):
        if metric in ("hit", "acc"):
            way = direction if isinstance(direction, str) else ""
            sets[task] = SetInfo(title, kind, position, space if isinstance(space, str) else "")
            found = None if isnan(value) else value
            numbers[At(task, way, metric, k or None, step)] = found, status
    row = frame.iloc[0]
    first = str(row["task_order"]).partition(",")[0]
    for place, count in _costs(judged.record.provenance, first):
        numbers[place] = float(count), "ok"
    return RunNumbers(
        group=judged.group,
        **{name: str(row[name]) for name in ("method", "variant", "settings", "order")},
        why=judged.why,
        tasks=str(row["task_order"]),
        seed=int(row["seed"]),
        n_steps=int(row["n_steps"]),
        uses=frozenset(filter(None, str(row["uses"]).split(","))),
        sets=sets,
        numbers=numbers,
        reports=tuple(judged.record.provenance.get("reports") or ()),
    )


def first_tasks(runs: Iterable[RunNumbers]) -> list[RunNumbers]:
    """Every run's first task as a run of it alone, which would start from the same model.

    Of several that differ in their order only, the first by its name counts.
    """
    found: dict[tuple[object, ...], RunNumbers] = {}
    for run in sorted(runs, key=lambda run: run.order):
        first = run.tasks.partition(",")[0]
        row = (run.group, run.method, run.variant, run.settings, run.why)
        alone = {name: one for name, one in run.sets.items() if name == first}
        one = replace(run, order="", tasks=first, n_steps=1, sets=alone)
        found.setdefault((*row, first, run.seed), one)
    return list(found.values())


def _costs(about: Mapping[str, Any], first: str) -> Iterator[tuple[At, float]]:
    """What a run took, where its record says so; `first` is its first task."""
    trained = about.get("parameters", {}).get("trainable")
    reports = about.get("reports") or [{}]
    if isinstance(trained, list) and trained:
        yield At("", "", "trained", None, None), max(trained)
        if kept := reports[0].get("parameters_kept", trained[0]):
            yield At(first, "", "kept", None, 1), kept
    if read := about.get("parameters", {}).get("inference"):
        yield At("", "", "read", None, None), read[-1]
        yield At("", "", "read_bytes", None, None), about["inference_bytes"][-1]
    if states := about.get("state_bytes"):
        yield At("", "", "extra", None, None), states[-1]
    for phase in ("train", "evaluate"):
        peaks = about.get("peak_memory", {}).get(phase)
        if isinstance(peaks, dict) and peaks:  # of a GPU where there is one
            yield At("", "", phase, None, None), MIB * peaks.get("gpu_mib", max(peaks.values()))
