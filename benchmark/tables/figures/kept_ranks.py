"""The ranks that CoDyRA keeps, by module and block, beside those that untrained gates would keep.

One figure for Figures 5, 6 and 11 to 17 of the paper: Lu et al., Adaptive Rank, Reduced Forgetting.
Gates are initialised from N(0, 1) and training moves them little, so that a pattern means something
only where it leaves the band of the null (`toolkit.gated.null_ranks`).
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from statistics import fmean
from typing import Any

from ...records.naming import suite_folder
from ..cells import TableRow, rows_of
from ..run_numbers import RunNumbers
from ..spec import backbone_key
from .charts import Block, Chart, Curve, Picture, Style, make_axis

RANKS = "codyra-ranks"
TITLE = "Ranks that pruning leaves, by module and block"
METHOD = "codyra"  # the other methods that train as it does keep the same ranks
_ABOUT = (
    "Mean over tasks and seeds. Null: gates that are pruned without being trained; band: ± one "
    "standard deviation of such a mean."
)
_TOWERS = {"image": "image tower", "text": "text tower"}
_NULL = Style("#7f7f7f", (2, 3), width=2.6)
# Okabe and Ito's colours, as in Figure 1.
_LOOKS = {
    "attn.q": Style("#e69f00"), "attn.k": Style("#56b4e9"), "attn.v": Style("#009e73"),
    "attn.out_proj": Style("#cc79a7"), "mlp.c_fc": Style("#0072b2"), "mlp.c_proj": Style("#d55e00"),
}  # fmt: skip
RankReport = Mapping[str, Any]


def _reports(row: TableRow) -> list[RankReport]:
    return [report for run in row.runs for report in run.reports if report.get("ranks")]


def _charts(reports: Sequence[RankReport]) -> Iterator[Chart]:
    """One for each tower, on one axis."""
    counts: dict[tuple[str, str], dict[int, list[float]]] = {}
    for report in reports:
        for site, kept in report["ranks"].items():
            tower, block, module = site.split(".", 2)
            counts.setdefault((tower, module), {}).setdefault(int(block), []).append(kept)
    null = fmean(report["null"]["mean"] for report in reports)
    sd = fmean(report["null"]["std"] for report in reports) / len(reports) ** 0.5
    found: dict[str, list[Curve]] = {}
    for tower in _TOWERS:
        modules = [module for module in _LOOKS if (tower, module) in counts]
        blocks = max((len(counts[tower, module]) for module in modules), default=0)
        if blocks:
            found[tower] = [Curve("null", _NULL, (null,) * blocks, (sd,) * blocks)]
        for module in modules:
            own = counts[tower, module]
            means = tuple(fmean(own[block]) for block in sorted(own))
            found[tower].append(Curve(module, _LOOKS[module], means, (None,) * len(means)))
    axis = make_axis(height for curves in found.values() for c in curves for height in c.edges())
    for tower, curves in found.items():
        yield Chart(_TOWERS[tower], axis, tuple(curves), "block")


def make_rank_figures(runs: Sequence[RunNumbers]) -> dict[str, Picture]:
    """File name without suffix -> picture, one for every suite with records of CoDyRA.

    A block for each of its rows. Order I; rows that are compared with no others are not drawn.
    """
    mine = [r for r in runs if r.method == METHOD and r.order == "forward" and not r.why]
    mine.sort(key=lambda run: (run.group[:2], backbone_key(run.group[2]), run.group[3]))
    pictures = {}
    for suite, of_suite in groupby(mine, key=lambda run: run.group[0]):
        blocks = []
        for group, some in groupby(of_suite, key=lambda run: run.group):
            for row in rows_of(list(some)):
                if reports := _reports(row):
                    ranks = f"{row.label}: of {reports[0]['rank']} ranks"
                    heading = "{} {}, {} ({}), order I, ".format(*group) + ranks
                    blocks.append(Block(heading, tuple(_charts(reports))))
        if blocks:
            name = f"{RANKS}-{suite_folder(suite)}"
            pictures[name] = Picture(f"{TITLE}: suite {suite}", _ABOUT, tuple(blocks))
    return pictures
