"""RAIL's two regressions and their fusion against the formulas in numpy; columns, state, limits."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from benchmark.errors import BenchError
from benchmark.protocol.method import Frozen, no_grad_after_task
from benchmark.protocol.types import Batch, Classes, Images, Task, Texts
from benchmark.run.evaluate import EvalSet, evaluate
from benchmark.run.registry import find_method
from benchmark.run.state import checkpoint
from benchmark.run.state.checkpoint import Pristine
from benchmark.toolkit.ridge import Dual, Primal
from benchmark.toolkit.ridge_head import RidgeHead, fuse

DIM, RIDGE = 12, 0.1
METHODS = ("rail-primal", "rail-dual")
FORMS = {"linear": 0, "folded": 40, "factor": 700}  # hidden units: below and far above the samples


def _seeded(seed):
    return torch.Generator().manual_seed(seed)


def _primal(hidden, ridge=RIDGE):
    return Primal(DIM, hidden, ridge, _seeded(0))


def _tasks(count=10, size=15):
    """Unit features and labels of tasks with two to four classes each, and a name per class."""
    g = _seeded(1)
    found = []
    for t in range(count):
        classes = 2 + t % 3
        feature_ND = torch.randn(size + t, DIM, generator=g, dtype=torch.float64)
        label_N = torch.randint(classes, (size + t,), generator=g)
        names = tuple(f"task {t} class {c}" for c in range(classes))
        found.append((feature_ND / feature_ND.norm(dim=1, keepdim=True), label_N, names))
    return found


class _Sweep:
    """A loader that gives a task's features in batches; images and texts are stand-ins."""

    def __init__(self, feature_ND, label_N, batch_size):
        self._parts = feature_ND.split(batch_size), label_N.split(batch_size)

    def sweep(self):
        for feature_BD, label_B in zip(*self._parts, strict=True):
            yield Batch(_images(feature_BD), _texts(1), label_B, paired=False)


def _images(feature_BD):
    return Images(torch.zeros(len(feature_BD), 3, 1, 1), lambda: feature_BD)


def _texts(count):
    return Texts(torch.zeros(count, 2, dtype=torch.int64), lambda: torch.zeros(count, DIM))


def _classes(names, task_C=None):
    c = len(names)
    told = torch.full((c,), -1) if task_C is None else torch.tensor(task_C)
    return Classes(tuple(names), _texts(c), torch.arange(c), told)


def _learn(head, tasks, batch_size=7):
    for index, (feature_ND, label_N, names) in enumerate(tasks):
        loader: Any = _Sweep(feature_ND, label_N, batch_size)
        task = Task(index, len(tasks), loader, _classes(names), lambda *_: _seeded(0))
        head.learn(task, lambda images: images.frozen())
    return head


def _one_hot(tasks):
    """All features, and labels with the classes of each task after those of the one before."""
    firsts = np.cumsum([0, *(len(names) for *_, names in tasks)])
    label_N = np.concatenate([y.numpy() + f for (_, y, _), f in zip(tasks, firsts, strict=False)])
    return np.concatenate([x.numpy() for x, *_ in tasks]), np.eye(firsts[-1])[label_N]


def _phi(primal, feature_ND):
    if not primal.hidden_DF.shape[1]:
        return feature_ND
    return np.maximum(feature_ND @ primal.hidden_DF.numpy(), 0)


def _joint(phi_NF, y_NS, ridge=RIDGE):
    """The minimum of |Y - Phi W|^2 + ridge |W|^2."""
    return np.linalg.solve(phi_NF.T @ phi_NF + ridge * np.eye(phi_NF.shape[1]), phi_NF.T @ y_NS)


# -- the recursive regression


@pytest.mark.parametrize("hidden", FORMS.values(), ids=FORMS)
def test_ten_tasks_one_after_the_other_are_the_joint_solution(hidden):
    tasks = _tasks()
    regression = _primal(hidden)
    head = RidgeHead(regression, 0.8)
    for t, (feature_ND, label_N, names) in enumerate(tasks):
        before = regression.weight_FS.shape[1]
        loader: Any = _Sweep(feature_ND, label_N, 7)
        head.learn(Task(t, 10, loader, _classes(names), _seeded), lambda images: images.frozen())
        x, y = _one_hot(tasks[: t + 1])
        want = _joint(_phi(regression, x), y)
        weight_FS = regression.weight_FS
        assert weight_FS.shape[1] == before + len(names) == y.shape[1]
        assert weight_FS.dtype == torch.float64
        assert_close(weight_FS.numpy(), want, rtol=0, atol=1e-8 * np.abs(want).max())
    assert bool(len(regression.inverse_FF)) == (hidden < 200), "both forms are to be tested"


@pytest.mark.parametrize("hidden", FORMS.values(), ids=FORMS)
def test_the_inverse_is_the_inverse(hidden):
    primal, tasks = _primal(hidden), _tasks(4)
    x, y = _one_hot(tasks)
    primal.update(torch.tensor(x), torch.tensor(y.argmax(axis=1)), y.shape[1])
    phi = _phi(primal, x)
    want = np.linalg.inv(phi.T @ phi + RIDGE * np.eye(phi.shape[1]))
    weight = primal.weight_FS.clone()
    for _ in range(2):  # before and after `finish`
        eye = torch.eye(phi.shape[1], dtype=torch.float64)
        assert_close(primal._times_inverse(eye).numpy(), want, rtol=0, atol=1e-10 / RIDGE)
        primal.finish()
    assert primal.weight_FS.equal(weight)
    down_NF = primal.down_NF
    assert down_NF.shape == ((0, phi.shape[1]) if hidden < 200 else (len(x), hidden))
    assert down_NF.equal(down_NF.triu()), "a row still belongs to a sample"


@pytest.mark.parametrize("hidden", FORMS.values(), ids=FORMS)
def test_neither_batches_nor_the_order_of_tasks_matter(hidden):
    tasks = _tasks()
    whole = _learn(RidgeHead(_primal(hidden), 0.8), tasks)
    mixed = [3, 0, 9, 1, 7, 5, 2, 8, 6, 4]
    for order, size in ((range(10), 1), (range(10), 64), (mixed, 5)):
        other = _learn(RidgeHead(_primal(hidden), 0.8), [tasks[i] for i in order], size)
        place = [int((whole.name_S == name).nonzero()) for name in other.name_S]
        one = whole.regression.weight_FS[:, place]
        assert_close(other.regression.weight_FS, one, rtol=0, atol=1e-8 * float(one.abs().max()))
        assert sorted(place) == list(range(len(place)))


def test_hidden_units_are_drawn_from_the_generator_alone():
    drawn = Primal(DIM, 5000, RIDGE, _seeded(3)).hidden_DF
    assert drawn.equal(Primal(DIM, 5000, RIDGE, _seeded(3)).hidden_DF)
    assert not drawn.equal(Primal(DIM, 5000, RIDGE, _seeded(4)).hidden_DF)
    bound = DIM**-0.5
    assert float(drawn.abs().max()) <= bound
    assert float(drawn.var()) == pytest.approx(bound**2 / 3, rel=0.02)
    assert abs(float(drawn.mean())) < 0.01 * bound


def test_columns_never_become_fewer():
    for head in (_primal(20), Dual(DIM, RIDGE, None)):
        feature_BD = torch.eye(DIM)[:3]
        head.update(feature_BD, torch.tensor([0, 1, 2]), 3)
        with pytest.raises(RuntimeError):
            head.update(feature_BD, torch.tensor([0, 1, 0]), 2)


# -- the kernel regression


@pytest.mark.parametrize("gamma", [0.1, 3.0, None])
def test_dual_is_kernel_ridge_regression(gamma):
    tasks = _tasks()
    head = _learn(RidgeHead(Dual(DIM, 0.001, gamma), 0.8), tasks)
    x, y = _one_hot(tasks)

    def kernel(a, b):
        if gamma is None:
            return a @ b.T
        return np.exp(-gamma * ((a[:, None] - b[None]) ** 2).sum(axis=2))

    alpha = np.linalg.solve(kernel(x, x) + 0.001 * np.eye(len(x)), y)
    new_BD = np.random.default_rng(0).normal(size=(9, DIM))
    got = head.regression.scores(torch.tensor(new_BD)).numpy()
    want = kernel(new_BD, x) @ alpha
    assert_close(got, want, rtol=0, atol=1e-8 * np.abs(want).max())


def test_linear_primal_is_linear_dual():
    tasks, ridge = _tasks(), 0.01
    primal = _learn(RidgeHead(_primal(0, ridge), 0.8), tasks)
    dual = _learn(RidgeHead(Dual(DIM, ridge, None), 0.8), tasks)
    new_BD = torch.randn(9, DIM, generator=_seeded(5), dtype=torch.float64)
    one, two = (head.regression.scores(new_BD) for head in (primal, dual))
    assert_close(one, two, rtol=0, atol=1e-9 * float(one.abs().max()))
    assert float(one.abs().max()) > 0.1


@pytest.mark.parametrize("make", [lambda: _primal(60), lambda: Dual(DIM, RIDGE, 0.1)])
def test_scores_do_not_depend_on_the_batch(make):
    head = _learn(RidgeHead(make(), 0.8), _tasks(3)).regression
    new_BD = torch.randn(33, DIM, generator=_seeded(5))
    one_by_one = torch.cat([head.scores(new_BD[i : i + 1]) for i in range(33)])
    assert_close(head.scores(new_BD), one_by_one, rtol=0, atol=1e-12)


# -- fusion


def _fused(p, s, columns, beta):
    """The rule for one image, written out."""
    if columns[int(np.argmax(p))] < 0:
        return p
    return [
        (1 - beta) * a + beta * (s[k] if k >= 0 else 0) for a, k in zip(p, columns, strict=True)
    ]


def test_fusion_is_the_rule_and_leaves_the_rest_alone():
    g = _seeded(2)
    chance_BC = (5 * torch.randn(200, 6, generator=g)).softmax(dim=1)
    score_BS = torch.randn(200, 4, generator=g, dtype=torch.float64)
    columns = [2, -1, 0, -1, -1, 3]
    got = fuse(chance_BC, score_BS, torch.tensor(columns), 0.8)
    rows = zip(chance_BC.double().numpy(), score_BS.numpy(), strict=True)
    want = np.array([_fused(p, s, columns, 0.8) for p, s in rows])
    assert got.dtype == torch.float32
    assert_close(got.double().numpy(), want, rtol=0, atol=1e-6)
    acts_B = torch.tensor(columns)[chance_BC.argmax(dim=1)] >= 0
    assert 50 < int(acts_B.sum()) < 150
    assert got[~acts_B].equal(chance_BC[~acts_B])
    assert (got[acts_B] != chance_BC[acts_B]).any(dim=1).all()
    assert fuse(chance_BC, score_BS, torch.tensor(columns), 0.0).equal(chance_BC)


def test_of_equal_chances_the_first_decides():
    chance_BC = torch.tensor([[0.4, 0.4, 0.2]])
    score_BS = torch.ones(1, 1, dtype=torch.float64)
    for columns, acts in (([0, -1, -1], True), ([-1, 0, -1], False)):
        got = fuse(chance_BC, score_BS, torch.tensor(columns), 0.5)
        assert got.equal(chance_BC) != acts


def test_the_head_is_better_than_chance_on_what_it_learned_and_silent_elsewhere():
    """Texts point away from the images: zero-shot is weak, 16 images a class are enough."""
    g = _seeded(7)
    c, shots = 8, 16
    centre_CD = torch.nn.functional.normalize(torch.randn(c, DIM, generator=g), dim=1)
    text_CD = torch.nn.functional.normalize(centre_CD + 0.5 * torch.randn(c, DIM, generator=g))

    def draw(classes, n):
        label_N = torch.tensor(classes).repeat_interleave(n)
        noise_ND = 0.25 * torch.randn(len(label_N), DIM, generator=g)
        return torch.nn.functional.normalize(centre_CD[label_N] + noise_ND), label_N

    names = [f"class {i}" for i in range(c)]
    parts = [(*draw(range(a, a + 4), shots), tuple(names[a : a + 4])) for a in (0, 4)]
    parts = [(x, y - a, n) for (x, y, n), a in zip(parts, (0, 4), strict=True)]
    test_ND, label_N = draw(range(c), 100)
    scale = torch.tensor(20.0)
    zero_ND = (scale * test_ND @ text_CD.T).softmax(dim=1)
    zero = float((zero_ND.argmax(dim=1) == label_N).float().mean())
    for make in (lambda: _primal(300), lambda: Dual(DIM, 0.001, 0.1)):
        head = RidgeHead(make(), 0.8)
        _learn(head, parts[:1])
        space = _classes(names, [0] * 4 + [-1] * 4)
        score = head.classifier(space, text_CD, scale, lambda images: images.frozen())
        after_one = score(_images(test_ND))
        unseen_N = zero_ND.argmax(dim=1) >= 4
        assert after_one[unseen_N].equal(zero_ND[unseen_N])
        _learn(head := RidgeHead(make(), 0.8), parts)
        space = _classes(names, [0] * 4 + [1] * 4)
        score = head.classifier(space, text_CD, scale, lambda images: images.frozen())
        fused = float((score(_images(test_ND)).argmax(dim=1) == label_N).float().mean())
        assert fused > zero + 0.1
        assert fused > 0.9


# -- which class has which column


@pytest.fixture(scope="module")
def three():
    """Three tasks of three, two and three classes; `bat` is in the first two."""
    tasks = _tasks(3)
    names = [("ant", "bat", "cat"), ("bat", "dog"), ("elk", "fox", "gnu")]
    sizes = [(x, y % len(n), n) for (x, y, _), n in zip(tasks, names, strict=True)]
    return _learn(RidgeHead(_primal(20), 0.8), sizes)


@pytest.mark.parametrize(
    ("names", "task_C", "columns"),
    [
        # Classes of several tasks compete: told whose they are.
        ("ant bat cat bat dog elk", [0, 0, 0, 1, 1, -1], [0, 1, 2, 3, 4, -1]),
        ("elk fox gnu bat dog bat", [2, 2, 2, 1, 1, -1], [5, 6, 7, 3, 4, -1]),
        ("dog bat new ant cat bat", [1, 1, -1, 0, 0, 0], [4, 3, -1, 0, 2, 1]),
        # One dataset's compete: known by exactly their names.
        ("ant bat cat", None, [0, 1, 2]),
        ("cat ant bat", None, [2, 0, 1]),
        ("dog bat", None, [4, 3]),
        ("ant bat", None, [-1, -1]),
        ("ant bat cat dog", None, [-1, -1, -1, -1]),
        ("ant bat Cat", None, [-1, -1, -1]),
        ("bat bat", None, [-1, -1]),
    ],
)
def test_columns_of_candidates(three, names, task_C, columns):
    assert three.columns(_classes(names.split(), task_C)).tolist() == columns


def test_tasks_of_the_same_names_are_told_apart_or_refused(three):
    tasks = [(x, y % 2, ("ant", "bat")) for x, y, _ in _tasks(2)]
    head = _learn(RidgeHead(_primal(20), 0.8), tasks)
    with pytest.raises(BenchError, match="2 learned tasks with the same 2 names"):
        head.columns(_classes(("ant", "bat")))
    told = _classes(("ant", "bat", "ant", "bat"), [0, 0, 1, 1])
    assert head.columns(told).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("task_C", [[0, 0, 0], [1, 1, -1], [3, 3, 3]])
def test_a_task_whose_classes_have_other_names_is_refused(three, task_C):
    with pytest.raises(BenchError, match="names they were learned by"):
        three.columns(_classes(("ant", "bat", "dog"), task_C))


# -- the methods


@pytest.fixture(scope="module")
def runs(lab):
    """Method and settings -> a run over the labelled sets; shared, never changed."""
    done = {}

    def get(name, count=2, **changes):
        key = name, count, tuple(changes.items())
        if key not in done:
            done[key] = lab.train(name, lab.labelled[:count], **changes)
        return done[key]

    return get


def _scored(encoder, feed, parts, data, learned):
    with torch.no_grad():
        score = encoder.classifier(feed.classes(parts, learned=learned))
        return score(feed.images(data, torch.arange(len(data))))


@pytest.mark.parametrize("name", METHODS)
def test_classes_not_learned_are_scored_as_before(name, lab):
    """After one of two tasks: held-out classes, and images whose likeliest class is not learned."""
    touched = []
    for learned, data in enumerate(lab.labelled):
        run = lab.train(name, (data,))
        feed, plain = run.feed, Frozen(run.method.clip.scale)
        other = lab.labelled[1 - learned]
        zero = _scored(plain, feed, (other,), other, [-1]).softmax(dim=1)
        assert _scored(run.method, feed, (other,), other, [-1]).equal(zero)
        places = [0 if i == learned else -1 for i in range(2)]
        told_C = feed.classes(lab.labelled, learned=places).task_C
        for seen in lab.labelled:
            zero = _scored(plain, feed, lab.labelled, seen, places).softmax(dim=1)
            got = _scored(run.method, feed, lab.labelled, seen, places)
            acts_B = told_C[zero.argmax(dim=1)] >= 0
            assert got[~acts_B].equal(zero[~acts_B])
            assert (got[acts_B] != zero[acts_B]).any(dim=1).all()
            touched += acts_B.tolist()
    assert set(touched) == {True, False}, "all images are fused, or none: the test proves nothing"


@pytest.mark.parametrize("name", METHODS)
def test_a_learned_dataset_is_fitted_among_its_own_classes(name, runs, lab):
    """No task is told; its own training images are nearly all right, at random weights."""
    run = runs(name)
    for place, data in enumerate(lab.labelled):
        which = EvalSet("a", "A", data, place, (data,), 0, (place,))
        zero = evaluate(Frozen(run.method.clip.scale), run.feed, which, 2).rows[0]
        head = evaluate(run.method, run.feed, which, 2, run.method.uses).rows[0]
        assert head["hits"] > zero["hits"]
        assert head["value"] >= 0.9


@pytest.mark.parametrize("name", METHODS)
def test_nothing_is_trained_and_the_backbone_stays(name, runs, lab):
    run = runs(name)
    assert run.trainable == [0, 0]
    assert run.losses == []
    state, same = checkpoint.method_state(run.method, Pristine.of(lab.clip()))
    assert {f"clip.{k}" for k in lab.clip().state_dict()} == set(same)
    assert not [k for k in state if k.startswith("clip.")]


def test_what_is_kept_between_tasks(runs, lab):
    """8 bytes a number: what the record's state_bytes count."""
    pristine = Pristine.of(lab.clip())
    dim, n = lab.clip().dim, sum(len(d) for d in lab.labelled)
    s = sum(len(d.names) for d in lab.labelled)

    def kept(name, **changes):
        state, _ = checkpoint.method_state(runs(name, **changes).method, pristine)
        return checkpoint.extra_bytes(state)

    def read(name):
        method = runs(name).method
        state, _ = checkpoint.method_state(method, pristine)
        return sum(v.numel() for v in checkpoint.inference_state(method, state).values())

    columns = 2 * s  # name and task of each
    assert kept("rail-primal") == 8 * (15_000 * (dim + n + s) + columns)
    assert kept("rail-primal", hidden=20) == 8 * (20 * (dim + 20 + s) + columns)
    assert kept("rail-dual") == 4 * n * dim + 8 * (n + n * s + columns)
    # W_h and W (24.18 M in the paper's setting), or features and alpha; R and labels are not read.
    assert read("rail-primal") == 15_000 * (dim + s) + columns
    assert read("rail-dual") == n * (dim + s) + columns


@pytest.mark.parametrize(
    ("name", "changes"),
    [("rail-primal", {"hidden": h}) for h in (300, 20, 0)]
    + [("rail-dual", {}), ("rail-dual", {"kernel": "linear"})],
)
def test_going_on_after_the_first_task_ends_in_the_same_bits(name, changes, runs, lab, tmp_path):
    pristine = Pristine.of(lab.clip())
    state, same = checkpoint.method_state(runs(name, 1, **changes).method, pristine)
    checkpoint.write(tmp_path / "a.safetensors", state, {"same": same})
    tensors, about = checkpoint.read(tmp_path / "a.safetensors")
    feed = lab.feed(lab.clip())
    method = lab.method(name, feed, **changes)
    first, second = (lab.task(feed, data, i, 2) for i, data in enumerate(lab.labelled))
    method.before_task(first)
    checkpoint.restore(method, tensors, about["same"], pristine)
    method.before_task(second)
    no_grad_after_task(method, second)
    whole = runs(name, 2, **changes)
    one, two = whole.method.state_dict(), method.state_dict()
    assert one.keys() == two.keys()
    assert [k for k in one if not one[k].equal(two[k])] == []
    scores = [
        _scored(m, f, lab.labelled, lab.labelled[0], [0, 1])
        for m, f in ((whole.method, whole.feed), (method, feed))
    ]
    assert scores[0].equal(scores[1])


@pytest.mark.parametrize("make", [lambda r: _primal(0, r), lambda r: Dual(DIM, r, None)])
def test_a_ridge_that_rounding_swallows_is_one_sentence(make):
    """Samples that repeat each other leave nothing else to hold the system up."""
    head = make(1e-300)
    same_BD = torch.randn(1, DIM, generator=_seeded(0)).expand(5, DIM).contiguous()

    def learn():
        head.update(same_BD, torch.zeros(5, dtype=torch.int64), 1)
        head.finish()

    with pytest.raises(BenchError, match="got 1e-300; raise it"):
        learn()


def test_only_primal_depends_on_the_seed(lab):
    for name, equal in (("rail-primal", False), ("rail-dual", True)):
        one, two = (lab.train(name, lab.labelled[:1], seed).method.head for seed in (0, 1))
        same = [v.equal(two.state_dict()[k]) for k, v in one.state_dict().items()]
        assert all(same) == equal


# -- settings (tests/contract/test_contract.py has the refusal of images with captions)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    "hp",
    ["beta=-0.1", "beta=1.1", "beta=nan", "ridge=0", "ridge=-1", "ridge=inf", "ridge=nan",
     "lr=0.1", "weight_decay=0"],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(name, hp):
    with pytest.raises(BenchError):
        find_method(name, [hp])


@pytest.mark.parametrize(
    ("name", "hp"),
    [
        ("rail-primal", ["hidden=-1"]),
        ("rail-dual", ["kernel=cosine"]),
        ("rail-dual", ["gamma=0"]),
        ("rail-dual", ["gamma=nan"]),
        ("rail-dual", ["kernel=linear", "gamma=0.2"]),
    ],
)
def test_settings_of_one_method_that_mean_nothing_are_refused(name, hp):
    with pytest.raises(BenchError):
        find_method(name, hp)


def test_defaults_and_badges():
    primal, dual = (find_method(name, []) for name in METHODS)
    assert vars(primal.config) == {
        "hidden": 15_000, "ridge": 0.1, "beta": 0.8, "lr": None, "weight_decay": None,
        "decay": None,
    }  # fmt: skip
    assert replace(dual.config) == dual.config
    got = SimpleNamespace(**vars(dual.config))
    assert (got.kernel, got.gamma, got.ridge, got.beta) == ("rbf", 0.1, 0.001, 0.8)
    assert primal.uses == frozenset()
    assert dual.uses == {"features"}
    assert vars(find_method("rail-dual", ["beta=0"]).config)["beta"] == 0
    assert vars(find_method("rail-primal", ["beta=1", "hidden=0"]).config)["hidden"] == 0
