"""`cl-bench validate`: exit codes, paths, JSON, explanations."""

import json
from pathlib import Path

import pytest
from forger import copied, honest
from typer.testing import CliRunner

from benchmark.cli.main import app
from benchmark.errors import BenchError
from benchmark.validation import inspect as inspection
from benchmark.validation.findings import CHECKS

FT, ZS = "ft--forward--s42", "zs--forward--s42"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Honest records, beside a ledger that knows their commit."""
    from forger import HONEST

    from benchmark.validation.ledger import parsed_ledger

    ledger = parsed_ledger((HONEST / "code.json").read_text())
    monkeypatch.setattr(inspection, "read_ledger", lambda: ledger)
    monkeypatch.setattr("benchmark.validation.code_book.has_history", lambda root: False)
    copied(tmp_path / "results", FT, ZS)
    return tmp_path / "results"


def call(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["validate", *map(str, words)])
    if isinstance(done.exception, BenchError):
        return done.exception.code, str(done.exception)
    return done.exit_code, done.output


def old(results: Path) -> Path:
    forged = honest("ft--forward--s43")
    forged.evidence, forged.about["evidence"] = None, None
    for row in forged.rows:
        row["schema_version"] = 1
    return forged.write(results)


def test_exit_codes(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(results) == (0, "2 records checked: 0 errors, 0 warnings\n")
    monkeypatch.chdir(results.parent)
    assert call()[0] == 0, "results/ of the current directory"
    path = old(results)
    code, text = call(results)
    assert code == 0
    assert text.splitlines()[0].startswith(f"V09 (warning) {path}: expected evidence of every")
    assert call(results, "--strict")[0] == 7
    forged = honest(FT)
    forged.named("sota")
    forged.identify()
    forged.write(results)
    code, text = call(results, "--strict")
    assert code == 5
    assert "V05 " in text
    assert text.splitlines()[-1] == "4 records checked: 1 error, 1 warning"
    assert call(results.parent / "nowhere")[0] == 4


def test_paths_confine_what_is_told(results: Path) -> None:
    path = old(results)
    other = next(results.glob("*/zs*.parquet"))
    assert call(path, "--strict")[0] == 7
    assert call(path.with_suffix(".evidence"))[0] == 4
    assert call(other) == (0, "1 record checked: 0 errors, 0 warnings\n")
    assert call(other.with_suffix(".evidence")) == call(other)
    assert call(results / "mini-xtail", "--strict")[0] == 7
    assert call(other, path)[1].endswith("2 records checked: 0 errors, 1 warning\n")


def test_json(results: Path) -> None:
    path = old(results)
    code, text = call(results, "--json")
    told = json.loads(text)
    assert code == 0
    assert (told["checked"], told["errors"], told["warnings"]) == (3, 0, 1)
    (finding,) = told["findings"]
    assert (finding["code"], finding["severity"], finding["path"]) == ("V09", "warning", str(path))


def test_warnings_of_one_kind_are_counted(results: Path) -> None:
    for seed in range(50, 56):
        forged = honest("ft--forward--s43")
        forged.set(seed=seed)
        forged.evidence, forged.about["evidence"] = None, None
        for row in forged.rows:
            row["schema_version"] = 1
        (row,) = forged.at(step=8, eval_task="scenes")
        row["hits"] -= seed - 49  # each seed has its own
        row["value"] = row["hits"] / row["n_queries"]
        forged.write(results)
    code, text = call(results)
    assert code == 0, text
    assert text.count("V09 (warning)") == 4
    assert "and 3 more files with the same" in text


@pytest.mark.parametrize("code", CHECKS)
def test_every_check_is_explained(code: str) -> None:
    status, text = call("--explain", code.lower())
    assert status == 0
    assert text.startswith(f"{code} {CHECKS[code].title}\n")
    assert "Why: " in text
    assert "To mend: " in text


def test_an_unknown_check() -> None:
    status, text = call("--explain", "V99")
    assert status == 2
    assert "V01 to V17" in text
