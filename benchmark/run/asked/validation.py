"""A suite in which settings are chosen: the first tasks of an order, without any test set.

What is scored is held out of the training data. No test split is loaded, and nothing of the later
tasks, so that a choice cannot know them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from ...errors import BenchError
from ...suites.names import SplitName
from ...suites.suite import Dataset, Suite

if TYPE_CHECKING:
    from ...data.split import Split

SHARE = 0.25  # of the training images, unless another is asked for


@dataclass(frozen=True)
class Validation:
    """How much a run holds out of its training data.

    Attributes:
        tasks: number of the first tasks of the order that are learned, at least 1.
        share: of each task's training images that are its validation part, in (0, 1).
        claim: why a record of it is no result.
    """

    tasks: int
    share: float = SHARE
    claim: ClassVar[str] = "scored on a part of the training data, and on no test set"

    def __post_init__(self) -> None:
        if self.tasks < 1:
            raise BenchError("--validate of at least 1 task", str(self.tasks), "correct it")
        if not 0 < self.share < 1:
            got = str(self.share)
            raise BenchError("a share between 0 and 1 for validation", got, "leave some for both")

    @property
    def settings(self) -> dict[str, str]:
        """As they stand in a record's name."""
        return {"validation": str(self.tasks), "validation.share": str(self.share)}

    def asked(self) -> dict[str, Any]:
        """As records have it; the rule's version belongs to it."""
        from ...data.held_back.rule import VERSION  # numpy: not for `cl-bench ls`

        return {"tasks": self.tasks, "share": self.share, "rule": VERSION}


@dataclass(frozen=True, eq=False)
class _Halves:
    """The `load` of a task whose training data are divided; the whole is read once."""

    dataset: Dataset
    share: float
    _read: "dict[SplitName, Split]" = field(default_factory=dict, repr=False)

    def __call__(self, split: SplitName) -> "Split":
        if split not in self._read:
            from ...data.held_back.parts import divide

            alone = self.dataset.training
            whole = self.dataset.load("train") if alone is None else alone()
            train, held = divide(whole, self.share)
            self._read["train"], self._read["test"] = train, held
        return self._read[split]


def validation_suite(
    suite: Suite, held: Validation, order: str, names: Sequence[str]
) -> tuple[Suite, list[str]]:
    """A suite of the first tasks whose test sets are their validation parts.

    Args:
        suite: as declared.
        held: what is held out.
        order: as it was asked for.
        names: the tasks that it has, in that order.

    Returns:
        The suite under its own name and recipe, and the names of its tasks as they are learned.
        The tasks stand in the suite's order, in which classes compete; `load("train")` is the
        training part, `load("test")` the validation part. No set is held out.

    Raises:
        BenchError: an order that test data decide, or fewer tasks.
    """
    if order == "measured":
        raise BenchError(
            "an order for --validate that needs no test data",
            "'measured', which is that of scores on test sets",
            "choose another --order",
        )
    if len(names) < held.tasks:
        got = f"{len(names)} in the order '{order}'"
        raise BenchError(f"{held.tasks} tasks to validate on", got, "ask for fewer")
    first = list(names[: held.tasks])
    tasks = tuple(
        replace(d, load=_Halves(d, held.share), training=None)
        for d in suite.tasks
        if d.name in first
    )
    return replace(suite, tasks=tasks, held_out=(), order_ii=()), first
