"""Figure 1a of the CoDyRA paper: what training costs, against the accuracy at the end."""

from collections.abc import Sequence
from math import ceil, floor, log10

from ....records.naming import suite_folder
from ...cells import TableRow, rows_of
from ...run_numbers import At, Metric, RunNumbers, of_run
from ...spec import UPPER_BOUND, is_ablation
from ..charts import Axis, make_axis
from .panels import COLOURS, MARKERS, Analysis, Cloud, Dot, Dots, Strip, Value, edges, over_seeds
from .whole_runs import groups_of, is_study_row

COST = "codyra-cost"
TITLE = "What training costs, and the accuracy at the end"
_ABOUT = (
    "Order I, means over tasks; bars: ± one standard deviation over seeds. Memory is that of the "
    "process (on a GPU: of its tensors).",
    "Seconds are of whole runs and depend on the machine: rings are rows of another machine than "
    "most, or of none that is known.",
)
_PARTS = (
    (Metric.TIME_TRAINING, 1.0, "seconds in training"),
    (Metric.MEMORY_TRAINING, 2**-20, "peak memory in training (MiB)"),
    (Metric.PARAMETERS_TRAINED, 1e-6, "trained parameters (millions)"),
)
MOST = len(COLOURS) * len(MARKERS)


def _axis(values: Sequence[float]) -> Axis:
    """An axis of round numbers from 0 on."""
    most = max([*values, 1e-9])
    step = 10.0 ** floor(log10(most))
    step = next(s for s in (step / 5, step / 2, step, 2 * step) if most / s <= 6)
    return Axis(0.0, step * max(1, ceil(most / step)), step)


def _values(row: TableRow, at: At, unit: float) -> Value | None:
    names = [n for n, one in row.runs[0].sets.items() if one.position]
    found = [run.outcome(at, names if at.dataset else ())[0] for run in row.runs]
    known = [unit * value for value in found if value is not None]
    return over_seeds(known) if known and len(known) == len(found) else None


def _machine(row: TableRow) -> str:
    machines = {run.machine for run in row.runs}
    return machines.pop() if len(machines) == 1 else ""


def _panels(rows: Sequence[TableRow]) -> list[Cloud]:
    machines = [_machine(row) for row in rows]
    usual = max(set(machines) - {""}, key=machines.count, default="")
    panels = []
    for metric, unit, words in _PARTS:
        kinds = []
        for number, row in enumerate(rows[:MOST]):
            x = _values(row, of_run(metric), unit)
            y = _values(row, At("average", "", Metric.ACCURACY, None, None), 100)
            if x is None or y is None:
                continue
            apart = metric == Metric.TIME_TRAINING and _machine(row) != usual
            look = COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS)]
            kinds.append(Dots(row.label, *look, (Dot(x, y),), hollow=apart, apart=apart))
        if kinds:
            dots = [dot for kind in kinds for dot in kind.dots]
            panels.append(Cloud(
                words[0].upper() + words[1:], words, "Last (%)",
                _axis(edges(dot.x for dot in dots)), make_axis(edges(dot.y for dot in dots)),
                tuple(kinds),
            ))  # fmt: skip
    return panels


def make_cost_figures(runs: Sequence[RunNumbers]) -> dict[str, Analysis]:
    """File name without suffix -> figure, for every suite of labelled tasks with records."""
    strips: dict[str, list[Strip]] = {}
    for group, some in groups_of(runs):
        rows = [
            row for row in rows_of(some)
            if not is_ablation(row.method, row.variant) and row.method != UPPER_BOUND
            and not row.settings and not is_study_row(row.method, row.variant, row.settings)
            and all(run.worlds & {"own", "union"} for run in row.runs)
        ]  # fmt: skip
        panels = tuple(_panels(rows))
        if panels:
            heading = "{} {}, {} ({}), order I".format(*group)
            strips.setdefault(group[0], []).append(Strip(heading, panels, 2))
    return {
        f"{COST}-{suite_folder(suite)}": Analysis(f"{TITLE}: suite {suite}", _ABOUT, tuple(found))
        for suite, found in strips.items()
    }
