"""What came of the checks, as the command's process and the one that runs them both know it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

Group = Literal[
    "declaration", "static", "training", "inference", "state", "order", "device", "smoke", "cost",
    "hostile",
]  # fmt: skip
Status = Literal["pass", "fail", "warning", "not applicable"]
NEEDS = "it needs"
GROUPS: tuple[Group, ...] = get_args(Group)


@dataclass(frozen=True)
class Outcome:
    """What came of one check.

    Attributes:
        check: its id. group: which part of the protocol it belongs to.
        kind: of the tasks; "" for a check that does not depend on it.
        promise: what was to hold, as a sentence.
        said: what was found, or the reason, or a note. remedy: where something is to be done.
        seconds: that it took.
    """

    check: str
    group: Group
    kind: str
    status: Status
    promise: str
    said: str = ""
    remedy: str = ""
    seconds: float = 0.0

    @property
    def stops(self) -> bool:
        """Whether what needs this check is not asked."""
        return self.status == "fail" or self.said.startswith(NEEDS)

    @property
    def head(self) -> str:
        """Its id, with the kind of the tasks."""
        return f"{self.check} ({self.kind})" if self.kind else self.check


@dataclass(frozen=True)
class Pending:
    """A check that is to be asked: as an outcome, without what came of it."""

    check: str
    group: Group
    kind: str
    promise: str

    def outcome(self, status: Status, said: str = "", remedy: str = "") -> Outcome:
        """What came of it."""
        return Outcome(self.check, self.group, self.kind, status, self.promise, said, remedy)


@dataclass
class Checked:
    """One method after all checks.

    Attributes:
        asked: its name or path, with a variant. label: in tables; "" where it did not import.
        file, sha: where it is defined, and the content. version: of cl-bench.
        full: whether it was `--full`. seconds: of all.
    """

    asked: str
    full: bool
    version: str
    label: str = ""
    file: str = ""
    sha: str = ""
    uses: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether no promise is broken."""
        return not self.of("fail")

    def of(self, status: Status) -> list[Outcome]:
        """The outcomes of a status."""
        return [one for one in self.outcomes if one.status == status]

    def in_groups(self) -> list[tuple[Group, Sequence[Outcome]]]:
        """The groups that have outcomes, in the protocol's order."""
        groups = [(g, [one for one in self.outcomes if one.group == g]) for g in GROUPS]
        return [(group, ones) for group, ones in groups if ones]


FOUND = Pending(
    "found", "declaration", "", "Its file imports, and defines one method with a label."
)
FOUND_REMEDY = "Mend the file; the rest is asked when it imports."
