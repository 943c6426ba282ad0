"""The files of a source on this machine, and their rows."""

from collections.abc import Iterator
from pathlib import Path

from ....common.report import Advance
from ....hub.client import fetch, in_cache
from ..declare import Folder, Source
from .given import read_given
from .plan import Planned
from .reader import RawRow, SourceFile, read_rows


def download(planned: Planned, index: int, arrived: Advance) -> tuple[Path, str]:
    """A source file and its sha256, from the hub's own cache where another program left it."""
    repo, file = planned.job.repo, planned.files[index]
    cached = in_cache(repo, planned.commit, file)
    return fetch(repo, planned.commit, file, planned.raw if cached is None else None, arrived)


def is_here(planned: Planned, index: int) -> bool:
    """Whether a source file need not be downloaded."""
    if isinstance(planned.job.source, Folder):
        return True
    file = planned.files[index]
    raw = planned.raw / file.path
    return raw.is_file() or in_cache(planned.job.repo, planned.commit, file) is not None


def file_rows(
    planned: Planned, source: Source, index: int, path: Path, part: str | None
) -> tuple[Iterator[RawRow], dict[str, str]]:
    """The rows of a source file, and the columns that were taken; raises as `read_rows`.

    Args:
        planned: the dataset.
        source: where it is from.
        index: of the file among its files.
        path: where it lies.
        part: that all of its rows are of; None where a column says it.
    """
    name, classes = planned.files[index].path, planned.job.declared.classes
    return read_rows(SourceFile(path, name, source, part, classes))


def given_rows(planned: Planned, source: Folder) -> Iterator[RawRow]:
    """The rows of a folder that the user gave; raises as `read_given`."""
    assert planned.job.given is not None, "checked by `listed`"
    return read_given(planned.job.declared, source, planned.job.given)
