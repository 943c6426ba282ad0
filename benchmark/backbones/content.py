"""What parameters contain, as a digest that is computed again only where they may have changed."""

from collections.abc import Mapping

from torch import Tensor

from ..common.digests import tensor_digest


class Content:
    """Digests of named tensors, kept until one of them is changed in place or moved.

    A write through `.data`, or by a kernel that torch does not know of, leaves no trace: whoever
    makes one calls `torch.autograd.graph.increment_version`, or `forget` before the next digest.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[object, str]] = {}  # by what they are digests of

    def forget(self) -> None:
        """Compute all digests again when they are asked for."""
        self._known.clear()

    def digest(self, about: str, named: Mapping[str, Tensor]) -> str:
        """Sha256 of `about`, and of names, types, shapes and values of the tensors."""
        state = [(name, t.data_ptr(), t._version) for name, t in named.items()]
        if self._known.get(about, (None, ""))[0] != state:
            heads = (f"{n}:{t.dtype}:{tuple(t.shape)};" for n, t in named.items())
            pairs = zip(heads, named.values(), strict=True)
            parts = (part for both in pairs for part in both)
            self._known[about] = state, tensor_digest([about, *parts])
        return self._known[about][1]
