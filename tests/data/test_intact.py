"""Prepared sets that are damaged: refused when they are read, mended by `data prepare`."""

import errno
import json
import multiprocessing
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from preparing import SIDE, files_of, made, served
from tiny_lock import write_lock

from benchmark.cli.data.jobs import Options
from benchmark.cli.data.prepare import prepare_all
from benchmark.common import checked
from benchmark.data.catalog import declaration
from benchmark.data.published import intact
from benchmark.data.published.declare import Declaration, SplitRule
from benchmark.data.published.load import load_split, prepared, rows_of
from benchmark.data.published.store import Store, manifest_digest
from benchmark.data.split import Pairs, StoredImages
from benchmark.errors import BenchError
from benchmark.hub import lock

NAME = "flickr30k"  # five source files
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def store(hub: Any, place: Path) -> Store:
    served(hub, place, NAME)
    return made(place, NAME)


def read(place: Path, name: str = NAME) -> dict[str, Any]:
    """All that a run reads of a set: captions and pixels of its splits, with the pixels' key."""
    declared, found = declaration(name), {}
    for part, rule in declared.splits.items():
        split = load_split(place / "cache", declared, rule, side=SIDE)
        assert isinstance(split, Pairs)
        assert isinstance(split.images, StoredImages)
        pixels, key = split.images.pixels(SIDE)
        found[part] = (split.captions, np.array(pixels).tobytes(), key)
    return found


def refused(place: Path, name: str = NAME) -> str:
    with pytest.raises(BenchError) as error:
        read(place, name)
    assert error.value.code == 5
    return str(error.value)


Harm = Callable[[Store, Path], object]  # of a store; the other is one of the same size


def _noise(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    half = len(raw) // 2
    raw[half:] = random.Random(1).randbytes(len(raw) - half)
    path.write_bytes(raw)


def _table(change: Callable[[list[dict[str, Any]]], object]) -> Harm:
    """A row table that is whole and readable, of other rows."""

    def harm(store: Store, _: Path) -> None:
        path = store.folder / "00001.parquet"
        table = pq.read_table(path)
        rows = table.to_pylist()
        change(rows)
        pq.write_table(type(table).from_pylist(rows, schema=table.schema), path)

    return harm


def _manifest(change: Callable[[dict[str, Any]], object], sealed: bool) -> Harm:
    def harm(store: Store, _: Path) -> None:
        path = store.folder / "manifest.json"
        found = json.loads(path.read_text())
        change(found)
        if sealed:
            del found["sha256"]
            found["sha256"] = manifest_digest(found)
        path.write_text(json.dumps(found))

    return harm


def _swap(a: Path, b: Path) -> None:
    both = a.read_bytes(), b.read_bytes()
    a.write_bytes(both[1])
    b.write_bytes(both[0])


def _cut(path: Path, by: int = 1) -> None:
    path.write_bytes(path.read_bytes()[:-by])


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


HARMS: dict[str, tuple[str, Harm]] = {
    "pixels of noise": ("00001.u8", lambda s, _: _noise(s.folder / "00001.u8")),
    "pixels cut": ("00001.u8", lambda s, _: _cut(s.folder / "00001.u8")),
    "pixels longer": ("00001.u8", lambda s, _: _longer(s.folder / "00001.u8")),
    "no pixels": ("00001.u8", lambda s, _: (s.folder / "00001.u8").unlink()),
    "empty pixels": ("00001.u8", lambda s, _: (s.folder / "00001.u8").write_bytes(b"")),
    "pixels of another set": (
        "00001.u8",
        lambda s, other: (s.folder / "00001.u8").write_bytes(
            other.read_bytes()[: (s.folder / "00001.u8").stat().st_size]
        ),
    ),
    "pixels swapped": ("0000", lambda s, _: _swap(s.folder / "00000.u8", s.folder / "00001.u8")),
    "a caption edited": (
        "00001.parquet", _table(lambda rows: rows[0].update(captions=["another caption"]))
    ),
    "rows turned": ("00001.parquet", _table(lambda rows: rows.reverse())),
    "a row less": ("00001.parquet", _table(lambda rows: rows.pop())),
    "a table of noise": ("00001.parquet", lambda s, _: _noise(s.folder / "00001.parquet")),
    "tables swapped": (
        "0000", lambda s, _: _swap(s.folder / "00000.parquet", s.folder / "00001.parquet")
    ),
    "no table": ("00001.parquet", lambda s, _: (s.folder / "00001.parquet").unlink()),
    "the manifest of noise": ("manifest.json", lambda s, _: _noise(s.folder / "manifest.json")),
    "the manifest cut": ("manifest.json", lambda s, _: _cut(s.folder / "manifest.json", 99)),
    "an empty manifest": (
        "manifest.json", lambda s, _: (s.folder / "manifest.json").write_text("")
    ),
    "a manifest of a list": (
        "manifest.json", lambda s, _: (s.folder / "manifest.json").write_text("[]")
    ),
    "the manifest edited": (
        "manifest.json",
        _manifest(lambda m: m["notes"][1]["sha256"].update(parquet="0" * 64), sealed=False),
    ),
    "a manifest of other tables": (
        "00001.parquet",
        _manifest(lambda m: m["notes"][1]["sha256"].update(parquet="0" * 64), sealed=True),
    ),
    "a manifest of fewer files": (
        "", _manifest(lambda m: m["notes"].pop(), sealed=True)
    ),
}  # fmt: skip
FORGED = {"a manifest of fewer files"}  # whoever writes a right digest, too, meets the lock file


@pytest.fixture(scope="module")
def module_store(hub_server: Any, tmp_path_factory: Any) -> Iterator[tuple[Path, Path]]:
    """A prepared set, and a file of other pixels."""
    root = tmp_path_factory.mktemp("intact")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CL_BENCH_LOCK", str(root / "hub.lock.json"))
        served(hub_server, root, NAME, "rocov2")
        made(root, NAME)
        other = made(root, "rocov2")
        yield root, other.folder / "00000.u8"


@pytest.mark.parametrize("how", [h for h in HARMS if h not in FORGED])
def test_a_damaged_set_is_refused_with_file_and_command(
    how: str, module_store: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, other = module_store
    place = shutil.copytree(root, tmp_path / "copy")
    monkeypatch.setenv("CL_BENCH_CACHE", str(place / "cache"))
    monkeypatch.setenv("CL_BENCH_LOCK", str(place / "hub.lock.json"))
    store = prepared(place / "cache", declaration(NAME), SIDE)
    assert store is not None
    read(place)  # all of it is known to this process as whole
    file, harm = HARMS[how]
    harm(store, other)
    said = refused(place)
    assert str(store.folder) in said
    assert file in said
    assert f"`cl-bench data prepare {NAME} --side {SIDE}`" in said
    assert f"`cl-bench data rm {NAME}`" in said


QUICK = ("pixels of noise", "a caption edited", "the manifest edited")
MENDED = [
    how if how in QUICK else pytest.param(how, marks=pytest.mark.slow)
    for how in HARMS
    if how not in FORGED
]


@pytest.mark.parametrize("how", MENDED)
def test_prepare_mends_what_is_damaged_and_that_alone(
    how: str, hub: Any, store: Store, place: Path
) -> None:
    want, whole = read(place), files_of(store.folder)
    HARMS[how][1](store, store.folder / "00000.u8")
    before = len(hub.server.downloads())
    assert prepare_all([NAME], Options(side=SIDE, yes=True), "none") == 0
    assert files_of(store.folder) == whole
    assert read(place) == want
    whole_files = [d for d in hub.server.downloads()[before:] if not d.part]  # not footers
    assert len(whole_files) == (2 if "swapped" in how else 0 if "manifest" in how else 1)


def test_a_full_disk_while_mending_loses_nothing(
    store: Store, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want, whole = read(place), files_of(store.folder)
    _noise(store.folder / "00001.u8")
    _noise(store.folder / "00002.parquet")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(BenchError, match="No space left") as error:
            prepare_all([NAME], Options(side=SIDE, yes=True), "none")
    assert error.value.code == 6
    assert "0000" in refused(place)
    assert prepare_all([NAME], Options(side=SIDE, yes=True), "none") == 0
    assert files_of(store.folder) == whole
    assert read(place) == want


@pytest.mark.slow
def test_killed_while_mending(store: Store, place: Path) -> None:
    want, whole = read(place), files_of(store.folder)
    _noise(store.folder / "00001.u8")
    _noise(store.folder / "00002.parquet")

    def until(calls: int) -> None:
        """Mend, and die when so many files are written."""
        real, count = os.fsync, 0

        def killed(handle: int) -> None:
            nonlocal count
            count += 1
            if count == calls:
                os.kill(os.getpid(), signal.SIGKILL)
            real(handle)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", killed)
            prepare_all([NAME], Options(side=SIDE, yes=True), "none")

    for calls in (1, 2, 3, 4, 1, 2):
        process = FORK.Process(target=until, args=(calls,))
        process.start()
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL)
    assert prepare_all([NAME], Options(side=SIDE, yes=True), "none") == 0
    left = files_of(store.folder)
    assert {k: v for k, v in left.items() if not k.startswith(".part-")} == whole
    assert read(place) == want


@pytest.mark.slow
def test_two_processes_mend_one_set(store: Store, place: Path) -> None:
    whole = files_of(store.folder)
    for path in store.folder.glob("*.u8"):
        _noise(path)
    words = (NAME,), Options(side=SIDE, yes=True), "none"
    both = [FORK.Process(target=prepare_all, args=words) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    assert files_of(store.folder) == whole


def test_mending_without_the_hub_is_one_sentence_and_no_prepared_set(
    hub: Any, store: Store, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    _noise(store.folder / "00001.u8")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert prepare_all([NAME], Options(side=SIDE, yes=True), "plain") == 4
    out, err = capsys.readouterr()
    assert "00001.u8 has other bytes" in out
    assert "0 of 1 sets are prepared" in out
    assert "HF_HUB_OFFLINE" in err
    assert "00001.u8" in refused(place)


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 9))]


@pytest.mark.parametrize("seed", SEEDS)
def test_no_flipped_byte_changes_what_is_read(seed: int, store: Store, place: Path) -> None:
    """Of any file of the store: refused, or the same captions, pixels and keys."""
    want, rng, refused_too = read(place), random.Random(seed), 0
    for path in sorted(store.folder.iterdir()):
        raw = path.read_bytes()
        i = rng.randrange(len(raw))
        path.write_bytes(raw[:i] + bytes([raw[i] ^ rng.randrange(1, 256)]) + raw[i + 1 :])
        try:
            found = read(place)
        except BenchError as error:
            found, refused_too = want if error.code == 5 else {}, refused_too + 1
        assert found == want, (path.name, i)
        path.write_bytes(raw)
    assert read(place) == want
    assert refused_too > 8


def test_a_copy_in_place_of_a_damaged_set_is_not_taken(hub: Any, store: Store, place: Path) -> None:
    """A copy has other pixels: a run over it has other numbers, under the same name."""
    declared = declaration(NAME)
    source = next(s for s in declared.fallbacks if s.repo == "clip-benchmark/wds_flickr30k")
    hub.want(source.repo)
    write_lock(place / "hub.lock.json", hub.facts)
    made(place, NAME)
    made(place, NAME, source=source)
    _cut(store.folder / "00001.u8")
    assert "00001.u8" in refused(place)
    copy = prepared(place / "cache", declared, SIDE, source.repo)
    assert copy is not None
    for path in copy.folder.glob("*.u8"):
        _noise(path)
    rule = declared.splits["train"]
    with pytest.raises(BenchError, match=f"data prepare {NAME} --source {source.repo} --side"):
        _pixels(copy, declared, rule)


def _pixels(store: Store, declared: Declaration, rule: SplitRule) -> None:
    from benchmark.data.published.load import source_option
    from benchmark.data.published.splits import pick

    rows = rows_of(store)
    option = source_option(declared, store.manifest["source"])
    intact.checked_pixels(store, rows, pick(rows, rule, declared), option)


def test_another_folder_under_the_name_is_refused(store: Store, place: Path) -> None:
    twice = made(place, NAME, side=48)
    shutil.rmtree(store.folder)
    shutil.copytree(twice.folder, store.folder)
    assert "manifest.json" in refused(place)


def test_a_set_of_another_revision_is_not_taken_for_finished_files(
    store: Store, place: Path
) -> None:
    """Copied into the folder of the wanted one, its files have the same names."""
    (store.folder / "manifest.json").unlink()
    whole = files_of(store.folder)
    for path in store.folder.glob("*.json"):
        note = json.loads(path.read_text())
        note["sha256"]["file"] = "0" * 64
        path.write_text(json.dumps(note))
    assert prepare_all([NAME], Options(side=SIDE, yes=True), "none") == 0
    assert {k: v for k, v in files_of(store.folder).items() if k != "manifest.json"} == whole


def test_only_the_rows_that_are_read_are_compared_and_once(
    store: Store, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked, "SETTLED", -1.0)
    intact._right.clear()
    seen: list[tuple[int, int]] = []
    real = intact.CheckedRows._same

    def counted(self: Any, handle: int, piece: tuple[int, int]) -> bool:
        seen.append(piece)
        return real(self, handle, piece)

    monkeypatch.setattr(intact.CheckedRows, "_same", counted)
    rows = rows_of(store)
    picked = np.array([7, 0, 7, 1, len(rows) - 1])
    first, key = intact.checked_pixels(store, rows, picked)
    assert sum(end - start for start, end in seen) == 4
    again, other = intact.checked_pixels(store, rows, picked)
    assert sum(end - start for start, end in seen) == 4
    np.testing.assert_array_equal(np.array(first), np.array(again))
    assert key == other
    intact.checked_pixels(store, rows, np.arange(len(rows)))
    assert sum(end - start for start, end in seen) == len(rows)


def test_large_files_are_read_in_pieces(
    store: Store, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = read(place)
    monkeypatch.setattr(checked, "SETTLED", 1e9)  # nothing is known from before
    monkeypatch.setattr(intact, "BLOCK", 2 * SIDE**2 * 3 + 5)
    assert read(place) == want
    _noise(store.folder / "00001.u8")
    assert "00001.u8" in refused(place)


def test_a_set_that_is_unfinished_or_not_there_is_no_damage(store: Store, place: Path) -> None:
    (store.folder / "manifest.json").unlink()
    with pytest.raises(BenchError, match=r"got none; run `cl-bench data prepare") as error:
        read(place)
    assert error.value.code == 4
    entries = lock.read(lock.lock_path())
    assert entries[NAME].revision is not None
