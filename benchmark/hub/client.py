"""The hub's own client, with one sentence for everything that can go wrong on the way.

The client continues a transfer that was cut, and waits after a 429. What it does not repeat (a 500
on a file, a reset connection) is repeated here. It checks no content, so that we compare the size
and the sha256 of every file with those that the hub lists before we take it.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..common.files import file_sha256
from ..common.report import Advance
from ..errors import BenchError
from .session import limit_silence
from .trouble import (
    CorruptDownload,
    Repo,
    Transient,
    asked_wait,
    endpoint,
    may_pass,
    or_fallback,
    page_path,
    repeated_by_client,
    sentence,
)

COMMIT = re.compile(r"[0-9a-f]{40}")
RETRIES = 4
LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class RemoteFile:
    """A file at one revision: path in the repository, bytes, hex sha256 where the hub tells it."""

    path: str
    size: int
    sha256: str | None


def resolve(repo: Repo, revision: str) -> str:
    """The 40-hex commit of a revision, which may be a ref or the first digits of a commit.

    Raises:
        BenchError: no such revision, or the hub does not answer.
    """
    from huggingface_hub import HfApi

    if COMMIT.fullmatch(revision):
        return revision
    api = HfApi()
    if len(revision) >= 7 and set(revision) <= set("0123456789abcdef"):
        commits = _ask(repo, revision, lambda: api.list_repo_commits(repo.id, repo_type=repo.kind))
        found = [c.commit_id for c in commits if c.commit_id.startswith(revision)]
        if found:
            return str(found[0])
        raise BenchError(
            f"a commit {revision}... in the history of {repo.id}",
            f"{len(commits)} commits, the newest {commits[0].commit_id[:12] if commits else '-'}",
            f"see {endpoint()}/{page_path(repo)}/commits/main, then mend its declaration"
            + or_fallback(repo),
            code=4,
        )
    info = _ask(
        repo, revision, lambda: api.repo_info(repo.id, repo_type=repo.kind, revision=revision)
    )
    return str(info.sha)


def listing(repo: Repo, commit: str, patterns: tuple[str, ...]) -> list[RemoteFile]:
    """The files at a commit that match one of the patterns, by path.

    Raises:
        BenchError: none matches, or the hub does not answer.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    api = HfApi()
    tree = _ask(
        repo,
        commit,
        lambda: list(
            api.list_repo_tree(repo.id, recursive=True, revision=commit, repo_type=repo.kind)
        ),
    )
    there = [entry for entry in tree if isinstance(entry, RepoFile)]
    files = [
        RemoteFile(f.path, f.size, f.lfs.sha256 if f.lfs else None)
        for f in there
        if any(matches(f.path, pattern) for pattern in patterns)
    ]
    if not files:
        raise BenchError(
            f"files like {', '.join(patterns)} in {repo.id} at {commit[:12]}",
            f"{len(there)} others ({', '.join(f.path for f in there[:3])} ...)",
            "mend its declaration" + or_fallback(repo),
            code=4,
        )
    return sorted(files, key=lambda f: f.path)


def matches(path: str, pattern: str) -> bool:
    """Whether a path matches a glob pattern; a leading `**/` matches no folder, too."""
    return fnmatchcase(path, pattern) or (
        pattern.startswith("**/") and fnmatchcase(path, pattern.removeprefix("**/"))
    )


def in_cache(repo: Repo, commit: str, file: RemoteFile) -> Path | None:
    """The file in the hub's own cache, where another program left it; it is never removed."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo.id, file.path, revision=commit, repo_type=repo.kind)
    path = Path(found) if isinstance(found, str) else None
    return path if path is not None and path.is_file() else None


def fetch(
    repo: Repo,
    commit: str,
    file: RemoteFile,
    folder: Path | None,
    advance: Advance = lambda _: None,
) -> tuple[Path, str]:
    """One file, verified.

    Args:
        repo: the repository.
        commit: 40 hex digits.
        file: what is listed for it.
        folder: where it goes; None is the hub's own cache.
        advance: called with the number of bytes that arrive; negative for those that have to be
            fetched again.

    Returns:
        Its path and sha256.

    Raises:
        BenchError: it cannot be had, or is not what is listed.
    """
    from huggingface_hub import hf_hub_download

    def attempt() -> tuple[Path, str]:
        arrived = 0

        def count(n: int) -> None:
            nonlocal arrived
            arrived += n
            advance(n)

        try:
            with _quiet():
                got = hf_hub_download(
                    repo.id, file.path, repo_type=repo.kind, revision=commit, local_dir=folder,
                    tqdm_class=_counting(count),
                )  # fmt: skip
        except BaseException:
            advance(-arrived)
            raise
        path = Path(got)
        advance(file.size - arrived)  # what was there before
        size, sha = path.stat().st_size, file_sha256(path)
        wrong = size != file.size and f"{size} bytes instead of {file.size}"
        if file.sha256 is not None and sha != file.sha256:
            wrong = wrong or f"sha256 {sha[:12]}... instead of {file.sha256[:12]}..."
        if wrong:
            _remove(path)
            advance(-file.size)
            raise Transient(CorruptDownload(wrong))
        return path, sha

    found: tuple[Path, str] = _ask(repo, file.path, attempt)
    return found


def _remove(path: Path) -> None:
    """Remove a damaged file; in the hub's cache it is a link, whose target is removed too."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _counting(count: Advance) -> Any:
    import huggingface_hub.utils as utils

    base: Any = utils.tqdm  # type: ignore[attr-defined]  # documented, but not re-exported by name

    class Counting(base):  # type: ignore[misc]
        """A silent bar that passes its updates on."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            count(int(n or 0))
            return None

    return Counting


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the client's own lines about its attempts; what fails in the end, we report."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _ask(repo: Repo, what: str, request: Callable[[], Any]) -> Any:
    """The answer of a request, repeated as long as the trouble may pass.

    Raises:
        BenchError: one sentence about the trouble that did not pass.
    """
    for attempt in range(RETRIES + 1):
        try:
            with _quiet():
                try:
                    limit_silence()
                    return request()
                except Exception as error:
                    if may_pass(error):
                        raise Transient(error, asked_wait(error)) from error
                    raise
        except Transient as error:
            if attempt == RETRIES or repeated_by_client(error.error):
                raise sentence(repo, what, error.error) from error
            wait = error.wait if error.wait is not None else 2.0**attempt
            time.sleep(min(LONGEST_WAIT, wait))
        except BenchError:
            raise
        except Exception as error:
            raise sentence(repo, what, error) from error
    raise AssertionError("the last attempt returns or raises")
