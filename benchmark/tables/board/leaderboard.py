"""The leaderboard: one line per method, suite version and backbone."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np

from ...records.naming import method_label
from ..cells import MISSING, named
from ..groups import ComparableRecord
from ..notes.bounds import bound_note
from ..notes.draws import draw_note
from ..paper.numbers import name_tables, tables_naming
from ..spec import ABLATED, UPPER_BOUND, is_ablation
from ..writers.markdown import cell, pipes
from .certainty import SectionRanks
from .legend import LEGEND, SEEDS_TO_RANK
from .lines import BoardLine, BoardSection, ranks_of, sections
from .order_effect import order_scores, order_table
from .scores import Score
from .sets import sets_table

NO_REMARKS: Mapping[tuple[str, str], str] = {}
Columns = Sequence[tuple[str, Score]]
"""Heads, and the scores below them."""
_PAIRS: Columns = (("T→I R@1", "last_t2i"), ("I→T R@1", "last_i2t"))
_LABELLED: Columns = (("Transfer", "transfer"), ("Average", "average"), ("Last", "last"))
_TEXTS = {"Method", "Runs", "Settings", "Why not", "Remark", "Verified"}


def _size(number: int | None, unit: str = "") -> str:
    if number is None:
        return MISSING
    for power, prefix in ((9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.1f} {prefix}{unit}"
    return f"{number} {unit}".rstrip()


def _cells(line: BoardLine, columns: Columns) -> list[str]:
    counts = [f"{order} x{len(line.orders[order])}" for order in sorted(line.orders)]
    return [
        cell(named(line.label, line.uses)),
        *(line.show(name) for _, name in columns),
        line.show("change", "+"),
        line.show("learning", "+"),
        line.show("forgetting", "+"),
        line.show("ood", "+"),
        ", ".join(counts),
        _size(line.trained),
        _size(line.kept, "B"),
        cell(line.chosen),
        line.tier,
    ]


def _section(lines: Sequence[BoardLine], columns: Columns) -> str:
    def place(line: BoardLine) -> tuple[float, tuple[int, str, str, str]]:
        total = line.total()
        return (np.inf if total is None else -total), line.key

    heads = [head for head, _ in columns]
    costs = ["Runs", "Trained", "Kept", "Settings", "Verified"]
    heads = ["Method", *heads, "Δ zero-shot", "Just learned", "Forgetting", "OOD", *costs]
    ranks = ranks_of(lines)
    ranked, others, variants = [], [], []
    for line in sorted(lines, key=place):
        shown, reason = _cells(line, columns), line.unranked()
        if is_ablation(line.method, line.key[2]):
            variants.append([*shown, cell(_remark(line))])
        elif reason:
            others.append([*shown, cell(reason)])
        else:
            tier = ranks.ranking.tiers.get(line.label)
            ranked.append([MISSING if tier is None else str(tier), *shown])
    parts = []
    if ranked:
        parts += [pipes(["Rank", *heads], ranked, _TEXTS), *_resolution(ranks)]
    if others:
        parts.append("Not ranked:\n\n" + pipes([*heads, "Why not"], others, _TEXTS))
    if variants:
        parts.append(
            f"Variants of `{ABLATED}`, made for the tables that compare its parts and "
            "ranked nowhere:\n\n" + pipes([*heads, "Remark"], variants, _TEXTS)
        )
    return "\n\n".join(parts)


def _resolution(ranks: SectionRanks) -> list[str]:
    """What the section can tell, in a sentence."""
    pairs = len(ranks.ranking.pairs)
    if ranks.smallest is None:
        return []
    return [
        f"Ranks: {pairs} comparison{'s' * (pairs > 1)}, Holm at 5 %. Smallest difference, "
        f"{SEEDS_TO_RANK} seeds, 80 % power, a single comparison: {ranks.smallest:.1f} points."
    ]


def _remark(line: BoardLine) -> str:
    """Where a variant's numbers belong, and what sets its runs apart."""
    where = name_tables(tables_naming(line.label)) or "no table"
    reason = line.why or ("a failed cell" if line.failed else "")
    return f"{where}; {reason}" if reason else where


def _bounds(section: BoardSection) -> list[str]:
    """What is said of methods that learn all tasks at once."""
    told_no_more = [one for one in section.lines if not (one.why or one.told)]
    means = {
        one.label: {order: fmean(seeds) for order, seeds in order_scores(one).items()}
        for one in told_no_more
    }
    found = []
    for one in sorted(told_no_more, key=lambda one: one.key):
        own = means[one.label]
        if one.method != UPPER_BOUND or not own:
            continue
        ahead = {}
        for label, theirs in means.items():
            # In the orders that both have, as one order may be harder than another.
            shared = own.keys() & theirs.keys()
            if label != one.label and shared:
                counted = shared & set(one.both) or shared
                ahead[label] = fmean(theirs[order] - own[order] for order in counted)
        found.append(bound_note(one.label, 0.0, ahead))
    return found


def _idle(section: BoardSection) -> list[str]:
    """Of methods that learn task after task and score less on one that they have just learned."""
    found = []
    for one in sorted(section.lines, key=lambda one: one.key):
        gain = one.value("learning")
        aside = one.why or one.settings or is_ablation(one.method, one.key[2])
        if gain is None or aside or one.method == UPPER_BOUND:
            continue
        if gain[0] < -max(1.0, 2 * (gain[1] or 0.0)):
            found.append(
                f"`{one.label}` scores {-gain[0]:.1f} points less on a task just after learning it "
                "than the untouched backbone: here it has nothing to forget."
            )
    return found


def _draws(section: BoardSection) -> list[str]:
    """What is said of the draw of shots, in suites of labelled sets."""
    if section.pairs:
        return []
    runs = (
        (
            method_label(*(str(one.row[name]) for name in ("method", "variant", "settings"))),
            int(one.row["seed"]),
            one.provenance.get("data", {}).get("train", {}),
        )
        for one in section.records
    )
    return [*filter(None, [draw_note(runs)])]


def render_leaderboard(
    judged: Sequence[ComparableRecord], remarks: Mapping[tuple[str, str], str] = NO_REMARKS
) -> str:
    """The leaderboard as markdown: a section per suite version and backbone, then the legend.

    Args:
        judged: any runs, in any order.
        remarks: suite and version -> what is said below its heading.
    """
    parts = ["# Leaderboard"]
    for one in sections(judged):
        parts.append("## {} {}, {} ({})".format(*map(cell, one.group)))
        remark = remarks.get((one.group[0], one.group[1]))
        parts += [remark] if remark else []
        parts.append(_section(one.lines, _PAIRS if one.pairs else _LABELLED))
        parts += map(cell, [*_bounds(one), *_draws(one), *_idle(one)])
        parts += filter(None, [sets_table(one.records), order_table(one.lines)])
    if not judged:
        parts.append("No records yet: `cl-bench run` writes them.")
    return "\n\n".join([*parts, LEGEND]) + "\n"
