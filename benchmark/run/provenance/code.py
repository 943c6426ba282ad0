"""Which code a number is from: its content, a number that a person raises, and its commit."""

import ast
import os
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ...common.digests import digest
from ...common.files import PACKAGE, ROOT, file_sha256

NUMERICS = 1
"""Raise it by one in every commit after which some run gives another number, even in its last bit.

Records say it. Where it is the same, and the method's own content too, a record is of the present
code, however much was moved, renamed or rewritten since. (A record without one is of 1.)
"""
NO_NUMBER = frozenset({"__init__", "__main__", "api", "cli", "errors", "tables"})
"""The rooms of the package that compute no number of a record; `code_sha` has all others."""
_NO_EFFECT = frozenset({"annotation", "returns", "type_params", "type_comment", "kind", "ctx"})
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR")

Origin = Callable[[ast.ImportFrom, str], str]  # names the place that a name is imported from


@cache
def code_sha() -> str:
    """`tree_sha` of the harness.

    Computed once: what runs is what was imported, not what is saved meanwhile.
    """
    return tree_sha(PACKAGE)


def tree_sha(package: Path) -> str:
    """Hex sha256 of a package's code that can change a number, wherever in it a file lies.

    Args:
        package: its folder; rooms as in ours, see `NO_NUMBER`.
    """
    files = [f for f in package.rglob("*.py") if _room(f, package) not in NO_NUMBER]
    trees = {file: ast.parse(file.read_bytes()) for file in files}
    alone = {file: digest([_text(tree, None)]) for file, tree in trees.items()}
    return digest(sorted({digest([_text(t, _by_content(f, alone))]) for f, t in trees.items()}))


def _room(file: Path, package: Path) -> str:
    """The folder of the package, or the module on its top level, that a file is in."""
    return file.relative_to(package).parts[0].removesuffix(".py")


def content_sha(file: Path) -> str:
    """Hex sha256 of one file's code: without docstrings, comments, formatting and type hints.

    Type hints of fields stay: dataclasses and `--hp` read them. What is imported counts, its order
    does not. It is the same under every version of Python that can read the file; what is no
    source of Python (a compiled plugin) is known by its bytes.
    """
    raw = file.read_bytes()
    try:
        tree = ast.parse(raw)
    except (SyntaxError, ValueError):
        return digest([raw])
    return digest([_text(tree, lambda node, _: f"{'.' * node.level}{node.module or ''}")])


def unchanged(about: Mapping[str, Any], method_sha: str, method_file: Path) -> bool:
    """Whether a record's `numerics` and the content of its method are those of now.

    Args:
        about: the record's provenance. One without `numerics` has the digest of its method's bytes.
        method_sha: `content_sha` of the method's file.
        method_file: where the method is defined.
    """
    numerics = about.get("code", {}).get("numerics")
    of_method = {method_sha}
    if numerics is None:
        numerics, of_method = 1, {method_sha, file_sha256(method_file)}
    return numerics == NUMERICS and about.get("method", {}).get("sha256") in of_method


# -- content


def _text(node: object, origin: Origin | None) -> str:
    """A syntax tree in a form that no version of Python changes; without `origin`, no imports."""
    if isinstance(node, list):
        imports = sorted(name for child in node for name in _imports(child, origin))
        return f"[{','.join([*imports, *(_text(n, origin) for n in node if not _idle(n))])}]"
    if not isinstance(node, ast.AST):
        return ascii(node)
    if isinstance(node, ast.JoinedStr):  # to which Python 3.12 adds empty pieces
        pieces = [p for p in node.values if not (isinstance(p, ast.Constant) and p.value == "")]
        return f"(JoinedStr {_text(pieces, origin)})"
    parts = [type(node).__name__]
    for name in sorted(node._fields):
        value = getattr(node, name, None)
        field = isinstance(node, ast.AnnAssign) and name == "annotation"
        if value not in (None, []) and (field or name not in _NO_EFFECT):
            parts.append(f"{name}={_text(value, origin)}")
    return f"({' '.join(parts)})"


def _idle(node: object) -> bool:
    """A statement that is no code, or is written down elsewhere: docstrings and imports."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    doc = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return doc or isinstance(node, ast.Import | ast.ImportFrom)


def _imports(node: object, origin: Origin | None) -> list[str]:
    if origin is None or not isinstance(node, ast.Import | ast.ImportFrom):
        return []
    named = [(alias.name, alias.asname or alias.name) for alias in node.names]
    if isinstance(node, ast.Import):
        return [f"(import {name} as {own})" for name, own in named]
    return [f"(import {name} as {own} from {origin(node, name)})" for name, own in named]


def _by_content(file: Path, alone: Mapping[Path, str]) -> Origin:
    """Modules of the package are named by their content: moved, they are the same ones.

    Args:
        file: that imports.
        alone: digest of every module that counts, without what it imports.
    """

    def origin(node: ast.ImportFrom, name: str) -> str:
        if not node.level:
            return node.module or ""
        folder = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        places = (folder / f"{name}.py", folder / "__init__.py", folder.with_suffix(".py"))
        return next((alone[place] for place in places if place in alone), "")

    return origin


# -- git


def git_state(file: Path) -> dict[str, Any]:
    """Commit of the harness, and what of the code is not committed.

    Args:
        file: the method's file.

    Returns:
        commit (None outside a git checkout of this project: a package that is installed inside
        another project's checkout has no part in its commits), dirty (changed or untracked paths
        of the code).
    """
    paths = [str(PACKAGE), str(ROOT / "methods")]
    if file.resolve().is_relative_to(ROOT.resolve()):
        paths.append(str(file))
    try:
        if not _in_own_checkout():
            return {"commit": None, "dirty": []}
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=all", "--", *paths)
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": []}
    return {"commit": commit, "dirty": [line[3:] for line in changed.splitlines()]}


def git_dirty(file: Path) -> bool:
    """Whether a file of the checkout is changed or untracked, or git does not say."""
    try:
        return bool(_git("status", "--porcelain", "--untracked-files=all", "--", str(file)))
    except (OSError, subprocess.SubprocessError):
        return True


def _in_own_checkout() -> bool:
    try:
        text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        if tomllib.loads(text)["project"]["name"] != "cl-bench":
            return False
    except (OSError, ValueError, KeyError):
        return False
    if Path(_git("rev-parse", "--show-toplevel")).resolve() != ROOT.resolve():
        return False
    return bool(_git("ls-files", "--", str(PACKAGE / "__init__.py")))


def _git(*words: str) -> str:
    # In a hook of another project, git would be told to look there.
    here = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    done = subprocess.run(
        ["git", "-C", str(ROOT), *words], capture_output=True, encoding="utf-8", errors="replace",
        check=True, timeout=30, env=here,
    )  # fmt: skip
    return done.stdout.rstrip("\n")
