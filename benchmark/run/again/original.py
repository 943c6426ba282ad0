"""The record that is to be made again, as a file of anybody: whole, and of one story."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BenchError
from ...records.evidence import Evidence, evidence_file, read_evidence
from ...records.identity import identity_of
from ...records.provenance import on_validation
from ...records.replays import digests
from ...records.schema import invalid
from ...records.store import Record, read_record

_SAID_TWICE = ("suite", "suite_version", "method", "variant", "backbone", "pretrained", "order",
               "seed")  # fmt: skip
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("suite", "suite_version", "method", "variant", "backbone", "order"), (str,)),
    **dict.fromkeys(("pretrained", "evals", "precision"), (str,)),
    "seed": (int,),
    "limit": (int, type(None)),
    "templates": (str, type(None)),
    **dict.fromkeys(("config", "recipe"), (dict,)),
}


@dataclass(frozen=True)
class Original:
    """A record as it was read.

    Attributes:
        record: its rows and provenance.
        evidence: the answers beside it; None where the record names none.
        digests: of both files, see `records.replays.digests`.
    """

    record: Record
    evidence: Evidence | None
    digests: tuple[str, str | None]

    @property
    def asked(self) -> dict[str, Any]:
        """What the run was asked for."""
        found: dict[str, Any] = self.record.provenance["asked"]
        return found


def read_original(path: Path) -> Original:
    """Read a record, and its evidence where it has some.

    Raises:
        BenchError: a file that is not there or cannot be read (code 4 or 6), that is no valid
            record or contradicts itself (5), or a record of no run that ended (2).
    """
    if path.is_dir():
        got, fix = f"the folder '{path}'", "name one of its .parquet files"
        raise BenchError("a record's file", got, fix)
    record, found = read_record(path), digests(path)
    about = record.provenance
    if set(record.frame["source"]) != {"measured"}:
        raise BenchError(
            "a record of a run", f"numbers of a paper in '{path.name}'", "choose a measured one"
        )
    if failed := about.get("failed"):
        text = failed.get("error") if isinstance(failed, dict) else failed
        raise BenchError(
            "a record of a run that came to its end",
            f"one that failed ({text})",
            "choose another; `cl-bench run` tries that one again",
        )
    if on_validation(about):
        got, fix = "scores on a part of the training data", "`cl-bench sweep` makes it again"
        raise BenchError("a record of scores on test sets", got, fix)
    _check_asked(record)
    seal = about.get("evidence")
    if seal is None:
        return Original(record, None, found)
    evidence = read_evidence(evidence_file(path), seal)
    if evidence.run != about.get("identity", {}).get("sha256"):
        raise invalid(path, "the evidence of this run", "that of another")
    return Original(record, evidence, found)


def _check_asked(record: Record) -> None:
    """What was asked for is there, of the right types, and what the rows say, too."""
    asked, path, row = record.provenance.get("asked") or {}, record.path, record.frame.iloc[0]
    for name, kinds in _TYPES.items():
        value = asked.get(name)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise invalid(path, f"'{name}' among what was asked for", type(value).__name__)
        if name in _SAID_TWICE and row[name] != value:
            raise invalid(path, f"one {name}, in its rows and in its provenance", "two")
    for name in ("data", "order", "weights", "method", "code", "hardware"):
        if not isinstance(record.provenance.get(name, {}), dict):
            raise invalid(path, f"provenance '{name}' of type dict", "another")
    identity = record.provenance.get("identity")
    if identity is not None and identity != identity_of(record.provenance):
        raise invalid(path, "the identity that follows from the rest", "another")
