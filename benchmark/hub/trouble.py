"""What can go wrong when the hub is asked: which errors may pass, and a sentence for each."""

from dataclasses import dataclass
from typing import Literal

from ..errors import BenchError
from .session import DOWNLOAD, patience

RepoKind = Literal["dataset", "model"]


@dataclass(frozen=True)
class Repo:
    """A repository; `command` is what a user repeats when the trouble is over."""

    id: str
    kind: RepoKind
    command: str
    fallbacks: tuple[str, ...] = ()


class Transient(Exception):
    """Wraps an error that may pass; `wait` is what the hub asked for, in seconds."""

    def __init__(self, error: Exception, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.wait = error, wait


class CorruptDownload(Exception):
    """A file that arrived and is not the one that is listed."""


def endpoint() -> str:
    """The hub that is asked."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def repeated_by_client(error: Exception) -> bool:
    """Whether the client itself has tried six times: more attempts would only take longer."""
    from huggingface_hub import errors

    return (
        isinstance(error, errors.LocalEntryNotFoundError)
        or _status(error) == 429
        or "Timeout" in type(error).__name__
    )


def _status(error: Exception) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def may_pass(error: Exception) -> bool:
    """Whether another attempt may succeed."""
    from huggingface_hub import errors

    final = (
        errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError,
        errors.GatedRepoError, errors.OfflineModeIsEnabled, BenchError, Transient,
    )  # fmt: skip
    if isinstance(error, Transient):
        return True
    status = _status(error)
    if status is not None:
        return status in (408, 429) or status >= 500
    if isinstance(error, errors.LocalEntryNotFoundError):  # what the client raises for no answer
        cause = error.__cause__ or error.__context__
        return isinstance(cause, Exception) and not isinstance(cause, final) and may_pass(cause)
    if isinstance(error, final) or _no_address(error):
        return False
    if isinstance(error, OSError) and error.errno is not None:
        return False  # the disk, not the net
    return isinstance(error, OSError) or _from_network(error)


def _no_address(error: Exception) -> bool:
    return type(error).__name__ in ("UnsupportedProtocol", "InvalidURL", "LocalProtocolError")


def _from_network(error: Exception) -> bool:
    """Errors of the client's HTTP library, whichever it is (httpx, httpx2, requests)."""
    modules = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
    return bool(modules & {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}) or (
        "Xet" in type(error).__name__
    )


def asked_wait(error: Exception) -> float | None:
    """Seconds that the hub asks us to wait, if it does."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        return float(headers.get("Retry-After", ""))
    except ValueError:
        return None


def page_path(repo: Repo) -> str:
    """Path of a repository's page below the hub's address."""
    return f"datasets/{repo.id}" if repo.kind == "dataset" else repo.id


def or_fallback(repo: Repo) -> str:
    """The end of a sentence that names a copy of the dataset, where there is one."""
    return f", or take a copy with --source {repo.fallbacks[0]}" if repo.fallbacks else ""


def offline() -> bool:
    """Whether the user has forbidden the network."""
    from huggingface_hub import constants

    return bool(constants.is_offline_mode())


def sentence(repo: Repo, what: str, error: Exception) -> BenchError:
    """The one sentence for an error of the hub's client."""
    from huggingface_hub import errors

    if isinstance(error, Transient):
        error = error.error
    cause = error
    if isinstance(error, errors.LocalEntryNotFoundError):
        inner = error.__cause__ or error.__context__
        cause = inner if isinstance(inner, Exception) else error
    status, again = _status(cause), f"then repeat `{repo.command}`"
    page = f"{endpoint()}/{page_path(repo)}"
    expected = f"'{what}' of {repo.id} from {endpoint()}"
    if offline() or isinstance(cause, errors.OfflineModeIsEnabled):
        fix = f"unset HF_HUB_OFFLINE, {again}; or copy the cache folder of another machine and "
        fix += "set CL_BENCH_CACHE"
        return BenchError(expected, "HF_HUB_OFFLINE, which forbids the network", fix, 4)
    if isinstance(cause, errors.GatedRepoError) or (
        status == 403 and not isinstance(cause, errors.EntryNotFoundError)
    ):
        got = "a repository behind terms of use (401 or 403)"
        fix = f"accept them at {page}, set HF_TOKEN to your token, {again}{or_fallback(repo)}"
        return BenchError(expected, got, fix, 4)
    if isinstance(cause, errors.RevisionNotFoundError):
        fix = f"see {page}/commits/main; `cl-bench data lock NAME --relock` takes a new revision"
        return BenchError(expected, "no such revision (404)", fix + or_fallback(repo), 4)
    if isinstance(cause, errors.RepositoryNotFoundError):
        got = "no such repository, or a private one (401 or 404)"
        fix = f"look at {page}, set HF_TOKEN if it needs one, {again}{or_fallback(repo)}"
        return BenchError(expected, got, fix, 4)
    if isinstance(cause, errors.EntryNotFoundError):
        fix = f"see {page}{or_fallback(repo)}"
        return BenchError(expected, "no such file at that revision (404)", fix, 4)
    if status == 429:
        fix = f"set HF_TOKEN, which raises the limit, or wait some minutes, {again}"
        return BenchError(expected, "'too many requests' (429)", fix, 4)
    if status == 401:
        fix = f"set HF_TOKEN to a valid token (or unset a stale one), {again}"
        return BenchError(expected, "'not authorised' (401)", fix, 4)
    if status == 404:
        return BenchError(expected, "'not found' (404)", f"see {page}{or_fallback(repo)}", 4)
    if status is not None:
        fix = f"wait until the hub is well, or set HF_ENDPOINT to a mirror, {again}"
        return BenchError(expected, f"status {status} again and again", fix, 4)
    return _unanswered(expected, cause, again)


def _unanswered(expected: str, cause: Exception, again: str) -> BenchError:
    """The sentence where the hub did not answer: an error of the disk, the network, a transfer."""
    kind = type(cause).__name__
    if _no_address(cause):
        fix = "set HF_ENDPOINT to the hub's address with https:// in front, or unset it"
        return BenchError(expected, f"'{cause}'", f"{fix}, {again}", 4)
    if isinstance(cause, CorruptDownload):
        fix = "set HF_ENDPOINT to another mirror or look whether the repository was rewritten"
        return BenchError(expected, f"{cause} again and again", f"{fix}, {again}", 5)
    if isinstance(cause, OSError) and cause.errno is not None and not _from_network(cause):
        reason = cause.strerror or kind
        fix = f"free some space or give --cache-dir another folder, {again}; files that are "
        return BenchError(expected, f"'{reason}'", fix + "done are kept", 6)
    if "Timeout" in kind:
        got = f"no data for {patience(DOWNLOAD):g} s again and again"
        fix = f"raise {DOWNLOAD} or set HF_ENDPOINT to a mirror, {again}"
        return BenchError(expected, got, fix, 4)
    if "Xet" in kind:
        fix = f"set HF_HUB_DISABLE_XET=1 for plain HTTP, {again}"
        return BenchError(expected, f"'{str(cause).splitlines()[0]}'", fix, 4)
    got = f"{kind} '{(str(cause).splitlines() or [''])[0]}' again and again"
    fix = (
        f"check the network, or set HF_ENDPOINT to a mirror, {again}; files that are done are kept"
    )
    return BenchError(expected, got, fix, 4)
