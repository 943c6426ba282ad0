"""What `cl-bench data lock` does."""

from collections.abc import Sequence
from pathlib import Path

import typer

from ...common.files import cache_root
from ...data.catalog import declaration
from ...data.published.declare import Folder
from ...data.published.preparation.plan import Job, plan
from ...data.published.store import source_name
from ...errors import BenchError
from ...hub import lock
from ...hub.client import COMMIT
from ...hub.lock import Entry
from ...hub.trouble import offline
from .names import source_of, wanted


def lock_all(names: Sequence[str], relock: bool, source: str | None, given: Path | None) -> int:
    """Resolve revisions and files on the hub and note them.

    With HF_HUB_OFFLINE, sets that are not in the lock file yet are noted as not resolved.

    Args:
        names: datasets, suites, "model/tag" or "all".
        relock: forget what is known of them.
        source: a fall-back repository of the one dataset named.
        given: folder of files that no hub holds.

    Returns:
        The exit code: that of the first set that could not be resolved, else 0.

    Raises:
        BenchError: unknown names, or --source beside several datasets.
    """
    asked, path, troubles = wanted(names), lock.lock_path(), []
    if source is not None and len(asked.names) != 1:
        raise BenchError("one dataset beside --source", f"{len(asked.names)}", "name only that one")
    if relock and offline():
        fix = "unset HF_HUB_OFFLINE"
        raise BenchError("the hub, to take its present state", "HF_HUB_OFFLINE", fix, 4)
    sources = [source_of(declaration(name), source) for name in asked.names]
    if given is not None and not any(isinstance(each, Folder) for each in sources):
        got = "--from beside data that come from the hub"
        raise BenchError("a dataset of given files", got, "remove --from")
    for name in asked.names:
        declared = declaration(name)
        chosen = source_of(declared, source)
        if isinstance(chosen, Folder) and given is None:
            typer.echo(f"{name}: files that the user gives (--from), left as it is")
            continue
        command = f"cl-bench data lock {name}"
        job = Job(declared, chosen, 224, cache_root(None), given, command=command)
        try:
            entry = _unresolved(path, job) if offline() else plan(job, relock).entry
        except BenchError as error:
            troubles.append(error)
            continue
        rows = "rows not known before `data prepare`" if entry.rows is None else f"{entry.rows}"
        files = "files not resolved" if entry.files is None else f"{len(entry.files)} files"
        typer.echo(f"{name}: {entry.repo}@{entry.revision or entry.declared}, {files}, {rows}")
    for tag in asked.weights:
        try:
            typer.echo(f"{tag}: {_weights(path, tag, relock)}")
        except BenchError as error:
            troubles.append(error)
    for trouble in troubles:
        typer.echo(f"error: {trouble}", err=True)
    typer.echo(str(path))
    return troubles[0].code if troubles else 0


def _unresolved(path: Path, job: Job) -> Entry:
    """What is known of a source without the hub."""
    exact = job.source.revision if not isinstance(job.source, Folder) else ""
    revision = exact if COMMIT.fullmatch(exact) else None
    found = Entry(source_name(job.source), exact or "given", revision)
    return lock.update(path, job.key, lambda now: lock.merged(job.key, now, found))


def _weights(path: Path, tag: str, relock: bool) -> str:
    """Commit and file of published weights, without fetching them where that can be."""
    from ...backbones.load import hub_places
    from ...hub.weights import pin

    name, _, pretrained = tag.partition("/")
    said = "weights that are not on the hub"
    for repo, file in hub_places(name, pretrained):
        if offline():
            entry = _noted(path, repo, file)
        else:
            entry = pin(repo, file, f"cl-bench data lock {tag}", relock)
        said = f"{repo}@{entry.revision or 'not resolved'}"
    return said


def _noted(path: Path, repo: str, file: str) -> Entry:
    """What is known of a file of the hub without the hub."""
    from ...hub.weights import weights_key

    key = weights_key(repo, file)
    return lock.update(path, key, lambda now: lock.merged(key, now, Entry(repo, "main")))
