"""V14: what is consistent and still unlikely. Warnings, for whoever decides what is replayed."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean, median, variance

from ...records.naming import ALL_AT_ONCE, badges_of
from ..runs import Examined, final_rows, pairs_of
from .beside import ZERO_SHOT, Promises, believed_first, promised

_REPLAY = "run it again with `cl-bench repro`"
_FAST, _OUTLIERS, _LEAST_PEERS, _CHURN, _LEAST_CHURN = 20, 3.0, 3, 10, 20
_UPPER = {ALL_AT_ONCE, "task id"}


def check_plausible(
    runs: Sequence[Examined], promises: Promises, changed: Collection[Path] = ()
) -> None:
    """All checks, on runs without errors.

    Args:
        runs: of one results folder.
        promises: of their methods.
        changed: paths of the runs that a change brings, none where that is not known.
    """
    sound = [run for run in runs if not run.unsound and run.official and not run.changed]
    for run in sound:
        if not promised(run, promises[id(run)], ZERO_SHOT):
            _check_moved(run)
    groups: dict[tuple[str, ...], list[Examined]] = defaultdict(list)
    for run in sound:
        groups[run.group].append(run)
    for group in groups.values():
        by_label: dict[str, list[Examined]] = defaultdict(list)
        for run in group:
            by_label[run.label].append(run)
        for same in by_label.values():
            _check_time(same)
        _check_churn(list(by_label.values()), changed)
        _check_bounds(by_label)


def _check_moved(run: Examined) -> None:
    if None in run.hits.values():
        return
    trains = _trains(run)
    moved = any(
        hits is not None and (first := run.scores.get((0, *where[1:]))) and hits != first.hits
        for where, hits in run.hits.items()
    )
    if trains and not moved:
        run.warn("V14", "other scores than zero-shot after training", "the same", _REPLAY)


def _trains(run: Examined) -> bool:
    trainable = run.part("parameters", "trainable")
    return isinstance(trainable, list) and sum(n for n in trainable if isinstance(n, int)) > 0


def _check_time(runs: list[Examined]) -> None:
    """Training of one label costs about the same in every run."""
    seconds: dict[int, float] = {}
    for run in runs:
        spent, shared = run.part("seconds", "train"), run.part("shared")
        alone = not (isinstance(shared, list) and any(one is not None for one in shared))
        if isinstance(spent, int | float) and alone:
            seconds[id(run)] = float(spent)
    for run in runs:
        others = [value for key, value in seconds.items() if key != id(run)]
        if id(run) not in seconds or len(others) < _LEAST_PEERS:
            continue
        usual = median(others)
        if seconds[id(run)] * _FAST < usual:
            expected = f"about {usual:.0f} s of training, as in its other runs"
            run.warn("V14", expected, f"{seconds[id(run)]:.1f} s", _REPLAY)


def _score(run: Examined) -> float | None:
    """Mean over the learned sets at the end, in percent."""
    last, shares = int(run.row["n_steps"]), []
    for (step, task, _, k), cell in run.scores.items():
        if step == last and task in run.tasks and k in (None, 1):
            if cell.hits is None:
                return None
            shares.append(100 * cell.hits / cell.n_queries)
    return fmean(shares) if shares else None


def _check_bounds(by_label: Mapping[str, list[Examined]]) -> None:
    """Above all that learn all tasks at once or are told the task, by more than chance has it."""
    order = sorted({run.row["order"] for runs in by_label.values() for run in runs})
    for name in order:
        scores = {
            label: [
                s for run in runs if run.row["order"] == name and (s := _score(run)) is not None
            ]
            for label, runs in by_label.items()
        }
        bounds = [
            label
            for label, runs in by_label.items()
            if badges_of(str(runs[0].row["uses"])) & _UPPER and len(scores[label]) > 1
        ]
        if not any(
            ALL_AT_ONCE in badges_of(str(by_label[label][0].row["uses"])) for label in bounds
        ):
            continue
        best = max(bounds, key=lambda label: fmean(scores[label]))
        for label, found in scores.items():
            if label in bounds or len(found) < 2:
                continue
            sd = (fmean([variance(found), variance(scores[best])])) ** 0.5
            above = fmean(found) - fmean(scores[best])
            if above > _OUTLIERS * max(sd, _sampling(by_label[label][0])):
                for run in (one for one in by_label[label] if one.row["order"] == name):
                    expected = f"no more than {best}, which knows more"
                    run.warn("V14", expected, f"{above:.1f} points above it", _REPLAY)


def _sampling(run: Examined) -> float:
    """Standard error in points of a mean over sets that the choice of test images makes."""
    last = int(run.row["n_steps"])
    cells = [
        c
        for (s, t, _, k), c in run.scores.items()
        if s == last and t in run.tasks and k in (None, 1)
    ]
    if not cells:
        return 0.0
    variances = [
        (p := (cell.hits or 0) / cell.n_queries) * (1 - p) / cell.n_queries for cell in cells
    ]
    return float(100 * sum(variances) ** 0.5 / len(cells))


def _check_churn(by_label: Sequence[list[Examined]], changed: Collection[Path]) -> None:
    """Two seeds that are trained disagree on some queries, as those of other methods do.

    A copy with a few answers changed disagrees on those alone.
    """
    churn: list[tuple[Examined, Examined, int]] = []
    for runs in by_label:
        trained = sorted((run for run in runs if run.evidence and _trains(run)), key=_order)
        for _, found in groupby(trained, _order):
            for one, other in pairs_of(list(found)):
                if (count := _discordant(one, other)) is not None:
                    churn.append((one, other, count))
    if len(churn) < _LEAST_PEERS:
        return
    usual = median(count for *_, count in churn)
    for one, other, count in churn:
        if usual >= _LEAST_CHURN and count * _CHURN < usual:
            elder, younger = believed_first((one, other), changed)
            expected = f"about {usual:.0f} queries with another answer in '{elder.path.name}'"
            younger.warn("V14", expected, f"{count}", _REPLAY)


def _order(run: Examined) -> str:
    return str(run.row["order"])


def _discordant(one: Examined, other: Examined) -> int | None:
    """Queries of the learned sets that one run answers right at the end and the other does not."""
    last, total = int(one.row["n_steps"]), 0
    mine, theirs = one.evidence, other.evidence
    if mine is None or theirs is None:
        return None
    for task, direction, k in final_rows(one):
        if task in one.tasks and k in (None, 1):
            where = task, direction, last
            if where not in mine.answers or where not in theirs.answers:
                return None
            a, b = mine.right(*where), theirs.right(*where)
            if len(a) != len(b):
                return None
            total += int((a != b).sum())
    return total
