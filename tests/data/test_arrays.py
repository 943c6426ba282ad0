"""Arrays on the disk: one class for all, in the formats that users' caches have."""

import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmark.common import checked
from benchmark.common.digests import digest
from benchmark.data.cache.arrays import FEATURES, TOKENS, CachedArrays
from benchmark.data.cache.decoded import PIXELS, check_ahead, decoded, transform_id
from benchmark.data.cache.tokens import FEW
from benchmark.data.published.verify import noted_damage
from benchmark.data.split import ImageSource, Labelled
from benchmark.data.tensors import LabelTensors, load_split
from benchmark.errors import BenchError

KINDS = [PIXELS, FEATURES, TOKENS]
NAMES = ["pixels", "features", "tokens"]
TYPE = {"pixels": np.uint8, "features": np.float32, "tokens": np.uint16}
SHAPE = {"pixels": (5, 8, 8, 3), "features": (30, 4), "tokens": (30, 7)}


def _about(kind: CachedArrays, of: str) -> tuple[str, dict[str, str]]:
    """The key of an array and what its note says, for one that is made of `of`."""
    if kind is PIXELS:
        return digest([of, transform_id(8)]), {"content": of}
    return digest([of]), {"key": digest([of])}


def _array(kind: CachedArrays, seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 255, SHAPE[kind.folder]).astype(TYPE[kind.folder])


def _written(kind: CachedArrays, root: Path, of: str = "a", seed: int = 0) -> Path:
    key, about = _about(kind, of)
    path = kind.path(root, key)
    kind.save(path, _array(kind, seed), **about)
    return path


def _load(kind: CachedArrays, path: Path) -> tuple[Any, list[str]]:
    """What is loaded, and what was said."""
    said: list[str] = []
    found = kind.load(path, SHAPE[kind.folder], TYPE[kind.folder], said.append)
    return None if found is None else found[0], said


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_what_was_written_is_read(kind: CachedArrays, tmp_path: Path) -> None:
    path = _written(kind, tmp_path)
    assert _load(kind, path.with_name("none.npy")) == (None, [])
    found, said = _load(kind, path)
    np.testing.assert_array_equal(found, _array(kind))
    np.testing.assert_array_equal(np.load(path), _array(kind), "no file of numpy")
    assert said == []
    assert kind.trouble(path) is None
    assert list(kind.paths(tmp_path)) == [path]
    assert sorted(p.name for p in path.parent.iterdir()) == [f"{path.stem}.json", path.name]


def test_the_sha256_of_each_kind_is_that_of_older_caches(tmp_path: Path) -> None:
    """A cache takes days to fill: an update may not throw it away, nor call it damaged."""
    pixels, features, tokens = (_written(kind, tmp_path) for kind in KINDS)
    want = {
        pixels: {"sha256": hashlib.sha256(np.load(pixels).tobytes()).hexdigest(), "content": "a"},
        features: {"sha256": digest([np.load(features).tobytes()]), "key": digest(["a"])},
        tokens: {"sha256": hashlib.sha256(tokens.read_bytes()).hexdigest(), "key": digest(["a"])},
    }
    for path, note in want.items():
        assert json.loads(path.with_suffix(".json").read_text()) == note
    assert [p.parent.name for p in want] == NAMES


@pytest.mark.parametrize("kind", [FEATURES, TOKENS], ids=NAMES[1:])
def test_a_note_that_does_not_say_of_what_is_no_damage_and_no_use(
    kind: CachedArrays, tmp_path: Path
) -> None:
    """As earlier versions wrote them: nothing tells such a file from one that was renamed."""
    path = _written(kind, tmp_path)
    note = path.with_suffix(".json")
    note.write_text(json.dumps({"sha256": json.loads(note.read_text())["sha256"]}))
    found, said = _load(kind, path)
    assert found is None
    assert "earlier version" in said[0]
    assert list(noted_damage(tmp_path, lambda _: None)) == []


# -- damage of every kind

Harm = Callable[[Path, Path], object]  # of a file; the other is another whole array of the kind


def _noise(path: Path, _: Path) -> None:
    raw = bytearray(path.read_bytes())
    half = len(raw) // 2
    raw[half:] = np.random.default_rng(1).bytes(len(raw) - half)
    path.write_bytes(raw)


def _note_says(change: Callable[[dict[str, Any]], Any]) -> Harm:
    def harm(path: Path, _: Path) -> None:
        note = path.with_suffix(".json")
        found = json.loads(note.read_text())
        note.write_text(json.dumps(change(found) or found))

    return harm


def _of(kind_of_change: str) -> Harm:
    """The file of an array with another type, shape or order, and a note that fits its bytes."""

    def harm(path: Path, _: Path) -> None:
        kind = next(k for k in KINDS if k.folder == path.parent.name)
        array = _array(kind)
        other = {
            "dtype": array.astype(np.int64),
            "same size": array.view({1: np.int8, 2: np.int16, 4: np.int32}[array.itemsize]),
            "shape": array[:-1],
            "flat": array.reshape(-1),
            "turned": array.reshape(*array.shape[:-2], array.shape[-1], array.shape[-2]),
        }[kind_of_change]
        about = json.loads(path.with_suffix(".json").read_text())
        del about["sha256"]
        kind.save(path, other, **about)

    return harm


def _swapped(path: Path, other: Path) -> None:
    both = path.read_bytes(), other.read_bytes()
    other.write_bytes(both[0])
    path.write_bytes(both[1])


def _renamed(path: Path, other: Path) -> None:
    for suffix in (".npy", ".json"):
        shutil.copy(other.with_suffix(suffix), path.with_suffix(suffix))


def _folder(path: Path, _: Path) -> None:
    path.unlink()
    path.mkdir()


HARMS: dict[str, Harm] = {
    "noise": _noise,
    "cut": lambda p, _: p.write_bytes(p.read_bytes()[:-1]),
    "longer": lambda p, _: p.write_bytes(p.read_bytes() + b"x"),
    "empty": lambda p, _: p.write_bytes(b""),
    "header cut": lambda p, _: p.write_bytes(p.read_bytes()[:20]),
    "arrays swapped": _swapped,
    "notes swapped": lambda p, q: _swapped(p.with_suffix(".json"), q.with_suffix(".json")),
    "another one under its name": _renamed,
    "no note": lambda p, _: p.with_suffix(".json").unlink(),
    "empty note": lambda p, _: p.with_suffix(".json").write_text(""),
    "note of a list": lambda p, _: p.with_suffix(".json").write_text("[1]"),
    "note of noise": lambda p, _: p.with_suffix(".json").write_bytes(b"\xff\xfe\x00"),
    "note without digest": _note_says(lambda n: {"content": n.get("content"), "key": n.get("key")}),
    "digest no text": _note_says(lambda n: {**n, "sha256": 5}),
    "note of another": _note_says(lambda n: {k: v if k == "sha256" else "b" for k, v in n.items()}),
    "dtype": _of("dtype"),
    "dtype of the same size": _of("same size"),
    "shape": _of("shape"),
    "flat": _of("flat"),
    "turned": _of("turned"),
    "a folder": _folder,
}  # fmt: skip


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_damage_is_noticed_and_said(kind: CachedArrays, how: str, tmp_path: Path) -> None:
    path, other = _written(kind, tmp_path), _written(kind, tmp_path, "b", seed=1)
    HARMS[how](path, other)
    found, said = _load(kind, path)
    if kind is not PIXELS and how == "turned":  # the width of a row is the caller's business
        return
    assert found is None
    assert len(said) == 1
    assert str(path) in said[0]
    assert "made again" in said[0]


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_verify_names_what_is_damaged(kind: CachedArrays, tmp_path: Path) -> None:
    path, other = _written(kind, tmp_path), _written(kind, tmp_path, "b", seed=1)
    raw = bytearray(path.read_bytes())
    raw[-2] ^= 1
    path.write_bytes(raw)
    assert list(noted_damage(tmp_path, lambda _: None)) == [
        f"{path} has other bytes than when it was written"
    ]
    _renamed(path, other)
    (said,) = noted_damage(tmp_path, lambda _: None)
    assert "of something else" in said


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_half_written_arrays_are_no_damage(kind: CachedArrays, tmp_path: Path) -> None:
    path = _written(kind, tmp_path)
    path.with_suffix(".json").unlink()
    assert _load(kind, path)[0] is None
    assert list(noted_damage(tmp_path, lambda _: None)) == []


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_no_flipped_byte_changes_a_value(kind: CachedArrays, tmp_path: Path) -> None:
    """Of the array's file and of its note, whichever byte it is."""
    path, want = _written(kind, tmp_path), _array(kind)
    files = {p: p.read_bytes() for p in (path, path.with_suffix(".json"))}
    places = [(p, i) for p, raw in files.items() for i in range(len(raw))]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(places), st.integers(1, 255))
    def flipped(place: tuple[Path, int], by: int) -> None:
        file, i = place
        raw = files[file]
        file.write_bytes(raw[:i] + bytes([raw[i] ^ by]) + raw[i + 1 :])
        found, _ = _load(kind, path)
        file.write_bytes(raw)
        if found is not None:
            np.testing.assert_array_equal(found, want)
            assert found.dtype == want.dtype

    flipped()


# -- making again


def _source(opened: list[int], n: int = 5, content: str = "content") -> ImageSource:
    def draw(i: int) -> Image.Image:
        opened.append(i)
        rng = np.random.default_rng(i)
        return Image.fromarray(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8))

    return ImageSource(n, draw, content)


@pytest.mark.parametrize("how", [h for h in HARMS if h != "a folder"])
def test_damaged_pixels_are_decoded_again_to_the_same(how: str, tmp_path: Path) -> None:
    opened: list[int] = []
    first = decoded(_source(opened), 8, tmp_path)
    want = np.array(first.pixels)
    (path,) = (tmp_path / "pixels").glob("*.npy")
    other = _written(PIXELS, tmp_path, "b", seed=1)
    HARMS[how](path, other)
    said: list[str] = []
    again = decoded(_source(opened), 8, tmp_path, say=said.append)
    assert (len(opened), len(said)) == (10, 1)
    np.testing.assert_array_equal(again.pixels, want)
    assert again.digest == first.digest
    decoded(_source(opened), 8, tmp_path, say=said.append)
    assert (len(opened), len(said)) == (10, 1), "the file was not mended"


def test_pixels_that_are_mapped_are_those_that_were_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process puts another file in its place between the two."""
    path = _written(PIXELS, tmp_path)
    other = _written(PIXELS, tmp_path, "b", seed=1)
    real = checked.stream_sha256

    def then_replaced(stream: Any) -> str:
        found = real(stream)
        other.replace(path)
        return found

    monkeypatch.setattr("benchmark.data.cache.arrays.stream_sha256", then_replaced)
    found, _ = _load(PIXELS, path)
    np.testing.assert_array_equal(found, _array(PIXELS))


def test_pixels_are_compared_once_and_again_after_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked, "SETTLED", -1.0)
    taken: list[object] = []
    real = hashlib.file_digest

    def counted(*args: Any) -> Any:
        taken.append(args)
        return real(*args)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    opened: list[int] = []
    decoded(_source(opened), 8, tmp_path)
    checked._digests.clear()
    taken.clear()
    for _ in range(3):
        decoded(_source(opened), 8, tmp_path)
    assert len(taken) == 1
    check_ahead([_source(opened), _source(opened, content="not there")], 8, tmp_path)
    assert len(taken) == 1
    (path,) = (tmp_path / "pixels").glob("*.npy")
    _noise(path, path)
    decoded(_source(opened), 8, tmp_path)
    assert len(opened) == 10


def test_files_are_compared_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked, "SETTLED", -1.0)
    opened: list[int] = []
    sources = [_source(opened, content=str(i)) for i in range(3)]
    for source in sources:
        decoded(source, 8, tmp_path)
    checked._digests.clear()
    check_ahead(sources, 8, tmp_path)
    monkeypatch.setattr(hashlib, "file_digest", None)  # nothing is read any more
    for source in sources:
        decoded(source, 8, tmp_path)
    assert len(opened) == 15


def test_a_full_disk_while_making_again_is_one_sentence(tmp_path: Path) -> None:
    opened: list[int] = []
    source = _source(opened, n=400)
    decoded(source, 8, tmp_path)
    (path,) = (tmp_path / "pixels").glob("*.npy")
    _noise(path, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, hard))
    try:
        with pytest.raises(BenchError, match="free some space") as error:
            decoded(source, 8, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.code == 6
    assert not list(path.parent.glob(".part-*"))
    want = np.array(decoded(source, 8, tmp_path / "other").pixels)
    np.testing.assert_array_equal(decoded(source, 8, tmp_path).pixels, want)


def _make(root: Path, die_at: int | None, out: Any = None) -> None:
    opened: list[int] = []
    source = _source(opened, n=600)

    def draw(i: int) -> Image.Image:
        if i == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return source.open(i)

    found = decoded(ImageSource(600, draw, "content"), 8, root)
    if out is not None:
        out.put(hashlib.sha256(np.array(found.pixels).tobytes()).hexdigest())


FORK = multiprocessing.get_context("fork")


def test_killed_while_making_again(tmp_path: Path) -> None:
    want = np.array(decoded(_source([], n=600), 8, tmp_path).pixels)
    (path,) = (tmp_path / "pixels").glob("*.npy")
    _noise(path, path)
    for at in (0, 300, 599):
        process = FORK.Process(target=_make, args=(tmp_path, at))
        process.start()
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
    np.testing.assert_array_equal(decoded(_source([], n=600), 8, tmp_path).pixels, want)


def test_two_processes_on_one_damaged_file(tmp_path: Path) -> None:
    want = np.array(decoded(_source([], n=600), 8, tmp_path).pixels)
    (path,) = (tmp_path / "pixels").glob("*.npy")
    _noise(path, path)
    out = FORK.Queue()
    both = [FORK.Process(target=_make, args=(tmp_path, None, out)) for _ in range(2)]
    for process in both:
        process.start()
    found = {out.get(timeout=30) for _ in both}
    for process in both:
        process.join(30)
    assert found == {hashlib.sha256(want.tobytes()).hexdigest()}
    np.testing.assert_array_equal(decoded(_source([], n=600), 8, tmp_path).pixels, want)


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
