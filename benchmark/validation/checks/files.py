"""V02: what may lie in a results folder."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from ...errors import quoted
from ...records.evidence import MOST_BYTES, SUFFIX
from ...records.overlap import NAME as OVERLAP
from ...records.store import RANKS_SUFFIX, SCRATCH
from ..findings import Finding
from ..ledger import LEDGER

RECORD_BYTES = 200_000
SUPERSEDED = "superseded.csv"
_TOP = frozenset({LEDGER.name, SUPERSEDED})
_PLAIN = re.compile(r"[A-Za-z0-9._+=,-]{1,255}")
_BESIDE = frozenset({"noise", "replays"})  # folders beside the records, see `cl-bench repro`
_JSON_BYTES = 2**20
_MOVE = "move it out of the folder"
_SMALL = "repeat the run; a report is a few sums, not single values"


def _wrong(path: Path, expected: str, got: str, fix: str = _MOVE) -> Finding:
    return Finding("V02", "error", path, "", expected, got, fix)


def check_file(path: Path) -> Finding | None:
    """What keeps a file from being read as a record, None where nothing does.

    Args:
        path: of a record.
    """
    try:
        about = path.lstat()
    except OSError as error:
        return _wrong(path, "a record", error.strerror or "none", "correct the path")
    if not stat.S_ISREG(about.st_mode):
        return _wrong(path, "a plain file", _kind(about.st_mode))
    if about.st_size > RECORD_BYTES:
        got = f"{about.st_size}"
        return _wrong(path, f"a record of at most {RECORD_BYTES} bytes", got, _SMALL)
    if not os.access(path, os.R_OK):
        return _wrong(path, "a file that can be read", "no permission", "grant it")
    return None


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}
    return kinds.get(stat.S_IFMT(mode), "a special file")


def stray_files(results: Path) -> Iterator[Finding]:
    """Everything in a results folder that is no record, no part of one and none of our files.

    Args:
        results: the folder; unfinished work in its folder `scratch` is passed over.
    """
    for entry in sorted(os.scandir(results), key=lambda entry: entry.name):
        path = results / entry.name
        if entry.name == SCRATCH and entry.is_dir(follow_symlinks=False):
            continue
        if entry.is_dir(follow_symlinks=False):
            if not _PLAIN.fullmatch(entry.name) or entry.name.startswith("."):
                yield _wrong(path, "a suite's folder, by a plain name", quoted(entry.name))
            yield from _in_suite(path)
        elif entry.name not in _TOP or not entry.is_file(follow_symlinks=False):
            yield _wrong(path, "folders of suites", _what(path))


def _what(path: Path) -> str:
    mode = path.lstat().st_mode
    return quoted(path.name) if stat.S_ISREG(mode) else _kind(mode)


def _in_suite(folder: Path) -> Iterator[Finding]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path, name = folder / entry.name, entry.name
        if not _PLAIN.fullmatch(name):
            yield _wrong(path, "a name of A-Z a-z 0-9 . _ + = , -", quoted(name))
        elif name in _BESIDE and entry.is_dir(follow_symlinks=False):
            yield from _of_json(path)
        elif not entry.is_file(follow_symlinks=False):
            yield _wrong(path, "a plain file", _what(path))
        elif name.startswith("."):
            fix = "delete it: a killed process left it behind"
            yield Finding("V02", "warning", path, "", "finished files", quoted(name), fix)
        elif name.endswith(RANKS_SUFFIX) or name == OVERLAP:
            continue
        elif name.endswith(SUFFIX):
            yield from _evidence(path, entry.stat().st_size)
        elif not name.endswith(".parquet"):
            yield _wrong(path, "records and their evidence", quoted(name))


def _of_json(folder: Path) -> Iterator[Finding]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        plain = entry.is_file(follow_symlinks=False) and _PLAIN.fullmatch(entry.name)
        if not plain or not entry.name.endswith(".json") or entry.stat().st_size > _JSON_BYTES:
            yield _wrong(folder / entry.name, f"small .json files in {folder.name}/", "another")


def _evidence(path: Path, size: int) -> Iterator[Finding]:
    if size > MOST_BYTES:
        yield _wrong(path, f"evidence of at most {MOST_BYTES} bytes", f"{size}", _SMALL)
    record = path.with_name(path.name.removesuffix(SUFFIX) + ".parquet")
    if not os.path.lexists(record):
        yield _wrong(
            path, f"the record of it, '{record.name}'", "none", "delete it, or restore both"
        )
