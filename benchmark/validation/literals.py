"""Values that Python source stands for, worked out without running any of it."""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Source = Callable[[str], bytes | None]
"""Path from the checkout's root on, with slashes -> what is in that file, None where there is none.
"""
_LARGEST_FILE, _DEEPEST = 2**20, 64
_OPERATORS: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.BitOr: operator.or_, ast.BitAnd: operator.and_, ast.Eq: operator.eq, ast.NotEq: operator.ne,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b, ast.Is: operator.is_,
    ast.IsNot: operator.is_not, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}  # fmt: skip
_MADE = {"frozenset": frozenset, "set": frozenset, "tuple": tuple, "dict": dict, "float": float}


class Unreadable(ValueError):
    """Source that says something in another way than by plain values."""


@dataclass
class MethodSource:
    """One file, as syntax."""

    path: str
    tree: ast.Module

    @cached_property
    def values(self) -> dict[str, ast.expr]:
        """Name -> what is assigned to it at the top."""
        found: dict[str, ast.expr] = {}
        for node in self.tree.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
                found[node.target.id] = node.value
            elif isinstance(node, ast.Assign):
                found |= {t.id: node.value for t in node.targets if isinstance(t, ast.Name)}
        return found

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        """Name -> class at the top."""
        return {node.name: node for node in self.tree.body if isinstance(node, ast.ClassDef)}

    @cached_property
    def imports(self) -> dict[str, tuple[str, str]]:
        """Name -> file without `.py` that it is from, and its name there."""
        found: dict[str, tuple[str, str]] = {}
        here = self.path.removesuffix(".py").removesuffix("/__init__").split("/")
        base = here if self.path.endswith("/__init__.py") else here[:-1]
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom):
                start = base[: len(base) - node.level + 1] if node.level else []
                place = "/".join([*start, *(node.module or "").split(".")]).strip("/")
                found |= {alias.asname or alias.name: (place, alias.name) for alias in node.names}
        return found


@dataclass
class SourceReader:
    """Reads classes and values of files that import from each other."""

    source: Source
    modules: dict[str, MethodSource] = field(default_factory=dict)
    depth: int = 0

    def module(self, path: str) -> MethodSource:
        """A file; Unreadable where there is none."""
        if path not in self.modules:
            raw = self.source(path)
            if raw is None or len(raw) > _LARGEST_FILE:
                raise Unreadable(
                    f"no file {path}" if raw is None else f"{path} of {len(raw)} bytes"
                )
            self.modules[path] = MethodSource(path, ast.parse(raw))
        return self.modules[path]

    def _from(self, module: MethodSource, name: str) -> tuple[MethodSource, str]:
        """Where a name that a module imports stands."""
        place, there = module.imports[name]
        if place.split("/")[0] not in ("benchmark", "methods"):
            raise Unreadable(f"'{name}' of {place}")
        for path in (f"{place}.py", f"{place}/__init__.py"):
            if path in self.modules or self.source(path) is not None:
                return self.module(path), there
        raise Unreadable(f"no file {place}.py")

    # -- classes

    def find_class(self, module: MethodSource, name: str) -> tuple[MethodSource, ast.ClassDef]:
        """A class that a file defines or imports, and where it stands."""
        for _ in range(_DEEPEST):
            if name in module.classes:
                return module, module.classes[name]
            if name not in module.imports:
                break
            module, name = self._from(module, name)
        raise Unreadable(f"no class {name}")

    def method_config(
        self, module: MethodSource, node: ast.ClassDef
    ) -> tuple[MethodSource, ast.ClassDef] | None:
        """The Config class in a method's brackets, or that of Method; None for other classes."""
        for base in node.bases:
            if isinstance(base, ast.Subscript) and getattr(base.value, "id", "") == "Method":
                if not isinstance(base.slice, ast.Name):
                    raise Unreadable("brackets that hold no name")
                return self.find_class(module, base.slice.id)
            if isinstance(base, ast.Name) and base.id == "Method":
                own = self.statement(node, "Config")
                name = own.id if isinstance(own, ast.Name) else "Config"
                if name not in module.classes and name not in module.imports:
                    return self.find_class(self.module("benchmark/api.py"), "Config")
                return self.find_class(module, name)
        return None

    def fields(self, module: MethodSource, node: ast.ClassDef) -> dict[str, Any]:
        """Field -> default, of a dataclass and those that it extends."""
        return {name: value for name, (value, _) in self.settings(module, node).items()}

    def settings(
        self, module: MethodSource, node: ast.ClassDef
    ) -> dict[str, tuple[Any, dict[str, Any]]]:
        """Field -> default, and what `setting` is told of it."""
        found: dict[str, tuple[Any, dict[str, Any]]] = {}
        for base in node.bases:
            if not isinstance(base, ast.Name):
                raise Unreadable("a Config that extends no plain name")
            found |= self.settings(*self.find_class(module, base.id))
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                if "ClassVar" in ast.unparse(statement.annotation):
                    continue
                if statement.value is None:
                    raise Unreadable(f"no default of {statement.target.id}")
                found[statement.target.id] = self._setting(statement.value, module)
        return found

    def _setting(self, node: ast.expr, module: MethodSource) -> tuple[Any, dict[str, Any]]:
        told: dict[str, Any] = {}
        match node:
            case ast.Call(func=ast.Name(id=name), args=[value]) if (
                module.imports.get(name, ("", ""))[1] == "setting"
            ):
                told = {k.arg: self.value(k.value, module, {}) for k in node.keywords if k.arg}
                node = value
        return self.value(node, module, {}), told

    @staticmethod
    def statement(node: ast.ClassDef, name: str) -> ast.expr | None:
        """What a class assigns to a name in its body."""
        for statement in node.body:
            if isinstance(statement, ast.Assign):
                targets: list[ast.expr] = statement.targets
            elif isinstance(statement, ast.AnnAssign):
                targets = [statement.target]
            else:
                continue
            if any(isinstance(t, ast.Name) and t.id == name for t in targets):
                return statement.value
        return None

    def attribute(self, module: MethodSource, node: ast.ClassDef) -> Callable[[str, Any], Any]:
        """Reads a class attribute: its name, and what it is where it is not set -> value."""

        def read(name: str, without: Any) -> Any:
            value = self.statement(node, name)
            return without if value is None else self.value(value, module, {})

        return read

    def badges(self, module: MethodSource, node: ast.ClassDef, settings: Mapping[str, Any]) -> Any:
        """What the class method `badges` returns for settings, or the attribute `uses`."""
        uses = self.attribute(module, node)("uses", frozenset())
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "badges":
                *before, last = statement.body
                plain = all(isinstance(one, ast.Expr) for one in before)
                if not plain or not isinstance(last, ast.Return) or last.value is None:
                    raise Unreadable("badges that are no single value")
                cls, config = (a.arg for a in statement.args.args)
                return self.value(last.value, module, {cls: {"uses": uses}, config: settings})
        return uses

    # -- values

    def value(self, node: ast.expr, module: MethodSource, names: Mapping[str, Any]) -> Any:
        """What an expression of plain values stands for; `names` are known besides."""
        self.depth += 1
        try:
            if self.depth > _DEEPEST:
                raise Unreadable("an expression that is too deep")
            return self._value(node, module, names)
        finally:
            self.depth -= 1

    def _value(self, node: ast.expr, module: MethodSource, names: Mapping[str, Any]) -> Any:
        def of(inner: ast.expr) -> Any:
            return self.value(inner, module, names)

        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return self._name(node.id, module, names)
            case ast.Attribute(value=ast.Name(id=name)) if name in names:
                return names[name][node.attr]
            case ast.Tuple() | ast.List() | ast.Set():
                items = self._items(node.elts, of)
                return frozenset(items) if isinstance(node, ast.Set) else tuple(items)
            case ast.Dict():
                if None in node.keys:
                    raise Unreadable("a mapping in a mapping's place")
                return {of(k): of(v) for k, v in zip(node.keys, node.values, strict=True) if k}
            case ast.UnaryOp(op=ast.USub()):
                return -of(node.operand)
            case ast.UnaryOp(op=ast.Not()):
                return not of(node.operand)
            case ast.BinOp() if type(node.op) in _OPERATORS:
                return _combined(node.op, of(node.left), of(node.right))
            case ast.Compare(ops=[op], comparators=[other]) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](of(node.left), of(other))
            case ast.IfExp():
                return of(node.body) if of(node.test) else of(node.orelse)
            case ast.Subscript():
                return of(node.value)[of(node.slice)]
            case ast.Call(func=ast.Name(id=name)) if name in _MADE and not node.keywords:
                return _MADE[name](*map(of, node.args))
        raise Unreadable(f"'{ast.unparse(node)[:60]}'")

    def _items(self, nodes: list[ast.expr], of: Callable[[ast.expr], Any]) -> list[Any]:
        found: list[Any] = []
        for inner in nodes:
            found += of(inner.value) if isinstance(inner, ast.Starred) else [of(inner)]
        return found

    def _name(self, name: str, module: MethodSource, names: Mapping[str, Any]) -> Any:
        if name in names:
            return names[name]
        if name in module.values:
            return self.value(module.values[name], module, {})
        if name in module.imports:
            there, other = self._from(module, name)
            return self._follow(there, other)
        raise Unreadable(f"'{name}'")

    def _follow(self, module: MethodSource, name: str) -> Any:
        self.depth += 1
        try:
            if self.depth > _DEEPEST:
                raise Unreadable("imports that are too deep")
            return self._name(name, module, {})
        finally:
            self.depth -= 1


def _combined(op: ast.operator, left: Any, right: Any) -> Any:
    """The result of an operator; refuses what a short expression can blow up."""
    if isinstance(op, ast.Mult) and not all(isinstance(v, int | float) for v in (left, right)):
        raise Unreadable("a product of other things than numbers")
    value = _OPERATORS[type(op)](left, right)
    if isinstance(value, int | float) and abs(value) < 2**63:
        return value
    if isinstance(value, tuple | frozenset | str | dict) and len(value) < 10_000:
        return value
    raise Unreadable("a value that is too large")
