"""What takes time to make and may be asked for again: the last of it, up to a number of bytes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Recent(Generic[Made]):
    """Values by key; the one that was asked for the longest ago is given up first.

    Args:
        most: bytes that are held. A value above that is made and not kept.
        size: bytes of a value.
    """

    def __init__(self, most: int, size: Callable[[Made], int]) -> None:
        self._most, self._size, self._held = most, size, 0
        self._found: OrderedDict[Hashable, tuple[Made, int]] = OrderedDict()

    def __deepcopy__(self, memo: object) -> "Recent[Made]":
        return Recent(self._most, self._size)

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """The value, made now if it is not there."""
        if key in self._found:
            self._found.move_to_end(key)
            return self._found[key][0]
        value = make()
        size = self._size(value)
        if size <= self._most:
            self._found[key] = value, size
            self._held += size
        while self._held > self._most:
            self._held -= self._found.popitem(last=False)[1][1]
        return value
