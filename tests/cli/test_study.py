"""`cl-bench study`: each command has its own options, and mistakes are sentences."""

import pytest
from typer.testing import CliRunner

from benchmark.cli.main import app
from benchmark.errors import BenchError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pruning", "-m", "lora"], "kappa_max and dense"),
        (["insertion", "-m", "zs"], "a method with a rank"),
        (["placement", "--task", "plans"], "did you mean 'planes'"),
        (["removal", "--reference", "planes"], "--reference with a labelled set"),
        (["amplification", "--top", "0"], "--top of at least 1"),
    ],
)
def test_mistakes_are_sentences(words: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["study", *words, "--display", "none"])
    assert isinstance(done.exception, BenchError)
    assert said in str(done.exception)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("placement", "--kappa"),
        ("removal", "--rank"),
        ("insertion", "--task"),
        ("pruning", "--top"),
    ],
)
def test_what_a_study_does_not_take_is_no_option_of_it(name: str, option: str) -> None:
    done = CliRunner().invoke(app, ["study", name, option, "1"])
    assert done.exit_code == 2
    assert "No such option" in done.output
