"""The records that a label or a path names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import BenchError, nearest, quoted
from ...records.naming import method_label, suite_folder
from ...records.schema import validate_name
from ...records.store import Record, read_record, record_files

Group = tuple[str, str, str, str]
_LONGEST = 180  # of a stem; longer ones may be cut, so that only the content says whose they are


@dataclass(frozen=True)
class Side:
    """What stands on one side of a comparison.

    Attributes:
        asked: as the user named it.
        label: method, variant and overrides.
        records: of one group.
    """

    asked: str
    label: str
    records: tuple[Record, ...]


def group_of(record: Record) -> Group:
    """Suite, version, backbone and weights: what comparable runs share."""
    row = record.row
    names = ("suite", "suite_version", "backbone", "pretrained")
    suite, version, backbone, pretrained = (str(row[name]) for name in names)
    return suite, version, backbone, pretrained


def find_sides(
    asked: tuple[str, str], results: Path, suite: str | None, backbone: str | None
) -> tuple[Group, Side, Side]:
    """The records of both sides, of the one group that they have in common.

    Args:
        asked: a label (`dar`, `dar.r8`) or the path of a record, twice.
        results: holds `<suite>/<record>.parquet`.
        suite: of the records; None where it is clear.
        backbone: likewise.

    Raises:
        BenchError: there are no such records (code 4), they are invalid or have no group in common
            (5), or several (2).
    """
    found = [_named(one, results, suite, backbone) for one in asked]
    groups = [{group_of(record) for record in records} for records in found]
    common = sorted(groups[0] & groups[1])
    if not common:
        shown = [", ".join(sorted("/".join(group) for group in some)) for some in groups]
        raise BenchError(
            f"records of '{asked[0]}' and '{asked[1]}' on one suite, version, backbone and weights",
            f"{shown[0]} and {shown[1]}",
            "run one of them where the other ran",
            code=5,
        )
    group = _one_of(common)
    sides = []
    for one, records in zip(asked, found, strict=True):
        mine = tuple(record for record in records if group_of(record) == group)
        sides.append(Side(one, label_of(mine[0]), mine))
    return group, sides[0], sides[1]


def label_of(record: Record) -> str:
    """The name of a record's row."""
    row = record.row
    return method_label(str(row["method"]), str(row["variant"]), str(row["settings"]))


def _one_of(groups: Sequence[Group]) -> Group:
    if len(groups) == 1:
        return groups[0]
    for place, option in ((0, "--suite"), (2, "--backbone")):
        choices = sorted({group[place] for group in groups})
        if len(choices) > 1:
            told = " or ".join(f"{option} {choice}" for choice in choices)
            raise BenchError("one suite and backbone", f"{len(groups)} of them", f"give {told}")
    shown = ", ".join("/".join(group) for group in groups)
    raise BenchError("one version and weights", shown, "name two records by their paths")


def _named(asked: str, results: Path, suite: str | None, backbone: str | None) -> list[Record]:
    path = Path(asked)
    if asked.endswith(".parquet") or path.is_file():
        record = read_record(path)
        for option, given, place in (("--suite", suite, 0), ("--backbone", backbone, 2)):
            if given is not None and group_of(record)[place] != given:
                got = f"one of '{group_of(record)[place]}'"
                raise BenchError(f"a record of '{given}' in '{path}'", got, f"leave out {option}")
        return [record]
    files = _files(results, suite)
    near = [p for p in files if p.stem.startswith(f"{_safe(asked)}--") or len(p.stem) > _LONGEST]
    records = []
    for file in near:
        record = read_record(file)
        validate_name(record.row, file)
        if label_of(record) == asked and backbone in (None, group_of(record)[2]):
            records.append(record)
    if not records:
        where = f"'{results / suite_folder(suite)}'" if suite else f"'{results}'"
        on = f" on backbone '{backbone}'" if backbone else ""
        known = _labels(files)
        fix = f"run `cl-bench run -m {asked}` first" if asked in known else nearest(asked, known)
        if not known:
            fix = "give --results the folder that holds <suite>/<record>.parquet"
        if asked in known and backbone:
            fix = "give another --backbone, or leave it out"
        raise BenchError(f"records of {quoted(asked)} in {where}{on}", "none", fix, code=4)
    return records


def _safe(label: str) -> str:
    return suite_folder(label)  # the characters that file names keep are the same


def _labels(files: Iterable[Path]) -> set[str]:
    return {path.stem.partition("--")[0] for path in files}


def _files(results: Path, suite: str | None) -> list[Path]:
    if not results.is_dir():
        fix = "check the path, or run a method"
        raise BenchError("a folder of results", f"no folder '{results}'", fix, code=4)
    every = record_files(results)
    if suite is None:
        return every
    here = [path for path in every if path.parent.name == suite_folder(suite)]
    if not here:
        fix = nearest(suite, {path.parent.name for path in every})
        raise BenchError(f"records of suite {quoted(suite)} in '{results}'", "none", fix, code=4)
    return here
