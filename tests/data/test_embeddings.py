"""The store of embeddings: its rows in memory, its files, its pieces."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.data.cache import embeddings, pieces
from benchmark.data.cache.arrays import FEATURES
from benchmark.data.cache.embeddings import PRISTINE, Embeddings, EncoderKey
from benchmark.data.cache.pieces import in_pieces
from benchmark.data.cache.row_files import load_rows, save_rows
from benchmark.data.pixels import PixelRows
from benchmark.errors import BenchError, MethodError

DIM = 4
LASTING, PASSING = EncoderKey("adapter", True), EncoderKey("trained", False)


class Said:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


class Rows:
    """Encodes images of one set by their number, and remembers for which it was asked."""

    def __init__(self, rows: Tensor, factor: float = 1.0) -> None:
        self.rows, self.factor = rows, factor
        self.asked: list[int] = []

    def __call__(self, places: Tensor) -> Tensor:
        self.asked += self.rows[places].tolist()
        return self.factor * self.rows[places][:, None].float().expand(-1, DIM)


def pixels(n: int) -> PixelRows:
    return PixelRows.of([np.zeros((n, 2, 2, 3), np.uint8)], (2, 2, 3))


def store(root: Path, about: str = "weights", code: str = "", said: Any = None) -> Any:
    return Embeddings((about,), "transform", code, root, cast(Any, said or Said()))


def ask(
    of: Embeddings, rows: list[int], encoder: EncoderKey = PRISTINE, n: int = 50, key: str = "set"
) -> list[int]:
    """Take rows of a set, compare them, and say for which a tower was asked."""
    row_B = torch.tensor(rows)
    encode = Rows(row_B)
    got = of.rows(encoder, of.images(pixels(n), key, row_B), None, encode)
    assert got.equal(row_B[:, None].float().expand(-1, DIM))
    return encode.asked


def test_rows_come_from_memory_then_from_the_disk(tmp_path: Path) -> None:
    first = store(tmp_path)
    assert ask(first, [7, 3, 7]) == [7, 3]
    assert ask(first, [3, 9]) == [9]
    first.flush()
    assert ask(store(tmp_path), [9, 7, 3, 1]) == [1]
    assert ask(store(tmp_path, "other weights"), [9]) == [9]
    assert ask(store(tmp_path), [9], key="other set") == [9]


def test_what_no_other_run_can_have_is_not_written(tmp_path: Path) -> None:
    first = store(tmp_path, code="a")
    ask(first, [1], PASSING)
    first.flush()
    assert not list(tmp_path.rglob("*.npy"))
    ask(first, [1], LASTING)
    first.flush()
    assert ask(store(tmp_path, code="a"), [1], LASTING) == []
    assert ask(store(tmp_path, code="b"), [1], LASTING) == [1], "made by other code"
    assert ask(store(tmp_path, code="b"), [1]) == [1], "frozen features are another encoder's"


def test_two_processes_add_to_each_other(tmp_path: Path) -> None:
    one, other = store(tmp_path), store(tmp_path)
    ask(one, [1, 2])
    ask(other, [2, 3])
    one.flush()
    other.flush()
    assert ask(store(tmp_path), [1, 2, 3]) == []


def test_nothing_new_writes_nothing(tmp_path: Path) -> None:
    one = store(tmp_path)
    ask(one, [1, 2])
    one.flush()
    path = next(tmp_path.rglob("*.npy"))
    before = path.stat().st_mtime_ns
    one.flush()
    again = store(tmp_path)
    ask(again, [2])
    again.flush()
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("wrong", [[[50, 0]], [[-1, 0]], [[3, 0], [3, 0]], [[1]]])
def test_a_file_with_rows_of_other_items_is_made_again(wrong: Any, tmp_path: Path) -> None:
    """Its digest is right: it was written so."""
    lines = np.array(wrong, np.int32)
    key = "0" * 64
    FEATURES.save(FEATURES.path(tmp_path, key), lines, key=key)
    said = Said()
    assert load_rows(tmp_path, key, 50, said.line) is None
    assert "made again" in said.lines[0]
    rows = torch.tensor([3]), torch.rand(1, DIM)
    save_rows(tmp_path, key, 50, rows, said.line)
    found = load_rows(tmp_path, key, 50, said.line)
    assert found is not None
    assert found[1].equal(rows[1])


def test_a_damaged_file_is_made_again_and_said(tmp_path: Path) -> None:
    first = store(tmp_path)
    ask(first, [1, 2, 3])
    first.flush()
    path = next(tmp_path.rglob("*.npy"))
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)
    said = Said()
    again = store(tmp_path, said=said)
    assert ask(again, [1, 2]) == [1, 2]
    assert any("other bytes" in line for line in said.lines)
    again.flush()
    assert ask(store(tmp_path), [1, 2, 3]) == [3]


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = store(tmp_path)
    ask(first, [1])

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BenchError, match="No space left"):
        first.flush()


def test_old_tables_are_given_up_first_and_frozen_features_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = store(tmp_path)
    ask(one, [1])
    names = [EncoderKey(f"stage {i}", False) for i in range(6)]
    for name in names:
        ask(one, [1, 2], name)
    size = one._tables["stage 0", 0].nbytes
    monkeypatch.setattr(embeddings, "HELD", 3 * size)
    ask(one, [1, 2], names[3])  # used again: not the oldest
    ask(one, [1, 2], EncoderKey("newest", False))
    assert ask(one, [1, 2], names[3]) == []
    assert ask(one, [1]) == []
    assert ask(one, [1, 2], names[0]) == [1, 2]
    held = sum(t.nbytes for key, t in one._tables.items() if key[0])
    assert held <= 3 * size


def test_what_is_given_up_is_written_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = store(tmp_path)
    ask(one, [1, 2], LASTING)
    monkeypatch.setattr(embeddings, "HELD", 0)
    ask(one, [1], PASSING)
    assert ask(one, [1, 2], LASTING) == []


def test_memory_grows_with_what_is_asked_for(tmp_path: Path) -> None:
    """And not with the set."""
    one, n = store(tmp_path), 10_000
    for first in range(0, 600, 7):
        ask(one, list(range(first, first + 7)), n=n)
    table = one._tables["", 0]
    assert table.count == 602
    assert table.rows_ND.nbytes <= 1.5 * 602 * DIM * 4
    assert table.place_N.nbytes == 8 * n


def test_rows_of_another_number_of_given_weights(tmp_path: Path) -> None:
    one, row_B = store(tmp_path), torch.tensor([4, 5])
    items = one.images(pixels(9), "set", row_B)
    asked = []
    for given in (torch.ones(2, 1), torch.ones(2, 3), torch.ones(2, 3), torch.ones(2, 3).double()):
        encode = Rows(row_B)
        one.rows(PASSING, items, given, encode)
        asked.append(len(encode.asked))
    assert asked == [2, 2, 0, 2]
    nan = torch.full((2, 1), torch.nan)
    for count in (2, 0):
        encode = Rows(row_B)
        one.rows(PASSING, items, nan, encode)
        assert len(encode.asked) == count, "equal is equal in bits"


def test_texts_of_one_length_are_encoded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "TOKENS", 24)
    lengths = torch.tensor([8, 4, 8, 8, 12, 4, 8])
    seen: list[list[int]] = []

    def encode(places: Tensor) -> Tensor:
        seen.append(lengths[places].tolist())
        return places[:, None].float()

    rows = in_pieces(torch.arange(7), encode, lambda places: lengths[places])
    assert rows[:, 0].tolist() == list(range(7))
    assert seen == [[4, 4], [8, 8, 8], [8], [12]]


@pytest.mark.parametrize("made", [lambda p: None, lambda p: p.float(), lambda p: torch.ones(1, 2)])
def test_what_is_no_row_for_each_item_is_refused(made: Any) -> None:
    with pytest.raises(MethodError, match="one row for each of 3 items"):
        in_pieces(torch.arange(3), made, None)
