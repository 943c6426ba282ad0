"""Code by its content: what stays the same however a file is formatted, moved or explained."""

import ast
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import TypeGuard

from .digests import digest

NO_NUMBER = frozenset(
    {"__init__", "__main__", "check", "cli", "errors", "stats", "sweep", "tables", "validation"}
)
"""The rooms of the package that compute no number of a record; `tree_sha` has all others."""
DECLARATIONS = frozenset({"aliases", "invariants"})
"""Attributes of a method's class that say what must hold of its records, and change no number."""
ORIGIN = frozenset({"source", "paper", "why", "sweep", "trials"})
"""What `setting` is told of where a default is from."""
_NO_EFFECT = frozenset({"annotation", "returns", "type_params", "type_comment", "kind", "ctx"})

Origin = Callable[[ast.ImportFrom, str], str]  # names the place that a name is imported from


def tree_sha(package: Path) -> str:
    """Hex sha256 of a package's code that can change a number, wherever in it a file lies.

    Args:
        package: its folder; rooms as in ours, see `NO_NUMBER`.
    """
    return files_sha({f.relative_to(package.parent): f.read_bytes() for f in package.rglob("*.py")})


def files_sha(files: Mapping[PurePath, bytes], no_number: frozenset[str] = NO_NUMBER) -> str:
    """`tree_sha` of files that lie nowhere.

    Args:
        files: path, from the package's folder on -> content.
        no_number: rooms that are left out; a commit may have others than we.
    """
    trees = {f: ast.parse(raw) for f, raw in files.items() if _room(f) not in no_number}
    known: dict[PurePath, str] = {}
    return digest(sorted({_with_imports(file, trees, known) for file in trees}))


def _with_imports(
    file: PurePath, trees: Mapping[PurePath, ast.Module], known: dict[PurePath, str]
) -> str:
    """Digest of a module and, through those that it imports, of all that its names stand for.

    Args:
        file: the module.
        trees: of every module that counts.
        known: digests so far; one that is not finished stands for a circle of imports.
    """
    if file in known:
        return known[file]
    known[file] = "circle"

    def origin(node: ast.ImportFrom, name: str) -> str:
        """Modules of the package are named by their content: moved, they are the same ones."""
        if not node.level:
            return node.module or ""
        if node.level >= len(file.parents):
            return ""
        folder = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        places = (folder / f"{name}.py", folder / "__init__.py", folder.with_suffix(".py"))
        there = (_with_imports(place, trees, known) for place in places if place in trees)
        return next(there, "")

    known[file] = digest([_text(trees[file], origin)])
    return known[file]


def _room(file: PurePath) -> str:
    """The folder of the package, or the module on its top level, that a file is in."""
    return file.parts[1].removesuffix(".py")


def content_sha(file: Path) -> str:
    """`bytes_sha` of what is in a file."""
    return bytes_sha(file.read_bytes())


def bytes_sha(raw: bytes) -> str:
    """Hex sha256 of one file's code: without docstrings, comments, formatting and type hints.

    Type hints of fields stay: dataclasses and `--hp` read them. What is imported counts, its order
    does not. It is the same under every version of Python that can read the file; what is no
    source of Python (a compiled plugin) is known by its bytes. What a method says of its records
    (`DECLARATIONS`) is no part of it.
    """
    try:
        tree = ast.parse(raw)
    except (SyntaxError, ValueError):
        return digest([raw])
    return digest([_text(tree, lambda node, _: f"{'.' * node.level}{node.module or ''}")])


# -- content


def _text(node: object, origin: Origin | None, of_class: bool = False) -> str:
    """A syntax tree in a form that no version of Python changes; without `origin`, no imports.

    Args:
        node: the tree.
        origin: see `Origin`.
        of_class: whether it is the list of statements of a class.
    """
    if isinstance(node, list):
        imports = sorted(name for child in node for name in _imports(child, origin))
        kept = (n for n in node if not _idle(n) and not (of_class and _declares(n)))
        return f"[{','.join([*imports, *(_text(n, origin) for n in kept)])}]"
    if not isinstance(node, ast.AST):
        return ascii(node)
    if _is_setting(node):
        return _text(node.args[0], origin)
    if isinstance(node, ast.JoinedStr):  # to which Python 3.12 adds empty pieces
        pieces = [p for p in node.values if not (isinstance(p, ast.Constant) and p.value == "")]
        return f"(JoinedStr {_text(pieces, origin)})"
    parts = [type(node).__name__]
    for name in sorted(node._fields):
        value = getattr(node, name, None)
        field = isinstance(node, ast.AnnAssign) and name == "annotation"
        if value not in (None, []) and (field or name not in _NO_EFFECT):
            statements = isinstance(node, ast.ClassDef) and name == "body"
            parts.append(f"{name}={_text(value, origin, statements)}")
    return f"({' '.join(parts)})"


def _is_setting(node: ast.AST) -> TypeGuard[ast.Call]:
    """A default that says where it is from: the value alone can change a number."""
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        and node.func.id == "setting" and len(node.args) == 1
        and all(isinstance(k.value, ast.Constant) and k.arg in ORIGIN for k in node.keywords)
    )  # fmt: skip


def _idle(node: object) -> bool:
    """A statement that does nothing when it runs, or an import, which `_imports` writes down."""
    if isinstance(node, ast.If):
        test = node.test.attr if isinstance(node.test, ast.Attribute) else node.test
        name = test.id if isinstance(test, ast.Name) else test
        return name == "TYPE_CHECKING" and not node.orelse
    doc = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return doc or isinstance(node, ast.Import | ast.ImportFrom)


def _declares(node: object) -> bool:
    """A plain declaration of `DECLARATIONS`: a value of literals, which nothing runs."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target: ast.AST = node.targets[0]
    elif isinstance(node, ast.AnnAssign):
        target = node.target
    else:
        return False
    if not (isinstance(target, ast.Name) and target.id in DECLARATIONS and node.value is not None):
        return False
    try:
        ast.literal_eval(node.value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _imports(node: object, origin: Origin | None) -> list[str]:
    if origin is None or not isinstance(node, ast.Import | ast.ImportFrom):
        return []
    named = [(alias.name, alias.asname or alias.name) for alias in node.names]
    named = [pair for pair in named if pair != ("setting", "setting")]  # see `_is_setting`
    if isinstance(node, ast.Import):
        return [f"(import {name} as {own})" for name, own in named]
    return [f"(import {name} as {own} from {origin(node, name)})" for name, own in named]
