"""Settings that a suite gives to methods: who gets them, who may override them, what is refused."""

from pathlib import Path

import pytest

from benchmark.errors import BenchError
from benchmark.run.registry import find_method
from benchmark.run.request import Request, make_plan
from benchmark.suites.find import find_suite
from benchmark.suites.tuned import all_tuned
from benchmark.toolkit.gated import Pruning, null_ranks

GIVEN = {"kappa_max": 0.03, "dense": 0.6, "codyra": {"rank": 4}, "ewc": {"strength": 7.0}}


def test_a_method_gets_what_it_has_and_what_is_its_own() -> None:
    codyra, ewc, lora = (find_method(n, [], GIVEN) for n in ("codyra", "ewc", "lora"))
    assert vars(codyra.config) | {"kappa_max": 0.03, "dense": 0.6, "rank": 4} == vars(codyra.config)
    assert codyra.of_suite == {"kappa_max": 0.03, "dense": 0.6, "rank": 4}
    assert (vars(ewc.config)["strength"], ewc.of_suite) == (7.0, {"strength": 7.0})
    assert lora.of_suite == {}
    assert codyra.overrides == {}


def test_a_variant_and_the_call_come_after_the_suite() -> None:
    given = {"codyra": {"prox": "exact"}, "dense": 0.6}
    released = find_method("codyra.released", ["dense=0.7"], given)
    assert vars(released.config)["prox"] == "released"
    assert vars(released.config)["dense"] == 0.7
    assert released.overrides == {"dense": "0.7"}
    assert find_method("codyra", ["dense=0.6"], given).overrides == {}


@pytest.mark.parametrize(
    ("given", "name"),
    [({"kapa_max": 1.0}, "kapa_max"), ({"ewc": {"power": 1.0}}, "ewc.power"),
     ({"ewk": {"strength": 1.0}}, "ewk")],
)  # fmt: skip
def test_a_name_that_nothing_has_is_refused(given: dict[str, object], name: str) -> None:
    with pytest.raises(BenchError, match=f"methods, and settings that they have.*'{name}'"):
        find_method("ewc", [], given)
    with pytest.raises(BenchError, match="type"):
        find_method("ewc", [], {"ewc": {"strength": "much"}})


def _suite(folder: Path, more: str) -> str:
    file = folder / "own.toml"
    file.write_text(
        f'name = "own"\n{more}\n[[task]]\nname = "a"\ntrain = "a"\ntest = "b"\nlabel = "x"'
    )
    return str(file)


def test_a_file_gives_settings(tmp_path: Path) -> None:
    own = _suite(
        tmp_path, '[settings]\ntargets = ["attn.q"]\ndense = 0.2\n[settings.ewc]\nstrength = 3'
    )
    assert find_suite(own).settings == {
        "targets": ("attn.q",), "dense": 0.2, "ewc": {"strength": 3},
    }  # fmt: skip
    with pytest.raises(BenchError, match="a plain value for `x`"):
        find_suite(_suite(tmp_path, "[settings]\nx = [[1]]"))
    with pytest.raises(BenchError, match="a plain value for `x`"):
        find_suite(_suite(tmp_path, "[settings.ewc.x]\ny = 1"))


def test_what_a_run_was_given_is_in_what_was_asked() -> None:
    plan = make_plan(Request("codyra", suite="mini-mtil"))
    given = plan.asked["suite_settings"]
    assert {key: given[key] for key in ("kappa_max", "dense")} == {
        "kappa_max": 0.0625,
        "dense": 0.7,
    }
    assert given.keys() - {"kappa_max", "dense"} <= {"lr"}
    assert plan.asked["config"]["dense"] == 0.7
    assert plan.settings == {}
    assert "suite_settings" not in make_plan(Request("zs", suite="mini-mtil")).asked
    assert make_plan(Request("codyra", suite="mini-mtil", hp=("dense=0.5",))).settings == {
        "dense": "0.5"
    }


@pytest.mark.parametrize("name", ["mini-xtail", "mini-mtil"])
def test_pruning_of_the_few_shot_suites_keeps_what_the_papers_does(name: str) -> None:
    """At dense = 0.5 the published schedule keeps 8.2 of 16 untrained gates (51 percent)."""
    suite = find_suite(name)
    kept = null_ranks(16, suite.recipe.steps, Pruning(suite.settings["kappa_max"], 0.5))
    paper = null_ranks(16, 500, Pruning(0.005, 0.5))
    assert 0.45 < kept.double().mean() / 16 < 0.60
    assert abs(kept.double().mean() - paper.double().mean()) < 0.5


def test_what_sweeps_chose_is_what_methods_of_the_suite_get() -> None:
    for suite, method, key, one in all_tuned():
        alone = find_suite(suite).alone
        order = find_suite(suite).tasks[0].name if alone else "forward"
        plan = make_plan(Request(method, order, suite))
        assert plan.asked["config"][key] == one["value"]
