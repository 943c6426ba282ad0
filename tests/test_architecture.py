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
from benchmark.suites.mini_few import TASKS as FEW_SHOT_TASKS

ROOT = Path(__file__).parents[1]
HARNESS = sorted((ROOT / "benchmark").rglob("*.py"))
METHODS = sorted((ROOT / "methods").glob("*.py"))
SOURCES = {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in HARNESS + METHODS}
METHOD_NAMES = {p.stem.replace("_", "-") for p in METHODS if p.stem != "__init__"}
LONGEST_FILE, LONGEST_FUNCTION = 300, 60
OPTIONS = {("benchmark/cli.py", "run")}  # a list of options, not code


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
            found |= {".".join([*module, alias.name]) for alias in node.names}
            found.add(".".join(module))
    return found


def reaches(name: str, target: str) -> bool:
    return name == target or name.startswith(target + ".")


def importers(target: str, paths: list[str]) -> list[str]:
    return [p for p in paths if any(reaches(name, target) for name in imports(p))]


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def test_the_walk_sees_imports_of_every_form() -> None:
    """The tests below must be able to fail."""
    assert "benchmark.clip" in imports("benchmark/bench.py")
    assert "benchmark.data.split" in imports("benchmark/suites/custom.py")
    assert "benchmark.commands" in imports("benchmark/cli.py")  # inside a function
    assert "benchmark.commands" not in imports("benchmark/cli.py", only_at_import=True)
    assert "benchmark.method" not in imports("benchmark/registry.py", only_at_import=True)
    assert "open_clip" in imports("benchmark/backbones.py")


def test_the_harness_imports_no_method() -> None:
    assert importers("methods", names(HARNESS)) == []


def test_methods_import_torch_and_the_api_alone() -> None:
    allowed = {"torch", "benchmark.api"}
    for path in names(METHODS):
        for name in imports(path):
            top = name.split(".")[0]
            fine = top in sys.stdlib_module_names or any(reaches(name, a) for a in allowed)
            assert fine or name == "benchmark", f"{path} imports {name}"


def test_nothing_imports_the_command_line() -> None:
    there = [p for p in names(HARNESS + METHODS) if p != "benchmark/__main__.py"]
    assert importers("benchmark.cli", there) == []


def test_one_file_knows_open_clip() -> None:
    assert importers("open_clip", names(HARNESS + METHODS)) == ["benchmark/backbones.py"]


def test_one_file_knows_transformers_and_is_imported_for_a_blip_alone() -> None:
    """It is an extra: whoever has no BLIP runs without it."""
    every = names(HARNESS + METHODS)
    assert importers("transformers", every) == ["benchmark/blip.py"]
    assert importers("benchmark.blip", every) == ["benchmark/blip_files.py"]
    assert importers("benchmark.blip_files", every) == ["benchmark/backbones.py"]
    assert "benchmark.blip_files" not in imports("benchmark/backbones.py", only_at_import=True)


def test_data_and_metrics_know_no_protocol() -> None:
    """Data, metrics, suites and tables are below the runner, training and evaluation."""
    top = ("runner", "stages", "train", "evaluate", "bench", "method", "record")
    above = [f"benchmark.{m}" for m in top]
    low = ("data", "metrics", "suites", "tables")
    paths = [p for p in names(HARNESS) if p.split("/")[1] in low]
    assert len(paths) > 20
    assert {target: importers(target, paths) for target in above} == {t: [] for t in above}


TORCH_FREE = (
    "errors", "files", "order", "listing", "registry", "request", "results", "records", "commands",
    "naming", "cli", "display", "metrics.continual", "suites", "suites.custom", "suites.mini",
    "tables", "tables.render", "data.split", "data.local", "data.cache", "data.mini", "provenance",
)  # fmt: skip


def test_light_modules_import_no_torch() -> None:
    """Each one alone, in one process: a module that is already there hides nothing of torch."""
    code = (
        "import importlib, json, sys\n"
        "out = {}\n"
        f"for name in {TORCH_FREE!r}:\n"
        "    importlib.import_module('benchmark.' + name)\n"
        "    heavy = {'torch', 'open_clip', 'torchvision', 'transformers'}\n"
        "    out[name] = sorted(heavy & set(sys.modules))\n"
        "print(json.dumps(out))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {name: [] for name in TORCH_FREE}


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
    loop = ("train", "evaluate", "runner", "stages", "bench", "method", "clip")
    for path in [*names(METHODS), *(f"benchmark/{m}.py" for m in loop)]:
        assert not strings(SOURCES[path]) & {*TASKS, *HELD_OUT, *FEW_SHOT_TASKS, "mini"}, path


def test_no_method_is_a_special_case() -> None:
    for path in names(HARNESS):
        if "/tables/" not in path:
            # Task arithmetic is a method, and by the same name a way to merge adapters.
            own = {"ta"} if path.endswith("toolkit/merging.py") else set()
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
