"""Pretrained weights and the files beside them: resolved, pinned and verified as data are."""

from dataclasses import replace
from pathlib import Path

from ..common.files import file_sha256, weights_file
from ..errors import BenchError
from . import lock
from .client import RemoteFile, fetch, in_cache, listing, resolve
from .lock import Entry
from .trouble import Repo, offline

# The names under which open_clip's models are published, the preferred one first.
DEFAULT = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
TRANSFORMERS = "model.safetensors"  # of transformers' models, or else the second
KNOWN = {"": DEFAULT, TRANSFORMERS: (TRANSFORMERS, "pytorch_model.bin")}


def weights_key(repo: str, file: str) -> str:
    """Key of the lock entry of some weights."""
    return f"weights {repo}" + (f"/{file}" if file else "")


def _repo(repo_id: str, command: str) -> Repo:
    """A model's repository; the last word of a command about it is its MODEL/TAG."""
    relock = f"cl-bench data lock {command.rpartition(' ')[2]} --relock"
    return Repo(repo_id, "model", command, relock=relock)


def hub_weights(repo_id: str, file: str, command: str) -> tuple[Path, str]:
    """A weights file in the hub's cache, fetched where it is not there, and verified.

    The first use pins commit and sha256 in the lock file; another file is an error from then on.

    Args:
        repo_id: "owner/name".
        file: its name, "" for open_clip's default names, `TRANSFORMERS` for transformers'.
        command: what a user repeats after trouble.

    Returns:
        The path, and "owner/name@commit/file".

    Raises:
        BenchError: it cannot be had, or is another one than the lock has.
    """
    repo, path = _repo(repo_id, command), lock.lock_path()
    key = weights_key(repo_id, file)
    known = lock.read(path).get(key)
    cached = _cached_head(repo, _candidates(file)) if offline() else None
    if (known is None or known.files is None) and cached is not None:
        commit, remote = cached
    else:
        entry = pin(repo_id, file, command)
        assert entry.revision is not None, "pinned"
        commit, remote = entry.revision, (entry.files or ())[0]
    local = in_cache(repo, commit, remote)
    got, sha = fetch(repo, commit, remote, None) if local is None else (local, None)
    if sha is None:
        sha = file_sha256(got)
        if remote.sha256 is not None and sha != remote.sha256:
            got.resolve().unlink(missing_ok=True)
            got.unlink(missing_ok=True)
            if offline():
                raise BenchError(
                    f"{remote.path} of {repo_id} with sha256 {remote.sha256[:12]}...",
                    f"{sha[:12]}... in the hub's cache, which was removed",
                    f"unset HF_HUB_OFFLINE and repeat `{command}`",
                    code=4,
                )
            got, sha = fetch(repo, commit, remote, None)
    found = Entry(repo_id, "main", commit, (replace(remote, sha256=sha),))
    lock.update(path, key, lambda now: lock.merged(key, now, found, repo.relock))
    return got, f"{repo_id}@{commit}/{remote.path}"


def left_to_fetch(repo_id: str, file: str, command: str) -> int:
    """Bytes of a weights file that is not in the hub's cache, 0 where it is.

    Raises:
        BenchError: as `pin`.
    """
    repo = _repo(repo_id, command)
    if offline() and _cached_head(repo, _candidates(file)) is not None:
        return 0
    entry = pin(repo_id, file, command)
    (remote, *_), commit = entry.files or (), str(entry.revision)
    return 0 if in_cache(repo, commit, remote) is not None else remote.size


def pin(repo_id: str, file: str, command: str, relock: bool = False) -> Entry:
    """Commit and file in the lock file, resolved on the hub where they are not there yet.

    With `relock` they are resolved again, and replaced.

    Raises:
        BenchError: the hub does not answer, or has no such repository or file.
    """
    repo, path, wanted = _repo(repo_id, command), lock.lock_path(), _candidates(file)
    key = weights_key(repo_id, file)
    known = None if relock else lock.read(path).get(key)
    if known is not None and known.revision is not None and known.files:
        return known
    commit = resolve(repo, "main")
    there = {f.path: f for f in listing(repo, commit, wanted)}
    remote = next(there[name] for name in wanted if name in there)
    found = Entry(repo_id, "main", commit, (remote,))
    return lock.update(
        path, key, lambda now: found if relock else lock.merged(key, now, found, repo.relock)
    )


def _candidates(file: str) -> tuple[str, ...]:
    if file in KNOWN:
        return KNOWN[file]
    safe = str(Path(file).with_suffix(".safetensors"))
    return (safe, file) if weights_file(file) and safe != file else (file,)


def _cached_head(repo: Repo, wanted: tuple[str, ...]) -> tuple[str, RemoteFile] | None:
    """Commit and file of what another program left of the main branch in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    for name in wanted:
        found = try_to_load_from_cache(repo.id, name, repo_type=repo.kind)
        if isinstance(found, str):
            path = Path(found)
            commit = path.parents[len(Path(name).parts) - 1].name
            return commit, RemoteFile(name, path.stat().st_size, None)
    return None
