"""Under what a record was made, and under what it is made again."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...errors import quoted
from ..provenance.code import unchanged
from ..provenance.machine import hardware, versions
from ..provenance.numerics import NUMERICS
from ..request import Plan
from .original import Original
from .plan import commit_of

# Of the machine, what no number depends on: of the same name, none is another number.
_NO_NUMBER = frozenset({"cores", "memory_gib", "device"})


@dataclass(frozen=True)
class Conditions:
    """What differs between then and now.

    Attributes:
        same_code: whether the numerics and the content of the method are those of the record.
        code, machine: a sentence each.
    """

    same_code: bool
    code: str
    machine: str


def conditions(original: Original, plan: Plan, device: str) -> Conditions:
    """Compare the code and the machine of a record with those of now.

    Args:
        original: the record.
        plan: of the new run.
        device: cpu or cuda, on which that runs.
    """
    about = original.record.provenance
    same = unchanged(about, plan.method.sha, plan.method.file)
    told = [_code(about, plan, same), f"made by {_made(original)}", f"run by {_now(plan)}"]
    machine = about.get("hardware", {})
    ours = {**hardware(), "device": device}
    found = list(_differences(machine, ours, ("device",)))
    if device == "cpu":  # of which a GPU's numbers depend little
        found += _differences(machine, ours, ("cpu", "threads", "system"))
    known = {**machine, **ours}.keys() - _NO_NUMBER - {"cpu", "threads", "system"}
    found += _differences(machine, ours, sorted(known))
    found += _differences(about.get("versions", {}), versions(), sorted(versions()))
    text = "differs from the record's: " + "; ".join(found) if found else "as the record's"
    return Conditions(same, "; ".join(told), text)


def _code(about: Mapping[str, Any], plan: Plan, same: bool) -> str:
    if about.get("code", {}).get("sha256") == plan.code and same:
        return "the record's own"
    if same:
        return f"of the record's numerics ({NUMERICS}) and with its method's content"
    numerics = about.get("code", {}).get("numerics", 1)
    if numerics != NUMERICS:
        return f"of other numerics ({quoted(numerics)}, here {NUMERICS}), so scores may differ"
    return "with another content of the method, so scores may differ"


def _made(original: Original) -> str:
    commit = commit_of(original)
    dirty = original.record.provenance.get("code", {}).get("dirty")
    return _commit(commit, bool(dirty))


def _now(plan: Plan) -> str:
    return _commit(plan.git["commit"], bool(plan.git["dirty"]))


def _commit(commit: str | None, dirty: bool) -> str:
    if commit is None:
        return "code of no commit"
    return commit[:12] + (" with changes that are not committed" if dirty else "")


def _differences(then: Any, now: Mapping[str, Any], keys: Any) -> Iterator[str]:
    then = then if isinstance(then, dict) else {}
    for key in keys:
        if then.get(key) != now.get(key):
            yield f"{key} {quoted(then.get(key), 40)}, here {quoted(now.get(key), 40)}"


def threads_of(original: Original) -> int | None:
    """Number of the processor's threads that made a record; None where no number depends on it."""
    machine = original.record.provenance.get("hardware", {})
    threads = machine.get("threads")
    if machine.get("device") != "cpu" or not isinstance(threads, int):
        return None
    return threads if 1 <= threads <= 1024 else None


@contextmanager
def as_many_threads(threads: int | None) -> Iterator[None]:
    """Inside, torch computes with so many threads; one that this processor lacks makes no more."""
    import torch

    before = torch.get_num_threads()
    if threads is not None and threads <= (os.cpu_count() or 1):
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
