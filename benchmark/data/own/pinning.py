"""Which commit and files the hub's tables of a user's suite are, and whether that is still so."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ...errors import BenchError, quoted
from ...hub.client import COMMIT, RemoteFile, resolve, tree
from ...hub.lock import Entry
from ...hub.partial import Traffic
from ...hub.splits import card_text
from ...hub.trouble import Repo
from .chosen import Wanted, chosen, is_table

UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
PREFIX = re.compile(r"[0-9a-f]{7,40}")  # the revisions that `resolve` takes for commits


@dataclass(frozen=True)
class OnHub:
    """What a suite file says of one table.

    Attributes:
        dataset: its name in the suite. part: "train", "test", or "data" for one that is divided.
        repo: hub id. revision: as declared. wanted: which of its files.
    """

    dataset: str
    part: str
    repo: str
    revision: str
    wanted: Wanted

    @property
    def key(self) -> str:
        """Of its entry in the lock file."""
        return f"{self.dataset}/{self.part}"

    @property
    def declared(self) -> str:
        """All that the suite file says of which files it is."""
        return f"{self.revision}, {self.wanted}"


def contradiction(table: OnHub, entry: Entry) -> str | None:
    """How an entry of the lock file is not one of what the suite file says, in words."""
    commit, files = entry.revision or "", entry.files or ()
    pairs = {"`hub`": (entry.repo, table.repo), "what it names": (entry.declared, table.declared)}
    if PREFIX.fullmatch(table.revision) and not commit.startswith(table.revision):
        pairs["`revision`"] = (commit, table.revision)
    for name, (was, now) in pairs.items():
        if was != now:
            return f"{name}, which was {quoted(was, 200)} and is {quoted(now, 200)} now"
    outside = [f for f in files if f.path.startswith("/") or ".." in PurePosixPath(f.path).parts]
    tables = all(is_table(file.path) for file in files)
    if not COMMIT.fullmatch(commit) or not files or outside or not tables:
        return "an entry that the program does not write"
    return None


def sized(nbytes: int) -> str:
    """A size as a person reads it."""
    unit, name = next(((u, n) for u, n in UNITS if nbytes >= u), UNITS[-1])
    return f"{nbytes / unit:.3g} {name}"


def resolved(
    tables: Sequence[OnHub],
    known: Mapping[str, Entry],
    hub: Callable[[str], Repo],
    tell: Callable[[str], None],
) -> dict[str, Entry]:
    """The entries of all tables; those of one repository and revision have one commit.

    Args:
        tables: of one suite.
        known: what the lock file has of them.
        hub: hub id -> the repository, for the client.
        tell: hears what was resolved.

    Raises:
        BenchError: the hub does not answer; no such revision, split or files; a dataset whose
            training and test files are the same.
    """
    commits = {(t.repo, t.revision): str(known[t.key].revision) for t in tables if t.key in known}
    trees: dict[tuple[str, str], tuple[list[RemoteFile], str]] = {}
    found = dict(known)
    for table in tables:
        if table.key in found:
            continue
        at = (table.repo, table.revision)
        if at not in commits:
            commits[at] = resolve(hub(table.repo), table.revision)
        if at not in trees:
            there = tree(hub(table.repo), commits[at])
            trees[at] = there, card_text(hub(table.repo), commits[at], there, Traffic())
        files = _files(table, tables, *trees[at])
        found[table.key] = Entry(table.repo, table.declared, commits[at], files)
        size, origin = sum(file.size for file in files), f"{table.repo}@{commits[at]}"
        tell(f"{table.key} is {origin}, {table.wanted}: {len(files)} files, {sized(size)}")
    _check_apart(tables, found)
    return found


def _files(
    table: OnHub, tables: Sequence[OnHub], there: Sequence[RemoteFile], card: str
) -> tuple[RemoteFile, ...]:
    of = [other.part for other in tables if other.dataset == table.dataset]
    by_path = {file.path: file for file in there}
    paths = chosen(
        table.repo, table.revision, table.wanted, card, list(by_path), alone=of == ["test"]
    )
    return tuple(by_path[path] for path in paths)


def _check_apart(tables: Sequence[OnHub], entries: Mapping[str, Entry]) -> None:
    for name in dict.fromkeys(table.dataset for table in tables):
        train, test = (entries.get(f"{name}/{part}") for part in ("train", "test"))
        if train is None or test is None or train.repo != test.repo:
            continue
        both = {f.path for f in train.files or ()} & {f.path for f in test.files or ()}
        if both:
            raise BenchError(
                f"separate files for training and test of '{name}'",
                f"'{min(both)}' for both",
                "name two splits, or divide one with a `split`",
            )
