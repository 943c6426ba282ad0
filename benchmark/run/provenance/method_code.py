"""What a method's code is: its file, and whatever of its author's own that imports."""

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

from ...common.digests import digest
from ...common.files import ROOT
from ...common.source import content_sha

INSTALLED = ("stdlib", "platstdlib", "purelib", "platlib")  # of sysconfig


@cache
def method_sha(module: ModuleType, file: Path) -> str:
    """`content_sha` of the code that was imported, whatever is saved in its files since.

    Modules of one's own that a method's file imports, anywhere in it, and what those import, count
    as the file does: those in its package, and those that lie in no folder of installed packages.
    The harness itself has a digest of its own.

    Args:
        module: of the method.
        file: where it is.
    """
    home = _package(module, file)
    seen, stack = {file.resolve()}, [(file, module.__package__ or "")]
    while stack:
        at, package = stack.pop()
        for name in _imported(at, package):
            own = _own(name, home)
            if own is not None and own not in seen:
                seen.add(own)
                stack.append((own, name if own.stem == "__init__" else name.rpartition(".")[0]))
    sha, beside = content_sha(file), seen - {file.resolve()}
    return digest([sha, *sorted(map(content_sha, beside))]) if beside else sha


def _imported(file: Path, package: str) -> Iterator[str]:
    """Full names of all that a file imports; of names out of a module, those of the modules."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                yield from (".".join(parts[: n + 1]) for n in range(len(parts)))
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            parts = base.split(".")
            yield from (".".join(parts[: n + 1]) for n in range(len(parts)))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _own(name: str, home: Path | None) -> Path | None:
    """The file of a module, if it is of the method's author."""
    place = _place(name)
    if place is None or not place.endswith(".py"):
        return None
    file = Path(place).resolve()
    if any(file.is_relative_to(ROOT.resolve() / part) for part in ("benchmark", "methods")):
        return None
    if home is not None and file.is_relative_to(home):
        return file
    return None if any(file.is_relative_to(at) for at in _installed()) else file


def _place(name: str) -> str | None:
    """Where a module's file is; without importing anything, it may be imported later."""
    if (found := sys.modules.get(name)) is not None:
        place = getattr(found, "__file__", None)
        return place if isinstance(place, str) else None
    if "." in name and name.rpartition(".")[0] not in sys.modules:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    return None if spec is None else spec.origin


@cache
def _installed() -> tuple[Path, ...]:
    return tuple(Path(sysconfig.get_path(name)).resolve() for name in INSTALLED)


def _package(module: ModuleType, file: Path) -> Path | None:
    """The folder of the method's package; None for a file by itself."""
    top, _, inside = module.__name__.partition(".")
    if not inside:
        return None
    place = getattr(sys.modules.get(top), "__file__", None)
    return Path(place).resolve().parent if isinstance(place, str) else file.resolve().parent
