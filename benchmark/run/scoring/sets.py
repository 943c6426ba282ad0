"""A test split and how it is scored; the scores, and the rows of a record that they become."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...data.tensors import LabelTensors, PairTensors, Tensors
from ...errors import BenchError
from ...protocol.items import Log
from ...records.answers import KS


@dataclass(frozen=True)
class EvalSet:
    """One test split and how it is scored.

    Attributes:
        name, title: of the dataset. data: the loaded split.
        position: 0-based place in the learned order, None where it is held out.
        scope: for labelled sets, all splits whose classes compete; own: the index of this one.
        places: position of every split of the scope.
    """

    name: str
    title: str
    data: Tensors
    position: int | None
    scope: tuple[LabelTensors, ...] = ()
    own: int = 0
    places: tuple[int | None, ...] = ()

    @property
    def label_space(self) -> str | None:
        """own, union, or None for pairs."""
        return None if not self.scope else "own" if len(self.scope) == 1 else "union"

    def right_N(self) -> Tensor:
        """What is right for every image (N,), see `records.answers.AnswerKey`."""
        if isinstance(self.data, PairTensors):
            return self.data.first_N[1:] - self.data.first_N[:-1]
        return self.data.label_N + sum(len(s.names) for s in self.scope[: self.own])


Row = dict[str, Any]


@dataclass(frozen=True)
class Scores:
    """What one evaluation gave.

    Attributes:
        rows: of the record.
        ranks: direction -> rank of the first positive of each query, 0 for the first; of a labelled
            set, under "image", that of the right class.
        guesses: of a labelled set, index of the class that was predicted for each image.
    """

    rows: list[Row]
    ranks: dict[str, list[int]]
    guesses: list[int]


class Counts:
    """How often a method logged which value for an item."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], Counter[int]] = {}

    def of(self, modality: str) -> Log:
        """What counts for items of that kind."""

        def log(key: str, value_B: Tensor) -> None:
            values = value_B.flatten().tolist()
            if key != "route" or not all(isinstance(v, int) and 0 <= v < 2**15 for v in values):
                raise BenchError(
                    "logs under the key 'route', integers from 0 to 32767",
                    f"'{key}' with {max(values, default=None, key=abs)}",
                    "log the index of what an item was routed to",
                )
            self.counts.setdefault((key, modality), Counter()).update(values)

        return log

    def add(self, other: "Counts") -> None:
        """Count what another counted, too."""
        for key, counter in other.counts.items():
            self.counts.setdefault(key, Counter()).update(counter)

    def rows(self) -> Iterator[Row]:
        """Of the record."""
        for (key, modality), counter in sorted(self.counts.items()):
            for value, count in sorted(counter.items()):
                n = counter.total()
                yield score_row(key, modality, value, count, n, 0)


def score_row(
    metric: str, direction: str | None, k: int | None, count: int, queries: int, gallery: int
) -> Row:
    """A row of the record: so many hits of so many queries."""
    return {
        "direction": direction,
        "metric": metric,
        "k": k,
        "value": count / queries,
        "hits": count,
        "n_queries": queries,
        "n_gallery": gallery,
    }


def items_of(which: EvalSet) -> int:
    """Number of images and of captions or class prompts that a set is scored with."""
    if isinstance(which.data, PairTensors):
        return len(which.data) + len(which.data.tokens_ML)
    return len(which.data) + prompts_of(which)


def prompts_of(which: EvalSet) -> int:
    """Number of class prompts that compete."""
    return sum(part.prompts_CPL.shape[0] * part.prompts_CPL.shape[1] for part in which.scope)


def failed_rows(which: EvalSet, status: str, error: str) -> list[Row]:
    """Rows for a set that could not be scored: they have a status, so that no row is missing."""
    data = which.data
    if isinstance(data, PairTensors):
        n = {"t2i": (len(data.tokens_ML), len(data)), "i2t": (len(data), len(data.tokens_ML))}
        empty = [score_row("hit", d, k, 0, *n[d]) for d in n for k in KS]
    else:
        empty = [score_row("acc", None, None, 0, len(data), sum(len(s.names) for s in which.scope))]
    return [{**r, "value": None, "hits": None, "status": status, "error": error} for r in empty]
