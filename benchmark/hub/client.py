"""The hub's own client, with one sentence for everything that can go wrong on the way.

The client continues a transfer that was cut. Everything else is repeated here (see `session`), and
said. It checks no content, so that we compare the size and the sha256 of every file with those that
the hub lists before we take it.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from typing import Any

from ..common.files import file_sha256
from ..common.report import Advance
from ..errors import BenchError
from .session import GATE, LISTENER, endpoint, library, limit_silence, quiet, say_for_all
from .trouble import (
    CorruptDownload,
    NoHub,
    Repo,
    Transient,
    asked_wait,
    attempts,
    in_short,
    may_pass,
    or_fallback,
    page_path,
    repeated_by_client,
    sentence,
)

COMMIT = re.compile(r"[0-9a-f]{40}")
LONGEST_WAIT = 300.0  # seconds; the hub counts requests over so long a time


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
    if COMMIT.fullmatch(revision):
        return revision
    api = library().HfApi()
    if len(revision) >= 7 and set(revision) <= set("0123456789abcdef"):
        commits = ask(repo, revision, lambda: api.list_repo_commits(repo.id, repo_type=repo.kind))
        found = [c.commit_id for c in commits if c.commit_id.startswith(revision)]
        if found:
            return str(found[0])
        raise BenchError(
            f"a commit {revision}... in the history of {repo.id}",
            f"{len(commits)} commits, the newest {commits[0].commit_id[:12] if commits else '-'}",
            f"see {endpoint()}/{page_path(repo)}/commits/main, then correct the revision"
            + or_fallback(repo),
            code=4,
        )
    info = ask(
        repo, revision, lambda: api.repo_info(repo.id, repo_type=repo.kind, revision=revision)
    )
    return str(info.sha)


def tree(repo: Repo, commit: str) -> list[RemoteFile]:
    """All files at a commit, by path.

    Raises:
        BenchError: the hub does not answer, or has no such commit.
    """
    api = library().HfApi()
    found = ask(
        repo,
        commit,
        lambda: list(
            api.list_repo_tree(repo.id, recursive=True, revision=commit, repo_type=repo.kind)
        ),
    )
    files = [f for f in found if isinstance(f, library().hf_api.RepoFile)]
    return sorted(
        (RemoteFile(f.path, f.size, f.lfs.sha256 if f.lfs else None) for f in files),
        key=lambda f: f.path,
    )


def listing(repo: Repo, commit: str, patterns: tuple[str, ...]) -> list[RemoteFile]:
    """The files at a commit that match one of the patterns, by path.

    Raises:
        BenchError: none matches, or the hub does not answer.
    """
    there = tree(repo, commit)
    files = [f for f in there if any(matches(f.path, pattern) for pattern in patterns)]
    if not files:
        raise no_files(repo, commit, patterns, there)
    return files


def no_files(
    repo: Repo, commit: str, patterns: Sequence[str], there: Sequence[RemoteFile]
) -> BenchError:
    """The error where no file of a repository is one of those that are declared."""
    return BenchError(
        f"files like {', '.join(patterns)} in {repo.id} at {commit[:12]}",
        f"{len(there)} others ({', '.join(f.path for f in there[:3])} ...)",
        "mend its declaration" + or_fallback(repo),
        code=4,
    )


def matches(path: str, pattern: str) -> bool:
    """Whether a path matches a glob pattern; a leading `**/` matches no folder, too."""
    return fnmatchcase(path, pattern) or (
        pattern.startswith("**/") and fnmatchcase(path, pattern.removeprefix("**/"))
    )


def in_cache(repo: Repo, commit: str, file: RemoteFile) -> Path | None:
    """The file in the hub's own cache, where another program left it; it is never removed."""
    found = library().try_to_load_from_cache(
        repo.id, file.path, revision=commit, repo_type=repo.kind
    )
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
    arrived = 0

    def attempt() -> Path:
        nonlocal arrived
        arrived = 0
        try:
            got = library().hf_hub_download(
                repo.id, file.path, repo_type=repo.kind, revision=commit, local_dir=folder,
                tqdm_class=_counting(counted),
            )  # fmt: skip
        except BaseException:
            advance(-arrived)
            raise
        return Path(got)

    def counted(n: int) -> None:
        nonlocal arrived
        arrived += n
        LISTENER.heard()
        advance(n)

    def checked(path: Path) -> tuple[Path, str]:
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

    found: tuple[Path, str] = ask(repo, file.path, attempt, checked, folder)
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


def ask(
    repo: Repo,
    what: str,
    request: Callable[[], Any],
    check: Callable[[Any], Any] = lambda answer: answer,
    place: Path | None = None,
) -> Any:
    """The answer of a request, repeated as long as the trouble may pass.

    Args:
        repo: the repository.
        what: is asked of it, for messages.
        request: asks.
        check: of the answer, which may take its time, and may find it wrong (`Transient`).
        place: the folder that is written to; None is the hub's own cache.

    Raises:
        BenchError: one sentence about the trouble that did not pass.
    """
    with GATE.first_contact() as gone:
        if gone is not None:
            raise sentence(repo, what, gone, place)
        return _attempts(repo, what, request, check, place)


def _attempts(
    repo: Repo,
    what: str,
    request: Callable[[], Any],
    check: Callable[[Any], Any],
    place: Path | None,
) -> Any:
    began = time.monotonic()
    for attempt in count(1):
        try:
            try:
                limit_silence()
                with quiet(), LISTENER:
                    answer = request()
                return check(answer)
            except Exception as error:
                if may_pass(error) and not isinstance(error, Transient):
                    raise Transient(error, asked_wait(error)) from error
                raise
        except Transient as error:
            total = attempts(error.error, time.monotonic() - began)
            if attempt >= total or repeated_by_client(error.error):
                raise _given_up(repo, what, error.error, place) from error
            asked = error.wait if error.wait is not None else 2.0 ** (attempt - 1)
            wait = min(LONGEST_WAIT, asked)
            say_for_all(
                f"{in_short(error.error)}; attempt {attempt + 1} of {total} in {wait:.3g} s"
            )
            time.sleep(wait)
        except BenchError:
            raise
        except Exception as error:
            raise _given_up(repo, what, error, place) from error
    raise AssertionError("the last attempt returns or raises")


def _given_up(repo: Repo, what: str, error: Exception, place: Path | None) -> BenchError:
    said = sentence(repo, what, error, place)
    if isinstance(said, NoHub) and endpoint() not in LISTENER.answered:
        GATE.gone(error)
    return said
