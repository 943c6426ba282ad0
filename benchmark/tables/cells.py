"""Cells and rows of tables: the numbers of several runs, pooled over seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import fmean, stdev

from ..records.naming import method_label
from .bold.certain import measured, test_error
from .groups import Group
from .run_numbers import At, Metric, Outcome, RunNumbers
from .spec import row_key

MISSING = "–"  # noqa: RUF001 - an en dash is what a table wants here
# What a number is multiplied by, and the unit written after it; fractions are shown in percent.
MILLIONS, MEBIBYTES, SECONDS = (1e-6, "M"), (2**-20, " MiB"), (1, " s")
UNITS = {
    **dict.fromkeys(
        (Metric.PARAMETERS_KEPT, Metric.PARAMETERS_TRAINED, Metric.NUMBERS_READ), MILLIONS
    ),
    **dict.fromkeys(
        (Metric.BYTES_READ, Metric.BYTES_KEPT, Metric.MEMORY_TRAINING, Metric.MEMORY_EVALUATION),
        MEBIBYTES,
    ),
    Metric.TIME_TRAINING: SECONDS,
}


@dataclass(frozen=True)
class TableCell:
    """One number of a table, or why there is none.

    Attributes:
        status: 'ok', 'missing', or the status of the first seed's number that is not ok.
        mean: over seeds, in percent or the unit of `UNITS`; None unless ok.
        sd: standard deviation over seeds (ddof = 1), likewise; None below two seeds.
        error: standard error from the draw of test images, in percent; None without evidence.
    """

    status: str
    mean: float | None = None
    sd: float | None = None
    error: float | None = None

    def show(self, form: str = "") -> str:
        """`46.9 ± 0.2 (1.1)`, `46.9`, the status, or a dash where nothing was recorded.

        Args:
            form: '+' for a change, which shows its sign; else the unit that follows.
        """
        if self.mean is None:
            return MISSING if self.status == "missing" else self.status
        if form not in ("", "+"):
            return f"{self.mean:.2f}{form}"
        sign = form
        shown = f"{round(self.mean, 1) + 0.0:{sign}.1f}"  # adding 0.0 turns -0.0 into 0.0
        shown += "" if self.sd is None else f" ± {self.sd:.1f}"
        return shown if self.error is None else f"{shown} ({self.error:.1f})"


def pool(outcomes: Sequence[Outcome], unit: float = 100) -> TableCell:
    """One cell from the outcomes of all seeds.

    Args:
        outcomes: one per seed, in a fixed order, so that sums are reproducible.
        unit: what values are multiplied by.
    """
    percent = []
    for value, status in outcomes:
        if value is None:
            return TableCell(status)
        percent.append(unit * value)
    if not percent:
        return TableCell("missing")
    return TableCell("ok", fmean(percent), stdev(percent) if len(percent) > 1 else None)


@dataclass(frozen=True)
class TableRow:
    """Runs that differ only in their seed (and, where a table says so, in their backbone).

    Attributes:
        method, variant, settings: what they share.
        why: why the row is compared with no other, '' if it is compared.
        runs: ordered by group and seed.
    """

    method: str
    variant: str
    settings: str
    why: str
    runs: tuple[RunNumbers, ...]

    @property
    def label(self) -> str:
        """Method, variant and overrides."""
        return method_label(self.method, self.variant, self.settings)

    @property
    def uses(self) -> str:
        """Badges, comma separated."""
        return ", ".join(sorted({word for run in self.runs for word in run.uses}))

    def of(self, group: Group) -> list[RunNumbers]:
        """Its runs in one group."""
        return [run for run in self.runs if run.group == group]

    def cell(self, group: Group, place: At, parts: Sequence[str]) -> TableCell:
        """One number, pooled over the seeds of a group. See `RunNumbers.outcome`."""
        unit, _ = UNITS.get(place.metric, (100, ""))
        runs = self.of(group)
        cell = pool([run.outcome(place, parts) for run in runs], unit)
        numbers = None if cell.mean is None else measured(runs, place, parts)
        return cell if numbers is None else replace(cell, error=test_error(numbers))


def _identity(run: RunNumbers) -> tuple[object, ...]:
    # Only runs of the same tasks, compared with the same others, are pooled.
    return (*row_key(run.method, run.variant, run.settings), run.why, run.tasks)


def rows_of(runs: Sequence[RunNumbers]) -> Iterator[TableRow]:
    """Rows in the order of tables.

    Args:
        runs: of one order of tasks.
    """
    ordered = sorted(runs, key=lambda run: (*_identity(run), run.group, run.seed))
    for _, found in groupby(ordered, key=_identity):
        seeds = tuple(found)
        one = seeds[0]
        yield TableRow(one.method, one.variant, one.settings, one.why, seeds)


def named(method: str, uses: str) -> str:
    """A row's label with its badges in brackets."""
    return f"{method} [{uses}]" if uses else method


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
