"""What identifies code: its content and not its place, an integer, and a commit of its own."""

import ast
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from textwrap import dedent

import pytest

from benchmark.common.files import PACKAGE, ROOT
from benchmark.common.index import Index
from benchmark.common.source import NO_NUMBER, bytes_sha, content_sha, tree_sha
from benchmark.run.provenance import code
from benchmark.run.provenance.code import code_sha, git_dirty, git_state, unchanged

PINNED = "998e4bd0da76c90746e07454ba9adf781ee40e660aa9c88c1117b302e4899bda"
"""Of SOURCE and every syntax below, found alike by Python 3.11, 3.12 and 3.13."""
NOWHERE: dict[str, object] = {"commit": None, "dirty": []}
SOURCE = '''
"""A method."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

RANK = 4


@dataclass
class Config:
    """Settings."""

    rate: float = 0.5


def scale(x: float, by: float = 2.0) -> float:
    """Doubles."""
    from math import sqrt, floor

    # a comment
    y = x * by
    y += 1
    return f"{y:>{RANK}}" if y else math.inf
'''
SAME = {
    "docstring": ('"""Doubles."""', '"""Another text."""'),
    "no docstring": ('    """Doubles."""\n', ""),
    "docstring of the file": ('"""A method."""\n', ""),
    "comment": ("    # a comment\n", ""),
    "comment at the end": ("RANK = 4", "RANK = 4  # of the adapters"),
    "order of imports": (
        "import math\nfrom pathlib import Path\n", "from pathlib import Path\nimport math\n",
    ),
    "order of names": ("import sqrt, floor", "import floor, sqrt"),
    "two imports": ("import sqrt, floor", "import sqrt\n    from math import floor"),
    "import for a hint": ("import Tensor", "import Tensor, nn"),
    "type hint": ("x: float, by: float = 2.0", "x: int, by: 'float' = 2.0"),
    "type of the result": (") -> float:", "):"),
    "brackets": ("y = x * by", "y = (x * by)"),
    "line breaks": ("x: float, by: float = 2.0", "\n    x: float,\n    by: float = 2.0,\n"),
    "quotes": ('f"{y:>{RANK}}"', "f'{y:>{RANK}}'"),
    "another way to write a number": ("= 0.5", "= 5e-1"),
}  # fmt: skip
OTHER = {
    "constant": ("RANK = 4", "RANK = 5"),
    "kind of a constant": ("RANK = 4", "RANK = 4.0"),
    "name": ("RANK", "WIDTH"),
    "operator": ("x * by", "x + by"),
    "default": ("by: float = 2.0", "by: float = 3.0"),
    "no default": ("by: float = 2.0", "by: float"),
    "order of statements": ("y = x * by\n    y += 1", "y += 1\n    y = x * by"),
    "order of parameters": ("x: float, by: float = 2.0", "by: float = 2.0, x: float = 2.0"),
    "sign": ("y += 1", "y += -1"),
    "condition": ("if y else", "if not y else"),
    "text": ("{y:>", "{y:<"),
    "decorator": ("@dataclass\n", ""),
    "value of a setting": ("rate: float = 0.5", "rate: float = 0.25"),
    "type of a setting": ("rate: float = 0.5", "rate: int = 0.5"),
    "what is imported": ("from math import sqrt", "from numpy import sqrt"),
    "its name here": ("import sqrt, floor", "import sqrt as floor, floor as sqrt"),
    "an import that is missing": ("import math\n", ""),
}


def edited(old: str, new: str) -> str:
    assert SOURCE.count(old) >= 1
    return SOURCE.replace(old, new)


PLAIN = "from benchmark.api import Config\n\n\nclass C(Config):\n    rate: float = {}\n"
TOLD = PLAIN.replace("Config\n", "Config, setting\n", 1)


def test_where_a_default_is_from_changes_no_digest() -> None:
    """Nor does the import of what says it; another default does, and what is computed."""
    plain = bytes_sha(PLAIN.format("0.5").encode())
    for said in ('source="Table 1"', 'paper="1", why="small"', 'sweep="s", trials=3'):
        assert bytes_sha(TOLD.format(f"setting(0.5, {said})").encode()) == plain
    assert bytes_sha(TOLD.format('setting(0.6, source="Table 1")').encode()) != plain
    assert bytes_sha(TOLD.format("setting(0.5, trials=len(RATES))").encode()) != plain


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_changes_no_number_changes_no_digest(tmp_path: Path, change: tuple[str, str]) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"  # nor does the name of the file
    one.write_text(SOURCE)
    two.write_text(edited(*change))
    assert content_sha(two) == content_sha(one)


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_what_can_change_a_number_changes_the_digest(
    tmp_path: Path, change: tuple[str, str]
) -> None:
    file = tmp_path / "one.py"
    file.write_text(SOURCE)
    before = content_sha(file)
    file.write_text(edited(*change))
    assert content_sha(file) != before


def test_the_digest_is_the_same_under_every_version_of_python(tmp_path: Path) -> None:
    """The value is written down: each version that runs the tests is compared with it."""
    file = tmp_path / "every_syntax.py"
    file.write_text(
        SOURCE
        + dedent('''
        async def every(a, /, b=None, *rest, c: int = -1, **more):
            """Text."""
            global RANK
            name: "list[int]" = [*rest, 1e-3, 2j, b"x", ..., True, "ü\\U0001f600", 10**40]
            table = {**more, "a" "b": (yield), u"k": f"{a!r:>{b}}{c=}" "tail", **{}}
            with open(a) as f, open(b): pass
            async for i, (j, *k) in a: continue
            try:
                del table["x"], a.b[1:2, ::3]
            except (OSError, ValueError) as e:
                raise KeyError from e
            else:
                assert not a, "why"
            finally:
                lambda x=1, *, y: x if y else {z for z in x if z for _ in z}
            match a:
                case {"k": 1, **others} | [1, *_] if b: return
                case Point(x=0, y=None) | -1: ...
            while (n := a @ b // c) and a < b <= c is not None not in f: break
        '''),
        encoding="utf-8",
    )
    assert content_sha(file) == PINNED


def test_what_is_no_source_is_known_by_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "plugin.pyc"
    file.write_bytes(b"\0one")
    one = content_sha(file)
    file.write_bytes(b"\0two")
    assert content_sha(file) != one


# -- the harness


@pytest.fixture(scope="module")
def parse() -> Iterator[Callable[[bytes], ast.Module]]:
    """`ast.parse` of sources that most of the tests below have in common."""
    cached = cache(ast.parse)
    yield cached
    cached.cache_clear()


@pytest.fixture
def package(
    tmp_path: Path, parse: Callable[[bytes], ast.Module], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The harness's sources, to be edited."""
    monkeypatch.setattr("benchmark.common.source.ast.parse", parse)
    for file in PACKAGE.rglob("*.py"):
        copy = tmp_path / "benchmark" / file.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    return tmp_path / "benchmark"


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text, f"{old} is no longer in {file.name}"
    file.write_text(text.replace(old, new, 1))


def test_every_room_computes_or_is_named_as_one_that_does_not() -> None:
    """A new room counts; one that computes nothing is named by a person."""
    computing = {
        "api", "backbones", "common", "data", "hub", "metrics", "miniworld", "protocol", "records",
        "run", "study", "suites", "toolkit",
    }  # fmt: skip
    rooms = {
        p.stem for p in PACKAGE.iterdir()
        if p.suffix == ".py" or (p.is_dir() and any(p.rglob("*.py")))
    }  # fmt: skip
    assert rooms == computing | NO_NUMBER
    assert not computing & NO_NUMBER


def test_a_file_that_moves_is_the_same_code(package: Path) -> None:
    """Into another room, under another name, with the imports of it and in it mended."""
    assert tree_sha(package) == code_sha()
    (package / "common" / "odds").mkdir()
    (package / "common" / "odds" / "__init__.py").write_text('"""A new folder."""\n')
    (package / "common" / "seeds.py").rename(package / "common" / "odds" / "draws.py")
    (package / "metrics" / "retrieval.py").rename(package / "metrics" / "ranking.py")
    for file in package.rglob("*.py"):
        text = file.read_text()
        text = text.replace("common.seeds import", "common.odds.draws import")
        file.write_text(text.replace("metrics.retrieval import", "metrics.ranking import"))
    edit(package / "run" / "train.py", "class Fit:", "# here it is\n\n\nclass Fit:")
    edit(package / "errors.py", "class BenchError", "x = 1\n\n\nclass BenchError")
    edit(package / "cli" / "display.py", "EVERY = 10.0", "EVERY = 11.0")
    assert tree_sha(package) == code_sha()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("run/train.py", "0.5 * (1 + math.cos", "0.5 * (2 + math.cos"),
        pytest.param(
            "run/provenance/numerics.py", "NUMERICS = ", "NUMERICS = 1 + ", marks=pytest.mark.slow
        ),
        # The same name, from a module that has another function of it.
        ("run/runner.py", "from ..common.digests import", "from ..common.files import"),
        # Of a module that stays as it is: what its own import gives to others.
        ("common/digests.py", "import hashlib\n", "import hashlib2 as hashlib\n"),
        (
            "api.py",
            "from .protocol.losses import check_smoothing, matching",
            "from .protocol.losses import check_smoothing, symmetric_cross_entropy as matching",
        ),
        (
            "run/registry.py",
            "if TYPE_CHECKING:\n",
            "if TYPE_CHECKING:\n    pass\nelse:\n    x = 1\nif TYPE_CHECKING:\n",
        ),
    ],
)
def test_an_edit_is_other_code(package: Path, file: str, old: str, new: str) -> None:
    edit(package / file, old, new)
    assert tree_sha(package) != code_sha()


# -- which records are of the present code


def test_a_record_is_of_this_code_by_numerics_and_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(SOURCE)
    content, raw = content_sha(file), hashlib.sha256(SOURCE.encode()).hexdigest()
    monkeypatch.setattr("benchmark.run.provenance.code.NUMERICS", 1)

    def same(method: str, **of: object) -> bool:
        return unchanged(
            {"code": {"sha256": "any", **of}, "method": {"sha256": method}}, content, file
        )

    assert same(content, numerics=1)
    assert not same(content, numerics=2)
    assert not same("another", numerics=1)
    assert not same(raw, numerics=1)
    assert same(raw)  # as records said it before there was a number
    assert same(content)
    assert not same("another")
    assert not unchanged({}, content, file)
    monkeypatch.setattr(code, "rewritten", lambda: {"earlier": content, "other": "content"})
    assert same("earlier")  # another file, of which records were made again, equal bit for bit
    assert not same("earlier", numerics=1)
    assert not same("other")
    monkeypatch.setattr(code, "NUMERICS", 2)
    assert same(content, numerics=2)
    assert not same("earlier")
    assert not same(content, numerics=1)
    assert not same(raw)
    assert not same(content)


# -- whose commit it is


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit_all(folder: Path) -> str:
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "all")
    return git(folder, "rev-parse", "HEAD")


Place = Callable[..., Path]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The harness in a folder below `tmp_path`; its root."""

    def put(below: str, project: str | None) -> Path:
        root = tmp_path / below
        for name in ("benchmark", "methods"):
            (root / name).mkdir(parents=True)
            (root / name / "__init__.py").write_text("")
        if project is not None:
            (root / "pyproject.toml").write_text(project)
        monkeypatch.setattr(code, "ROOT", root)
        monkeypatch.setattr(code, "PACKAGE", root / "benchmark")
        return root

    return put


OURS = '[project]\nname = "cl-bench"\n'
THEIRS = '[project]\nname = "another"\n'


def test_a_checkout_says_its_commit_and_what_is_changed(place: Place, tmp_path: Path) -> None:
    root = place(".", OURS)
    method = root / "methods" / "__init__.py"
    commit = commit_all(root)
    assert git_state(method) == {"commit": commit, "dirty": []}
    assert not git_dirty(method)
    method.write_text("x = 1")
    (root / "benchmark" / "new.py").write_text("")
    (root / "notes.txt").write_text("no code")
    assert git_state(method)["commit"] == commit
    assert git_state(method)["dirty"] == ["methods/__init__.py", "benchmark/new.py"]
    assert git_dirty(method)


@pytest.mark.parametrize("project", [None, THEIRS, OURS, "no toml ["])
@pytest.mark.parametrize("ignored", [False, True], ids=["tracked", "ignored"])
def test_another_projects_commit_is_not_taken(
    place: Place, tmp_path: Path, project: str | None, ignored: bool
) -> None:
    """Installed into an environment that lies inside a checkout of something else."""
    root = place("venv/lib/site-packages", project)
    if ignored:
        (tmp_path / ".gitignore").write_text("venv/\n")
    (tmp_path / "theirs.py").write_text("")
    commit_all(tmp_path)
    assert git_state(root / "methods" / "__init__.py") == NOWHERE


@pytest.mark.parametrize("project", [None, THEIRS])
def test_a_copy_in_the_root_of_another_project_is_not_ours(
    place: Place, project: str | None
) -> None:
    root = place(".", project)
    commit_all(root)
    assert git_state(root / "methods" / "__init__.py") == NOWHERE


def test_our_own_files_that_are_not_tracked_are_no_checkout(place: Place, tmp_path: Path) -> None:
    root = place(".", OURS)
    (root / ".gitignore").write_text("benchmark/\n")
    commit_all(root)
    assert git_state(root / "methods" / "__init__.py") == NOWHERE


def test_no_checkout_at_all_and_one_without_a_commit(place: Place) -> None:
    root = place("unpacked", OURS)
    assert git_state(root / "methods" / "__init__.py") == NOWHERE
    git(root, "init", "-q")
    git(root, "add", "-A")
    assert git_state(root / "methods" / "__init__.py") == NOWHERE


def test_a_hook_of_another_project_does_not_lend_its_commit(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, theirs = place("ours", OURS), tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_text("")
    commit = commit_all(root)
    assert commit_all(theirs) != commit
    monkeypatch.setenv("GIT_DIR", str(theirs / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(theirs))
    monkeypatch.setenv("GIT_INDEX_FILE", str(theirs / ".git" / "index"))
    assert git_state(root / "methods" / "__init__.py") == {"commit": commit, "dirty": []}


def _missing(*_: object, **__: object) -> None:
    raise FileNotFoundError(2, "No such file or directory", "git")


def _failing(*_: object, **__: object) -> None:
    raise subprocess.CalledProcessError(128, "git", stderr="dubious ownership")


def _hanging(*_: object, **__: object) -> None:
    raise subprocess.TimeoutExpired("git", 30)


@pytest.mark.parametrize("fault", [_missing, _failing, _hanging])
def test_a_git_that_does_not_answer_is_no_checkout(
    place: Place, monkeypatch: pytest.MonkeyPatch, fault: Callable[..., None]
) -> None:
    root = place(".", OURS)
    commit_all(root)
    monkeypatch.setattr(subprocess, "run", fault)
    assert git_state(root / "methods" / "__init__.py") == NOWHERE
    assert git_dirty(root / "benchmark" / "__init__.py")


# -- installed


ASK = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from benchmark.common.files import PACKAGE
from benchmark.run.request import Request, make_plan
said = []
for folder in sys.argv[2:]:
    os.chdir(folder)
    plan = make_plan(Request("zs", output_dir=Path("out")))
    said.append([str(PACKAGE), plan.git, plan.unofficial, str(plan.target)])
print(json.dumps(said))
"""


@pytest.mark.slow
def test_no_record_of_an_installed_package_is_official(tmp_path: Path) -> None:
    """And it says so: inside another project that tracks its environment, and in our checkout."""
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    site = theirs / "venv" / "site-packages"
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
    for name in ("benchmark", "methods"):
        shutil.copytree(ROOT / name, site / name, ignore=ignored)
    ours.mkdir()
    (ours / "pyproject.toml").write_text(OURS)
    for folder in (theirs, ours):
        commit_all(folder)
    done = subprocess.run(
        [sys.executable, "-I", "-c", ASK, str(site), str(theirs), str(ours)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    for package, state, unofficial, target in json.loads(done.stdout):
        assert Path(package) == site / "benchmark"
        assert state == NOWHERE
        assert "the code is not in a git checkout" in unofficial
        assert Path(target).parts[:2] == ("out", "scratch")


PROMISE = """
class X(Method):
    label = "X"
    invariants = {"same in every seed": {}}
    aliases: Mapping[str, str] = {"a": "b"}
"""


def test_what_a_class_promises_is_no_part_of_its_content(tmp_path: Path) -> None:
    """One kind of statement alone: plain values, under these names, in the body of a class."""
    file = tmp_path / "x.py"

    def sha(text: str) -> str:
        file.write_text(text)
        return content_sha(file)

    bare = sha('class X(Method):\n    label = "X"\n')
    assert sha(PROMISE) == bare
    for change in (
        ("{}}", "f()}"),  # it runs something
        ("invariants", "invariant"),
        ("    invariants", "    x = invariants"),
        ("    label", "    y = 3\n    label"),
        ('    aliases: Mapping[str, str] = {"a": "b"}', "    aliases: Mapping[str, str]"),
    ):
        assert sha(PROMISE.replace(*change)) != bare, change
    assert sha("invariants = {}\n") != sha("")
    assert sha("def f():\n    aliases = {}\n") != sha("def f():\n    pass\n")
    inside = (
        "class X(Method):\n    def f(self):\n        invariants = {}\n        return invariants\n"
    )
    assert sha(inside) != sha(inside.replace("        invariants = {}\n", ""))


def test_the_harness_is_parsed_once_for_each_state_of_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str | None] = []
    state = cache(lambda: now)
    now: str | None = "bytes"
    monkeypatch.setattr(code, "bytes_sha", state)

    def parse(_: Path) -> str:
        parsed.append(now)
        return f"tree of {now}"

    monkeypatch.setattr(code, "tree_sha", parse)
    once = cache(code._parsed.__wrapped__)
    monkeypatch.setattr(code, "_parsed", once)

    def asked(folder: str) -> str:
        """By a process of its own."""
        state.cache_clear()
        once.cache_clear()
        return again(folder)

    def again(folder: str) -> str:
        return code.code_sha.__wrapped__(Index(tmp_path / folder))

    assert asked("a") == asked("a") == asked("b") == "tree of bytes"
    assert parsed == ["bytes", "bytes"]  # once for each folder
    assert again("c") == asked("c") == "tree of bytes"
    assert parsed == ["bytes", "bytes"]  # but once for a process, which keeps it in every folder
    now = "others"
    assert asked("a") == "tree of others"
    now = None  # files were written since the program started: nothing is kept or believed
    assert asked("a") == asked("a") == "tree of None"
    assert parsed == ["bytes", "bytes", "others", None, None]
