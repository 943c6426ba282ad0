"""What `cl-bench data lock` does."""

from collections.abc import Sequence
from pathlib import Path

import typer

from ...common.files import cache_root
from ...data.catalog import declaration
from ...data.published.declare import Folder
from ...data.published.preparation.plan import Job
from ...data.published.store import source_name
from ...errors import BenchError
from ...hub import lock
from ...hub.client import COMMIT
from ...hub.lock import Entry
from ...hub.trouble import NoHub, offline
from ..display import Display
from .jobs import looked_at, plans_of, said
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
        The exit code: 5 where a set is not what is declared, else that of the first set that could
        not be resolved, else 0.

    Raises:
        BenchError: unknown names, or options that do not fit them.
    """
    asked = wanted(names)
    check_one_source(asked, source)
    if relock and offline():
        fix = "unset HF_HUB_OFFLINE"
        raise BenchError("the hub, to take its present state", "HF_HUB_OFFLINE", fix, 4)
    jobs = _jobs(asked, source, given)
    lines, troubles = _lock_sets(jobs, relock)
    for job in jobs:
        if line := lines.get(job.declared.name):
            typer.echo(line)
    for tag in asked.weights:
        try:
            typer.echo(_lock_weights(tag, relock))
        except BenchError as error:
            if isinstance(error, NoHub):
                raise
            troubles.append((tag, error))
    code = said(troubles)
    typer.echo(str(lock.lock_path()))
    return code


def _lock_sets(
    jobs: Sequence[Job], relock: bool
) -> tuple[dict[str, str], list[tuple[str, BenchError]]]:
    """A line about each set that is as it should be, and the troubles of the others, by name."""
    lines, troubles, asked = {}, [], []
    for job in jobs:
        name = job.declared.name
        if isinstance(job.source, Folder) and job.given is None:
            lines[name] = f"{name}: files that the user gives (--from), left as it is"
        elif offline():
            try:
                lines[name] = _line(job, _unresolved(job))
            except BenchError as error:
                troubles.append((name, error))
        else:
            asked.append(job)
    planned, unplanned = plans_of(asked, relock)
    seen, unfit = looked_at(planned, Display(), relock)
    bad = {name for name, _ in unfit}
    for each in seen:
        job, traffic = each.planned.job, each.planned.traffic
        if job.declared.name not in bad:
            looked = f"; {traffic.requests} requests, {traffic.nbytes / 1e6:.2f} MB to see it"
            line = _line(job, each.planned.entry) + looked * (traffic.requests > 0)
            lines[job.declared.name] = line
    return lines, [*troubles, *unplanned, *unfit]


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


def _line(job: Job, entry: Entry) -> str:
    """What is known of a set."""
    rows = "rows not known before `data prepare`"
    if entry.rows is not None:
        rows = "rows: " + ", ".join(f"{part} {n}" for part, n in entry.rows.items())
    files = "files not resolved" if entry.files is None else f"{len(entry.files)} files"
    taken = ", ".join(f"{kind} in '{name}'" for kind, name in (entry.columns or {}).items())
    words = [f"{entry.repo}@{entry.revision or entry.declared}", files, rows, taken]
    return f"{job.declared.name}: " + ", ".join(word for word in words if word)


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
            again = f"cl-bench data lock {tag} --relock"
            entry = _noted(weights_key(repo, file), Entry(repo, "main"), again)
        else:
            entry = pin(repo, file, f"cl-bench data lock {tag}", relock)
        said = f"{repo}@{entry.revision or 'not resolved'}"
    return f"{tag}: {said}"


def _noted(key: str, found: Entry, relock: str = "") -> Entry:
    """The lock file's entry, completed by what is found."""
    return lock.update(lock.lock_path(), key, lambda now: lock.merged(key, now, found, relock))
