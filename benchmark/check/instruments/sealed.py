"""A task's data that exists only while its task is learned: whoever looks elsewhere sees zeros."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from ...data.pixels import PixelRows
from ...data.tensors import LabelTensors, PairTensors, Tensors

T = TypeVar("T", PairTensors, LabelTensors)


@dataclass(frozen=True)
class Sealed(Generic[T]):
    """One set whose pixels, tokens and labels are zeros but inside `shown`.

    Attributes:
        data: the set under its own keys and fingerprint, so that draws and caches are the same.
        show, hide: put the values in and take them out, in place, whoever holds the arrays.
    """

    data: T
    show: Callable[[], None]
    hide: Callable[[], None]

    @contextmanager
    def shown(self) -> Iterator[T]:
        """Inside, the set has its values."""
        self.show()
        try:
            yield self.data
        finally:
            self.hide()


def seal(data: Tensors) -> "Sealed[PairTensors] | Sealed[LabelTensors]":
    """A set of the same content in arrays of its own, hidden."""
    if isinstance(data, PairTensors):
        return _sealed(replace(data, tokens_ML=data.tokens_ML.clone()))
    own = replace(data, label_N=data.label_N.clone(), prompts_CPL=data.prompts_CPL.clone())
    return _sealed(own)


def _sealed(data: T) -> Sealed[T]:
    pixels = np.array(data.pixels)
    own = replace(data, pixels=PixelRows.of([pixels], pixels.shape[1:]))
    true_pixels = pixels.copy()
    tensors = [own.tokens_ML] if isinstance(own, PairTensors) else [own.label_N, own.prompts_CPL]
    true = [x.clone() for x in tensors]

    def show() -> None:
        pixels[:] = true_pixels
        for x, value in zip(tensors, true, strict=True):
            x.copy_(value)

    def hide() -> None:
        pixels[:] = 0
        for x in tensors:
            x.zero_()

    hide()
    return Sealed(own, show, hide)
