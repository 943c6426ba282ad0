"""From records to numbers: one run's, and their pools over seeds, with no mean over holes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isnan
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np

from ..results import method_label
from .groups import Group, Judged
from .spec import row_key

MISSING = "–"  # noqa: RUF001 - an en dash is what a table wants here


class Place(NamedTuple):
    """Which number of a run.

    Attributes:
        dataset: its name, or that of a mean over several.
        direction: t2i or i2t; '' for accuracy.
        metric: hit, acc, or delta: the end minus stage 0; transfer or average: means of acc over
            the steps before a set is learned, or over all; kept: millions of parameters.
        k: the K of Recall@K; None for accuracy.
        step: tasks learned; None for the end of the run, whatever its length, and for what is of
            no single step.
    """

    dataset: str
    direction: str
    metric: str
    k: int | None
    step: int | None


@dataclass(frozen=True)
class Cell:
    """One number of a table, or why there is none.

    Attributes:
        status: 'ok', 'missing', or the status of the first seed's number that is not ok.
        mean: over seeds, in percent or millions; None unless ok.
        sd: standard deviation over seeds (ddof = 1), likewise; None below two seeds.
    """

    status: str
    mean: float | None = None
    sd: float | None = None

    def show(self, form: str = "") -> str:
        """`46.9 ± 0.2`, `46.9`, the status, or a dash where nothing was recorded.

        Args:
            form: '+' for a change, which shows its sign; 'M' for millions.
        """
        if self.mean is None:
            return MISSING if self.status == "missing" else self.status
        if form == "M":
            return f"{self.mean:.2f}M" if self.sd is None else f"{self.mean:.2f} ± {self.sd:.2f}M"
        sign = form
        shown = f"{round(self.mean, 1) + 0.0:{sign}.1f}"  # adding 0.0 turns -0.0 into 0.0
        return shown if self.sd is None else f"{shown} ± {self.sd:.1f}"


Outcome = tuple[float | None, str]
"""One seed's value (a fraction) and status."""
ABSENT: Outcome = (None, "missing")


def pool(outcomes: Sequence[Outcome], unit: float = 100) -> Cell:
    """One cell from the outcomes of all seeds.

    Args:
        outcomes: one per seed, in a fixed order, so that sums are reproducible.
        unit: what values are multiplied by.
    """
    percent = []
    for value, status in outcomes:
        if value is None:
            return Cell(status)
        percent.append(unit * value)
    if not percent:
        return Cell("missing")
    return Cell("ok", fmean(percent), stdev(percent) if len(percent) > 1 else None)


def _mean_of(outcomes: Sequence[Outcome]) -> Outcome:
    """The mean of one seed's numbers, or the status of the first hole among them."""
    values = []
    for value, status in outcomes:
        if value is None:
            return None, status
        values.append(value)
    return (fmean(values), "ok") if values else ABSENT


@dataclass(frozen=True)
class EvalSet:
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
class Run:
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
    sets: Mapping[str, EvalSet]
    numbers: Mapping[Place, Outcome]

    @property
    def worlds(self) -> frozenset[str]:
        """What its learned sets are, see `spec.World`."""
        learned = [one for one in self.sets.values() if one.position]
        return frozenset(one.kind if one.kind == "pairs" else one.space for one in learned)

    def outcome(self, place: Place, parts: Sequence[str]) -> Outcome:
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
            return _mean_of([self._over_steps(name, place.metric) for name in parts])
        step = self.n_steps if place.step is None else place.step
        wanted = (place._replace(dataset=name, step=step) for name in parts)
        return _mean_of([self.numbers.get(each, ABSENT) for each in wanted])

    def _over_steps(self, name: str, metric: str) -> Outcome:
        """Mean accuracy over steps: all, or those before the set is learned (Zheng et al., 2023).

        As `metrics.continual`, with holes by their status.
        """
        position = self.sets[name].position if name in self.sets else 0
        end = position if metric == "transfer" and position else self.n_steps + 1
        steps = (Place(name, "", "acc", None, step) for step in range(1, end))
        return _mean_of([self.numbers.get(each, ABSENT) for each in steps])


_WORDS = (
    "eval_task", "eval_title", "kind", "label_space", "direction", "metric", "value", "status",
)  # fmt: skip


def read_run(judged: Judged) -> Run:
    """The numbers of a record; what only diagnoses a method (routes) is left out."""
    frame = judged.record.frame
    sets: dict[str, EvalSet] = {}
    numbers: dict[Place, Outcome] = {}
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
            sets[task] = EvalSet(title, kind, position, space if isinstance(space, str) else "")
            found = None if isnan(value) else value
            numbers[Place(task, way, metric, k or None, step)] = found, status
    row = frame.iloc[0]
    first = str(row["task_order"]).partition(",")[0]
    if kept := _kept(judged.record.provenance):
        numbers[Place(first, "", "kept", None, 1)] = kept, "ok"
    return Run(
        group=judged.group,
        **{name: str(row[name]) for name in ("method", "variant", "settings", "order")},
        why=judged.why,
        tasks=str(row["task_order"]),
        seed=int(row["seed"]),
        n_steps=int(row["n_steps"]),
        uses=frozenset(filter(None, str(row["uses"]).split(","))),
        sets=sets,
        numbers=numbers,
    )


def _kept(about: Mapping[str, Any]) -> int:
    """Parameters that the first task leaves: what a method reports, or all that it trained."""
    reports, trained = about.get("reports") or [{}], about.get("parameters", {}).get("trainable")
    first = trained[0] if isinstance(trained, list) and trained else 0
    return int(reports[0].get("parameters_kept", first))


@dataclass(frozen=True)
class Row:
    """Runs that differ only in their seed (and, where a table says so, in their backbone).

    Attributes:
        method, variant, settings: what they share.
        why: why the row is compared with no other, '' if it is.
        runs: ordered by group and seed.
    """

    method: str
    variant: str
    settings: str
    why: str
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        """Method, variant and overrides."""
        return method_label(self.method, self.variant, self.settings)

    @property
    def uses(self) -> str:
        """Badges, comma separated."""
        return ", ".join(sorted({word for run in self.runs for word in run.uses}))

    def of(self, group: Group) -> list[Run]:
        """Its runs in one group."""
        return [run for run in self.runs if run.group == group]

    def cell(self, group: Group, place: Place, parts: Sequence[str]) -> Cell:
        """One number, pooled over the seeds of a group. See `Run.outcome`."""
        unit = 1e-6 if place.metric == "kept" else 100
        return pool([run.outcome(place, parts) for run in self.of(group)], unit)


def _identity(run: Run) -> tuple[object, ...]:
    # Runs are pooled only with runs of the same tasks, and of the same standing.
    return (*row_key(run.method, run.variant, run.settings), run.why, run.tasks)


def rows_of(runs: Sequence[Run]) -> Iterator[Row]:
    """Rows in the order of tables.

    Args:
        runs: of one order of tasks.
    """
    ordered = sorted(runs, key=lambda run: (*_identity(run), run.group, run.seed))
    for _, found in groupby(ordered, key=_identity):
        seeds = tuple(found)
        one = seeds[0]
        yield Row(one.method, one.variant, one.settings, one.why, seeds)


def named(method: str, uses: str) -> str:
    """A row's label with its badges in brackets."""
    return f"{method} [{uses}]" if uses else method


def distinct(titles: Mapping[str, str]) -> dict[str, str]:
    """Column heads that tell datasets apart: a title that two share is followed by the name.

    Args:
        titles: dataset -> title.
    """
    shown = list(titles.values())
    return {
        name: f"{title} ({name})" if shown.count(title) > 1 else title
        for name, title in titles.items()
    }
