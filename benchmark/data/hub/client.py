"""The hub's own client, with one sentence for everything that can go wrong on the way.

What the client repeats by itself (a cut transfer is continued, a 429 is waited for) is left to it;
what it does not (a 500 on a file, a reset connection) is repeated here. It checks no content: no
file is taken before its size and sha256 are those that the hub lists.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from ...errors import BenchError
from .declare import COMMIT

# Both are read when the client is imported; its ten seconds are too few for a busy hub.
os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "60")
os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", "60")

RepoKind = Literal["dataset", "model"]
RETRIES = 4
LONGEST_WAIT = 60.0
BLOCK = 1 << 20
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Repo:
    """A repository; `command` is what a user repeats when the trouble is over."""

    id: str
    kind: RepoKind
    command: str
    fallbacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class RemoteFile:
    """A file at one revision: path in the repository, bytes, hex sha256 where the hub tells it."""

    path: str
    size: int
    sha256: str | None


class _Transient(Exception):
    """Wraps an error that may pass; `wait` is what the hub asked for, in seconds."""

    def __init__(self, error: Exception, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.wait = error, wait


class _Damaged(Exception):
    """A file that arrived and is not the one that is listed."""


def endpoint() -> str:
    """The hub that is asked."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


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
            f"see {endpoint()}/{_path(repo)}/commits/main, then mend its declaration"
            + _or_fallback(repo),
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
            "mend its declaration" + _or_fallback(repo),
            code=4,
        )
    return sorted(files, key=lambda f: f.path)


def matches(path: str, pattern: str) -> bool:
    """Whether a path matches a glob; a leading `**/` also stands for no folder at all."""
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
        advance: told of the bytes that arrive; negative when some were in vain.

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
        size, sha = path.stat().st_size, _sha256(path)
        wrong = size != file.size and f"{size} bytes instead of {file.size}"
        if file.sha256 is not None and sha != file.sha256:
            wrong = wrong or f"sha256 {sha[:12]}... instead of {file.sha256[:12]}..."
        if wrong:
            _remove(path)
            advance(-file.size)
            raise _Transient(_Damaged(wrong))
        return path, sha

    found: tuple[Path, str] = _ask(repo, file.path, attempt)
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _remove(path: Path) -> None:
    """A damaged file, and in the hub's cache what its link points to."""
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
    """Without the client's own lines about attempts: what is final is told by us."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _limit_silence() -> None:
    """No request of the client waits longer for a silent hub than HF_HUB_DOWNLOAD_TIMEOUT.

    By itself it lists files without any limit, and asks for a file's facts with one of its own.
    """
    from huggingface_hub import constants, get_session

    client: Any = get_session()
    if getattr(client, "_limits_silence", False):
        return

    def limit(request: Any) -> None:
        most = constants.HF_HUB_DOWNLOAD_TIMEOUT
        given = request.extensions.get("timeout") or {}
        kinds = ("connect", "read", "write", "pool")
        limited = {kind: min(most, given.get(kind) or most) for kind in kinds}
        request.extensions["timeout"] = limited

    hooks = client.event_hooks
    client.event_hooks = {**hooks, "request": [*hooks["request"], limit]}
    client._limits_silence = True


def _ask(repo: Repo, what: str, request: Callable[[], Any]) -> Any:
    """Repeats a request while the trouble may pass; one sentence where it does not."""
    for attempt in range(RETRIES + 1):
        try:
            with _quiet():
                try:
                    _limit_silence()
                    return request()
                except Exception as error:
                    if _may_pass(error):
                        raise _Transient(error, _asked_wait(error)) from error
                    raise
        except _Transient as error:
            if attempt == RETRIES or _repeated_by_client(error.error):
                raise _sentence(repo, what, error.error) from error
            wait = error.wait if error.wait is not None else 2.0**attempt
            time.sleep(min(LONGEST_WAIT, wait))
        except BenchError:
            raise
        except Exception as error:
            raise _sentence(repo, what, error) from error
    raise AssertionError("the last attempt returns or raises")


def _repeated_by_client(error: Exception) -> bool:
    """What the client itself has tried six times: more attempts would only be a longer wait."""
    from huggingface_hub import errors

    return (
        isinstance(error, errors.LocalEntryNotFoundError)
        or _status(error) == 429
        or "Timeout" in type(error).__name__
    )


def _status(error: Exception) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _may_pass(error: Exception) -> bool:
    from huggingface_hub import errors

    final = (
        errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError,
        errors.GatedRepoError, errors.OfflineModeIsEnabled, BenchError, _Transient,
    )  # fmt: skip
    if isinstance(error, _Transient):
        return True
    status = _status(error)
    if status is not None:
        return status in (408, 429) or status >= 500
    if isinstance(error, errors.LocalEntryNotFoundError):  # the hub's word for "no answer"
        cause = error.__cause__ or error.__context__
        return isinstance(cause, Exception) and not isinstance(cause, final) and _may_pass(cause)
    if isinstance(error, final):
        return False
    if isinstance(error, OSError) and error.errno is not None:
        return False  # the disk, not the net
    return isinstance(error, OSError) or _from_network(error)


def _from_network(error: Exception) -> bool:
    """Errors of the client's HTTP library, whichever it is (httpx, httpx2, requests)."""
    modules = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
    return bool(modules & {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}) or (
        "Xet" in type(error).__name__
    )


def _asked_wait(error: Exception) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        return float(headers.get("Retry-After", ""))
    except ValueError:
        return None


def _path(repo: Repo) -> str:
    return f"datasets/{repo.id}" if repo.kind == "dataset" else repo.id


def _or_fallback(repo: Repo) -> str:
    return f", or take a copy with --source {repo.fallbacks[0]}" if repo.fallbacks else ""


def offline() -> bool:
    """Whether the user has forbidden the network."""
    from huggingface_hub import constants

    return bool(constants.is_offline_mode())


def _sentence(repo: Repo, what: str, error: Exception) -> BenchError:
    """The one sentence for an error of the hub's client."""
    from huggingface_hub import errors

    if isinstance(error, _Transient):
        error = error.error
    cause = error
    if isinstance(error, errors.LocalEntryNotFoundError):
        inner = error.__cause__ or error.__context__
        cause = inner if isinstance(inner, Exception) else error
    status, again = _status(cause), f"then repeat `{repo.command}`"
    page = f"{endpoint()}/{_path(repo)}"
    expected = f"'{what}' of {repo.id} from {endpoint()}"
    if offline() or isinstance(cause, errors.OfflineModeIsEnabled):
        fix = f"unset HF_HUB_OFFLINE, {again}; or copy the prepared folder of another machine here"
        return BenchError(expected, "HF_HUB_OFFLINE, which forbids the network", fix, 4)
    if isinstance(cause, errors.GatedRepoError) or (
        status == 403 and not isinstance(cause, errors.EntryNotFoundError)
    ):
        got = "a repository behind terms of use (401 or 403)"
        fix = f"accept them at {page}, set HF_TOKEN to your token, {again}{_or_fallback(repo)}"
        return BenchError(expected, got, fix, 4)
    if isinstance(cause, errors.RevisionNotFoundError):
        fix = f"see {page}/commits/main; a new revision is taken with `data lock --relock`"
        return BenchError(expected, "no such revision (404)", fix + _or_fallback(repo), 4)
    if isinstance(cause, errors.RepositoryNotFoundError):
        got = "no such repository, or a private one (401 or 404)"
        fix = f"look at {page}, set HF_TOKEN if it needs one, {again}{_or_fallback(repo)}"
        return BenchError(expected, got, fix, 4)
    if isinstance(cause, errors.EntryNotFoundError):
        fix = f"see {page}{_or_fallback(repo)}"
        return BenchError(expected, "no such file at that revision (404)", fix, 4)
    if status == 429:
        fix = f"set HF_TOKEN, which raises the limit, or wait some minutes, {again}"
        return BenchError(expected, "'too many requests' (429)", fix, 4)
    if status == 401:
        fix = f"set HF_TOKEN to a valid token (or unset a stale one), {again}"
        return BenchError(expected, "'not authorised' (401)", fix, 4)
    if status == 404:
        return BenchError(expected, "'not found' (404)", f"see {page}{_or_fallback(repo)}", 4)
    if status is not None:
        fix = f"wait until the hub is well, or set HF_ENDPOINT to a mirror, {again}"
        return BenchError(expected, f"status {status} again and again", fix, 4)
    return _unanswered(expected, cause, again)


def _unanswered(expected: str, cause: Exception, again: str) -> BenchError:
    """Errors without an answer of the hub: the disk, the net, the transfer."""
    kind = type(cause).__name__
    if isinstance(cause, _Damaged):
        fix = "set HF_ENDPOINT to another mirror or look whether the repository was rewritten"
        return BenchError(expected, f"{cause} again and again", f"{fix}, {again}", 5)
    if isinstance(cause, OSError) and cause.errno is not None and not _from_network(cause):
        reason = cause.strerror or kind
        fix = f"free some space or give --cache-dir another folder, {again}; files that are "
        return BenchError(expected, f"'{reason}'", fix + "done are kept", 6)
    if "Timeout" in kind:
        wait = os.environ.get("HF_HUB_DOWNLOAD_TIMEOUT", "")
        got = f"no data for {wait} s again and again"
        fix = f"raise HF_HUB_DOWNLOAD_TIMEOUT or set HF_ENDPOINT to a mirror, {again}"
        return BenchError(expected, got, fix, 4)
    if "Xet" in kind:
        fix = f"set HF_HUB_DISABLE_XET=1 for plain HTTP, {again}"
        return BenchError(expected, f"'{str(cause).splitlines()[0]}'", fix, 4)
    got = f"{kind} '{(str(cause).splitlines() or [''])[0]}' again and again"
    fix = (
        f"check the network, or set HF_ENDPOINT to a mirror, {again}; files that are done are kept"
    )
    return BenchError(expected, got, fix, 4)
