"""What can be known before data are read is refused before data are read."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli.display import Display
from benchmark.data.split import Labelled, Pairs
from benchmark.errors import BenchError
from benchmark.run import build
from benchmark.run.registry import find_method, method_names
from benchmark.run.request import Request, make_plan
from benchmark.run.runner import execute
from benchmark.run.suitable import check_suitable
from benchmark.suites.find import find_suite
from benchmark.suites.names import EMBEDDED, PUBLISHED
from benchmark.suites.suite import Suite

MIXED = """
name = "both"
[[task]]
name = "first"
train = "a.parquet"
test = "b.parquet"
captions = "texts"
[[task]]
name = "second"
train = "a.parquet"
test = "b.parquet"
label = "kind"
"""
QUIET = Display(quiet=True)


@pytest.fixture
def both(tmp_path: Path) -> Suite:
    """Declared, and never read: its files are not there."""
    path = tmp_path / "both.toml"
    path.write_text(MIXED)
    return find_suite(str(path))


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading any split ends the test."""

    def read(*_: object) -> None:
        raise AssertionError("a split was read")

    monkeypatch.setattr(build.Ground, "read", read)
    monkeypatch.setattr("benchmark.data.rendered.draw", read)


def refusal(suite: Suite, method: str) -> str:
    found = find_method(method, [])
    with pytest.raises(BenchError) as error:
        check_suitable(found, suite, [d.name for d in suite.tasks])
    assert error.value.code == 2
    return str(error.value)


# -- what suites declare


@pytest.mark.parametrize("name", [*EMBEDDED, *PUBLISHED])
def test_every_dataset_says_its_kind(name: str) -> None:
    suite = find_suite(name)
    datasets = [*suite.tasks, *suite.held_out, *([suite.reference] if suite.reference else [])]
    assert {d.kind for d in datasets} <= {"pairs", "labelled"}


@pytest.mark.parametrize("name", ["mini", "mini-xtail"])
def test_the_kind_is_that_of_the_split(name: str) -> None:
    suite = find_suite(name)
    for dataset in (*suite.tasks[:1], *suite.held_out):
        labelled = isinstance(dataset.load("test"), Labelled)
        assert labelled == (dataset.kind == "labelled"), dataset.name


def test_a_suite_of_ones_own_says_its_kinds(both: Suite) -> None:
    assert [d.kind for d in both.tasks] == ["pairs", "labelled"]


# -- what methods are refused for


def test_a_method_of_labels_is_refused_on_captions() -> None:
    said = refusal(find_suite("mini"), "rail-primal")
    assert "tasks that RAIL-Primal is defined for, got 'photos', of the kind 'pairs'" in said
    check_suitable(find_method("rail-primal", []), find_suite("mini-xtail"), ["planes"])


def test_joint_training_is_of_one_kind(both: Suite) -> None:
    said = refusal(both, "joint")
    assert "'first' with captions and 'second' with labels" in said
    assert "choose another suite, --order or --method" in said
    for tasks in (["first"], ["second"]):
        check_suitable(find_method("joint", []), both, tasks)
    check_suitable(find_method("ft", []), both, ["first", "second"])


def test_the_reference_data_are_asked_of_the_suite(both: Suite) -> None:
    said = refusal(both, "zscl")
    assert "got 'both', which declares none" in said
    known = "mini, mini-xtail, mini-mtil, mini-peft, xtail, xtail-coop, mtil, mtil-zscl or peft"
    assert f"--suite {known}" in said
    assert "retrieval" not in said
    for name in ("mini", "mtil"):
        check_suitable(find_method("zscl", []), find_suite(name), [])


@pytest.mark.parametrize("name", sorted(method_names()))
def test_the_plan_is_refused_for_what_the_method_refuses(name: str) -> None:
    found = find_method(name, [])
    for suite, kind in (("mini", "pairs"), ("mini-xtail", "labelled")):
        if kind in found.cls.refused(found.config):
            with pytest.raises(BenchError, match=f"of the kind '{kind}'"):
                make_plan(Request(name, suite=suite))
        else:
            make_plan(Request(name, suite=suite))


@pytest.mark.parametrize(
    ("method", "hp", "words"),
    [
        ("dar", "targets=attn.out_prj", "did you mean 'attn.out_proj'"),
        ("codyra", "targets=mlp.c_fcc", "did you mean 'mlp.c_fc'"),
        ("lora", "targets=mlp.parallel", "targets of attn.q"),
    ],
)
def test_a_map_that_no_block_has_is_a_mistake_of_the_request(
    method: str, hp: str, words: str
) -> None:
    with pytest.raises(BenchError, match=words):
        make_plan(Request(method, suite="mini-xtail", hp=(hp,)))


Small = Callable[..., Request]


@pytest.fixture
def small(tmp_path: Path, own_cache: Path) -> Small:
    def request(method: str, **changes: Any) -> Request:
        base: dict[str, Any] = {
            "order": "photos", "evals": "id", "limit": 1, "epochs": 1, "device": "cpu",
            "pretrained": "random:0", "output_dir": tmp_path, "cache_dir": own_cache,
        }  # fmt: skip
        return Request(method, **base | changes)

    return request


def test_a_method_is_built_before_data_are_read(small: Small, unread: None) -> None:
    hp = ("text_room=truncate", "top_k=20", "pool_size=40", "prompt_length=5")
    with pytest.raises(BenchError, match=r"top_k \* prompt_length of at most"):
        execute(make_plan(small("l2p", hp=hp)), QUIET)
    with pytest.raises(AssertionError, match="a split was read"):
        execute(make_plan(small("l2p")), QUIET)


# -- remedies that help


@pytest.mark.slow
def test_no_larger_batch_is_asked_of_a_task_without_more_images(small: Small) -> None:
    plan = make_plan(small("c-clip"))
    with pytest.raises(BenchError, match=r"got 1 and 1 in 'photos'; give a larger --limit\."):
        execute(plan, QUIET)
    plan = replace(plan, request=replace(plan.request, limit=None))
    first = plan.suite.tasks[0]

    def one(part: Any) -> Any:
        split = first.load(part)
        assert isinstance(split, Pairs)
        return replace(split, images=replace(split.images, size=1), captions=split.captions[:1])

    plan = replace(plan, suite=replace(plan.suite, tasks=(replace(first, load=one),)))
    with pytest.raises(BenchError, match=r"in 'photos'; give 'photos' more training images\."):
        execute(plan, QUIET)


@pytest.mark.slow
def test_a_larger_batch_is_asked_where_it_helps(small: Small) -> None:
    with pytest.raises(BenchError, match=r"give a larger --batch-size"):
        execute(make_plan(small("c-clip", limit=3, batch_size=2)), QUIET)
