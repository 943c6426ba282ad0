"""What stands on CoDyRA's training: a model per task with a router, and regressions beside it."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch
from lanes import lanes
from torch.nn import functional as F
from torch.testing import assert_close

from benchmark.errors import BenchError
from benchmark.protocol.badges import UNSEEN
from benchmark.protocol.class_rows import class_rows
from benchmark.protocol.method import Method
from benchmark.protocol.types import Context
from benchmark.records.store import read_record
from benchmark.run.registry import find_method

# A good half of the gates go, in three steps, and what is left moves the model.
PRUNED = {"kappa_max": 0.5, "dense": 0.0, "rank": 4, "lr": 0.02}
NEW = ("codyra-plus", "codyra-rail-primal", "codyra-rail-dual")


@pytest.fixture(scope="module")
def trained(lab):
    """Method, tasks and settings -> the run; shared, never changed."""
    done = {}

    def get(name, tasks=2, **changes):
        key = name, tasks, tuple(changes.items())
        if key not in done:
            done[key] = lab.train(name, lab.labelled[:tasks], **PRUNED, **changes)
        return done[key]

    return get


def _images(run, data, task=None):
    return run.feed.images(data, torch.arange(len(data)), Context(task=task))


@torch.no_grad()
def _scores(run, data, scope, task=None):
    """As the evaluator asks: the classes of all sets in `scope`, all images of one of them."""
    learned = [i if i < len(run.tasks) else -1 for i in range(len(scope))]
    classes = run.feed.classes(scope, learned=learned, context=Context(task=task))
    return run.method.classifier(classes)(_images(run, data, task))


OTHER = {"prox": "released", "text_rows": "seen", "targets": ("attn.q", "mlp.c_fc")}


@pytest.mark.parametrize("settings", lanes([{}, OTHER], [OTHER]))
@pytest.mark.parametrize("name", lanes(NEW, ["codyra-plus"]))
def test_the_model_is_trained_as_codyras_bit_for_bit(name, settings, trained):
    """With the defaults, and with a setting of its training that every hook must heed."""
    quick = {"codyra-plus": {"router_steps": 5}, "codyra-rail-primal": {"hidden": 40}}
    want, got = trained("codyra", **settings), trained(name, **settings, **quick.get(name, {}))
    assert got.losses == want.losses
    assert got.method.report() == want.method.report()
    state = got.method.clip.state_dict()
    assert all(v.equal(state[k]) for k, v in want.method.clip.state_dict().items())


def test_settings_of_its_training_are_codyras():
    """Each method's file has them by itself: the same names, in one order, of one default."""
    want = [(f.name, f.type, f.default) for f in fields(find_method("codyra", []).config)]
    for name in NEW:
        own = [(f.name, f.type, f.default) for f in fields(find_method(name, []).config)]
        assert own[: len(want)] == want, name
        assert len(own) == len(want) + (3 if name == "codyra-plus" else 4)


def test_captions_have_no_classes_to_count():
    found = find_method("codyra-plus", [])
    assert found.cls.refused(found.config) == {}
    for name in NEW:
        found = find_method(name, ["text_rows=seen"])
        assert set(found.cls.refused(found.config)) == {"pairs"}


def test_no_class_stands_between_method_and_a_method():
    """What the four share is in modules and functions; each file shows its hooks."""
    for name in ("codyra", *NEW):
        assert find_method(name, []).cls.__bases__ == (Method,)


# -- a model per task


def test_a_perfect_router_keeps_every_score_and_changes_no_other(trained, lab):
    """A+[i, j] = A[j, j] for i >= j, and A[i, j] for i < j: the scores themselves, bit for bit."""
    scope = lab.labelled
    after = [trained("codyra", tasks) for tasks in (1, 2)]
    plus = [trained("codyra-plus", tasks, routing="oracle") for tasks in (1, 2)]
    kept = [[_scores(run, data, scope) for data in scope] for run in after]
    for i, run in enumerate(plus):
        for j, data in enumerate(scope):
            told = j if j <= i else -1
            assert _scores(run, data, scope, told).equal(kept[j if j <= i else i][j])
    assert not kept[0][0].equal(kept[1][0])  # CoDyRA's own do change
    for tasks, run in enumerate(plus, start=1):
        for data in (*lab.pairs[:2], *scope):  # what no task has shown meets the newest model
            images = run.feed.images(data, torch.arange(4), Context(task=-1))
            with torch.no_grad():
                got = run.method.encode_image(images)
                assert got.equal(after[tasks - 1].method.encode_image(images))


def test_models_are_rebuilt_bit_for_bit_in_any_order(lab):
    three = (*lab.labelled, lab.labelled[0])
    after = [lab.train("codyra", three[:n], **PRUNED).method.clip.state_dict() for n in (1, 2, 3)]
    plus = lab.train("codyra-plus", three, **PRUNED, routing="oracle").method
    with torch.no_grad():
        for task in (2, 0, 1, 0, 0, 2, 1):
            state = plus._model(task).state_dict()
            assert all(v.equal(state[k]) for k, v in after[task].items()), task
    kept = plus.rank_TS
    assert kept.shape == (3, 42)
    assert 0 < int(kept.sum()) < 4 * kept.numel()
    sizes = torch.tensor([sum(site.weight.shape) for site in plus._sites(plus.clip).values()])
    assert len(plus.factor_N) == int((kept * sizes).sum())
    assert not any(name.startswith("models") for name in plus.state_dict())


def test_a_task_of_which_no_rank_is_left_keeps_nothing(lab):
    changes = {**PRUNED, "kappa_max": 99.0}
    run = lab.train("codyra-plus", lab.labelled, **changes, routing="oracle")
    assert run.method.rank_TS.eq(0).all()
    assert not len(run.method.factor_N)
    start = lab.clip().state_dict()
    with torch.no_grad():
        for task in (0, 1):
            assert all(v.equal(start[k]) for k, v in run.method._model(task).state_dict().items())


def test_each_image_meets_model_and_texts_of_its_own_route(trained, lab):
    """By the errors of the auto-encoders, image by image, against the two models' own scores."""
    run = trained("codyra-plus", router_steps=40)
    models = [trained("codyra", tasks) for tasks in (1, 2)]
    coders, scope = run.method.router.coders["image"], lab.labelled
    for data in (*scope, lab.pairs[0]):
        images = _images(run, data)
        error_BT = coders.errors(images.frozen())
        best_B = error_BT.argmin(dim=1)
        fits_B = error_BT.min(dim=1).values <= coders.limit_T[best_B]
        route_B = torch.where(fits_B, best_B, -1)
        assert run.method.router.route(images).equal(route_B)
        with torch.no_grad():
            got = run.method.classifier(run.feed.classes(scope))(images)
            own = [m.method.classifier(m.feed.classes(scope))(images) for m in models]
        want = torch.stack(own)[route_B, torch.arange(len(data))]  # -1 is the newest
        assert_close(got, want, rtol=0, atol=1e-4)
    assert not _scores(models[0], scope[0], scope).allclose(
        _scores(models[1], scope[0], scope), atol=1e-2
    )


def test_routes_are_noted_and_an_oracle_needs_no_router(trained, lab):
    run = trained("codyra-plus", routing="oracle")
    assert not run.method.router.coders
    seen = []
    feed = run.feed
    for task in (0, -1):
        context = Context(lambda *logged: seen.append(logged), task)
        images = feed.images(lab.labelled[0], torch.arange(3), context)
        run.method.router.route(images)
    assert [(name, rows.tolist()) for name, rows in seen] == [
        ("route", [0] * 3), ("route", [UNSEEN] * 3),
    ]  # fmt: skip


def test_badges():
    for tag, badges in (
        ("", set()), (".route-batch", {"test batch"}), (".route-oracle", {"task id"}),
    ):  # fmt: skip
        assert find_method(f"codyra-plus{tag}", []).uses == badges


# -- regressions beside the model


def _stale(trained, lab):
    """Features of each task's images by the model that the task left, and their labels."""
    features, labels, first = [], [], 0
    for tasks, data in enumerate(lab.labelled, start=1):
        run = trained("codyra", tasks)
        with torch.no_grad():
            features.append(run.method.encode_image(_images(run, data)).double())
        labels.append(data.label_N + first)
        first += len(data.names)
    return torch.cat(features), F.one_hot(torch.cat(labels), first).double()


def _fused(run, regression, data, lab):
    """RAIL's fusion, written out: p, or (1 - beta) p + beta s where p's best is a learned class."""
    with torch.no_grad():
        image_BD = run.method.encode_image(_images(run, data)).double()
        classes = run.feed.classes(lab.labelled)
        class_CD = class_rows(run.method.encode_text(classes.prompts), classes).double()
    chance_BC = (float(run.method.clip.scale) * image_BD @ class_CD.T).softmax(dim=1)
    return 0.2 * chance_BC + 0.8 * regression(image_BD)  # all classes are learned


def test_primal_is_joint_ridge_on_features_as_they_were(trained, lab):
    run = trained("codyra-rail-primal", hidden=40)
    x, y = _stale(trained, lab)
    hidden = run.method.head.regression.hidden_DF
    phi = (x @ hidden).relu()
    weight = torch.linalg.solve(phi.T @ phi + 0.1 * torch.eye(40, dtype=torch.float64), phi.T @ y)
    assert_close(run.method.head.regression.weight_FS, weight, rtol=0, atol=1e-8)
    for data in lab.labelled:
        got = _scores(run, data, lab.labelled)
        want = _fused(run, lambda z: (z @ hidden).relu() @ weight, data, lab)
        assert_close(got.double(), want, rtol=0, atol=1e-5)


def test_dual_is_kernel_ridge_on_features_as_they_were(trained, lab):
    run = trained("codyra-rail-dual")
    x, y = _stale(trained, lab)

    def kernel(a, b):
        return torch.exp(-0.1 * torch.cdist(a, b).square())

    alpha = torch.linalg.solve(kernel(x, x) + 0.001 * torch.eye(len(x), dtype=torch.float64), y)
    for data in lab.labelled:
        got = _scores(run, data, lab.labelled)
        want = _fused(run, lambda z: kernel(z, x) @ alpha, data, lab)
        assert_close(got.double(), want, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["codyra-rail-primal", "codyra-rail-dual"])
def test_rebuilt_regresses_on_what_the_model_sees_now(name, trained, lab):
    more = {"hidden": 40} if "primal" in name else {}
    run = trained(name, rebuild=True, **more)
    assert run.method.badges(run.method.config) == {"samples"}
    stale, y = _stale(trained, lab)
    with torch.no_grad():
        x = torch.cat([run.method.encode_image(_images(run, data)) for data in lab.labelled])
    x = x.double()
    assert not torch.allclose(x, stale, atol=1e-3)
    if "primal" in name:
        phi = (x @ run.method.head.regression.hidden_DF).relu()
        gram = phi.T @ phi + 0.1 * torch.eye(40, dtype=torch.float64)
        weight = torch.linalg.solve(gram, phi.T @ y)
        assert_close(run.method.head.regression.weight_FS, weight, rtol=0, atol=1e-6)
    else:
        kernel = torch.exp(-0.1 * torch.cdist(x, x).square())
        alpha = torch.linalg.solve(kernel + 0.001 * torch.eye(len(x), dtype=torch.float64), y)
        got = run.method.head.regression.scores(x.float())
        assert_close(got.double(), kernel @ alpha, rtol=0, atol=1e-4)


def test_before_a_class_is_learned_scores_are_codyras(trained, lab):
    """After the first task, an image that looks like a class of the second is left alone."""
    run, plain = trained("codyra-rail-dual", 1), trained("codyra", 1)
    unlearned = len(lab.labelled[0].names)
    checked = 0
    for data in lab.labelled:
        got, chance = _scores(run, data, lab.labelled), _scores(plain, data, lab.labelled)
        chance = chance.softmax(dim=1)
        alone = chance.argmax(dim=1) >= unlearned
        assert got[alone].equal(chance[alone])
        checked += int(alone.sum())
    assert checked


@pytest.mark.parametrize(
    ("name", "hp", "words"),
    [
        ("codyra-plus", "routing=ae", "sample, batch, oracle"),
        ("codyra-plus", "router_steps=0", "router_steps of at least 1"),
        ("codyra-plus", "router_quantile=0", r"router_quantile in \(0, 1\]"),
        ("codyra-plus.route-oracle", "router_steps=9", "leave it out"),
        ("codyra-plus", "kappa_max=-1", "kappa_max of at least 0"),
        ("codyra-rail-primal", "hidden=-1", "hidden of at least 0"),
        ("codyra-rail-primal", "ridge=0", "ridge above 0"),
        ("codyra-rail-dual", "gamma=0", "gamma above 0"),
        ("codyra-rail-dual", "beta=2", r"beta in \[0, 1\]"),
    ],
)
def test_settings_that_mean_nothing_are_refused(name, hp, words):
    with pytest.raises(BenchError, match=words):
        find_method(name, [hp])


# -- what is committed

RESULTS = Path(__file__).parents[2] / "results"
SUITES = {
    "mini-xtail": ("codyra", "codyra-plus.route-oracle"),
    "mini-mtil": ("codyra", "codyra-plus.route-oracle"),
}


def _matrix(record):
    """Accuracies, stage by set: the tasks in the order learned, then what is held out."""
    frame = record.frame[record.frame["metric"] == "acc"]
    order = frame["task_order"].iloc[0].split(",")
    scores = frame.pivot(index="step", columns="eval_task", values="value")
    held_out = sorted(set(scores.columns) - set(order))
    return scores[order].to_numpy(), scores[held_out].to_numpy()


@pytest.mark.parametrize("order", ["forward", "ii"])
@pytest.mark.parametrize("suite", SUITES)
def test_the_oracle_of_the_committed_records_follows_from_codyras(suite, order):
    """A+[i, j] = A[j, j] once j is learned, A[i, j] before, as by hand from CoDyRA's own record."""
    plain, told = SUITES[suite]
    if not any((RESULTS / suite).glob("*.parquet")):
        pytest.skip(f"no records of {suite} yet: they are being made again")
    for seed in (42, 43, 44):
        name = f"{{}}--tiny-s--{order}--s{seed}.parquet"
        R, held_out = _matrix(read_record(RESULTS / suite / name.format(plain)))
        plus, plus_held_out = _matrix(read_record(RESULTS / suite / name.format(told)))
        want = R.copy()
        for j in range(R.shape[1]):
            want[j + 1 :, j] = R[j + 1, j]
        assert (want == plus).all()
        assert (held_out == plus_held_out).all()
        assert (want != R).any()  # CoDyRA forgets: the two records are not one
