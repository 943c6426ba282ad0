"""The record of a run that failed: what it reached, and why it reached no more."""

from contextlib import suppress
from typing import Any

import torch

from ...errors import BenchError
from ...records.store import failure_of
from ..evaluate import Scores, failed_rows
from ..guards.crash import (
    RunPlace,
    failure,
    files_of,
    hook_of,
    is_failure,
    keep_traceback,
    line_of,
    said,
)
from ..inputs import Inputs
from ..provenance.usage import Usage
from ..request import Plan
from .costs import Costs
from .rows import Cell
from .write import write_run

_NOT_THE_METHODS = frozenset({4, 5, 6})  # codes: data missing, foreign data, disk or permission


class Failing:
    """Turns what ends a run into one sentence and a record.

    Args:
        plan: of the run.
        usage: what it has spent.
        place: where it is.
    """

    def __init__(self, plan: Plan, usage: Usage, place: RunPlace) -> None:
        self._plan, self._usage, self._place = plan, usage, place
        self._files = files_of(plan.method.cls, plan.method.file)

    def is_failure(self, error: BaseException) -> bool:
        """Whether it is one of the run, and not the user's wish to end the call."""
        return is_failure(error, self._files)

    def recorded(
        self, error: BaseException, inputs: Inputs, costs: Costs, reached: list[Cell]
    ) -> BenchError:
        """The error to raise; unless it is none of the method's, a record says it, too.

        Args:
            error: what ended the run.
            inputs: its data.
            costs: of its finished tasks.
            reached: cells that were scored.
        """
        error = _memory(error)
        plan, kept = self._plan, None
        if not isinstance(error, BenchError):
            kept = keep_traceback(error, plan.scratch / "failed" / f"{plan.stem}.txt")
        told = failure(plan.request.method, error, self._files, self._place, kept)
        if told.code in _NOT_THE_METHODS:
            return told
        with suppress(OSError):
            if plan.target.exists() and failure_of(plan.target) is None:
                return told  # a finished record stays
        cells = self._cells(inputs, reached, self._text(error, told))
        with suppress(BenchError):  # a full disk; the first error is the one to tell
            write_run(plan, inputs, costs, self._usage, cells, self._about(error, told))
        return told

    def _text(self, error: BaseException, told: BenchError) -> str:
        """The failure in words that name no folder of this machine."""
        if isinstance(error, BenchError):
            return f"expected {told.expected}, got {told.got}"
        hook = hook_of(error, self._files, self._place)
        line = line_of(error, self._files)
        return f"{said(error)}, raised in {hook} {self._place.text()} ({line})"

    def _about(self, error: BaseException, told: BenchError) -> dict[str, Any]:
        place = self._place
        return {
            "error": self._text(error, told),
            "hook": hook_of(error, self._files, place),
            "task": place.task,
            "step": place.step,
            "stage": place.stage,
        }

    def _cells(self, inputs: Inputs, reached: list[Cell], text: str) -> list[Cell]:
        there = {(step, which.name): scores for step, which, scores in reached}
        return [
            (step, which, there.get((step, which.name)) or _failed(which, text))
            for step in range(len(inputs.order) + 1)
            for which in inputs.evals
        ]


def _failed(which: Any, text: str) -> Scores:
    return Scores(failed_rows(which, "failed", text), {}, [])


def _memory(error: BaseException) -> BaseException:
    """Memory that runs out outside a step is no fault of the code."""
    if not isinstance(error, torch.OutOfMemoryError):
        return error
    return BenchError(
        "enough memory outside the training step's forward and backward pass",
        str(error).splitlines()[0],
        "use a smaller --backbone; the same command goes on from here",
        code=3,
    )
