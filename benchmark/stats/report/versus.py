"""Two methods compared: which runs are paired, and every number of the report."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import sqrt
from pathlib import Path
from statistics import fmean, variance

from ...errors import BenchError
from ..answered import AnsweredRun, Measured, MissingAnswer, measure
from ..counts import PairedCounts, paired_counts
from ..distributions import student_quantile, student_tail
from ..multiple import CORRECTIONS
from ..paired import LEAST_SEEDS, Cell, Field, PairedDifference
from ..resampling import percentile_interval, resampled_differences
from ..runs import answered_run, check_hits
from ..summaries import Question, of_sets, terms_of
from .find import Side, find_sides
from .numbers import Choices, CountedSet, OverSets, SetDifference, Versus


def compare_methods(
    asked: tuple[str, str], results: Path, suite: str | None, backbone: str | None, wanted: Choices
) -> Versus:
    """Compare two methods by all their records that can be paired.

    Args:
        asked: labels or paths, see `find_sides`.
        results: the folder of records.
        suite: see `find_sides`.
        backbone: see `find_sides`.
        wanted: how.

    Raises:
        BenchError: code 4 without such records; 5 where nothing can be paired, for want of
            evidence, of a common order and seed, or of the same test data; 2 for a question that
            these records have no answer to.
    """
    group, a, b = find_sides(asked, results, suite, backbone)
    left_out: list[str] = []
    ours, theirs = a.asked, b.asked if b.asked != a.asked else f"{b.asked} again"
    runs = {ours: _answered(a, left_out), theirs: _answered(b, left_out)}
    _check_sequences(runs[ours], runs[theirs])
    numbers = {name: _numbers(some, wanted.question, left_out) for name, some in runs.items()}
    field = Field(numbers)
    grid = field.grid(ours, theirs)
    if grid is None:
        shown = [_cells(some) for some in runs.values()]
        raise BenchError(
            f"an order and seed that both '{a.asked}' and '{b.asked}' were run with",
            f"{shown[0]} and {shown[1]}",
            "run one of them with an order and seed of the other",
            code=5,
        )
    for name, side in ((ours, a), (theirs, b)):
        for cell in grid.left_out:
            if cell in numbers[name]:
                both = all(cell in some for some in numbers.values())
                why = "not with the same seeds in every order" if both else "not in both"
                left_out.append(f"{side.label} {cell[0]} {cell[1]}: {why}")
    found = field.difference(ours, theirs)
    pairs = [(numbers[ours][cell], numbers[theirs][cell]) for cell in grid.cells]
    return Versus(
        group=group, a=a.label, b=b.label, wanted=wanted, found=found,
        images=percentile_interval(resampled_differences(pairs, wanted.resamples), wanted.alpha),
        interval=found.interval(wanted.alpha),
        counted=tuple(counted_sets(pairs[0][0])),
        sets=tuple(_sets(runs, grid.cells, wanted)) if wanted.per_set else (),
        over_sets=_over_sets(pairs, found, wanted) if wanted.over_sets else None,
        left_out=tuple(dict.fromkeys(left_out)), remarks=tuple(_remarks(a, b)),
    )  # fmt: skip


def _answered(side: Side, left_out: list[str]) -> dict[Cell, AnsweredRun]:
    """The runs of a side that have evidence."""
    found: dict[Cell, AnsweredRun] = {}
    for record in side.records:
        run = answered_run(record)
        if run is not None:
            check_hits(record, run)
        if run is None:
            left_out.append(f"{record.path.stem}: no evidence")
        else:
            found[run.order, run.seed] = run
    if not found:
        seeds = f"{len(side.records)} record{'s' * (len(side.records) > 1)}"
        row = side.records[0].row
        orders = sorted({one.row["order"] for one in side.records})
        numbers = sorted({one.row["seed"] for one in side.records})
        words = [side.label.partition("+")[0], "--suite", row["suite"]]
        words += ["--backbone", row["backbone"]]
        words += [word for order in orders for word in ("--order", order)]
        words += [word for seed in numbers for word in ("--seed", str(seed))]
        raise BenchError(
            f"evidence of what each query of '{side.asked}' got",
            f"{seeds} without it, made before it was kept",
            f"make them again: `cl-bench run -m {shlex.join(words)} --overwrite`",
            code=5,
        )
    return found


def _check_sequences(a: Mapping[Cell, AnsweredRun], b: Mapping[Cell, AnsweredRun]) -> None:
    for cell in sorted(a.keys() & b.keys()):
        one, other = a[cell], b[cell]
        if one.tasks != other.tasks:
            raise BenchError(
                f"the same tasks in '{one.name}' and '{other.name}'",
                f"{','.join(one.tasks)} and {','.join(other.tasks)}",
                "run one of them again with the tasks of the other",
                code=5,
            )


def _numbers(
    runs: Mapping[Cell, AnsweredRun], question: Question, left_out: list[str]
) -> dict[Cell, Measured]:
    """The number of every run that has it."""
    found, why = {}, ""
    for cell, run in runs.items():
        try:
            found[cell] = measure(run, terms_of(run, question))
        except MissingAnswer as missing:
            why = str(missing)
            left_out.append(f"{run.name}: {why}")
    if not found:
        fix = "choose another --metric or --step, or run it again where a cell failed"
        raise BenchError(f"runs with the number '{question.summary}'", why, fix, code=5)
    return found


def _cells(runs: Iterable[Cell]) -> str:
    return ", ".join(f"{order} {seed}" for order, seed in sorted(runs))


def counted_sets(number: Measured) -> list[CountedSet]:
    """The sets and directions that a number is a mean over."""
    run, found = number.run, {}
    for term in number.terms:
        size_N = run.sizes(term.task, term.direction)
        found[term.task, term.direction] = CountedSet(
            term.task, term.direction, len(size_N), int(size_N.sum()),
            run.chance(term.task, term.direction, term.k),
        )  # fmt: skip
    return list(found.values())


def _sets(
    runs: Mapping[str, Mapping[Cell, AnsweredRun]], cells: Sequence[Cell], wanted: Choices
) -> list[SetDifference]:
    a, b = runs
    first = runs[a][cells[0]]
    found = []
    for question in of_sets(first, wanted.question):
        numbers = {
            name: {cell: measure(runs[name][cell], terms_of(runs[name][cell], question))
                   for cell in cells}
            for name in (a, b)
        }  # fmt: skip
        difference = Field(numbers).difference(a, b)
        pairs = [(numbers[a][cell], numbers[b][cell]) for cell in cells]
        images = percentile_interval(resampled_differences(pairs, wanted.resamples), wanted.alpha)
        counts = {cell: one for cell in cells if (one := _counts(numbers, a, b, cell)) is not None}
        counted = counted_sets(pairs[0][0])[0]
        found.append(SetDifference(counted, difference, images, None, counts))
    known = [p for one in found if (p := one.found.p) is not None]
    if len(known) < len(found):
        return found
    corrected = CORRECTIONS[wanted.correction](known)
    return [replace(one, p=p) for one, p in zip(found, corrected, strict=True)]


def _counts(
    numbers: Mapping[str, Mapping[Cell, Measured]], a: str, b: str, cell: Cell
) -> PairedCounts | None:
    """Who answered what in one run of each; None where the number is not of one step."""
    ours, theirs = numbers[a][cell], numbers[b][cell]
    term = ours.terms[0]
    if len(term.steps) != 1:
        return None
    step = term.steps[0][0]
    right = [
        one.run.evidence.right(term.task, term.direction, step, term.k) for one in (ours, theirs)
    ]
    return paired_counts(*right)


def _over_sets(
    pairs: Sequence[tuple[Measured, Measured]], found: PairedDifference, wanted: Choices
) -> OverSets:
    """Student's t over the sets' differences; the training seeds' variance is common to them."""
    tasks = sorted({term.task for term in pairs[0][0].terms})
    if len(tasks) < LEAST_SEEDS or not found.sure:
        got = f"{len(tasks)} sets, {len(found.grid.seeds)} seeds"
        raise BenchError(
            f"{LEAST_SEEDS} sets and seeds or more for --over-sets", got, "leave it out", code=5
        )
    of_task = [
        len(tasks) * fmean(_of_task(one, task) - _of_task(other, task) for one, other in pairs)
        for task in tasks
    ]
    error = sqrt(variance(of_task) / len(tasks) + found.training)
    df = min(len(tasks), len(found.grid.seeds)) - 1 if found.training else len(tasks) - 1
    half = error * student_quantile(wanted.alpha, df)
    p = student_tail(abs(found.difference) / error, df) if error else float(not found.difference)
    return OverSets(len(tasks), (found.difference - half, found.difference + half), p, df)


def _of_task(number: Measured, task: str) -> float:
    """What one set brings to a number."""
    return measure(number.run, [term for term in number.terms if term.task == task]).value


def _remarks(*sides: Side) -> Iterable[str]:
    for side in sides:
        reasons = {
            reason
            for record in side.records
            for reason in record.provenance.get("unofficial") or []
        }
        if reasons:
            yield f"{side.label} is not for the leaderboard: {'; '.join(sorted(reasons))}"


def check_options(found: Versus, k: bool, direction: bool) -> None:
    """Refuse options that had no effect on these sets.

    Args:
        found: the comparison.
        k: whether a K was asked for.
        direction: whether a direction was.

    Raises:
        BenchError: one was, and all sets are labelled.
    """
    if all(one.direction is None for one in found.counted):
        for option, given in (("--k", k), ("--direction", direction)):
            if given:
                got = "labelled sets alone, which have one accuracy"
                raise BenchError(f"image-caption sets for {option}", got, f"leave out {option}")
