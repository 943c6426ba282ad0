r"""Tables as LaTeX: one float a block, for `\input` in a document with booktabs and graphicx."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from ...errors import visible
from ..cells import MISSING
from ..columns import Column
from ..grids import Grid, PaperTable, Section, Shown
from ..paper.beside import OTHER_SETS
from ..spec import GAMMA
from .markdown import MARK

_PREAMBLE = f"% {MARK}\n% needs \\usepackage{{booktabs}} and \\usepackage{{graphicx}}"
_WIDE = 8  # columns of numbers; more are scaled to the width of the line
_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$",
    ">": r"$>$", "|": r"$|$", "→": r"$\to$", "Δ": r"$\Delta$",
    GAMMA: r"$\gamma$", "±": r"$\pm$", "†": r"$\dagger$", "‡": r"$\ddagger$", OTHER_SETS: r"\S{}",
    MISSING: "--",
}  # fmt: skip
_PATTERN = re.compile("|".join(map(re.escape, _SPECIAL)))


def escape(text: str) -> str:
    """Any text as LaTeX that prints it; `words in backticks` become typewriter."""
    plain = _PATTERN.sub(lambda found: _SPECIAL[found[0]], visible(text))
    return re.sub(r"`([^`]*)`", r"\\texttt{\1}", plain)


def _signed(number: str) -> str:
    return f"$-${number[1:]}" if number.startswith("-") else number


def _shown(column: Column, shown: Shown) -> str:
    printed, mark = shown.printed, f"$^{{{shown.note}}}$" if shown.note else ""
    value = "" if printed is None else f"{_signed(printed.value)}{mark}"
    if shown.measured is None:
        return value or escape(MISSING)
    text = shown.measured.show(column.form)
    if shown.measured.mean is None or column.form not in ("", "+"):
        text, rest = escape(text), ""
    else:
        mean, _, rest = text.partition(" ")
        text = _signed(escape(mean))
    text = f"\\textbf{{{text}}}" if shown.best else text
    text += f" {escape(rest)}" if rest else ""
    return f"{text} [{value}]" if value else text


def _spans(grid: Grid) -> Iterator[str]:
    """The row of heads above heads, and the rules below them."""
    first = len(grid.stubs) + 1
    heads, rules = [""] * len(grid.stubs), []
    for over, columns in groupby(grid.columns, key=lambda column: column.over):
        last = first + len(list(columns)) - 1
        heads.append(f"\\multicolumn{{{last - first + 1}}}{{c}}{{{escape(over)}}}")
        rules.append(f"\\cmidrule(lr){{{first}-{last}}}")
        first = last + 1
    yield f"{' & '.join(heads)} \\\\"
    yield " ".join(rules)


def _tabular(grid: Grid) -> Iterator[str]:
    yield f"\\begin{{tabular}}{{{'l' * len(grid.stubs)}{'r' * len(grid.columns)}}}"
    yield "\\toprule"
    if any(column.over for column in grid.columns):
        yield from _spans(grid)
    heads = [
        *grid.stubs,
        *(column.head + f" {OTHER_SETS}" * bool(column.remark) for column in grid.columns),
    ]
    yield f"{' & '.join(map(escape, heads))} \\\\"
    yield "\\midrule"
    for line in grid.lines:
        cells = [*map(escape, line.stubs), *map(_shown, grid.columns, line.cells)]
        yield f"{' & '.join(cells)} \\\\"
    yield "\\bottomrule"
    yield "\\end{tabular}"


def _below(grid: Grid, errata: Sequence[str]) -> Iterator[str]:
    """Notes, and the errata of the numbers in this grid."""
    for note in grid.notes:
        between, end = ("; ", ".") if note.listed else (", ", ".")
        yield escape(f"{note.text} {between.join(note.items)}{end}")
    for number in sorted({shown.note for line in grid.lines for shown in line.cells} - {0}):
        yield f"$^{{{number}}}$ {escape(errata[number - 1])}"


def _float(table: PaperTable, section: Section, grid: Grid) -> str:
    where = f"{section.heading}, {grid.title}" if grid.title else section.heading
    measured = any(line.row is not None for line in grid.lines)
    caption = f"{table.spec.title}. {where}." + (f" {table.about}" if measured else "")
    wide = len(grid.columns) > _WIDE
    lines = ["\\begin{table}[htbp]", "\\centering", f"\\caption{{{escape(caption)}}}"]
    lines += ["\\resizebox{\\linewidth}{!}{%"] * wide
    lines += _tabular(grid)
    lines += ["}"] * wide
    below = [*_below(grid, table.errata)]
    below += map(escape, section.notes) if grid is section.grids[-1] else ()
    lines += [f"\\par\\smallskip{{\\footnotesize {text}\\par}}" for text in below]
    return "\n".join([*lines, "\\end{table}"])


def render_latex(table: PaperTable) -> str:
    """One table: a float a block; printed numbers stand in brackets beside ours."""
    floats = [_float(table, section, grid) for section in table.sections for grid in section.grids]
    return "\n\n".join([f"{_PREAMBLE}\n% {table.spec.name}", *floats]) + "\n"
