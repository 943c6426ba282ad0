"""V06, V10 of what is not pinned: the records of a group agree."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...errors import quoted
from ..pins import PinnedSuite
from ..runs import Examined, ScoredCell
from .beside import ZERO_SHOT, Promises, promised
from .suite import AGAIN, near, pins_of, rounding


def check_agreement(
    runs: Sequence[Examined], pins: Mapping[str, PinnedSuite], promises: Promises
) -> None:
    """V06 and V10 of what is not pinned: the records of a group must agree.

    What most records of a group have is right, that of the zero-shot run before all others.
    """
    groups: dict[tuple[str, ...], list[Examined]] = defaultdict(list)
    for run in runs:
        if run.official and not run.unsound and not run.changed:
            groups[run.group].append(run)
    for group in groups.values():
        pin = pins_of(group[0], pins)
        found = {id(run): dict(_facts(run, pin)) for run in group}
        wrong = {}
        for what in sorted({what for facts in found.values() for what in facts}):
            having = [run for run in group if what in found[id(run)]]
            values = [found[id(run)][what] for run in having]
            own = {v for run, v in zip(having, values, strict=True) if _plain(run, promises)}
            right = _right(values, own)
            for run, value in zip(having, values, strict=True):
                if value != right and id(run) not in wrong:
                    wrong[id(run)] = (run, what, right, value)
        for run, what, right, value in wrong.values():
            expected = f"the same {what} as the records beside it, {quoted(right)}"
            run.error("V06", expected, quoted(value), AGAIN)
        _agree_at_zero([run for run in group if id(run) not in wrong], pin, promises)


def _plain(run: Examined, promises: Promises) -> bool:
    """Whether it is a run of the untouched backbone."""
    return promised(run, promises[id(run)], ZERO_SHOT)


def _right(values: Sequence[Any], own: set[Any]) -> Any:
    """The one value of the untouched backbone's runs, or that of most runs; None for neither."""
    if len(own) == 1:
        return own.pop()
    (first, most), *others = Counter(values).most_common(2)
    return first if not others or others[0][1] < most else None


def _facts(run: Examined, pins: PinnedSuite | None) -> Iterator[tuple[str, Any]]:
    """What must agree, and its value, hashable."""
    recipe = run.part("asked", "recipe")
    transform = run.part("transform")
    if pins is None and isinstance(recipe, Mapping):
        yield "recipe", repr(sorted(recipe.items()))
    yield "weights", str(run.part("weights", "sha256"))
    if pins is None or str(transform) not in pins.data:
        for split in ("train", "test"):
            found = run.part("data", split)
            for name, value in (found if isinstance(found, Mapping) else {}).items():
                yield f"{split} data of '{name}'", value
    if pins is None:
        yield "tasks", ",".join(sorted(run.tasks))
        yield f"order '{run.row['order']}'", run.row["task_order"]
        yield "held-out sets", ",".join(sorted({c.eval_task for c in run.cells} - set(run.tasks)))
        for cell in run.scores.values():
            if cell.step == 0:
                where = f"'{cell.eval_task}' {cell.direction or ''}".strip()
                yield f"queries and gallery of {where}", (cell.n_queries, cell.n_gallery)
                shape = cell.eval_title, cell.kind, str(cell.label_space)
                yield f"title and kind of '{cell.eval_task}'", shape
        for task, key in (run.evidence.keys if run.evidence else {}).items():
            yield f"key of '{task}'", key.digest()


def _agree_at_zero(runs: list[Examined], pins: PinnedSuite | None, promises: Promises) -> None:
    """V10 of weights that are not pinned."""
    runs = [
        run
        for run in runs
        if pins is None or str(run.part("weights", "sha256")) not in pins.zero_shot
    ]
    if runs and not any(_plain(run, promises) for run in runs):
        fix = f"run zero-shot on {runs[0].row['suite']} with these weights"
        for run in runs:
            run.warn("V10", "a zero-shot run of the same weights beside it", "none", fix)
    if len(runs) < 2:
        return
    rows = {id(run): _zero_rows(run) for run in runs}
    own = {rows[id(run)] for run in runs if _plain(run, promises)}
    right = _right(list(rows.values()), own)
    first = next((run for run in runs if rows[id(run)] == right), None)
    for run in runs:
        told = (*rounding(run), *(rounding(first) if first else ()))
        wanted = dict(right or ())
        cells = [cell for cell in run.scores.values() if cell.step == 0 and cell.hits is not None]
        odd = next((c for c in cells if not _agrees(c, wanted, *told)), None)
        if odd is not None:
            expected = "the zero-shot rows of the records beside it"
            run.error("V10", expected, f"{odd.hits} hits", AGAIN, odd.place())


def _agrees(cell: ScoredCell, wanted: Mapping[Any, int], *told: object) -> bool:
    hits = wanted.get((cell.eval_task, str(cell.direction), str(cell.k)))
    return hits is not None and near(cell, hits, *told)


def _zero_rows(run: Examined) -> tuple[Any, ...]:
    return tuple(
        sorted(
            ((cell.eval_task, str(cell.direction), str(cell.k)), cell.hits)
            for cell in run.scores.values()
            if cell.step == 0 and cell.hits is not None
        )
    )
