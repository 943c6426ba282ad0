"""Whether files are what is declared, from a few kilobytes of each, before gigabytes are fetched.

A parquet file says at its end which columns and rows it has, a tar at its beginning what its first
sample consists of. Everything that does not fit is found for all sets at once.
"""

import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ....common.report import Report
from ....errors import BenchError, quoted
from ....hub import lock
from ....hub.client import RemoteFile, in_cache
from ....hub.lock import Entry
from ....hub.partial import NoParts, RemoteFileParts
from ....hub.session import endpoint
from ....hub.trouble import HubTrouble, NoHub, offline
from ...files.stream import TAR_ENDINGS
from ...split_rules import shown
from ..classes import different
from ..declare import Folder, Source, Whole
from ..layout import Layout, parquet_layout, tar_layout
from .plan import Planned, row_differences

THREADS = 16  # that wait for a hub far away
MOST = 512  # files of a set that are all looked at; of more, the first and the last of each part
SMALLEST = 12  # bytes of a parquet file
POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Look:
    """What is known of one file.

    Attributes:
        file: its path. part: of the source, '' where a column says it.
        columns: that are read of it, None where it was not looked at.
        rows: how many, None where it does not say so.
        missing: values of the columns of part and group that it surely does not have.
        trouble: why it does not fit.
        note: why it was not looked at.
    """

    file: str
    part: str
    columns: tuple[tuple[str, str], ...] | None = None
    rows: int | None = None
    missing: frozenset[tuple[str, str]] = frozenset()
    trouble: BenchError | None = None
    note: str = ""


@dataclass(frozen=True)
class Seen:
    """What is known of one set.

    Attributes:
        planned: with its lock entry, completed by what was seen.
        rows: per part, where all its files say so.
        troubles: what does not fit. notes: what was not looked at, or is not sure.
    """

    planned: Planned
    rows: dict[str, int]
    troubles: tuple[BenchError, ...]
    notes: tuple[str, ...]


def preflight(planned: Sequence[Planned], report: Report, anew: bool = False) -> list[Seen]:
    """Look at the files of some sets, all at the same time; the lock file notes what they say.

    Whole sets, given files and files that are prepared are not looked at; those on this machine
    are, without the network.

    Args:
        planned: the sets.
        report: hears how far it is.
        anew: the present state is taken: other rows than are declared are said, and not noted.

    Raises:
        NoHub: there is no way to the hub.
    """
    todo = [(each, file) for each in planned for file in _wanted(each)]
    looks: dict[int, list[Look]] = {id(each): [] for each in planned}
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="preflight")
    try:
        with report.bars(("looking at the files", len(todo), "files")) as (advance,):
            futures = [pool.submit(_look, each, file) for each, file in todo]
            for (each, _), future in zip(todo, futures, strict=True):
                looks[id(each)].append(future.result())
                advance(1)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [_judged(each, looks[id(each)], anew) for each in planned]


def _wanted(planned: Planned) -> list[RemoteFile]:
    """The files that are looked at."""
    if isinstance(planned.job.source, Folder) or planned.whole is not None:
        return []
    left = [f for f, note in zip(planned.files, planned.notes(), strict=True) if note is None]
    parts: dict[str, list[RemoteFile]] = {}
    for file in left:
        parts.setdefault(planned.parts[file.path], []).append(file)
    ends = [file for of in parts.values() for file in dict.fromkeys((of[0], of[-1]))]
    tars = {file for of in parts.values() for file in of[:1] if file.path.endswith(TAR_ENDINGS)}
    tables = [file for file in left if not file.path.endswith(TAR_ENDINGS)]
    return [f for f in left if f in tars] + (
        tables if len(tables) <= MOST else [f for f in ends if f in set(tables)]
    )


def _look(planned: Planned, file: RemoteFile) -> Look:
    part = planned.parts[file.path]
    try:
        with _opened(planned, file) as opened:
            if opened is None:
                return Look(file.path, part, note=f"{file.path} is not on this machine")
            read = _tar if file.path.endswith(TAR_ENDINGS) else _parquet
            return read(planned, file, part, opened)
    except NoParts:
        note = f"the hub at {endpoint()} sends files as a whole only"
        return Look(
            file.path, part, note=f"{note}, so that they are checked after they are fetched"
        )
    except NoHub:
        raise
    except BenchError as error:
        return Look(file.path, part, trouble=error)


@contextmanager
def _opened(planned: Planned, file: RemoteFile) -> Iterator[IO[bytes] | None]:
    """The file: what is on this machine, else its parts on the hub; None for neither."""
    repo, commit = planned.job.repo, planned.commit
    raw = planned.raw / file.path
    there: Path | None = raw if raw.is_file() else in_cache(repo, commit, file)
    if there is not None:
        with there.open("rb") as stream:
            yield stream
    elif offline():
        yield None
    else:
        parts: Any = RemoteFileParts(repo, commit, file, planned.traffic)
        yield parts


def _parquet(planned: Planned, file: RemoteFile, part: str, opened: IO[bytes]) -> Look:
    source, declared = _source(planned), planned.job.declared
    if file.size < SMALLEST:
        raise different(file.path, "a readable parquet file", f"{file.size} bytes")
    try:
        facts = pq.read_metadata(opened)
        schema = facts.schema.to_arrow_schema()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise different(file.path, "a readable parquet file", _what_else(opened, error)) from error
    layout = parquet_layout(schema, source, declared.classes, file.path)
    wanted = [(layout.part, layout.part_names, source.parts)]
    groups = [r.group for r in declared.splits.values() if isinstance(r, Whole) and r.group]
    wanted.append((layout.group, layout.group_names, dict.fromkeys(groups, ())))
    missing = {
        (column, value)
        for column, names, values in wanted
        if column is not None
        for value in values
        if not (value in names if names is not None else _may_hold(facts, column, value))
    }
    columns = tuple(sorted(layout.taken.items()))
    return Look(file.path, part, columns, facts.num_rows, frozenset(missing))


def _what_else(opened: IO[bytes], error: Exception) -> str:
    """What a file is that cannot be read as its name says."""
    opened.seek(0)
    head = opened.read(64)
    if head.startswith(POINTER):
        return "a Git LFS pointer in its place"
    if head.lstrip().lower().startswith((b"<!doc", b"<html")):
        return "a web page"
    return quoted(str(error).strip().splitlines()[0] if str(error).strip() else repr(error), 200)


def _may_hold(facts: Any, column: str, value: str) -> bool:
    """Whether the statistics of some rows of a text column leave room for a value."""
    at = next((i for i in range(facts.num_columns) if facts.schema.column(i).path == column), None)
    if at is None:
        return True
    for group in range(facts.num_row_groups):
        known = facts.row_group(group).column(at).statistics
        if known is None or not known.has_min_max or not isinstance(known.min, str):
            return True
        if known.min <= value <= known.max:
            return True
    return int(facts.num_row_groups) == 0


def _tar(planned: Planned, file: RemoteFile, part: str, opened: IO[bytes]) -> Look:
    fields: dict[str, None] = {}
    first = None
    try:
        with tarfile.open(fileobj=opened) as archive:
            for member in archive:
                folder, _, name = member.name.removeprefix("./").rpartition("/")
                stem, dot, kind = name.partition(".")
                if not member.isfile() or not stem or not dot:
                    continue
                if first is None:
                    first = (folder, stem)
                if (folder, stem) != first:
                    break
                fields[kind.lower()] = None
    except (tarfile.TarError, OSError, EOFError) as error:
        raise different(file.path, "a readable tar file", _what_else(opened, error)) from error
    layout: Layout = tar_layout(tuple(fields), _source(planned), file.path)
    return Look(file.path, part, tuple(sorted(layout.taken.items())))


def _source(planned: Planned) -> Source:
    source = planned.job.source
    assert isinstance(source, Source), "given files are not looked at"
    return source


# -- all files of a set ----------------------------------------------------------------------------


def _judged(planned: Planned, looks: Sequence[Look], anew: bool) -> Seen:
    source = planned.job.source
    troubles = list(_once(looks))
    notes = list(dict.fromkeys(look.note for look in looks if look.note))
    columns = Counter(look.columns for look in looks if look.columns is not None)
    if len(columns) > 1:
        other = next(look for look in looks if look.columns == columns.most_common()[-1][0])
        common = dict(columns.most_common()[0][0] or ())
        got = f"{dict(other.columns or ())}"
        troubles.append(different(other.file, f"the columns {common} of the other files", got))
    if isinstance(source, Source):
        troubles += _missing(planned, looks)
    rows = _rows(planned, looks)
    wrong, near = row_differences(planned, rows)
    if anew:
        notes += [f"{error.got}, which `data prepare` will refuse: {error.fix}" for error in wrong]
    else:
        troubles += wrong
    seen = Seen(planned, rows, tuple(troubles), (*notes, *near))
    if troubles or not looks:
        return seen
    taken = dict(next(iter(columns))) if columns else None
    whole = rows if rows.keys() >= source.rows.keys() and not wrong else None
    found = Entry(planned.entry.repo, planned.entry.declared, columns=taken or None, rows=whole)
    try:
        entry = lock.update(
            lock.lock_path(), planned.job.key, lambda now: lock.merged(planned.job.key, now, found)
        )
    except BenchError as error:
        return replace(seen, troubles=(error,))
    return replace(seen, planned=replace(planned, entry=entry))


def _once(looks: Iterable[Look]) -> Iterator[BenchError]:
    """The troubles of the files; what many have in common is said once."""
    same: dict[tuple[str, str], list[tuple[str, BenchError]]] = {}
    for look in looks:
        if (error := look.trouble) is not None:
            key = error.expected.replace(look.file, ""), error.got
            same.setdefault(key, []).append((look.file, error))
    for found in same.values():
        file, error = found[0]
        more = f"{file} and {len(found) - 1} more files" if len(found) > 1 else file
        expected = error.expected.replace(file, more)
        kind = HubTrouble if isinstance(error, HubTrouble) else BenchError
        yield kind(expected, error.got, error.fix, error.code)


def _missing(planned: Planned, looks: Sequence[Look]) -> Iterator[BenchError]:
    """Values of the columns of part and group that no file has."""
    known = [look for look in looks if look.columns is not None]
    if len(known) < len(planned.files) or not known:
        return
    for column, value in sorted(frozenset.intersection(*(look.missing for look in known))):
        where = f"{planned.job.repo.id} ({shown([look.file for look in known], 2)})"
        got = f"none in {len(known)} files"
        yield different(where, f"rows with '{value}' in column '{column}'", got)


def _rows(planned: Planned, looks: Sequence[Look]) -> dict[str, int]:
    """Rows per part, for parts of which all files say how many they have; '' for all parts."""
    counted = {look.file: look.rows for look in looks}
    for file, note in zip(planned.files, planned.notes(), strict=True):
        if note is not None:
            counted[file.path] = note.total
    found: dict[str, int] = {}
    for part in dict.fromkeys(planned.parts.values()):
        each = [counted.get(f.path) for f in planned.files if planned.parts[f.path] == part]
        if None not in each:
            found[part] = sum(n for n in each if n is not None)
    return found
