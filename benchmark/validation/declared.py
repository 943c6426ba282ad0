"""What a method's file says of itself, read from its source: nothing of it is imported or run."""

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

    def config(self, variant: str) -> dict[str, Any]:
        """The settings of a variant, '' for none; KeyError where there is no such variant."""
        return {**self.defaults, **(self.variants[variant] if variant else {})}


def method_file(name: str) -> str:
    """The file of a method of the repository."""
    return f"methods/{name.replace('-', '_')}.py"


def read_declared(path: str, source: Source) -> Declared:
    """Read a method's file.

    Args:
        path: of the file.
        source: gives it, and the files of the package that it imports from.

    Raises:
        Unreadable: there is no such file, no method in it, or what it says is no plain value.
    """
    try:
        return _read(path, source)
    except Unreadable:
        raise
    except (SyntaxError, ValueError, TypeError, KeyError, ArithmeticError, RecursionError,
            AttributeError, IndexError, MemoryError) as error:  # fmt: skip
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _read(path: str, source: Source) -> Declared:
    reader = _Reader(source)
    module = reader.module(path)
    found = [
        (node, named)
        for node in module.tree.body
        if isinstance(node, ast.ClassDef) and (named := reader.method_config(module, node))
    ]
    if len(found) != 1:
        raise Unreadable(f"{len(found)} methods in {path}")
    node, (home, config) = found[0]
    defaults = _plain(reader.fields(home, config))
    attribute = reader.attribute(module, node)
    variants = _plain(attribute("variants", {}))
    uses: dict[str, list[str]] = {}
    try:
        for variant in ("", *variants):
            settings = {**defaults, **variants.get(variant, {})}
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


@dataclass
class _Module:
    path: str
    tree: ast.Module

    @cached_property
    def values(self) -> dict[str, ast.expr]:
        found: dict[str, ast.expr] = {}
        for node in self.tree.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
                found[node.target.id] = node.value
            elif isinstance(node, ast.Assign):
                found |= {t.id: node.value for t in node.targets if isinstance(t, ast.Name)}
        return found

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
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
class _Reader:
    source: Source
    modules: dict[str, _Module] = field(default_factory=dict)
    depth: int = 0

    def module(self, path: str) -> _Module:
        if path not in self.modules:
            raw = self.source(path)
            if raw is None or len(raw) > _LARGEST_FILE:
                raise Unreadable(
                    f"no file {path}" if raw is None else f"{path} of {len(raw)} bytes"
                )
            self.modules[path] = _Module(path, ast.parse(raw))
        return self.modules[path]

    def _from(self, module: _Module, name: str) -> tuple[_Module, str]:
        """Where a name that a module imports stands."""
        place, there = module.imports[name]
        if place.split("/")[0] not in ("benchmark", "methods"):
            raise Unreadable(f"'{name}' of {place}")
        for path in (f"{place}.py", f"{place}/__init__.py"):
            if path in self.modules or self.source(path) is not None:
                return self.module(path), there
        raise Unreadable(f"no file {place}.py")

    # -- classes

    def find_class(self, module: _Module, name: str) -> tuple[_Module, ast.ClassDef]:
        for _ in range(_DEEPEST):
            if name in module.classes:
                return module, module.classes[name]
            if name not in module.imports:
                break
            module, name = self._from(module, name)
        raise Unreadable(f"no class {name}")

    def method_config(
        self, module: _Module, node: ast.ClassDef
    ) -> tuple[_Module, ast.ClassDef] | None:
        """The Config class in a method's brackets, or that of Method; None for other classes."""
        for base in node.bases:
            if isinstance(base, ast.Subscript) and getattr(base.value, "id", "") == "Method":
                if not isinstance(base.slice, ast.Name):
                    raise Unreadable("brackets that hold no name")
                return self.find_class(module, base.slice.id)
            if isinstance(base, ast.Name) and base.id == "Method":
                own = self._statement(node, "Config")
                name = own.id if isinstance(own, ast.Name) else "Config"
                if name not in module.classes and name not in module.imports:
                    return self.find_class(self.module("benchmark/api.py"), "Config")
                return self.find_class(module, name)
        return None

    def fields(self, module: _Module, node: ast.ClassDef) -> dict[str, Any]:
        """Field -> default, of a dataclass and those that it extends."""
        found: dict[str, Any] = {}
        for base in node.bases:
            if not isinstance(base, ast.Name):
                raise Unreadable("a Config that extends no plain name")
            found |= self.fields(*self.find_class(module, base.id))
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                if "ClassVar" in ast.unparse(statement.annotation):
                    continue
                if statement.value is None:
                    raise Unreadable(f"no default of {statement.target.id}")
                found[statement.target.id] = self.value(statement.value, module, {})
        return found

    @staticmethod
    def _statement(node: ast.ClassDef, name: str) -> ast.expr | None:
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

    def attribute(self, module: _Module, node: ast.ClassDef) -> Callable[[str, Any], Any]:
        """Reads a class attribute: its name, and what it is where it is not set -> value."""

        def read(name: str, without: Any) -> Any:
            value = self._statement(node, name)
            return without if value is None else self.value(value, module, {})

        return read

    def badges(self, module: _Module, node: ast.ClassDef, settings: Mapping[str, Any]) -> Any:
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

    def value(self, node: ast.expr, module: _Module, names: Mapping[str, Any]) -> Any:
        """What an expression of plain values stands for; `names` are known besides."""
        self.depth += 1
        try:
            if self.depth > _DEEPEST:
                raise Unreadable("an expression that is too deep")
            return self._value(node, module, names)
        finally:
            self.depth -= 1

    def _value(self, node: ast.expr, module: _Module, names: Mapping[str, Any]) -> Any:
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

    def _name(self, name: str, module: _Module, names: Mapping[str, Any]) -> Any:
        if name in names:
            return names[name]
        if name in module.values:
            return self.value(module.values[name], module, {})
        if name in module.imports:
            there, other = self._from(module, name)
            return self._follow(there, other)
        raise Unreadable(f"'{name}'")

    def _follow(self, module: _Module, name: str) -> Any:
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
