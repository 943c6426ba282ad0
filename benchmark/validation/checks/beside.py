"""V11, V12, V13: what a method promises, and runs that are another run under a new name.

Of runs that cannot all be true, one has to be believed. Of a change (`--against`) that is what was
there before it: no record that is added can make another fall. Without it nothing but the records
speaks, and the eldest is believed by its commit's date, which a forger can choose among those of
the history; so only `--against` is safe.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ...protocol.invariants import Invariant
from ...records.answers import Integers, Where
from ..declared import Declared
from ..runs import Examined, final_rows

_AGAIN = "delete the copy, and run it"
# Of the answers that training moved, the share in which two runs must differ. Of the 102 records of
# this version, two seeds or orders differ in 30 % or more; two methods of one seed and order, which
# see the same batches, in 1.6 % (ewc and ft) or more.
_NEAR, _NEAR_SAME_SEED, _LEAST_MOVED = 0.05, 0.005, 200
_PIECE = 2048  # answers that are compared at once: two runs differ in many of the first ones
ZERO_SHOT, _END, _SEED = get_args(Invariant)
Promises = Mapping[int, Declared | None]
"""id of a run -> what its method declares today, or did at the run's commit."""


def promised(run: Examined, declared: Declared | None, word: str) -> bool:
    """Whether a method promises something of runs with these settings."""
    if declared is None or word not in declared.invariants:
        return False
    config = run.part("asked", "config")
    needs = declared.invariants[word]
    return isinstance(config, Mapping) and all(
        config.get(key) in values for key, values in needs.items()
    )


def believed_first(runs: Sequence[Examined], changed: Collection[Path]) -> list[Examined]:
    """Runs that were there, then those that a change brings; the eldest of each first."""
    return sorted(runs, key=lambda run: (run.path in changed, *run.age(), str(run.path)))


def check_promises(
    runs: Sequence[Examined], promises: Promises, changed: Collection[Path] = ()
) -> None:
    """V11.

    Args:
        runs: of one results folder.
        promises: of their methods.
        changed: paths of the runs that a change brings, none where that is not known.
    """
    for run in runs:
        declared = promises[id(run)]
        odd = sorted(set(declared.invariants if declared else ()) - set(get_args(Invariant)))
        if odd:
            fix = f"choose among {', '.join(get_args(Invariant))}"
            run.error("V11", "known words in `invariants`", f"'{odd[0]}'", fix)
        if promised(run, declared, ZERO_SHOT):
            _check_zero(run)
    for word, groups in ((_END, _same(runs, "order")), (_SEED, _same(runs, "seed"))):
        for group in groups:
            held = [run for run in group if promised(run, promises[id(run)], word)]
            _check_equal(held, word, changed)


def _check_zero(run: Examined) -> None:
    for where, hits in run.hits.items():
        first = run.scores.get((0, *where[1:]))
        if first is not None and None not in (hits, first.hits) and hits != first.hits:
            expected = f"'{ZERO_SHOT}', {first.hits} hits"
            run.error("V11", expected, f"{hits}", _AGAIN, run.scores[where].place())
            return


def _same(runs: Sequence[Examined], but: str) -> Iterator[list[Examined]]:
    """Runs that differ in one thing alone, the order or the seed."""
    names = ("method", "variant", "settings", "order", "seed")

    def key(run: Examined) -> tuple[str, ...]:
        tasks = sorted(run.tasks) if but == "order" else run.tasks
        rest = (str(run.row[name]) for name in names if name != but)
        return (*run.group, *rest, ",".join(tasks), str(run.part("weights", "sha256")))

    for _, found in groupby(sorted(runs, key=key), key):
        yield list(found)


def _check_equal(runs: list[Examined], word: str, changed: Collection[Path]) -> None:
    """All runs must have the same hits.

    The runs that were there are believed, of these the eldest: new ones are no majority. Where all
    are new, nothing says which is right.
    """
    known: dict[Any, int] = {}
    other: list[Examined] = []
    sound = believed_first([run for run in runs if not run.unsound], changed)
    for run in sound:
        rows: Mapping[Any, int | None] = final_rows(run) if word == _END else run.hits
        scored = {where: hits for where, hits in rows.items() if hits is not None}
        if any(known.get(where, hits) != hits for where, hits in scored.items()):
            other.append(run)
        else:
            known |= scored
    if other and sound[0].path in changed:
        other = sound
    for run in other:
        expected = f"'{word}' in '{run.row['method']}', as its class promises"
        run.error("V11", expected, "other hits than in the runs beside it", _AGAIN)


def check_copies(
    runs: Sequence[Examined], promises: Promises, changed: Collection[Path] = ()
) -> None:
    """V12 and V13: what has the hits, or nearly all answers, of a run that is believed is a copy.

    Args:
        runs: of one results folder.
        promises: of their methods.
        changed: paths of the runs that a change brings, none where that is not known.
    """
    groups: dict[tuple[str, ...], list[Examined]] = defaultdict(list)
    for run in runs:
        if not run.unsound:
            groups[run.group].append(run)
    for group in groups.values():
        moved = {id(run): _Moved(run) for run in group}
        believed: list[Examined] = []
        for run in believed_first(group, changed):
            for one in believed:
                # What costs least comes first: nearly all pairs differ.
                same = run.tells and one.hits == run.hits
                near = None if same else _near(moved[id(one)], moved[id(run)])
                if (not same and near is None) or _may_equal(one, run, promises):
                    continue
                what = "the same in every cell" if same else f"only {near} other answers"
                _tell_copy(run, one, f"{what} after step 0")
                break
            if not run.unsound:  # a copy is no witness against others
                believed.append(run)


def _may_equal(one: Examined, other: Examined, promises: Promises) -> bool:
    """Whether two runs may have the same hits."""
    mine, theirs = promises[id(one)], promises[id(other)]
    if one.row["method"] == other.row["method"] and (one.changed or other.changed):
        return True  # another way to ask for the same; it has no rank
    aliases = (mine.aliases.get(one.row["variant"]) if mine else None) == other.label or (
        theirs.aliases.get(other.row["variant"]) if theirs else None
    ) == one.label
    if one.label != other.label and not aliases:
        return False
    if promised(one, mine, ZERO_SHOT):
        return True
    same_seed = one.row["seed"] == other.row["seed"] or promised(one, mine, _SEED)
    same_order = one.tasks == other.tasks or _at_once(one)
    return same_seed and same_order


def _at_once(run: Examined) -> bool:
    """Whether nothing is learned before the last step: then the order of tasks may not matter."""
    last = int(run.row["n_steps"])
    return all(
        hits is None or ((first := run.scores.get((0, *where[1:]))) and hits == first.hits)
        for where, hits in run.hits.items()
        if where[0] < last
    )


class _Moved:
    """What training moved in a run: the answers after step 0, and how many are other ones.

    Attributes:
        run: whose.
        counts: set, direction and step -> queries with another answer than at step 0.
        places: these, as they are compared; the last step, where runs differ most, comes first.
        total: sum of the counts.
        answer_Q: the answers at all places, one place after the other.
        sizes: how many answers each place has.
    """

    def __init__(self, run: Examined) -> None:
        self.run = run
        answers = run.evidence.answers if run.evidence else {}
        self.counts = {
            (task, direction, step): int(np.count_nonzero(answer_Q != first_Q))
            for (task, direction, step), answer_Q in answers.items()
            if step > 0
            and (first_Q := answers.get((task, direction, 0))) is not None
            and len(first_Q) == len(answer_Q)
        }
        self.places = sorted(self.counts, key=lambda where: (-where[2], str(where)))
        self.total = sum(self.counts.values())
        parts = [answers[where] for where in self.places]
        self.sizes = [len(part) for part in parts]
        self.answer_Q: Integers = np.concatenate(parts or [np.zeros(0, np.int64)])

    def at(self, places: Sequence[Where]) -> list[Integers]:
        """The answers at some places."""
        assert self.run.evidence is not None
        return [self.run.evidence.answers[where] for where in places]


def _near(one: _Moved, other: _Moved) -> int | None:
    """The number of answers that differ after step 0, where it is one that no two trainings leave.

    What training moved is the measure: a method that moves little differs little. Answers of the
    same queries are compared; a cell that failed in one of two is left out of both.
    """
    if min(one.total, other.total) < _LEAST_MOVED:
        return None
    same = one.places == other.places
    places = one.places if same else [where for where in one.places if where in other.counts]
    moved = min(sum(run.counts[where] for where in places) for run in (one, other))
    if moved < _LEAST_MOVED:
        return None
    same_course = one.run.row["seed"] == other.run.row["seed"] and one.run.tasks == other.run.tasks
    limit = moved * (_NEAR_SAME_SEED if same_course else _NEAR)
    if same and one.sizes == other.sizes:
        return _differing([one.answer_Q], [other.answer_Q], limit)
    return _differing(one.at(places), other.at(places), limit)


def _differing(ours: list[Integers], theirs: list[Integers], most: float) -> int | None:
    """How many answers differ; None for more than that, or for other queries."""
    count = 0
    for a_Q, b_Q in zip(ours, theirs, strict=True):
        if len(a_Q) != len(b_Q):
            return None
        for start in range(0, len(a_Q), _PIECE):
            piece = slice(start, start + _PIECE)
            count += int(np.count_nonzero(a_Q[piece] != b_Q[piece]))
            if count > most:
                return None
    return count


def _tell_copy(run: Examined, eldest: Examined, got: str) -> None:
    same = run.label == eldest.label
    tell = run.warn if run.changed or eldest.changed else run.error
    code = "V13" if same else "V12"
    what = f"seed {eldest.row['seed']}" if same else f"'{eldest.label}'"
    if same and run.row["seed"] == eldest.row["seed"]:
        what = f"order '{eldest.row['order']}'"
    tell(code, f"other hits than {what} has in '{eldest.path.name}'", got, _AGAIN)
