"""Studies on tiny data: their points are those of runs, and of weights changed by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.common.report import SILENT
from benchmark.errors import BenchError
from benchmark.records.store import read_record
from benchmark.records.study.file import read_study, study_path
from benchmark.run.build import open_ground
from benchmark.run.inputs import open_inputs
from benchmark.run.request import Request, make_plan
from benchmark.run.runner import execute
from benchmark.study import points
from benchmark.study.desk import Keeping
from benchmark.study.learn import learn, scored_set
from benchmark.study.points import Study, amplified, placement, removal, targets
from benchmark.study.runs import LOCATIONS, insertion, pruning

SMALL: dict[str, Any] = {"limit": 10, "epochs": 2, "batch_size": 4, "device": "cpu"}


@pytest.fixture
def study(own_cache: Path, tmp_path: Path) -> Study:
    request = Request("lora", suite="mini-xtail", cache_dir=own_cache, **SMALL)
    return Study(request, [3], Keeping(tmp_path / "studies"), SILENT)


def test_a_task_is_learned_as_a_run_learns_it(study: Study, tmp_path: Path) -> None:
    """The same hits as a record of a run of that task alone, of a method that prunes."""
    hp = ("rank=4", "kappa_max=0.2", "dense=0.0")
    asked = replace(
        study.request, method="codyra", order="curios", seed=3, hp=hp, evals="id",
        output_dir=tmp_path,
    )  # fmt: skip
    plan = make_plan(asked)
    execute(plan, SILENT)
    record = read_record(plan.target)
    (hits,) = [
        row.hits for row in record.frame.itertuples()
        if row.step == 1 and row.metric == "acc"
    ]  # fmt: skip
    learned = learn(plan, SILENT)
    (task,) = [d for d in plan.suite.tasks if d.name == "curios"]
    score = learned.score(scored_set(learned.ground, task, plan))
    assert score == {"hits": hits, "n": 10}
    ranks = record.provenance["reports"][0]["ranks"]
    assert {name: len(a) for name, (_, a) in learned.updates.items()} == ranks


def test_an_update_is_what_was_added_to_the_weights(study: Study) -> None:
    learned = learn(study.plan("planes", 3), SILENT)
    for name, site in learned.sites.items():
        b, a = learned.updates[name]
        torch.testing.assert_close(
            site.weight.detach() - learned.start[name], b @ a, rtol=0, atol=1e-6
        )
        assert not site.weight.equal(learned.start[name])


def test_placement(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """All towers and parts; a killed call goes on; what is there is not learned again."""
    monkeypatch.setattr(points, "PARTS", {"attention": points.PARTS["attention"]})
    calls: list[str] = []

    def counted(plan: Any, report: Any) -> Any:
        calls.append(",".join(plan.request.hp))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return learn(plan, report)

    monkeypatch.setattr(points, "learn", counted)
    with pytest.raises(KeyboardInterrupt):
        placement(study, None, None, [2])
    path = placement(study, None, None, [2])
    assert len(calls) == 5
    assert calls[:2] == [
        f"targets={','.join(f'{t}.attn.{m}' for m in ('q', 'k', 'v', 'out_proj'))},"
        "rank=2,alpha=2.0" for t in ("image", "text")
    ]  # fmt: skip
    assert calls[3].startswith("targets=attn.q,")
    found = read_study(path)
    assert placement(study, None, None, [2]) == path
    assert len(calls) == 5
    assert (found.study, found.suite, found.backbone) == ("placement", "mini-xtail", "tiny-s")
    assert found.asked["task"] == "planes"
    assert [(p["at"].get("tower"), p["at"]["seed"]) for p in found.points] == [
        ("image", 3), ("text", 3), ("both", 3), (None, None),
    ]  # fmt: skip
    for point in found.points:
        assert point["found"].keys() == {"task", "reference"}
        assert all(0 <= one["hits"] <= one["n"] == 10 for one in point["found"].values())
    assert {"code", "methods", "versions", "hardware", "weights"} <= found.made.keys()
    # Not committed, or limited: never beside what a commit made.
    assert path == study_path(study.place.folder / "scratch", "mini-xtail", "placement")  # type: ignore[operator]


def test_points_of_another_make_are_not_mixed(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points, "PARTS", {"mlp": ("mlp.c_fc",)})
    monkeypatch.setattr(points, "TOWERS", ())
    path = placement(study, None, None, [1])
    with pytest.raises(BenchError, match="--overwrite"):
        placement(replace(study, request=replace(study.request, epochs=1)), None, None, [1])
    with pytest.raises(BenchError, match="--overwrite"):
        placement(study, "curios", None, [1])
    data = json.loads(path.read_text())
    data["made"]["code"]["sha256"] = "another"
    path.write_text(json.dumps(data))
    with pytest.raises(BenchError, match="--overwrite"):
        placement(study, None, None, [1])
    again = replace(study, place=replace(study.place, overwrite=True))
    assert len(read_study(placement(again, None, None, [1])).points) == 2
    path.write_text("{}")
    with pytest.raises(BenchError, match="another text") as e:
        placement(study, None, None, [1])
    assert e.value.code == 5


@pytest.mark.slow
def test_removal(study: Study) -> None:
    """Ends are the learned and the untouched model; a removed group is weights put back."""
    found = read_study(removal(study, None, None))
    assert len(found.points) == 2 + 2 * 12
    plan = study.plan("planes", 3)
    learned = learn(plan, SILENT)
    (task,) = [d for d in plan.suite.tasks if d.name == "planes"]
    reference = study.reference(None)

    def scores() -> dict[str, Any]:
        sets = {"task": task, "reference": reference}
        return {k: learned.score(scored_set(learned.ground, d, plan)) for k, d in sets.items()}

    (every,), (none,) = (found.at(kept=kept) for kept in ("every map", "no map"))
    assert every["found"] == scores()
    with torch.no_grad():
        for name in learned.start:
            if name.startswith("image.") and name.endswith("mlp.c_proj"):
                learned.sites[name].weight.copy_(learned.start[name])
    (one,) = found.at(removed="mlp.c_proj", tower="image")
    assert one["found"] == scores()
    record = make_plan(replace(study.request, method="zs", order="planes", seed=3, evals="all"))
    inputs = open_inputs(record, SILENT, open_ground(record, SILENT))
    untouched = {which.name: which for which in inputs.evals}
    with torch.no_grad():
        for name in learned.start:
            learned.sites[name].weight.copy_(learned.start[name])
    assert none["found"]["task"] == learned.score(untouched["planes"])
    assert none["found"]["reference"] == learned.score(untouched[reference.name])


@pytest.mark.slow
def test_amplification_of_two_methods(study: Study) -> None:
    again = replace(study, seeds=[3, 4])
    found = read_study(amplified(again, ["lora", "codyra"], ["curios"], 2))
    assert [(p["at"]["method"], p["at"]["seed"]) for p in found.points] == [
        ("lora", 3), ("lora", 4), ("codyra", 3), ("codyra", 4),
    ]  # fmt: skip
    sites = learn(study.plan("curios", 3), SILENT).start
    for point in found.points:
        maps = point["found"]["maps"]
        assert maps.keys() == sites.keys()
        for one in maps.values():
            assert one["factor"] == pytest.approx(one["change"] / one["along"])
            assert one["used"] <= 2 <= one["rank"]
    one = replace(study.request, hp=("targets=image.attn.q",))
    part = replace(study, request=one, place=Keeping(study.place.folder, overwrite=True))
    (point,) = read_study(amplified(part, ["lora"], ["curios"], 2)).points
    assert {n for n, m in point["found"]["maps"].items() if m["factor"] is not None} == {
        f"image.{i}.attn.q" for i in range(4)
    }


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda s: placement(s, "plans", None, [1]), "did you mean 'planes'"),
        (lambda s: placement(s, None, "curios", [1]), "--reference with a labelled set"),
        (lambda s: placement(s, None, None, [0]), "rank >= 1"),
        (lambda s: amplified(s, ["lora"], [], 0), "--top of at least 1"),
        (lambda s: amplified(s, ["ft"], [], 1), "low-rank update"),
        (lambda s: pruning(s, [], []), "kappa_max and dense"),
        (lambda s: placement(replace(s, request=replace(s.request, suite="mini")), None, None, [1]),
         "with labels"),
        (lambda s: removal(replace(s, request=replace(s.request, suite="mini-peft")), None, None),
         "--reference"),
    ],
)  # fmt: skip
def test_what_a_study_cannot_do_is_said(make: Any, said: str, study: Study) -> None:
    with pytest.raises(BenchError) as e:
        make(study)
    assert said in str(e.value)


def test_targets_of_a_place() -> None:
    assert targets("both", "attention") == "attn.q,attn.k,attn.v,attn.out_proj"
    assert targets("text", "mlp") == "text.mlp.c_fc,text.mlp.c_proj"
    assert targets("both", "all").count(",") == 5


def test_whole_runs_are_ordinary_ones_and_none_is_twice(study: Study) -> None:
    """What equals the method's own settings on the suite is its plain run."""
    two = replace(study, request=Request("codyra", suite="mini-xtail"), seeds=[1, 2])
    asked = insertion(two, LOCATIONS, [4, 16])
    assert len(asked) == len(set(asked)) == 2 * 5 * 2
    assert {r.seed for r in asked} == {1, 2}
    assert Request("codyra", suite="mini-xtail", seed=1) in asked
    assert Request("codyra", suite="mini-xtail", seed=1, hp=("rank=4",)) in asked
    own = make_plan(two.request).method.config.kappa_max  # type: ignore[attr-defined]
    asked = pruning(two, [], [0.0, 0.5])
    assert len(asked) == len(set(asked)) == 2 * (4 + 1 + 1)  # both sweeps go through the default
    plans = [make_plan(one) for one in asked]
    kappas = {p.method.config.kappa_max for p in plans}  # type: ignore[attr-defined]
    assert kappas == {own * share for share in (0, 0.25, 0.5, 1, 2)}
    assert sum(not p.settings for p in plans) == 2
    assert {",".join(p.settings) for p in plans} == {"", "kappa_max", "dense"}
