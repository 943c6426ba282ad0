"""Group 2: what the text of a method's file may name. No line of it is run here."""

import ast
import inspect
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from ...suites.names import Kind
from ..contract import Broken, Subject, check

API = "benchmark.api"
# Modules of Python that reach beyond a method's hooks, by what they would be used for.
_REACHING = {
    "files": ("io", "os", "pathlib", "shutil", "tempfile", "glob", "fileinput", "mmap", "sqlite3",
              "zipfile", "tarfile", "gzip", "bz2", "lzma", "csv", "logging"),
    "pickles": ("pickle", "pickletools", "copyreg", "marshal", "shelve", "dbm"),
    "other processes": ("subprocess", "multiprocessing", "concurrent", "threading", "signal",
                        "ctypes", "asyncio", "pty"),
    "the network": ("socket", "ssl", "http", "urllib", "ftplib", "smtplib", "xmlrpc", "select"),
    "other objects of the process": ("gc", "inspect", "builtins", "importlib", "runpy", "code",
                                     "codeop", "pkgutil", "atexit", "faulthandler", "tracemalloc"),
}  # fmt: skip
_WHY = {module: why for why, modules in _REACHING.items() for module in modules}
_CALLS = frozenset({"__import__", "breakpoint", "compile", "eval", "exec", "globals", "input",
                    "open"})  # fmt: skip
_ATTRIBUTES = frozenset({
    "__closure__", "__globals__", "__subclasses__", "_getframe", "_current_frames", "cell_contents",
    "f_back", "f_globals", "f_locals", "gi_frame", "tb_frame",
})  # fmt: skip
_OF_TORCH = ("torch.save", "torch.load", "torch.hub", "torch.package", "torch.distributed",
             "torch.multiprocessing", "torch.serialization")  # fmt: skip
_OF_SYS = ("sys.modules", "sys.settrace", "sys.setprofile", "sys.path", "sys.meta_path")
_HARMLESS = frozenset({"torch", *sys.stdlib_module_names})

Slip = tuple[int, str]


@check(
    "static",
    f"Import torch, Python's own modules and `{API}` alone; the harness reads and writes files.",
    once=True,
)
def imports(subject: Subject, kind: Kind) -> None:
    """Its file imports torch, harmless modules of Python and `benchmark.api`, nothing else."""
    plugin = subject.found.origin == "entry point"
    own = {subject.found.cls.__module__.partition(".")[0]} if plugin else set[str]()
    _none(subject.file, [s for f in _files(subject) for s in imported(f, own)])


@check(
    "static",
    "Leave files, names of other modules and frames alone: what a method may read it is given.",
    once=True,
)
def calls(subject: Subject, kind: Kind) -> None:
    """Its file opens nothing, runs no text as code and reads no other function's variables."""
    _none(subject.file, [s for f in _files(subject) for s in reached(f)])


def imported(file: Path, own: Collection[str] = ()) -> list[Slip]:
    """Line and words of every import of a file that a method may not have.

    Args:
        file: Python.
        own: packages that it may import beside: that of a method behind an entry point.
    """
    found: list[Slip] = []
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            found += [s for a in node.names for s in _judged(node.lineno, a.name, own)]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                if not own:
                    found.append((node.lineno, "a relative import"))
                continue
            assert node.module is not None
            if node.module not in (API, "benchmark"):
                found += _judged(node.lineno, node.module, own)
            elif node.module == "benchmark" and {a.name for a in node.names} != {"api"}:
                found.append((node.lineno, f"`from benchmark import {node.names[0].name}`"))
    return found


def reached(file: Path) -> list[Slip]:
    """Line and words of everything that a file names and a method may not use."""
    found: list[Slip] = []
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in _CALLS:
                found.append((node.lineno, f"`{node.func.id}(...)`"))
        elif isinstance(node, ast.Name) and node.id == "__builtins__":
            found.append((node.lineno, "`__builtins__`"))
        elif isinstance(node, ast.Attribute):
            words = ast.unparse(node)
            named = [n for n in (*_OF_TORCH, *_OF_SYS) if f".{words}".endswith(f".{n}")]
            if node.attr in _ATTRIBUTES or named:
                found.append((node.lineno, f"`{words}`"))
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = [f"{node.module}.{a.name}" for a in node.names]
            found += [(node.lineno, f"`{n}`") for n in named if n in (*_OF_TORCH, *_OF_SYS)]
    return found


def _judged(line: int, name: str, own: Collection[str]) -> Iterator[Slip]:
    root = name.partition(".")[0]
    if name == API or root in own:
        return
    if why := _WHY.get(root):
        yield line, f"`{name}`, which is for {why}"
    elif root not in _HARMLESS or any(f"{name}.".startswith(f"{bad}.") for bad in _OF_TORCH):
        yield line, f"`{name}`"


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _files(subject: Subject) -> list[Path]:
    """The file that defines the class, and the one that was asked for, if that is another."""
    module = sys.modules[subject.found.cls.__module__]
    return list(dict.fromkeys([subject.file, Path(inspect.getfile(module))]))


def _none(file: Path, slips: list[Slip]) -> None:
    if slips:
        raise Broken("; ".join(f"{file.name}:{line}: {words}" for line, words in sorted(slips)))


CHECKS = (imports, calls)
