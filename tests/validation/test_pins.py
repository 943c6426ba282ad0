"""Pins are those of the suites as they are declared, and of the backbones that ship."""

import json
from pathlib import Path

import pytest

from benchmark.run.request import Request
from benchmark.suites.find import find_suite
from benchmark.suites.names import EMBEDDED
from benchmark.validation.pins import parsed_pins, pinned, pins_file

SHIPPED = Path(__file__).parents[2] / "benchmark" / "backbones" / "shipped"


@pytest.mark.parametrize("name", EMBEDDED)
def test_they_are_those_of_the_suite(name: str) -> None:
    """A changed suite needs `python scripts/pins.py`, and a version that is raised."""
    pins, suite = pinned()[name], find_suite(name)
    assert (pins.suite, pins.version) == (suite.name, suite.version)
    assert (pins.backbone, pins.pretrained) == (suite.backbone, suite.pretrained)
    assert pins.templates == suite.templates
    assert pins.recipe == suite.recipe.asked()
    assert pins.tasks == [d.name for d in suite.tasks]
    assert pins.orders.get("ii", []) == list(suite.order_ii)
    alone = {name: [name] for name in pins.tasks if suite.alone}
    assert {n: o for n, o in pins.orders.items() if n not in ("forward", "ii")} == alone
    titles = {d.name: d.title for d in (*suite.tasks, *suite.held_out)}
    assert {task: one.title for task, one in pins.sets.items()} == titles
    assert {task for task, one in pins.sets.items() if one.task} == set(pins.tasks)
    kinds = {d.name: d.kind for d in (*suite.tasks, *suite.held_out)}
    assert {task: one.kind for task, one in pins.sets.items()} == kinds
    learned = {one.label_space for one in pins.sets.values() if one.task}
    assert learned == {None if name == "mini" else suite.class_scope}


@pytest.mark.parametrize("name", EMBEDDED)
def test_every_set_of_every_backbone_is_pinned(name: str) -> None:
    pins = pinned()[name]
    backbones = {json.loads(p.read_text()).get("name", p.stem) for p in SHIPPED.glob("tiny-?.json")}
    assert len(backbones) == 2
    assert len(pins.weights) == 2 == len(pins.zero_shot)
    assert set(pins.weights.values()) == set(pins.zero_shot)
    for hits in pins.zero_shot.values():
        assert set(hits) == set(pins.sets)
        for task, by_direction in hits.items():
            one = pins.sets[task]
            wanted = {"t2i": 3, "i2t": 3} if one.kind == "pairs" else {"acc": 1}
            assert {k: len(v) for k, v in by_direction.items()} == wanted
            assert all(0 <= n <= one.counts(d)[0] for d, ns in by_direction.items() for n in ns)
    for data in pins.data.values():
        assert set(data["train"]) == set(pins.tasks)
        assert set(data["test"]) == set(pins.sets)


def test_they_are_read_as_they_were_written() -> None:
    for name, pins in pinned().items():
        assert pins.text() == pins_file(name).read_text(encoding="utf-8")
        assert parsed_pins(pins.text()) == pins


@pytest.mark.slow
@pytest.mark.parametrize("name", EMBEDDED)
@pytest.mark.parametrize("backbone", ["tiny-s", "tiny-b"])
def test_they_are_measured_anew(name: str, backbone: str) -> None:
    from importlib.util import module_from_spec, spec_from_file_location

    path = Path(__file__).parents[2] / "scripts" / "pins.py"
    spec = spec_from_file_location("pins_script", path)
    assert spec is not None
    assert spec.loader is not None
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    few = name != "mini" and backbone != "tiny-s"  # whose weights know no few-shot domain
    weights = "bundled" if few else None
    found = script.pins_for(Request("zs", suite=name, backbone=backbone, pretrained=weights))
    assert script.merged(pinned()[name], found) == pinned()[name]
