"""Digests that are taken once as long as a file stays as it is, and sealed JSON."""

import hashlib
import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from benchmark.common import checked
from benchmark.common.checked import checked_sha256, read_sealed, stream_sha256, write_sealed
from benchmark.errors import BenchError


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digests that were taken; every file counts as old enough for its times to be trusted."""
    taken: list[str] = []
    real = hashlib.file_digest

    def counted(*args: Any) -> Any:
        found = real(*args)
        taken.append(found.hexdigest())
        return found

    monkeypatch.setattr(hashlib, "file_digest", counted)
    monkeypatch.setattr(checked, "SETTLED", -1.0)
    return taken


def test_a_file_is_read_once(tmp_path: Path, read: list[str]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 999)
    want = hashlib.sha256(b"abc" * 999).hexdigest()
    assert [checked_sha256(path) for _ in range(3)] == [want] * 3
    assert len(read) == 1
    with path.open("rb") as stream:
        stream.read(3)
        assert stream_sha256(stream) == hashlib.sha256(b"abc" * 998).hexdigest()
    assert len(read) == 2, "another part of it is another digest"


@pytest.mark.parametrize("how", ["in place", "replaced", "times set back", "grown"])
def test_a_later_change_is_seen(how: str, tmp_path: Path, read: list[str]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 999)
    first, times = checked_sha256(path), path.stat()
    if how == "replaced":
        (tmp_path / "new").write_bytes(b"xyz" * 999)
        (tmp_path / "new").replace(path)
    elif how == "grown":
        with path.open("ab") as stream:
            stream.write(b"!")
    else:
        with path.open("r+b") as stream:
            stream.write(b"?")
    if how == "times set back":
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert checked_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest() != first


def test_a_file_that_was_just_written_is_read_again(tmp_path: Path) -> None:
    """Two changes within one tick of the clock leave the same times behind."""
    path = tmp_path / "file"
    for i in range(50):
        path.write_bytes(b"%05d" % i)
        times = path.stat()
        assert checked_sha256(path) == hashlib.sha256(b"%05d" % i).hexdigest()
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no file"):
        checked_sha256(tmp_path / "none")


VALUE = {"rows": [{"value": 0.1 + 0.2, "hits": 3, "error": None}], "ranks": {"t2i": [0, 5]}}


def test_a_sealed_value_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_sealed(path, ["run", 1], VALUE)
    assert read_sealed(path, ["run", 1]) == VALUE
    assert json.loads(path.read_text())["rows"] == VALUE["rows"]
    for other in (["run", 2], ["other", 1], ["run"], []):
        with pytest.raises(ValueError, match="of something else"):
            read_sealed(path, other)


def test_no_byte_of_a_sealed_value_changes_unseen(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_sealed(path, ["run", 1], VALUE)
    raw = path.read_bytes()
    for i in range(len(raw)):
        for bit in (1, 2, 128):
            path.write_bytes(raw[:i] + bytes([raw[i] ^ bit]) + raw[i + 1 :])
            try:
                assert read_sealed(path, ["run", 1]) == VALUE, raw[max(0, i - 9) : i + 9]
            except ValueError:
                continue


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"sha256": null}', "\xff"])
def test_what_was_never_sealed(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="latin1")
    with pytest.raises(ValueError):  # noqa: PT011 of any kind
        read_sealed(path, [])


def test_a_full_disk_keeps_the_old_value(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_sealed(path, [], VALUE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    try:
        with pytest.raises(BenchError, match="free some space"):
            write_sealed(path, [], {"long": "x" * 2**17})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_sealed(path, []) == VALUE
