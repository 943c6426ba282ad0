"""The numbers of a run, read from its record; a mean over a hole is never a number."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import nan
from statistics import fmean
from typing import Any, NamedTuple

from ..errors import BenchError
from ..metrics.continual import Hole, set_average, set_transfer
from ..records.naming import badges_of
from ..stats.answered import AnsweredRun
from ..stats.runs import answered_run
from .groups import ComparableRecord, Group, learned_alone

MIB = 2**20


class Metric(StrEnum):
    """What a number of a run is. The values are the words of the CSV files.

    - Scores of a set after a step, fractions as in records: RECALL, ACCURACY.
    - From these: CHANGE, the end of the run minus step 0; TRANSFER and AVERAGE, accuracies averaged
      over steps, see `metrics.continual`.
    - Of one task: PARAMETERS_KEPT, those that its update leaves.
    - Of a whole run: PARAMETERS_TRAINED, the most that a task trains; NUMBERS_READ and BYTES_READ,
      what predictions at the end read beside one copy of the model; BYTES_KEPT, what is stored at
      the end beside it; MEMORY_TRAINING and MEMORY_EVALUATION, the most memory, in bytes;
      TIME_TRAINING, seconds.
    """

    RECALL = "hit"
    ACCURACY = "acc"
    CHANGE = "delta"
    TRANSFER = "transfer"
    AVERAGE = "average"
    PARAMETERS_KEPT = "kept"
    PARAMETERS_TRAINED = "trained"
    NUMBERS_READ = "read"
    BYTES_READ = "read_bytes"
    BYTES_KEPT = "extra"
    MEMORY_TRAINING = "train"
    MEMORY_EVALUATION = "evaluate"
    TIME_TRAINING = "seconds"


class At(NamedTuple):
    """Which number of a run.

    Attributes:
        dataset: its name, or that of a mean over several; '' for a number of the whole run.
        direction: t2i or i2t; '' for accuracy.
        metric: see `Metric`.
        k: the K of Recall@K; None for accuracy.
        step: tasks learned; None for the end of the run, whatever its length, and for what is of
            no single step.
    """

    dataset: str
    direction: str
    metric: Metric
    k: int | None
    step: int | None


def of_run(metric: Metric) -> At:
    """Where a number of the whole run is."""
    return At("", "", metric, None, None)


Outcome = tuple[float | None, str]
"""One seed's value (a fraction, or in the unit of its metric) and status."""
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
        images: in its test split; 0 where that is not known.
    """

    title: str
    kind: str
    position: int
    space: str = ""
    images: int = 0


@dataclass(frozen=True)
class RunNumbers:
    """The numbers of one record, and what a table must know of it.

    Attributes:
        group: what it shares with the runs that it is compared with.
        method, variant, settings: what makes its row.
        why: why it is compared with no other row, '' if it is compared.
        order: the name of its order of tasks.
        tasks: the tasks in that order, comma separated.
        seed: its seed.
        n_steps: number of tasks.
        uses: what the method used beyond its own weights (badges).
        sets: name -> evaluation set.
        numbers: where -> value and status; a score has its step, never None for the end.
        reports: what the method said of each task, see `Method.report`.
        answered: what each of its queries got; None without evidence.
        machine: what its times depend on, in words; '' where its record does not say.
        asked: what the run was asked for: `recipe` and `config`; empty of older records.
        shots: task -> fingerprint of the images that it was trained on.
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
    answered: AnsweredRun | None = None
    machine: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    shots: Mapping[str, str] = field(default_factory=dict)

    @property
    def worlds(self) -> frozenset[str]:
        """The kinds of its learned sets, see `spec.World`."""
        learned = [one for one in self.sets.values() if one.position]
        return frozenset(one.kind if one.kind == "pairs" else one.space for one in learned)

    def outcome(self, place: At, parts: Sequence[str]) -> Outcome:
        """A number, or the mean of that number over several sets.

        Args:
            place: which number.
            parts: the sets; one, for a number that is no mean.
        """
        if place.metric == Metric.CHANGE:
            level = Metric.RECALL if place.direction else Metric.ACCURACY
            ends = place._replace(metric=level)
            end, start = self.outcome(ends, parts), self.outcome(ends._replace(step=0), parts)
            if end[0] is None or start[0] is None:
                return None, end[1] if end[0] is None else start[1]
            return end[0] - start[0], "ok"
        if place.metric in (Metric.TRANSFER, Metric.AVERAGE):
            return mean_of([self._over_steps(name, place.metric) for name in parts])
        if not place.dataset:
            return self.numbers.get(place, ABSENT)
        step = self.n_steps if place.step is None else place.step
        wanted = (place._replace(dataset=name, step=step) for name in parts)
        return mean_of([self.numbers.get(each, ABSENT) for each in wanted])

    def _over_steps(self, name: str, metric: Metric) -> Outcome:
        """Transfer or Average of one set, or the status of the first hole that it meets."""
        places = (At(name, "", Metric.ACCURACY, None, step) for step in range(self.n_steps + 1))
        found = [self.numbers.get(place, ABSENT) for place in places]
        score_S = [nan if value is None else value for value, _ in found]
        position = self.sets[name].position or None if name in self.sets else None
        try:
            if metric == Metric.AVERAGE:
                return set_average(score_S), "ok"
            return ABSENT if position == 1 else (set_transfer(score_S, position), "ok")
        except Hole as hole:
            return None, found[hole.step][1]


_SCORES = {str(metric): metric for metric in (Metric.RECALL, Metric.ACCURACY)}
_PHASES = {Metric.MEMORY_TRAINING: "train", Metric.MEMORY_EVALUATION: "evaluate"}
_OF_SET = (
    "eval_task", "eval_title", "kind", "eval_position", "label_space", "metric", "direction",
    "n_queries",
)  # fmt: skip
_OF_SCORE = ("eval_task", "direction", "metric", "k", "step", "value", "status")


def read_run(judged: ComparableRecord) -> RunNumbers:
    """The numbers of a record, without what only diagnoses a method (routes)."""
    sets: dict[str, SetInfo] = {}
    numbers: dict[At, Outcome] = {}
    shapes = {
        one[0]: one
        for one in judged.record.taken(*_OF_SET)
        if one[5] in _SCORES and one[6] != "t2i"  # of which the queries are captions
    }
    for name, title, kind, position, space, _, _, images in shapes.values():
        sets[name] = SetInfo(title, kind, position or 0, space or "", images)
    for task, direction, metric, k, step, value, status in judged.record.taken(*_OF_SCORE):
        if score := _SCORES.get(metric):
            numbers[At(task, direction or "", score, k, step)] = value, status
    row, about = judged.record.row, judged.record.provenance
    first = str(row["task_order"]).partition(",")[0]
    for place, count in _costs(about, first):
        numbers[place] = float(count), "ok"
    return RunNumbers(
        group=judged.group,
        **{name: str(row[name]) for name in ("method", "variant", "settings", "order")},
        why=judged.why,
        tasks=str(row["task_order"]),
        seed=int(row["seed"]),
        n_steps=int(row["n_steps"]),
        uses=badges_of(str(row["uses"])),
        sets=sets,
        numbers=numbers,
        reports=tuple(about.get("reports") or ()),
        answered=_answered(judged),
        machine=_machine(judged.record.provenance),
        asked=about.get("asked", {}),
        shots=about.get("data", {}).get("train", {}),
    )


def _machine(about: Mapping[str, Any]) -> str:
    found = about.get("hardware") or {}
    name = found.get("gpu") or found.get("cpu") or ""
    return f"{name}, {found['threads']} threads" if name and "threads" in found else str(name)


def _answered(judged: ComparableRecord) -> AnsweredRun | None:
    """Its evidence, of a run that is compared with others; None where it can't be read."""
    try:
        return None if judged.why else answered_run(judged.record)
    except BenchError:  # the leaderboard says so
        return None


def tasks_alone(runs: Iterable[RunNumbers]) -> list[RunNumbers]:
    """The runs of suites whose tasks are learned alone: of one task each, and of no order."""
    return [replace(run, order="") for run in runs if learned_alone(run.group[0])]


def _costs(about: Mapping[str, Any], first: str) -> Iterator[tuple[At, float]]:
    """What a run took, where its record says so; `first` is its first task."""
    if about.get("failed"):  # what it took until then is not what it takes
        return
    trained = about.get("parameters", {}).get("trainable")
    reports = about.get("reports") or [{}]
    if isinstance(trained, list) and trained:
        yield of_run(Metric.PARAMETERS_TRAINED), max(trained)
        if kept := reports[0].get("parameters_kept", trained[0]):
            yield At(first, "", Metric.PARAMETERS_KEPT, None, 1), kept
    read, read_bytes = about.get("parameters", {}).get("inference"), about.get("inference_bytes")
    if isinstance(read, list) and read and read_bytes:
        yield of_run(Metric.NUMBERS_READ), read[-1]
        yield of_run(Metric.BYTES_READ), read_bytes[-1]
    states = about.get("state_bytes")
    if isinstance(states, list) and states:
        yield of_run(Metric.BYTES_KEPT), states[-1]
    if (seconds := about.get("seconds", {}).get("train")) is not None:
        # What an earlier run had trained was trained all the same.
        yield of_run(Metric.TIME_TRAINING), seconds + sum(filter(None, about.get("shared") or ()))
    for metric, phase in _PHASES.items():
        peaks = about.get("peak_memory", {}).get(phase)
        if isinstance(peaks, dict) and peaks:  # of a GPU where there is one
            yield of_run(metric), MIB * peaks.get("gpu_mib", max(peaks.values()))
