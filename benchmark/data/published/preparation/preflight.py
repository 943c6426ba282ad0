"""Whether files are what is declared, from a few kilobytes of each, before gigabytes are fetched.

A parquet file says at its end which columns and rows it has, a tar at its beginning what its first
sample consists of. Everything that does not fit is found for all sets at once.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from ....common.report import Report
from ....errors import BenchError
from ....hub import lock
from ....hub.client import RemoteFile
from ....hub.lock import Entry
from ....hub.splits import card_text, class_names_in
from ....hub.trouble import HubTrouble, offline
from ...files.stream import TAR_ENDINGS
from ...split_rules import shown
from ..classes import different, match_classes
from ..declare import Folder, Source
from .ahead import together
from .look import Look, look_at
from .plan import Planned, row_differences

THREADS = 16  # that wait for a hub far away
MOST = 512  # files of a set that are all looked at; of more, the first and the last of each part


@dataclass(frozen=True)
class Seen:
    """What is known of one set.

    Attributes:
        planned: with its lock entry, completed by what was seen.
        rows: per part, where all its files say so.
        troubles: what does not fit. notes: what was not looked at, or is not sure.
    """

    planned: Planned
    rows: dict[str, int]
    troubles: tuple[BenchError, ...]
    notes: tuple[str, ...]


def preflight(planned: Sequence[Planned], report: Report, anew: bool = False) -> list[Seen]:
    """Look at the files of some sets, all at the same time; the lock file notes what they say.

    Whole sets, given files and files that are prepared are not looked at; those on this machine
    are, without the network.

    Args:
        planned: the sets.
        report: hears how far it is.
        anew: the present state is taken: other rows than are declared are said, and not noted.

    Raises:
        NoHub: there is no way to the hub.
    """
    todo = [(each, file) for each in planned for file in _wanted(each)]
    looks: dict[int, list[Look]] = {id(each): [] for each in planned}
    found = together(todo, lambda both: look_at(*both), THREADS)
    with closing(found), report.bars(("looking at the files", len(todo), "files")) as (advance,):
        for (each, _), look in zip(todo, found, strict=True):
            looks[id(each)].append(look.result())
            advance(1)
    return [_judged(each, looks[id(each)], anew) for each in planned]


def _wanted(planned: Planned) -> list[RemoteFile]:
    """The files that are looked at."""
    if isinstance(planned.job.source, Folder) or planned.whole is not None:
        return []
    left = [f for f, note in zip(planned.files, planned.notes(), strict=True) if note is None]
    parts: dict[str, list[RemoteFile]] = {}
    for file in left:
        parts.setdefault(planned.parts[file.path], []).append(file)
    ends = [file for of in parts.values() for file in dict.fromkeys((of[0], of[-1]))]
    tars = {file for of in parts.values() for file in of[:1] if file.path.endswith(TAR_ENDINGS)}
    tables = [file for file in left if not file.path.endswith(TAR_ENDINGS)]
    return [f for f in left if f in tars] + (
        tables if len(tables) <= MOST else [f for f in ends if f in set(tables)]
    )


def _judged(planned: Planned, looks: Sequence[Look], anew: bool) -> Seen:
    source = planned.job.source
    troubles = list(_once(looks))
    notes = list(dict.fromkeys(look.note for look in looks if look.note))
    columns = Counter(look.columns for look in looks if look.columns is not None)
    if len(columns) > 1:
        other = next(look for look in looks if look.columns == columns.most_common()[-1][0])
        common = dict(columns.most_common()[0][0] or ())
        got = f"{dict(other.columns or ())}"
        troubles.append(different(other.file, f"the columns {common} of the other files", got))
    if isinstance(source, Source):
        troubles += _missing(planned, looks)
    tables = [look for look in looks if look.columns and not look.file.endswith(TAR_ENDINGS)]
    if bare := [look for look in tables if look.bare]:
        if len(bare) < len(tables):
            got = "numbers alone"
            troubles.append(different(bare[0].file, "class names, as other files have them", got))
        elif (error := _named_in_card(planned, dict(bare[0].columns or ())["value"])) is not None:
            troubles.append(error)
        else:
            notes.append(
                f"the labels of {planned.job.repo.id} are numbers without names; they are read in "
                f"the order of catalog/classes/{planned.job.declared.classes}.csv"
            )
    rows = _rows(planned, looks)
    wrong, near = row_differences(planned, rows)
    if anew:
        notes += [f"{error.got}, which `data prepare` will refuse: {error.fix}" for error in wrong]
    else:
        troubles += wrong
    seen = Seen(planned, rows, tuple(troubles), (*notes, *near))
    if troubles or not looks:
        return seen
    taken = dict(next(iter(columns))) if columns else None
    whole = rows if rows.keys() >= source.rows.keys() and not wrong else None
    found = Entry(planned.entry.repo, planned.entry.declared, columns=taken or None, rows=whole)
    try:
        entry = lock.update(
            lock.lock_path(), planned.job.key, lambda now: lock.merged(planned.job.key, now, found)
        )
    except BenchError as error:
        return replace(seen, troubles=(error,))
    return replace(seen, planned=replace(planned, entry=entry))


def _named_in_card(planned: Planned, column: str) -> BenchError | None:
    """Why numbers without names cannot be those of the class table: the README says otherwise."""
    if offline():
        return None
    repo, classes = planned.job.repo, str(planned.job.declared.classes)
    try:
        card = card_text(repo, planned.commit, None, planned.traffic)
        names = class_names_in(card, column)
        places = None if names is None else match_classes(names, classes, f"{repo.id}/README.md")
    except BenchError as error:
        return error
    if places is None or places == list(range(len(places))):
        return None
    got = "another one, while the files have numbers alone"
    return different(f"{repo.id}/README.md", f"the order of the classes of '{classes}'", got)


def _once(looks: Iterable[Look]) -> Iterator[BenchError]:
    """The troubles of the files; what many have in common is said once."""
    same: dict[tuple[str, str], list[tuple[str, BenchError]]] = {}
    for look in looks:
        if (error := look.trouble) is not None:
            key = error.expected.replace(look.file, ""), error.got
            same.setdefault(key, []).append((look.file, error))
    for found in same.values():
        file, error = found[0]
        more = f"{file} and {len(found) - 1} more files" if len(found) > 1 else file
        expected = error.expected.replace(file, more)
        kind = HubTrouble if isinstance(error, HubTrouble) else BenchError
        yield kind(expected, error.got, error.fix, error.code)


def _missing(planned: Planned, looks: Sequence[Look]) -> Iterator[BenchError]:
    """Values of the columns of part and group that no file has."""
    known = [look for look in looks if look.columns is not None]
    if len(known) < len(planned.files) or not known:
        return
    for column, value in sorted(frozenset.intersection(*(look.missing for look in known))):
        where = f"{planned.job.repo.id} ({shown([look.file for look in known], 2)})"
        got = f"none in {len(known)} files"
        yield different(where, f"rows with '{value}' in column '{column}'", got)


def _rows(planned: Planned, looks: Sequence[Look]) -> dict[str, int]:
    """Rows per part, for parts of which all files say how many they have; '' for all parts."""
    counted = {look.file: look.rows for look in looks}
    for file, note in zip(planned.files, planned.notes(), strict=True):
        if note is not None:
            counted[file.path] = note.total
    found: dict[str, int] = {}
    parts = set(planned.parts.values())
    for part in (*(p for p in planned.job.source.rows if p in parts), *({""} & parts)):
        each = [counted.get(f.path) for f in planned.files if planned.parts[f.path] == part]
        if None not in each:
            found[part] = sum(n for n in each if n is not None)
    return found
