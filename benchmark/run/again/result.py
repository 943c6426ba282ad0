"""What came of making a record again: the comparison of files, and what is kept of it."""

from datetime import UTC, datetime
from pathlib import Path

from ...records.evidence import evidence_file, read_evidence
from ...records.replays import Cells, Replay
from ...records.store import read_record
from ..provenance.machine import hardware
from ..request import Plan
from .compare import Agreement, RunOutcome, compare
from .conditions import Conditions
from .original import Original
from .repeats import machine_name


def outcome_of(path: Path) -> RunOutcome:
    """What a run of this program has just written; raises BenchError as the readers do."""
    made = read_record(path)
    evidence = read_evidence(evidence_file(path), made.provenance["evidence"])
    return RunOutcome(made.frame, evidence, made.provenance)


def agreement(original: Original, now: RunOutcome, cells: Cells, tolerance: float) -> Agreement:
    """A record against a run, see `compare`."""
    record = original.record
    made = RunOutcome(record.frame, original.evidence, record.provenance)
    return compare(made, now, cells, tolerance)


def replay_made(
    original: Original, plan: Plan, found: Agreement, then: Conditions, device: str, cells: Cells,
    tolerance: float,
) -> Replay:  # fmt: skip
    """What is kept of a replay.

    Args:
        original: the record.
        plan: of the run that was compared with it.
        found: how far they agree.
        then: under what both were made.
        device: cpu or cuda, where it ran.
        cells: what was compared.
        tolerance: that was asked for.
    """
    record, evidence = original.digests  # of what was read, whatever lies there by now
    return Replay(
        record=record,
        evidence=evidence,
        verdict=found.verdict,
        cells=cells,
        tolerance=tolerance,
        largest=found.largest,
        compared=found.compared,
        queries=found.queries,
        otherwise=found.otherwise,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=plan.git["commit"],
        same_code=then.same_code,
        device=device,
        machine=machine_name({**hardware(), "device": device}),
    )
