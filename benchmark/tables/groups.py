"""Which records may stand beside each other, and which only apart from the others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BenchError
from ..records.naming import method_label, overrides
from ..records.store import Record
from ..suites.find import find_suite
from ..suites.names import suite_names
from ..validation.findings import Standing, Tier

_GROUP = ("suite", "suite_version", "backbone", "pretrained")
NO_STANDINGS: Mapping[Path, Standing] = {}
_UNKNOWN = Standing("self")
Group = tuple[str, ...]
"""The values of `_GROUP`: what comparable runs share."""


@dataclass(frozen=True)
class ComparableRecord:
    """A record and its place among the others.

    Attributes:
        record: the run.
        group: what it shares with the runs that it is compared with.
        label: method, variant and overrides; the name of its row.
        tasks: the tasks learned, sorted.
        why: why it is shown but compared with nothing, '' if it is compared.
        tier: how far it is verified.
        unsound: whether a check found an error in it.
    """

    record: Record
    group: Group
    label: str
    tasks: tuple[str, ...]
    why: str
    tier: Tier = "self"
    unsound: bool = False


def learned_alone(suite: str) -> bool:
    """Whether each task of a suite is learned by itself, so that a run has one."""
    return suite in suite_names() and find_suite(suite).alone


def ranking_orders(suite: str) -> tuple[str, str]:
    """The two orders in which a method is ranked on a suite: those of its protocol, if it has two.

    A protocol of one order, and a suite of the user's own, are learned forward and in reverse.
    """
    known = suite in suite_names() and find_suite(suite).order_ii
    return ("forward", "ii") if known else ("forward", "reverse")


def _tasks(record: Record) -> tuple[str, ...]:
    return tuple(sorted(record.row["task_order"].split(",")))


def _whole(records: Sequence[Record]) -> Mapping[Group, set[str]]:
    """Every task that a run has learned, for each suite and version."""
    found: dict[Group, set[str]] = {}
    for record in records:
        row = record.row
        suite = tuple(str(row[name]) for name in _GROUP[:2])
        found.setdefault(suite, set()).update(_tasks(record))
    return found


def _facts(judged: ComparableRecord) -> Iterator[tuple[str, Any]]:
    """What must agree wherever two comparable records hold it: what it is, and its value."""
    row, about = judged.record.row, judged.record.provenance
    asked, data = about.get("asked", {}), about.get("data", {})
    # A changed setting is part of the row's name: a difference that everybody sees.
    changed = {item.partition("=")[0].strip() for item in overrides(row["settings"])}
    for key, value in asked.get("recipe", {}).items():
        if key not in changed:
            yield f"recipe ({key})", value
    for key, value in asked.get("config", {}).items():
        yield f"setting '{key}' of {judged.label}", value
    # Other prompts and copies are part of a set's fingerprint, and of the row's name.
    apart = [s for s in overrides(row["settings"]) if s.startswith(("templates=", "source."))]
    with_these = f" with {', '.join(apart)}" if apart else ""
    for split, name in (("train", "training"), ("test", "test")):
        for task, fingerprint in data.get(split, {}).items():
            yield f"{name} data of '{task}'{with_these}", fingerprint
    if "reference" in data:
        yield f"reference data{with_these}", data["reference"]
    if "sha256" in about.get("weights", {}):
        yield "weights", about["weights"]["sha256"]
    yield f"{row['order']} order of {', '.join(judged.tasks)}", row["task_order"]


def _check_agreement(judged: Sequence[ComparableRecord]) -> None:
    first: dict[tuple[Group, str, str], tuple[Any, ComparableRecord]] = {}
    for one in judged:
        if one.unsound:  # it has its reason, and is pooled with none
            continue
        for what, value in _facts(one):
            # What is shown apart must agree only with what it is pooled with.
            other_value, other = first.setdefault((one.group, one.why, what), (value, one))
            if value != other_value:
                raise BenchError(
                    f"the same {what} in '{other.record.path}' and '{one.record.path}'",
                    f"{other_value} and {value}",
                    "raise the suite's version, or run one of them again",
                    code=5,
                )


def judge(
    records: Sequence[Record], standings: Mapping[Path, Standing] = NO_STANDINGS
) -> list[ComparableRecord]:
    """Say of every record whether it is compared with the others of its group.

    Args:
        records: any runs, in any order.
        standings: path -> what the checks said of it; of others nothing is known.

    Returns:
        The same runs, ordered by path.

    Raises:
        BenchError: code 5, when two records that would be compared were made with another recipe,
            other data, other weights or another sequence under one name, and say so nowhere.
    """
    official = [record for record in records if not record.provenance.get("unofficial")]
    # What an unofficial run learned says nothing about the suite, unless there are no others.
    whole = {**_whole(records), **_whole(official)}
    judged = []
    for record in sorted(records, key=lambda record: record.path):
        row, tasks = record.row, _tasks(record)
        group = tuple(str(row[name]) for name in _GROUP)
        missing = set() if learned_alone(group[0]) else whole[group[:2]] - set(tasks)
        standing = standings.get(record.path, _UNKNOWN)
        reasons = [*filter(None, [standing.why()]), *record.provenance.get("unofficial", [])]
        if missing:
            reasons.append(f"{len(tasks)} of {len(tasks) + len(missing)} tasks")
        label = method_label(row["method"], row["variant"], row["settings"])
        unsound = bool(standing.why())
        why = "; ".join(reasons)
        judged.append(ComparableRecord(record, group, label, tasks, why, standing.tier, unsound))
    _check_agreement(judged)
    return judged
