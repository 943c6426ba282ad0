"""From records to the cells of a table: pooling over seeds, with no average over holes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from operator import itemgetter
from statistics import fmean, stdev

import pandas as pd

from ..results import method_label
from .groups import Group, Judged
from .spec import AVERAGE, DIRECTIONS, TableSpec, row_key

MISSING = "–"  # noqa: RUF001 - an en dash is what a table wants here
_NEEDED = (
    "method", "variant", "settings", "seed", "uses", "task_order", "eval_position", "eval_task",
    "eval_title", "direction", "value", "status",
)  # fmt: skip
Place = tuple[str, str]
"""(direction, dataset), dataset 'average' for the mean of the row."""


@dataclass(frozen=True)
class Cell:
    """One number of a table, or why there is none.

    Attributes:
        status: 'ok', 'missing', or the status of the first seed's cell that is not ok.
        mean: over seeds, in percent; None unless ok.
        sd: standard deviation over seeds (ddof = 1), in percent; None below two seeds.
    """

    status: str
    mean: float | None = None
    sd: float | None = None

    def show(self) -> str:
        """`46.9 ± 0.2`, `46.9`, the status, or a dash where nothing was recorded."""
        if self.mean is None:
            return MISSING if self.status == "missing" else self.status
        shown = f"{self.mean:.1f}"
        return shown if self.sd is None else f"{shown} ± {self.sd:.1f}"


Outcome = tuple[float | None, str]
"""One seed's value (a fraction) and status."""


def pool(outcomes: Sequence[Outcome]) -> Cell:
    """One cell from the outcomes of all seeds.

    Args:
        outcomes: one per seed, in a fixed order, so that sums are reproducible.
    """
    for value, status in outcomes:
        if value is None:
            return Cell(status)
    percent = [100 * value for value, _ in outcomes if value is not None]
    return Cell("ok", fmean(percent), stdev(percent) if len(percent) > 1 else None)


def _mean_of(outcomes: Sequence[Outcome]) -> Outcome:
    """The average of one seed's row, or the status of its first hole."""
    for value, status in outcomes:
        if value is None:
            return None, status
    return fmean(value for value, _ in outcomes if value is not None), "ok"


@dataclass(frozen=True)
class Row:
    """One method in one block.

    Attributes:
        method: method name.
        variant: variant name or ''.
        settings: overrides or ''.
        uses: badges, comma separated.
        why: why it is compared with no other row, '' if it is.
        seeds: seeds that were pooled, ascending.
        cells: place -> cell, for every place of the block.
    """

    method: str
    variant: str
    settings: str
    uses: str
    why: str
    seeds: tuple[int, ...]
    cells: Mapping[Place, Cell]

    @property
    def label(self) -> str:
        """The row's name without badges."""
        return method_label(self.method, self.variant, self.settings)


@dataclass(frozen=True)
class Block:
    """The rows that may be compared with each other: one suite version, one backbone.

    Attributes:
        suite: suite name.
        version: suite version.
        backbone: open_clip model name.
        pretrained: its weights.
        titles: dataset -> column head, in the order learned, without the average.
        rows: in table order.
    """

    suite: str
    version: str
    backbone: str
    pretrained: str
    titles: Mapping[str, str]
    rows: tuple[Row, ...]


def named(method: str, uses: str) -> str:
    """A row's label with its badges in brackets, safe inside a markdown table."""
    shown = f"{method} [{uses}]" if uses else method
    return shown.replace("|", "\\|")


def distinct(titles: Mapping[str, str]) -> dict[str, str]:
    """Column heads that tell datasets apart: a title that two share is followed by the name.

    Args:
        titles: dataset -> title.
    """
    shown = list(titles.values())
    return {
        name: f"{title} ({name})" if shown.count(title) > 1 else title
        for name, title in titles.items()
    }


def _row(rows: pd.DataFrame, tasks: Sequence[str]) -> Row:
    missing: Outcome = (None, "missing")
    by_seed: dict[int, dict[Place, Outcome]] = {}
    columns = ("seed", "direction", "eval_task", "value", "status")
    for seed, direction, task, value, status in zip(
        *(rows[name].tolist() for name in columns), strict=True
    ):
        outcome = (None if isnan(value) else value, status)
        by_seed.setdefault(seed, {})[direction, task] = outcome
    seeds = sorted(by_seed)
    by_place: dict[Place, list[Outcome]] = {}
    for seed in seeds:
        for direction, _ in DIRECTIONS:
            values = [by_seed[seed].get((direction, task), missing) for task in tasks]
            for task, outcome in zip((*tasks, AVERAGE), (*values, _mean_of(values)), strict=True):
                by_place.setdefault((direction, task), []).append(outcome)
    cells = {place: pool(outcomes) for place, outcomes in by_place.items()}
    uses = ", ".join(
        sorted({word for used in rows["uses"].unique() for word in used.split(",") if word})
    )
    method, variant, settings, why = (
        str(rows[name].iloc[0]) for name in ("method", "variant", "settings", "why")
    )
    return Row(method, variant, settings, uses, why, tuple(seeds), cells)


def _final(judged: Judged, spec: TableSpec) -> pd.DataFrame:
    """The rows of one run that a table shows."""
    frame = judged.record.frame
    wanted = (
        (frame["metric"] == "hit")
        & (frame["k"] == spec.k)
        & (frame["order"] == spec.order)
        & (frame["step"] == frame["n_steps"])
        & frame["eval_position"].notna()
    )
    final = frame.loc[wanted.fillna(False).astype(bool), list(_NEEDED)]
    return final.assign(why=judged.why)


def _titles(part: pd.DataFrame) -> dict[str, str]:
    """The datasets of a block and their column heads, in the order learned."""
    # A run of fewer tasks counts its places from its own first task.
    columns = part.groupby("eval_task").agg({"eval_position": "max", "eval_title": "min"})
    columns = columns.reset_index().sort_values(["eval_position", "eval_task"])
    return distinct(dict(zip(columns["eval_task"], columns["eval_title"], strict=True)))


def blocks(judged: Sequence[Judged], spec: TableSpec) -> Iterator[Block]:
    """The measured blocks of a table, sorted by suite, version and backbone.

    Args:
        judged: any number of records, in any order.
        spec: the table.
    """
    groups: dict[Group, list[pd.DataFrame]] = {}
    for one in judged:
        final = _final(one, spec)
        if len(final):
            groups.setdefault(one.group, []).append(final)
    for group, frames in sorted(groups.items(), key=itemgetter(0)):
        part = pd.concat(frames, ignore_index=True)
        compared = part[part["why"] == ""]
        # A run that is shown apart brings no column: it would be a hole in every other row.
        titles = _titles(part if compared.empty else compared)
        # Runs are pooled only with runs of the same tasks, and of the same standing.
        names = ["method", "variant", "settings", "why", "task_order"]
        rows = [_row(found, list(titles)) for _, found in part.groupby(names)]
        rows.sort(key=lambda row: (*row_key(row.method, row.variant, row.settings), row.why))
        suite, version, backbone, pretrained = group
        yield Block(suite, version, backbone, pretrained, titles, tuple(rows))
