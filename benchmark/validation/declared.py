"""What a method's file says of itself, read from its source: nothing of it is imported or run."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..common.files import PACKAGE
from .literals import MethodSource, Source, SourceReader, Unreadable


@dataclass(frozen=True)
class Declared:
    """What a method's file declares.

    Attributes:
        label, paper: the class attributes.
        defaults: setting -> default; tuples are lists, as in records.
        variants: tag -> settings that it overrides.
        uses: variant ("" for none) -> badges; None where they are no plain function of settings.
        invariants, aliases: see `Method`.
    """

    label: str
    paper: str
    defaults: Mapping[str, Any]
    variants: Mapping[str, Mapping[str, Any]]
    uses: Mapping[str, list[str]] | None
    invariants: Mapping[str, Mapping[str, Any]]
    aliases: Mapping[str, str]

    def config(
        self, variant: str, of_suite: Mapping[str, Any] = MappingProxyType({})
    ) -> dict[str, Any]:
        """The settings of a variant, '' for none; KeyError where there is no such variant.

        Args:
            variant: which.
            of_suite: what the suite gives to methods that have such settings.
        """
        mine = {key: value for key, value in of_suite.items() if key in self.defaults}
        return {**self.defaults, **mine, **(self.variants[variant] if variant else {})}


def method_file(name: str) -> str:
    """The file of a method of the repository."""
    return f"methods/{name.replace('-', '_')}.py"


def installed_source(path: str) -> bytes | None:
    """A file of the installed packages, by its path from the checkout's root on; else None."""
    first, _, rest = path.partition("/")
    spec = find_spec("methods") if first == "methods" else None
    places = (spec.submodule_search_locations if spec is not None else None) or []
    roots = [PACKAGE] if first == "benchmark" else [Path(place) for place in places]
    return next((f.read_bytes() for root in roots if (f := root / rest).is_file()), None)


def read_declared(
    path: str, source: Source, given: Mapping[str, Any] = MappingProxyType({})
) -> Declared:
    """Read a method's file.

    Args:
        path: of the file.
        source: gives it, and the files of the package that it imports from.
        given: what a suite gives to its settings, so that the badges are those there.

    Raises:
        Unreadable: there is no such file, no method in it, or what it says is no plain value.
    """
    try:
        return _read(path, source, given)
    except Unreadable:
        raise
    except (SyntaxError, ValueError, TypeError, KeyError, ArithmeticError, RecursionError,
            AttributeError, IndexError, MemoryError) as error:  # fmt: skip
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def read_about(path: str, source: Source) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
    """The docstring of a method's file; and setting -> what `setting` is told of its default.

    Raises as `read_declared`.
    """
    reader = SourceReader(source)
    module, _, (home, config) = _found(reader, path)
    told = {name: told for name, (_, told) in reader.settings(home, config).items() if told}
    return ast.get_docstring(module.tree) or "", told


def _found(
    reader: SourceReader, path: str
) -> tuple[MethodSource, ast.ClassDef, tuple[MethodSource, ast.ClassDef]]:
    """The file, its method, and the Config of that and where it stands."""
    module = reader.module(path)
    found = [
        (node, named)
        for node in module.tree.body
        if isinstance(node, ast.ClassDef) and (named := reader.method_config(module, node))
    ]
    if len(found) != 1:
        raise Unreadable(f"{len(found)} methods in {path}")
    return module, *found[0]


def _read(path: str, source: Source, given: Mapping[str, Any]) -> Declared:
    reader = SourceReader(source)
    module, node, (home, config) = _found(reader, path)
    defaults = _plain(reader.fields(home, config))
    attribute = reader.attribute(module, node)
    variants = _plain(attribute("variants", {}))
    uses: dict[str, list[str]] = {}
    try:
        for variant in ("", *variants):
            settings = {**defaults, **given, **variants.get(variant, {})}
            uses[variant] = sorted(reader.badges(module, node, settings))
    except (Unreadable, TypeError, KeyError):
        uses = {}
    label, paper = attribute("label", ""), attribute("paper", "")
    if not (isinstance(label, str) and isinstance(paper, str)):
        raise Unreadable("a label or paper that is no text")
    return Declared(
        label, paper, defaults, variants, uses or None,
        _plain(attribute("invariants", {})), _plain(attribute("aliases", {})),
    )  # fmt: skip


def _plain(value: Any) -> Any:
    """A value as JSON would give it back."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, frozenset):
        return sorted(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise Unreadable(f"a value of type {type(value).__name__}")
