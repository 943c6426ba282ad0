"""What a preparation will do: source, revision, files, and where it goes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ....errors import BenchError
from ....hub import lock
from ....hub.client import COMMIT, RemoteFile, resolve
from ....hub.lock import Entry
from ....hub.partial import Traffic
from ....hub.trouble import Repo
from ..declare import Declaration, Folder, Shots, Source
from ..intact import damaged_files
from ..shots import raw_folder
from ..store import FileNote, Store, folder_of, read_note, read_store, source_name
from .files import card_parts, declared_parts, find_files
from .given import listed

NEAR = 0.05  # of a count that no source confirms


@dataclass(frozen=True)
class Job:
    """One dataset to prepare.

    Attributes:
        declared: the dataset. source: which of its sources. side: of the images, in pixels.
        root: the cache folder. given: folder of files that the user gives, for `Folder` sources.
        keep_raw: keep what was downloaded. command: what the user repeats after trouble.
        crops: the draws of shots that are trained on by random crops, see `published.shots`.
    """

    declared: Declaration
    source: Source | Folder
    side: int
    root: Path
    given: Path | None = None
    keep_raw: bool = False
    command: str = "cl-bench data prepare"
    crops: tuple[Shots, ...] = ()

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
        relock = lock.relock_command(self.key)
        return Repo(source_name(self.source), "dataset", self.command, names, relock)


@dataclass(frozen=True)
class Planned:
    """A job with its revision and files, and what of it is done.

    Attributes:
        commit: 40 hex digits. files: those of the wanted parts. folder: of the store, whole or
            not. entry: of the lock file.
        parts: path of a file -> its part, '' where a column says it.
        traffic: what has been asked for it and got, beside what the client lists.
    """

    job: Job
    commit: str
    files: tuple[RemoteFile, ...]
    folder: Path
    entry: Entry
    parts: Mapping[str, str] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic, compare=False)

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
        return raw_folder(self.folder)


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
    source, path, traffic = job.source, lock.lock_path(), Traffic()
    parts: Mapping[str, str] | None = None
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
            files, parts = find_files(job.repo, commit, source, traffic)
        found = replace(fresh, revision=commit, files=files)
    entry = lock.update(
        path, job.key, lambda now: found if relock else lock.merged(job.key, now, found)
    )
    commit, files = str(entry.revision), entry.files or ()
    folder = folder_of(job.root, job.declared, source, commit, job.side)
    planned = Planned(job, commit, files, folder, entry, parts or {}, traffic)
    if isinstance(source, Source) and parts is None and planned.whole is None:
        parts = declared_parts(source, files)
        if parts is None:  # the files of a repository whose README alone says what they are
            parts = card_parts(job.repo, commit, source, files, traffic)
        planned = replace(planned, parts=parts)
    return planned


def row_differences(
    planned: Planned, count: Mapping[str, int]
) -> tuple[list[BenchError], list[str]]:
    """Where there are other rows than the lock has, or than are declared.

    Args:
        planned: the dataset.
        count: rows of the parts that are counted; of '' those of all parts together, among which
            may be others.

    Returns:
        The error, and what is taken although it is another number: one that is near to a
        declaration that is not sure.
    """
    source, locked = planned.job.source, planned.entry.rows
    expected = dict(locked) if locked is not None else dict(source.rows)
    slack = NEAR if locked is None and "rows" in source.unsure else 0.0
    wrong: list[str] = []
    near: list[str] = []
    for part, n in expected.items():
        found = count.get(part, n)
        if found != n:
            said = f"{found} rows of part '{part}' instead of {n}"
            (near if abs(found - n) <= slack * n else wrong).append(said)
    if "" in count and count[""] < (1 - slack) * sum(expected.values()):
        wrong.append(f"{count['']} rows of all parts instead of {sum(expected.values())}")
    title = planned.job.declared.title
    unsure = "which is declared without certainty; noted in the lock"
    said_near = [f"{title}: {said}, {unsure}" for said in near]
    if not wrong:
        return [], said_near
    error = BenchError(
        f"the rows of {source_name(source)} that "
        + ("the lock file has" if locked is not None else "are declared"),
        "; ".join(wrong),
        f"find out what changed; `{lock.relock_command(planned.job.key)}` forgets what the "
        "lock file has, and a declaration is mended in benchmark/data/catalog",
        code=5,
    )
    return [error], said_near
