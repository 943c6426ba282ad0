"""An index saves time; it is never believed to say another thing than what was put there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.common import index as indexing
from benchmark.common.index import (
    NO_INDEX,
    Index,
    Unplain,
    code_sha,
    folder_sha,
    open_index,
    software,
)

VALUE = {"files": {"a.md": ["0" * 64, None]}, "git": None}
OLD = 1_000_000_000


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return open_index(tmp_path)


def entry(index: Index) -> Path:
    """The file of the one entry."""
    assert index.folder is not None
    (path,) = index.folder.rglob("*.json")
    return path


def test_a_value_is_there_for_what_it_was_put_for_alone(index: Index) -> None:
    assert index.get("tables", ["a", 1]) is None
    index.put("tables", ["a", 1], VALUE)
    assert index.get("tables", ["a", 1]) == VALUE
    assert index.get("tables", ["a", 2]) is None
    assert index.get("pictures", ["a", 1]) is None
    assert index.get("tables", ["a1"]) is None
    index.put("tables", ["a", 1], {"files": {}})
    assert index.get("tables", ["a", 1]) == {"files": {}}


def test_nothing_is_kept_without_a_folder() -> None:
    NO_INDEX.put("tables", ["a"], VALUE)
    assert NO_INDEX.get("tables", ["a"]) is None


def test_every_flipped_byte_and_every_cut_is_noticed(index: Index) -> None:
    index.put("tables", ["a"], VALUE)
    path = entry(index)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at])
        assert index.get("tables", ["a"]) is None, at
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert index.get("tables", ["a"]) in (None, VALUE), at
    path.write_bytes(whole)
    assert index.get("tables", ["a"]) == VALUE


def test_a_changed_value_or_the_entry_of_something_else_is_none(index: Index) -> None:
    index.put("tables", ["a"], VALUE)
    path = entry(index)
    path.write_text(path.read_text().replace("0" * 64, "1" * 64))
    assert index.get("tables", ["a"]) is None
    index.put("tables", ["b"], VALUE)
    (other,) = (one for one in path.parent.iterdir() if one != path)
    path.write_bytes(other.read_bytes())
    assert index.get("tables", ["a"]) is None
    assert index.get("tables", ["b"]) == VALUE


@pytest.mark.parametrize("text", ["", "[]", "null", "7", "[" * 100_000, '{"sha256": null}', "\x00"])
def test_foreign_text(index: Index, text: str) -> None:
    index.put("tables", ["a"], VALUE)
    entry(index).write_text(text)
    assert index.get("tables", ["a"]) is None


def test_only_what_this_user_alone_can_write_is_believed(index: Index) -> None:
    index.put("tables", ["a"], VALUE)
    path = entry(index)
    for mode, believed in ((0o666, False), (0o664, False), (0o644, True), (0o600, True)):
        path.chmod(mode)
        assert (index.get("tables", ["a"]) == VALUE) is believed, oct(mode)


def test_another_users_entry(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.put("tables", ["a"], VALUE)
    monkeypatch.setattr(os, "getuid", lambda: entry(index).stat().st_uid + 1)
    assert index.get("tables", ["a"]) is None


def test_links_pipes_and_folders_are_no_entries(index: Index, tmp_path: Path) -> None:
    index.put("tables", ["a"], VALUE)
    path = entry(index)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert index.get("tables", ["a"]) is None
    path.unlink()
    os.mkfifo(path)
    assert index.get("tables", ["a"]) is None
    path.unlink()
    path.mkdir()
    assert index.get("tables", ["a"]) is None
    index.put("tables", ["a"], VALUE)  # cannot be written there, and that is no error


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("a file")
    index = open_index(tmp_path)
    index.put("tables", ["a"], VALUE)
    assert index.get("tables", ["a"]) is None


def test_the_eldest_entries_go(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    assert index.folder is not None
    for number in range(4):
        index.put("tables", [number], VALUE)
        newest = max((index.folder / "tables").iterdir(), key=lambda path: path.stat().st_mtime)
        os.utime(newest, (OLD + number, OLD + number))
    monkeypatch.setattr(indexing, "MOST_KEPT", 3 * entry_size(index))
    index.put("tables", [4], VALUE)
    assert [index.get("tables", [n]) is not None for n in range(5)] == [False, False, *[True] * 3]


def entry_size(index: Index) -> int:
    assert index.folder is not None
    return max(path.stat().st_size for path in index.folder.rglob("*.json"))


def test_two_processes_at_once(index: Index) -> None:
    """Whoever reads meanwhile finds a whole value or none."""
    code = (
        "import sys; from pathlib import Path; from benchmark.common.index import Index\n"
        f"index = Index(Path({str(index.folder)!r}))\n"
        "for n in range(60): index.put('tables', ['a'], {'by': sys.argv[1] * 5000})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, name]) for name in "xy"]
    seen = set()
    while any(one.poll() is None for one in writers):
        found = index.get("tables", ["a"])
        seen.add(None if found is None else found["by"])
    assert [one.wait() for one in writers] == [0, 0]
    assert seen <= {None, "x" * 5000, "y" * 5000}
    found = index.get("tables", ["a"])
    assert found is not None
    assert len(found["by"]) == 5000
    assert index.folder is not None
    assert len(list(index.folder.rglob("*.*"))) == 1  # no unfinished file is left behind


# -- what values depend on


def test_a_folder_is_its_names_and_contents_whatever_their_times(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    file = tmp_path / "a" / "b" / "c.parquet"
    file.write_text("one")
    os.utime(file, (OLD, OLD))
    before = folder_sha(tmp_path)
    file.write_text("two")  # the same size
    os.utime(file, (OLD, OLD))
    assert folder_sha(tmp_path) != before
    file.write_text("one")
    assert folder_sha(tmp_path) == before
    other = file.rename(file.with_name("d.parquet"))
    assert folder_sha(tmp_path) != before
    other.rename(file)
    (tmp_path / "a" / "new").write_text("")
    assert folder_sha(tmp_path) != before
    assert folder_sha(tmp_path, ("new",)) == before
    (tmp_path / "a" / "new").unlink()
    (tmp_path / "empty").mkdir()
    assert folder_sha(tmp_path) != before


@pytest.mark.parametrize("kind", ["link", "pipe", "absent"])
def test_what_is_no_plain_folder_has_no_digest(tmp_path: Path, kind: str) -> None:
    (tmp_path / "real").write_text("x")
    if kind == "link":
        (tmp_path / "link").symlink_to("real")
    elif kind == "pipe":
        os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unplain):
        folder_sha(tmp_path / "absent" if kind == "absent" else tmp_path)


def test_code_is_its_bytes_unless_it_was_written_meanwhile(tmp_path: Path) -> None:
    file = tmp_path / "method.py"
    found = []
    for text in ("a = 1\n", "a = 2\n", "a = 1\n"):
        file.write_text(text)
        assert code_sha.__wrapped__(tmp_path) is None  # what runs may be what was there before
        os.utime(file, (OLD, OLD))
        found.append(code_sha.__wrapped__(tmp_path))
    if None not in found:  # the program's own files were not written just now
        assert found[0] == found[2] != found[1]


def test_software_is_what_is_installed() -> None:
    assert software("numpy") == software("numpy")
    assert len({software("numpy"), software("pyarrow"), software("no-such-package")}) == 3
    json.dumps(software("numpy"))
