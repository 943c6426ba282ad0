"""The embedded few-shot suites: what is drawn, what competes, how it is prompted and ordered."""

import hashlib
import json
from collections import Counter
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from split_images import image_source

from benchmark.common.digests import digest
from benchmark.data import rendered as mini
from benchmark.data.rendered import _ALL
from benchmark.data.split import Labelled
from benchmark.errors import BenchError
from benchmark.miniworld import sampling
from benchmark.run.request import Request, make_plan
from benchmark.suites.find import find_suite
from benchmark.suites.names import SplitName, Templates

GOLDEN = Path(__file__).parents[1] / "golden" / "mini-few-shots.json"
SHOTS = {"mini-xtail": 16, "mini-mtil": 5}
SUITES = {name: find_suite(name) for name in SHOTS}
TASKS = tuple(d.name for d in SUITES["mini-xtail"].tasks)
FIRST = ("planes", "digits")  # one by shape, one by writing; the others in `make test-all`
every_task = pytest.mark.parametrize(
    "name", [pytest.param(t, marks=[pytest.mark.slow] * (t not in FIRST)) for t in TASKS]
)


@cache
def split(suite: str, name: str, part: SplitName) -> Labelled:
    (dataset,) = [d for d in SUITES[suite].tasks if d.name == name]
    found = dataset.load(part)
    assert isinstance(found, Labelled)
    return found


def content(suite: str, name: str, part: SplitName) -> str:
    return image_source(split(suite, name, part)).content


def pictures(found: Labelled, start: int = 0, step: int = 1) -> list[bytes]:
    images = image_source(found)
    rows = range(start, images.size, step)
    return [hashlib.sha256(images.open(i).tobytes()).digest() for i in rows]


def test_the_two_suites_as_declared() -> None:
    xtail, mtil = SUITES["mini-xtail"], SUITES["mini-mtil"]
    assert (xtail.class_scope, mtil.class_scope) == ("union", "own")
    assert (xtail.templates, mtil.templates) == ("per-dataset", "first")
    assert (xtail.recipe.steps, mtil.recipe.steps) == (80, 40)
    assert [d.name for d in mtil.tasks] == list(TASKS)
    assert tuple(mini.FEW_SHOT) == TASKS
    assert len(TASKS) == 8
    for suite in SUITES.values():
        assert (suite.backbone, suite.pretrained) == ("tiny-s", "bundled-few-shot")
        assert suite.version == "2.0"
        assert [d.name for d in suite.held_out] == ["objects", "land"]
        assert all(d.needs is None and d.licence and d.citation for d in suite.tasks)


def test_held_out_sets_are_those_of_mini() -> None:
    theirs = {d.name: d.load("test") for d in find_suite("mini").held_out}
    for suite in SUITES.values():
        for dataset in suite.held_out:
            mine, other = dataset.load("test"), theirs[dataset.name]
            assert isinstance(mine, Labelled)
            assert isinstance(other, Labelled)
            assert image_source(mine).content == image_source(other).content
            assert mine.templates == other.templates


def test_no_task_is_in_the_mix_that_made_the_weights() -> None:
    assert not set(TASKS) & {*mini.CAPTIONED, *mini.LABELLED}


def test_one_class_name_is_in_exactly_two_domains() -> None:
    names = [split("mini-xtail", t, "test").classnames for t in TASKS]
    assert all(len(set(own)) == len(own) and 5 <= len(own) <= 12 for own in names)
    counts = Counter(name for own in names for name in own)
    assert {name: n for name, n in counts.items() if n > 1} == {"sunflower": 2}
    assert counts.total() == 69


@pytest.mark.parametrize("suite", SHOTS)
@pytest.mark.parametrize("name", TASKS)
def test_shots_are_exact_and_tests_balanced(suite: str, name: str) -> None:
    train, test = split(suite, name, "train"), split(suite, name, "test")
    classes = len(train.classnames)
    assert np.bincount(train.labels).tolist() == [SHOTS[suite]] * classes
    assert np.bincount(test.labels).tolist() == [20] * classes
    for k in range(SHOTS[suite]):  # every prefix is balanced
        assert sorted(train.labels[k * classes : (k + 1) * classes]) == list(range(classes))


@every_task
def test_no_picture_twice_and_none_shared_with_the_test(name: str) -> None:
    """All of the test and of the 5 shots against a third of the 16, as rendering takes long."""
    test = pictures(split("mini-xtail", name, "test"))
    sixteen, five = split("mini-xtail", name, "train"), split("mini-mtil", name, "train")
    train = [*pictures(sixteen, step=3), *pictures(five)]
    assert len(set(test)) == len(test)
    assert not set(test) & set(train)
    assert len(set(train)) == len(train)


@every_task
def test_no_test_scene_looks_like_a_training_scene(name: str) -> None:
    """Under the same noise, so that only what the scene says can tell two pictures apart."""
    domain = _ALL[name]
    classes = len(domain.classnames)

    def scenes(role: sampling.Role, size: int) -> np.ndarray:
        found = sampling.scenes(domain, role, size, 0)
        drawn = [np.asarray(domain.paint(s, np.random.default_rng(1)), np.int16) for s in found]
        return np.stack(drawn).reshape(-1, classes, *drawn[0].shape)

    train, test = scenes("train", 8 * classes), scenes("test", 8 * classes)
    for one in test:
        off = (np.abs(train - one).max(-1) > 18).sum((2, 3))
        assert off.min() >= 30, np.unravel_index(off.argmin(), off.shape)


@every_task
def test_what_cannot_be_seen_makes_no_other_scene(name: str) -> None:
    """Two scenes that differ in one attribute either are the same or look different."""
    spec, checked = _ALL[name], 0
    for index in np.random.default_rng(0).integers(0, spec.combinations, 12).tolist():
        base, stride = spec.scene(index), 1
        for values in spec.attributes.values():
            digit = index // stride % len(values)
            other = spec.scene(index + ((digit + 1) % len(values) - digit) * stride)
            stride *= len(values)
            if base is None or other is None or base == other:
                continue
            pair = [spec.paint(s, np.random.default_rng(1)) for s in (base, other)]
            one, two = (np.asarray(image, dtype=int) for image in pair)
            assert (np.abs(one - two).max(2) > 12).sum() >= 6, (base, other)
            checked += 1
    assert checked > 40


def shots(found: Labelled) -> str:
    """What was drawn: classes, labels, and a sample of the pictures."""
    labels = [str(label) for label in found.labels.tolist()]
    return digest([*found.classnames, *labels, *pictures(found, step=9)])


def test_shots_are_those_of_version_1_0() -> None:
    """A change here makes old records incomparable: raise the suites' version with the file."""
    golden = json.loads(GOLDEN.read_text())
    mine = {f"{s} {t}": shots(split(s, t, "train")) for s in SHOTS for t in TASKS}
    assert golden == mine


def test_shots_depend_on_protocol_and_dataset_alone() -> None:
    """Not on what was loaded before: not on evaluations, not on the order, not on prompts."""
    first = {t: content("mini-xtail", t, "train") for t in TASKS}
    again = find_suite("mini-xtail", templates="generic")
    for dataset in reversed(again.tasks):
        dataset.load("test")
        found = dataset.load("train")
        assert isinstance(found, Labelled)
        assert image_source(found).content == first[dataset.name]
    assert len(set(first.values())) == len(TASKS)
    others = {content("mini-mtil", t, "train") for t in TASKS}
    assert not others & set(first.values())
    for name in TASKS:
        assert content("mini-xtail", name, "test") == content("mini-mtil", name, "test")


@pytest.mark.parametrize("suite", SHOTS)
def test_template_sets(suite: str) -> None:
    def prompts(chosen: Templates | None) -> dict[str, tuple[str, ...]]:
        found = find_suite(suite, templates=chosen)
        assert found.templates == (chosen or SUITES[suite].templates)
        own = {}
        for dataset in found.tasks:
            train, test = dataset.load("train"), dataset.load("test")
            assert isinstance(train, Labelled)
            assert isinstance(test, Labelled)
            assert train.templates == test.templates
            own[dataset.name] = test.templates
        return own

    generic, single, ensemble = prompts("generic"), prompts("per-dataset"), prompts("ensemble")
    assert set(generic.values()) == {("a photo of a {}.",)}
    assert all(single[name] == ensemble[name][:1] for name in TASKS)
    assert len(set(single.values())) > 4
    assert {len(found) for found in ensemble.values()} >= {1, 2, 4}
    assert prompts(None) == prompts("first") == single
    every = [t for found in (single, ensemble) for own in found.values() for t in own]
    assert all(t.count("{}") == 1 for t in every)


def test_another_template_set_is_another_record() -> None:
    usual = make_plan(Request("zs", suite="mini-xtail"))
    assert "templates" not in usual.settings
    named = make_plan(Request("zs", suite="mini-xtail", templates="per-dataset"))
    assert (named.target, named.asked) == (usual.target, usual.asked)
    other = make_plan(Request("zs", suite="mini-xtail", templates="generic"))
    assert other.settings == {"templates": "generic"}
    assert other.stem.startswith("zs+templates=generic--")
    assert other.asked != usual.asked
    mtil = make_plan(Request("zs", suite="mini-mtil", templates="first"))
    assert mtil.settings == {}


def test_a_suite_without_a_choice_of_templates_says_so(tmp_path: Path) -> None:
    for suite in ("mini", "retrieval"):
        with pytest.raises(BenchError, match="--templates beside a suite with a choice"):
            make_plan(Request("zs", suite=suite, templates="generic"))
    toml = tmp_path / "own.toml"
    toml.write_text('name = "own"\n[[task]]\nname = "a"\ntrain = "a.parquet"\ntest = "b.parquet"\n'
                    'captions = "text"\n')  # fmt: skip
    with pytest.raises(BenchError, match="'own', which has none"):
        make_plan(Request("zs", suite=str(toml), templates="generic"))
    with pytest.raises(BenchError, match="did you mean 'ensemble'"):
        make_plan(Request("zs", suite="mini-xtail", templates="ensembel"))  # type: ignore[arg-type]


@pytest.mark.parametrize("suite", [*SHOTS, "xtail", "xtail-coop", "mtil"])
def test_order_ii_is_a_permutation_of_its_own(suite: str) -> None:
    found = find_suite(suite)
    names = [d.name for d in found.tasks]
    assert sorted(found.order_ii) == sorted(names)
    assert list(found.order_ii) not in (names, names[::-1])


def test_published_orders_ii() -> None:
    mtil, xtail = find_suite("mtil").order_ii, find_suite("xtail").order_ii
    assert (mtil[0], mtil[-1], mtil.index("aircraft")) == ("stanford-cars", "cifar100", 6)
    assert (xtail[:2], xtail[-1]) == (("stanford-cars", "aircraft"), "eurosat")


def test_a_run_in_order_ii() -> None:
    plan = make_plan(Request("zs", suite="mini-mtil", order="ii"))
    assert "--ii--" in plan.stem
    assert not any("leaves" in reason for reason in plan.unofficial)
    with pytest.raises(BenchError, match="a suite with an order II"):
        make_plan(Request("zs", suite="mini", order="ii"))


def test_domains_differ_in_words() -> None:
    """Apart from colours in front of a name and the one shared class."""
    words = {t: {w for n in split("mini-xtail", t, "test").classnames for w in n.split()}
             for t in TASKS}  # fmt: skip
    for one, two in combinations(TASKS, 2):
        assert words[one] & words[two] <= {"sunflower", "red"}, (one, two)
