"""Puts a table together: which rows, beside which printed numbers, with which notes."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from .bold.best import winner
from .cells import TableRow, named, rows_of
from .columns import Column, Panel, panels, printed_panels
from .grids import Footnote, Grid, PaperTable, Section, Shown, TableLine
from .paper.numbers import Printed, named_rows, printed_in
from .run_numbers import RunNumbers, tasks_alone
from .spec import (
    FAMILIES,
    PAPERS,
    TITLES,
    UPPER_BOUND,
    ZERO_SHOT,
    RowSpec,
    TableSpec,
    backbone_key,
    is_ablation,
)

APART = "†"
_PERCENT = (
    "Percent, mean ± standard deviation over seeds (standard error from the draw of the test "
    "images)."
)
_BADGES = (
    "Brackets beside a method: what it used beyond its own weights; beside a number: what the "
    "paper prints."
)
_BOLD = (
    "is bold where a paired test of the same images and seeds tells it from every other one (5 %, "
    "Holm)"
)
_BEST = (
    f"The best of a column {_BOLD}; `{UPPER_BOUND}`, an upper bound, takes no part, nor do rows "
    "that are told the task, the test pairing or the test batch."
)
_BEST_KNOWN = (
    f"The best of a column {_BOLD}; `{UPPER_BOUND}`, an upper bound, takes no part, nor do rows "
    "that are told the test pairing or the test batch. The task is known to all."
)
_STAGES = (
    "Stage 0 is the untouched backbone, stage t comes after t tasks, Δ is the last stage minus "
    f"stage 0. The best Δ {_BOLD}; `{UPPER_BOUND}`, an upper bound that learns all tasks at the "
    f"last stage, takes no part, nor does `{ZERO_SHOT}`, which does not move."
)
_BEST_VARIANT = (
    f"The best of a column {_BOLD}; rows that are told the task, the test pairing or the test "
    "batch take no part."
)
_OVER_STEPS = (
    "Transfer: a set's accuracy, mean over the steps before it is learned (the first set has "
    "none). Average: mean over all steps. Last: at the end."
)
_COLUMNS = {
    "margin": "ID: mean over the learned sets. OOD: mean over the held-out image-caption sets.",
    "lifelong": _OVER_STEPS,
    "summary": f"{_OVER_STEPS} Means over sets.",
    "cost": (
        "Mean over seeds. Trained: most parameters that a task trains. Added: parameters and "
        "stored values that predictions may read at the end beside one copy of the model (of "
        "routers, those of both modalities), without models that a method rebuilds from them and "
        "holds in memory; a dash: of a record that is older than this count. Kept: all "
        "that is there at the end beside it, for the next task too. Memory: the most that the "
        "process (on a GPU: its tensors) held. Time: seconds in training; they depend on the "
        "machine, and on what else ran there. Brackets beside a method: what it used beyond its "
        "own weights; beside a number: what the paper's project page prints, None for nothing."
    ),
    "tuning": (
        "Each task is learned alone, from the pretrained model. Parameters: of those that the task "
        "trains, the ones that its update leaves."
    ),
}
Named = tuple[RowSpec | None, TableRow]
"""A row and what the table calls it; None where its own name is used."""


class _Paper:
    """The printed numbers of one table, and the footnotes of those known to be wrong."""

    def __init__(self, spec: TableSpec) -> None:
        self.cells = printed_in(spec.number, spec.paper)
        self.suites, self.pretrained = spec.suites, spec.pretrained
        self.by_place = {(c.label, c.backbone, c.place): c for c in self.cells}
        self.errata = tuple(dict.fromkeys(c.erratum for c in self.cells if c.erratum))

    def note(self, cell: Printed | None) -> int:
        """Number of a cell's footnote, 0 for none."""
        return self.errata.index(cell.erratum) + 1 if cell is not None and cell.erratum else 0

    def beside(self, row: TableRow, column: Column) -> Printed | None:
        """The printed number that a measured cell may be compared with, if there is one."""
        suite, _, backbone, pretrained = column.group
        if row.why or suite not in self.suites or pretrained not in self.pretrained:
            return None
        return self.by_place.get((row.label, backbone, column.place))


def _chosen(rows: Sequence[TableRow], spec: TableSpec) -> list[Named]:
    """The rows of a table in its order, each with its name there."""
    names = named_rows(spec) if spec.rows != "all" else {}
    places = {label: place for place, label in enumerate(names)}

    def belongs(row: TableRow) -> bool:
        groups = {run.group for run in row.runs}
        free = spec.rows == "all" or (spec.rows == "shared" and len(groups) > 1)
        return row.label in names or (free and not is_ablation(row.method, row.variant))

    chosen = [(names.get(row.label), row) for row in rows if belongs(row)]
    return sorted(chosen, key=lambda one: places.get(one[1].label, len(places)))


def _stubs(name: RowSpec | None, row: TableRow, spec: TableSpec) -> tuple[str, ...]:
    before = tuple(name.name.split(", ")) if name is not None and spec.stubs else ()
    label = named(row.label, row.uses)
    if name is not None and not spec.stubs:
        label = named(f"{name.name} ({row.label})", row.uses)
    return (*before, f"{label} {APART}" if row.why else label)


def _notes(chosen: Sequence[Named], spec: TableSpec) -> Iterator[Footnote]:
    whys = tuple(f"{named(row.label, row.uses)}: {row.why}" for _, row in chosen if row.why)
    if whys:
        yield Footnote(f"{APART} Compared with no other row:", whys, listed=True)
    if spec.columns == "cost":
        yield from _machines(chosen)
    if spec.rows != "all":
        names = named_rows(spec)
        there = {row.label for _, row in chosen}
        ours = tuple(
            label for label in dict.fromkeys(row.label for _, row in chosen)
            if label not in names or not names[label].printed
        )  # fmt: skip
        if ours:
            yield Footnote("The paper has no such row:", ours)
        missing = tuple(label for label in names if label not in there)
        if missing:
            yield Footnote("No records of:", missing)


def _machines(chosen: Sequence[Named]) -> Iterator[Footnote]:
    """Where times were taken; line by line where that was not one place."""
    by_row = {row.label: {run.machine for run in row.runs} - {""} for _, row in chosen}
    every = sorted(set[str]().union(*by_row.values()))
    if len(every) == 1:
        yield Footnote("Times taken on:", tuple(every))
    elif every:
        listed = (
            f"{label}: {', '.join(sorted(on)) or 'not recorded'}" for label, on in by_row.items()
        )
        yield Footnote(
            "Times are of several machines, and not to be compared:", tuple(listed), True
        )


def _grid(panel: Panel, chosen: Sequence[Named], spec: TableSpec, paper: _Paper) -> Grid:
    title, columns = panel
    cells = [
        [row.cell(column.group, column.place, column.parts) for column in columns]
        for _, row in chosen
    ]
    rows = [row for _, row in chosen]
    best = [
        winner(rows, [line[number] for line in cells], column, spec)
        for number, column in enumerate(columns)
    ]
    lines = []
    for place, ((name, row), found) in enumerate(zip(chosen, cells, strict=True)):
        line = []
        for column, cell, first in zip(columns, found, best, strict=True):
            printed = paper.beside(row, column)
            line.append(Shown(cell, place == first, printed, paper.note(printed)))
        lines.append(TableLine(_stubs(name, row, spec), row, tuple(line)))
    heads = (*spec.stubs, "Method")
    return Grid(title, heads, tuple(columns), tuple(lines), tuple(_notes(chosen, spec)))


def _which(spec: TableSpec, run: RunNumbers | None = None) -> str:
    """The order of a block, or the task of one that has a single task."""
    if spec.order:
        return f"{spec.order} order"
    return f"{run.sets[run.tasks].title} alone" if run is not None else "each set alone"


def _measured(runs: Sequence[RunNumbers], spec: TableSpec, paper: _Paper) -> Section | None:
    """One block; None where its runs have nothing to do with the table."""
    chosen = _chosen(list(rows_of(runs)), spec)
    # A method alone is compared with nothing; a variant is shown nowhere else.
    alone = len(chosen) == 1 and not is_ablation(chosen[0][1].method, chosen[0][1].variant)
    if alone and spec.rows != "all":
        return None
    seen = [run for _, row in chosen for run in row.runs]
    found = list(panels(seen, spec)) if seen else []
    suite, version, backbone, pretrained = runs[0].group
    model = "" if spec.columns == "backbones" else f"{backbone} ({pretrained}), "
    heading = f"{suite} {version}, {model}{_which(spec, runs[0])}"
    if not found:
        kind = "labelled" if spec.kind == "labelled" else "image-caption"
        absent = f"{suite} {version} has no held-out {kind} set left for this table."
        return Section(heading, (), absent) if seen and spec.columns == "stages" else None
    groups = {column.group for _, columns in found for column in columns}
    counts = sorted({len(row.of(g)) for _, row in chosen for g in groups if row.of(g)})
    seeds = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    grids = tuple(_grid(panel, chosen, spec, paper) for panel in found)
    return Section(f"{heading}, seeds: {seeds}", grids)


def _printed(spec: TableSpec, paper: _Paper) -> Section:
    """The paper's block; of a table whose numbers the paper lacks, a word on that."""
    lines: dict[str, dict[tuple[str, object], Printed]] = {}
    for cell in paper.cells:
        lines.setdefault(cell.row, {})[cell.backbone, cell.place] = cell
    grids = []
    for title, columns in printed_panels(spec, paper.cells):
        grid = []
        for name, by_place in lines.items():
            first = next(iter(by_place.values()))
            found = [by_place.get((column.group[2], column.place)) for column in columns]
            if not any(found):
                continue
            cells = tuple(Shown(None, False, cell, paper.note(cell)) for cell in found)
            stubs = (*name.split(", "), first.label) if spec.stubs else (f"{name} ({first.label})",)
            grid.append(TableLine(stubs, None, cells))
        grids.append(Grid(title, (*spec.stubs, "Method"), tuple(columns), tuple(grid), ()))
    if not paper.cells:
        return Section("Printed in the paper", (), "The paper's text has lost this table.")
    models = {cell.backbone for cell in paper.cells}
    where = f", {models.pop()}" if len(models) == 1 else ""
    whose = "in the paper" if spec.paper == "dar" else f"in the {PAPERS[spec.paper]} paper"
    if spec.columns == "cost":  # the text of the paper has lost it
        whose = f"on the project page of the {PAPERS[spec.paper]} paper"
    heading = f"Printed {whose}: {spec.suites[0]}{where}, {_which(spec)}"
    return Section(heading, tuple(grids))


def _about(spec: TableSpec) -> str:
    if spec.columns == "cost":
        return _COLUMNS["cost"]
    family = FAMILIES.get(spec.held_out)
    best = _BEST_KNOWN if spec.world == "own" else _BEST
    best = _BEST_VARIANT if spec.rows == "named" and spec.paper == "dar" else best
    parts = [_PERCENT, _STAGES if spec.columns == "stages" else best]
    parts += [_COLUMNS[spec.columns]] if spec.columns in _COLUMNS else []
    if family is not None:
        parts.append(f"{TITLES[spec.held_out]}: mean over its {len(family.members)} domains.")
    return " ".join([*parts, _BADGES])


def make_table(runs: Sequence[RunNumbers], spec: TableSpec) -> PaperTable:
    """One table with all its blocks; the same runs give the same table, in whatever order.

    Args:
        runs: of all suites, backbones and orders.
        spec: the table.
    """

    def block(run: RunNumbers) -> tuple[object, ...]:
        suite, version, backbone, pretrained = run.group
        model = () if spec.columns == "backbones" else (backbone_key(backbone), pretrained)
        return suite, version, *model, *(() if spec.order else (run.tasks,))

    paper = _Paper(spec)
    runs = runs if spec.order else tasks_alone(runs)
    ordered = (run for run in runs if run.order == spec.order)
    here = (run for run in ordered if spec.world is None or spec.world in run.worlds)
    these = (run for run in here if not spec.backbones or run.group[2] in spec.backbones)
    mine = sorted(these, key=block)
    made = [_measured(list(found), spec, paper) for _, found in groupby(mine, key=block)]
    sections = [section for section in made if section is not None]
    suites = dict.fromkeys(section.heading.split(",")[0] for section in sections if section.grids)
    return PaperTable(
        spec, _about(spec), (*sections, _printed(spec, paper)), tuple(suites), paper.errata
    )
