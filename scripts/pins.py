"""Pins what records of a suite must agree with, into benchmark/validation/pins/<suite>.json.

    python scripts/pins.py mini mini-xtail mini-mtil              # each with its own backbone
    python scripts/pins.py mini --backbone tiny-b                 # scores of other weights too
    python scripts/pins.py retrieval                              # once its data are prepared

Nothing is trained: every split is read and the untouched backbone scored. Pins of the same version
of a suite are added to; of another version, they are replaced.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchmark.common.report import SILENT
from benchmark.data.cache.decoded import transform_id
from benchmark.errors import BenchError
from benchmark.protocol.method import Frozen
from benchmark.run.build import open_ground
from benchmark.run.device.precision import float32_products
from benchmark.run.evaluate import evaluate
from benchmark.run.inputs import Inputs, open_inputs
from benchmark.run.record.rows import evidence_of
from benchmark.run.request import Plan, Request, make_plan
from benchmark.suites.find import find_suite
from benchmark.suites.names import suite_names
from benchmark.validation.pins import PinnedSet, PinnedSuite, parsed_pins, pins_file

ZERO_SHOT = "zs"


def pins_for(asked: Request) -> PinnedSuite:
    """All that is pinned of a suite; where each task is learned alone, from a run of each."""
    suite = find_suite(asked.suite)
    if not suite.alone:
        return make_pins(make_plan(asked))
    orders = [task.name for task in suite.tasks]
    first, *others = (make_pins(make_plan(replace(asked, order=name))) for name in orders)
    for one in others:
        first = replace(
            first,
            sets={**first.sets, **one.sets},
            data=_joined(first.data, one.data),
            zero_shot=_joined(first.zero_shot, one.zero_shot),
        )
    return replace(first, orders={"forward": orders} | {name: [name] for name in orders})


def _joined(one: Any, other: Any) -> Any:
    """Two nested mappings as one; what is no mapping is the same in both, or the other's."""
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return other
    return {**one, **{k: _joined(one.get(k), v) for k, v in other.items()}}


@float32_products(tf32=False)
def make_pins(plan: Plan) -> PinnedSuite:
    """All that is pinned of a suite, with the zero-shot scores of the plan's weights."""
    ground = open_ground(plan, SILENT)
    inputs = open_inputs(plan, SILENT, ground)
    cells = [
        (0, which, evaluate(Frozen(inputs.clip.scale), inputs.feed, which))
        for which in inputs.evals
    ]
    hits: dict[str, dict[str, list[int]]] = {}
    for _, which, scores in cells:
        for row in scores.rows:
            hits.setdefault(which.name, {}).setdefault(row["direction"] or "acc", []).append(
                row["hits"]
            )
    suite, reference = plan.suite, plan.suite.reference
    data = {"train": inputs.identity["train"], "test": inputs.identity["test"]}
    if reference is not None:
        data["reference"] = ground.read(reference, "train").fingerprint
    orders = {"forward": [d.name for d in suite.tasks]}
    return PinnedSuite(
        suite=suite.name,
        version=suite.version,
        backbone=suite.backbone,
        pretrained=suite.pretrained,
        templates=suite.templates,
        recipe=suite.recipe.asked(),
        sets=_sets(inputs, cells, plan),
        orders=orders | ({"ii": list(suite.order_ii)} if suite.order_ii else {}),
        data={transform_id(inputs.clip.size): data},
        weights={f"{plan.backbone} {plan.pretrained}": inputs.clip.fingerprint},
        zero_shot={inputs.clip.fingerprint: hits},
        settings=dict(suite.settings),
    )


def _sets(inputs: Inputs, cells: list, plan: Plan) -> dict[str, PinnedSet]:  # type: ignore[type-arg]
    keys = evidence_of(cells, "").keys
    optional = {d.name for d in plan.suite.held_out if d.optional}
    found = {}
    for _, which, scores in cells:
        row = next(r for r in scores.rows if r["direction"] != "t2i")
        found[which.name] = PinnedSet(
            title=which.title,
            task=which.position is not None,
            optional=which.name in optional,
            kind=keys[which.name].kind,
            label_space=which.label_space,
            images=row["n_queries"],
            candidates=row["n_gallery"],
            key=keys[which.name].digest(),
        )
    return found


def merged(old: PinnedSuite, new: PinnedSuite) -> PinnedSuite:
    """The new pins, with the data of other image sides and the scores of other weights kept.

    Raises:
        BenchError: they disagree in what must be the same under one version.
    """
    apart: dict[str, Any] = {"data": {}, "weights": {}, "zero_shot": {}}
    if replace(old, **apart) != replace(new, **apart):
        fix = "raise the suite's version where that is meant"
        raise BenchError(f"the pins of {old.suite} {old.version}", "other ones", fix, code=5)
    pairs: tuple[tuple[Mapping[str, Any], Mapping[str, Any]], ...] = (
        (old.data, new.data), (old.weights, new.weights),
        (old.zero_shot, new.zero_shot),
    )  # fmt: skip
    for theirs, mine in pairs:
        for name in mine.keys() & theirs.keys():
            if mine[name] != theirs[name]:
                what, fix = f"the pinned values of {name[:40]}", "look for what changed"
                raise BenchError(what, "other ones", fix, 5)
    data, weights, zero_shot = ({**theirs, **mine} for theirs, mine in pairs)
    return replace(new, data=data, weights=weights, zero_shot=zero_shot)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", nargs="+", choices=suite_names())
    parser.add_argument("--backbone", help="another than the suite's")
    parser.add_argument("--pretrained", help="its weights [the suite's]")
    asked = parser.parse_args()
    for suite in asked.suite:
        found = pins_for(
            Request(ZERO_SHOT, suite=suite, backbone=asked.backbone, pretrained=asked.pretrained)
        )
        path = pins_file(suite)
        if path.exists():
            old = parsed_pins(path.read_text(encoding="utf-8"))
            found = merged(old, found) if old.version == found.version else found
        path.write_text(found.text(), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
