"""All that is made from records: tables, figure, their index, the leaderboard; is it fresh?"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..common.files import atomic
from ..records.store import read_records
from .assemble import make_table
from .figures.held_out import FIGURE, TITLE, make_figures
from .figures.kept_ranks import RANKS, make_rank_figures
from .figures.kept_ranks import TITLE as RANKS_TITLE
from .grids import PaperTable
from .groups import judge
from .leaderboard import render_leaderboard
from .run_numbers import read_run
from .spec import ALL_TABLES, PAPERS, Paper
from .terminal import final_row, matrix, render_matrix
from .writers.latex import render_latex
from .writers.markdown import GENERATED, cell, pipes, render_markdown
from .writers.tidy_csv import render_csv

__all__ = ["build_tables", "check_tables", "final_row", "matrix", "render_matrix"]

_WRITERS = {"md": render_markdown, "csv": render_csv, "tex": render_latex}
_INDEX = """The tables of two papers, of DAR and of CoDyRA, and Figure 1 of the first: ours, from
the records under `results/`, and what the paper prints. Every table has a block for each suite (and
backbone) with records, then the printed block; printed numbers that are known to be wrong have a
footnote, and `cl-bench tables --lint` recomputes them all. The `.csv` holds one number a line, the
`.tex` one float a block."""
_COMPARISON = "[what it compares, in our words](../docs/table-15.md)"


_FIGURES: tuple[tuple[Paper, str, str, str], ...] = (
    ("dar", "Figure 1", FIGURE, TITLE),
    ("codyra", "Figures 5, 6, 11 to 17", RANKS, RANKS_TITLE),
)


def _index(tables: Sequence[PaperTable], figures: Mapping[str, str]) -> str:
    def listed(paper: Paper) -> list[list[str]]:
        lines = []
        for table in (one for one in tables if one.spec.paper == paper):
            links = ", ".join(f"[{kind}]({table.spec.stem}.{kind})" for kind in _WRITERS)
            suites = ", ".join(table.suites) or "none yet"
            number = f"Table {table.spec.number}"
            lines.append([number, cell(table.spec.title), cell(suites), links])
        return lines

    found = {paper: listed(paper) for paper in PAPERS}
    lines = found["dar"]
    for paper, number, stem, title in _FIGURES:
        own = [name for name in figures if name.startswith(f"{stem}-")]
        drawn = ", ".join(f"[svg]({name})" for name in own)
        suites = ", ".join(name.removeprefix(f"{stem}-").removesuffix(".svg") for name in own)
        found[paper].append([number, title, cell(suites or "none yet"), drawn])
    lines.append(["Table 15", "Training and evaluation data of other papers", "", _COMPARISON])
    heads = ["Number", "What", "Suites with records", "Files"]
    parts = (f"## {PAPERS[paper]}\n\n{pipes(heads, found[paper], heads)}" for paper in PAPERS)
    return f"{GENERATED}\n# Tables and figure\n\n{_INDEX}\n\n" + "\n\n".join(parts) + "\n"


def _render_all(results_dir: Path, out_dir: Path, leaderboard: Path) -> dict[Path, str]:
    judged = judge(read_records(results_dir))
    runs = [read_run(one) for one in judged]
    tables = [make_table(runs, spec) for spec in ALL_TABLES]
    figures = make_figures(runs) | make_rank_figures(runs)
    texts = {
        f"{table.spec.stem}.{kind}": render(table)
        for table in tables
        for kind, render in _WRITERS.items()
    }
    texts |= figures | {"README.md": _index(tables, figures)}
    board = f"{GENERATED}\n{render_leaderboard(judged)}"
    return {out_dir / name: text for name, text in texts.items()} | {leaderboard: board}


def _left_over(out_dir: Path, texts: Mapping[Path, str]) -> list[Path]:
    """Figures that an earlier call made, of suites that have no records any more."""
    drawn = (path for stem in (FIGURE, RANKS) for path in out_dir.glob(f"{stem}-*.svg"))
    others = sorted(path for path in drawn if path not in texts)
    return [path for path in others if GENERATED.encode() in path.read_bytes()]


def build_tables(results_dir: Path, out_dir: Path, leaderboard: Path) -> list[Path]:
    """Write every table, the figures and the leaderboard; the same records give the same bytes.

    Args:
        results_dir: holds `<suite>/<record>.parquet`.
        out_dir: where `table-<n>.md`, `.csv` and `.tex` (of the CoDyRA paper
            `codyra-table-<n>...`), `figure-1-<suite>.svg`, `codyra-ranks-<suite>.svg` and their
            index go. Figures of suites without records are removed from it.
        leaderboard: the file of the leaderboard.

    Returns:
        The files written.

    Raises:
        BenchError: a record is invalid, or two that would be compared contradict each other
            (code 5); a file cannot be written (code 6).
    """
    texts = _render_all(results_dir, out_dir, leaderboard)
    for path, text in texts.items():
        with atomic(path) as temporary:
            temporary.write_bytes(text.encode())
    for path in _left_over(out_dir, texts):
        path.unlink()
    return list(texts)


def check_tables(results_dir: Path, out_dir: Path, leaderboard: Path) -> list[Path]:
    """The generated files that are absent, left over, or not what the records say.

    Writes nothing. Args and errors are those of `build_tables`.
    """
    texts = _render_all(results_dir, out_dir, leaderboard)
    stale = [
        path
        for path, text in texts.items()
        if not path.is_file() or path.read_bytes() != text.encode()
    ]
    return [*stale, *_left_over(out_dir, texts)]
