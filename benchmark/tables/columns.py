"""The columns of every table and the numbers below them, of measured and of printed blocks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from .cells import UNITS
from .groups import Group
from .paper.numbers import Printed
from .run_numbers import At, Metric, RunNumbers, of_run
from .sets import held_out, learned, placed, shown
from .spec import (
    ARROWS,
    AVERAGE,
    DIRECTIONS,
    HELD_OUT,
    PAPER_PRETRAINED,
    TITLES,
    TableSpec,
    backbone_key,
)

Titles = Mapping[str, str]
# Metrics of three tables and their heads. The accuracy at the end of a run is called Last.
LIFELONG = {Metric.TRANSFER: "Transfer", Metric.AVERAGE: "Average", Metric.ACCURACY: "Last"}
TUNING = {Metric.ACCURACY: "Accuracy", Metric.PARAMETERS_KEPT: "Parameters"}
COST = {
    Metric.PARAMETERS_TRAINED: "Trained",
    Metric.NUMBERS_READ: "Added",
    Metric.BYTES_READ: "Added, size",
    Metric.BYTES_KEPT: "Kept",
    Metric.MEMORY_TRAINING: "Memory, training",
    Metric.MEMORY_EVALUATION: "Memory, evaluation",
    Metric.TIME_TRAINING: "Time, training",
}


@dataclass(frozen=True)
class Column:
    """One column of numbers.

    Attributes:
        over: head above several columns, '' for none.
        head: its own head.
        group: the runs that it shows.
        place: which number of a run.
        parts: the sets whose mean it is; one for a number that is no mean.
        contest: whether the best number of the column is marked.
        remark: on its printed numbers, '' for none.
    """

    over: str
    head: str
    group: Group
    place: At
    parts: tuple[str, ...]
    contest: bool = True
    remark: str = ""

    @property
    def form(self) -> str:
        """How its cells are written, see `TableCell.show`."""
        if self.place.metric == Metric.CHANGE:
            return "+"
        return UNITS.get(self.place.metric, (0, ""))[1]


Panel = tuple[str, list[Column]]
"""A sub-heading ('' for none) and the columns under it."""

_HEADS: Mapping[str, Callable[[At, str, Titles], tuple[str, str]]] = {
    "tasks": lambda place, _, titles: (ARROWS[place.direction], titles[place.dataset]),
    "backbones": lambda place, backbone, _: (backbone, ARROWS[place.direction]),
    "average": lambda place, *_: ("", ARROWS[place.direction]),
    "margin": lambda place, *_: (
        "ID" if place.dataset == AVERAGE else "OOD",
        ARROWS[place.direction],
    ),
    "stages": lambda place, *_: ("", "Δ" if place.metric == Metric.CHANGE else str(place.step)),
    "lifelong": lambda place, _, titles: ("", titles[place.dataset]),
    "summary": lambda place, *_: ("", LIFELONG[place.metric]),
    "unseen": lambda place, _, titles: ("", titles[place.dataset]),
    "tuning": lambda place, _, titles: (titles[place.dataset], TUNING[place.metric]),
    "cost": lambda place, *_: ("", COST[place.metric]),
}


def _column(
    spec: TableSpec,
    group: Group,
    place: At,
    parts: Sequence[str],
    titles: Titles = TITLES,
    backbone: str = "",
) -> Column:
    over, head = _HEADS[spec.columns](place, backbone or group[2], titles)
    # The stages on the way are a curve, not a contest.
    stage = spec.columns == "stages" and place.metric != Metric.CHANGE
    contest = not stage and place.metric not in UNITS
    return Column(over, head, group, place, tuple(parts), contest)


def _tasks(runs: Sequence[RunNumbers], spec: TableSpec) -> Iterator[Panel]:
    titles = learned(runs)
    heads = {**titles, AVERAGE: TITLES[AVERAGE]}
    if titles:
        yield (
            "",
            [
                _column(
                    spec,
                    runs[0].group,
                    At(name, direction, Metric.RECALL, spec.k, None),
                    tuple(titles) if name == AVERAGE else (name,),
                    heads,
                )
                for direction, _ in DIRECTIONS
                for name in heads
            ],
        )


def _averages(runs: Sequence[RunNumbers], spec: TableSpec) -> Iterator[Panel]:
    """The mean over the learned sets, for every group; and that over the held-out ones."""
    groups = sorted({run.group for run in runs}, key=lambda g: (*backbone_key(g[2]), g))
    names = [group[2] for group in groups]
    columns = []
    for group in groups:
        here = [run for run in runs if run.group == group]
        means = {AVERAGE: tuple(learned(here))}
        if spec.columns == "margin":
            means[HELD_OUT] = tuple(one.name for one in held_out(here, "pairs"))
        backbone = group[2] if names.count(group[2]) == 1 else f"{group[2]} ({group[3]})"
        for (name, parts), (way, _) in product(means.items(), DIRECTIONS):
            if parts:
                place = At(name, way, Metric.RECALL, spec.k, None)
                columns.append(_column(spec, group, place, parts, backbone=backbone))
    if any(column.place.dataset == AVERAGE for column in columns):
        yield "", columns


def _stage_places(name: str, direction: str, k: int | None, last: int) -> list[At]:
    metric = Metric.RECALL if direction else Metric.ACCURACY
    stages = [At(name, direction, metric, k, step) for step in range(last + 1)]
    return [*stages, At(name, direction, Metric.CHANGE, k, None)]


def _stages(runs: Sequence[RunNumbers], spec: TableSpec) -> Iterator[Panel]:
    last = max(run.n_steps for run in shown(runs))
    for one in placed(runs, spec.kind)[spec.number]:
        for direction in ("",) if spec.k is None else ("i2t", "t2i"):
            places = _stage_places(one.name, direction, spec.k, last)
            columns = [_column(spec, runs[0].group, place, one.parts) for place in places]
            yield _panel_title(one.title, direction), columns


def _lifelong(runs: Sequence[RunNumbers], spec: TableSpec) -> Iterator[Panel]:
    """Transfer, Average and Last of every task; the first one has no Transfer."""
    titles = learned(runs, "labelled")
    heads, group = {**titles, AVERAGE: TITLES[AVERAGE]}, runs[0].group
    for metric, title in LIFELONG.items() if titles else ():
        every = tuple(titles)[1:] if metric == Metric.TRANSFER else tuple(titles)
        columns = []
        for name in heads:
            place = At(name, "", metric, None, None)
            parts = every if name == AVERAGE else (name,)
            columns.append(_column(spec, group, place, parts, heads))
        yield title, columns


def _summary(runs: Sequence[RunNumbers], spec: TableSpec) -> Iterator[Panel]:
    """The last columns of `_lifelong`."""
    found = [columns[-1] for _, columns in _lifelong(runs, spec)]
    if found:
        places = ((column.place, column.parts) for column in found)
        yield "", [_column(spec, runs[0].group, place, parts) for place, parts in places]


def _unseen(runs: Sequence[RunNumbers], spec: TableSpec) -> Iterator[Panel]:
    sets = held_out(runs, spec.kind)
    heads = {**{one.name: one.title for one in sets}, HELD_OUT: TITLES[HELD_OUT]}
    parts = {one.name: one.parts for one in sets}
    parts[HELD_OUT] = tuple(name for one in sets for name in one.parts)
    places = [At(name, "", Metric.AVERAGE, None, None) for name in heads]
    if sets:
        group = runs[0].group
        yield "", [_column(spec, group, place, parts[place.dataset], heads) for place in places]


def _tuning(runs: Sequence[RunNumbers], spec: TableSpec) -> Iterator[Panel]:
    titles = learned(runs, "labelled")
    places = (At(name, "", metric, None, 1) for name in titles for metric in TUNING)
    yield "", [_column(spec, runs[0].group, place, (place.dataset,), titles) for place in places]


def _cost(runs: Sequence[RunNumbers], spec: TableSpec) -> Iterator[Panel]:
    places = (of_run(metric) for metric in COST)
    yield "", [_column(spec, runs[0].group, place, ()) for place in places]


def _panel_title(title: str, direction: str) -> str:
    return f"{title}, {ARROWS[direction]}" if direction else title


_PANELS: Mapping[str, Callable[[Sequence[RunNumbers], TableSpec], Iterator[Panel]]] = {
    "tasks": _tasks,
    "backbones": _averages,
    "average": _averages,
    "margin": _averages,
    "stages": _stages,
    "lifelong": _lifelong,
    "summary": _summary,
    "unseen": _unseen,
    "tuning": _tuning,
    "cost": _cost,
}


def panels(runs: Sequence[RunNumbers], spec: TableSpec) -> Iterator[Panel]:
    """The columns of one measured block of a table; none where its runs have no such numbers.

    Args:
        runs: of one block and of the table's order, at least one.
        spec: the table.
    """
    return _PANELS[spec.columns](runs, spec)


def printed_panels(spec: TableSpec, cells: Sequence[Printed]) -> Iterator[Panel]:
    """The columns of a table as the paper prints it, from its numbers."""
    found: dict[str, dict[tuple[Group, At], Column]] = {}
    for cell in cells:
        group = (spec.suites[0], "", cell.backbone, PAPER_PRETRAINED)
        title = ""
        if spec.columns == "stages":
            title = _panel_title(TITLES[cell.dataset], cell.direction)
        elif spec.columns == "lifelong":
            title = LIFELONG[cell.metric]
        columns = found.setdefault(title, {})
        columns.setdefault((group, cell.place), _column(spec, group, cell.place, ()))
    first = list(LIFELONG.values())
    titles = sorted(found, key=first.index) if spec.columns == "lifelong" else list(found)
    for title in titles:
        every = list(found[title].values())
        if spec.columns == "summary":  # the first row need not have all of them
            every.sort(key=lambda column: list(LIFELONG).index(column.place.metric))
        yield title, every
