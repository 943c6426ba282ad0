"""From loaded splits to what a method sees: images, texts and classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..backbones.backbone import Backbone, Tower
from ..common.report import Say
from ..protocol.items import Context, Images, Keyed, Texts
from ..protocol.lookup import Lookup
from ..protocol.types import Classes
from .cache.asked import Asked
from .cache.embeddings import EncoderKey
from .cache.encoder_key import Asking, encoder_key
from .cache.frozen import FrozenFeatures, normalise, normalised, on_device, text_lengths
from .cache.pieces import in_pieces, verified, watched
from .device.ahead import ReadAhead
from .device.moved import moved
from .tensors import LabelTensors, PairTensors, Tensors

NOTHING = Context()  # what is known of training items beside them
Some = TypeVar("Some", Images, Texts)


@dataclass(frozen=True)
class Rules:
    """What is kept of some items.

    Attributes:
        test: whether they are a test set's, of which the rows of every encoder are kept; else those
            of copies of the backbone that nothing trains.
        verify: see `Items.images`.
        few: whether a few of them are looked at again, and not all.
    """

    test: bool
    verify: float | None = None
    few: bool = False


TRAINED = Rules(False)


def _always() -> None:
    """What may be read at any time."""


@dataclass(frozen=True)
class Items:
    """Makes Images and Texts: pixels and tokens on the device, rows of encoders on request."""

    clip: Backbone
    frozen: FrozenFeatures
    asked: Asked = field(default_factory=Asked, repr=False, compare=False)
    _ahead: list[ReadAhead] = field(default_factory=list, repr=False, compare=False)

    @property
    def device(self) -> torch.device:
        """Where batches live."""
        return self.clip.logit_scale.device

    @property
    def ahead(self) -> ReadAhead:
        """What gives training batches their pixels."""
        if not self._ahead:
            self._ahead.append(ReadAhead(self.device))
        return self._ahead[0]

    def make_room(self, say: Say) -> bool:
        """Out of memory: give up images on the device, and say so; whether there were any."""
        freed = self.ahead.resident.give_up()
        if freed:
            say(f"out of memory: {freed / 2**20:.3g} MiB of images on the device are given up")
        return freed > 0

    def images(
        self,
        data: Tensors,
        rows: Tensor,
        context: Context = NOTHING,
        cached: bool = False,
        verify: float | None = None,
        check: Callable[[], None] = _always,
        early: Callable[[], Tensor] | None = None,
    ) -> Images:
        """The images at `rows` of a loaded split.

        Args:
            data: the split.
            rows: int64, on the CPU.
            context: what the harness knows of test items beside them.
            cached: whether the rows of every encoder are kept, as they are for test items; else
                those of copies of the backbone that nothing trains.
            verify: how far a kept row may be from one that is encoded again, which is given in its
                place; None for no second look.
            check: is called before pixels are read.
            early: gives all of their pixels, uint8 on the device, where they may have been read
                before they are asked for.
        """
        whole = rows

        def frozen(rows: Tensor) -> Tensor:
            return moved(self.frozen.some_images(data.pixels, data.pixel_key, rows), self.device)

        def kept(rows: Tensor, items: Images, *asked: Any) -> Tensor:
            item_B = self.frozen.store.images(data.pixels, data.pixel_key, rows)
            return self._kept("image", item_B, items, Rules(cached, verify), None, *asked)

        def pixels(rows: Tensor) -> Tensor:
            check()
            return self.pixels(data, rows, not cached, early if rows is whole else None)

        context = replace(context, cached=Lookup(kept, rows), kept=cached)
        return Images(Lookup(pixels, rows), Lookup(frozen, rows), context)

    def pixels(
        self,
        data: Tensors,
        rows: Tensor,
        trained: bool = False,
        early: Callable[[], Tensor] | None = None,
    ) -> Tensor:
        """Float32 (B, 3, S, S) on the device, normalised.

        Args:
            data: the split.
            rows: see `images`.
            trained: whether they are read again and again, so that the set may stay there.
            early: see `images`.
        """
        if early is not None:
            return normalised(early(), self.clip)
        if not trained:
            return normalise(data.pixels[rows.numpy()], self.clip)
        pixels_BHW3 = self.ahead.resident.take(data.pixels, data.pixel_key, rows)
        return normalised(pixels_BHW3, self.clip)

    def texts(
        self,
        tokens_ML: Tensor,
        key: str,
        rows: Tensor,
        context: Context = NOTHING,
        cached: bool = False,
        verify: float | None = None,
    ) -> Texts:
        """The texts at `rows` of a token table whose sha256 is `key`; the rest as in `images`."""
        return self._texts(((tokens_ML, key),), (rows,), context, Rules(cached, verify))

    def _texts(
        self,
        tables: Sequence[tuple[Tensor, str]],
        rows: Sequence[Tensor],
        context: Context,
        rules: Rules,
    ) -> Texts:
        """Texts of several token tables, one table after the other."""
        many = [r.shape[0] for r in rows]
        table_M = torch.arange(len(tables)).repeat_interleave(torch.tensor(many))
        row_M = torch.cat(list(rows))

        def each(places: Tensor, take: Callable[[Tensor, str, Tensor], Tensor]) -> Tensor:
            """What `take` gives for texts at some places, table by table."""
            if len(tables) == 1:
                return take(*tables[0], row_M[places])
            of, out = table_M[places], list[Tensor]()
            mine = [(of == t).nonzero()[:, 0] for t in range(len(tables))]
            for table, own in zip(tables, mine, strict=True):
                out.append(take(*table, row_M[places[own]]))
            return torch.cat(out)[torch.cat(mine).argsort()]

        def host(places: Tensor) -> Tensor:
            return each(places, lambda tokens_ML, _, rows: tokens_ML[rows])

        def tokens(places: Tensor) -> Tensor:
            return on_device(host(places), self.clip)

        def frozen(places: Tensor) -> Tensor:
            return moved(each(places, self.frozen.some_texts), self.device)

        def kept(places: Tensor, items: Texts, *asked: Any) -> Tensor:
            item_B = each(places, self.frozen.store.texts)

            def lengths(some: Tensor) -> Tensor:
                return text_lengths(self.clip, host(places[some]))

            return self._kept("text", item_B, items, rules, lengths, *asked)

        places = torch.arange(len(row_M))
        context = replace(context, cached=Lookup(kept, places), kept=rules.test)
        return Texts(Lookup(tokens, places), Lookup(frozen, places), context)

    @torch.no_grad()
    def _kept(
        self,
        kind: Tower,
        item_B: Tensor,
        items: Some,
        rules: Rules,
        lengths: Callable[[Tensor], Tensor] | None,
        part: Keyed,
        encode: Callable[..., Tensor],
        given: Tensor | None,
    ) -> Tensor:
        """Rows (B, D) as `items.cached` promises."""
        every = torch.arange(len(items))

        def encoded(some: Some, places: Tensor) -> Tensor:
            return encode(some) if given is None else encode(some, given[places.to(given.device)])

        if not len(items):
            return encoded(items, every)

        def key() -> EncoderKey | None:
            return encoder_key(
                self.clip, self.frozen, kind, Asking(part, encode, given), rules.test
            )

        def piece(places: Tensor) -> Tensor:
            return encoded(items if places.equal(every) else items[places], places)

        encoder = key()
        if encoder is None:
            return in_pieces(every, piece, lengths)
        bits = None if given is None else given.cpu()
        found_BD = self.frozen.store.rows(encoder, item_B, bits, piece, lengths)
        rows_BD = moved(found_BD, self.device)
        if not rules.test and not self.asked.knows(encoder):
            first = items[every[:1]]
            self.asked.note(encoder, key, lambda: encoded(first, every[:1]), rows_BD[:1].clone())
        if rules.verify is None:
            return rows_BD
        some = every if not rules.few else watched(len(items))
        again_BD = encoded(items if some is every else items[some], some)
        same_BD = verified(again_BD, rows_BD[moved(some, rows_BD.device)], rules.verify, kind)
        return same_BD if some is every else rows_BD

    def captions_of(self, data: PairTensors, rows: Tensor) -> Tensor:
        """For images, the mean (B, D) of the frozen unit rows of their captions."""
        first_B, end_B = data.first_N[rows].tolist(), data.first_N[rows + 1].tolist()
        captions = torch.cat([torch.arange(a, b) for a, b in zip(first_B, end_B, strict=True)])
        text_MD = self.frozen.some_texts(data.tokens_ML, data.text_key, captions)
        counts_B = data.first_N[rows + 1] - data.first_N[rows]
        owner_M = torch.arange(len(rows)).repeat_interleave(counts_B)
        sum_BD = torch.zeros(len(rows), text_MD.shape[1]).index_add(0, owner_M, text_MD)
        return moved(sum_BD / counts_B[:, None], self.device)

    def image_of(self, data: PairTensors, rows: Tensor) -> Tensor:
        """For captions, the frozen unit rows (B, D) of their images."""
        image_MD = self.frozen.some_images(data.pixels, data.pixel_key, data.owner_M[rows])
        return moved(image_MD, self.device)

    def classes(
        self,
        parts: Sequence[LabelTensors],
        first_prompt_only: bool = False,
        learned: Sequence[int] | None = None,
        context: Context = NOTHING,
        rules: Rules = TRAINED,
    ) -> Classes:
        """The classes of one dataset or of several, in one list.

        Args:
            parts: the datasets.
            first_prompt_only: whether each class has one prompt alone, as in training.
            learned: the index of the learned task for each dataset, -1 where it is none; None
                for -1 everywhere.
            context: of the prompts, see `images`.
            rules: what is kept of their rows.
        """
        names: list[str] = []
        owners, tables, rows = [], [], []
        for part in parts:
            classes, prompts, _ = part.prompts_CPL.shape
            every_CP = torch.arange(classes * prompts).view(classes, prompts)
            asked_CP = every_CP[:, :1] if first_prompt_only else every_CP
            c = torch.arange(classes) + len(names)
            owners.append(c.repeat_interleave(asked_CP.shape[1]))
            tables.append((part.prompts_CPL.flatten(0, 1), part.text_key))
            rows.append(asked_CP.flatten())
            names += part.names
        texts = self._texts(tables, rows, context, rules)
        sizes = torch.tensor([len(part.names) for part in parts])
        task_C = torch.tensor(learned or [-1] * len(parts)).repeat_interleave(sizes)
        device = self.device
        return Classes(tuple(names), texts, moved(torch.cat(owners), device), moved(task_C, device))
