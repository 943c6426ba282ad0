"""Blocks without their weights: what their computation depends on, and copies to put others on."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..sites import Delta, Place, Site, holding

_MODULE = frozenset(vars(nn.Module()))  # what every module has
_HELD = frozenset(("delta", "instead", "_owner"))  # of a place
_SIMPLE = (int, float, str, bool, type(None), tuple, slice, torch.device, torch.dtype)


def form_of(block: nn.Module, known: frozenset[type]) -> object:
    """All that a block's computation depends on but for tensors; None where it is not known.

    It is taken at every batch: what a plugin changes in a block must change what is computed.

    Args:
        block: of a tower.
        known: types of modules that are as the library made them.
    """
    found: list[object] = []
    for name, part in block.named_modules():
        if type(part) not in known or _watched(part) or part._buffers or "forward" in vars(part):
            return None
        if isinstance(part, nn.Dropout) and part.p > 0:
            return None
        skipped = _MODULE
        if isinstance(part, Place):
            factored = isinstance(part, Site) and hasattr(part.delta, "factored")
            if part.delta is not None and not factored:
                return None
            skipped = _MODULE | _HELD
        for key, value in vars(part).items():
            if key not in skipped:
                of = repr(value) if isinstance(value, _SIMPLE) else id(value)
                found.append((name, key, type(value), of))
        for key, p in part._parameters.items():
            if p is not None and type(p) is not nn.Parameter:
                return None
            found.append((name, key, None if p is None else (p.shape, p.dtype, p.device)))
    return tuple(found)


def _watched(part: nn.Module) -> bool:
    hooks = (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks)
    return any(hooks) or bool(part._backward_pre_hooks)


class StandIn:
    """A stand-in for blocks of one form: a copy of one without weights, which are put on it.

    Args:
        block: to be copied.
        maps: its sites, by target.
    """

    def __init__(self, block: nn.Module, maps: Mapping[str, Site]) -> None:
        nothing = {place: (None, None) for place in block.modules() if isinstance(place, Place)}
        memo: dict[int, Any] = {id(p): nn.Parameter(p.to("meta")) for p in block.parameters()}
        with holding(nothing):
            self.block = copy.deepcopy(block, memo).eval()
        self._owners: dict[str, tuple[dict[str, Any], str]] = {}
        for name, part in self.block.named_modules():
            for leaf in [n for n, p in part._parameters.items() if p is not None]:
                del part._parameters[leaf]
                self._owners[f"{name}.{leaf}".lstrip(".")] = vars(part), leaf
                vars(part)[leaf] = None
        names = {part: name for name, part in block.named_modules()}
        self._sites = {
            target: cast(Site, self.block.get_submodule(names[site]))
            for target, site in maps.items()
        }

    @contextmanager
    def dressed(
        self, weights: Mapping[str, Tensor], deltas: Mapping[str, Delta]
    ) -> Iterator[nn.Module]:
        """Inside, it has these weights, and these deltas by target; afterwards none."""
        try:
            for name, weight in weights.items():
                owner, leaf = self._owners[name]
                owner[leaf] = weight
            for target, delta in deltas.items():
                self._sites[target].delta = delta
            yield self.block
        finally:
            for owner, leaf in self._owners.values():
                owner[leaf] = None
            for target in deltas:
                self._sites[target].delta = None
