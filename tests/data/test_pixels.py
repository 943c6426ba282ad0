"""Rows of decoded images in memory maps, and cached tokens."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.data import pixels as module
from benchmark.data.cache.tokens import FEW, tokens_of
from benchmark.data.pixels import PixelRows
from benchmark.data.published.verify import noted_damage

SHAPE = (4, 4, 3)


@pytest.fixture
def blocks(tmp_path):
    """Three memory maps of 5, 1 and 9 images, and all of them in memory."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 255, (n, *SHAPE), dtype=np.uint8) for n in (5, 1, 9)]
    for i, array in enumerate(arrays):
        np.save(tmp_path / f"{i}.npy", array)
    maps = [np.load(tmp_path / f"{i}.npy", mmap_mode="r") for i in range(3)]
    return PixelRows.of(maps, SHAPE), np.concatenate(arrays)


@pytest.mark.parametrize("kept", [0, 2**30])
def test_rows_are_those_of_one_array(blocks, monkeypatch, kept) -> None:
    monkeypatch.setattr(module, "KEPT", kept)
    rows, whole = blocks
    assert (len(rows), rows.shape, rows.nbytes) == (15, whole.shape, whole.nbytes)
    for chosen in ([0], [14, 0, 5, 5, 6], [], list(range(15))):
        got = rows[np.asarray(chosen, dtype=np.int64)]
        np.testing.assert_array_equal(got, whole[chosen])
        assert got.flags.writeable
    np.testing.assert_array_equal(rows[3:8], whole[3:8])
    np.testing.assert_array_equal(rows[7], whole[7])
    np.testing.assert_array_equal(np.array(rows), whole)


def test_masks_and_fractions_are_no_rows(blocks) -> None:
    rows, _ = blocks
    for wrong in ([True, False], [1.5], np.array([True] * 15)):
        with pytest.raises(TypeError):
            rows[wrong]
        with pytest.raises(TypeError):
            rows.pick(wrong)


def test_picks_of_picks(blocks) -> None:
    rows, whole = blocks
    chosen = np.array([14, 2, 2, 6])
    np.testing.assert_array_equal(rows.pick(chosen).pick([3, 0])[:], whole[chosen[[3, 0]]])
    assert len(rows.pick([])) == 0


@pytest.mark.parametrize("row", [15, -1, 99])
def test_rows_that_are_not_there(blocks, row) -> None:
    rows, _ = blocks
    with pytest.raises(IndexError):
        rows[[row]]
    with pytest.raises(IndexError):
        rows.pick([1, 2])[[row]]


class Counting:
    """A tokenizer that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, texts: list[str]) -> torch.Tensor:
        self.calls += 1
        return torch.tensor([[len(t), 49_407, 0] for t in texts])


def test_tokens_are_encoded_once(tmp_path: Path) -> None:
    texts, encode = [f"text {i}" for i in range(FEW)], Counting()
    first = tokens_of(texts, encode, "a", tmp_path)
    assert tokens_of(texts, encode, "a", tmp_path).equal(first)
    assert first.equal(Counting()(texts))
    assert first.dtype == torch.int64
    assert encode.calls == 1
    tokens_of(texts, encode, "b", tmp_path)
    tokens_of([*texts[:-1], "other"], encode, "a", tmp_path)
    assert encode.calls == 3
    assert tokens_of(texts[:9], encode, "a", tmp_path).equal(first[:9])  # few: not worth a file
    assert len(list((tmp_path / "tokens").glob("*.npy"))) == 3


def test_damaged_tokens_are_encoded_anew_and_found_by_verify(tmp_path: Path) -> None:
    texts, encode = [f"text {i}" for i in range(FEW)], Counting()
    first = tokens_of(texts, encode, "a", tmp_path)
    (path,) = (tmp_path / "tokens").glob("*.npy")
    assert list(noted_damage(tmp_path, lambda _: None)) == []
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(bytes(raw))
    assert len(list(noted_damage(tmp_path, lambda _: None))) == 1
    assert tokens_of(texts, encode, "a", tmp_path).equal(first)
    assert list(noted_damage(tmp_path, lambda _: None)) == []
    path.with_suffix(".json").write_text(json.dumps({}))
    assert tokens_of(texts, encode, "a", tmp_path).equal(first)


def test_large_token_ids_are_not_cut(tmp_path: Path) -> None:
    def encode(texts: list[str]) -> torch.Tensor:
        return torch.full((len(texts), 2), 70_000)

    for _ in range(2):
        assert tokens_of(["x"] * FEW, encode, "a", tmp_path).equal(encode(["x"] * FEW))
