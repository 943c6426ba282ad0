"""JSON files that stand beside records, which may be anybody's. No torch."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any

from ..common.files import atomic
from ..errors import BenchError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LONGEST = 300  # characters of a text


def write_beside(path: Path, form: int, content: Mapping[str, Any]) -> None:
    """Write such a file, in place of an older one; BenchError (code 6) where that fails."""
    text = json.dumps({"form": form, **content}, indent=1, ensure_ascii=True, allow_nan=False)
    # A row of numbers on one line: so it is read, and compared by version control.
    text = re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), text)
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_beside(path: Path, form: int, most: int, what: str) -> "Fields":
    """Read such a file.

    Args:
        path: the file.
        form: the number that `write_beside` was given.
        most: largest number of bytes that such a file has.
        what: it is, for the error ("the result of a replay").

    Raises:
        BenchError: no file (code 4), one that cannot be read (6), or no such file (5).
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        code = 4 if isinstance(error, FileNotFoundError) else 6
        raise BenchError(
            f"{what} in '{path}'", f"'{error.strerror or error}'", "correct the path", code
        ) from error
    try:
        if len(content) > most:
            raise ValueError(f"more than {most} bytes")
        fields = Fields(json.loads(content, parse_constant=_no_number))
        if fields.count("form") != form:
            raise ValueError("another form")
    except (ValueError, RecursionError) as error:
        raise foreign(path, what, error) from error
    return fields


def foreign(path: Path, what: str, error: Exception) -> BenchError:
    """The error (code 5) of a file that is not what it should be."""
    got = " ".join(str(error).split())[:160] or type(error).__name__
    return BenchError(f"{what} in '{path}'", got, "make it again, or delete it", 5)


def _no_number(text: str) -> float:
    raise ValueError(f"the number {text}")


@dataclass(frozen=True)
class Fields:
    """The entries of a JSON object, each taken as what it must be; ValueError for another."""

    content: Any

    def __post_init__(self) -> None:
        """It is an object."""
        if not isinstance(self.content, dict):
            raise ValueError("no object")

    def only(self, *names: str) -> None:
        """There are these entries, `form` beside them, and no others."""
        if strange := set(self.content) ^ {*names, "form"}:
            raise ValueError(f"the entry '{min(strange)}', which is missing or has no meaning")

    def _of(self, name: str, kinds: tuple[type, ...]) -> Any:
        value = self.content.get(name)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"'{name}' of type {type(value).__name__}")
        return value

    def text(self, name: str) -> str:
        """A short text on one line."""
        value: str = self._of(name, (str,))
        if len(value) > _LONGEST or not value.isprintable():
            raise ValueError(f"'{name}' that cannot be shown")
        return value

    def word(self, name: str, known: tuple[str, ...]) -> str:
        """One of several."""
        if (value := self.text(name)) not in known:
            raise ValueError(f"'{name}' other than {', '.join(known)}")
        return value

    def count(self, name: str) -> int:
        """A number of things."""
        value: int = self._of(name, (int,))
        if not 0 <= value < 2**63:
            raise ValueError(f"'{name}' that counts nothing")
        return value

    def points(self, name: str) -> float:
        """A difference in percentage points."""
        value = float(self._of(name, (int, float)))
        if not (isfinite(value) and 0 <= value <= 100):
            raise ValueError(f"'{name}' outside 0 to 100")
        return value

    def flag(self, name: str) -> bool:
        """Yes or no."""
        return bool(self._of(name, (bool,)))

    def sha256(self, name: str) -> str:
        """Hex sha256."""
        if not _SHA256.fullmatch(value := self.text(name)):
            raise ValueError(f"'{name}' that is no sha256")
        return value

    def commit(self, name: str) -> str:
        """Hex digest of a git commit."""
        if not _COMMIT.fullmatch(value := self.text(name)):
            raise ValueError(f"'{name}' that is no commit")
        return value

    def date(self, name: str) -> str:
        """Date and time with its zone, in ISO 8601."""
        if datetime.fromisoformat(value := self.text(name)).tzinfo is None:
            raise ValueError(f"'{name}' without a time zone")
        return value

    def rows(self, name: str) -> list[Any]:
        """A list."""
        found: list[Any] = self._of(name, (list,))
        return found

    def is_null(self, name: str) -> bool:
        """Whether the entry is there and null."""
        return name in self.content and self.content[name] is None
