"""The plugin that the README prints: it runs as it stands, and mypy has nothing to say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.cli.run import run_all
from benchmark.errors import BenchError
from benchmark.records.store import read_record
from benchmark.run.registry import find_method
from benchmark.run.request import Request, make_plan

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "README.md").read_text().partition("\n## Your own method\n")[2]
(CODE,) = re.findall(r"```python\n(.*?)```", SECTION.partition("\n## ")[0], re.DOTALL)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    file = tmp_path / "my_method.py"
    file.write_text(CODE)
    return file


def test_its_settings_are_checked(plugin: Path) -> None:
    assert vars(find_method(str(plugin), ["strength=2"]).config)["strength"] == 2.0
    with pytest.raises(BenchError, match=r"strength of at least 0, got -1\.0; correct --hp"):
        find_method(str(plugin), ["strength=-1"])


def test_it_runs(plugin: Path, tmp_path: Path, own_cache: Path) -> None:
    request = Request(
        str(plugin), order="photos", pretrained="random:0", limit=8, epochs=1, evals="id",
        output_dir=tmp_path / "out", cache_dir=own_cache,
    )  # fmt: skip
    assert run_all([request], "", "none") == 0
    about = read_record(make_plan(request).target).provenance
    assert about["losses"][0][0]["mine"] > 0


@pytest.mark.slow
def test_mypy_strict_accepts_it_and_knows_the_settings(plugin: Path) -> None:
    def mypy(file: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", str(file)],
            cwd=ROOT, capture_output=True, text=True,  # there it shares the cache of `make check`
        )  # fmt: skip

    fine = mypy(plugin)
    assert fine.returncode == 0, fine.stdout + fine.stderr
    slip = plugin.with_name("slip.py")
    slip.write_text(CODE.replace("self.config.strength *", "self.config.strenght *"))
    assert slip.read_text() != CODE
    found = mypy(slip)
    assert found.returncode == 1
    assert '"MyConfig" has no attribute "strenght"' in found.stdout
