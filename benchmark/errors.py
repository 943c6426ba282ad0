"""Errors that a user can mend, and how what a user gave is quoted in them."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from difflib import get_close_matches

LONGEST_LINE, LONGEST_TAIL, MOST_LINES = 1000, 250, 60  # of each part of a message
# Characters that Python calls printable and that leave no mark: Unicode's Default_Ignorable_Code_
# Point (DerivedCoreProperties.txt) beyond the format characters, and the blank of Braille.
_NO_MARK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)


class BenchError(Exception):
    """A mistake that the user can mend: one sentence and an exit code, never a traceback.

    What comes from a user's data goes through `quoted`. A part that is longer than a person would
    read is cut all the same, and characters that would not be seen are escaped.

    Args:
        expected: what was expected, as a noun phrase ("a column 'caption'").
        got: what was found instead ("columns 'id', 'text'").
        fix: what to do, as an imperative clause ("name the column in the suite file").
        code: process exit code: 2 usage, 3 partial result, 4 data missing, 5 invalid record,
            6 resource (disk, memory, permission).
    """

    def __init__(self, expected: str, got: str, fix: str, code: int = 2) -> None:
        self.expected, self.got, self.fix = map(_readable, (expected, got, fix))
        super().__init__(f"expected {self.expected}, got {self.got}; {self.fix}.")
        self.code = code


class MethodError(BenchError):
    """A method's own code failed: one failed run, which stops no other run of the same call."""


def quoted(value: object, most: int = 80) -> str:
    """A value of the user's as it stands in a message: on one line, short, nothing invisible.

    Args:
        value: text is put in quotes, anything else is written as Python writes it. Control
            characters, line ends, signs of direction and whatever else leaves no mark are
            escaped, so that two values that differ look different.
        most: at most this many characters are shown; the number of all is said where some are not.
    """
    text = isinstance(value, str | bytes | bytearray)
    whole = value if isinstance(value, str | bytes | bytearray) else repr(value)
    shown, n = "", min(len(whole), most)
    while len(shown := visible(repr(whole[:n]) if text else str(whole[:n]))) > most + 3:
        n -= 1  # an escape takes more room than what it stands for
    if n == len(whole):
        return shown
    unit = "characters" if isinstance(whole, str) else "bytes"
    return (f"{shown[:-1]}...{shown[-1]}" if text else f"{shown}...") + f" ({len(whole)} {unit})"


def nearest(word: str, known: Iterable[str], all_shown: int = 12) -> str:
    """'did you mean ...' for an unknown name: near names first, else the whole list.

    A name that looks like the unknown one is offered with what they differ by.

    Args:
        word: the unknown name; it is never offered itself.
        known: the names that exist.
        all_shown: at most this many names are listed when none is near.
    """
    names = sorted({*known} - {word})
    if alike := [(name, how) for name in names if (how := difference(word, name))][:3]:
        return "did you mean " + " or ".join(f"{_told(n, word)}, {how}" for n, how in alike)
    if near := get_close_matches(word[:200], names, n=3, cutoff=0.5):
        return "did you mean " + " or ".join(quoted(n) for n in near)
    if not names:
        return "leave it out, as there is none to choose"
    listed = ", ".join(quoted(n) for n in names[:all_shown])
    return f"choose one of {listed}" + (" ..." if len(names) > all_shown else "")


def difference(one: str, other: str) -> str:
    """What two texts that look alike differ by; empty where they are equal, or look different.

    They look alike where they are equal up to Unicode normalisation, characters that leave no
    mark, the number and kind of spaces, and case; or where letters of two scripts stand in for
    each other.

    Args:
        one: a text.
        other: the text that it may be taken for.
    """
    if one == other:
        return ""
    needed: list[str] = []
    for name in _SIGHT:
        needed.append(name)
        if _folded(one, needed) == _folded(other, needed):
            for earlier in reversed(needed[:-1]):
                fewer = [n for n in needed if n != earlier]
                if _folded(one, fewer) == _folded(other, fewer):
                    needed = fewer
            return "which differs only by " + " and ".join(needed)
    return _scripts(_folded(one, ["spaces"]), _folded(other, ["spaces"]))


def folded(text: str) -> str:
    """What all texts have in common that differ by normalisation, case or spaces, or no mark."""
    return _folded(text, _SIGHT)


def _readable(part: str) -> str:
    """A part of a message within its bounds, with nothing in it that would not be seen."""
    lines = part.split("\n")
    kept = [_cut(visible(line)) for line in lines[:MOST_LINES]]
    return "\n".join(kept + [f"... ({len(lines)} lines)"] * (len(lines) > MOST_LINES))


def _cut(line: str) -> str:
    """A line without its middle, where it is too long."""
    if len(line) <= LONGEST_LINE:
        return line
    head, tail = line[: LONGEST_LINE - LONGEST_TAIL], line[-LONGEST_TAIL:]
    return f"{head} ... ({len(line)} characters) ... {tail}"


def visible(text: str) -> str:
    """The text with escapes for what leaves no mark or would move what stands around it."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() and not _NO_MARK.match(c) else ascii(c)[1:-1] for c in text)


def _told(name: str, word: str) -> str:
    """A name in quotes, and once more in escapes where it would look as `word` does."""
    plain = unicodedata.normalize("NFC", name) != unicodedata.normalize("NFC", word)
    if plain and word.isascii() == name.isascii():
        return quoted(name)
    return f"{quoted(name)}, written {name[:80]!a} and not {word[:80]!a}"


_SIGHT: dict[str, Callable[[str], str]] = {
    "Unicode normalisation (NFC, NFD)": lambda text: unicodedata.normalize("NFC", text),
    "characters that cannot be seen": lambda text: "".join(
        c for c in text if not _NO_MARK.match(c) and (c.isspace() or not _hidden(c))
    ),
    "spaces": lambda text: " ".join(text.split()),
    "compatibility characters (NFKC)": lambda text: unicodedata.normalize("NFKC", text),
    "case": str.casefold,
}


def _hidden(c: str) -> bool:
    return unicodedata.category(c) in ("Cc", "Cf")


def _folded(text: str, steps: Iterable[str]) -> str:
    for step in steps:
        text = _SIGHT[step](text)
    return text


def _scripts(one: str, other: str) -> str:
    """How two texts differ that would be equal if letters of two scripts were the same ones."""
    pairs = [(a, b) for a, b in zip(one, other, strict=False) if a != b]
    if len(one) != len(other) or not pairs:
        return ""
    names = [(unicodedata.name(a, ""), unicodedata.name(b, "")) for a, b in pairs]
    if any(not a or not b or a.split()[0] == b.split()[0] for a, b in names):
        return ""
    if not all(a.isalpha() and b.isalpha() for a, b in pairs):
        return ""
    return f"which has {names[0][1]} in the place of {names[0][0]}"
