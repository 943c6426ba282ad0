"""The lines of the leaderboard: methods in groups of comparable runs, and their ranks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from ...records.naming import badges_of
from ...records.store import Record
from ...validation.findings import TIERS, Tier
from ..cells import MISSING
from ..groups import ComparableRecord, Group, ranking_orders
from ..spec import UPPER_BOUND, is_ablation, row_key, told
from .certainty import Answers, SectionRanks, answers_of, rank_section
from .legend import SEEDS_TO_RANK
from .scores import LAST_OF, RunScores, Score, held_out, scores_of

_CHOSEN = {"paper": "paper's"}  # other words are shown as they are recorded
NO_EVIDENCE = "no evidence: below the line until it is made again"


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
        answers: what each query of its runs got.
        trained: trainable parameters of the largest run.
        kept: bytes kept between tasks, of the largest run.
        tier: how far its runs are verified, the least of them.
        chosen: how its settings were chosen, in words; a dash where no record says it.
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
    answers: Answers
    trained: int | None
    kept: int | None
    tier: Tier
    chosen: str = MISSING

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

    def show(self, name: Score, sign: str = "") -> str:
        """`53.8 ± 0.3 (1.1)`: mean, deviation over seeds, standard error from the test images."""
        found = self.value(name)
        if found is None:
            return MISSING
        mean, deviation = found
        shown = f"{round(mean, 1) + 0.0:{sign}.1f}"  # adding 0.0 turns -0.0 into 0.0
        shown += "" if deviation is None else f" ± {deviation:.1f}"
        error = self.answers.error(name, self._counted())
        return shown if error is None else f"{shown} ({error:.1f})"

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
        return NO_EVIDENCE if self.tier == "self" else self.answers.why


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


def _how_chosen(record: Record) -> str:
    """Whose settings a run had, as its record says."""
    about = record.provenance.get("settings")
    if not isinstance(about, dict):
        return MISSING
    kind = str(about.get("kind", MISSING))
    return f"tuned ({about.get('trials')} trials)" if kind == "tuned" else _CHOSEN.get(kind, kind)


def _line(judged: Sequence[ComparableRecord], sets: frozenset[str]) -> BoardLine:
    """One line from runs of one row, over the same tasks and of the same standing.

    Args:
        judged: the runs.
        sets: the held-out sets of all that they are compared with.
    """
    records = [one.record for one in judged]
    one = records[0].row
    identity = (str(one["method"]), str(one["variant"]), str(one["settings"]))
    orders: dict[str, dict[int, RunScores]] = {}
    badges: set[str] = set()
    for record in records:
        row = record.row
        orders.setdefault(str(row["order"]), {})[int(row["seed"])] = scores_of(record, sets)
        badges |= badges_of(str(row["uses"]))
    spaces = {
        space
        for record in records
        for place, space in set(record.taken("eval_position", "label_space"))
        if place is not None
    }
    return BoardLine(
        label=judged[0].label,
        method=identity[0],
        key=row_key(*identity),
        settings=identity[2],
        why=judged[0].why,
        told=", ".join(sorted(told(badges, spaces == {"own"}))),
        failed=any(set(record.columns["status"]) != {"ok"} for record in records),
        uses=", ".join(sorted(badges)),
        both=ranking_orders(str(one["suite"])),
        orders=orders,
        answers=answers_of(records),
        trained=_largest(records, "parameters", "trainable"),
        kept=_largest(records, "state_bytes"),
        tier=min((one.tier for one in judged), key=TIERS.index),
        chosen="; ".join(sorted({_how_chosen(record) for record in records})),
    )


def contends(line: BoardLine) -> bool:
    """Whether a line has a rank: it is whole, no variant for the ablations, and no upper bound."""
    variant = is_ablation(line.method, line.key[2])
    return not (variant or line.unranked() or line.method == UPPER_BOUND)


def ranks_of(lines: Sequence[BoardLine]) -> SectionRanks:
    """The rank intervals of a section, by label."""
    return rank_section({one.label: one.answers for one in lines if contends(one)}, SEEDS_TO_RANK)


@dataclass(frozen=True)
class BoardSection:
    """The lines of one suite version and backbone.

    Attributes:
        group: what they share.
        lines: of the board, in any order.
        records: their runs.
    """

    group: Group
    lines: tuple[BoardLine, ...]
    records: tuple[Record, ...]

    @property
    def pairs(self) -> bool:
        """Whether it learned sets of captions."""
        shapes = self.records[0].taken("kind", "eval_position")
        return any(kind == "pairs" and place is not None for kind, place in shapes)


def sections(judged: Sequence[ComparableRecord]) -> Iterator[BoardSection]:
    """The board's sections, by group."""
    groups: dict[Group, dict[tuple[object, ...], list[ComparableRecord]]] = {}
    for one in judged:
        row = one.label, one.why, one.tasks
        groups.setdefault(one.group, {}).setdefault(row, []).append(one)
    for group in sorted(groups):
        rows = groups[group].values()
        every = [one for runs in rows for one in runs]
        compared = [one for one in every if not one.why] or every
        sets = frozenset[str]().union(*(held_out(one.record) for one in compared))
        lines = tuple(_line(runs, sets) for runs in rows)
        yield BoardSection(group, lines, tuple(one.record for one in every))
