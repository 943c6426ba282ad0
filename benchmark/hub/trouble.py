"""What can go wrong when the hub is asked: which errors may pass, and a sentence for each."""

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeGuard

from ..errors import BenchError
from .network import BadSetting, NoAnswer, clean, connection_failed, from_network, gives_up, reason
from .session import BUSY, DOWNLOAD, LISTENER, endpoint, library, patience

RepoKind = Literal["dataset", "model"]


@dataclass(frozen=True)
class Repo:
    """A repository.

    Attributes:
        id: "owner/name". kind: of repository.
        command: what a user repeats when the trouble is over.
        fallbacks: copies that `--source` can choose.
        relock: the command that takes another revision of it, '' for none.
    """

    id: str
    kind: RepoKind
    command: str
    fallbacks: tuple[str, ...] = ()
    relock: str = ""


class HubTrouble(BenchError):
    """The hub does not answer, or not well: what was asked for may be right, and work later."""


class NoHub(HubTrouble):
    """No way to the hub at all: whatever else is asked of it would end the same."""


FEW, SOME, MANY = 3, 5, 7  # attempts, with 1, 2, 4 ... seconds between them
ENOUGH = 25.0  # seconds of attempts to reach a hub that may not be there


class Transient(Exception):
    """Wraps an error that may pass; `wait` is what the hub asked for, in seconds."""

    def __init__(self, error: Exception, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.wait = error, wait


class CorruptDownload(Exception):
    """A file that arrived and is not the one that is listed."""


def repeated_by_client(error: Exception) -> bool:
    """Whether the client itself has gone on six times with a file that stops on its way."""
    return "Timeout" in type(error).__name__


def attempts(error: Exception, seconds: float) -> int:
    """How many attempts some trouble is worth: few, where there never was a hub.

    Args:
        error: of the last attempt.
        seconds: since the first.
    """
    if not isinstance(error, NoAnswer):
        return SOME
    if endpoint() in LISTENER.answered:
        return MANY if connection_failed(error) else SOME
    return 1 if connection_failed(error) and seconds > ENOUGH else FEW


def _status(error: Exception) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def may_pass(error: Exception) -> bool:
    """Whether another attempt may succeed."""
    from huggingface_hub import errors

    final = (
        errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError,
        errors.GatedRepoError, errors.OfflineModeIsEnabled, errors.FileMetadataError, BenchError,
    )  # fmt: skip
    if isinstance(error, Transient):
        return True
    status = _status(error)
    if status is not None:
        return status in BUSY or status >= 500
    if isinstance(error, errors.LocalEntryNotFoundError):  # what the client raises for no answer
        cause = error.__cause__ or error.__context__
        return isinstance(cause, Exception) and not isinstance(cause, final) and may_pass(cause)
    if isinstance(error, final) or gives_up(error) or _disk_full(error):
        return False
    if _on_disk(error):
        return False
    return isinstance(error, OSError | NoAnswer) or from_network(error)


def asked_wait(error: Exception) -> float | None:
    """Seconds that the hub asks us to wait, if it does."""
    from huggingface_hub.utils._http import parse_ratelimit_headers

    headers = getattr(getattr(error, "response", None), "headers", {})
    limit = parse_ratelimit_headers(headers) if _status(error) == 429 else None
    if limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds + 1.0
    try:
        return float(headers.get("Retry-After", ""))
    except ValueError:
        return None


def in_short(error: Exception) -> str:
    """What a line about another attempt says of the one that failed."""
    if isinstance(cause := _cause(error), NoAnswer):
        return f"no answer from the hub at {endpoint()} ({reason(cause.error, endpoint())[0]})"
    if (status := _status(cause)) is not None:
        words = " (too many requests; HF_TOKEN raises the limit)" if status == 429 else ""
        return f"the hub at {endpoint()} answers with status {status}{words}"
    return f"a transfer from {endpoint()} failed ({clean(cause)})"


def _cause(error: Exception) -> Exception:
    """The error under those that the client and we wrap it in."""
    from huggingface_hub import errors

    if isinstance(error, Transient):
        error = error.error
    if isinstance(error, errors.LocalEntryNotFoundError):
        inner = error.__cause__ or error.__context__
        return inner if isinstance(inner, Exception) else error
    return error


def page_path(repo: Repo) -> str:
    """Path of a repository's page below the hub's address."""
    return f"datasets/{repo.id}" if repo.kind == "dataset" else repo.id


def or_fallback(repo: Repo) -> str:
    """The end of a sentence that names a copy of the dataset, where there is one."""
    return f", or take a copy with --source {repo.fallbacks[0]}" if repo.fallbacks else ""


def offline() -> bool:
    """Whether the user has forbidden the network."""
    return bool(library().constants.is_offline_mode())


def sentence(repo: Repo, what: str, error: Exception, place: Path | None = None) -> BenchError:
    """The one sentence for an error of the hub's client.

    Args:
        repo: what was asked.
        what: of it, a file or a revision.
        error: as it was raised.
        place: the folder that was written to; None is the hub's own cache.
    """
    from huggingface_hub import errors

    cause = _cause(error)
    status, again = _status(cause), f"then repeat `{repo.command}`"
    page = f"{endpoint()}/{page_path(repo)}"
    expected = f"'{what}' of {repo.id} from {endpoint()}"
    if isinstance(cause, errors.OfflineModeIsEnabled) or (offline() and not _on_disk(cause)):
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
        fix = f"see {page}/commits/main"
        fix += f"; `{repo.relock}` takes a new revision" if repo.relock else ""
        return BenchError(expected, "no such revision (404)", fix + or_fallback(repo), 4)
    if isinstance(cause, errors.RepositoryNotFoundError):
        got = "no such repository, or a private one (401 or 404)"
        fix = f"look at {page}, set HF_TOKEN if it needs one, {again}{or_fallback(repo)}"
        return BenchError(expected, got, fix, 4)
    if isinstance(cause, errors.EntryNotFoundError):
        fix = f"see {page}{or_fallback(repo)}"
        return BenchError(expected, "no such file at that revision (404)", fix, 4)
    if status is not None:
        return _refused(repo, expected, status)
    return _unanswered(expected, cause, again, place)


def _refused(repo: Repo, expected: str, status: int) -> BenchError:
    """The sentence for a status that says no more than its number."""
    again = f"then repeat `{repo.command}`"
    if status == 429:
        fix = f"set HF_TOKEN, which raises the limit, or wait some minutes, {again}"
        return HubTrouble(expected, "'too many requests' (429)", fix, 4)
    if status == 401:
        fix = f"set HF_TOKEN to a valid token (or unset a stale one), {again}"
        return BenchError(expected, "'not authorised' (401)", fix, 4)
    if status == 404:
        fix = f"see {endpoint()}/{page_path(repo)}, or correct HF_ENDPOINT if that is no hub"
        return BenchError(expected, "'not found' (404)", fix + or_fallback(repo), 4)
    if status < 500 and status not in BUSY:
        fix = f"see {endpoint()}/{page_path(repo)}{or_fallback(repo)}"
        return BenchError(expected, f"status {status}, a refusal", fix, 4)
    fix = f"wait until the hub is well, or set HF_ENDPOINT to a mirror, {again}"
    return HubTrouble(expected, f"status {status} again and again", fix, 4)


def _unanswered(expected: str, cause: Exception, again: str, place: Path | None) -> BenchError:
    """The sentence where the hub did not answer: an error of the disk, the network, a transfer."""
    kind = type(cause).__name__
    if isinstance(cause, CorruptDownload):
        fix = "set HF_ENDPOINT to another mirror or look whether the repository was rewritten"
        return BenchError(expected, f"{cause} again and again", f"{fix}, {again}", 5)
    if isinstance(cause, NoAnswer | BadSetting) or gives_up(cause):
        error = cause.error if isinstance(cause, NoAnswer) else cause
        if "Timeout" in type(error).__name__ and not connection_failed(error):
            return _silent(expected, again)
        got, fix = reason(error, endpoint())
        often = "" if gives_up(error) else " again and again"
        return NoHub(expected, got + often, f"{fix}, {again}; files that are done are kept", 4)
    if _on_disk(cause):
        return _disk(expected, cause, again, place)
    if _disk_full(cause):
        return _disk(expected, OSError(errno.ENOSPC, "No space left on device"), again, place)
    if "Timeout" in kind:
        return _silent(expected, again)
    if "Xet" in kind:
        fix = f"set HF_HUB_DISABLE_XET=1 for plain HTTP, {again}"
        return HubTrouble(expected, f"'{clean(cause)}'", fix, 4)
    if kind in ("JSONDecodeError", "DecodingError", "FileMetadataError", "KeyError", "TypeError"):
        fix = "log in to the network where it shows a page of its own, or correct HF_ENDPOINT"
        return NoHub(expected, "an answer that is no hub's, like a web page", f"{fix}, {again}", 4)
    got = f"{kind} '{clean(cause)}' again and again"
    fix = f"check the network, or set HF_ENDPOINT to a mirror, {again}; files that are done are "
    return HubTrouble(expected, got, fix + "kept", 4)


def _silent(expected: str, again: str) -> BenchError:
    got = f"no data for {patience(DOWNLOAD):g} s again and again"
    fix = f"raise {DOWNLOAD} or set HF_ENDPOINT to a mirror, {again}"
    return HubTrouble(expected, got, fix, 4)


def _on_disk(error: Exception) -> TypeGuard[OSError]:
    """Whether the disk refused something, and not the network."""
    return isinstance(error, OSError) and error.errno is not None and not from_network(error)


def _disk_full(error: Exception) -> bool:
    """Whether the client's transfer library, which has no numbers for it, met a full disk."""
    return not isinstance(error, OSError) and "No space left" in str(error)


def _disk(expected: str, error: OSError, again: str, place: Path | None) -> BenchError:
    """The sentence for what the disk refuses, with the folder and the variable that moves it."""
    constants = library().constants
    hub = place is None or str(error.filename or "").startswith(str(constants.HF_HOME))
    folder = Path(constants.HF_HUB_CACHE) if hub else place
    other = "set HF_HOME to another folder" if hub else "give --cache-dir another folder"
    got = f"'{error.strerror or type(error).__name__}' in {error.filename or folder}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        fix = f"make {folder} writable for you, or {other}"
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = f"free some space in {folder}, or {other}"
    elif error.errno in (errno.EMFILE, errno.ENFILE):
        fix = "raise the limit of open files (`ulimit -n`)"
    else:
        fix = f"look at the disk of {folder}, or {other}"
    return BenchError(expected, got, f"{fix}, {again}; files that are done are kept", 6)
