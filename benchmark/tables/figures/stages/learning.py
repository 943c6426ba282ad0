"""Every method's scores at every stage: the matrix of stages and sets, and curves of learned tasks.

Forward order. A set of pairs counts with the mean Recall@1 of both directions, a labelled one with
its accuracy. Rows that are compared with no others, and the ablations, are not drawn.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from statistics import fmean, stdev

from ....records.naming import suite_folder
from ...cells import TableRow, rows_of
from ...groups import Group
from ...run_numbers import At, Metric, RunNumbers
from ...sets import learned, shown
from ...spec import FEW_SHOT_ORDER, METHOD_ORDER, UPPER_BOUND, ZERO_SHOT, backbone_key, is_ablation
from ..charts import Curve, Style, make_axis
from .sheets import Band, Heat, Sheet, Small, ceiling

MATRICES, CURVES = "stages", "learning"
MATRICES_TITLE = "Scores at every stage, of learned and of held-out sets"
CURVES_TITLE = "Learned tasks: mean score, and change since each was learned"
_ABOUT_MATRICES = (
    "Percent, mean over seeds: Recall@1 (mean of both directions) or accuracy. Rows: stages, from "
    "the untouched model on. Framed:",
    "a task just after it was learned. To the right, a little apart: sets that are never learned. "
    "Grey: no number.",
)
_ABOUT_CURVES = (
    "By number of tasks learned. In colour: the method, band: ± one standard deviation over seeds, "
    "number: at the end. Pale: all other methods.",
    f"Dotted: the untouched model on the same tasks. {UPPER_BOUND} learns all tasks at the end: "
    "a point.",
)
_PAGE = 12  # matrices on a sheet
_WIDTH = 1150.0  # about that of a row of matrices, in points
_ACROSS = 6  # small charts in a row
_OWN, _OTHER, _LINE = (
    Style("#0072b2", width=2.0), Style("#d9d9d9", width=0.9), Style("#595959", (1, 2), 1.4),
)  # fmt: skip
Numbers = Sequence[float | None]


def score_of(run: RunNumbers, name: str, step: int) -> float | None:
    """Percent of one set after a step: both directions together; None for a hole."""
    pairs = name in run.sets and run.sets[name].kind == "pairs"
    metric, k = (Metric.RECALL, 1) if pairs else (Metric.ACCURACY, None)
    ways = ("t2i", "i2t") if pairs else ("",)
    values = [run.numbers.get(At(name, way, metric, k, step), (None, ""))[0] for way in ways]
    known = [value for value in values if value is not None]
    return 100 * fmean(known) if len(known) == len(values) else None


def mean_of_learned(run: RunNumbers, stage: int) -> float | None:
    """Mean score of the tasks learned so far, after a stage; None at stage 0 and over a hole."""
    names = run.tasks.split(",")[:stage]
    return _mean([score_of(run, name, stage) for name in names])


def change_since_learned(run: RunNumbers, stage: int) -> float | None:
    """Mean over the tasks learned so far of the score now minus that just after learning it.

    None at stage 0 and over a hole, and of a method that learns all tasks at the end.
    """
    if run.method == UPPER_BOUND:
        return None
    changes: list[float | None] = []
    for place, name in enumerate(run.tasks.split(",")[:stage], start=1):
        then, now = score_of(run, name, place), score_of(run, name, stage)
        changes.append(None if then is None or now is None else now - then)
    return _mean(changes)


def untouched(run: RunNumbers, stage: int) -> float | None:
    """Mean score of the untouched model on the tasks learned so far."""
    return _mean([score_of(run, name, 0) for name in run.tasks.split(",")[:stage]])


def _mean(values: Numbers) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _over_seeds(values: Numbers) -> tuple[float | None, float | None]:
    """Mean and standard deviation over seeds; none over a hole."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None, None
    return fmean(known), stdev(known) if len(known) > 1 else None


def _curve(
    row: TableRow, of: Callable[[RunNumbers, int], float | None], stages: int, style: Style
) -> Curve | None:
    """One of a row; None without a number."""
    points = [_over_seeds([of(run, stage) for run in row.runs]) for stage in range(stages)]
    if row.method == UPPER_BOUND:  # before the end it has learned nothing
        points = [(None, None)] * (stages - 1) + points[-1:]
    means, sds = zip(*points, strict=True)
    return Curve(row.label, style, means, sds) if any(m is not None for m in means) else None


def _order(row: TableRow, paper: Sequence[str]) -> tuple[bool, bool, int]:
    """The untouched model first, then a paper's methods, its own before what it compares with."""
    listed = row.method in paper
    return row.method != ZERO_SHOT, not listed, -paper.index(row.method) if listed else 0


def _groups(runs: Sequence[RunNumbers]) -> Iterator[tuple[Group, list[TableRow]]]:
    """Rows of every suite and backbone."""
    mine = [
        run for run in runs
        if run.order == "forward" and not run.why and not is_ablation(run.method, run.variant)
    ]  # fmt: skip
    mine.sort(key=lambda run: (run.group[:2], backbone_key(run.group[2]), run.group[3]))
    for group, found in groupby(mine, key=lambda run: run.group):
        some = list(found)
        paper = METHOD_ORDER if "pairs" in some[0].worlds else FEW_SHOT_ORDER
        rows = list(rows_of(some))
        yield group, sorted(rows, key=partial(_order, paper=paper))


def _heats(rows: Sequence[TableRow]) -> list[Heat]:
    runs = shown([run for row in rows for run in row.runs])
    tasks = {**learned(runs), **learned(runs, "labelled")}
    first = max(runs, key=lambda run: run.n_steps)
    tasks = {name: tasks[name] for name in first.tasks.split(",") if name in tasks}
    others: Mapping[str, str] = {
        name: one.title
        for name, one in sorted(first.sets.items())
        if not one.position
    }  # fmt: skip
    sets, steps = {**tasks, **others}, range(first.n_steps + 1)
    names = ["0 untouched", *(f"{step} {tasks.get(name, name)}" for step, name in
             enumerate(first.tasks.split(","), start=1))]  # fmt: skip
    tables = [
        tuple(
            tuple(_over_seeds([score_of(r, name, step) for r in row.runs])[0] for name in sets)
            for step in steps
        )
        for row in rows
    ]
    high = ceiling(value for table in tables for line in table for value in line)
    diagonal = frozenset((place + 1, place) for place in range(len(tasks)))
    return [
        Heat(
            row.label, tuple(names), tuple(sets.values()), table,
            diagonal if row.method != UPPER_BOUND else frozenset(), len(tasks), high,
        )
        for row, table in zip(rows, tables, strict=True)
    ]  # fmt: skip


def make_matrices(runs: Sequence[RunNumbers]) -> dict[str, Sheet]:
    """File name without suffix -> sheet of at most twelve matrices, of every suite and backbone."""
    pages: dict[str, list[Sheet]] = {}
    for group, rows in _groups(runs):
        heats = _heats(rows)
        for some in (heats[start : start + _PAGE] for start in range(0, len(heats), _PAGE)):
            columns = len(some[0].columns)
            across = max(1, int(_WIDTH // (90 + 28 * columns)))
            heading = "{} {}, {} ({}), forward order".format(*group)
            band = Band(heading, tuple(some), across)
            title = f"{MATRICES_TITLE}: suite {group[0]}"
            sheets = pages.setdefault(suite_folder(group[0]), [])
            sheets.append(Sheet(title, _ABOUT_MATRICES, (band,)))
    return {
        f"{MATRICES}-{suite}-{number}": sheet
        for suite, sheets in pages.items()
        for number, sheet in enumerate(sheets, start=1)
    }


def make_curves(runs: Sequence[RunNumbers]) -> dict[str, Sheet]:
    """File name without suffix -> sheet of small charts, a method each, of every suite."""
    found: dict[str, tuple[str, list[Band]]] = {}
    for group, rows in _groups(runs):
        stages = max(run.n_steps for row in rows for run in row.runs) + 1
        line = _curve(rows[0], untouched, stages, _LINE)
        where = "{} {}, {} ({}), forward order".format(*group)
        bands = found.setdefault(suite_folder(group[0]), (group[0], []))[1]
        for words, of, beside in (
            ("mean score of the tasks learned so far", mean_of_learned, line),
            ("mean change since each task was learned", change_since_learned, None),
        ):
            panels = _smalls(rows, of, stages, beside)
            if panels:
                bands.append(Band(f"{where}: {words}", panels, _ACROSS))
    return {
        f"{CURVES}-{suite}": Sheet(f"{CURVES_TITLE}: suite {name}", _ABOUT_CURVES, tuple(bands))
        for suite, (name, bands) in found.items()
        if bands
    }


def _smalls(
    rows: Sequence[TableRow], of: Callable[[RunNumbers, int], float | None], stages: int,
    line: Curve | None,
) -> tuple[Small, ...]:  # fmt: skip
    own = {row.label: curve for row in rows if (curve := _curve(row, of, stages, _OWN))}
    pale = {row.label: curve for row in rows if (curve := _curve(row, of, stages, _OTHER))}
    heights = [height for curve in own.values() for height in curve.edges()]
    heights += line.edges() if line is not None else []
    if not own:
        return ()
    axis = make_axis(heights)
    return tuple(
        Small(label, axis, curve, tuple(pale[other] for other in pale if other != label), line)
        for label, curve in own.items()
    )
