"""Who may import whom, what may stand where, and how long a file may be; read from the source."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from benchmark.suites.mini import HELD_OUT, TASKS
from benchmark.suites.mini_few_shot import TASKS as FEW_SHOT_TASKS

ROOT = Path(__file__).parents[1]
HARNESS = sorted((ROOT / "benchmark").rglob("*.py"))
METHODS = sorted((ROOT / "methods").glob("*.py"))
SOURCES = {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in HARNESS + METHODS}
ALL = {
    str(p.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__")
    for p in HARNESS
}
METHOD_NAMES = {p.stem.replace("_", "-") for p in METHODS if p.stem != "__init__"}
LONGEST_FILE, LONGEST_FUNCTION = 300, 60
OPTIONS = {
    ("benchmark/cli/main.py", "run"),
    ("benchmark/cli/compare.py", "compare"),
}  # a list of options, not code


def module_of(path: str) -> list[str]:
    parts = path.removesuffix(".py").split("/")
    return parts[:-1] if parts[-1] == "__init__" else parts


def typing_only(tree: ast.Module) -> set[ast.AST]:
    """Nodes under `if TYPE_CHECKING:`, which never run."""
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }


def at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """Nodes that run when the module is imported: nothing inside a function."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            stack += ast.iter_child_nodes(node)


@cache
def imports(path: str, only_at_import: bool = False) -> set[str]:
    """Absolute names of the modules that a file imports."""
    tree, found = SOURCES[path], set()
    skipped = typing_only(tree) if only_at_import else set()
    package = module_of(path) if path.endswith("__init__.py") else module_of(path)[:-1]
    for node in at_import(tree) if only_at_import else ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = [*base, *(node.module.split(".") if node.module else [])]
            here = {".".join([*module, alias.name]) for alias in node.names}
            found |= here
            if not here <= ALL:  # a name that is defined there, and no module in that folder
                found.add(".".join(module))
    return found


def reaches(name: str, target: str) -> bool:
    return name == target or name.startswith(target + ".")


def importers(target: str, paths: list[str]) -> list[str]:
    return [p for p in paths if any(reaches(name, target) for name in imports(p))]


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "common": {"errors"},
    "metrics": set(),
    "miniworld": {"common", "errors"},
    "hub": {"common", "errors"},
    "backbones": {"common", "errors", "hub"},
    "protocol": {"backbones", "common", "errors"},
    "toolkit": {"backbones", "common", "errors", "protocol"},
    "records": {"common", "errors"},
    "stats": {"common", "errors", "records"},
    "data": {"backbones", "common", "errors", "hub", "miniworld", "protocol"},
    "suites": {"backbones", "common", "data", "errors"},
    "validation": {"common", "errors", "protocol", "records", "suites"},
    "tables": {"common", "errors", "metrics", "records", "stats", "suites", "validation"},
    "run": {"backbones", "common", "data", "errors", "hub", "metrics", "protocol", "records",
            "suites"},
    "study": {"backbones", "common", "data", "errors", "protocol", "records", "run", "suites",
              "toolkit"},
    "sweep": {"common", "errors", "protocol", "records", "run", "stats", "suites"},
    "check": {"backbones", "common", "data", "errors", "protocol", "records", "run", "suites",
              "validation"},
    "cli": {"backbones", "check", "common", "data", "errors", "hub", "protocol", "records", "run",
            "stats", "study", "suites", "sweep", "tables", "validation"},
    "api": {"backbones", "errors", "protocol", "toolkit"},
    "__main__": {"cli"},
}  # fmt: skip
"""Which room may import which; the package itself, which has the version, may be by all."""
WITHOUT_TORCH = (
    "errors", "common", "miniworld", "hub", "records", "data/own", "data/catalog",
    "data/published", "data/overlap", "stats", "suites", "tables", "validation", "sweep",
    "cli",
)  # fmt: skip
"""Rooms that start without torch, and with them all that they import."""


def room(module: str) -> str:
    """The folder, or the file on the top level, that a module of the harness is in."""
    return module.split(".")[1] if "." in module else ""


def known(name: str) -> str:
    """The module that an imported name is, or is in."""
    return name if name in ALL else name.rpartition(".")[0]


def wrong_ways(path: str, rooms: dict[str, set[str]]) -> list[str]:
    """Imports of a file that its room may not have."""
    here = room(".".join(module_of(path)))
    there = {known(name) for name in imports(path) if reaches(name, "benchmark")}
    return sorted(
        f"{path} imports {name}" for name in there
        if room(name) not in {"", here} and room(name) not in rooms.get(here, set())
    )  # fmt: skip


def test_the_walk_sees_imports_of_every_form() -> None:
    """The tests below must be able to fail."""
    assert "benchmark.backbones.backbone" in imports("benchmark/run/inputs.py")
    assert "benchmark.data.split_rules" in imports("benchmark/suites/custom.py")
    assert "benchmark.cli.run" in imports("benchmark/cli/main.py")  # inside a function
    assert "benchmark.cli.run" not in imports("benchmark/cli/main.py", only_at_import=True)
    lazy = "benchmark.protocol.method"
    assert lazy in imports("benchmark/run/registry.py")
    assert lazy not in imports("benchmark/run/registry.py", only_at_import=True)
    assert "open_clip" in imports("benchmark/backbones/open_clip_files.py")  # inside a function


@pytest.mark.parametrize("path", names(HARNESS))
def test_no_room_imports_another_that_it_may_not(path: str) -> None:
    assert wrong_ways(path, ROOMS) == []


def test_rooms_stand_above_each_other() -> None:
    """In the order of the table: no circle can be allowed by a slip in it."""
    order = list(ROOMS)
    assert {room(".".join(module_of(p))) for p in names(HARNESS)} - {""} == set(order)
    for here, there in ROOMS.items():
        assert all(order.index(one) < order.index(here) for one in there), here


def test_an_import_in_the_wrong_direction_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the top, inside a function, of a module or of a name in it."""
    imports.cache_clear()
    for line in (
        "from ..run import runner", "def f():\n    from ..run.runner import execute",
        "import benchmark.run.runner", "from ..cli.display import make_display",
    ):  # fmt: skip
        monkeypatch.setitem(SOURCES, "benchmark/records/store.py", ast.parse(line))
        assert len(wrong_ways("benchmark/records/store.py", ROOMS)) == 1, line
        imports.cache_clear()
    monkeypatch.setitem(
        SOURCES, "benchmark/records/store.py", ast.parse("from ..common import files")
    )
    assert wrong_ways("benchmark/records/store.py", ROOMS) == []
    imports.cache_clear()


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside functions count too: what needs them to break a circle is in a wrong place."""
    after = {
        ".".join(module_of(p)): {known(n) for n in imports(p) if reaches(n, "benchmark")}
        for p in names(HARNESS)
    }
    done: set[str] = set()

    def walk(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail[trail.index(module) :], module))
        if module not in done:
            for other in sorted(after.get(module, set()) - {module}):
                walk(other, (*trail, module))
            done.add(module)

    for module in sorted(after):
        walk(module, ())


def test_no_two_public_classes_have_one_name() -> None:
    where: dict[str, list[str]] = {}
    for path in names(HARNESS):
        for node in SOURCES[path].body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where.setdefault(node.name, []).append(path)
    assert {name: paths for name, paths in where.items() if len(paths) > 1} == {}


def test_no_folder_is_crowded() -> None:
    folders = {path.parent for path in HARNESS}
    crowd = {f: len([p for p in f.glob("*.py") if p.stem != "__init__"]) for f in folders}
    assert {f: n for f, n in crowd.items() if n > 12} == {}
    assert len(list((ROOT / "benchmark").glob("*.py"))) <= 6


def test_the_harness_imports_no_method() -> None:
    assert importers("methods", names(HARNESS)) == []


def test_methods_import_torch_and_the_api_alone() -> None:
    allowed = {"torch", "benchmark.api"}
    for path in names(METHODS):
        for name in imports(path):
            top = name.split(".")[0]
            fine = top in sys.stdlib_module_names or any(reaches(name, a) for a in allowed)
            assert fine or name == "benchmark", f"{path} imports {name}"


def test_one_room_knows_the_libraries_of_models() -> None:
    for library in ("open_clip", "transformers"):
        assert {room(".".join(module_of(p))) for p in importers(library, names(HARNESS))} == {
            "backbones"
        }
    assert [p for p in names(METHODS) if importers("open_clip", [p])] == []


def test_one_file_knows_transformers_and_is_imported_for_a_blip_alone() -> None:
    """It is an extra: whoever has no BLIP runs without it."""
    every = names(HARNESS + METHODS)
    assert importers("transformers", every) == ["benchmark/backbones/blip.py"]
    assert importers("benchmark.backbones.blip", every) == ["benchmark/backbones/blip_files.py"]
    assert importers("benchmark.backbones.blip_files", every) == ["benchmark/backbones/load.py"]
    at_import = imports("benchmark/backbones/load.py", only_at_import=True)
    assert "benchmark.backbones.blip_files" not in at_import


def test_open_clip_is_imported_in_parts_and_for_its_models_alone() -> None:
    """All of it is imported for a tokenizer of transformers, and where its layout is another."""
    every, here = names(HARNESS + METHODS), "benchmark/backbones"
    assert importers("open_clip", every) == [f"{here}/open_clip_files.py"]
    assert "open_clip" not in imports(f"{here}/open_clip_files.py", only_at_import=True)
    parts = "benchmark.backbones.plain_open_clip"
    own = [f"{here}/open_clip.py", f"{here}/open_clip_files.py"]
    outside = [p for p in every if not p.startswith(f"{here}/plain_open_clip/")]
    assert importers(parts, outside) == own
    assert importers("benchmark.backbones.open_clip", every) == own[1:]
    assert importers("benchmark.backbones.open_clip_files", every) == [f"{here}/load.py"]
    at_import = imports(f"{here}/load.py", only_at_import=True)
    assert "benchmark.backbones.open_clip_files" not in at_import


def test_rooms_without_torch_import_none() -> None:
    """Each module alone, in one process: one that is already there hides nothing of torch."""
    folders = {f"benchmark/{name}" for name in WITHOUT_TORCH}
    modules = [
        ".".join(module_of(p)) for p in names(HARNESS)
        if p.removesuffix(".py") in folders or any(p.startswith(f"{f}/") for f in folders)
    ]  # fmt: skip
    assert len(modules) > 80
    code = (
        "import importlib, json, sys\n"
        "out = {}\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'torch', 'open_clip', 'torchvision', 'transformers'}\n"
        "    out[name] = sorted(heavy & set(sys.modules))\n"
        "print(json.dumps(out))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {name: [] for name in modules}


def calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def test_nothing_prints() -> None:
    assert [p for p, tree in SOURCES.items() if "print" in calls(tree)] == []


def test_no_pickles() -> None:
    for path, tree in SOURCES.items():
        assert not {"torch.save", "pickle.dump", "pickle.dumps"} & set(calls(tree)), path
        assert not any(reaches(name, "pickle") for name in imports(path)), path
        loads = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
        ]
        for node in loads:
            assert "weights_only=True" in ast.unparse(node), f"{path}: {ast.unparse(node)}"


def strings(tree: ast.Module) -> set[str]:
    """String literals that are no docstrings."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    }


def test_no_dataset_is_a_special_case() -> None:
    rooms = ("protocol/", "toolkit/", "run/", "backbones/", "metrics/")
    loop = [p for p in names(HARNESS) if p.startswith(tuple(f"benchmark/{r}" for r in rooms))]
    assert len(loop) > 40
    for path in [*names(METHODS), *loop]:
        own = {"mini"} if path == "benchmark/run/request.py" else set()  # the default of --suite
        assert not strings(SOURCES[path]) & {*TASKS, *HELD_OUT, *FEW_SHOT_TASKS, "mini"} - own, path


def test_no_method_is_a_special_case() -> None:
    for path in names(HARNESS):
        if "/tables/" not in path:
            # Task arithmetic is a method, and by the same name a way to merge adapters.
            own = {"ta"} if path.endswith("toolkit/merging/spaces.py") else set()
            assert not strings(SOURCES[path]) & METHOD_NAMES - own, path


@pytest.mark.parametrize("path", names(HARNESS + METHODS))
def test_files_and_functions_are_short(path: str) -> None:
    lines = len((ROOT / path).read_text().splitlines())
    assert lines <= LONGEST_FILE, f"{path} has {lines} lines"
    for node in ast.walk(SOURCES[path]):
        if isinstance(node, ast.FunctionDef) and (path, node.name) not in OPTIONS:
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{path}: {node.name} has {length} lines"
