"""Which code a number is from: its content, a number that a person raises, and its commit."""

import ast
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ...common.digests import digest
from ...common.files import PACKAGE, ROOT, file_sha256, in_source_tree
from .numerics import NUMERICS

NO_NUMBER = frozenset({"__init__", "__main__", "check", "cli", "errors", "tables"})
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
    known: dict[Path, str] = {}
    return digest(sorted({_with_imports(file, trees, known) for file in files}))


def _with_imports(file: Path, trees: Mapping[Path, ast.Module], known: dict[Path, str]) -> str:
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
        folder = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        places = (folder / f"{name}.py", folder / "__init__.py", folder.with_suffix(".py"))
        there = (_with_imports(place, trees, known) for place in places if place in trees)
        return next(there, "")

    known[file] = digest([_text(trees[file], origin)])
    return known[file]


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
        about: the record's provenance. One without `numerics` is of 1, and has the digest of its
            method's bytes.
        method_sha: `content_sha` of the method's file.
        method_file: where the method is defined.
    """
    numerics = about.get("code", {}).get("numerics")
    made = about.get("method", {}).get("sha256")
    if numerics is not None:
        return bool(numerics == NUMERICS and made == method_sha)
    same = made in (method_sha, file_sha256(method_file)) or rewritten().get(made) == method_sha
    return same and NUMERICS == 1


@cache
def rewritten() -> Mapping[str, str]:
    """Digest of the bytes of a method's file as it was -> of the content that took its place.

    Of all methods with records from before `numerics`: their files were rewritten, and a record of
    each was made again, equal bit for bit. An edit of the method since then is another content.
    """
    found: dict[str, str] = json.loads(Path(__file__).with_name("rewritten.json").read_text())
    return found


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
    """A statement that does nothing when it runs, or an import, which `_imports` writes down."""
    if isinstance(node, ast.If):
        test = node.test.attr if isinstance(node.test, ast.Attribute) else node.test
        name = test.id if isinstance(test, ast.Name) else test
        return name == "TYPE_CHECKING" and not node.orelse
    doc = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return doc or isinstance(node, ast.Import | ast.ImportFrom)


def _imports(node: object, origin: Origin | None) -> list[str]:
    if origin is None or not isinstance(node, ast.Import | ast.ImportFrom):
        return []
    named = [(alias.name, alias.asname or alias.name) for alias in node.names]
    if isinstance(node, ast.Import):
        return [f"(import {name} as {own})" for name, own in named]
    return [f"(import {name} as {own} from {origin(node, name)})" for name, own in named]


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
    if not in_source_tree(ROOT):
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
