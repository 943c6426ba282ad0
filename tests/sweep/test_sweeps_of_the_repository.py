"""Every setting that says it was chosen by a sweep was, and every sweep that is kept has a use."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmark.common.origins import Origin
from benchmark.errors import BenchError
from benchmark.protocol.config import origins
from benchmark.run.registry import find_method, method_names
from benchmark.suites.find import find_suite
from benchmark.suites.names import suite_names
from benchmark.sweep.check import check_sweep, chosen_settings
from benchmark.sweep.declared import read_sweep
from benchmark.sweep.trials import as_text

ROOT = Path(__file__).parents[2]
SWEEPS = ROOT / "sweeps"


class Claim(NamedTuple):
    """A setting's value that is said to be from a sweep; of any suite or method where None."""

    method: str | None
    suite: str | None
    setting: str
    value: Any
    origin: Origin


def claims() -> Iterator[Claim]:
    """Of methods and of suites."""
    for name, where in method_names().items():
        if not where.startswith("methods/"):
            continue
        config = find_method(name, []).cls.Config
        for setting, origin in origins(config).items():
            yield Claim(name, None, setting, getattr(config(), setting), origin)
    for name in suite_names():
        suite = find_suite(name)
        for key, origin in suite.origins.items():
            method, _, setting = key.rpartition(".")
            if method:
                yield Claim(method, name, setting, suite.settings[method][setting], origin)
            elif key in suite.settings:
                yield Claim(None, name, key, suite.settings[key], origin)
            else:
                yield Claim(None, name, key, getattr(suite.recipe, key), origin)


def wrong(claim: Claim, folder: Path) -> str:
    """What does not fit between a claim and its sweep; empty for nothing."""
    if why := unsound(file := folder / f"{claim.origin.sweep}.toml"):
        return why
    sweep, found = check_sweep(file)
    chosen = chosen_settings(found)
    value = list(claim.value) if isinstance(claim.value, tuple) else claim.value
    if len(sweep.trials) != claim.origin.trials:
        return f"{len(sweep.trials)} trials"
    if claim.setting not in chosen:
        return f"chose {sorted(chosen)}"
    if as_text(chosen[claim.setting]).lower() != as_text(value).lower():
        return f"chose {chosen[claim.setting]}"
    if claim.origin.why == f"chosen for {found['method']['name']} on {found['suite']['name']}":
        return ""  # taken from there, as its reason says
    if claim.method not in (None, found["method"]["name"]):
        return f"of {found['method']['name']}"
    return "" if claim.suite in (None, found["suite"]["name"]) else f"on {found['suite']['name']}"


def unsound(file: Path) -> str:
    """Why the result of a sweep bears nothing; empty for nothing."""
    try:
        code = check_sweep(file)[1]["code"]
    except BenchError as e:
        return f"{file.name}: {e}"
    # Whoever reads it must be able to have the code that made it.
    return "" if code["commit"] and not code["dirty"] else f"{file.name}: by code of no commit"


def idle(folder: Path, used: set[str]) -> list[str]:
    """Files of the folder that nothing is from, and of which its README does not say why.

    There it is a line "- `mini-ewc`: why", so that it can be said of a sweep that has been run: its
    own file may not change any more.
    """
    if not folder.is_dir():
        return []
    page = folder / "README.md"
    text = page.read_text() if page.is_file() else ""
    told = re.findall(r"^- `([\w.-]+)`: \S.*$", text, re.MULTILINE)
    found = [f"README.md: {name}" for name in told if not (folder / f"{name}.toml").is_file()]
    for file in sorted(folder.iterdir()):
        if file.suffix == ".toml":
            if why := unsound(file):
                found.append(why)
            elif (file.stem in used) == (file.stem in told):
                found.append(file.name)
        elif file != page and not (file.suffix == ".json" and file.with_suffix(".toml").is_file()):
            found.append(file.name)
    return found


def test_every_setting_that_is_said_to_be_tuned_was() -> None:
    tuned = [claim for claim in claims() if claim.origin.sweep]
    assert {str(c[:4]): why for c in tuned if (why := wrong(c, SWEEPS))} == {}


def test_every_sweep_has_a_use_or_says_why_it_is_kept() -> None:
    assert idle(SWEEPS, {claim.origin.sweep for claim in claims()}) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One sweep that chose lr = 0.1 in two trials, made by hand."""
    from benchmark.sweep.choice import RULE
    from benchmark.sweep.scores import MEANING

    (tmp_path / "mini-ft.toml").write_text(
        'suite = "mini"\nmethod = "ft"\ntasks = 1\nseeds = [1]\n[grid]\nlr = [0.1, 0.2]\n'
    )
    sweep = read_sweep(tmp_path / "mini-ft.toml")
    trials: list[dict[str, Any]] = [
        {"trial": n, "settings": {"lr": lr}, "status": "ok", "mean": score,
         "standard_deviation_over_seeds": None, "behind_the_chosen": None,
         "runs": [{"seed": 1, "score": score, "tasks": {"photos": score}}]}
        for n, lr, score in ((1, 0.1, 60.0), (2, 0.2, 50.0))
    ]  # fmt: skip
    trials[1]["behind_the_chosen"] = {"points": 10.0, "error": 1.0, "separated": True}
    sweep.result.write_text(json.dumps({
        "format": 1, "sweep": "mini-ft", "toml_sha256": sweep.sha256, "order": "forward",
        "seeds": [1], "rule": RULE, "score": {"name": "last", "meaning": MEANING["last"]},
        "division": {"share": 0.25}, "tasks": {"photos": {}}, "trials": trials,
        "chosen": {"trial": 1, "settings": {"lr": 0.1}}, "not_separated_from_the_chosen": [],
        "method": {"name": "ft"}, "suite": {"name": "mini"},
        "code": {"commit": "0" * 40, "dirty": []},
    }))  # fmt: skip
    return tmp_path


def test_a_claim_that_its_sweep_does_not_bear_is_found(folder: Path) -> None:
    """The tests above can fail."""
    origin = Origin(sweep="mini-ft", trials=2)
    right = Claim("ft", None, "lr", 0.1, origin)
    assert wrong(right, folder) == ""
    assert wrong(right._replace(suite="mini"), folder) == ""
    for change in (
        {"value": 0.2}, {"setting": "rank"}, {"method": "ewc"}, {"suite": "mini-xtail"},
        {"origin": Origin(sweep="mini-ft", trials=3)}, {"origin": Origin(sweep="none", trials=2)},
    ):  # fmt: skip
        assert wrong(right._replace(**change), folder), change
    taken = right._replace(
        suite="mini-xtail", origin=Origin(why="chosen for ft on mini", sweep="mini-ft", trials=2)
    )
    assert wrong(taken, folder) == ""
    assert wrong(taken._replace(value=0.2), folder)


def test_a_sweep_without_a_use_is_found(folder: Path) -> None:
    assert idle(folder, {"mini-ft"}) == []
    assert idle(folder, set()) == ["mini-ft.toml"]
    (folder / "README.md").write_text("Sweeps\n\n- `mini-ft`: the default is as good.\n")
    assert idle(folder, set()) == []
    assert idle(folder, {"mini-ft"}) == ["mini-ft.toml"]  # it is one or the other
    (folder / "README.md").write_text("- `mini-ft`: \n- `gone`: as it was\n")
    assert idle(folder, set()) == ["README.md: gone", "mini-ft.toml"]
    (folder / "README.md").unlink()
    result = folder / "mini-ft.json"
    result.write_text(result.read_text().replace('"dirty": []', '"dirty": ["methods/ft.py"]'))
    assert idle(folder, {"mini-ft"}) == ["mini-ft.toml: by code of no commit"]
    result.write_text(result.read_text().replace('["methods/ft.py"]', "[]"))
    (folder / "old.json").write_text("{}")
    assert idle(folder, {"mini-ft"}) == ["old.json"]
