"""What a preparation will do: source, revision, files, and where it goes."""

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ....errors import BenchError
from ....hub import lock
from ....hub.client import COMMIT, RemoteFile, listing, matches, resolve
from ....hub.lock import Entry
from ....hub.trouble import Repo
from ..declare import Declaration, Folder, Source
from ..intact import damaged_files
from ..store import FileNote, Store, folder_of, read_note, read_store, source_name
from .given import listed


@dataclass(frozen=True)
class Job:
    """One dataset to prepare.

    Attributes:
        declared: the dataset. source: which of its sources. side: of the images, in pixels.
        root: the cache folder. given: folder of files that the user gives, for `Folder` sources.
        keep_raw: keep what was downloaded. command: what the user repeats after trouble.
    """

    declared: Declaration
    source: Source | Folder
    side: int
    root: Path
    given: Path | None = None
    keep_raw: bool = False
    command: str = "cl-bench data prepare"

    @property
    def key(self) -> str:
        """Of the lock entry."""
        name = self.declared.name
        if self.source is self.declared.source:
            return name
        return f"{name}@{source_name(self.source)}"

    @property
    def repo(self) -> Repo:
        """The repository, for a source on the hub."""
        names = tuple(f.repo for f in self.declared.fallbacks if f is not self.source)
        return Repo(source_name(self.source), "dataset", self.command, names)


@dataclass(frozen=True)
class Planned:
    """A job with its revision and files, and what of it is done.

    Attributes:
        commit: 40 hex digits. files: those of the wanted parts. folder: of the store, whole or
            not. entry: of the lock file.
    """

    job: Job
    commit: str
    files: tuple[RemoteFile, ...]
    folder: Path
    entry: Entry

    @property
    def whole(self) -> Store | None:
        """The store, once it is whole, every byte as it was written."""
        store = read_store(self.folder)
        if store is None or any(damaged_files(self.folder, store.notes)):
            return None
        return store

    def notes(self) -> list[FileNote | None]:
        """One per source file; None for those to be done, or to be done again."""
        return [self._note(i, file) for i, file in enumerate(self.files)]

    def _note(self, index: int, file: RemoteFile) -> FileNote | None:
        note = read_note(self.folder, index, file.path, self.job.side)
        if note is None or note.index != index or file.sha256 not in (None, note.sha256["file"]):
            return None
        return None if any(damaged_files(self.folder, [note])) else note

    @property
    def guard(self) -> Path:
        """File of the lock that who writes the dataset holds."""
        return guard_of(self.job.root, self.job.declared.name)

    @property
    def raw(self) -> Path:
        """Folder of the downloads."""
        return self.job.root / "raw" / self.job.declared.name / self.folder.name.rpartition("-")[0]


def guard_of(root: Path, name: str) -> Path:
    """File of the lock of a dataset: for all its sources and sides, and for its removal."""
    return root / "locks" / f"{name}.lock"


def plan(job: Job, relock: bool = False) -> Planned:
    """Resolve revision and files, from the lock file or else from the hub; the lock is completed.

    Args:
        job: the dataset.
        relock: resolve on the hub whatever the lock file says, and then replace its entry.

    Raises:
        BenchError: the hub does not answer, or it says something else than the lock.
    """
    source, path = job.source, lock.lock_path()
    known = None if relock else lock.read(path).get(job.key)
    if isinstance(source, Folder):
        file = listed(job.declared, source, job.given, job.command)
        found = Entry(source_name(source), "given", file.sha256, (file,))
    else:
        exact = source.revision if COMMIT.fullmatch(source.revision) else None
        fresh = Entry(source.repo, source.revision, exact)
        # Before anything is asked: another repository or revision.
        lock.merged(job.key, known, fresh)
        commit = (known.revision if known else None) or resolve(job.repo, source.revision)
        files = known.files if known else None
        if files is None:
            every = tuple(dict.fromkeys(p for ps in source.parts.values() for p in ps))
            files = tuple(listing(job.repo, commit, every))
            _check_folders(source, files)
        found = replace(fresh, revision=commit, files=files)
    entry = lock.update(
        path, job.key, lambda now: found if relock else lock.merged(job.key, now, found)
    )
    commit, files = str(entry.revision), entry.files or ()
    folder = folder_of(job.root, job.declared, source, commit, job.side)
    return Planned(job, commit, files, folder, entry)


def _check_folders(source: Source, files: tuple[RemoteFile, ...]) -> None:
    """A part whose files lie in two folders is two configurations of one dataset, read twice."""
    for part, patterns in source.parts.items():
        mine = [f.path for f in files if any(matches(f.path, p) for p in patterns)]
        folders = sorted({str(PurePosixPath(path).parent) for path in mine})
        if len(folders) != 1:
            raise BenchError(
                f"the files of part '{part}' of {source.repo} in one folder",
                ", ".join(folders) or "none",
                "mend the patterns of its declaration",
                code=5,
            )
