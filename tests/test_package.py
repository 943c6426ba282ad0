"""The package has all that the program opens; installed, it uses nothing of a checkout."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pandas as pd
import pytest
from lanes import lanes

from benchmark import __version__
from benchmark.records.store import read_record

ROOT = Path(__file__).parents[1]
SOURCES = (
    "benchmark", "methods", "docs", "examples", "tests", "pyproject.toml", "MANIFEST.in",
    "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "constraints.txt",
)  # fmt: skip
WEIGHTS = "ViT-L-14-quickgelu/openai"  # not in the lock file
GUARDED = """
import os, sys
checkout, environment = sys.argv[1:3]
sys.argv = ["cl-bench", *sys.argv[3:]]

def watch(event, args):
    named = event in ("open", "os.listdir", "os.scandir")
    if named and isinstance(args[0], (str, bytes, os.PathLike)):
        path = os.path.realpath(os.fsdecode(args[0]))
        if path.startswith(checkout + os.sep) and not path.startswith(environment + os.sep):
            os.write(2, f"opened in the checkout: {path}\\n".encode())
            os._exit(99)

sys.addaudithook(watch)
from benchmark.cli.main import main
main()
"""
"""Runs a command; ends it when Python opens or lists what is in the checkout."""


def build(kind: str, source: Path, out: Path) -> Path:
    """The sdist or wheel of a source tree, as an installer's front end asks for it."""
    out.mkdir(exist_ok=True)
    code = f"from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (found,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy: building leaves its traces in the source tree."""
    source = tmp_path_factory.mktemp("source") / "tree"
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z", *SOURCES],
        capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, tracked):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    return source


@pytest.fixture(scope="module")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    out = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", tree, out)) as packed:
        packed.extractall(out, filter="data")
    return out / f"cl_bench-{__version__}"


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tree, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked as an installer does; nobody may write there."""
    target = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(target)
    for path in [*target.rglob("*"), target]:
        path.chmod(path.stat().st_mode & ~0o222)
    return target


def started(installed: Path, place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`cl-bench WORDS` of the installed copy, in an empty folder, without the hub."""
    place.mkdir(exist_ok=True)
    own = ("CL_BENCH_", "COV_", "GIT_", "HF_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    outside = {
        "PYTHONPATH": str(installed),  # before the environment's own, which may be the checkout
        "PYTHONDONTWRITEBYTECODE": "1",
        "CL_BENCH_CACHE": str(place / "cache"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [sys.executable, "-c", GUARDED, str(ROOT.resolve()), os.path.realpath(sys.prefix), *words],
        cwd=place, env=kept | outside, capture_output=True, text=True,
    )  # fmt: skip


def from_checkout(place: Path, *words: str) -> str:
    """What the same command says when it runs from the source tree."""
    place.mkdir(exist_ok=True)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CL_BENCH_CACHE": str(place / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "benchmark", *words],
        cwd=place, env=env, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def files_of(folder: Path) -> dict[str, bytes]:
    """What a command has made, without what it keeps for the next time."""
    files = (p for p in folder.rglob("*") if p.is_file() and folder / "cache" not in p.parents)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


# -- what is in it


def test_the_wheel_has_every_file_of_the_packages(wheel: Path) -> None:
    """Class tables, lock file, weights, the papers' numbers: whatever stands beside the code."""
    there = {
        str(path.relative_to(ROOT))
        for package in ("benchmark", "methods")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert len([name for name in there if not name.endswith(".py")]) > 15
    assert there - packed == set()


def test_the_wheel_has_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"benchmark", "methods", f"cl_bench-{__version__}.dist-info"}


def test_the_wheel_built_from_the_sdist_is_the_same(
    sdist: Path, wheel: Path, tmp_path: Path
) -> None:
    again = zipfile.ZipFile(build("wheel", sdist, tmp_path))
    with zipfile.ZipFile(wheel) as first, again:
        assert set(first.namelist()) == set(again.namelist())
        assert [name for name in first.namelist() if first.read(name) != again.read(name)] == []


def test_the_sdist_has_what_a_packager_needs_and_no_tests(sdist: Path) -> None:
    beside = {name for name in SOURCES if not (ROOT / name).is_dir()}
    for name in beside | {"docs/table-15.md", "examples/own-suite.toml"}:
        assert (sdist / name).read_bytes() == (ROOT / name).read_bytes()
    assert not (sdist / "tests").exists()


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    about = metadata(wheel)
    assert about["Name"] == "cl-bench"
    assert about["Author"] == "The cl-bench developers"
    assert about["License-Expression"] == "MIT"
    assert about["License-File"] == "LICENSE"
    assert about["Requires-Python"] == ">=3.11"
    assert "continual learning" in about["Keywords"].split(",")
    assert "Typing :: Typed" in about.get_all("Classifier", [])
    assert about["Description-Content-Type"] == "text/markdown"
    assert about.get_payload(decode=True) == (ROOT / "README.md").read_bytes()
    with zipfile.ZipFile(wheel) as packed:
        script = packed.read(f"cl_bench-{__version__}.dist-info/entry_points.txt").decode()
    assert script == "[console_scripts]\ncl-bench = benchmark.cli.main:main\n"


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as packed:
        return message_from_bytes(packed.read(f"cl_bench-{__version__}.dist-info/METADATA"))


# -- one version


def test_the_version_has_one_source(wheel: Path) -> None:
    """`benchmark.__version__`; the other places that have to name it agree."""
    assert "version" not in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert metadata(wheel)["Version"] == __version__
    cited = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited == [__version__]
    entries = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert next(entry for entry in entries if entry != "Unreleased") == __version__


def test_classifiers_and_workflow_name_the_same_versions_of_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    told = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    matrix = re.search(r"python: \[(.+)\]", (ROOT / ".github/workflows/check.yml").read_text())
    assert matrix is not None
    assert told == re.findall(r"3\.\d+", matrix[1])
    assert project["requires-python"] == f">={told[0]}"


def test_actions_are_pinned_by_commit() -> None:
    files = list((ROOT / ".github/workflows").glob("*.yml"))
    used = re.findall(r"uses: (.+)", "\n".join(f.read_text() for f in files))
    assert len(used) > 4
    for one in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one), one


# -- used outside the checkout


def test_the_guard_sees_a_file_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    """The tests below must be able to fail."""
    done = started(installed, tmp_path, "tables", "--results", str(ROOT / "results"))
    assert done.returncode == 99
    assert done.stderr.startswith(f"opened in the checkout: {ROOT}")


@pytest.mark.parametrize(
    "words",
    lanes(["ls", "ls dar", "data licenses retrieval", "tables --lint"], ["ls", "tables --lint"]),
)
def test_installed_it_says_the_same(installed: Path, tmp_path: Path, words: str) -> None:
    done = started(installed, tmp_path / "outside", *words.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == from_checkout(tmp_path / "inside", *words.split())


def test_installed_it_says_what_to_do_where_nothing_is_prepared(
    installed: Path, tmp_path: Path
) -> None:
    done = started(installed, tmp_path, "data", "stats")
    assert (done.returncode, done.stdout) == (4, "")
    assert "run `cl-bench data prepare NAME` first" in done.stderr


@pytest.mark.slow
def test_doctor_says_that_no_record_will_be_official(installed: Path, tmp_path: Path) -> None:
    done = started(installed, tmp_path, "doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"cl-bench {__version__}\n" in done.stdout
    assert "code: not in a git checkout; records go to scratch\n" in done.stdout


@pytest.mark.slow
def test_installed_it_makes_tables_of_the_same_numbers(installed: Path, tmp_path: Path) -> None:
    """Outside a checkout nobody knows the code of a commit: there, no record is ranked."""
    given = tmp_path / "given" / "mini"
    given.mkdir(parents=True)
    for method in ("zs", "ft", "dar"):
        for kind in ("parquet", "evidence"):
            name = f"{method}--tiny-s--forward--s42.{kind}"
            (given / name).write_bytes((ROOT / "results" / "mini" / name).read_bytes())
    words = ("tables", "--results", str(given.parent))
    done = started(installed, tmp_path / "outside", *words)
    assert (done.returncode, done.stderr) == (0, "")
    from_checkout(tmp_path / "inside", *words)
    made, inside = files_of(tmp_path / "outside"), files_of(tmp_path / "inside")
    drawn = {name for name in inside if "figure-1-mini" in name}  # of what is compared
    assert made.keys() == inside.keys() - drawn
    assert {"leaderboard.md", "tables/table-1.md"} <= set(made)
    assert b"V04" in made["leaderboard.md"]
    assert b"V04" not in inside["leaderboard.md"]
    rows = [
        pd.read_csv(folder / "tables" / "table-1.csv", keep_default_na=False)
        for folder in (tmp_path / "outside", tmp_path / "inside")
    ]
    names = ["method", "dataset", "direction", "mean", "sd", "paper"]
    pd.testing.assert_frame_equal(rows[0][names], rows[1][names])


@pytest.mark.slow
def test_what_is_found_on_the_hub_is_noted_in_the_cache(installed: Path, tmp_path: Path) -> None:
    """What an installer wrote stays; both files together are what is known."""
    before = files_of(installed)
    shipped = json.loads(before["benchmark/hub/hub.lock.json"])["entries"]
    done = started(installed, tmp_path, "data", "lock", WEIGHTS)
    assert (done.returncode, done.stderr) == (0, "")
    noted = tmp_path / "cache" / "hub.lock.json"
    assert done.stdout.splitlines()[-1] == str(noted)
    entries = json.loads(noted.read_text())["entries"]
    assert {key: entries[key] for key in shipped} == shipped
    assert len(entries) > len(shipped)
    assert all(key.startswith("weights ") for key in entries.keys() - shipped.keys())
    assert files_of(installed) == before


def test_a_newer_package_counts_where_it_declares_another_revision(
    installed: Path, tmp_path: Path
) -> None:
    """Else what was found with an older one would contradict the declaration for ever."""
    known = json.loads((installed / "benchmark" / "hub" / "hub.lock.json").read_text())
    known["entries"]["sketch"] |= {"declared": "e" * 40, "revision": "e" * 40}
    known["entries"]["flickr30k"] |= {"rows": {"test": 31014}}
    noted = tmp_path / "cache" / "hub.lock.json"
    noted.parent.mkdir()
    noted.write_text(json.dumps(known))
    done = started(installed, tmp_path, "data", "lock", "sketch", "flickr30k")
    assert (done.returncode, done.stderr) == (0, "")
    assert "e" * 40 not in done.stdout
    assert "31014" in done.stdout


@pytest.mark.slow
def test_a_record_made_outside_is_not_official_and_says_so(installed: Path, tmp_path: Path) -> None:
    before = files_of(installed)
    words = ("run", "-m", "ft", "--suite", "mini", "--limit", "16", "--epochs", "1")
    done = started(installed, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "results").exists()
    (path,) = (tmp_path / "scratch" / "mini").glob("*.parquet")
    about = read_record(path).provenance
    assert about["code"]["commit"] is None
    assert "the code is not in a git checkout" in about["unofficial"]
    shown = started(installed, tmp_path, "show", str(path))
    assert "the code is not in a git checkout" in shown.stdout
    done = started(installed, tmp_path, "tables", "--results", "scratch")
    assert (done.returncode, done.stderr) == (0, "")
    assert "†" in (tmp_path / "tables" / "table-1.md").read_text()
    assert files_of(installed) == before
