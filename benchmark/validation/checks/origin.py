"""V04, V05, V09, V17: the code that a record says it was made by, and what it says of itself."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from ...errors import nearest, quoted
from ...records.naming import badges_of
from ...records.schema import SCHEMA_VERSION
from ..code_book import CodeBook
from ..declared import Declared
from ..ledger import CommittedCode
from ..pins import pinned
from ..runs import Examined
from .identity import of_suite

_COMMIT = re.compile(r"[0-9a-f]{40}")
_AGAIN = "repeat the run from a committed checkout"
_REPORT_BYTES = 2**14  # as `run.record.costs` has it
Installed = Mapping[str, Declared | None]
"""Method of this checkout -> what its file declares, None where that is unreadable."""


def check_origin(run: Examined, book: CodeBook, installed: Installed) -> Declared | None:
    """Commit, code and method of an official record.

    Args:
        run: the run.
        book: of commits.
        installed: see `Installed`.

    Returns:
        What the method's file declares at that commit; None where it is not known.
    """
    commit = run.part("code", "commit")
    code = book.code(commit) if _is_commit(commit) else "no commit"
    run.committed = None if isinstance(code, str) else code.date
    if not run.official:
        return _of(run, book) or installed.get(run.row["method"])
    method = run.row["method"]
    known = method in installed or (not isinstance(code, str) and method in code.methods)
    if not known:
        names = {*installed, *(() if isinstance(code, str) else code.methods)}
        fix = f"contribute its file, or {nearest(method, names)}"
        run.error("V05", "a method that exists", quoted(method), fix)
        return None
    if isinstance(code, str):
        fix = f"{_AGAIN}, or let `python scripts/ledger.py` add a commit of this history"
        run.error("V04", "a commit of this history", f"{quoted(commit)}, {code}", fix)
        return None
    for expected, got in _differs(run, code):
        run.error("V04", expected, got, _AGAIN)
        return None
    if (ref := book.outside(str(commit), method)) is not None:
        expected = f"a commit in the history of {ref}, or one with the code that the change ends in"
        fix = "repeat the run from the code as it is to be merged"
        run.error("V04", expected, f"{quoted(commit)}, with other code", fix)
        return None
    declared = book.declared(str(commit), method)
    if declared is not None:
        _check_declared(run, declared)
    elif run.schema > 1:
        fix = "write label, defaults and variants as plain values"
        run.error("V05", f"a method's file that can be read as data, '{method}'", "another", fix)
    return declared


def _is_commit(commit: object) -> bool:
    return isinstance(commit, str) and _COMMIT.fullmatch(commit) is not None


def _of(run: Examined, book: CodeBook) -> Declared | None:
    commit = run.part("code", "commit")
    return book.declared(commit, run.row["method"]) if _is_commit(commit) else None


def _differs(run: Examined, code: CommittedCode) -> Iterator[tuple[str, str]]:
    """What is other than at the commit."""
    method = run.row["method"]
    if run.part("code", "dirty") != []:
        yield "code without changes beside the commit", quoted(run.part("code", "dirty"))
    if run.part("method", "origin") not in ("methods", None):
        yield "a method of the repository's methods/", quoted(run.part("method", "origin"))
    if method not in code.methods:
        yield f"a commit that has the method '{method}'", "one without it"
        return
    content, raw, _ = code.methods[method]
    # Records from before `numerics` have the digest of the file's bytes, and another of the code.
    old = run.part("code", "numerics") is None
    if old and (run.schema > 1 or code.numerics is not None):
        yield "an integer `numerics`", "none"
    if run.part("method", "sha256") != (raw if old else content):
        got = quoted(run.part("method", "sha256"))
        yield f"the method's file of that commit, {(raw if old else content)[:12]}...", got
    if not old and run.part("code", "numerics") != code.numerics:
        yield f"numerics {code.numerics}, as that commit has", quoted(run.part("code", "numerics"))
    if not old and code.code is not None and run.part("code", "sha256") != code.code:
        got = quoted(run.part("code", "sha256"))
        yield f"the harness of that commit, {code.code[:12]}...", got
    try:
        made = datetime.fromisoformat(str(run.part("created"))).timestamp()
    except (ValueError, OverflowError):
        yield "the time when it was made", quoted(run.part("created"))
        return
    if made < code.date:
        yield "a run that was made after its commit", quoted(run.part("created"))


def check_new(run: Examined) -> None:
    """V09 of a record that a change brings: older schemas are for records that were there."""
    if run.unsound:
        return
    for expected, got, absent in (
        (f"schema {SCHEMA_VERSION} in a new record", f"{run.schema}", run.schema < SCHEMA_VERSION),
        ("evidence of every query in a new record", "none", run.evidence is None),
    ):
        if absent:
            run.error("V09", expected, got, "repeat the run with this version of the program")
            return


def _check_declared(run: Examined, declared: Declared) -> None:
    variant = run.row["variant"]
    if variant not in ("", *declared.variants):
        fix = nearest(variant, declared.variants)
        run.error("V05", f"a variant of {run.row['method']}", quoted(variant), fix)
        return
    for name, wanted in (("label", declared.label), ("paper", declared.paper)):
        if run.part("method", name) not in (wanted, None):
            got = quoted(run.part("method", name))
            run.error("V05", f"the {name} of the method's file, '{wanted}'", got, _AGAIN)
    given = of_suite(run, pinned().get(run.row["suite"]))
    if declared.uses is None or run.part("asked", "config") != declared.config(variant, given):
        return  # settings that change it are named, and such a row has no rank
    wanted_uses = ",".join(declared.uses[variant])
    if badges_of(run.row["uses"]) != badges_of(wanted_uses):
        got = quoted(run.row["uses"])
        run.error("V17", f"the badges of the method, '{wanted_uses}'", got, _AGAIN)


def check_reports(run: Examined) -> None:
    """V17: what a method says of a task is short."""
    reports = run.part("reports")
    for number, report in enumerate(reports if isinstance(reports, list) else [], start=1):
        size = len(json.dumps(report).encode())
        if size > _REPORT_BYTES:
            expected = f"a report of at most {_REPORT_BYTES} bytes"
            run.error("V17", expected, f"{size}", _AGAIN, f"step {number}")
            return
