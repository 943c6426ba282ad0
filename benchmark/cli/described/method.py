"""A method as its file declares it: label, paper, badges, settings and variants. No torch."""

import ast
import inspect
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from ...common.origins import Origin
from ...errors import MethodError
from ...protocol.badges import Badge
from ...protocol.config import origins
from ...run.guards.declared import LONGEST, VARIANT, check_texts
from ...run.registry import MethodFile, find_method, given_by, locate, no_variant
from ...validation.declared import Declared, installed_source, read_about, read_declared
from ...validation.literals import Source, Unreadable
from .plain import is_plain


@dataclass(frozen=True)
class Described:
    """What is shown of a method.

    Attributes:
        label, paper, variants: as the class has them. uses: badges, with these settings.
        settings: those of the variant that was asked for, in the suite that was.
        name: of the method. defaults: settings without variant and suite. varied: what the variant
            changes. given: what the suite gives, where the variant does not change it.
        call: what stands before a variant's name in --method.
        file: where the values are from.
        origins: setting -> where its default is from, of those that say it.
        about: the docstring of the file, which has what differs from the paper.
    """

    label: str
    paper: str
    uses: Collection[str]
    settings: Mapping[str, Any]
    variants: Mapping[str, Mapping[str, Any]]
    call: str
    file: Path
    origins: Mapping[str, Origin]
    about: str
    name: str
    defaults: Mapping[str, Any]
    varied: Mapping[str, Any]
    given: Mapping[str, Any]


def describe_method(asked: str, settings: Mapping[str, Any] = MappingProxyType({})) -> Described:
    """Read a method's file; where that does not say all, import it.

    Args:
        asked: as for --method.
        settings: what the suite gives, `Suite.settings`.

    Raises:
        BenchError: see `find_method`.
    """
    place = locate(asked)
    call = f"{place.file.name}:" if place.origin == "path" else f"{place.name}."
    if (read := _read(place)) is not None:
        if place.variant and place.variant not in read.variants:
            raise no_variant(place.name, place.variant, read.variants)
        given = given_by(settings, place.name, read.defaults)
        varied = read.variants[place.variant] if place.variant else {}
        uses = read.uses if not given else read_declared(*_sources(place), given).uses
        return Described(
            read.label, read.paper, (uses or {})[place.variant],
            read.config(place.variant, given), read.variants, call, place.file, *_about(place),
            place.name, read.defaults, varied, _kept(given, varied),
        )  # fmt: skip
    found = find_method(asked, [], settings)
    cls = found.cls
    varied = cls.variants[found.variant] if found.variant else {}
    about = inspect.getdoc(sys.modules[cls.__module__]) or ""
    return Described(
        cls.label, cls.paper, found.uses, vars(found.config), cls.variants, call, found.file,
        origins(type(found.config)), about, found.name, vars(cls.Config()), varied,
        _kept(found.of_suite, varied),
    )  # fmt: skip


def _kept(given: Mapping[str, Any], varied: Mapping[str, Any]) -> dict[str, Any]:
    """What a suite gives, without what the variant changes again."""
    return {key: value for key, value in given.items() if key not in varied}


def _sources(place: MethodFile) -> tuple[str, Source]:
    """The path of a method's file, and what gives it and the files of the package."""
    path = f"methods/{place.file.name}" if place.origin == "methods" else str(place.file)

    def source(asked: str) -> bytes | None:
        return place.file.read_bytes() if asked == path else installed_source(asked)

    return path, source


def _about(place: MethodFile) -> tuple[Mapping[str, Origin], str]:
    """Origins of the settings and the docstring, of a file that `_read` could read."""
    about, told = read_about(*_sources(place))
    return {name: Origin(**parts) for name, parts in told.items()}, about


def _read(place: MethodFile) -> Declared | None:
    """What the file says; None where it would have to be imported to know."""
    built_in = place.origin == "methods"
    path, source = _sources(place)
    with suppress(Unreadable, OSError, MethodError, SyntaxError, ValueError):
        found = read_declared(path, source)
        plain = built_in or is_plain(ast.parse(place.file.read_bytes()), _offered())
        if found.uses is not None and plain and (built_in or _allowed(found)):
            return found
    return None


def _offered() -> set[str]:
    """The names that methods may import from the package."""
    tree = ast.parse(installed_source("benchmark/api.py") or b"")
    imported_from = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name for node in imported_from for alias in node.names}


def _allowed(found: Declared) -> bool:
    """Whether a run would take these declarations.

    Raises:
        MethodError: not that label, or that paper.
    """
    check_texts(type("Method", (), {"label": found.label, "paper": found.paper}))
    badges = {badge for uses in (found.uses or {}).values() for badge in uses}
    return badges <= set(get_args(Badge)) and all(
        len(tag) <= LONGEST and VARIANT.fullmatch(tag) and changes.keys() <= found.defaults.keys()
        for tag, changes in found.variants.items()
    )
