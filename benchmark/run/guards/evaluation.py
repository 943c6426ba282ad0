"""What an evaluation leaves as it was: a method's tensors, its mode, and the process."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from ...errors import MethodError
from .process.kept import ProcessState, restore
from .weights import Sums, moved, sums, tensors


class Untouched:
    """Compares a method before and after each set of a stage.

    Args:
        method: in eval mode, as it was left by its last task.
    """

    def __init__(self, method: nn.Module) -> None:
        self._method = method
        self._sums: Sums = sums(tensors(method))

    @contextmanager
    def during(self, title: str) -> Iterator[None]:
        """Around the evaluation of one set.

        Raises:
            MethodError: a parameter, a buffer, a module's mode or a state of the process is another
                afterwards.
        """
        modes, state = self._modes(), ProcessState(draws=True, cheap=True)
        where = f"the evaluation of {title}"
        try:
            yield
        except BaseException:
            state.put_back(state.changes())
            raise
        restore(state, where, _unsaid)
        now = sums(tensors(self._method))
        if names := moved(self._sums, now):
            raise MethodError(
                f"{where} to change nothing of the method",
                f"another '{names[0]}'" + (f", and {len(names) - 1} more" if names[1:] else ""),
                "change parameters and buffers in training hooks alone",
                code=3,
            )
        if self._modes() != modes:
            raise MethodError(
                f"{where} to leave the method in eval mode",
                "a module in another mode",
                "do not call train() or eval() in encoders",
                code=3,
            )

    def _modes(self) -> list[tuple[str, Any]]:
        return [(name, module.training) for name, module in self._method.named_modules()]


def _unsaid(text: str) -> None:
    """What is put back after one set is told by the error, or after the stage."""
