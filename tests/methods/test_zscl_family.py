"""LwF, LwF-VR, WiSE-FT, iCaRL and ZSCL: one distillation, its limits, and means of weights."""

import copy
import math
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import open_clip
import pytest
import torch
from lanes import lanes
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from benchmark.backbones.open_clip import OpenClip
from benchmark.cli.display import Display
from benchmark.data.batches import spread_texts
from benchmark.errors import BenchError
from benchmark.protocol.losses import matching
from benchmark.protocol.method import no_grad_after_task
from benchmark.protocol.types import Features
from benchmark.run.registry import find_method
from benchmark.run.request import Request, make_plan
from benchmark.run.runner import execute
from benchmark.run.state import checkpoint
from benchmark.run.state.checkpoint import Pristine
from benchmark.run.train import Fit
from benchmark.toolkit.distillation import check_distillation, distillation
from methods.lwf_vr import virtual_texts
from methods.zscl import snapshots

OFF = {
    "lwf": {"distill_weight": 0.0},
    "lwf-vr": {"distill_weight": 0.0, "sequences": 7},
    "wise-ft": {"alpha": 1.0},
    "icarl": {"distill_weight": 0.0},
    "zscl": {"distill_weight": 0.0, "l2": 0.0, "we_every": 0, "images": 4},
}
FEW = {"lwf-vr": {"sequences": 9}, "zscl": {"images": 4}}
DISTILLED = ("lwf", "lwf-vr", "icarl", "zscl")
DISTILL = {"distill_image", "distill_text"}


def _unit(n, g, dim=6):
    return F.normalize(torch.randn(n, dim, generator=g, dtype=torch.float64), dim=1)


# -- the reference: plain loops over rows, in float64


def _softmax(row):
    exps = [math.exp(x - max(row)) for x in row]
    return [e / sum(exps) for e in exps]


def _rows_loss(old, new, t):
    """T^2 times the mean over rows of the cross-entropy of two lists of rows."""
    total = 0.0
    for old_row, new_row in zip(old, new, strict=True):
        target, own = _softmax([x / t for x in old_row]), _softmax([x / t for x in new_row])
        total -= sum(p * math.log(q) for p, q in zip(target, own, strict=True))
    return t * t * total / len(old)


def _two_terms(new_BD, old_BD, text_MD, scale, t=2.0):
    new, old = ((scale * x @ text_MD.T).tolist() for x in (new_BD, old_BD))
    old_T, new_T = ([list(column) for column in zip(*rows, strict=True)] for rows in (old, new))
    return {"distill_image": _rows_loss(old, new, t), "distill_text": _rows_loss(old_T, new_T, t)}


@pytest.mark.parametrize("temperature", [2.0, 0.5])
def test_the_distillation_is_its_formula(temperature):
    g = torch.Generator().manual_seed(0)
    new, old, text = _unit(5, g), _unit(5, g), _unit(8, g)
    scale = torch.tensor(9.0, dtype=torch.float64)
    found = distillation(new, old, text, scale, temperature, 3.0)
    want = _two_terms(new, old, text, 9.0, temperature)
    assert found.keys() == want.keys()
    for name, value in want.items():
        assert found[name].item() == pytest.approx(3 * value, rel=1e-12)
    assert abs(want["distill_image"] - want["distill_text"]) > 0.01  # the directions differ


def test_the_distillation_is_least_where_the_learner_is_the_teacher():
    g = torch.Generator().manual_seed(1)
    old, text, scale = _unit(5, g), _unit(3, g), torch.tensor(4.0)
    new = old.clone().requires_grad_(True)
    terms = distillation(new, old, text, scale, 2.0)
    (gradient,) = torch.autograd.grad(torch.stack([*terms.values()]).sum(), new)
    assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)
    away = distillation(_unit(5, g), old, text, scale, 2.0)
    assert all(away[name] > term for name, term in terms.items())


@pytest.mark.parametrize("paired", [True, False])
def test_smoothed_matching_is_its_formula(paired):
    g = torch.Generator().manual_seed(2)
    image, text = _unit(4, g), _unit(4 if paired else 3, g)
    target = torch.tensor([2, 0, 3, 1] if paired else [2, 0, 0, 1])
    features = Features(image, text, torch.tensor(5.0), target, paired)

    def row_loss(row, right):
        logs = [math.log(p) for p in _softmax(row)]
        return -(0.7 * logs[right] + 0.3 * sum(logs) / len(logs))

    logits = (5 * image @ text.T).tolist()
    rows = [row_loss(row, int(j)) for row, j in zip(logits, target, strict=True)]
    want = sum(rows) / 4
    if paired:
        columns = list(zip(*logits, strict=True))
        back = [row_loss(columns[int(j)], i) for i, j in enumerate(target)]
        want = (want + sum(back) / 4) / 2
    assert matching(features, 0.3).item() == pytest.approx(want, rel=1e-9)
    plain = F.cross_entropy(5 * image @ text.T, target)
    if paired:
        plain = (plain + F.cross_entropy((5 * image @ text.T).T, torch.argsort(target))) / 2
    assert matching(features).equal(matching(features, 0.0))
    assert matching(features).equal(plain)


# -- limits


@pytest.mark.parametrize("kind", [pytest.param("pairs", marks=pytest.mark.slow), "labelled"])
def test_a_weight_of_zero_is_fine_tuning_bit_for_bit(kind, lab):
    plain = lab.train("ft", lab.sets(kind)[:2]).method.clip.state_dict()
    for name, changes in OFF.items():
        if (name, kind) == ("icarl", "pairs"):
            continue
        clip = lab.train(name, lab.sets(kind)[:2], label_smoothing=0.0, **changes).method.clip
        assert all(v.equal(plain[k]) for k, v in clip.state_dict().items()), name


@torch.no_grad()
@pytest.mark.parametrize("name", OFF)
def test_targets_are_smoothed(name, lab):
    feed = lab.feed(lab.clip())
    task = lab.task(feed, lab.labelled[0], 0, 2)
    batch, found = next(iter(task.loader.epoch(0))), []
    for changes in ({}, {"label_smoothing": 0.0}):
        method = lab.method(name, feed, **{k: v for k, v in OFF[name].items() if k != "alpha"})
        method.config = replace(method.config, **changes)
        method.before_task(task)
        features = method.features(batch)
        found.append(method.loss(batch)["match"])
        assert found[-1].equal(matching(features, method.config.label_smoothing))
    assert not found[0].equal(found[1])
    assert vars(find_method(name, []).config)["label_smoothing"] == 0.2


# -- teacher, images and texts of each method


def _begin(lab, name, kind, **changes):
    """A method in its second task, with weights away from where that task began."""
    feed = lab.feed(lab.clip())
    method = lab.method(name, feed, **changes)
    tasks = []
    for index, data in enumerate(lab.sets(kind)[:2]):
        tasks.append(lab.task(feed, data, index, 2))
        method.before_task(tasks[-1])
        if not index:
            Fit(method, tasks[0], lab.recipe, (0,)).run(lambda *_: None)
            no_grad_after_task(method, tasks[0])
            lab.end(method, tasks[0])
    before = copy.deepcopy(method.clip)
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in method.clip.weights():
            p.add_(torch.randn(p.shape, generator=g) / 50)
    method.train()
    return method, before, tasks


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param("lwf", "pairs", marks=pytest.mark.slow), ("lwf", "labelled"),
        pytest.param("lwf-vr", "pairs", marks=pytest.mark.slow),
        pytest.param("lwf-vr", "labelled", marks=pytest.mark.slow),
        pytest.param("icarl", "labelled", marks=pytest.mark.slow),
        pytest.param("zscl", "pairs", marks=pytest.mark.slow), ("zscl", "labelled"),
    ],
)  # fmt: skip
def test_each_method_has_its_own_teacher_images_and_texts(name, kind, lab):
    changes = {"sequences": 90, "length": 7} if name == "lwf-vr" else {}
    method, before, tasks = _begin(lab, name, kind, **changes)
    batch = next(iter(tasks[1].loader.epoch(0)))
    with torch.no_grad():
        torch.manual_seed(5)
        terms = method.loss(batch)
        torch.manual_seed(5)
        teacher, pixels = before, batch.images.pixels_B3HW
        if name == "lwf":
            text_MD = before.text(batch.texts.tokens_ML)
        elif name == "lwf-vr":
            text_MD = before.text(virtual_texts(before, 90, 7, tasks[1].generator("texts")))
        elif name == "icarl":
            pixels = method._remembered().images.pixels_B3HW
            text_MD = torch.cat([before.text(t.classes.prompts.tokens_ML) for t in tasks])
        else:
            teacher = lab.clip()
            pixels = method.tools.reference(64).images.pixels_B3HW
            assert len(pixels) == 64
            text_MD = teacher.text(lab.reference.tokens_ML)
        new, old = method.clip.image(pixels).double(), teacher.image(pixels).double()
        want = _two_terms(new, old, text_MD.double(), float(method.clip.scale))
        least = _two_terms(old, old, text_MD.double(), float(method.clip.scale))
        for key, value in want.items():
            assert terms[key].item() == pytest.approx(value, rel=0, abs=1e-4), key
            assert value - least[key] > 1e-3, "learner and teacher are too close to be told apart"


@pytest.mark.parametrize("name", lanes(DISTILLED, ["zscl"]))
def test_the_text_tower_learns_by_matching_alone(name, lab):
    method, _, tasks = _begin(lab, name, "labelled", **FEW.get(name, {}))
    terms = method.loss(next(iter(tasks[1].loader.epoch(0))))
    tower = [*method.clip.transformer.parameters(), method.clip.token_embedding.weight]
    distill = sum(terms[key] for key in DISTILL)
    found = torch.autograd.grad(distill, tower, allow_unused=True, retain_graph=True)
    assert all(gradient is None for gradient in found)
    eye = torch.autograd.grad(distill, method.clip.visual.proj, retain_graph=True)
    assert float(eye[0].abs().sum()) > 0
    own = torch.autograd.grad(terms["match"], tower)
    assert all(float(gradient.abs().sum()) > 0 for gradient in own)


@pytest.mark.parametrize("name", lanes(["lwf", "lwf-vr", "icarl"], ["lwf"]))
def test_the_teacher_is_never_the_student(name, lab):
    feed = lab.feed(lab.clip())
    method = lab.method(name, feed)
    method.before_task(lab.task(feed, lab.labelled[0], 0, 2))
    assert method.teacher is None  # the pretrained model's features are cached
    method, before, tasks = _begin(lab, name, "labelled", **FEW.get(name, {}))
    mine = {p.data_ptr() for p in method.clip.parameters()}
    theirs = {p.data_ptr() for p in method.teacher.parameters()}
    assert len(mine) == len(theirs) > 50
    assert not mine & theirs
    assert not {id(p) for group in method.trainable() for p in group.params} & {
        id(p) for p in method.teacher.parameters()
    }
    state = method.teacher.state_dict()
    assert all(v.equal(state[k]) for k, v in before.state_dict().items())
    no_grad_after_task(method, tasks[1])
    assert method.teacher is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lwf", "lwf-vr", "wise-ft", "zscl"])
def test_nothing_but_the_model_is_kept_between_tasks(name, lab):
    run = lab.train(name, lab.pairs[:2], **FEW.get(name, {}))
    state, _ = checkpoint.method_state(run.method, Pristine.of(lab.clip()))
    assert checkpoint.extra_bytes(state) == 0


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [("lwf", (1, 0), (1, 1)), ("lwf-vr", (1, 0), (1, 1)), ("wise-ft", (1, 0), (1, 0)),
     ("icarl", (1, 0), (2, 0)), ("zscl", (2, 0), (2, 0))],
)  # fmt: skip
@pytest.mark.slow
def test_passes_of_the_image_tower_per_step(name, first, second, lab, monkeypatch):
    """With gradient, and without: what is frozen comes from the cache."""
    calls, found = [], []
    tower = OpenClip._image_tower

    def counted(self, x_BLW):
        calls.append(torch.is_grad_enabled())
        return tower(self, x_BLW)

    feed = lab.feed(lab.clip())
    for data in (*lab.labelled, lab.reference):
        feed.frozen.images(data.pixels, data.pixel_key)
    method = lab.method(name, feed, **FEW.get(name, {}))
    monkeypatch.setattr(OpenClip, "_image_tower", counted)
    for index in range(2):
        task = lab.task(feed, lab.labelled[index], index, 2)
        method.before_task(task)
        calls.clear()
        Fit(method, task, lab.recipe, (0,)).run(lambda *_: None)
        steps = len(task.loader)
        found.append((sum(calls) / steps, (len(calls) - sum(calls)) / steps))
        no_grad_after_task(method, task)
    assert found == [first, second]


# -- LwF-VR


def test_random_texts_have_their_ends_where_they_belong():
    """In a vocabulary of three ordinary tokens every one of them comes up, and no other."""
    small: Any = SimpleNamespace(token_embedding=nn.Embedding(5, 1), context=20)
    kind: Any = OpenClip
    small.words, small.frame = kind.words.fget(small), kind.frame.fget(small)
    small.framed = partial(OpenClip.framed, small)
    tokens = virtual_texts(small, 50, 10, torch.Generator().manual_seed(0))
    assert tokens.shape == (50, 20)
    assert tokens.argmax(dim=1).equal(torch.full((50,), 11))
    assert bool((tokens[:, 0] == 3).all())
    assert bool((tokens[:, 11] == 4).all())
    assert not tokens[:, 12:].any()
    assert set(tokens[:, 1:11].flatten().tolist()) == {0, 1, 2}


@pytest.mark.parametrize("name", ["tiny-s", "ViT-B-16-quickgelu"])
def test_start_and_end_of_text_are_the_highest_tokens(name, clip):
    """What LwF-VR takes them for, in the models that come with the package and in open_clip's."""
    if name == "tiny-s":
        vocabulary, tokens = clip.token_embedding.num_embeddings, clip.tokenize(["a red one"])[0]
    else:
        vocabulary = open_clip.get_model_config(name)["text_cfg"]["vocab_size"]
        tokens = open_clip.get_tokenizer(name)(["a red one"])[0]
    assert int(tokens[0]) == vocabulary - 2
    assert int(tokens.max()) == vocabulary - 1
    words = tokens[1 : int(tokens.argmax())]
    assert len(words) == 3
    assert int(words.max()) < vocabulary - 2


def test_random_texts_are_drawn_per_task_from_its_seed(lab):
    feed = lab.feed(lab.clip())
    rows = []
    for data, index, seed in ((0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1)):
        method = lab.method("lwf-vr", feed, sequences=4)
        method.before_task(lab.task(feed, lab.pairs[data], index, 2, seed))
        rows.append(method.text_MD)
    assert rows[0].shape == (4, 128)
    assert rows[0].equal(rows[1])  # wherever in the order
    assert not rows[0].allclose(rows[2])
    assert not rows[0].allclose(rows[3])


def test_a_length_beyond_the_context_is_refused(lab):
    feed = lab.feed(lab.clip())
    lab.method("lwf-vr", feed, length=75)
    with pytest.raises(BenchError, match="at most 75 tokens"):
        lab.method("lwf-vr", feed, length=76)


# -- WiSE-FT


def _weights(clip):
    return torch.cat([p.detach().double().flatten() for p in clip.weights()])


@pytest.mark.parametrize("start", lanes(["task", "pretrained"], ["task"]))
def test_weights_are_mixed_with_those_at_the_start(start, lab):
    feed = lab.feed(lab.clip())
    method = lab.method("wise-ft", feed, start=start)
    pretrained = _weights(method.clip)
    for index in range(2):
        task = lab.task(feed, lab.pairs[index], index, 2)
        before = _weights(method.clip)
        method.before_task(task)
        Fit(method, task, lab.recipe, (0,)).run(lambda *_: None)
        tuned = _weights(method.clip)
        no_grad_after_task(method, task)
        other = before if start == "task" else pretrained
        assert_close(_weights(method.clip), 0.2 * other + 0.8 * tuned, rtol=0, atol=1e-6)
        assert float((tuned - other).abs().max()) > 1e-3
    assert vars(find_method("wise-ft.pretrained", []).config)["start"] == "pretrained"


# -- ZSCL


def test_the_mean_of_the_weights(lab):
    """By hand in float64: the start, those after steps 1, 3 and 5, and the last; twice."""
    feed = lab.feed(lab.clip())
    method = lab.method("zscl", feed, we_every=2, images=4)
    for index in range(2):
        task = lab.task(feed, lab.labelled[index], index, 2)
        path = [_weights(method.clip)]
        method.before_task(task)
        fit = Fit(method, task, replace(lab.recipe, epochs=2), (0,))
        fit.run(lambda *_, path=path: path.append(_weights(method.clip)))
        no_grad_after_task(method, task)
        assert len(path) == 7
        mean = sum(path[i] for i in (0, 1, 3, 5, 6)) / 5
        assert_close(_weights(method.clip), mean, rtol=0, atol=1e-6)
        assert float((mean - path[-1]).abs().max()) > 1e-4


def test_the_number_of_weights_in_the_mean():
    assert snapshots(0, 1000, 100) == 1
    assert [snapshots(s, 1000, 100) for s in (1, 100, 101, 999, 1000)] == [2, 2, 3, 11, 12]
    assert snapshots(1001, 1001, 100) == 12  # the official loop makes one step more
    assert [snapshots(t, t, 100) for t in (1, 2, 100, 101, 102)] == [2, 3, 3, 3, 4]
    assert [snapshots(s, 3, 1) for s in range(4)] == [1, 2, 3, 4]


def test_the_distance_to_the_start_of_the_task(lab):
    method, before, tasks = _begin(lab, "zscl", "labelled", l2=3.0, images=4)
    terms = method.loss(next(iter(tasks[1].loader.epoch(0))))
    assert list(terms) == ["match", "distill_image", "distill_text", "l2"]
    change = _weights(method.clip) - _weights(before)
    assert terms["l2"].item() == pytest.approx(3 * float(change.square().sum()), rel=1e-4)
    weight = method.clip.visual.proj
    (gradient,) = torch.autograd.grad(terms["l2"], weight)
    assert_close(gradient, 6 * (weight - before.visual.proj).detach())


def test_reference_texts_are_all_or_evenly_spaced(lab, captioned):
    feed, total = lab.feed(lab.clip()), len(captioned.tokens_ML)
    table = feed.frozen.texts(captioned.tokens_ML, captioned.text_key)
    for count in (total, total + 1):
        texts = spread_texts(feed, captioned, count)
        assert texts.tokens_ML.equal(captioned.tokens_ML)
        assert texts.frozen().equal(table)
    texts = spread_texts(feed, captioned, 4)
    rows = [i * total // 4 for i in range(4)]
    assert texts.tokens_ML.equal(captioned.tokens_ML[rows])
    assert_close(texts.frozen(), table[rows], rtol=0, atol=1e-6)
    assert lab.method("zscl", feed, texts=4).texts.frozen().shape == (4, 128)


def test_a_suite_without_reference_data_is_refused_before_anything_is_scored(tmp_path, own_cache):
    request = Request(
        "zscl", "photos,gen-art", limit=4, evals="id", device="cpu", pretrained="random:0",
        output_dir=tmp_path, cache_dir=own_cache,
    )  # fmt: skip
    plan = make_plan(request)
    plan = replace(plan, suite=replace(plan.suite, reference=None))
    with pytest.raises(BenchError, match="a suite with image-text reference data"):
        execute(plan, Display(quiet=True))
    assert not [p for p in plan.scratch.rglob("*") if p.suffix in (".parquet", ".safetensors")]


# -- settings


@pytest.mark.parametrize("values", [(math.inf, 2.0), (math.nan, 2.0), (1.0, math.inf)])
def test_settings_of_the_distillation_are_finite(values):
    with pytest.raises(BenchError, match="both finite"):
        check_distillation(*values)


@pytest.mark.parametrize(
    ("name", "hp", "words"),
    [
        *((name, hp, words) for name in DISTILLED for hp, words in (
            ("distill_weight=-1", "distill_weight of at least 0"),
            ("distill_temperature=0", "distill_temperature above 0"))),
        *((name, hp, r"label_smoothing in \[0, 1\)") for name in OFF
          for hp in ("label_smoothing=1", "label_smoothing=-0.1")),
        *((name, "lr=-1", "lr") for name in OFF),
        ("lwf-vr", "sequences=0", "sequences and length"),
        ("lwf-vr", "length=0", "sequences and length"),
        ("wise-ft", "alpha=1.1", r"alpha in \[0, 1\]"),
        ("wise-ft", "start=zeroshot", "task, pretrained"),
        ("icarl", "memory=0", "memory of at least 1"),
        ("icarl", "rehearsal_weight=-1", "rehearsal_weight"),
        ("zscl", "images=0", "images and texts"),
        ("zscl", "texts=0", "images and texts"),
        ("zscl", "l2=-1", "l2"),
        ("zscl", "we_every=-1", "we_every"),
    ],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(name, hp, words):
    with pytest.raises(BenchError, match=words):
        find_method(name, [hp])
