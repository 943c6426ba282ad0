"""A run as the checks see it: its cells as plain values, its provenance, its evidence."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from ..records.answers import Evidence
from ..records.naming import method_label, overrides
from ..records.store import Record
from .findings import Finding

Direction = str | None
GROUP = ("suite", "suite_version", "backbone", "pretrained")
ENOUGH = 1000
"""Queries whose answers are neither all right nor all wrong: as many cannot agree by chance."""


class ScoredCell(NamedTuple):
    """One row of a record, with None where it has no value."""

    step: int
    eval_task: str
    eval_title: str
    eval_position: int | None
    role: str
    kind: str
    direction: Direction
    metric: str
    k: int | None
    hits: int | None
    n_queries: int
    n_gallery: int
    label_space: str | None
    status: str
    source: str
    step_task: str | None

    def place(self) -> str:
        """Where it is, for a message."""
        parts = (f"step {self.step}", self.eval_task, self.direction, self.k and f"k {self.k}")
        return ", ".join(str(part) for part in parts if part)


Where = tuple[int, str, Direction, int | None]


@dataclass
class Examined:
    """A run that is examined.

    Attributes:
        record: as read. evidence: what lies beside it; None where there is none, or none that can
            be read.
        findings: what was found so far.
        committed: when its commit was made, as seconds since 1970; None where that is not known.
    """

    record: Record
    evidence: Evidence | None = None
    findings: list[Finding] = field(default_factory=list)
    committed: int | None = None

    @property
    def path(self) -> Path:
        """Of the record."""
        return self.record.path

    @property
    def about(self) -> Mapping[str, Any]:
        """The provenance."""
        return self.record.provenance

    def part(self, *names: str) -> Any:
        """A part of the provenance; None where it, or what it would be in, is absent."""
        value: Any = self.about
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    @property
    def row(self) -> Mapping[str, Any]:
        """The first row, see `Record.row`."""
        return self.record.row

    @cached_property
    def cells(self) -> list[ScoredCell]:
        """All rows."""
        # A run has hundreds: without a call of Python's for each.
        make = partial(tuple.__new__, ScoredCell)
        return list(map(make, self.record.taken(*ScoredCell._fields)))

    @cached_property
    def scores(self) -> dict[Where, ScoredCell]:
        """Cells of recall and accuracy by step, set, direction and K."""
        return {
            (c.step, c.eval_task, c.direction, c.k): c for c in self.cells if c.metric != "route"
        }

    @cached_property
    def label(self) -> str:
        """Method and variant."""
        return method_label(self.row["method"], self.row["variant"])

    @cached_property
    def changed(self) -> frozenset[str]:
        """Names of the settings that differ from the defaults."""
        items = overrides(self.row["settings"])
        return frozenset(item.partition("=")[0].strip() for item in items)

    @cached_property
    def tasks(self) -> list[str]:
        """The tasks in learned order."""
        return str(self.row["task_order"]).split(",")

    @cached_property
    def group(self) -> tuple[str, ...]:
        """What it shares with the runs that it is compared with."""
        return tuple(str(self.row[name]) for name in GROUP)

    @property
    def official(self) -> bool:
        """Whether it claims to be made by committed code with all that the suite has."""
        return not self.part("unofficial")

    @property
    def schema(self) -> int:
        """Version of its schema."""
        return int(self.row["schema_version"])

    @property
    def unsound(self) -> bool:
        """Whether an error was found in it."""
        return any(one.severity == "error" for one in self.findings)

    @cached_property
    def hits(self) -> dict[Where, int | None]:
        """Hits of every scored cell after step 0."""
        return {where: cell.hits for where, cell in self.scores.items() if where[0] > 0}

    @cached_property
    def tells(self) -> bool:
        """Whether its hits after step 0 are so many that no other run has them by chance."""
        told = (
            cell.n_queries
            for where, cell in self.scores.items()
            if where[0] > 0 and where[3] in (None, 1) and cell.hits not in (None, 0, cell.n_queries)
        )
        return sum(told) >= ENOUGH

    def age(self) -> tuple[float, float, int]:
        """Orders runs that cannot all be true.

        When its commit was made, which git says; when it was made, which it says itself; whether
        its command fits. Whoever forges a record can still choose an old commit: no record can
        prove its age, so that only a comparison with what was there before (`--against`) is safe.
        """
        try:
            time = datetime.fromisoformat(str(self.part("created")))
            made = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            made = inf
        words = self.part("command")
        words = [str(word) for word in words] if isinstance(words, list) else []
        seeds = [w for flag, w in pairwise(words) if flag == "--seed"] or ["42"]
        fits = self.label in words and str(self.row["seed"]) in seeds
        return inf if self.committed is None else self.committed, made, int(not fits)

    # -- findings

    def error(self, code: str, expected: str, got: str, fix: str, cell: str = "") -> None:
        """An error is found."""
        self.findings.append(Finding(code, "error", self.path, cell, expected, got, fix))

    def warn(self, code: str, expected: str, got: str, fix: str, cell: str = "") -> None:
        """A warning is found."""
        self.findings.append(Finding(code, "warning", self.path, cell, expected, got, fix))


def final_rows(run: Examined) -> dict[tuple[str, Direction, int | None], int | None]:
    """Hits at the end, by set, direction and K."""
    last = int(run.row["n_steps"])
    return {where[1:]: hits for where, hits in run.hits.items() if where[0] == last}


def pairs_of(runs: list[Examined]) -> Iterator[tuple[Examined, Examined]]:
    """Each run with each later one."""
    for number, one in enumerate(runs):
        for other in runs[number + 1 :]:
            yield one, other
