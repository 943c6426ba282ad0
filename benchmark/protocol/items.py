"""Images and texts as a method sees them: their pixels or tokens, and rows that are kept for them.

Shapes as in `types`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

from ..backbones.backbone import Backbone, note_joined
from ..errors import BenchError
from .badges import Badge
from .lookup import Lookup, piece_of

Log = Callable[[str, Tensor], None]
Partner = Callable[[], Tensor | None]
Content = Tensor | Lookup[[], Tensor]
"""Pixels or tokens, or what reads them when they are asked for."""


class Keyed(Protocol):
    """What rows depend on beside the items, for example a `Backbone` or a `toolkit.lora.LoRA`."""

    def digest(self) -> str:
        """Sha256 of everything that its embeddings depend on, computed from the values."""


Cached = Callable[[Any, Keyed, Callable[[Any], Tensor], Tensor | None], Tensor]
"""What `items.cached` asks, with the items before its own arguments."""


def no_log(key: str, value_B: Tensor) -> None:
    """Outside an evaluation nothing is counted."""


@dataclass(frozen=True)
class Context:
    """What the harness tells of test items beside their pixels or tokens.

    Attributes:
        log: see `Images`.
        task: see `Images.task`; None where the method does not declare "task id".
        partner: see `Images.partner`; None where the method does not declare "test pairing".
        cached: what answers `Images.cached`; None where nothing is kept.
        kept: see `Images.kept`.
    """

    log: Log = no_log
    task: int | None = None
    partner: Partner | None = None
    cached: Cached | None = None
    kept: bool = False

    def at(self, rows: Tensor) -> "Context":
        """The same for a piece of the items."""
        partner = None if self.partner is None else piece_of(self.partner, rows)
        cached = None if self.cached is None else piece_of(self.cached, rows)
        return replace(self, partner=partner, cached=cached)


ItemsT = TypeVar("ItemsT", bound="_Items")


@dataclass(frozen=True, eq=False)
class _Items:
    """What images and texts have in common."""

    _content: Content
    frozen: Callable[[], Tensor]
    _context: Context = Context()

    def __len__(self) -> int:
        return len(self._content)

    def __getitem__(self, rows: Tensor) -> Self:
        content = self._source()
        if isinstance(content, Lookup):
            piece: Content = content.piece(rows)
        elif isinstance(rows, Tensor) and rows.device.type == "cpu" != content.device.type:
            # Without a wait for the device.
            piece = content[rows.pin_memory().to(content.device, non_blocking=True)]
        else:
            piece = content[rows]
        return type(self)(piece, piece_of(self.frozen, rows), self._context.at(rows))

    def _source(self) -> Content:
        """Where a piece takes its content from."""
        return self._content

    def _read(self) -> Tensor:
        """The content, which is read once."""
        if isinstance(self._content, Lookup):
            object.__setattr__(self, "_content", self._content())
        assert isinstance(self._content, Tensor)
        return self._content

    @property
    def log(self) -> Log:
        """Counts an integer in [0, 32767] per item, for example the adapter it was routed to.

        `items.log("route", index_B)`; the record has the counts for every evaluation set.
        """
        return self._context.log

    @property
    def kept(self) -> bool:
        """Whether `cached` keeps the rows of every encoder now: of test items, without gradients.

        What shares work between the items of one batch is of no use then.
        """
        return self._context.kept and not torch.is_grad_enabled()

    def cached(
        self, part: Keyed, encode: Callable[..., Tensor], given: Tensor | None = None
    ) -> Tensor:
        """Rows (B, D) by something that does not change meanwhile: from the store, or computed.

        What is there is not computed again, at whatever stage and for whatever set; what is not
        asked for is not computed. With gradients it is `encode(items)`, and nothing is kept. Of
        training items the rows of a copy of the backbone are kept that nothing trains, a teacher's.

        Args:
            part: what the rows depend on beside the items. A `Backbone`: on its own tower for
                this kind of item alone. Anything else: on the run's backbone as it is now and on
                what `part.digest()` tells, which must cover all that `encode` reads.
            encode: items of the same kind, of these and in groups that the store makes, to their
                rows (b, D); without gradients. A row may depend on its own item only. Rows by other
                code are others, so ask with one function. See `OwnTower`.
            given: (B, K), what else each row depends on, such as weights of adapters. A row that
                was stored under other bits is computed anew. Then it is encode(items, given), with
                those of its items.
        """
        if torch.is_grad_enabled() or self._context.cached is None:
            return encode(self) if given is None else encode(self, given)
        return self._context.cached(self, part, encode, given)

    @property
    def task(self) -> int:
        """0-based index of the learned task that the items belong to, -1 for none.

        Raises:
            BenchError: the method does not declare "task id".
        """
        if self._context.task is None:
            raise undeclared("task id", ".task")
        return self._context.task

    @property
    def partner(self) -> Tensor | None:
        """Frozen features (B, D) of what the test set pairs each item with.

        For a text, the unit row of its image; for an image, the mean of its captions' unit rows;
        None for items of labelled sets, which are not paired.

        Raises:
            BenchError: the method does not declare "test pairing".
        """
        if self._context.partner is None:
            raise undeclared("test pairing", ".partner")
        return self._context.partner()


def undeclared(badge: Badge, what: str) -> BenchError:
    """The error for what a method may use only where it says so."""
    return BenchError(
        f"a method that declares '{badge}' in `uses`",
        f"a method that reads `{what}` without that",
        "declare it, so that the leaderboard can show it",
    )


class Images(_Items):
    """A batch of images as a method sees it; `batch[rows]` is a piece with all that belongs to it.

    Args:
        _content: the pixels, or a look-up that reads them.
        frozen: see below.
        _context: what the harness knows beside them.

    Attributes:
        frozen: gives the unit rows (B, D) of the untouched backbone. They come from a cache that
            all methods, stages and orders share, so asking costs one look-up.
    """

    @property
    def pixels_B3HW(self) -> Tensor:
        """Float32, normalised with the backbone's mean and standard deviation.

        They are read from the disk when they are asked for, so do not ask where rows are kept.
        """
        return self._read()


class Texts(_Items):
    """A batch of tokenised texts; `Images` says what is the same of both."""

    @property
    def tokens_ML(self) -> Tensor:
        """Int64, 0-padded."""
        lookup = self._content
        tokens_ML = self._read()
        if isinstance(lookup, Lookup):
            object.__setattr__(self, "_lookup", lookup)
        return tokens_ML

    def _source(self) -> Content:
        """The look-up: the host has all tokens, and knows the longest text of a piece of them."""
        found: Content = self.__dict__.get("_lookup", self._content)
        return found


@dataclass(frozen=True)
class OwnTower:
    """A backbone's own tower of an item's kind: `items.cached(clip, OwnTower(clip))`.

    Of the untouched backbone these rows are the frozen features, so that no tower runs for them.
    """

    clip: Backbone

    def __call__(self, items: Images | Texts) -> Tensor:
        """Unit rows (B, D)."""
        if isinstance(items, Images):
            return self.clip.image(items.pixels_B3HW)
        return self.clip.text(items.tokens_ML)


SomeItems = TypeVar("SomeItems", Images, Texts)


def together(parts: Sequence[SomeItems]) -> SomeItems:
    """One batch of several, in order; nothing is told of its items beside their frozen features.

    Rows of encoders are kept for each of them as in its own batch.
    """

    def each(rows: Tensor, of: Callable[[SomeItems, Tensor], Tensor]) -> Tensor:
        """What `of` gives for the items at `rows`, part by part, with their places in `rows`."""
        found, places, first = [], [], 0
        for part in parts:
            mine = ((rows >= first) & (rows < first + len(part))).nonzero()[:, 0]
            if len(mine):
                own = rows[mine] - first
                whole = own.equal(torch.arange(len(part), device=own.device))
                found.append(of(part if whole else part[own], mine))
                places.append(mine)
            first += len(part)
        if not found:
            return of(parts[0][rows], rows)
        order = torch.cat(places)
        if order.equal(torch.arange(len(order))):
            return torch.cat(found)
        return torch.cat(found)[order.argsort().to(found[0].device)]

    def content(rows: Tensor) -> Tensor:
        read: list[Tensor] = []

        def one(piece: SomeItems, _: Tensor) -> Tensor:
            read.append(piece._read())
            return read[-1]

        whole = each(rows, one)
        note_joined(whole, read)
        return whole

    def frozen(rows: Tensor) -> Tensor:
        return each(rows, lambda piece, _: piece.frozen())

    def cached(rows: Tensor, items: Any, *asked: Any) -> Tensor:
        part, encode, given = asked
        return each(
            rows, lambda piece, at: piece.cached(part, encode, None if given is None else given[at])
        )

    every = torch.arange(sum(map(len, parts)))
    context = Context(cached=Lookup(cached, every))
    return type(parts[0])(Lookup(content, every), Lookup(frozen, every), context)
