"""A new method's file with its test, which pass `check-method`, ruff and mypy as they stand."""

import ast
import keyword
import os
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal

from ..common.files import ROOT, atomic, in_source_tree
from ..errors import BenchError, quoted
from ..run.registry import method_names
from .templates import FIXTURE, METHODS, TESTS

Start = Literal["finetune", "adapter", "inference"]
LONGEST, WIDEST = 60, 100
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TAKEN = frozenset({"benchmark", "methods", "numpy", "torch", *sys.stdlib_module_names})
_MARKUP = re.compile(r"[<>|`\[\]\x00-\x1f\x7f-\x9f\u2028\u2029]")  # none of it in a table


@dataclass(frozen=True)
class Scaffold:
    """What was written.

    Attributes:
        name: for --method. file, test: the two files.
        here: whether the method is found by its name, and not by its path alone.
    """

    name: str
    file: Path
    test: Path
    here: bool

    def next_steps(self) -> str:
        """What a person does then: three commands, and a row for the README."""
        asked = self.name if self.here else str(self.file)
        row = f"| ({'which group'}) | `{self.name}` |"
        return "\n".join(
            [
                f"{self.file}\n{self.test}",
                "\nnext:",
                f"  cl-bench check-method {asked}",
                f"  cl-bench run --method {asked} --suite mini --limit 64 --epochs 1",
                f"  python -m pytest {self.test}",
                "\nits row in the README's table of methods:",
                f"  {row}",
            ]
        )


def write_scaffold(name: str, start: Start, into: Path | None, paper: str) -> Scaffold:
    """Write the file of a new method, and its test.

    Args:
        name: as for --method.
        start: what it begins from.
        into: folder for both files; None for the checkout's own folders.
        paper: authors, title, place, year; "" for none yet.

    Raises:
        BenchError: a name that a method cannot have or that is taken, an existing file, no
            checkout to write into, or a paper that no table could hold.
    """
    _check_name(name)
    _check_paper(paper)
    module = name.replace("-", "_")
    if into is None:
        if not in_source_tree():
            raise BenchError(
                "a checkout of cl-bench, whose methods/ the file would go to",
                "an installed package",
                "give a folder with --into",
            )
        file = ROOT / "methods" / f"{module}.py"
        test = ROOT / "tests" / "methods" / f"test_{module}.py"
    else:
        file, test = into / f"{module}.py", into / f"test_{module}.py"
    for path in (file, test):
        if os.path.lexists(path):
            raise BenchError(
                "a name that is free", f"the file '{_short(path)}'", "choose another name"
            )
    made = Scaffold(name, _short(file), _short(test), into is None)
    words = _words(made, paper)
    for path, text in ((file, METHODS[start]), (test, TESTS[start])):
        with atomic(path) as temporary:
            temporary.write_text(_filled(text, start, words), encoding="utf-8")
    return made


def _check_name(name: str) -> None:
    if len(name) > LONGEST or not _NAME.fullmatch(name):
        raise BenchError(
            f"a name of at most {LONGEST} lower-case letters, digits and '-', a letter first",
            quoted(name),
            _nearby(name),
        )
    module = name.replace("-", "_")
    if keyword.iskeyword(module):
        raise BenchError(
            "a name that Python can import", f"its keyword '{module}'", "choose another name"
        )
    if module in _TAKEN:
        raise BenchError(
            "a name that no other module has",
            f"'{module}', which would be imported in its place",
            "choose another name",
        )
    if (origin := method_names().get(name)) is not None:
        raise BenchError(
            "a name that no method has", f"'{name}', which is {origin}", "choose another name"
        )


def _nearby(name: str) -> str:
    """A name that would do, where one is near."""
    plain = re.sub(r"[^a-z0-9]+", "-", name[:LONGEST].lower()).strip("-")
    good = _NAME.fullmatch(plain) is not None and not keyword.iskeyword(plain.replace("-", "_"))
    return f"write it as '{plain}'" if good else "choose another name"


def _check_paper(paper: str) -> None:
    if len(paper) > 300 or _MARKUP.search(paper) or not paper.isprintable():
        raise BenchError(
            "--paper on one line, of at most 300 characters without < > | ` [ ]",
            quoted(paper),
            "give authors, title, place and year",
        )


def _short(path: Path) -> Path:
    """As a person in this folder would write it."""
    full = path.resolve()
    return full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full


def _words(made: Scaffold, paper: str) -> dict[str, str]:
    parts = made.name.split("-")
    camel = "".join(part.capitalize() for part in parts)
    if camel in _imported():
        camel += "Method"
    here = made.here
    path = f'str(Path(__file__).with_name("{made.file.name}"))'
    return {
        "Class": camel,
        "Label": "-".join(p.upper() if len(p) <= 3 else p.capitalize() for p in parts),
        "title": "what it does, in one line",
        "paper_text": _wrapped(paper or "(Authors, title, place and year.)"),
        "paper": _assigned(paper),
        "method": f'"{made.name}"' if here else path,
        "fixture": "" if here else FIXTURE,
    }


def _imported() -> set[str]:
    """Names that the templates import: no class of theirs may have one."""
    return {
        alias.name
        for text in METHODS.values()
        for line in re.findall(r"^from [^(\n]* import (?:\([^)]*\)|[^(\n]*)", text, re.MULTILINE)
        for node in ast.walk(ast.parse(line))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _wrapped(paper: str) -> str:
    """In a docstring."""
    plain = paper.replace("\\", "\\\\").replace('"""', r"\"\"\"")
    return textwrap.fill(plain, WIDEST, break_long_words=False, break_on_hyphens=False)


def _assigned(paper: str) -> str:
    """As the class attribute, in pieces where it is long."""
    line = f"    paper = {_literal(paper)}"
    if len(line) <= WIDEST:
        return line
    pieces = textwrap.wrap(paper, WIDEST - 20, break_on_hyphens=False)
    ends = [*(f"{piece} " for piece in pieces[:-1]), pieces[-1]]
    return "\n".join(["    paper = (", *(f"        {_literal(e)}" for e in ends), "    )"])


def _literal(text: str) -> str:
    """As ruff writes it: double quotes, but where that needs more escapes."""
    escaped = text.replace("\\", "\\\\")
    if text.count('"') > text.count("'"):
        return "'" + escaped.replace("'", "\\'") + "'"
    return '"' + escaped.replace('"', '\\"') + '"'


def _filled(text: str, start: Start, words: dict[str, str]) -> str:
    imports = _imports(start, bool(words["fixture"]))
    return Template(text).substitute(words | {"imports": imports}).rstrip() + "\n"


def _imports(start: Start, own_lab: bool) -> str:
    """Of the test, sorted as ruff sorts them."""
    lab = "Lab, make_lab" if own_lab else "Lab"
    third = ["import pytest"] * (own_lab or start == "finetune")
    third += ["from torch.testing import assert_close"] * (start != "finetune")
    groups = [
        ["from pathlib import Path"] * own_lab, third, [f"from benchmark.check.lab import {lab}"]
    ]  # fmt: skip
    return "\n" + "\n\n".join("\n".join(group) for group in groups if group)
