"""The answers to every query of a run, and how scores recompute from them. No torch."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

KS = (1, 5, 10)
Integers = NDArray[np.int64]
Where = tuple[str, str | None, int]
"""Set, direction (None for a labelled set) and step."""


@dataclass(frozen=True)
class AnswerKey:
    """What is right in one set.

    Attributes:
        kind: pairs or labelled.
        value_N: of pairs, the number of captions of every image, which lie image after image; of a
            labelled set, the index of every image's class among those that compete.
    """

    kind: Literal["pairs", "labelled"]
    value_N: Integers

    def groups(self, direction: str | None) -> Integers:
        """The image that every query (Q,) belongs to; the captions of one are not independent."""
        images = np.arange(len(self.value_N))
        return np.repeat(images, self.value_N) if direction == "t2i" else images

    def digest(self) -> str:
        """Hex sha256 of kind and values."""
        return hashlib.sha256(self.kind.encode() + self.value_N.astype("<i8").tobytes()).hexdigest()


@dataclass(frozen=True)
class Evidence:
    """The answers to every query of a run.

    Attributes:
        keys: set -> what is right in it.
        answers: (Q,) for every set, direction and step. For pairs the level of a query: 0, 1 and 2
            stand for a positive within the first 1, 5 and 10, and 3 for none. For a labelled set,
            whose direction is None, the index of the class that was predicted.
        run: `sha256` of the identity of the run, see `records.identity`.
    """

    keys: Mapping[str, AnswerKey]
    answers: Mapping[Where, Integers]
    run: str

    def right(
        self, eval_task: str, direction: str | None, step: int, k: int = 1
    ) -> NDArray[np.bool_]:
        """Whether each query (Q,) was answered within the first k; of classes only k = 1 is kept.

        Raises:
            KeyError: there is no such answer, for a cell that failed.
            ValueError: another k than 1, 5 or 10.
        """
        answer_Q, key = self.answers[eval_task, direction, step], self.keys[eval_task]
        if key.kind == "labelled":
            right_Q: NDArray[np.bool_] = answer_Q == key.value_N
            return right_Q
        within_Q: NDArray[np.bool_] = answer_Q <= KS.index(k)
        return within_Q

    def hits(self) -> dict[tuple[str, str | None, int, str, int | None], tuple[int, int]]:
        """Set, direction, step, metric and k, as in a record's row -> hits and queries."""
        found: dict[tuple[str, str | None, int, str, int | None], tuple[int, int]] = {}
        for (task, direction, step), answer_Q in self.answers.items():
            if self.keys[task].kind == "labelled":
                right = int(self.right(task, direction, step).sum())
                found[task, direction, step, "acc", None] = right, len(answer_Q)
            else:
                below = np.bincount(answer_Q, minlength=len(KS) + 1).cumsum()
                for place, k in enumerate(KS):
                    found[task, direction, step, "hit", k] = int(below[place]), len(answer_Q)
        return found


def levels_of(rank_Q: ArrayLike) -> Integers:
    """Levels (Q,) of the ranks of first positives (0 = first), see `Evidence.answers`."""
    return np.searchsorted(np.array(KS), np.asarray(rank_Q, dtype=np.int64), side="right")
