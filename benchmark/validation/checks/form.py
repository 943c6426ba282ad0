"""V01, V07, V08, V15: what one record must be, whatever suite and method it is of."""

import re
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter

from ...common.titles import plain_title
from ...errors import quoted
from ...records.answers import KS
from ..runs import Examined, ScoredCell

_AGAIN = "delete the record and repeat its run"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_WHITELIST = {
    "suite": _NAME,
    "suite_version": re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,31}"),
    "method": _NAME,
    "variant": re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,79})?"),
    "settings": re.compile(r"[A-Za-z0-9._+=,:@/ ()'-]{0,4000}"),
    "backbone": re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}"),
    "pretrained": re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+ ()-]{0,199}"),
    "order": re.compile(r"[A-Za-z0-9][A-Za-z0-9._:, -]{0,3999}"),
    "task_order": re.compile(r"[A-Za-z0-9][A-Za-z0-9._,-]{0,3999}"),
    "uses": re.compile(r"[a-z ,]{0,200}"),
}


def check_form(run: Examined) -> None:
    """V01, V15: plain names and titles, places that fit, measured rows."""
    for name, allowed in _WHITELIST.items():
        if not allowed.fullmatch(str(run.row[name])):
            run.error("V01", f"plain characters in '{name}'", quoted(run.row[name]), _AGAIN)
    label = run.part("method", "label")
    if label is not None and not (isinstance(label, str) and plain_title(label)):
        run.error("V01", "a label of plain characters", quoted(label), "correct the method's file")
    _check_words(run)
    # Few rows differ in what is judged here: all but one of a kind need no second look.
    places = {(c.role, c.eval_position, c.step, c.step_task): c for c in run.cells}
    shapes = {(c.kind, c.label_space, c.metric, c.direction, c.k): c for c in run.cells}
    if any(_misplaced(cell, run) for cell in (*places.values(), *shapes.values())):
        cell = next(cell for cell in run.cells if _misplaced(cell, run))
        expected, got = _misplaced(cell, run) or ("", "")
        run.error("V01", expected, got, _AGAIN, cell.place())
    foreign = next((cell for cell in run.cells if cell.source != "measured"), None)
    if foreign is not None:
        fix = "put a paper's numbers into the paper's tables"
        run.error("V15", "measured rows alone", f"one of a {foreign.source}", fix, foreign.place())


def _check_words(run: Examined) -> None:
    first: dict[tuple[str, str], ScoredCell] = {}
    for cell in run.cells:
        first.setdefault((cell.eval_task, cell.eval_title), cell)
    for (name, title), cell in first.items():
        if not _NAME.fullmatch(name):
            run.error("V01", "a set's name of plain characters", quoted(name), _AGAIN)
            break
        if not plain_title(title):
            got = quoted(title)
            run.error("V01", "a title of plain characters", got, "correct the suite", cell.place())
            break


def _misplaced(cell: ScoredCell, run: Examined) -> tuple[str, str] | None:
    """What a row should say where it contradicts itself."""
    place, step = cell.eval_position, cell.step
    role = "ood" if place is None else "future" if place > step else "current"
    role = "seen" if place is not None and place < step else role
    if cell.role != role:
        return f"the role '{role}'", f"'{cell.role}'"
    learned = run.tasks[step - 1] if 0 < step <= len(run.tasks) else None
    if cell.step_task != learned:
        return f"step_task '{learned}'", quoted(cell.step_task)
    if (cell.kind == "pairs") != (cell.label_space is None):
        return "a label space for labelled sets alone", str(cell.label_space)
    shape = (cell.metric, cell.direction in ("t2i", "i2t"), cell.k in KS)
    allowed = ("hit", True, True) if cell.kind == "pairs" else ("acc", False, False)
    if cell.metric != "route" and shape != allowed:
        return f"scores of a set of kind {cell.kind}", f"{cell.metric} {cell.direction} {cell.k}"
    if cell.metric == "route" and (cell.direction not in ("image", "text") or cell.k is None):
        return "routes of images and texts", f"{cell.direction} {cell.k}"
    return None


def check_complete(run: Examined) -> None:
    """V07: every step, set, direction and K has its row."""
    kinds = {cell.eval_task: cell.kind for cell in run.cells}
    for step in range(int(run.row["n_steps"]) + 1):
        for task, kind in kinds.items():
            for direction, k in _expected(kind):
                if (step, task, direction, k) not in run.scores:
                    place = ", ".join(str(p) for p in (f"step {step}", task, direction, k) if p)
                    run.error("V07", "a row for every score", "none", _AGAIN, place)
                    return


def _expected(kind: str) -> Iterator[tuple[str | None, int | None]]:
    if kind == "pairs":
        yield from ((direction, k) for direction in ("t2i", "i2t") for k in KS)
    else:
        yield None, None


def check_arithmetic(run: Examined, pinned: bool) -> None:
    """V08: counts that fit each other.

    Args:
        run: the run.
        pinned: whether the suite's counts are pinned, so that V06 compares them with these.
    """
    sizes: dict[tuple[str, str | None], tuple[int, int]] = {}
    for cell in run.scores.values():
        both = cell.n_queries, cell.n_gallery
        first = sizes.setdefault((cell.eval_task, cell.direction), both)
        if first != both and not pinned:
            got = f"{both[0]} and {both[1]} beside {first[0]} and {first[1]}"
            run.error("V08", "the same queries and gallery everywhere", got, _AGAIN, cell.place())
            return
    for (task, direction), (queries, gallery) in sizes.items():
        other = sizes.get((task, "i2t"))
        wrong = direction == "t2i" and other is not None and other != (gallery, queries)
        if wrong and not pinned:
            got = f"{queries} captions for {gallery} images, and {other} reversed"
            run.error("V08", "the same captions and images in both directions", got, _AGAIN, task)
            return
    _check_routes(run)


def _check_routes(run: Examined) -> None:
    place = attrgetter("step", "eval_task", "direction")
    routes = sorted((cell for cell in run.cells if cell.metric == "route"), key=place)
    for (step, task, direction), found in groupby(routes, place):
        shares = list(found)
        total, n = sum(cell.hits or 0 for cell in shares), {cell.n_queries for cell in shares}
        score = run.scores.get((step, task, "i2t", 1)) or run.scores.get((step, task, None, None))
        wanted = None
        if score is not None and direction == "image":
            wanted = score.n_queries
        elif score is not None and score.kind == "pairs":
            wanted = score.n_gallery
        if n != {total} or (wanted is not None and total != wanted):
            got = f"{total} of {sorted(n)} {direction}s"
            where = f"step {step}, {task}, {direction}"
            run.error("V08", f"routes of {wanted or 'all'} {direction}s", got, _AGAIN, where)
            return
