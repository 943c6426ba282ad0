"""`data prepare`: from a declaration to a whole store, one source file after the other."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ...errors import BenchError
from ...files import atomic
from ..cache import transform_id
from ..splits import shown
from . import lock
from .client import Advance, RemoteFile, Repo, fetch, in_cache, listing, matches, resolve
from .declare import COMMIT, Declaration, Folder, Source
from .decode import bomb_cap, write_file
from .given import listed, read_given
from .lock import Entry
from .reader import Place, read_rows
from .rules import compare_rows, manifest_of
from .store import (
    VERSION,
    Note,
    Store,
    folder_of,
    identity,
    read_note,
    read_rows_of,
    read_store,
    source_name,
)


class Report(Protocol):
    """What the user sees; `display.Display` is one."""

    def line(self, text: str) -> None:
        """A sentence that stays."""

    def bars(self, *rows: tuple[str, int, str]) -> AbstractContextManager[list[Advance]]:
        """A bar for each (head, total, unit); gives the functions that advance them."""


@dataclass(frozen=True)
class Job:
    """One dataset to prepare.

    Attributes:
        declared: the dataset. source: which of its sources. side: of the images, in pixels.
        root: the cache folder. given: folder of files that the user gives, for `Folder` sources.
        keep_raw: keep what was downloaded. command: what the user repeats after trouble.
    """

    declared: Declaration
    source: Source | Folder
    side: int
    root: Path
    given: Path | None = None
    keep_raw: bool = False
    command: str = "cl-bench data prepare"

    @property
    def key(self) -> str:
        """Of the lock entry."""
        name = self.declared.name
        if self.source is self.declared.source:
            return name
        return f"{name}@{source_name(self.source)}"

    @property
    def repo(self) -> Repo:
        """The repository, for a source on the hub."""
        names = tuple(f.repo for f in self.declared.fallbacks if f is not self.source)
        return Repo(source_name(self.source), "dataset", self.command, names)


@dataclass(frozen=True)
class Planned:
    """A job with its revision and files, and what of it is done.

    Attributes:
        store: where it goes, whole or not. entry: of the lock file.
    """

    job: Job
    commit: str
    files: tuple[RemoteFile, ...]
    folder: Path
    entry: Entry

    @property
    def whole(self) -> Store | None:
        """The store, once it is whole."""
        return read_store(self.folder)

    def notes(self) -> list[Note | None]:
        """One per source file; None for those to be done."""
        return [read_note(self.folder, i, f.path, self.job.side) for i, f in enumerate(self.files)]

    @property
    def raw(self) -> Path:
        """Folder of the downloads."""
        return self.job.root / "raw" / self.job.declared.name / self.folder.name.rpartition("-")[0]


def plan(job: Job) -> Planned:
    """Resolve revision and files, from the lock file or else from the hub; the lock is completed.

    Raises:
        BenchError: the hub does not answer, or it says something else than the lock.
    """
    source, path = job.source, lock.lock_path()
    known = lock.read(path).get(job.key)
    if isinstance(source, Folder):
        file = listed(job.declared, source, job.given, f"{job.command}")
        found = Entry(source_name(source), "given", file.sha256, (file,))
    else:
        exact = source.revision if COMMIT.fullmatch(source.revision) else None
        fresh = Entry(source.repo, source.revision, exact)
        lock.merged(known, fresh)  # before anything is asked: another repository or revision
        commit = (known.revision if known else None) or resolve(job.repo, source.revision)
        files = known.files if known else None
        if files is None:
            every = tuple(dict.fromkeys(p for ps in source.parts.values() for p in ps))
            files = tuple(listing(job.repo, commit, every))
        found = replace(fresh, revision=commit, files=files)
    entry = lock.update(path, job.key, lambda now: lock.merged(now, found))
    commit, files = str(entry.revision), entry.files or ()
    folder = folder_of(job.root, job.declared, source, commit, job.side)
    return Planned(job, commit, files, folder, entry)


def prepare(planned: Planned, report: Report) -> Store:
    """Make the store whole; what an earlier attempt finished is taken as it is.

    Raises:
        BenchError: what `client`, `reader` and the disk raise; other rows than expected.
    """
    job, folder = planned.job, planned.folder
    title = job.declared.title

    def waiting() -> None:
        report.line(f"{title}: another process prepares it; waiting for it to end")

    # One lock for all image sides, which share the downloads.
    with lock.held(folder.parent / f".{planned.raw.name}.lock", waiting):
        kept = planned.raw / ".keep"
        for leftover in (*folder.glob(".part-*"), *planned.raw.rglob("*.incomplete")):
            leftover.unlink()  # of a killed process
        if job.keep_raw:
            planned.raw.mkdir(parents=True, exist_ok=True)
            kept.touch()
        store = planned.whole
        if store is None:
            folder.mkdir(parents=True, exist_ok=True)
            with bomb_cap():
                _files(planned, report, drop=not kept.exists())
            store = _finish(planned)
        if not kept.exists():
            shutil.rmtree(planned.raw, ignore_errors=True)
    report.line(f"{title}: prepared, {_counts(store)}")
    return store


def _counts(store: Store) -> str:
    splits = ", ".join(f"{s['rows']} {name}" for name, s in store.manifest["splits"].items())
    dropped = len(store.manifest["dropped"])
    return splits + (f"; {dropped} rows dropped, see manifest.json" if dropped else "")


def _files(planned: Planned, report: Report, drop: bool) -> None:
    job, notes = planned.job, planned.notes()
    todo = [i for i, note in enumerate(notes) if note is None]
    if isinstance(job.source, Folder):
        if todo:
            _given(planned, job.source, report)
        return
    title, total = job.declared.title, len(planned.files)
    if len(todo) < total:
        report.line(f"{title}: going on, {total - len(todo)} of {total} files are done")
    size = sum(planned.files[i].size for i in todo)
    expected = sum((planned.entry.rows or job.source.rows).values())
    left = max(0, expected - sum(note.total for note in notes if note is not None))
    rows = (f"{title} download", size, "B"), (f"{title} images", left, "images")
    with report.bars(*rows) as (arrived, decoded), _Ahead(planned, todo, arrived) as downloads:
        for index, path, sha in downloads:
            _check_columns(planned, _one_file(planned, job.source, index, path, sha, decoded))
            if drop and path.is_relative_to(planned.raw):
                path.unlink()


class _Ahead:
    """Downloads in a thread of its own, one file ahead of what is decoded.

    A daemon, because a transfer cannot be interrupted: the process must be able to end.
    """

    def __init__(self, planned: Planned, todo: list[int], arrived: Advance) -> None:
        self._planned, self._todo, self._arrived = planned, todo, arrived
        self._room, self._there = threading.Semaphore(2), threading.Semaphore(0)
        self._done: list[tuple[int, Path, str] | BaseException] = []
        self._stop = False

    def __enter__(self) -> Iterator[tuple[int, Path, str]]:
        threading.Thread(target=self._work, daemon=True).start()
        return self._take()

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._room.release()

    def _work(self) -> None:
        for index in self._todo:
            self._room.acquire()
            if self._stop:
                return
            try:
                self._done.append((index, *self._one(index)))
            except BaseException as error:  # raised where the file is wanted
                self._done.append(error)
                self._there.release()
                return
            self._there.release()

    def _one(self, index: int) -> tuple[Path, str]:
        planned, file = self._planned, self._planned.files[index]
        repo = planned.job.repo
        cached = in_cache(repo, planned.commit, file)
        folder = planned.raw if cached is None else None
        return fetch(repo, planned.commit, file, folder, self._arrived)

    def _take(self) -> Iterator[tuple[int, Path, str]]:
        for _ in self._todo:
            self._there.acquire()
            found = self._done.pop(0)
            if isinstance(found, BaseException):
                raise found
            yield found
            self._room.release()


def _one_file(
    planned: Planned, source: Source, index: int, path: Path, sha: str,
    decoded: Advance,
) -> Note:  # fmt: skip
    job, file = planned.job, planned.files[index]
    parts = [n for n, ps in source.parts.items() if any(matches(file.path, p) for p in ps)]
    if source.part_column is None and len(parts) != 1:
        got = f"'{file.path}' in {shown(parts)}"
        raise BenchError(f"each file of {source.repo} in one part", got, "mend the declaration", 5)
    part = None if source.part_column is not None else parts[0]
    classes = job.declared.classes
    rows, columns = read_rows(Place(path, file.path, source, part, classes))
    wanted = (row for row in rows if row.part in source.parts)
    return write_file(
        wanted, file.path, sha, columns, planned.folder, index, job.side, job.declared.kind, decoded
    )


def _given(planned: Planned, source: Folder, report: Report) -> None:
    job, file = planned.job, planned.files[0]
    assert job.given is not None, "checked by `listed`"
    rows = read_given(job.declared, source, job.given)
    total = sum(source.rows.values())
    with report.bars((f"{job.declared.title} images", total, "images")) as (decoded,):
        write_file(
            rows, file.path, str(file.sha256), {}, planned.folder, 0, job.side,
            job.declared.kind, decoded,
        )  # fmt: skip


def _check_columns(planned: Planned, note: Note) -> None:
    """All files have the same columns, and those that the lock knows."""
    known = planned.entry.columns or note.columns
    first = planned.notes()[0]
    for other in (known, first.columns if first else known):
        if dict(other) != dict(note.columns):
            note.path(planned.folder, "json").unlink()
            raise BenchError(
                f"the columns {dict(other)} in {note.file}",
                f"{dict(note.columns)}",
                "find out what changed, or use `cl-bench data lock --relock`",
                code=5,
            )


def _finish(planned: Planned) -> Store:
    """Counts, splits and lock, and the manifest as the last file."""
    job, folder = planned.job, planned.folder
    notes = [note for note in planned.notes() if note is not None]
    assert len(notes) == len(planned.files), "every file was written"
    rows, dropped = read_rows_of(folder, notes)
    count: dict[str, int] = dict.fromkeys(job.source.parts, 0)
    lost = dict(count)
    for part in rows.column("part"):
        count[part] += 1
    for part in dropped.column("part").to_pylist():
        count[part] += 1
        lost[part] += 1
    wrong = compare_rows(job.source, count, planned.entry.rows)
    if wrong:
        raise BenchError(
            f"the rows of {source_name(job.source)} that "
            + ("the lock file has" if planned.entry.rows is not None else "are declared"),
            "; ".join(wrong),
            "find out what changed; see `cl-bench data lock --help`",
            code=5,
        )
    names = [file.path for file in planned.files]
    splits = manifest_of(job.declared, rows, names, lambda _: True)
    found = replace(
        planned.entry, columns=notes[0].columns or None, rows=count, dropped=lost, splits=splits,
        files=tuple(
            replace(file, sha256=note.sha256["file"])
            for file, note in zip(planned.files, notes, strict=True)
        ),
    )  # fmt: skip
    lock.update(lock.lock_path(), job.key, lambda now: lock.merged(now, found))
    manifest = {
        "version": VERSION,
        "dataset": job.declared.name,
        "identity": identity(job.declared, job.source),
        "source": source_name(job.source),
        "revision": planned.commit,
        "side": job.side,
        "transform": transform_id(job.side),
        "rows": count,
        "dropped": _dropped(dropped, names),
        "splits": splits,
        "notes": [asdict(note) for note in notes],
    }
    with atomic(folder / "manifest.json") as temporary:
        temporary.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    store = read_store(folder)
    assert store is not None, "just written"
    return store


def _dropped(table: Any, names: list[str]) -> list[dict[str, Any]]:
    columns = ("file", "row", "key", "part", "dropped")
    records = table.select(list(columns)).to_pylist()
    return [{**r, "file": names[r["file"]]} for r in records]
