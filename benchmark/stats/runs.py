"""Records and the evidence beside them as runs that can be compared."""

from ..records.evidence import evidence_file, read_evidence
from ..records.naming import method_label
from ..records.store import Record
from .answered import AnsweredRun


def answered_run(record: Record) -> AnsweredRun | None:
    """A record with what each of its queries got; None for one without evidence.

    Raises:
        BenchError: its evidence is absent (code 4), or not the record's (code 5).
    """
    seal = record.provenance.get("evidence")
    if seal is None:
        return None
    row = record.frame.iloc[0]
    return AnsweredRun(
        label=method_label(row["method"], row["variant"], row["settings"]),
        order=str(row["order"]),
        seed=int(row["seed"]),
        tasks=tuple(str(row["task_order"]).split(",")),
        evidence=read_evidence(evidence_file(record.path), seal),
        data=record.provenance.get("data", {}).get("test", {}),
        name=record.path.stem,
    )
