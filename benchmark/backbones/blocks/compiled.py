"""Blocks of a tower through torch.compile: few graphs, whatever is learned.

A graph takes all tensors as inputs: the tokens, the weights of the block, the factors of its
low-rank deltas. So the blocks of a tower share one, and neither new weights, merged ones, a new
task nor another adapter compiles again. They are handed over on a stand-in for the block, a copy
without weights.

Shapes are few: a batch is padded to the usual number of items (see `Sizes`), texts to one of
`LENGTHS`. What is padded is dropped, and its gradients are zero.

A tower runs eagerly where it holds anything else: a delta that is not low-rank (it may ask how many
items there are), a module of another type than the library's, a hook, another kind of tensor.
"""

import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import FunctionType
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import BenchError
from ..sites import MAPS, Delta, Site
from .stand_in import StandIn, form_of

LENGTHS = (16, 24, 32, 48, 77)  # tokens of a text; the captions of most sets have 20 to 36
MULTIPLE = 16  # of tokens, beyond these
BEFORE = MAPS[:3]  # maps that see all tokens, also where one is asked for
Run = Callable[..., Tensor]
Backend = str | Callable[..., Any]


class Traceable(Protocol):
    """A delta that is a function of tensors, and of random numbers that are drawn beforehand."""

    def factored(self, real: tuple[int, int], padded: tuple[int, int]) -> Delta:
        """A dataclass of tensors and numbers that computes the same for x (*padded, in).

        Random numbers are drawn as for x (*real, in), those of the first items and tokens.
        """
        ...


@dataclass(frozen=True)
class _Batch:
    """One batch of a tower, as it came and as it is padded: items, tokens."""

    real: tuple[int, int]
    padded: tuple[int, int]
    bare: Mapping[nn.Module, StandIn]


@dataclass(frozen=True)
class Sizes:
    """How many items a tower usually gets together; batches are padded to these.

    Attributes:
        batch: of a training step.
        images: that are embedded together without gradients.
        tokens: likewise, of texts.
    """

    batch: int
    images: int
    tokens: int

    def padded(self, items: int, length: int, text: bool, pieces: int, grad: bool) -> int:
        """Items that a batch is padded to.

        Args:
            items: of the batch, or of the piece of one.
            length: tokens of each.
            text: whether they are texts.
            pieces: that a batch is cut into, see `Backbone.chunks`.
            grad: whether gradients are kept.
        """
        steps = {-(-self.batch // pieces)}
        if not grad:
            steps.add(max(1, self.tokens // length) if text else self.images)
        fitting = [step for step in steps if step >= items]
        return min(fitting) if fitting else -(-items // max(steps)) * max(steps)


class Compiler:
    """Compiled blocks, for any number of backbones.

    Args:
        sizes: that batches are padded to.
        backend: of torch.compile.
    """

    def __init__(self, sizes: Sizes, backend: Backend = "inductor") -> None:
        self.sizes, self.backend = sizes, backend
        self.batch: _Batch | None = None  # that is being computed
        self.graphs: dict[object, Run] = {}
        self._bare: dict[object, StandIn] = {}

    @property
    def about(self) -> str:
        """All that the bits of a row depend on."""
        return f"compiled for {self.sizes} by {self.backend}"

    def __deepcopy__(self, memo: object) -> "Compiler":
        return self  # a copied backbone has the same blocks

    @contextmanager
    def _of(self, batch: _Batch | None) -> Iterator[None]:
        before, self.batch = self.batch, batch
        try:
            yield
        finally:
            self.batch = before

    def padded(
        self,
        tower: Run,
        blocks: Mapping[nn.Module, Mapping[str, Site]],
        known: frozenset[type],
        pieces: int,
        most: int | None,
    ) -> Run:
        """A tower's second half, padded and with compiled steps, where that is possible.

        Args:
            tower: takes x (B, L, W), and for texts end (B,) -> (B, D); calls `step` for blocks.
            blocks: of the tower, with the sites of each by target.
            known: types of modules that are as the library made them.
            pieces: of a batch, as many as a call is one of.
            most: tokens that texts are padded to at most; None for images, which are not.
        """

        def run(x_BLW: Tensor, *more: Tensor) -> Tensor:
            forms = [form_of(block, known) for block in blocks]
            if None in forms or not plain(x_BLW, *more):
                with self._of(None):
                    return tower(x_BLW, *more)
            bare = {
                block: self._stand_in(form, block, maps)
                for form, (block, maps) in zip(forms, blocks.items(), strict=True)
            }
            count, length = x_BLW.shape[:2]
            to, text, grad = _longer(length, most), most is not None, torch.is_grad_enabled()
            size = self.sizes.padded(count, to, text, pieces, grad)
            x_BLW = F.pad(x_BLW, (0, 0, 0, to - length, 0, size - count))
            more = tuple(F.pad(end_B, (0, size - count)) for end_B in more)
            with self._of(_Batch((count, length), (size, to), bare)):
                return tower(x_BLW, *more)[:count]

        return run

    def step(
        self, run: Run, batch: _Batch, maps: Mapping[str, Site], block: nn.Module, x: Tensor,
        *more: Any,
    ) -> Tensor:  # fmt: skip
        """`run(block, x, *more)` by a graph, compiled when it is first needed.

        Args:
            run: computes a block.
            batch: that is being computed.
            maps: sites of the block, by target.
            block: of a tower.
            x: (B, L, W), padded.
            more: what else `run` takes, last of all which token of each item is asked for.

        Raises:
            BenchError: torch cannot compile it.
        """
        grad = torch.is_grad_enabled()
        weights = {n: p if grad else p.detach() for n, p in _weights(block, maps).items()}
        deltas = dict[str, Delta]()
        for target, site in maps.items():
            if site.delta is not None:
                one = more[-1] is not None and target not in BEFORE
                shapes = [(n, 1 if one else tokens) for n, tokens in (batch.real, batch.padded)]
                delta = cast(Traceable, site.delta).factored(*shapes)
                deltas[target] = delta if grad else _without_gradients(delta)
        if not grad:
            x = x.detach()
        elif not x.requires_grad:  # the first block of a frozen tower: one graph less
            x = x.detach().requires_grad_()
        x, bare, kind = x.contiguous(), batch.bare[block], x.device.type
        mode = (grad, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
        parts = (x, *more, *weights.values(), *deltas.values())
        key = (run, bare, tuple(deltas), mode, *map(_signature, parts))
        fast = self.graphs.get(key) or self._compiled(key)
        with bare.dressed(weights, deltas) as dressed:
            return fast(run, dressed, x, *more)

    def _stand_in(self, form: object, block: nn.Module, maps: Mapping[str, Site]) -> StandIn:
        if form not in self._bare:
            self._bare[form] = StandIn(block, maps)
        return self._bare[form]

    def _compiled(self, key: object) -> Run:
        """A function of its own: torch keeps few graphs of one, and looks through all of them."""
        code = _call.__code__.replace(co_name=f"block_{len(self.graphs)}")
        own = FunctionType(code, _call.__globals__)
        fast = with_torch(own, self.backend)

        def first(*inputs: Any) -> Tensor:
            try:
                with warnings.catch_warnings():  # of torch's own tracing
                    warnings.simplefilter("ignore")
                    y: Tensor = fast(*inputs)
            except torch._dynamo.exc.TorchDynamoException as e:
                fix = "give --compile off"
                raise BenchError("blocks that torch.compile can do", told(e), fix, code=3) from e
            self.graphs[key] = fast
            return y

        return first


@cache
def compiler(sizes: Sizes, backend: Backend = "inductor") -> Compiler:
    """The one of this process: runs one after the other share what is compiled."""
    return Compiler(sizes, backend)


def with_torch(run: Run, backend: Backend) -> Run:
    """By torch.compile, for the shapes of its first call, and the same kernels at every time."""
    # Else it takes whichever of several kernels is fastest today, with other last bits.
    options: Any = {"deterministic": True} if backend == "inductor" else None
    found: Run = torch.compile(run, fullgraph=True, dynamic=False, backend=backend, options=options)
    return found


def told(error: BaseException) -> str:
    """What torch's compiler failed by, in one line: the first of its many often says little."""
    said = str(error).partition("Set TORCHDYNAMO_VERBOSE")[0]
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return textwrap.shorten(
        f"{type(error).__name__}: {' '.join(lines[:2])}", 200, placeholder=" ..."
    )


def text_length(longest: int) -> int:
    """Tokens that a batch of texts is padded to, by those of the longest of them."""
    longer = -(-longest // MULTIPLE) * MULTIPLE
    return next((length for length in LENGTHS if length >= longest), longer)


def _longer(length: int, most: int | None) -> int:
    return length if most is None else max(length, min(text_length(length), most))


def plain(*tensors: Tensor) -> bool:
    """Whether these are tensors of torch's own, outside of its transforms of functions."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return False
    return all(type(x) in (Tensor, nn.Parameter) for x in tensors)


def _call(run: Run, block: nn.Module, x: Tensor, *more: Any) -> Tensor:
    return run(block, x, *more)


def _weights(block: nn.Module, maps: Mapping[str, Site]) -> dict[str, Tensor]:
    """The block's weights, by name, with what stands instead of them."""
    found: dict[str, Tensor] = dict(block.named_parameters())
    if all(site.instead is None for site in maps.values()):
        return found
    parts: dict[int, list[Site]] = {}
    for site in maps.values():
        parts.setdefault(id(site.whole), []).append(site)
    for name, whole in found.items():
        sites = parts.get(id(whole), [])
        if any(site.instead is not None for site in sites):
            rows = [site.weight if site.instead is None else site.instead for site in sites]
            found[name] = rows[0].contiguous() if len(rows) == 1 else torch.cat(rows)
    return found


def _without_gradients(delta: Delta) -> Delta:
    values = (getattr(delta, f.name) for f in fields(cast(Any, delta)))
    detached = (v.detach() if isinstance(v, Tensor) else v for v in values)
    found: Delta = cast(Any, type(delta))(*detached)
    return found


def _signature(part: object) -> object:
    """What a graph is made for."""
    if isinstance(part, Tensor):
        about = (part.shape, part.stride(), part.dtype, part.device, part.requires_grad)
        return (type(part), *about)
    if is_dataclass(part):
        return (type(part), *(_signature(getattr(part, f.name)) for f in fields(part)))
    return part
