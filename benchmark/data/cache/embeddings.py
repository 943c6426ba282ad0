"""One store of embeddings: a row for each item, what encodes it, and nothing twice.

Frozen features, routes through adapters, teachers and repeated stages are all uses of it. An item
is an image of a set or a text, wherever that text occurs. What encodes is told by its contents.

A row's bits do not depend on when it was asked for, and with which others: images are encoded in
pieces of a fixed size at most, texts in pieces of one length, and a tower's row is the same in
every piece.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...common.digests import digest
from ...common.report import SILENT, Report
from ..device.moved import moved
from ..pixels import PixelRows
from .known_rows import KnownRows
from .pieces import in_pieces
from .row_files import load_rows, save_rows

VERSION = "2"  # of the encoding of rows and of their files
HELD = 2**30  # bytes of other encoders' rows that stay in memory
SET = 32  # bits of an item's number in its set; those above are the set's


@dataclass(frozen=True)
class EncoderKey:
    """What gives rows.

    Attributes:
        name: tells it from all others by its contents; "" for the untouched backbone.
        lasting: whether another run may have the same one, so that its rows go to the disk.
    """

    name: str
    lasting: bool


PRISTINE = EncoderKey("", True)


@dataclass(frozen=True)
class _Set:
    kind: str
    key: str
    items: int


class Embeddings:
    """Rows of items by encoders, in memory and on the disk.

    Args:
        about: all that rows derive from beside item and encoder: weights, device, libraries.
        transform: names how pixels are made.
        code: names the code that encoders other than the untouched backbone are made by.
        root: cache folder.
        report: is told of a damaged file that is made again.
    """

    def __init__(
        self, about: Sequence[str], transform: str, code: str, root: Path, report: Report = SILENT
    ) -> None:
        self._about, self._transform, self._code = tuple(about), transform, code
        self._root, self._report = root, report
        self._sets: list[_Set] = []
        self._numbers: dict[tuple[str, str], int] = {}
        self._texts: dict[bytes, int] = {}  # of a text's tokens -> its item
        self._items: dict[str, Tensor] = {}  # of a set of texts
        self._tables: OrderedDict[tuple[str, int], KnownRows] = OrderedDict()
        self._lasting: set[tuple[str, int]] = set()

    # -- items

    def images(self, pixels: PixelRows, key: str, rows: Tensor) -> Tensor:
        """The items (B,) at some rows of a set of images whose sha256 is `key`."""
        return (self._number("image", key, len(pixels)) << SET) + rows

    def texts(self, tokens_ML: Tensor, key: str, rows: Tensor) -> Tensor:
        """The items (B,) at some rows of a table of tokens whose sha256 is `key`.

        A text that is there twice, or in another table, is one item.
        """
        if key not in self._items:
            first = self._number("text", key, len(tokens_ML)) << SET
            lines = tokens_ML.cpu().numpy().astype(np.int32)
            found = [
                self._texts.setdefault(blake2b(line.tobytes(), digest_size=16).digest(), first + m)
                for m, line in enumerate(lines)
            ]
            self._items[key] = torch.tensor(found, dtype=torch.int64)
        return self._items[key][rows]

    def _number(self, kind: str, key: str, items: int) -> int:
        number = self._numbers.setdefault((kind, key), len(self._sets))
        if number == len(self._sets):
            self._sets.append(_Set(kind, key, items))
        return number

    # -- rows

    def rows(
        self,
        encoder: EncoderKey,
        item_B: Tensor,
        given: Tensor | None,
        encode: Callable[[Tensor], Tensor],
        lengths: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Rows (B, D) of items; those that are not there are encoded.

        They are on the CPU where another run may have the encoder, else where it has left them.

        Args:
            encoder: whose rows.
            item_B: the items, by `images` or `texts`.
            given: see `protocol.items`, on the CPU.
            encode: places of these items, int64 on the CPU -> their rows.
            lengths: for texts, places -> the numbers of tokens that a tower takes of each.
        """
        given_BG = None if given is None else _bytes(given)
        set_B, number_B = item_B >> SET, item_B & (2**SET - 1)
        parts = [(s, (set_B == s).nonzero()[:, 0]) for s in set_B.unique().tolist()]
        found_B = torch.zeros(len(item_B), dtype=torch.bool)
        kept: list[tuple[Tensor, Tensor]] = []
        for s, mine in parts:
            table, given_mG = self._table(encoder, s), _rows_of(given_BG, mine)
            has = table.found(number_B[mine], given_mG)
            found_B[mine] = has
            if has.any():
                kept.append((mine[has], table.take(number_B[mine[has]])))
        if not found_B.all():
            places, rows = self._encoded(
                encoder, item_B, given_BG, (~found_B).nonzero()[:, 0], encode, lengths
            )
            kept.append((places, rows))
        if len(kept) == 1 and len(kept[0][0]) == len(item_B):
            places, rows = kept[0]
            if bool((places == torch.arange(len(places))).all()):
                return rows
        out = kept[0][1].new_empty((len(item_B), kept[0][1].shape[1]))
        for places, rows in kept:
            out[moved(places, out.device)] = rows
        return out

    def _encoded(
        self,
        encoder: EncoderKey,
        item_B: Tensor,
        given_BG: Tensor | None,
        missing: Tensor,
        encode: Callable[[Tensor], Tensor],
        lengths: Callable[[Tensor], Tensor] | None,
    ) -> tuple[Tensor, Tensor]:
        """The places that have no row, and their rows, which are kept from now on."""
        first, inverse = _unique(item_B[missing], _rows_of(given_BG, missing))
        places = missing[first]
        rows = in_pieces(places, encode, lengths)
        if encoder.lasting:
            rows = rows.cpu()  # for the disk; a teacher's stay, so that no step waits for them
        set_n, number_n = item_B[places] >> SET, item_B[places] & (2**SET - 1)
        for s in set_n.unique().tolist():
            mine = (set_n == s).nonzero()[:, 0]
            own = rows if len(mine) == len(rows) else rows[moved(mine, rows.device)]
            self._table(encoder, s).put(number_n[mine], own, _rows_of(given_BG, places[mine]))
        self._bound((encoder.name, int(set_n[-1])))
        return missing, rows[moved(inverse, rows.device)]

    def _table(self, encoder: EncoderKey, s: int) -> KnownRows:
        key = encoder.name, s
        if key not in self._tables:
            table = KnownRows.of(self._sets[s].items)
            if encoder.lasting:
                self._lasting.add(key)
                lying = load_rows(self._root, self._key(key), len(table.place_N), self._say)
                if lying is not None:
                    table.put(*lying)
                    table.fresh.clear()
            self._tables[key] = table
        self._tables.move_to_end(key)
        return self._tables[key]

    def _bound(self, newest: tuple[str, int]) -> None:
        """Give up the tables that were asked for the longest ago, but no frozen features."""
        others = [key for key in self._tables if key[0] and key != newest]
        held = sum(self._tables[key].nbytes for key in self._tables if key[0])
        for key in others:
            if held <= HELD:
                return
            held -= self._tables[key].nbytes
            self._save(key)
            del self._tables[key]

    # -- the disk

    def flush(self) -> None:
        """Write what is on no disk and of use to other runs.

        Raises:
            BenchError: the disk is full, or the folder cannot be written.
        """
        for key in self._tables:
            self._save(key)

    def _save(self, key: tuple[str, int]) -> None:
        table = self._tables[key]
        fresh, table.fresh = table.fresh, []
        if key not in self._lasting or not fresh or table.given_NG is not None:
            return
        item_n = torch.cat(fresh).unique()
        rows = table.take(item_n)
        if rows.dtype == torch.float32:
            save_rows(self._root, self._key(key), len(table.place_N), (item_n, rows), self._say)

    def _key(self, key: tuple[str, int]) -> str:
        name, of = key[0], self._sets[key[1]]
        transform = self._transform if of.kind == "image" else ""
        made_by = [self._code, name] if name else []
        what = digest([of.kind, transform, of.key, *made_by])
        return digest([VERSION, torch.__version__, *self._about, what])

    def _say(self, text: str) -> None:
        self._report.line(text)


def _bytes(given: Tensor) -> Tensor:
    """The bits of each row (B, G), so that equal means the same bits."""
    flat = given.detach().reshape(len(given), -1).contiguous()
    return flat.view(torch.uint8) if flat.numel() else flat.new_empty(flat.shape, dtype=torch.uint8)


def _rows_of(given_BG: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if given_BG is None else given_BG[rows]


def _unique(item_B: Tensor, given_BG: Tensor | None) -> tuple[Tensor, Tensor]:
    """The first place of each item under what is given, and for every place which of these."""
    lines = item_B.numpy()[:, None].view(np.uint8).reshape(len(item_B), -1)
    if given_BG is not None:
        lines = np.concatenate([lines, given_BG.numpy()], axis=1)
    whole = np.ascontiguousarray(lines).view(np.dtype((np.void, lines.shape[1])))[:, 0]
    _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    order = np.argsort(first)  # as they are asked for
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return torch.from_numpy(first[order]), torch.from_numpy(rank[inverse.reshape(-1)])
