"""The sets of a suite as the leaderboard lists them: how many items, and what chance gives."""

from collections.abc import Sequence

from ...records.store import Record
from ..cells import MISSING
from ..writers.markdown import cell, pipes

_NAMES = (
    "step", "metric", "eval_task", "kind", "direction", "n_queries", "n_gallery", "eval_position",
    "role",
)  # fmt: skip
_HEADS = ("Set", "Test images", "Captions", "Classes", "Chance")


def sets_table(records: Sequence[Record]) -> str:
    """A line a set, in learned order, then the held-out ones; '' without scores.

    Chance is the score of answers drawn blindly, at K = 1: one in so many images for captions and
    images that look for each other (an image with c of G captions finds one with c / G, and the
    mean of c / G over images is one in so many images, too), and one in so many classes.

    Args:
        records: of one section.
    """
    found: dict[str, tuple[float, str, dict[str, int]]] = {}
    # One run is enough: of those with the most sets, one of the first order.
    ordered = sorted(records, key=lambda one: (one.row["order"], one.path))
    most = max(ordered, key=lambda one: len(set(one.columns["eval_task"])))
    for step, metric, task, kind, way, queries, gallery, position, role in most.taken(*_NAMES):
        if step != most.row["n_steps"] or metric == "route":
            continue
        place = float("inf") if role == "ood" else float(position)
        counts = found.setdefault(task, (place, kind, {}))[2]
        counts[way if kind == "pairs" else "images"] = queries
        counts["classes"] = gallery
    lines = [
        _line(name, kind, counts)
        for name, (_, kind, counts) in sorted(found.items(), key=lambda one: (one[1][0], one[0]))
    ]
    return pipes(_HEADS, lines, _HEADS[:1]) if lines else ""


def _line(name: str, kind: str, counts: dict[str, int]) -> list[str]:
    if kind == "pairs":
        images, captions = counts.get("i2t", 0), counts.get("t2i", 0)
        chance, numbers = images, (f"{images:,}", f"{captions:,}", MISSING)
    else:
        chance = counts["classes"]
        numbers = (f"{counts['images']:,}", MISSING, f"{chance:,}")
    return [cell(name), *numbers, f"{100 / chance:.2f} %" if chance else MISSING]
