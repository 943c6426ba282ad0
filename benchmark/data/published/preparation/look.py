"""What one file says of itself: a parquet file at its end, a tar at its beginning."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ....errors import BenchError, quoted
from ....hub.client import RemoteFile, in_cache
from ....hub.partial import NoParts, RemoteFileParts
from ....hub.session import endpoint
from ....hub.trouble import NoHub, offline
from ...files.stream import TAR_ENDINGS
from ..classes import different
from ..declare import Source, Whole
from ..layout import bare_numbers, parquet_layout, tar_layout
from .plan import Planned

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
        bare: whether its labels are numbers whose meaning it does not say.
    """

    file: str
    part: str
    columns: tuple[tuple[str, str], ...] | None = None
    rows: int | None = None
    missing: frozenset[tuple[str, str]] = frozenset()
    trouble: BenchError | None = None
    note: str = ""
    bare: bool = False


def look_at(planned: Planned, file: RemoteFile) -> Look:
    """What a file says of itself, from this machine or a few kilobytes of it on the hub.

    Raises:
        NoHub: there is no way to the hub; every other trouble is in what is given.
    """
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
    bare = bare_numbers(schema, layout, source, declared.classes)
    return Look(file.path, part, columns, facts.num_rows, frozenset(missing), bare=bare)


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
    layout = tar_layout(tuple(fields), _source(planned), file.path)
    return Look(file.path, part, tuple(sorted(layout.taken.items())))


def _source(planned: Planned) -> Source:
    source = planned.job.source
    assert isinstance(source, Source), "given files are not looked at"
    return source
