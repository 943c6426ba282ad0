"""Figures 5, 6 and 11 to 17 of the CoDyRA paper: active ranks of every task, by map and block."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from ....records.naming import suite_folder
from ...run_numbers import RunNumbers
from ...spec import PRUNED
from .panels import Analysis, Cells, Strip, mean_cells
from .whole_runs import groups_of

UPDATE_RANKS = "codyra-task-ranks"
TITLE = "Active ranks of every task, by map and block"
_ABOUT = (
    "Mean over seeds, order I. Colours: more (orange) or fewer (purple) ranks than gates keep that "
    "are pruned without being trained (null).",
    "Sums over blocks and over maps stand beside their null. A pattern says something only where "
    "it leaves the null by more than its deviation.",
)
_MAPS = ("attn.q", "attn.k", "attn.v", "attn.out_proj", "mlp.c_fc", "mlp.c_proj")
_TOWERS = {"image": "image tower", "text": "text tower"}


def _cells(reports: Sequence[dict[str, Any]], tower: str) -> Cells | None:
    maps = [dict(report["ranks"]) for report in reports]
    blocks = {int(site.split(".")[1]) for site in maps[0] if site.startswith(f"{tower}.")}
    if not blocks:
        return None
    rows = tuple(name for name in _MAPS if any(f"{tower}.{b}.{name}" in maps[0] for b in blocks))
    null = fmean(report["null"]["mean"] for report in reports)
    sd = fmean(report["null"]["std"] for report in reports)
    values = mean_cells(maps, rows, 1 + max(blocks), tower)
    reach = max(3 * sd, 1.0)
    return Cells(
        f"{_TOWERS[tower]} (null {null:.1f} ± {sd:.1f} a map)", rows,
        tuple(str(block) for block in range(1 + max(blocks))), "block", values, null,
        null - reach, null + reach, sums=True, decimals=0 if len(reports) == 1 else 1,
    )  # fmt: skip


def make_update_ranks(runs: Sequence[RunNumbers]) -> dict[str, Analysis]:
    """File name without suffix -> figure, for every suite with records of the plain method.

    A strip for each task, in learned order.
    """
    strips: dict[str, list[Strip]] = {}
    for group, some in groups_of(runs):
        mine = [r for r in some if r.method == PRUNED and not (r.variant or r.settings)]
        mine = [r for r in mine if len(r.reports) == r.n_steps]
        for place, task in enumerate(mine[0].tasks.split(",") if mine else ()):
            reports = [dict(run.reports[place]) for run in mine]
            if not all(report.get("ranks") and report.get("null") for report in reports):
                continue
            found = [_cells(reports, tower) for tower in _TOWERS]
            panels = tuple(one for one in found if one is not None)
            title = mine[0].sets[task].title if task in mine[0].sets else task
            seeds = f"{len(mine)} seed{'s' * (len(mine) > 1)}"
            heading = "{}: {} {}, {} ({}), ".format(title, *group) + (
                f"of {reports[0]['rank']} ranks, {seeds}"
            )
            strips.setdefault(group[0], []).append(Strip(heading, panels, len(panels)))
    return {
        f"{UPDATE_RANKS}-{suite_folder(suite)}": Analysis(
            f"{TITLE}: suite {suite}", _ABOUT, tuple(found)
        )
        for suite, found in strips.items()
    }
