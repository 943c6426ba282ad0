"""What is seen of a method while it learns, and where in the protocol it is."""

import gc
import traceback
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..data.items import Items
from ..data.tensors import Tensors
from ..protocol.method import Method
from ..protocol.types import Task
from ..run.guards import training


class Watched(Items):
    """A feed that remembers, weakly, the pixels it handed out."""

    seen: list[weakref.ref[torch.Tensor]]

    def pixels(
        self,
        data: Tensors,
        rows: Tensor,
        trained: bool = False,
        early: Callable[[], torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """As every feed."""
        pixels_B3HW = super().pixels(data, rows, trained, early)
        self.__dict__.setdefault("seen", []).append(weakref.ref(pixels_B3HW))
        return pixels_B3HW

    def alive(self) -> int:
        """How many tensors of pixels somebody still holds."""
        gc.collect()
        return sum(r() is not None for r in self.__dict__.get("seen", []))


@dataclass
class Position:
    """Where in the protocol a method is: the hook, the 1-based task and the step inside it.

    Attributes:
        tell: is given each place as words, when it is reached.
    """

    hook: str = ""
    task: int = 0
    step: int = 0
    tell: Callable[[str], None] = field(default=lambda words: None, repr=False)

    def at(self, hook: str, task: int = 0, step: int = 0) -> None:
        """The method is there from now on."""
        self.hook, self.task, self.step = hook, task, step
        self.tell(str(self))

    def __str__(self) -> str:
        if not self.hook:
            return ""
        task = f" of task {self.task}" if self.task else ""
        return f"`{self.hook}`{task}" + (f", step {self.step}" if self.step else "")


class Halt(Exception):
    """Training stops here, as a killed run would."""


@dataclass(frozen=True)
class Evaluated:
    """What a second evaluation, in all the same as the first, did and gave.

    Attributes:
        drawn: global generators that stand elsewhere afterwards. changed: names of weights,
            buffers and attributes that are others. switches: of torch that are others.
        differs: whether it gave other scores than the first.
    """

    drawn: list[str]
    changed: list[str]
    switches: list[str]
    differs: bool


@dataclass
class Learned:
    """A method after its tasks, and what was seen on the way.

    Attributes:
        losses: of every step. trainable: scalars per task. moved: parameters that the loop changed
            per task. trespass: names of those that changed, or have a gradient, though they were
            not trainable.
        refused: what the guards of the training loop said, of parameters that moved.
        disturbed: switches of torch that a hook left changed, and which hook.
        kept: tensors of pixels that are alive after the last task.
        evaluated: what an evaluation did, once there was one.
    """

    method: Method[Any]
    feed: Watched
    tasks: list[Task] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    trainable: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)
    trespass: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    disturbed: list[str] = field(default_factory=list)
    kept: int = -1
    evaluated: Evaluated | None = None


def raised_by_watch(error: BaseException) -> bool:
    """Whether an error is of `run.guards.training`, which looks at what moves in training."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].filename == training.__file__
