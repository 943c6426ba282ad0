"""What of a suite's settings a method gets, and what of them no method has."""

import ast
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import BenchError, quoted
from .suite import settings_for


def of_suite(
    settings: Mapping[str, Any], name: str, fields: Collection[str], names: Collection[str],
    files: Iterable[Path],
) -> dict[str, Any]:  # fmt: skip
    """What a suite gives to a method.

    Args:
        settings: `Suite.settings`.
        name: of the method.
        fields: its settings.
        names: of all methods.
        files: those in methods/, where the settings of all are read.

    Raises:
        BenchError: a name that no method has, or under a method's own name none of its settings.
    """
    own, fix = settings.get(name, {}), "correct `settings` of the suite"
    if not isinstance(own, Mapping):
        raise BenchError("a table of settings under a method's name", quoted(name), fix)
    given = settings_for(settings, name)
    mine = {key: value for key, value in given.items() if key in fields}
    odd = [f"{name}.{key}" for key in own if key not in fields]
    if others := given.keys() - own.keys() - mine.keys():
        odd += sorted(others - _settings_in(files))
    tables = {key for key, value in settings.items() if isinstance(value, Mapping)}
    odd += sorted(tables - {*names, name})
    if odd:
        raise BenchError("methods, and settings that they have", quoted(odd[0]), fix)
    return mine


def _settings_in(files: Iterable[Path]) -> set[str]:
    """Names of the settings of methods, by their files; none is imported."""
    trees = (ast.parse(file.read_bytes()) for file in files)
    classes = (n for tree in trees for n in tree.body if isinstance(n, ast.ClassDef))
    fields = (n for cls in classes for n in cls.body if isinstance(n, ast.AnnAssign))
    return {n.target.id for n in fields if isinstance(n.target, ast.Name)}
