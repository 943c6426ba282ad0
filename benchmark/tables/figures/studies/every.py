"""All pictures of the CoDyRA paper's analyses, and what they are called."""

from collections.abc import Sequence

from ....records.study.file import StudyFile
from ...run_numbers import RunNumbers
from .cost import COST, make_cost_figures
from .cost import TITLE as COST_TITLE
from .panels import Analysis
from .points import AMPLIFICATION, PLACEMENT, REMOVAL, make_study_figures
from .points import TITLES as POINT_TITLES
from .update_ranks import TITLE as RANKS_TITLE
from .update_ranks import UPDATE_RANKS, make_update_ranks
from .whole_runs import INSERTION, PRUNING, make_run_figures
from .whole_runs import TITLES as RUN_TITLES

ANALYSES = (
    ("Figure 1a", COST, COST_TITLE),
    ("Figure 4a", f"codyra-{PLACEMENT}", POINT_TITLES[PLACEMENT]),
    ("Figure 4b", f"codyra-{REMOVAL}", POINT_TITLES[REMOVAL]),
    ("Figures 5, 6, 11 to 17", UPDATE_RANKS, RANKS_TITLE),
    ("Figure 7", INSERTION, RUN_TITLES[INSERTION]),
    ("Figure 8", PRUNING, RUN_TITLES[PRUNING]),
    ("Figure 9", f"codyra-{AMPLIFICATION}", POINT_TITLES[AMPLIFICATION]),
)
"""Number in the paper, beginning of the files' names, title."""


def make_analyses(runs: Sequence[RunNumbers], studies: Sequence[StudyFile]) -> dict[str, Analysis]:
    """File name without suffix -> figure; none of what there are no records or points of.

    Args:
        runs: of all suites, with those of studies.
        studies: all files of points.
    """
    return {
        **make_cost_figures(runs), **make_study_figures(studies), **make_update_ranks(runs),
        **make_run_figures(runs),
    }  # fmt: skip
