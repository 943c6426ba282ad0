"""Checked access to the keys of one TOML table."""

import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ..common.files import file_text
from ..errors import BenchError, nearest, quoted


@dataclass(frozen=True)
class Keys:
    """One TOML table whose every key must be known and of the right type.

    Attributes:
        raw: the parsed table.
        where: which table of which file, for errors ("[recipe] of suite.toml").
    """

    raw: dict[str, Any]
    where: str

    @classmethod
    def of(cls, file: Path) -> "Keys":
        """The top table of a TOML file."""
        text = file_text(file)
        try:
            return cls(tomllib.loads(text), file.name)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            reason = str(error) if isinstance(error, ValueError) else "brackets too deep"
            expected, fix = f"valid TOML in {file.name}", "mend that line"
            raise BenchError(expected, quoted(reason, 200), fix) from error

    def __contains__(self, key: str) -> bool:
        return key in self.raw

    def bad(self, expected: str, got: str, fix: str) -> NoReturn:
        """Raises the BenchError of a mistake in this table."""
        raise BenchError(f"{expected} in {self.where}", got, fix)

    def only(self, known: Iterable[str]) -> "Keys":
        """Itself, if every key is among `known`; BenchError otherwise."""
        names = list(known)
        for key in self.raw:
            if key not in names:
                self.bad("known keys", quoted(key), nearest(key, names))
        return self

    def table(self, key: str, value: Any = None) -> "Keys":
        """The sub-table under `key` (or `value`, one of a list of them); empty where absent."""
        found = self.raw.get(key, {}) if value is None else value
        if not isinstance(found, dict):
            self.bad(
                f"a table `{key}`", quoted(found), f"write it as [{key}] or `{key} = {{ ... }}`"
            )
        return Keys(found, f"`{key}` of {self.where}")

    def tables(self, key: str) -> list["Keys"]:
        """The [[key]] tables in file order; none where absent."""
        found = self.raw.get(key, [])
        if not isinstance(found, list):
            self.bad(f"[[{key}]] tables", f"a single `{key}`", f"write [[{key}]] with two brackets")
        return [self.table(key, value) for value in found]

    def text(self, key: str, default: str | None = None) -> str:
        """A string that is not blank; `default` where absent, an error where that is None."""
        value = self.raw.get(key, default)
        if value is None:
            self.bad(f"a key `{key}`", f"only {', '.join(self.raw) or 'nothing'}", "add it")
        if not isinstance(value, str) or not value.strip():
            self.bad(f"text for `{key}`", quoted(value), "write a string in quotes")
        return value

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """A list of strings that are not blank; integers are taken as text."""
        values = self.raw.get(key, list(default))
        values = values if isinstance(values, list) else [values]
        texts = [str(v) if type(v) is int else v for v in values]
        if not texts or not all(isinstance(v, str) and v.strip() for v in texts):
            self.bad(
                f"a list of texts for `{key}`", quoted(values), f'write {key} = ["...", "..."]'
            )
        return tuple(texts)

    def number(self, key: str, low: float, high: float, *, whole: bool, default: Any = None) -> Any:
        """A finite number in [low, high]; an int where `whole`, else a float."""
        value = self.raw.get(key, default)
        kind = "a whole number" if whole else "a number"
        span = f"{kind} from {low:g} to {high:g}" if math.isfinite(high) else f"{kind} >= {low:g}"
        right = type(value) is int or (type(value) is float and not whole)
        if not right or not math.isfinite(value) or not low <= value <= high:
            got = "none" if value is None else quoted(value)
            self.bad(f"{span} for `{key}`", got, f"correct `{key}`")
        return value if whole else float(value)
