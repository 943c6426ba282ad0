"""Tables of a user's suite that are on the hub: pinned beside the suite file, read from the cache.

The first run finds out which commit a revision is and which files a table is, and notes both with
their digests in a lock file. From then on nothing is asked of the hub, and whatever differs from
the lock file is refused. Files lie in the hub's own cache, where other programs find them too.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ...common.checked import checked_sha256
from ...common.locks import held
from ...common.report import Advance
from ...errors import BenchError
from ...hub import lock
from ...hub.client import RemoteFile, fetch, in_cache, resolve
from ...hub.lock import Entry
from ...hub.partial import NoParts, RemoteFileParts, Traffic
from ...hub.session import say
from ...hub.trouble import Repo, offline
from .files import OwnFiles, of_hub
from .pinning import OnHub, contradiction, resolved, sized
from .row import ColumnNames
from .rows import check_footer

AT_ONCE = 100_000_000  # bytes that a run may fetch without being asked to
Say = Callable[[str], None]
PLACE = "copy the suite file and its lock file, if any, to a folder that can be written"


@dataclass(frozen=True)
class Pinned:
    """A table and what the lock file has of it.

    Attributes:
        table: as declared. commit: 40 hex digits.
        files: in the order that their rows are read.
    """

    table: OnHub
    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def origin(self) -> str:
        """Repository and commit."""
        return f"{self.table.repo}@{self.commit}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def cached(self, file: RemoteFile) -> Path | None:
        """The file in the hub's cache, whatever it holds."""
        return in_cache(Repo(self.table.repo, "dataset", ""), self.commit, file)

    def path(self, file: RemoteFile) -> Path:
        """The same of a file that has been fetched."""
        if (path := self.cached(file)) is None:
            fix = "repeat the command, and let nobody clear the cache meanwhile"
            raise BenchError(f"{file.path} of {self.origin} in the hub's cache", "no file", fix, 4)
        return path

    def left(self) -> Iterator[tuple[RemoteFile, Path | None]]:
        """Files that are not in the cache, or with other bytes: then with their path."""
        for file in self.files:
            path = self.cached(file)
            if path is None or not _same(file, path):
                yield file, path


def _same(file: RemoteFile, path: Path) -> bool:
    """Whether a file is what is listed for it; small ones may be listed without a digest."""
    return path.stat().st_size == file.size and file.sha256 in (None, checked_sha256(path))


Left = dict[tuple[str, str, RemoteFile], Path | None]
"""Repository, commit and file -> where a damaged one is, None where there is none."""


class HubPins:
    """What the tables of one suite file are on the hub.

    Args:
        file: the suite file, as the user gave it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.tables: list[OnHub] = []
        self._columns: dict[str, ColumnNames] = {}
        self._ready: dict[str, Pinned] | None = None

    def table(self, declared: OnHub, columns: ColumnNames) -> "HubTable":
        """One more table, of which some columns are read."""
        self.tables.append(declared)
        self._columns[declared.key] = columns
        return HubTable(declared, self)

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.file.with_name(f"{self.file.stem}.lock.json")

    def command(self, verb: str, option: str = "") -> str:
        """A command of `cl-bench data` for this suite."""
        return f"cl-bench data {verb} {shlex.quote(str(self.file))}{option}"

    def hub(self, repo: str, pinned: bool = True) -> Repo:
        """A repository, for the client."""
        relock = self.command("lock", " --relock") if pinned else ""
        return Repo(repo, "dataset", self.command("prepare"), (), relock)

    # -- what is pinned

    def plan(self, relock: bool = False, tell: Say = say) -> list[Pinned]:
        """Every table as the lock file has it; what it does not have yet is resolved and noted.

        Args:
            relock: forget what the lock file has.
            tell: hears of what is pinned now.

        Raises:
            BenchError: the suite file says something else than the lock file, the hub does not
                answer, or there are no such files.
        """
        entries = {} if relock else self._entries()
        missing = [table.key for table in self.tables if table.key not in entries]
        if missing and offline():
            raise self._offline(f"what '{missing[0]}' is on the hub, in {self.lock}", "no entry")
        if missing:
            guard = self.lock.with_name(f".{self.lock.name}.lock")
            with held(guard, lambda: say(f"another process pins {self.file}; waiting"), PLACE):
                known = {} if relock else self._entries()
                hub = partial(self.hub, pinned=False)
                entries = resolved(self.tables, known, hub, tell)
                tell(f"{self.file.name}: pinned in {self.lock}, which belongs to it")
                lock.write(self.lock, {**({} if relock else lock.read(self.lock)), **entries})
        return self._pinned(entries)

    def pinned(self) -> list[Pinned]:
        """The tables that the lock file has; raises as `plan` where it contradicts the suite."""
        return self._pinned(self._entries())

    def _pinned(self, entries: Mapping[str, Entry]) -> list[Pinned]:
        return [
            Pinned(table, str(entry.revision), entry.files or ())
            for table in self.tables
            if (entry := entries.get(table.key)) is not None
        ]

    def moved(self) -> list[str]:
        """Where a revision is another commit by now than is pinned; one line for each.

        Raises:
            BenchError: the hub does not answer.
        """
        pinned = {(p.table.repo, p.table.revision): p.commit for p in self.plan()}
        now = {key: resolve(self.hub(key[0]), key[1]) for key in pinned}
        return [
            f"{repo}: {revision} is {now[repo, revision][:12]} by now; {commit[:12]} is pinned and "
            f"read, until `{self.command('lock', ' --relock')}`"
            for (repo, revision), commit in pinned.items()
            if now[repo, revision] != commit
        ]

    def _entries(self) -> dict[str, Entry]:
        """The entries of the tables, none of which contradicts the suite file."""
        known = lock.read(self.lock)
        found = {t.key: known[t.key] for t in self.tables if t.key in known}
        for table in self.tables:
            if table.key not in found:
                continue
            if (got := contradiction(table, found[table.key])) is not None:
                raise BenchError(
                    f"'{table.key}' of {self.file.name} as it is pinned in {self.lock.name}",
                    got,
                    f"undo the change; or remove '{table.key}' from {self.lock.name} to pin it "
                    f"anew, or all with `{self.command('lock', ' --relock')}`, and raise `version`,"
                    " as its records cannot be compared with earlier ones",
                    code=5,
                )
        return found

    # -- what is there

    def look(self, pinned: Iterable[Pinned]) -> None:
        """Compare the columns of tables that are not there yet, by a few kilobytes of each.

        Raises:
            BenchError: the first file of one has not the columns that the suite file names.
        """
        for each in pinned:
            file, repo = each.files[0], each.table.repo
            if each.cached(file) is not None or not file.path.endswith(".parquet"):
                continue
            opened: Any = RemoteFileParts(self.hub(repo), each.commit, file, Traffic())
            try:
                check_footer(repo, file.path, opened, self._columns[each.table.key])
            except NoParts:
                return  # the hub sends files as a whole only

    def ready(self) -> dict[str, Pinned]:
        """Every table by its key, with all its files in the cache as the lock file has them.

        Raises:
            BenchError: they are not, and are too large to be fetched without being asked to.
        """
        if self._ready is None:
            pinned = self.plan()
            left = self.left(pinned)
            size = sum(file.size for _, _, file in left)
            if left and not offline() and size > AT_ONCE:
                raise BenchError(
                    f"the files of {self.file.name} in the hub's cache",
                    f"{len(left)} files, {sized(size)}, that are not there yet",
                    f"run `{self.command('prepare')}`",
                    code=4,
                )
            if left:
                say(f"{self.file.name}: {len(left)} files, {sized(size)}, from the hub")
            self._ready = {p.table.key: p for p in self.fetch(pinned, left)}
        return self._ready

    def left(self, pinned: Iterable[Pinned]) -> Left:
        """What is to be fetched; every byte of what is there is compared."""
        return {
            (each.table.repo, each.commit, file): path
            for each in pinned for file, path in each.left()
        }  # fmt: skip

    def fetch(
        self, pinned: Iterable[Pinned], left: Left, advance: Advance = lambda _: None
    ) -> list[Pinned]:
        """Fetch what is left; digests that the hub does not tell are noted in the lock file.

        Raises:
            BenchError: it cannot be had.
        """
        if left and offline():
            (repo, commit, file), path = next(iter(left.items()))
            got = "no file" if path is None else f"{path} with other bytes"
            raise self._offline(f"{file.path} of {repo}@{commit[:12]} in the hub's cache", got)
        for (repo, commit, file), path in left.items():
            if path is not None:
                say(f"{path} is damaged; it is fetched again")
                path.resolve().unlink(missing_ok=True)
                path.unlink(missing_ok=True)
            fetch(self.hub(repo), commit, file, None, advance)
        return [self._noted(each) for each in pinned]

    def _noted(self, pinned: Pinned) -> Pinned:
        """The same with a digest of every file."""
        if all(file.sha256 is not None for file in pinned.files):
            return pinned
        whole = tuple(
            file if file.sha256 is not None
            else replace(file, sha256=checked_sha256(pinned.path(file)))
            for file in pinned.files
        )  # fmt: skip
        table = pinned.table
        entry = Entry(table.repo, table.declared, pinned.commit, whole)
        lock.update(self.lock, table.key, lambda _: entry)
        return replace(pinned, files=whole)

    def _offline(self, expected: str, got: str) -> BenchError:
        fix = f"unset HF_HUB_OFFLINE, then run `{self.command('prepare')}`; or set HF_HOME to a "
        fix += f"copy of another machine's, and put its {self.lock.name} beside the suite file"
        return BenchError(expected, f"{got}, and HF_HUB_OFFLINE, which forbids the network", fix, 4)


@dataclass(frozen=True)
class HubTable:
    """One table of a dataset on the hub, among all of its suite."""

    declared: OnHub
    pins: HubPins

    def find(self) -> OwnFiles:
        """Its files in the cache; those of the whole suite are fetched first, where they are small.

        Raises:
            BenchError: they are not what the lock file has, or not there and not small.
        """
        pinned = self.pins.ready()[self.declared.key]
        return of_hub(self.declared.repo, {file.path: pinned.path(file) for file in pinned.files})

    def origin(self) -> str:
        """Where its files are from, as "owner/name@commit"."""
        return self.pins.ready()[self.declared.key].origin
