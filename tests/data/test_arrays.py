"""Arrays on the disk: one class for all, in the formats that users' caches have."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.common.digests import digest
from benchmark.data.cache.arrays import FEATURES, PIXELS, TOKENS, CachedArrays
from benchmark.data.cache.tokens import FEW
from benchmark.data.published.verify import noted_damage
from benchmark.data.split import ImageSource, Labelled
from benchmark.data.tensors import LabelTensors, load_split

KINDS = [PIXELS, FEATURES, TOKENS]
NAMES = ["pixels", "features", "tokens"]


def _written(kind: CachedArrays, root: Path) -> Path:
    array = np.arange(600 * 4, dtype=np.uint8 if kind is PIXELS else np.float32).reshape(600, 4)
    path = kind.path(root, "a")
    kind.save(path, array)
    return path


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_what_was_written_is_read(kind: CachedArrays, tmp_path: Path) -> None:
    path = _written(kind, tmp_path)
    assert kind.load(tmp_path / "none.npy") is None
    found = kind.load(path)
    assert found is not None
    assert found[0].shape == (600, 4)
    assert kind.whole(path)
    assert list(kind.paths(tmp_path)) == [path]
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.json", "a.npy"]


def test_the_sha256_of_each_kind_is_that_of_older_caches(tmp_path: Path) -> None:
    """A cache takes days to fill: an update may not throw it away, nor call it damaged."""
    pixels, features, tokens = (_written(kind, tmp_path) for kind in KINDS)
    want = {
        pixels: hashlib.sha256(np.load(pixels).tobytes()).hexdigest(),
        features: digest([np.load(features).tobytes()]),
        tokens: hashlib.sha256(tokens.read_bytes()).hexdigest(),
    }
    for path, sha256 in want.items():
        assert json.loads(path.with_suffix(".json").read_text()) == {"sha256": sha256}
    assert [p.parent.name for p in want] == NAMES


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_one_changed_bit_is_damage(kind: CachedArrays, tmp_path: Path) -> None:
    path = _written(kind, tmp_path)
    raw = bytearray(path.read_bytes())
    raw[-2] ^= 1
    path.write_bytes(raw)
    assert not kind.whole(path)
    assert (kind.load(path) is None) == (not kind.large)
    assert list(noted_damage(tmp_path, lambda _: None)) == [
        f"{path} has other bytes than when it was written"
    ]


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_half_written_arrays_are_no_damage(kind: CachedArrays, tmp_path: Path) -> None:
    path = _written(kind, tmp_path)
    path.with_suffix(".json").unlink()
    assert kind.load(path) is None
    assert list(noted_damage(tmp_path, lambda _: None)) == []


def test_prompts_of_many_classes_are_encoded_once(tmp_path: Path) -> None:
    names, calls = tuple(f"class {i}" for i in range(FEW // 2)), []

    def tokenize(texts: list[str]) -> torch.Tensor:
        calls.append(len(texts))
        return torch.tensor([[len(text), *text.encode()[-2:]] for text in texts])

    source = ImageSource(3, lambda i: Image.new("RGB", (9, 9)), "content")
    split = Labelled("x", source, np.zeros(3, np.int64), names, ("a {}.", "the {}!"))
    first, again = (load_split(split, 8, tokenize, tmp_path, None, "name") for _ in range(2))
    assert calls == [FEW]
    assert isinstance(first, LabelTensors)
    assert isinstance(again, LabelTensors)
    assert again.prompts_CPL.equal(first.prompts_CPL)
    assert again.text_key == first.text_key
