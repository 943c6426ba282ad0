"""What `cl-bench data lock` does."""

from collections.abc import Sequence
from pathlib import Path

import typer

from .data.cache import cache_root
from .data.catalog import declaration
from .data.hub import lock
from .data.hub.declare import Folder
from .data.hub.plan import Job, plan
from .data_commands import source_of, wanted


def lock_all(names: Sequence[str], relock: bool, source: str | None, given: Path | None) -> None:
    """`data lock`: resolve revisions and files, and note what is prepared."""
    asked, path = wanted(names), lock.lock_path()
    root = cache_root(None)
    for name in asked.names:
        declared = declaration(name)
        chosen = source_of(declared, source if len(asked.names) == 1 else None)
        if isinstance(chosen, Folder) and given is None:
            typer.echo(f"{name}: files that the user gives (--from), left as it is")
            continue
        job = Job(declared, chosen, 224, root, given, command=f"cl-bench data lock {name}")
        if relock:
            _forget(path, job.key)
        entry = plan(job).entry
        rows = "rows not known before `data prepare`" if entry.rows is None else f"{entry.rows}"
        typer.echo(f"{name}: {entry.repo}@{entry.revision}, {len(entry.files or ())} files, {rows}")
    typer.echo(str(path))


def _forget(path: Path, key: str) -> None:
    with lock.held(path.with_name(f".{path.name}.lock"), lambda: None):
        entries = lock.read(path)
        if entries.pop(key, None) is not None:
            lock.write(path, entries)
