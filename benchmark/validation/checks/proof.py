"""V09: every hit of a record recomputes from its evidence, and the evidence is of its run."""

from collections.abc import Mapping
from pathlib import Path

from ...errors import BenchError, quoted
from ...records.evidence import Evidence, evidence_file
from ...records.identity import identity_of
from ..runs import Examined

_AGAIN = "restore both files from version control, or delete them and repeat the run"


def read_proof(run: Examined) -> Evidence | None:
    """The evidence that lies beside a record; V09 says why there is none that can be used."""
    seal = run.part("evidence")
    path = evidence_file(run.path)
    if seal is None:
        if run.schema > 1:
            run.error("V09", "evidence of every query", "a record that names none", _AGAIN)
        else:
            fix = "make it again: until then it stands below the line"
            run.warn("V09", "evidence of every query", "an older record without any", fix)
        return None
    if not isinstance(seal, Mapping) or not _plain(path):
        run.error("V09", f"the evidence '{path.name}'", "no such file", _AGAIN)
        return None
    try:
        return run.record.evidence
    except BenchError as error:
        run.error("V09", error.expected, error.got, error.fix)
        return None


def _plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _beyond(run: Examined) -> str | None:
    """A class that does not exist, in a key or an answer."""
    assert run.evidence is not None
    classes = {c.eval_task: c.n_gallery for c in run.scores.values() if c.direction is None}
    for task, key in run.evidence.keys.items():
        if key.kind == "labelled" and key.value_N.max() >= classes.get(task, 0):
            return f"class {key.value_N.max()} in the key of '{task}'"
    for (task, direction, _), answer_Q in run.evidence.answers.items():
        if direction is None and answer_Q.max() >= classes.get(task, 0):
            return f"class {answer_Q.max()} of '{task}'"
    return None


def check_proof(run: Examined) -> None:
    """Hits and queries of all cells against the answers."""
    evidence = run.evidence
    if evidence is None:
        return
    if evidence.run != identity_of(run.about)["sha256"]:
        run.error("V09", "the evidence of this run", f"that of {evidence.run[:12]}...", _AGAIN)
        return
    if (odd := _beyond(run)) is not None:
        run.error("V09", "answers among the classes that compete", odd, _AGAIN)
        return
    told = evidence.hits()
    for cell in run.scores.values():
        where = cell.eval_task, cell.direction, cell.step, cell.metric, cell.k
        found = told.pop(where, None)
        if cell.status != "ok":
            if found is not None:
                got = "answers to every query"
                run.error("V09", f"no answers where the status is {cell.status}", got, _AGAIN)
                return
        elif found != (cell.hits, cell.n_queries):
            got = f"{cell.hits} of {cell.n_queries}"
            wanted = "answers to every query" if found is None else f"{found[0]} of {found[1]}"
            got = f"none, for {got}" if found is None else got
            run.error("V09", f"{wanted} by the evidence", got, _AGAIN, cell.place())
            return
    if told:
        run.error("V09", "a score for all evidence", f"none for {quoted(next(iter(told)))}", _AGAIN)
