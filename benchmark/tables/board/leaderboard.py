"""The leaderboard: one line per method, suite version and backbone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

import numpy as np

from ...records.store import Record
from ...validation.findings import TIERS, Tier
from ..cells import MISSING, named
from ..groups import ComparableRecord, Group, ranking_orders
from ..paper.numbers import name_tables, tables_naming
from ..spec import ABLATED, UPPER_BOUND, is_ablation, row_key, told
from ..writers.markdown import cell, pipes
from .scores import LAST_OF, RunScores, Score, held_out, scores_of

SEEDS_TO_RANK = 3
NO_EVIDENCE = "no evidence: below the line until it is made again"
NO_REMARKS: Mapping[tuple[str, str], str] = {}
Columns = Sequence[tuple[str, Score]]
"""Heads, and the scores below them."""
_PAIRS: Columns = (("T→I R@1", "last_t2i"), ("I→T R@1", "last_i2t"))
_LABELLED: Columns = (("Transfer", "transfer"), ("Average", "average"), ("Last", "last"))
_TEXTS = {"Method", "Runs", "Why not", "Remark", "Verified"}
LEGEND = f"""## Legend

Percent. Means over two orders, each the mean of its seeds: forward and reverse, or, where a suite's
protocol has an order II, that (`ii`) and order I (forward); where neither was run, over the orders
that were. ± is the standard deviation over seeds (ddof = 1), pooled over these orders. Nothing is
averaged over a hole: a number that needs a failed cell is a dash.

- **T→I R@1, I→T R@1**: Recall@1 at the end, mean over the learned tasks (a labelled task counts
  with its accuracy).
- **Transfer, Average, Last** (labelled suites): mean accuracy of a task before it is learned, over
  all steps, and at the end; means over tasks.
- **Δ zero-shot**: the end minus the untouched backbone, mean of both directions.
- **Forgetting**: just after learning minus the end, mean over all tasks but the last and both
  directions; negative when later tasks help.
- **OOD**: last step minus step 0 on the held-out sets, mean over sets (a set's score is the mean
  Recall@1 of both directions, or its accuracy); a dash where a run lacks one that others have.
- **Trained**, **Kept**: trainable parameters, and bytes kept between tasks; the largest run's.
- **Ranked** (by the mean of both directions at the end): {SEEDS_TO_RANK} seeds or more in both
  orders over all tasks of the suite, made by committed code with the suite's settings, and no
  failed cell at any step, evidence of every query, and no error by `cl-bench validate`.
  `{UPPER_BOUND}` is an upper bound and has no rank, nor has what is told more than a method may
  know.
- **Verified**: `self`, the word of whoever made the runs; `evidence`, every score recomputes from
  what each query got; `replayed`, run again by others. The least of a line's runs.
- **Badges** in brackets: what the method used beyond its own weights. Some are told what no method
  may know of a test item: its task (`task id`), what it is paired with (`test pairing`), which
  items of its set it comes together with (`test batch`)."""


@dataclass(frozen=True)
class BoardLine:
    """One method in one group of comparable runs.

    Attributes:
        label: method, variant and overrides.
        method: method name.
        key: the order of rows with equal totals, see `spec.row_key`.
        settings: overrides or ''.
        why: why its runs are compared with no others, '' if they are.
        told: what it was told that no method may know, '' for nothing.
        failed: whether any of its runs has a score with a status other than ok.
        uses: badges.
        both: the two orders that a method is ranked in, see `groups.ranking_orders`.
        orders: order -> seed -> scores of that run.
        trained: trainable parameters of the largest run.
        kept: bytes kept between tasks, of the largest run.
        tier: how far its runs are verified, the least of them.
    """

    label: str
    method: str
    key: tuple[int, str, str, str]
    settings: str
    why: str
    told: str
    failed: bool
    uses: str
    both: tuple[str, str]
    orders: Mapping[str, Mapping[int, RunScores]]
    trained: int | None
    kept: int | None
    tier: Tier

    def _counted(self) -> list[str]:
        return [order for order in self.both if order in self.orders] or sorted(self.orders)

    def value(self, name: Score) -> tuple[float, float | None] | None:
        """Mean and pooled sd (None below two seeds) in percent; None over a hole."""
        means, variances = [], []
        for order in self._counted():
            scores = [self.orders[order][seed].get(name) for seed in sorted(self.orders[order])]
            percent = [100 * score for score in scores if score is not None]
            if len(percent) < len(scores):
                return None
            means.append(fmean(percent))
            if len(percent) > 1:
                variances.append(variance(percent))
        return fmean(means), fmean(variances) ** 0.5 if len(variances) == len(means) else None

    def total(self) -> float | None:
        """What the board is sorted by, in percent."""
        ends = [self.value(name) for name in LAST_OF.values()]
        known = [end[0] for end in ends if end is not None]
        return fmean(known) if len(known) == len(ends) else None

    def unranked(self) -> str:
        """Why this line has no rank, '' if it has one."""
        if self.why:
            return self.why
        if self.settings:
            return "settings overridden"
        if self.told:
            return f"told the {self.told}"
        absent = [order for order in self.both if order not in self.orders]
        if absent:
            return f"no {' and no '.join(absent)} order"
        if min(len(self.orders[order]) for order in self.both) < SEEDS_TO_RANK:
            return f"fewer than {SEEDS_TO_RANK} seeds"
        if self.failed or self.total() is None:
            return "a failed cell"
        return NO_EVIDENCE if self.tier == "self" else ""


def _largest(records: Sequence[Record], *keys: str) -> int | None:
    """The largest of a number (or of its values per step) in these runs' provenance, or None."""
    found = []
    for record in records:
        value: object = record.provenance
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        per_step = value if isinstance(value, list) else [value]
        found += [number for number in per_step if isinstance(number, int)]
    return max(found, default=None)


def _line(judged: Sequence[ComparableRecord], sets: frozenset[str]) -> BoardLine:
    """One line from runs of one row, over the same tasks and of the same standing.

    Args:
        judged: the runs.
        sets: the held-out sets of all that they are compared with.
    """
    records = [one.record for one in judged]
    one = records[0].frame.iloc[0]
    identity = (str(one["method"]), str(one["variant"]), str(one["settings"]))
    orders: dict[str, dict[int, RunScores]] = {}
    badges: set[str] = set()
    for record in records:
        row = record.frame.iloc[0]
        orders.setdefault(str(row["order"]), {})[int(row["seed"])] = scores_of(record, sets)
        badges |= set(filter(None, str(row["uses"]).split(",")))
    frames = [record.frame for record in records]
    learned = (frame.loc[frame["eval_position"].notna(), "label_space"] for frame in frames)
    spaces = {str(space) for own in learned for space in own}
    return BoardLine(
        label=judged[0].label,
        method=identity[0],
        key=row_key(*identity),
        settings=identity[2],
        why=judged[0].why,
        told=", ".join(sorted(told(badges, spaces == {"own"}))),
        failed=any(bool((record.frame["status"] != "ok").any()) for record in records),
        uses=", ".join(sorted(badges)),
        both=ranking_orders(str(one["suite"])),
        orders=orders,
        trained=_largest(records, "parameters", "trainable"),
        kept=_largest(records, "state_bytes"),
        tier=min((one.tier for one in judged), key=TIERS.index),
    )


def _size(number: int | None, unit: str = "") -> str:
    if number is None:
        return MISSING
    for power, prefix in ((9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.1f} {prefix}{unit}"
    return f"{number} {unit}".rstrip()


def _show(value: tuple[float, float | None] | None, sign: str = "") -> str:
    if value is None:
        return MISSING
    mean = f"{round(value[0], 1) + 0.0:{sign}.1f}"
    return mean if value[1] is None else f"{mean} ± {value[1]:.1f}"


def _cells(line: BoardLine, columns: Columns) -> list[str]:
    counts = [f"{order} x{len(line.orders[order])}" for order in sorted(line.orders)]
    return [
        cell(named(line.label, line.uses)),
        *(_show(line.value(name)) for _, name in columns),
        _show(line.value("change"), "+"),
        _show(line.value("forgetting"), "+"),
        _show(line.value("ood"), "+"),
        ", ".join(counts),
        _size(line.trained),
        _size(line.kept, "B"),
        line.tier,
    ]


def _section(lines: Sequence[BoardLine], columns: Columns) -> str:
    def place(line: BoardLine) -> tuple[float, tuple[int, str, str, str]]:
        total = line.total()
        return (np.inf if total is None else -total), line.key

    heads = [head for head, _ in columns]
    heads = [
        "Method",
        *heads,
        "Δ zero-shot",
        "Forgetting",
        "OOD",
        "Runs",
        "Trained",
        "Kept",
        "Verified",
    ]
    ranked, others, variants, rank = [], [], [], 0
    for line in sorted(lines, key=place):
        shown, reason = _cells(line, columns), line.unranked()
        if is_ablation(line.method, line.key[2]):
            variants.append([*shown, cell(_remark(line))])
        elif reason:
            others.append([*shown, cell(reason)])
        else:
            bound = line.method == UPPER_BOUND
            rank += not bound
            ranked.append([MISSING if bound else str(rank), *shown])
    parts = []
    if ranked:
        parts.append(pipes(["Rank", *heads], ranked, _TEXTS))
    if others:
        parts.append("Not ranked:\n\n" + pipes([*heads, "Why not"], others, _TEXTS))
    if variants:
        parts.append(
            f"Variants of `{ABLATED}`, made for the tables that compare its parts and "
            "ranked nowhere:\n\n" + pipes([*heads, "Remark"], variants, _TEXTS)
        )
    return "\n\n".join(parts)


def _remark(line: BoardLine) -> str:
    """Where a variant's numbers belong, and what sets its runs apart."""
    where = name_tables(tables_naming(line.label)) or "no table"
    reason = line.why or ("a failed cell" if line.failed else "")
    return f"{where}; {reason}" if reason else where


def render_leaderboard(
    judged: Sequence[ComparableRecord], remarks: Mapping[tuple[str, str], str] = NO_REMARKS
) -> str:
    """The leaderboard as markdown: a section per suite version and backbone, then the legend.

    Args:
        judged: any runs, in any order.
        remarks: suite and version -> what is said below its heading.
    """
    groups: dict[Group, dict[tuple[object, ...], list[ComparableRecord]]] = {}
    for one in judged:
        row = one.label, one.why, one.tasks
        groups.setdefault(one.group, {}).setdefault(row, []).append(one)
    parts = ["# Leaderboard"]
    for group in sorted(groups):
        lines = groups[group]
        learned = next(iter(lines.values()))[0].record.frame
        pairs = bool(((learned["kind"] == "pairs") & learned["eval_position"].notna()).any())
        every = [one for runs in lines.values() for one in runs]
        compared = [one for one in every if not one.why] or every
        sets = frozenset[str]().union(*(held_out(one.record) for one in compared))
        shown = [_line(runs, sets) for runs in lines.values()]
        section = _section(shown, _PAIRS if pairs else _LABELLED)
        parts.append("## {} {}, {} ({})".format(*map(cell, group)))
        remark = remarks.get((group[0], group[1]))
        parts += [remark] if remark else []
        parts.append(section)
    if not judged:
        parts.append("No records yet: `cl-bench run` writes them.")
    return "\n\n".join([*parts, LEGEND]) + "\n"
