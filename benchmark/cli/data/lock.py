"""What `cl-bench data lock` does."""

from collections.abc import Sequence
from functools import partial
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
from .names import Selection, check_one_source, source_of, wanted

SIDE = 224  # of images, which no entry depends on


def lock_all(names: Sequence[str], relock: bool, source: str | None, given: Path | None) -> int:
    """Resolve revisions and files on the hub and note them; one line for each.

    With HF_HUB_OFFLINE, sets that are not in the lock file yet are noted as not resolved.

    Args:
        names: datasets, suites, "model/tag" or "all".
        relock: forget what is known of them.
        source: a fall-back repository of the one dataset named.
        given: folder of files that no hub holds.

    Returns:
        The exit code: that of the first set that could not be resolved, else 0.

    Raises:
        BenchError: unknown names, or options that do not fit them.
    """
    asked, troubles = wanted(names), []
    check_one_source(asked, source)
    if relock and offline():
        fix = "unset HF_HUB_OFFLINE"
        raise BenchError("the hub, to take its present state", "HF_HUB_OFFLINE", fix, 4)
    jobs = _jobs(asked, source, given)
    steps = [partial(_lock, job, relock) for job in jobs]
    for step in (*steps, *(partial(_lock_weights, tag, relock) for tag in asked.weights)):
        try:
            typer.echo(step())
        except BenchError as error:
            troubles.append(error)
    for trouble in troubles:
        typer.echo(f"error: {trouble}", err=True)
    typer.echo(str(lock.lock_path()))
    return troubles[0].code if troubles else 0


def _jobs(asked: Selection, source: str | None, given: Path | None) -> list[Job]:
    """One for each dataset.

    Raises:
        BenchError: no such source, or given files where no dataset takes some.
    """
    declared = [declaration(name) for name in asked.names]
    jobs = [
        Job(each, source_of(each, source), SIDE, cache_root(None), given,
            command=f"cl-bench data lock {each.name}")
        for each in declared
    ]  # fmt: skip
    if given is not None and not any(isinstance(job.source, Folder) for job in jobs):
        got = "--from beside data that come from the hub"
        raise BenchError("a dataset of given files", got, "remove --from")
    return jobs


def _lock(job: Job, relock: bool) -> str:
    """Lock one dataset; a line about it."""
    name = job.declared.name
    if isinstance(job.source, Folder) and job.given is None:
        return f"{name}: files that the user gives (--from), left as it is"
    entry = _unresolved(job) if offline() else plan(job, relock).entry
    rows = "rows not known before `data prepare`" if entry.rows is None else f"{entry.rows}"
    files = "files not resolved" if entry.files is None else f"{len(entry.files)} files"
    return f"{name}: {entry.repo}@{entry.revision or entry.declared}, {files}, {rows}"


def _unresolved(job: Job) -> Entry:
    """What is known of a source without the hub."""
    exact = job.source.revision if not isinstance(job.source, Folder) else ""
    revision = exact if COMMIT.fullmatch(exact) else None
    found = Entry(source_name(job.source), exact or "given", revision)
    return _noted(job.key, found)


def _lock_weights(tag: str, relock: bool) -> str:
    """Lock published weights, without fetching them where that can be; a line about them."""
    from ...backbones.load import hub_places
    from ...hub.weights import pin, weights_key

    name, _, pretrained = tag.partition("/")
    said = "weights that are not on the hub"
    for repo, file in hub_places(name, pretrained):
        if offline():
            entry = _noted(weights_key(repo, file), Entry(repo, "main"))
        else:
            entry = pin(repo, file, f"cl-bench data lock {tag}", relock)
        said = f"{repo}@{entry.revision or 'not resolved'}"
    return f"{tag}: {said}"


def _noted(key: str, found: Entry) -> Entry:
    """The lock file's entry, completed by what is found."""
    return lock.update(lock.lock_path(), key, lambda now: lock.merged(key, now, found))
