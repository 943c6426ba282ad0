"""Where a method can act inside a block without touching weights or state-dict keys.

- Every linear map of a block is a `Site`: y = W x + b (+ delta(x)).
- "attn.q" as a target means that map in both towers, "image.attn.q" and "text.attn.q" in one.
- Beside the MLP is a plain `Place`: x + MLP(norm(x)) (+ delta(x)), with x the residual stream after
  the attention, as it is.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import BenchError, nearest

PARALLEL = "mlp.parallel"
Delta = Callable[[Tensor], Tensor]
PROJECTIONS = ("attn.out_proj", "mlp.c_fc", "mlp.c_proj")
ROWS = 16  # see `linear`
MAPS = ("attn.q", "attn.k", "attn.v", *PROJECTIONS)  # every linear map of a block
TOWERS = ("image", "text")
TARGETS = (*MAPS, *(f"{tower}.{name}" for tower in TOWERS for name in MAPS))  # see `of_towers`


def of_towers(targets: Iterable[str]) -> list[str]:
    """Targets with the tower of each: one that names none stands for two, the image tower's first.

    What a tower has under that name is not looked at.
    """
    found = []
    for target in targets:
        alone = target.partition(".")[0] in TOWERS
        found += [target] if alone else [f"{tower}.{target}" for tower in TOWERS]
    return found


def shortest(targets: Iterable[str]) -> tuple[str, ...]:
    """The same maps, of `MAPS`, always in the same words, whatever the order and the spelling.

    A map that both towers have stands first, without a tower, then those of one tower alone.
    """
    named = {*of_towers(targets)}
    both = {name for name in MAPS if named.issuperset(of_towers([name]))}
    return tuple(
        t for t in TARGETS if t in both or (t in named and t.partition(".")[2] not in both)
    )


class Place(nn.Module):
    """Something that was computed as y from x, to which delta(x) can be added. It has no weight."""

    def __init__(self) -> None:
        super().__init__()
        self.delta: Delta | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        """What is added here for a while is no part of the module, though it may be one itself."""
        if name in ("delta", "instead"):
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @property
    def tokenwise(self) -> bool:
        """Whether what is added to a token depends on that token alone."""
        return self.delta is None or getattr(self.delta, "tokenwise", False)

    @property
    def by_first(self) -> bool:
        """Whether it depends on that token and on the item's first one, and on no other."""
        return self.tokenwise or getattr(self.delta, "by_first", False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Y as computed by the caller, who has no use for it any more -> y + delta(x)."""
        if self.delta is None or torch.is_grad_enabled():
            return y if self.delta is None else y + self.delta(x)
        # Nobody else holds y: without gradients it can be changed in place.
        add_to = getattr(self.delta, "add_to", None)
        return cast(Tensor, add_to(x, y)) if add_to else y.add_(self.delta(x))


class Site(Place):
    """A place where a linear map W x + b can be changed by an additive delta(x).

    It owns no parameter: `weight` and `bias` are looked up in the module that does, so that the
    state-dict keys stay those of the library. `rows` picks a slice of a packed weight (q, k, v).
    """

    def __init__(self, owner: nn.Module, names: tuple[str, str], rows: slice) -> None:
        super().__init__()
        self.instead: Tensor | None = None  # of the weight; see `replaced`
        self._owner = (owner,)  # a tuple, so that the owner is not registered as a child
        self._names, self._rows = names, rows

    @property
    def weight(self) -> Tensor:
        """View (out, in) of the weight; writing to it under no_grad writes to the model."""
        return self.whole[self._rows]

    @property
    def whole(self) -> Tensor:
        """The weight that `weight` is a part of."""
        return cast(Tensor, getattr(self._owner[0], self._names[0]))

    @property
    def own_way(self) -> bool:
        """Whether `mapped` does something else than add to W x + b."""
        return self.instead is not None or hasattr(self.delta, "mapped")

    def mapped(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """X (..., in) -> W x + b + delta(x), with what stands instead of the weight, if anything.

        A delta can offer `mapped(x, weight, bias)`, the whole of it with gradients, for weights
        that have none.
        """
        weight = weight if self.instead is None else self.instead
        way = getattr(self.delta, "mapped", None)
        trained = weight.requires_grad or (bias is not None and bias.requires_grad)
        if way is None or trained or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return cast(Tensor, self(x, linear(x, weight, bias)))
        return cast(Tensor, way(x, weight, bias))


class Linear(nn.Linear):
    """nn.Linear with a Site."""

    def __init__(self, like: nn.Linear) -> None:
        bias = like.bias is not None
        super().__init__(like.in_features, like.out_features, bias, device="meta")  # draws nothing
        self.weight, self.bias = like.weight, like.bias
        self.site = Site(self, ("weight", "bias"), slice(None))

    def forward(self, x: Tensor) -> Tensor:
        """X (..., in) -> (..., out)."""
        return self.site.mapped(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear`, where the bits of a row do not depend on how many there are.

    From 16 rows on they do not on a CPU (measured on several makers'), so there are never fewer.
    """
    rows = x.numel() // x.shape[-1]
    if rows >= ROWS:
        return F.linear(x, weight, bias)
    padded = F.pad(x.reshape(rows, -1), (0, 0, 0, ROWS - rows))
    return F.linear(padded, weight, bias)[:rows].view(*x.shape[:-1], -1)


Held = tuple[Delta | None, Tensor | None]
"""What a place holds for a while: its delta, and what stands there instead of its weight."""


def held(place: Place) -> Held:
    """What it holds now."""
    return place.delta, place.instead if isinstance(place, Site) else None


@contextmanager
def holding(those: Mapping[Place, Held]) -> Iterator[None]:
    """Inside, each place holds that; afterwards what it held before."""
    before = {place: held(place) for place in those}
    try:
        for place, what in those.items():
            _hold(place, what)
        yield
    finally:
        for place, what in before.items():
            _hold(place, what)


def _hold(place: Place, what: Held) -> None:
    place.delta, instead = what
    if isinstance(place, Site):
        place.instead = instead


@contextmanager
def replaced(weights: Mapping[Site, Tensor]) -> Iterator[None]:
    """Inside, these sites compute with that weight (out, in) instead of their own.

    No parameter is touched, so that no digest changes and no gradient flows into what is
    replaced; deltas are added as before.
    """
    with holding({site: (site.delta, weight) for site, weight in weights.items()}):
        yield


class Adaptable(nn.Module, ABC):
    """Two towers of blocks, every linear map of which is a site."""

    def sites(self, targets: tuple[str, ...]) -> dict[str, Site]:
        """Linear maps that the targets name, as "image.0.attn.q", in model order.

        Args:
            targets: of `TARGETS`, in any order.

        Raises:
            BenchError: a target that no block has, or that has no weight.
        """
        named, found = {*of_towers(targets)}, dict[str, Site]()
        for tower, i, block in self._blocks():
            here = self._maps(block)
            wanted = {t.removeprefix(f"{tower}.") for t in named if t.startswith(f"{tower}.")}
            if unknown := sorted(wanted - here.keys()):
                raise BenchError(
                    f"adapter targets of {', '.join(here)}",
                    f"'{unknown[0]}'",
                    nearest(unknown[0], here),
                )
            found |= {f"{tower}.{i}.{name}": here[name] for name in here if name in wanted}
        return found

    def places(self, targets: tuple[str, ...]) -> dict[str, Place]:
        """Sites as in `sites`, and for "mlp.parallel" the place beside each MLP, of both towers.

        What is added to the residual stream there goes in parallel to the MLP: a block's output
        is x + MLP(norm(x)) + delta(x), with x the stream after the attention. There is no weight
        that the delta could be merged into, so `sites`, which merging asks, does not know it.
        """
        named = of_towers(targets)
        beside = {t for t in named if t.endswith(f".{PARALLEL}")}
        found: dict[str, Place] = dict(self.sites(tuple(t for t in named if t not in beside)))
        for tower, i, block in self._blocks():
            if f"{tower}.{PARALLEL}" in beside:
                found[f"{tower}.{i}.{PARALLEL}"] = block.parallel
        return found

    def types(self) -> frozenset[type]:
        """Of all modules in the blocks."""
        return frozenset(type(m) for _, _, block in self._blocks() for m in block.modules())

    @contextmanager
    def adapted(self, deltas: Mapping[str, Delta], targets: tuple[str, ...]) -> Iterator[None]:
        """Inside, every place (see `places`) gives y + delta(x); afterwards all is as before."""
        places = self.places(targets)
        with holding({places[n]: (d, held(places[n])[1]) for n, d in deltas.items()}):
            yield

    @abstractmethod
    def _blocks(self) -> Iterator[tuple[str, int, Any]]:
        """Tower ("image", then "text"), number and module of every block, in model order."""

    @abstractmethod
    def _maps(self, block: Any) -> dict[str, Site]:
        """All sites of a block, by target, in model order."""
