"""All that is made from records: tables, figures, their index, the leaderboard; is it fresh?"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..common.files import atomic
from ..common.index import NO_INDEX, Index
from ..common.limits import bounded_memory, uncollected
from ..records.overlap import SuiteOverlap, overlap_line, read_overlaps
from ..records.provenance import on_validation
from ..records.store import Record, read_records
from ..records.study.file import STUDIES, read_studies
from ..validation.findings import Standing
from .assemble import make_table
from .board.leaderboard import render_leaderboard
from .figures.charts import KINDS, Imprint, Picture
from .figures.drawn import drawn
from .figures.figure_1 import FIGURE, TITLE, make_figures
from .figures.kept_ranks import RANKS, make_rank_figures
from .figures.kept_ranks import TITLE as RANKS_TITLE
from .figures.stages.learning import (
    CURVES,
    CURVES_TITLE,
    MATRICES,
    MATRICES_TITLE,
    make_curves,
    make_matrices,
)
from .figures.stages.sheets import Sheet
from .figures.studies.every import ANALYSES, make_analyses
from .figures.studies.panels import Analysis
from .figures.studies.whole_runs import is_study_row
from .grids import PaperTable
from .groups import ComparableRecord, judge, learned_alone
from .kept import KeptTables, Trace, trace_of
from .matrix import matrix
from .run_numbers import read_run
from .spec import ALL_TABLES, PAPERS, Paper
from .terminal import final_row, render_matrix
from .writers.analysis_page import render_analysis
from .writers.latex import render_latex
from .writers.markdown import GENERATED, MARK, cell, pipes, render_markdown
from .writers.overlap_page import PAGE, render_overlap_page
from .writers.tidy_csv import render_csv

__all__ = ["Freshness", "build_tables", "check_tables", "final_row", "matrix", "render_matrix"]

StandingsOf = Callable[[Sequence[Record]], Mapping[Path, Standing]]
_WRITERS = {"md": render_markdown, "csv": render_csv, "tex": render_latex}
_INDEX = """The tables of two papers, of DAR and of CoDyRA, and Figure 1 of the first: ours, from
the records under `results/`, and what the paper prints. Every table has a block for each suite (and
backbone) with records, then the printed block; printed numbers that are known to be wrong have a
footnote, and `cl-bench tables --lint` recomputes them all. The `.csv` holds one number a line, the
`.tex` one float a block."""
_OVERLAP = f"[Sets that overlap]({PAGE}): pictures and captions in more than one split of a suite."
_STEMS = (FIGURE, RANKS, CURVES, MATRICES, *(stem for _, stem, _ in ANALYSES))
_COMPARISON = "[what it compares, in our words](../docs/table-15.md)"


_FIGURES: tuple[tuple[Paper, str, str, str], ...] = (
    ("dar", "Figure 1", FIGURE, TITLE),
    ("codyra", "Figures 5, 6, 11 to 17, summed up", RANKS, RANKS_TITLE),
    *(("codyra", number, stem, title) for number, stem, title in ANALYSES),
)


# Of no paper: what the stages of every suite's runs look like.
_SHEETS = ((CURVES, CURVES_TITLE), (MATRICES, MATRICES_TITLE))
_Figures = Mapping[str, Picture | Sheet | Analysis]


def _shown(figures: _Figures) -> str:
    """The section of the pictures that are of no paper; '' without records."""
    parts = []
    for stem, title in _SHEETS:
        own = [name for name in figures if name.startswith(f"{stem}-")]
        for name in own:
            links = ", ".join(f"[{kind}]({name}.{kind})" for kind in KINDS if kind != "png")
            shown = cell(name.removeprefix(f"{stem}-"))
            parts.append(f"{title}: {shown} ({links})\n\n![{title}]({name}.png)")
    return "\n\n".join(["## Stages", *parts]) if parts else ""


def _index(tables: Sequence[PaperTable], figures: _Figures) -> str:
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
        kinds = {
            name: ("md", *KINDS) if isinstance(figures[name], Analysis) else KINDS for name in own
        }
        drawn = ", ".join(f"[{kind}]({name}.{kind})" for name in own for kind in kinds[name])
        suites = ", ".join(name.removeprefix(f"{stem}-") for name in own)
        found[paper].append([number, title, cell(suites or "none yet"), drawn])
    lines.append(["Table 15", "Training and evaluation data of other papers", "", _COMPARISON])
    heads = ["Number", "What", "Suites with records", "Files"]
    parts = (f"## {PAPERS[paper]}\n\n{pipes(heads, found[paper], heads)}" for paper in PAPERS)
    head = f"{GENERATED}\n# Tables and figure\n\n{_INDEX}\n\n{_OVERLAP}"
    return "\n\n".join(filter(None, [head, *parts, _shown(figures)])) + "\n"


def _draw(figures: _Figures, index: Index) -> Iterator[tuple[str, bytes]]:
    """File name and content of every picture."""
    for name, picture in figures.items():
        for kind, content in drawn(picture, MARK, index).items():
            yield f"{name}.{kind}", content


class _Places(NamedTuple):
    """What is read and written: see `build_tables`."""

    results: Path
    out: Path
    leaderboard: Path
    studies: Path


def _of_a_study(one: ComparableRecord) -> bool:
    """Whether a run varies what an analysis is of: it is in that, and no row beside others."""
    row = one.record.row
    return is_study_row(row["method"], row["variant"], row["settings"])


def _render_all(places: _Places, standings_of: StandingsOf, index: Index) -> dict[Path, bytes]:
    results_dir, out_dir, leaderboard, studies = places
    with bounded_memory():
        found = read_records(results_dir)
        records = [one for one in found if not on_validation(one.provenance)]
    every = judge(records, standings_of(records))
    judged = [one for one in every if not _of_a_study(one)]
    runs = [read_run(one) for one in judged]
    varied = [read_run(one) for one in every if _of_a_study(one)]
    analyses = make_analyses([*runs, *varied], list(read_studies(studies)))
    tables = [make_table(runs, spec) for spec in ALL_TABLES]
    figures: _Figures = {
        **make_figures(runs), **make_rank_figures(runs), **make_curves(runs),
        **make_matrices(runs), **analyses,
    }  # fmt: skip
    texts = {
        f"{table.spec.stem}.{kind}": render(table)
        for table in tables
        for kind, render in _WRITERS.items()
    }
    texts |= {f"{name}.md": render_analysis(one, f"{name}.png") for name, one in analyses.items()}
    texts["README.md"] = _index(tables, figures)
    overlaps = read_overlaps(results_dir)
    texts[PAGE] = render_overlap_page(overlaps)
    files = {out_dir / name: text.encode() for name, text in texts.items()}
    files |= {out_dir / name: content for name, content in _draw(figures, index)}
    page = Path(os.path.relpath(out_dir / PAGE, leaderboard.parent)).as_posix()
    ranked = [one for one in judged if not learned_alone(one.group[0])]
    board = render_leaderboard(ranked, _remarks(overlaps, page))
    return files | {leaderboard: f"{GENERATED}\n{board}".encode()}


def _remarks(overlaps: Mapping[str, SuiteOverlap], page: str) -> dict[tuple[str, str], str]:
    """Suite and version -> what the leaderboard says of its splits."""
    return {
        (found.suite, found.version): f"{overlap_line(found)} ([sets that overlap]({page}))."
        for found in overlaps.values()
    }


def _left_over(out_dir: Path, files: Collection[Path]) -> list[Path]:
    """Figures that an earlier call made, of suites that have no records any more."""
    names = (f"{stem}-*.{kind}" for stem in _STEMS for kind in (*KINDS, "md"))
    others = sorted(path for name in names for path in out_dir.glob(name) if path not in files)
    return [path for path in others if MARK.encode() in path.read_bytes()]


def build_tables(
    results_dir: Path,
    out_dir: Path,
    leaderboard: Path,
    standings_of: StandingsOf | None = None,
    index: Index = NO_INDEX,
    studies: Path | None = None,
) -> list[Path]:
    """Write every table, the figures and the leaderboard; the same records give the same bytes.

    Of figures that holds as long as the same software draws them, see `figures.draw`.

    Args:
        results_dir: holds `<suite>/<record>.parquet`.
        out_dir: where `table-<n>.md`, `.csv` and `.tex` (of the CoDyRA paper
            `codyra-table-<n>...`), `figure-1-<suite>`, `codyra-ranks-<suite>`,
            `learning-<suite>`, `stages-<suite>-<page>` and those of `ANALYSES` as `.pdf`, `.svg`
            and `.png`, and their index go. Figures of suites without records are removed from it.
        leaderboard: the file of the leaderboard.
        standings_of: says how far each record is verified; None for `standings`.
        studies: holds `<suite>/<study>.json`, see `records.study`, and need not be there; None for
            `studies` beside `results_dir`.
        index: of what was made before. Where the same records gave the very files that are there,
            nothing is read or written again; with another `standings_of` it is of pictures alone.

    Returns:
        The files that hold what the records say.

    Raises:
        BenchError: a record is invalid, or two that would be compared contradict each other
            (code 5); a file cannot be written (code 6).
    """
    beside = results_dir.parent / STUDIES if studies is None else studies
    places = _Places(results_dir, out_dir, leaderboard, beside)
    kept = KeptTables(*places, NO_INDEX if standings_of else index)
    known = kept.known()
    if known is None or not all(_there(path) == trace for path, trace in known.items()):
        with uncollected():
            files = _render_all(places, standings_of or kept.standings, index)
        known = kept.keep(files)
        for path, content in files.items():
            with atomic(path) as temporary:
                temporary.write_bytes(content)
    for path in _left_over(out_dir, known):
        path.unlink()
    return list(known)


def _there(path: Path) -> Trace | None:
    """What a file that lies there is, None without one."""
    return trace_of(path.read_bytes()) if path.is_file() else None


class Freshness(NamedTuple):
    """Whether the generated files are what the records say.

    Attributes:
        stale: files that are absent, left over, or say something else.
        not_compared: figures that show what the records say, but were drawn by other software than
            is installed here, so that their bytes say nothing.
    """

    stale: list[Path]
    not_compared: list[Path]

    def remark(self) -> str:
        """One line on the figures that were not compared byte for byte, '' where all were."""
        names = ", ".join(path.name for path in self.not_compared)
        return f"drawn by other versions, so that only what they show was compared: {names}"


def check_tables(
    results_dir: Path,
    out_dir: Path,
    leaderboard: Path,
    standings_of: StandingsOf | None = None,
    index: Index = NO_INDEX,
    studies: Path | None = None,
) -> Freshness:
    """Whether the generated files are what the records say. Writes none of them.

    All files are compared byte for byte but the figures that other software drew than is installed
    here (another matplotlib, say, or the same on another machine), whose bytes may differ for that
    reason alone: of these, the digest of what they show is compared. Args and errors are those of
    `build_tables`.
    """
    beside = results_dir.parent / STUDIES if studies is None else studies
    places = _Places(results_dir, out_dir, leaderboard, beside)
    kept = KeptTables(*places, NO_INDEX if standings_of else index)
    wanted = kept.known()
    if wanted is None:
        with uncollected():
            files = _render_all(places, standings_of or kept.standings, index)
        wanted = kept.keep(files)
    stale: list[Path] = []
    not_compared: list[Path] = []
    for path, trace in wanted.items():
        there = _there(path)
        if there != trace:
            same = there is not None and _drawn_elsewhere(there.imprint, trace.imprint)
            (not_compared if same else stale).append(path)
    return Freshness([*stale, *_left_over(out_dir, wanted)], not_compared)


def _drawn_elsewhere(old: Imprint | None, new: Imprint | None) -> bool:
    """Whether two files of a figure show the same, drawn by different software."""
    if old is None or new is None:
        return False
    return old.digest == new.digest and old.software != new.software
