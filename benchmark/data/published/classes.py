"""Published class names and ours: one dataset, several spellings and orders."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache, lru_cache

from ...errors import BenchError, nearest
from .declare import class_table, published_names

_Spelling = Callable[[str], str]


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
    "/a/abbey"; the year of a car in front or at the end), the order of the labels too. A name is
    compared as it stands, then by its letters, then by its words, and it counts only where it is
    the name of exactly one class. Where that is not enough ("cra", a misprint for "crab"), the
    table's column `published` has the publisher's spelling.

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
    for tier in _tiers(classes):
        claimed = False
        for spell, owners in tier:
            owner = owners.get(spell(name), ())
            if len(owner) == 1:
                return next(iter(owner))
            claimed = claimed or bool(owner)
        if claimed:  # by two classes: what a protocol calls a third one decides nothing
            return None
    return None


# -- spellings, from the strictest to the freest

_INDEXED = re.compile(r"^/?[a-z]/(?=.)")  # SUN397's folders by initial: "/a/abbey"
_ODD = str.maketrans(
    {
        "ß": "ss",
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "ł": "l",
    }
)


def _plain(name: str) -> str:
    """Without accents, and with one form of every letter (full-width, ligatures)."""
    parts = unicodedata.normalize("NFKD", name.translate(_ODD))
    return "".join(c for c in parts if not unicodedata.combining(c))


def _as_is(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip())


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", _plain(name).lower())


def _words(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _plain(name))  # AnnualCrop
    return " ".join(sorted(re.findall(r"[a-z0-9]+", spaced.lower())))


def _without_index(spell: _Spelling) -> _Spelling:
    # Only after the whole name was compared: "F/A-18" is no A-18 in a folder F.
    return lambda name: spell(_INDEXED.sub("", name.lower() if "/" in name else name))


_WAYS: tuple[_Spelling, ...] = (
    _as_is, _letters, _words, _without_index(_letters), _without_index(_words),
)  # fmt: skip


@cache
def _tiers(classes: str) -> list[list[tuple[_Spelling, dict[str, set[int]]]]]:
    """For each spelling, which classes it names: by source or publisher first, then by prompts."""
    table, published = class_table(classes), published_names(classes)
    _check_claims(classes, table["source"], published)
    prompts = [column for key, column in table.items() if key != "source"]
    # A publisher's own spelling weighs more than what a protocol calls another class.
    return [
        [(spell, _owners(columns, spell)) for spell in _WAYS]
        for columns in ([table["source"], published], *([column] for column in prompts))
    ]


def _owners(columns: Sequence[Sequence[str]], spell: _Spelling) -> dict[str, set[int]]:
    owners: dict[str, set[int]] = {}
    for column in columns:
        for i, name in enumerate(column):
            if key := spell(name):
                owners.setdefault(key, set()).add(i)
    return owners


def _check_claims(classes: str, source: Sequence[str], published: Sequence[str]) -> None:
    """A published spelling names one class: unlike names for prompts, it may not be ambiguous."""
    for spell in (_letters, _words):
        owner = {spell(name): i for i, name in enumerate(source)}
        for i, name in enumerate(published):
            if name and (other := owner.setdefault(spell(name), i)) != i:
                raise BenchError(
                    f"one class of '{classes}' for each published spelling",
                    f"'{name}' for '{source[other]}' and for '{source[i]}'",
                    "restore the class table with git, or mend its column 'published'",
                )
