"""V11, V12, V13: what a method promises, and runs that are another run under a new name."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, get_args

from ...protocol.invariants import Invariant
from ..declared import Declared
from ..runs import Examined, final_rows

_AGAIN = "delete the copy, and run it"
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


def check_promises(runs: Sequence[Examined], promises: Promises) -> None:
    """V11."""
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
            _check_equal(held, word)


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


def _check_equal(runs: list[Examined], word: str) -> None:
    """All runs must have the same hits; those that are sound already are believed."""
    sound = [run for run in runs if not run.unsound]
    if len(sound) < 2:
        return
    rows = [final_rows(run) if word == _END else dict(run.hits) for run in sound]
    whole = [row for row in rows if None not in row.values()]
    if whole and any(row != whole[0] for row in whole[1:]):
        values: list[Any] = [tuple(sorted(map(str, row.items()))) for row in rows]
        common = max(set(values), key=values.count)
        alone = values.count(common) * 2 <= len(values)
        for run, value in zip(sound, values, strict=True):
            if alone or value != common:
                expected = f"'{word}' in '{run.row['method']}', as its class promises"
                run.error("V11", expected, "other hits than in the runs beside it", _AGAIN)


def check_copies(runs: Sequence[Examined], promises: Promises) -> None:
    """V12 and V13: of runs with the same hits after step 0, all but the eldest are copies."""
    groups: dict[tuple[str, ...], list[Examined]] = defaultdict(list)
    for run in runs:
        if not run.unsound and run.tells:
            groups[*run.group, run.digest].append(run)
    for group in groups.values():
        eldest = sorted(group, key=lambda run: (*run.age(), str(run.path)))
        for number, run in enumerate(eldest):
            before = [one for one in eldest[:number] if not _may_equal(one, run, promises)]
            if before:
                _tell_copy(run, before[0])


def _may_equal(one: Examined, other: Examined, promises: Promises) -> bool:
    """Whether two runs may have the same hits."""
    mine, theirs = promises[id(one)], promises[id(other)]
    if one.row["method"] == other.row["method"] and (one.changed or other.changed):
        return True  # another way to ask for the same; it has no rank
    if one.label == other.label:
        same_seed = one.row["seed"] == other.row["seed"]
        return same_seed or any(promised(one, mine, word) for word in (ZERO_SHOT, _SEED))
    aliases = (mine.aliases.get(one.row["variant"]) if mine else None) == other.label or (
        theirs.aliases.get(other.row["variant"]) if theirs else None
    ) == one.label
    return aliases and one.row["seed"] == other.row["seed"]


def _tell_copy(run: Examined, eldest: Examined) -> None:
    same = run.label == eldest.label
    tell = run.warn if run.changed or eldest.changed else run.error
    code = "V13" if same else "V12"
    what = f"seed {eldest.row['seed']}" if same else f"'{eldest.label}'"
    expected = f"other hits than {what} has in '{eldest.path.name}'"
    tell(code, expected, "the same in every cell after step 0", _AGAIN)
