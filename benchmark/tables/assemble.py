"""Puts a table together: which rows, beside which printed numbers, with which notes."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from .bold.best import winner
from .cells import TableRow, named, rows_of
from .columns import Column, Panel, panels, printed_panels
from .grids import Footnote, Grid, PaperTable, Section, Shown, TableLine
from .notes.about import about
from .notes.block import block_notes
from .notes.settings import extra_notes
from .paper.beside import OTHER_SETS, PaperNumbers
from .paper.numbers import Printed, named_rows
from .run_numbers import RunNumbers, tasks_alone
from .spec import EXTRA_ROWS, PAPERS, RowSpec, TableSpec, backbone_key, is_ablation

APART, EXTRA = "†", "‡"
Named = tuple[RowSpec | None, TableRow]
"""A row and what the table calls it; None where its own name is used."""


def _chosen(rows: Sequence[TableRow], spec: TableSpec) -> list[Named]:
    """The rows of a table in its order, each with its name there."""
    names = named_rows(spec) if spec.rows != "all" else {}
    places = {label: place for place, label in enumerate(names)}

    def belongs(row: TableRow) -> bool:
        groups = {run.group for run in row.runs}
        free = spec.rows == "all" or (spec.rows == "shared" and len(groups) > 1)
        shown = row.label in EXTRA_ROWS or not is_ablation(row.method, row.variant)
        return row.label in names or (free and shown)

    chosen = [(names.get(row.label), row) for row in rows if belongs(row)]
    return sorted(chosen, key=lambda one: places.get(one[1].label, len(places)))


def _stubs(name: RowSpec | None, row: TableRow, spec: TableSpec) -> tuple[str, ...]:
    before = tuple(name.name.split(", ")) if name is not None and spec.stubs else ()
    label = named(row.label, row.uses)
    if name is not None and not spec.stubs:
        label = named(f"{name.name} ({row.label})", row.uses)
    marks = [APART] * bool(row.why) + [EXTRA] * (row.label in EXTRA_ROWS)
    return (*before, " ".join([label, *marks]))


def _notes(chosen: Sequence[Named], spec: TableSpec) -> Iterator[Footnote]:
    whys = tuple(f"{named(row.label, row.uses)}: {row.why}" for _, row in chosen if row.why)
    if whys:
        yield Footnote(f"{APART} Compared with no other row:", whys, listed=True)
    if extra := tuple(extra_notes([row for _, row in chosen])):
        yield Footnote(
            f"{EXTRA} An extra row of other settings, never the best:", extra, listed=True
        )
    if spec.rows != "all":
        names = named_rows(spec)
        taken = {names[label].name for label in EXTRA_ROWS if label in names}
        there = {row.label for _, row in chosen}
        ours = tuple(
            label for label in dict.fromkeys(row.label for _, row in chosen)
            if label not in names
            or not (names[label].printed or names[label].name in taken)
        )  # fmt: skip
        if ours:
            yield Footnote("The paper has no such row:", ours)
        missing = tuple(label for label in names if label not in there)
        if missing:
            yield Footnote("No records of:", missing)


def _grid(panel: Panel, chosen: Sequence[Named], spec: TableSpec, paper: PaperNumbers) -> Grid:
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


def _measured(runs: Sequence[RunNumbers], spec: TableSpec, paper: PaperNumbers) -> Section | None:
    """One block; None where its runs have nothing to do with the table."""
    chosen = _chosen(list(rows_of(runs)), spec)
    # A method alone is compared with nothing; a variant is shown nowhere else.
    alone = len(chosen) == 1 and (
        chosen[0][1].label in EXTRA_ROWS
        or not is_ablation(chosen[0][1].method, chosen[0][1].variant)
    )
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
    rows = [row for _, row in chosen]
    notes = tuple(block_notes(rows, grids, spec, paper))
    return Section(f"{heading}, seeds: {seeds}", grids, notes=notes)


def _printed(spec: TableSpec, paper: PaperNumbers) -> Section:
    """The paper's block; of a table whose numbers the paper lacks, a word on that."""
    lines: dict[str, dict[tuple[str, object], Printed]] = {}
    for cell in paper.cells:
        lines.setdefault(cell.row, {})[cell.backbone, cell.place] = cell
    grids = []
    for title, found_columns in printed_panels(spec, paper.cells):
        grid, columns = [], paper.marked(found_columns)
        for name, by_place in lines.items():
            first = next(iter(by_place.values()))
            found = [by_place.get((column.group[2], column.place)) for column in columns]
            if not any(found):
                continue
            cells = tuple(Shown(None, False, cell, paper.note(cell)) for cell in found)
            stubs = (*name.split(", "), first.label) if spec.stubs else (f"{name} ({first.label})",)
            grid.append(TableLine(stubs, None, cells))
        notes = tuple(_printed_notes(columns))
        grids.append(Grid(title, (*spec.stubs, "Method"), tuple(columns), tuple(grid), notes))
    if not paper.cells:
        return Section("Printed in the paper", (), "The paper's text has lost this table.")
    models = {cell.backbone for cell in paper.cells}
    where = f", {models.pop()}" if len(models) == 1 else ""
    whose = "in the paper" if spec.paper == "dar" else f"in the {PAPERS[spec.paper]} paper"
    if spec.columns == "cost":  # the text of the paper has lost it
        whose = f"on the project page of the {PAPERS[spec.paper]} paper"
    heading = f"Printed {whose}: {spec.suites[0]}{where}, {_which(spec)}"
    unknown = paper.unknown([column for grid in grids for column in grid.columns])
    absent = f"How many test images the paper has is not known of: {', '.join(unknown)}."
    return Section(heading, tuple(grids), notes=(absent,) if unknown else ())


def _printed_notes(columns: Sequence[Column]) -> Iterator[Footnote]:
    remarks = tuple(dict.fromkeys(column.remark for column in columns if column.remark))
    words = tuple(dict.fromkeys(word for one in remarks for word in one.split("; ")))
    if words:
        yield Footnote(f"{OTHER_SETS} Of other test images than ours:", words, listed=True)


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

    paper = PaperNumbers(spec, runs)
    runs = runs if spec.order else tasks_alone(runs)
    ordered = (run for run in runs if run.order == spec.order)
    here = (run for run in ordered if spec.world is None or spec.world in run.worlds)
    these = (run for run in here if not spec.backbones or run.group[2] in spec.backbones)
    mine = sorted(these, key=block)
    made = [_measured(list(found), spec, paper) for _, found in groupby(mine, key=block)]
    sections = [section for section in made if section is not None]
    suites = dict.fromkeys(section.heading.split(",")[0] for section in sections if section.grids)
    return PaperTable(
        spec, about(spec), (*sections, _printed(spec, paper)), tuple(suites), paper.errata
    )
