"""Whether the source of a method's file shows all that an import of it would make."""

import ast
import sys
from collections.abc import Collection, Iterable, Iterator

from ...run.guards.hooks import HOOKS, odd_name

_KNOWN = {*sys.stdlib_module_names, "methods", "numpy", "torch", "typing_extensions"}
_COUNTED = (ast.Set, ast.SetComp, ast.List, ast.Dict)  # which a Config shows in other ways


def is_plain(tree: ast.Module, offered: Collection[str]) -> bool:
    """Whether reading is enough: nothing is computed, changed later, or likely to fail.

    Where it is not, an import shows what the file makes of itself, or says what is wrong with it.

    Args:
        tree: of a file with one method.
        offered: the names of `benchmark.api`.
    """
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    methods = [node for node in classes.values() if _names_method(node)]
    return (
        len(methods) == 1
        and all(map(_simple, tree.body))
        and _once(tree.body)
        and all(_from_known(node, offered) for node in tree.body)
        and _imported(tree, "Method", "benchmark.api")
        and _plain_method(methods[0])
        and all(_plain_config(node, tree) for node in _configs(methods[0], classes))
    )


def _names_method(node: ast.ClassDef) -> bool:
    bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
    return any(isinstance(base, ast.Name) and base.id == "Method" for base in bases)


def _configs(method: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Iterator[ast.ClassDef]:
    """The file's own classes among those that the method's Config is made of."""
    base = method.bases[0]
    left = [base.slice] if isinstance(base, ast.Subscript) else []
    while left:
        name = left.pop()
        if isinstance(name, ast.Name) and name.id in classes:
            yield classes[name.id]
            left += classes[name.id].bases


# -- statements


def _text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


def _simple(node: ast.stmt) -> bool:
    """Something that only gives a name to a thing, or imports for type checkers."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return all(isinstance(target, ast.Name) for target in _targets(node))
    kinds = ast.Import | ast.ImportFrom | ast.ClassDef | ast.FunctionDef
    return isinstance(node, kinds) or _text(node)


def _once(body: Iterable[ast.stmt]) -> bool:
    """Whether no name is given twice."""
    names: list[str] = []
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names += [alias.asname or alias.name for alias in node.names]
        names += [target.id for target in _targets(node) if isinstance(target, ast.Name)]
    return len(set(names)) == len(names)


def _from_known(node: ast.stmt, offered: Collection[str]) -> bool:
    """An import of what is surely there."""
    if isinstance(node, ast.Import):
        return all(alias.name.split(".")[0] in _KNOWN for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        if node.module == "benchmark.api":
            return all(alias.name in offered for alias in node.names)
        known = (node.module or "").split(".")[0] in _KNOWN
        return known and not node.level and node.names[0].name != "*"
    return True


def _imported(tree: ast.Module, name: str, module: str) -> bool:
    imported_from = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return any(
        node.module == module and any((a.name, a.asname) == (name, None) for a in node.names)
        for node in imported_from
    )


# -- classes


def _plain_method(node: ast.ClassDef) -> bool:
    return (
        len(node.bases) == 1
        and not node.keywords
        and not node.decorator_list
        and all(map(_simple, node.body))
        and _once(node.body)
        and all(_plain_hook(inner) for inner in node.body if isinstance(inner, ast.FunctionDef))
    )


def _plain_hook(node: ast.FunctionDef) -> bool:
    args = node.args
    more = args.posonlyargs or args.kwonlyargs or args.vararg or args.kwarg or args.defaults
    if node.name not in HOOKS:
        return not odd_name(node.name)
    return not more and tuple(a.arg for a in args.args)[1:] == HOOKS[node.name]


def _plain_config(node: ast.ClassDef, tree: ast.Module) -> bool:
    """A frozen dataclass whose fields keep the values that they are written with."""
    fields = [inner for inner in node.body if isinstance(inner, ast.AnnAssign)]
    functions = [inner for inner in node.body if isinstance(inner, ast.FunctionDef)]
    others = [i for i in node.body if not (_text(i) or i in fields or i in functions)]
    return (
        [ast.unparse(one) for one in node.decorator_list] == ["dataclass(frozen=True)"]
        and _imported(tree, "dataclass", "dataclasses")
        and not others
        and not node.keywords
        and not any(isinstance(part, _COUNTED) for part in _values(fields, tree))
        and all(_only_reads(function, tree) for function in functions)
    )


def _values(fields: Iterable[ast.AnnAssign], tree: ast.Module) -> Iterator[ast.AST]:
    """All parts of the fields' values, and of those that the file gives to the names in them."""
    shared: dict[str, ast.expr | None] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            shared |= {t.id: node.value for t in _targets(node) if isinstance(t, ast.Name)}
    left = [field.value for field in fields]
    while left:
        for part in ast.walk(left.pop() or ast.Pass()):
            yield part
            if isinstance(part, ast.Name) and part.id in shared:
                left.append(shared.pop(part.id))


def _only_reads(node: ast.FunctionDef, tree: ast.Module) -> bool:
    """Whether a function of a Config reads it, and has the harness read it, and does no more."""
    if node.decorator_list or not node.args.args:
        return False
    harness = {
        alias.asname or alias.name
        for each in tree.body if isinstance(each, ast.ImportFrom) and each.module == "benchmark.api"
        for alias in each.names
    }  # fmt: skip
    parts, own, allowed = list(ast.walk(node)), node.args.args[0].arg, set()
    for part in parts:
        if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Load):
            allowed |= {id(part.value)} if not part.attr.startswith("__") else set()
        elif isinstance(part, ast.Call) and ast.unparse(part.func) in harness | {"getattr"}:
            allowed |= {id(arg) for arg in part.args}
    uses = [part for part in parts if isinstance(part, ast.Name) and part.id == own]
    return all(id(use) in allowed for use in uses) and "setattr" not in ast.unparse(node)
