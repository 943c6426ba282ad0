"""`data prepare`: from a declaration to a whole store, one source file after the other."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ....common.files import atomic
from ....common.locks import held
from ....common.report import Advance, Report
from ....errors import BenchError
from ....hub import lock
from ....hub.client import RemoteFile
from ....hub.lock import Entry
from ...cache.decoded import transform_id
from ...split_rules import shown
from ..classes import different
from ..declare import Declaration, Folder, Source, Whole
from ..shots import lacks_wide
from ..splits import manifest_of
from ..store import (
    VERSION,
    FileNote,
    Store,
    identity,
    manifest_digest,
    read_rows_of,
    read_store,
    source_name,
    store_key,
)
from .ahead import Ahead
from .decode import bomb_cap, write_file
from .plan import Planned, row_differences
from .raw import download, file_rows, given_rows
from .wide import add_wide, may_have_shots


def prepare(planned: Planned, report: Report) -> Store:
    """Make the store whole, with what crops are taken from; what is finished is taken as it is.

    Raises:
        BenchError: a file cannot be downloaded or read, the disk is full, or there are other rows
            than expected.
    """
    job, folder = planned.job, planned.folder
    title = job.declared.title

    def waiting() -> None:
        report.line(f"{title}: another process prepares it; waiting for it to end")

    with held(planned.guard, waiting):
        kept = planned.raw / ".keep"
        for leftover in (*folder.glob(".part-*"), *planned.raw.rglob("*.incomplete")):
            leftover.unlink()  # of a killed process
        if job.keep_raw:
            planned.raw.mkdir(parents=True, exist_ok=True)
            kept.touch()
        store = planned.whole
        if store is None:
            with bomb_cap():
                _files(planned, report, drop=not kept.exists())
            store = _finish(planned, report)
        if lacks_wide(store, job.crops):
            with bomb_cap():
                add_wide(planned, store, report)
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
    with report.bars(*rows) as (arrived, decoded):

        def fetched(index: int) -> tuple[Path, str]:
            return download(planned, index, arrived)

        with Ahead(todo, fetched) as downloads:
            _decode_all(planned, job.source, downloads, decoded, drop)


def _decode_all(
    planned: Planned,
    source: Source,
    downloads: Iterator[tuple[int, tuple[Path, str]]],
    decoded: Advance,
    drop: bool,
) -> None:
    for index, (path, sha) in downloads:
        _check_columns(planned, _one_file(planned, source, index, path, sha, decoded))
        if drop and path.is_relative_to(planned.raw) and not may_have_shots(planned, index):
            path.unlink()


def _one_file(
    planned: Planned, source: Source, index: int, path: Path, sha: str,
    decoded: Advance,
) -> FileNote:  # fmt: skip
    job, file = planned.job, planned.files[index]
    part = planned.parts[file.path] or None
    rows, columns = file_rows(planned, source, index, path, part)
    wanted = (row for row in rows if row.part in source.parts)
    return write_file(
        wanted, file.path, sha, file.size, columns, planned.folder, index, job.side,
        job.declared.kind, decoded,
    )  # fmt: skip


def _given(planned: Planned, source: Folder, report: Report) -> None:
    job, file = planned.job, planned.files[0]
    rows = given_rows(planned, source)
    total = sum(source.rows.values())
    with report.bars((f"{job.declared.title} images", total, "images")) as (decoded,):
        write_file(
            rows, file.path, str(file.sha256), file.size, {}, planned.folder, 0, job.side,
            job.declared.kind, decoded,
        )  # fmt: skip


def _check_columns(planned: Planned, note: FileNote) -> None:
    """All files have the same columns, and those that the lock knows."""
    known = planned.entry.columns or note.columns
    first = planned.notes()[0]
    for other in (known, first.columns if first else known):
        if dict(other) != dict(note.columns):
            note.path(planned.folder, "json").unlink()
            raise BenchError(
                f"the columns {dict(other)} in {note.file}",
                f"{dict(note.columns)}",
                f"find out what changed, or use `{lock.relock_command(planned.job.key)}`",
                code=5,
            )


def _finish(planned: Planned, report: Report) -> Store:
    """Counts, splits and lock, and the manifest as the last file."""
    job, folder = planned.job, planned.folder
    notes = [note for note in planned.notes() if note is not None]
    if len(notes) != len(planned.files):
        got = f"{len(notes)} of {len(planned.files)}; somebody removes files there"
        raise BenchError(f"all files in {folder}", got, f"repeat `{job.command}`", 6)
    found = contents(job.declared, folder, notes, tuple(job.source.parts))
    _check_rows(planned, found["rows"], report)
    mine = identity(job.declared, job.source)
    manifest = {
        "version": VERSION,
        "dataset": job.declared.name,
        "identity": mine,
        "key": store_key(mine, planned.commit),
        "source": source_name(job.source),
        "declared": planned.entry.declared,
        "revision": planned.commit,
        "side": job.side,
        "transform": transform_id(job.side),
        **found,
        "notes": [asdict(note) for note in notes],
    }
    note_in_lock(job.key, Store(folder, manifest))
    with atomic(folder / "manifest.json") as temporary:
        whole = {**manifest, "sha256": manifest_digest(manifest)}
        temporary.write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n")
    store = read_store(folder)
    assert store is not None, "just written"
    return store


def entry_of(store: Store) -> Entry:
    """What a store says of its source, as the lock file would."""
    about = store.manifest
    lost = Counter(row["part"] for row in about["dropped"])
    return Entry(
        about["source"],
        about["declared"],
        about["revision"],
        tuple(RemoteFile(n.file, n.size, n.sha256["file"]) for n in store.notes),
        store.notes[0].columns or None,
        about["rows"],
        {part: lost[part] for part in about["rows"]},
        about["splits"],
    )


def note_in_lock(key: str, store: Store) -> None:
    """Complete the lock file by what a store holds.

    Raises:
        BenchError: they contradict each other.
    """
    found = entry_of(store)
    lock.update(lock.lock_path(), key, lambda now: lock.merged(key, now, found))


def contents(
    declared: Declaration, folder: Path, notes: list[FileNote], parts: tuple[str, ...]
) -> dict[str, Any]:
    """Rows per part, dropped rows and splits, counted from the row tables of a folder."""
    rows, dropped = read_rows_of(folder, notes)
    names = [note.file for note in notes]
    count = dict.fromkeys(parts, 0)
    for part in (*rows.column("part"), *dropped.column("part").to_pylist()):
        count[part] = count.get(part, 0) + 1
    groups = {r.group for r in declared.splits.values() if isinstance(r, Whole) and r.group}
    if groups and (other := set(rows.column("group")) - groups):
        got = f"{shown(other)}, too"
        raise different(declared.name, f"only {shown(groups)} as groups of rows", got)
    splits = manifest_of(declared, rows, names)
    return {"rows": count, "dropped": _dropped(dropped, names), "splits": splits}


def _check_rows(planned: Planned, count: dict[str, int], report: Report) -> None:
    """Raises BenchError where there are other rows than the lock has, or than are declared.

    Where the declaration is not sure, a count within `NEAR` of it is taken, and said.
    """
    every = dict.fromkeys(planned.entry.rows or planned.job.source.rows, 0)
    wrong, near = row_differences(planned, every | count)
    for error in wrong:
        raise error
    for said in near:
        report.line(said)


def _dropped(table: Any, names: list[str]) -> list[dict[str, Any]]:
    columns = ("file", "row", "key", "part", "dropped")
    records = table.select(list(columns)).to_pylist()
    return [{**r, "file": names[r["file"]]} for r in records]
