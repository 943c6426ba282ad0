"""The spread of several runs of one identity."""

from collections.abc import Sequence
from datetime import UTC, datetime

from ...errors import BenchError
from ...records.identity import identity_of
from ...records.noise import Noise, Score
from ...records.schema import CELL
from ...records.store import Record
from .compare import RunOutcome, compare

_ABOUT = ("suite", "suite_version", "method", "variant", "settings", "backbone", "pretrained",
          "order", "task_order")  # fmt: skip


def noise_of(records: Sequence[Record]) -> Noise:
    """The spread of every score.

    Args:
        records: at least two, of one identity and one machine.

    Raises:
        BenchError: code 3, a score that one of them has and another has not, as of a cell that
            failed.
    """
    first = records[0]
    about, row = first.provenance, first.frame.iloc[0]
    for other in records[1:]:  # all differences of scores are the noise itself
        found = compare(_outcome(first), _outcome(other), "all", 100.0)
        if found.others:
            fix = "mend the method, or choose another; noise is of scores alone"
            raise BenchError("runs that differ in scores alone", found.others[0], fix, 3)
    tables = [_table(record) for record in records]
    hits: dict[Score, tuple[int, ...]] = {}
    queries: dict[Score, int] = {}
    for score in dict.fromkeys(score for table in tables for score in table):
        found_in = [table.get(score, (0, 0)) for table in tables]  # no row of a route: no item
        hits[score] = tuple(count for count, _ in found_in)
        queries[score] = max(n for _, n in found_in)
    if not hits:
        raise BenchError("runs with a score", "none", "mend the method, or choose another", 3)
    hardware = about["hardware"]
    return Noise(
        about={**{name: str(row[name]) for name in _ABOUT}, "machine": machine_name(hardware)},
        seed=int(row["seed"]),
        device=hardware["device"],
        run=identity_of(about)["sha256"],
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=about["code"]["commit"],
        hits=hits,
        n_queries=queries,
    )


def machine_name(hardware: dict[str, object]) -> str:
    """Of the GPU where one was used, else of the processor."""
    return str(hardware.get("gpu" if hardware.get("device") == "cuda" else "cpu") or "unknown")


def _outcome(record: Record) -> RunOutcome:
    return RunOutcome(record.frame, None, record.provenance)


def _table(record: Record) -> dict[Score, tuple[int, int]]:
    """Hits and queries of every score that there is."""
    frame = record.frame[record.frame["status"] == "ok"]
    plain = frame.astype(object).where(frame.notna(), None)
    found: dict[Score, tuple[int, int]] = {}
    for row in plain.to_dict("records"):
        step, task, direction, metric, k = (row[name] for name in CELL)
        where = int(step), str(task), direction, str(metric), None if k is None else int(k)
        found[where] = int(row["hits"]), int(row["n_queries"])
    return found
