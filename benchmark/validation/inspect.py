"""All checks over a results folder, in the order in which one makes the next worth its time."""

import os
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ..common.index import NO_INDEX, Index
from ..common.limits import bounded_memory
from ..errors import BenchError
from ..records.evidence import SUFFIX
from ..records.noise import noise_floor
from ..records.replays import replay_of
from ..records.schema import InvalidRecord, validate_name
from ..records.store import Record, read_record, record_files, suite_folder
from .checks.agreement import check_agreement
from .checks.beside import check_copies, check_promises
from .checks.files import check_file, stray_files
from .checks.form import check_arithmetic, check_complete, check_form
from .checks.history import check_history
from .checks.identity import check_identity, check_is_result
from .checks.origin import Installed, check_new, check_origin, check_reports
from .checks.plausible import check_plausible
from .checks.proof import check_proof, read_proof
from .checks.suite import check_name, check_suite, check_zero_shot, pins_of, rounding
from .code_book import CodeBook
from .declared import Declared, installed_source, read_declared
from .findings import Finding, Standing, Tier
from .ledger import read_ledger
from .literals import Unreadable
from .pins import pinned
from .runs import Examined

_FIX = "restore the file from version control, or delete it and repeat its run"


@cache
def installed_methods() -> Installed:
    """Method -> what its file declares, of the methods that are installed; none is imported."""
    spec = find_spec("methods")
    if spec is None or not spec.submodule_search_locations:
        return {}
    folder = Path(next(iter(spec.submodule_search_locations)))
    found: dict[str, Declared | None] = {}
    for file in sorted(folder.glob("[a-z]*.py")):
        try:
            found[file.stem.replace("_", "-")] = read_declared(
                f"methods/{file.name}", installed_source
            )
        except Unreadable:
            found[file.stem.replace("_", "-")] = None
    return found


def examine(
    records: Iterable[Record], book: CodeBook, changed: Collection[Path] = ()
) -> list[Examined]:
    """Every check of records that could be read; those of one beside the others come last.

    Args:
        records: of one results folder.
        book: of the commits that they name.
        changed: paths of those that a change brings, where that is known. Of runs that cannot all
            be true, those that were there are believed; and a new one has evidence.
    """
    pins, installed = pinned(), installed_methods()
    runs = [Examined(record) for record in records]
    promises: dict[int, Declared | None] = {}
    with bounded_memory():
        for run in runs:
            promises[id(run)] = _examine_one(run, book, installed)
            if run.path in changed:
                check_new(run)
    check_agreement(runs, pins, promises)
    check_promises(runs, promises, changed)
    check_copies(runs, promises, changed)
    check_plausible(runs, promises, changed)
    return runs


def _examine_one(run: Examined, book: CodeBook, installed: Installed) -> Declared | None:
    """What can be checked of one run alone; returns what its method promises."""
    found = check_file(run.path)
    if found is not None:
        run.findings.append(found)
        return None
    pins = pins_of(run, pinned())
    check_form(run)
    check_is_result(run)
    if run.unsound:
        return None
    declared = check_origin(run, book, installed)
    check_complete(run)
    check_arithmetic(run, pins is not None)
    check_identity(run, declared, pins)
    check_reports(run)
    run.evidence = read_proof(run)
    check_proof(run)
    check_name(run, pinned())
    if pins is not None:
        check_suite(run, pins)
        if run.row["suite_version"] == pins.version:
            check_zero_shot(run, pins)
    now = installed.get(run.row["method"])
    return now if now is not None else declared


def standings(records: Iterable[Record]) -> dict[Path, Standing]:
    """Path of every record -> how far it is verified, and what was found in it.

    Nothing but the records, what lies beside them and the checkout decides it; git is asked only of
    commits that the ledger does not know.
    """
    return standings_and_source(records)[0]


def standings_and_source(
    records: Iterable[Record], index: Index = NO_INDEX
) -> tuple[dict[Path, Standing], bool]:
    """As `standings`; and whether git had to be asked, so that it decides, too.

    Args:
        records: of one results folder.
        index: of what git was read for before.
    """
    book = CodeBook(read_ledger(), index=index)
    runs = examine(records, book)
    return {run.path: Standing(_tier(run), tuple(run.findings)) for run in runs}, book.beyond


def _tier(run: Examined) -> Tier:
    broken = any(one.code == "V09" and one.severity == "error" for one in run.findings)
    if run.evidence is None or broken:
        return "self"
    return "replayed" if _replayed(run) else "evidence"


def _replayed(run: Examined) -> bool:
    """Whether others ran it again, and every difference is one that noise makes."""
    try:
        replay = replay_of(run.path)
        if replay is None:
            return False
        floor = 0.0
        if not {"cuda", "bf16"}.isdisjoint((replay.device, *map(str, rounding(run)))):
            found = noise_floor(run.path.parent.parent, run.row["suite"], run.row["suite_version"])
            floor = found or 0.0
        return replay.confirms(floor)
    except BenchError:
        return False


def inspect(
    results: Path,
    only: Collection[Path] | None = None,
    against: str | None = None,
    book: CodeBook | None = None,
    index: Index = NO_INDEX,
) -> tuple[list[Finding], int]:
    """All checks over a results folder.

    Args:
        results: holds `<suite>/<record>.parquet`.
        only: files or folders in it to which the findings are confined; None for all.
        against: a ref of git: warnings are confined to what changed since; errors are all told,
            as a change may break records that it does not touch.
        book: of commits; None for the checkout's, held against git where its history is there.
        index: of what that history has been read for before.

    Returns:
        The findings, by path and code, and the number of records that they are of.

    Raises:
        BenchError: no such folder (code 4), a ledger that is damaged (5), no such ref (2).
    """
    if not results.is_dir():
        fix = "check the path, or run a method"
        raise BenchError("a folder of results", f"no folder '{results}'", fix, code=4)
    files = record_files(results)
    findings = list(stray_files(results))
    history, changed = check_history(results, against) if against else ([], None)
    bad = {finding.path for finding in findings}
    records = []
    for path in files:
        found = None if path in bad else check_file(path)
        if found is not None:
            findings.append(found)
        elif path not in bad:
            read = _read(path)
            records += [read] if isinstance(read, Record) else []
            findings += [read] if isinstance(read, Finding) else []
    if book is None:
        book = CodeBook(read_ledger(), verify=True, against=against, index=index)
    findings += [one for run in examine(records, book, changed or ()) for one in run.findings]
    chosen = [path for path in files if only is None or _within(path, only)]
    if changed is not None:
        chosen = [path for path in chosen if path in changed]
        # A change may break a record that it does not touch: by its evidence, or the ledger.
        findings = [
            one
            for one in findings
            if one.severity == "error" or one.path in changed or one.path not in files
        ]
    findings += history
    if only is not None:
        findings = [one for one in findings if _within(one.path, only)]
    return sorted(findings, key=lambda one: (str(one.path), one.code, one.cell)), len(chosen)


def _within(path: Path, only: Collection[Path]) -> bool:
    # Evidence belongs to its record, and the other way round.
    return any(path.is_relative_to(place) or _whole(path) == _whole(place) for place in only)


def _whole(path: Path) -> Path:
    return (
        path.with_name(path.name.removesuffix(SUFFIX) + ".parquet")
        if path.name.endswith(SUFFIX)
        else path
    )


def _read(path: Path) -> Record | Finding:
    """A record, or what keeps it from being read."""
    try:
        with bounded_memory():
            record = read_record(path)
        validate_name(record.row, path)
    except BenchError as error:
        code = error.check if isinstance(error, InvalidRecord) else "V01"
        code = "V02" if error.code in (4, 6) else code
        expected = error.expected.replace(f" in '{path}'", "")
        return Finding(code, "error", path, "", expected, error.got, error.fix)
    home = suite_folder(record.row["suite"])
    if path.parent.name != home:
        expected = f"the suite '{path.parent.name}', as the folder says"
        return Finding("V01", "error", path, "", expected, f"'{home}'", _FIX)
    return record


def results_of(paths: Iterable[Path]) -> dict[Path, list[Path] | None]:
    """Results folder -> what of it was named, None for all of it.

    Args:
        paths: results folders, folders of suites, or files in these.

    Raises:
        BenchError: code 4, for a path that does not exist.
    """
    found: dict[Path, list[Path] | None] = {}
    for path in paths:
        if not os.path.lexists(path):
            fix = "check the path, or run a method"
            raise BenchError("a results folder or a record", f"no '{path}'", fix, code=4)
        if not path.is_dir() or path.is_symlink():
            results = path.parent.parent
        else:
            of_suite = any(path.glob("*.parquet")) and not any(path.glob("*/*.parquet"))
            results = path.parent if of_suite else path
        if results == path:
            found[results] = None
        elif (named := found.setdefault(results, [])) is not None:
            named.append(path)
    return found


def counted(findings: Iterable[Finding]) -> Mapping[str, int]:
    """Number of errors and of warnings."""
    found = [one.severity for one in findings]
    return {"errors": found.count("error"), "warnings": found.count("warning")}
