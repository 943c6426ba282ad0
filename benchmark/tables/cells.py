"""From records to numbers: one run's, and their pools over seeds, with no mean over holes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isnan
from statistics import fmean, stdev
from typing import NamedTuple

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
        metric: hit, acc, or delta: the end minus stage 0.
        k: the K of Recall@K; None for accuracy.
        step: tasks learned; None for the end of the run, whatever its length, and for a delta.
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
        mean: over seeds, in percent; None unless ok.
        sd: standard deviation over seeds (ddof = 1), in percent; None below two seeds.
    """

    status: str
    mean: float | None = None
    sd: float | None = None

    def show(self, sign: str = "") -> str:
        """`46.9 ± 0.2`, `46.9`, the status, or a dash where nothing was recorded.

        Args:
            sign: '+' for a change, which shows its sign.
        """
        if self.mean is None:
            return MISSING if self.status == "missing" else self.status
        shown = f"{round(self.mean, 1) + 0.0:{sign}.1f}"  # adding 0.0 turns -0.0 into 0.0
        return shown if self.sd is None else f"{shown} ± {self.sd:.1f}"


Outcome = tuple[float | None, str]
"""One seed's value (a fraction) and status."""
ABSENT: Outcome = (None, "missing")


def pool(outcomes: Sequence[Outcome]) -> Cell:
    """One cell from the outcomes of all seeds.

    Args:
        outcomes: one per seed, in a fixed order, so that sums are reproducible.
    """
    percent = []
    for value, status in outcomes:
        if value is None:
            return Cell(status)
        percent.append(100 * value)
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
    """

    title: str
    kind: str
    position: int


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
        step = self.n_steps if place.step is None else place.step
        wanted = (place._replace(dataset=name, step=step) for name in parts)
        return _mean_of([self.numbers.get(each, ABSENT) for each in wanted])


_WORDS = ("eval_task", "eval_title", "kind", "direction", "metric", "value", "status")


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
    for task, title, kind, direction, metric, value, status, k, step, position in zip(
        *words, *counts, strict=True
    ):
        if metric in ("hit", "acc"):
            way = direction if isinstance(direction, str) else ""
            sets[task] = EvalSet(title, kind, position)
            found = None if isnan(value) else value
            numbers[Place(task, way, metric, k or None, step)] = found, status
    row = frame.iloc[0]
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
        return pool([run.outcome(place, parts) for run in self.of(group)])


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
