"""Published class names and ours: one dataset, several spellings and orders."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from ...errors import BenchError, nearest
from .declare import class_table, published_names


def different(where: str, expected: str, got: str) -> BenchError:
    """The error for data that are not what their declaration says."""
    return BenchError(
        f"{expected} in {where}",
        got,
        "the published data are not what the declaration says: report it, or take the revision "
        "that is declared",
        code=5,
    )


def match_classes(names: Sequence[str], classes: str, where: str) -> list[int]:
    """The place of each published class name in the class table.

    Spelling differs between copies of a dataset ("AnnualCrop", "annual crop"; "abbey",
    "/a/abbey"; the year of a car in front or at the end), the order of the labels too: names are
    matched by their letters, then by their words. Where that is not enough ("cra", a misprint
    for "crab"), the table's column `published` has the publisher's spelling.

    Raises:
        BenchError: a name that matches none, or two that match the same; a class table in which
            two classes claim one spelling.
    """
    found: list[int] = []
    for name in names:
        hit = _match(name, classes)
        if hit is None:
            fix = nearest(name, class_table(classes)["source"])
            raise different(where, f"class names of '{classes}'", f"'{name}' ({fix})")
        found.append(hit)
    if len(set(found)) < len(found):
        twice = next(n for n, f in zip(names, found, strict=True) if found.count(f) > 1)
        raise different(where, f"distinct classes of '{classes}'", f"'{twice}' twice")
    return found


@lru_cache(maxsize=4096)
def _match(name: str, classes: str) -> int | None:
    return next((t[way(name)] for way, t in _spellings(classes) if way(name) in t), None)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^/?[a-z]/(?=.)", "", name.lower()))


def _words(name: str) -> str:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"^/?[a-z]/(?=.)", "", name))
    return " ".join(sorted(re.findall(r"[a-z0-9]+", name.lower())))


@cache
def _spellings(classes: str) -> list[tuple[Any, Mapping[str, int]]]:
    """Ways to compare a name, with what each makes of the class table's columns; unique ones."""
    ways: list[tuple[Any, Mapping[str, int]]] = []
    table, published = class_table(classes), published_names(classes)
    _check_claims(classes, table["source"], published)
    prompts = [column for key, column in table.items() if key != "source"]
    # A publisher's own spelling weighs more than what a protocol calls another class.
    for column in (table["source"], published, *prompts):
        for way in (_letters, _words):
            keys = [way(name) for name in column]
            count = Counter(keys)
            unique = {k: i for i, k in enumerate(keys) if k and count[k] == 1}
            ways.append((way, unique))
    return ways


def _check_claims(classes: str, source: Sequence[str], published: Sequence[str]) -> None:
    """A published spelling names one class: unlike names for prompts, it may not be ambiguous."""
    for way in (_letters, _words):
        owner = {way(name): i for i, name in enumerate(source)}
        for i, name in enumerate(published):
            if name and (other := owner.setdefault(way(name), i)) != i:
                raise BenchError(
                    f"one class of '{classes}' for each published spelling",
                    f"'{name}' for '{source[other]}' and for '{source[i]}'",
                    "restore the class table with git, or mend its column 'published'",
                )
