"""Finds a method by name, entry point or path. Listing imports nothing."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..common.files import ROOT, module_file
from ..common.origins import NOWHERE, Origin
from ..errors import BenchError, MethodError, nearest
from ..protocol.config import Config, field_types, origins, parse_changes
from ..suites.given import of_suite
from .guards.crash import is_failure, said
from .guards.declared import check_answers, check_declared, check_name
from .provenance.method_code import method_sha

if TYPE_CHECKING:
    from ..protocol.badges import Badge
    from ..protocol.method import Method

GROUP = "cl_bench.methods"
R = TypeVar("R")


@dataclass(frozen=True)
class ResolvedMethod:
    """A method that was asked for.

    Attributes:
        name, variant: as in records; variant is "" for none. cls: the Method subclass.
        config: defaults, the suite's settings, the variant's and --hp, in this order.
        of_suite: the settings that the suite gives, though a variant may override them.
        origins: setting -> where its value is from; a suite's are told by the suite.
        overrides: what --hp really changed, as text. file: where it is defined; sha: its content.
        origin: "methods", "entry point" or "path".
    """

    name: str
    variant: str
    cls: "type[Method[Any]]"
    config: Config
    overrides: dict[str, str]
    file: Path
    sha: str
    origin: str
    of_suite: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)

    @property
    def uses(self) -> "frozenset[Badge]":
        """What the method needs beyond the current task's data, with these settings."""
        return self.cls.badges(self.config)


def _folder() -> Path:
    spec = importlib.util.find_spec("methods")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations)))


def _built_in() -> dict[str, Path]:
    files = sorted(_folder().glob("[a-z]*.py"))
    return {f.stem.replace("_", "-"): f for f in files}


def _plugins() -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, []).append(entry)
    return found


def method_names() -> dict[str, str]:
    """Method name -> where it comes from, without importing any of them."""
    known = {name: "methods/" + path.name for name, path in _built_in().items()}
    for name, entries in _plugins().items():
        origin = " and ".join(f"entry point {e.value}" for e in entries)
        known[name] = f"{known[name]} and {origin}" if name in known else origin
    return known


def check_method(asked: str) -> None:
    """Raises BenchError where there is no method of that name, or two; none is imported."""
    path = asked.partition(":")[0]
    if path.endswith(".py"):
        if not Path(path).is_file():
            raise BenchError("a method file", f"no file '{path}'", "correct --method")
        return
    name = asked.partition(".")[0]
    files, plugins = _built_in(), _plugins()
    if len(plugins.get(name, [])) + (name in files) > 1:
        raise BenchError(f"one method named '{name}'", method_names()[name], "rename one of them")
    if name not in files and name not in plugins:
        raise BenchError(
            "a method, 'method.variant' or a path to a .py file",
            f"'{asked}'",
            nearest(name, [*files, *plugins]) + "; `cl-bench ls` lists all",
        )


class MethodFile(NamedTuple):
    """Where a method is; all as in `ResolvedMethod`."""

    name: str
    variant: str
    file: Path
    origin: str


def locate(asked: str) -> MethodFile:
    """Where a method is, of an entry point as far as nothing is imported; as `check_method`."""
    check_method(asked)
    path, _, variant = asked.partition(":")
    if path.endswith(".py"):
        file = Path(path).absolute()
        name = file.stem.replace("_", "-")
        check_name(name, "rename the file")
        return MethodFile(name, variant, file, "path")
    name, _, variant = asked.partition(".")
    check_name(name, "rename the entry point")
    if (own := _built_in().get(name)) is not None:
        return MethodFile(name, variant, own, "methods")
    return MethodFile(name, variant, module_file(_plugins()[name][0].module), "entry point")


def given_by(settings: Mapping[str, Any], name: str, fields: Collection[str]) -> dict[str, Any]:
    """What a suite's settings give to a method with these fields; raises as `of_suite`."""
    return of_suite(settings, name, fields, method_names(), _built_in().values())


def find_method(
    asked: str, hp: list[str], settings: Mapping[str, Any] = MappingProxyType({})
) -> ResolvedMethod:
    """The method of that name with its config.

    Args:
        asked: "name", "name.variant", or a path to a .py file (with ".py:variant" for a variant).
        hp: "key=value" overrides of the config.
        settings: the suite's; see `Suite.settings`.

    Raises:
        BenchError: unknown name, variant, key or value; two methods of one name; a file that
            defines no method or several; a plugin that cannot be imported.
    """
    name, variant, file, origin = locate(asked)
    if origin == "path":
        module = _import_file(file)
    else:
        module = _import_named(name)
        file = Path(inspect.getfile(module))
    cls = _only_method(module, asked)
    _own_code(f"declarations of '{asked}' that can be read", file, lambda: check_declared(cls))
    what = f"a Config of '{asked}' that can be made (a frozen dataclass that extends Config)"
    mine = given_by(settings, name, field_types(cls.Config))
    base = _own_code(what, file, lambda: _base_config(cls, name, variant, mine))
    changes = parse_changes(base, name, hp)
    config = _own_code(what, file, lambda: replace(base, **changes))
    what = f"badges and refusals of '{asked}' that can be read"
    _own_code(what, file, lambda: check_answers(cls, config))
    overrides = {
        key: ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for key, value in sorted(vars(config).items())
        if value != getattr(base, key)
    }
    sha = method_sha(module, file)
    varied = cls.variants[variant] if variant else {}
    said = {k: o for k, o in origins(cls.Config).items() if k not in varied}
    own = (k for k in field_types(cls.Config) if k not in mine or k in varied)
    told = {k: said.get(k, NOWHERE) for k in own}
    return ResolvedMethod(
        name, variant, cls, config, overrides, file, sha, origin, of_suite=mine, origins=told
    )


def is_built_in(method: ResolvedMethod) -> bool:
    """Whether a method is the one of its name in methods/, whatever it was asked for by.

    A file elsewhere, an entry point and a link under another name are not, wherever they lead.
    """
    folder, own = (ROOT / "methods").resolve(), _built_in().get(method.name)
    if own is None or not own.resolve().is_relative_to(folder):
        return False
    return method.origin != "entry point" and own.resolve() == method.file.resolve()


def _import_named(name: str) -> ModuleType:
    files, plugins = _built_in(), _plugins()
    built_in = name in files
    value = f"methods.{files[name].stem}" if built_in else plugins[name][0].value
    try:
        return importlib.import_module(value.partition(":")[0])
    except BenchError:
        raise
    except BaseException as e:
        if not is_failure(e, frozenset()):
            raise
        raise MethodError(
            f"{'' if built_in else 'the entry point '}'{name}' ({value}) to import",
            said(e),
            "mend the file" if built_in else "mend or uninstall that package",
        ) from e


def _import_file(file: Path) -> ModuleType:
    name = f"cl_bench_method_{sha256(str(file.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BenchError as e:
        raise _of_method(e) from e
    except BaseException as e:
        if not is_failure(e, frozenset({file})):
            raise
        fix = "write @dataclass(frozen=True) above its Config in" if _unfrozen(e) else "mend"
        raise MethodError("a method file that imports", said(e), f"{fix} '{file}'") from e
    return module


def _unfrozen(error: BaseException) -> bool:
    return isinstance(error, TypeError) and "non-frozen dataclass" in said(error)


def _only_method(module: ModuleType, asked: str) -> "type[Method[Any]]":
    from ..protocol.method import Method

    own = [
        c
        for c in vars(module).values()
        if inspect.isclass(c) and issubclass(c, Method) and c.__module__ == module.__name__
    ]
    if len(own) != 1:
        raise MethodError(
            f"one subclass of Method in '{asked}'",
            ", ".join(c.__name__ for c in own) or "none",
            "keep one method in one file",
        )
    if not hasattr(own[0], "label"):
        raise MethodError(
            f"a class attribute `label` in {own[0].__name__}", "none", "give its name in tables"
        )
    return own[0]


def _own_code(what: str, file: Path, make: Callable[[], R]) -> R:
    """What a method's own code gives, with a sentence for what it raises itself."""
    try:
        return make()
    except BenchError:
        raise
    except BaseException as e:
        if not is_failure(e, frozenset({file})):
            raise
        raise MethodError(what, said(e), f"mend '{file}'") from e


def _of_method(error: BenchError) -> MethodError:
    """A mistake that a method's file makes, and not the request: it ends one run alone."""
    return MethodError(error.expected, error.got, error.fix, error.code)


def _defaults(cls: "type[Method[Any]]") -> Config:
    try:
        return cls.Config()
    except BenchError as e:
        raise _of_method(e) from e


def _base_config(
    cls: "type[Method[Any]]", name: str, variant: str, settings: Mapping[str, Any]
) -> Config:
    if variant and variant not in cls.variants:
        raise no_variant(name, variant, cls.variants)
    return replace(_defaults(cls), **{**settings, **(cls.variants[variant] if variant else {})})


def no_variant(name: str, variant: str, known: Collection[str]) -> BenchError:
    """The error for a variant that a method does not have; `known` are those that it has."""
    fix = nearest(variant, known) if known else f"use --method {name}"
    return BenchError(f"a variant of {name} ({', '.join(known) or 'none'})", f"'{variant}'", fix)
