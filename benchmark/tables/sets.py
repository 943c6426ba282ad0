"""Which sets runs learned or held out, and which of the held-out ones a table shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from .cells import distinct
from .run_numbers import RunNumbers
from .spec import FAMILIES, TABLES


def shown(runs: Sequence[RunNumbers]) -> list[RunNumbers]:
    """The runs that say which columns there are.

    A run that is shown apart brings no column: it would be a hole in every other row.
    """
    return [run for run in runs if not run.why] or list(runs)


def learned(runs: Sequence[RunNumbers], kind: str = "pairs") -> dict[str, str]:
    """The tasks of one kind and their heads, in the order learned.

    Args:
        runs: of one order.
        kind: pairs or labelled.
    """
    found: dict[str, tuple[int, str]] = {}
    for run in shown(runs):
        for name, about in run.sets.items():
            if about.kind == kind and about.position:
                # A run of fewer tasks counts its places from its own first task.
                place, title = found.get(name, (0, about.title))
                found[name] = max(place, about.position), min(title, about.title)
    ordered = sorted(found, key=lambda name: (found[name][0], name))
    return distinct({name: found[name][1] for name in ordered})


@dataclass(frozen=True)
class HeldOut:
    """A held-out set, or a family of them, as tables show it.

    Attributes:
        name: of the set or the family.
        title: its head.
        parts: the sets whose mean it is.
    """

    name: str
    title: str
    parts: tuple[str, ...]


def held_out(runs: Sequence[RunNumbers], kind: str) -> list[HeldOut]:
    """The held-out sets of one kind, families together, sorted by name."""
    titles: dict[str, str] = {}
    for run in shown(runs):
        for name, about in run.sets.items():
            if about.kind == kind and not about.position:
                titles[name] = min(titles.get(name, about.title), about.title)
    titles = distinct(titles)
    found = []
    for name, family in FAMILIES.items():
        if set(family.members) <= set(titles):
            found.append(HeldOut(name, family.title, family.members))
            titles = {key: value for key, value in titles.items() if key not in family.members}
    found += [HeldOut(name, title, (name,)) for name, title in titles.items()]
    return sorted(found, key=lambda one: one.name)


@cache
def _slots(kind: str) -> Mapping[str, int]:
    """The paper's set -> number of its table, for the tables of one kind of held-out sets."""
    return {
        spec.held_out: spec.number
        for spec in TABLES
        if spec.columns == "stages" and spec.kind == kind
    }


def placed(runs: Sequence[RunNumbers], kind: str) -> dict[int, list[HeldOut]]:
    """Number of a table -> its held-out sets.

    The paper's sets are in the paper's tables. Others take the tables that are free, by name, and
    what is left over goes to the last one.
    """
    slots = _slots(kind)
    sets = held_out(runs, kind)
    found: dict[int, list[HeldOut]] = {number: [] for number in slots.values()}
    others = []
    for one in sets:
        if one.name in slots:
            found[slots[one.name]].append(one)
        else:
            others.append(one)
    for one in others:
        free = (number for number, there in found.items() if not there)
        found[next(free, max(found))].append(one)
    return found
