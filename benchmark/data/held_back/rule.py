"""Which rows of a training split are its validation part.

The division is a property of the dataset. It depends on its name, on the places of its rows and on
which of them show one picture, and on nothing else: no seed of a run, no order of tasks, no
generator of a library. So it is the same on every machine, for every method and every trial.
"""

import hashlib
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from ...errors import BenchError

VERSION = "1"  # of the rule; a change makes every choice of settings stale
Indices = npt.NDArray[np.int64]


def validation_rows(
    name: str,
    pictures: Sequence[Hashable],
    share: float,
    labels: Sequence[int] | None = None,
) -> Indices:
    """The rows of a training split that are its validation part.

    Rows of one picture stay together. The pictures are ranked by the sha256 of the rule's version,
    the dataset's name and the place of the picture's first row, and the first round(share x all)
    of them are taken, at least one and not all. Of a labelled split this is done class by class. A
    class with one picture stays in training, and so does a picture that is in two classes.

    Args:
        name: of the dataset.
        pictures: what rows of one picture, and no others, have in common; in the split's order.
        share: of the pictures, in (0, 1).
        labels: class of every row; None for images with captions.

    Returns:
        (m,) int64 ascending indices in [0, len(pictures)).

    Raises:
        BenchError: nothing could be held back without leaving nothing to train on.
    """
    rows: dict[Hashable, list[int]] = {}
    for row, picture in enumerate(pictures):
        rows.setdefault(picture, []).append(row)
    classes: dict[int, list[list[int]]] = {}
    for together in rows.values():
        found = {0 if labels is None else int(labels[row]) for row in together}
        if len(found) == 1:
            classes.setdefault(found.pop(), []).append(together)
    held: list[int] = []
    for every in classes.values():
        count = min(max(1, int(share * len(every) + 0.5)), len(every) - 1)
        ranked = sorted(every, key=lambda together: _rank(name, together[0]))
        held += [row for together in ranked[:count] for row in together]
    if not held:
        what = "two different images" if labels is None else "two different images in a class"
        raise BenchError(
            f"{what} in the training data of '{name}', of which one can be held back",
            f"{len(rows)} image(s)" + ("" if labels is None else ", one in each class"),
            "leave that task out with --order, or choose settings on another suite",
        )
    return np.asarray(sorted(held), dtype=np.int64)


def _rank(name: str, place: int) -> bytes:
    return hashlib.sha256(repr(("validation", VERSION, name, place)).encode()).digest()
