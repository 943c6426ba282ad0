"""What EWC, Mod-X, DKR and C-CLIP have in common: a weight of zero, going on, nothing left over."""

import pytest
import torch
from lanes import lanes

from benchmark.backbones.open_clip import OpenClip
from benchmark.protocol.method import no_grad_after_task
from benchmark.run.state import checkpoint
from benchmark.run.state.checkpoint import Pristine
from benchmark.run.train import Fit

OFF = {"ewc": {"strength": 0.0}, "mod-x": {"alpha": 0.0}, "dkr": {"strength": 0.0}}
WITH_TEACHER = ("mod-x", "dkr", "c-clip")
METHODS = ("ewc", *WITH_TEACHER)


def _same(a, b):
    return a.keys() == b.keys() and all(v.equal(b[k]) for k, v in a.items())


@pytest.mark.parametrize("kind", ["pairs", pytest.param("labelled", marks=pytest.mark.slow)])
def test_a_weight_of_zero_is_fine_tuning_bit_for_bit(kind, lab):
    plain = lab.train("ft", lab.sets(kind)[:2]).method.clip.state_dict()
    for name, changes in OFF.items():
        run = lab.train(name, lab.sets(kind)[:2], **changes)
        assert _same(run.method.clip.state_dict(), plain), name


@pytest.mark.slow
def test_ewc_is_fine_tuning_in_the_first_task_bit_for_bit(lab):
    run, plain = (lab.train(name, lab.pairs[:1], epochs=2) for name in ("ewc", "ft"))
    assert run.losses == plain.losses
    assert _same(run.method.clip.state_dict(), plain.method.clip.state_dict())


# -- state


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_TEACHER)
def test_nothing_but_the_model_is_kept_between_tasks(name, lab):
    run = lab.train(name, lab.pairs[:2])
    assert {k.removeprefix("clip.") for k in run.method.state_dict()} == set(
        run.method.clip.state_dict()
    )
    assert run.method.teacher is None
    state, _ = checkpoint.method_state(run.method, Pristine.of(lab.clip()))
    assert checkpoint.extra_bytes(state) == 0


def test_ewc_keeps_two_numbers_per_weight(lab):
    run = lab.train("ewc", lab.pairs[:2])
    state, _ = checkpoint.method_state(run.method, Pristine.of(lab.clip()))
    weights = sum(p.numel() for p in run.method.clip.weights())
    assert checkpoint.extra_bytes(state) == 4 * (2 * weights + 1)


class Stop(Exception):
    pass


def _stop(progress, *_):
    if progress.step == 2:
        raise Stop


class Process:
    """One process of a run of two tasks, as benchmark/run/runner.py does it."""

    def __init__(self, lab, name, changes, pristine):
        self.lab, self.feed, self.pristine = lab, lab.feed(lab.clip()), pristine
        self.sets = lab.sets("labelled" if name == "icarl" else "pairs")
        self.method = lab.method(name, self.feed, **changes)

    def begin(self, index):
        self.task = self.lab.task(self.feed, self.sets[index], index, 2)
        self.method.before_task(self.task)

    def fit(self):
        return Fit(self.method, self.task, self.lab.recipe, ("seed", self.task.index))

    def end(self):
        no_grad_after_task(self.method, self.task)

    def save(self, path, fit=None):
        state, same = checkpoint.method_state(self.method, self.pristine)
        moments, progress = checkpoint.fit_state(fit) if fit else ({}, {})
        checkpoint.write(path, {**state, **moments}, {"same": same, "progress": progress})

    def load(self, path):
        tensors, about = checkpoint.read(path)
        own = {k: v for k, v in tensors.items() if not k.startswith(checkpoint.MOMENTS)}
        checkpoint.restore(self.method, own, about["same"], self.pristine)
        return tensors, about["progress"]


SEPARATE = {"mode": "separate", "strength": 1e6, "anchor_pretrained": True}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("ewc", {"strength": 1e6}),
        ("ewc", SEPARATE),
        ("mod-x", {}),
        ("dkr", {}),
        ("c-clip", {}),
        ("c-clip", {"ckc_concat": "feature"}),
        ("zscl", {"we_every": 2, "images": 4}),
        ("icarl", {"memory": 6}),
        ("wise-ft", {}),
        ("wise-ft", {"start": "pretrained"}),
        ("lwf", {}),
        ("lwf-vr", {"sequences": 9}),
    ],
)
def test_a_run_that_is_stopped_ends_as_one_that_is_not(name, changes, lab, tmp_path):
    """Stopped inside the first task, between the two, and inside the second."""
    path, pristine = tmp_path / "state.safetensors", Pristine.of(lab.clip())
    whole = Process(lab, name, changes, pristine)
    for index in range(2):
        whole.begin(index)
        whole.fit().run(lambda *_: None)
        whole.end()

    now = Process(lab, name, changes, pristine)
    for index in range(2):
        now.begin(index)
        fit = now.fit()
        with pytest.raises(Stop):
            fit.run(_stop)
        now.save(path, fit)
        now = Process(lab, name, changes, pristine)
        for replayed in range(index + 1):
            now.begin(replayed)
        tensors, progress = now.load(path)
        fit = now.fit()
        checkpoint.restore_fit(fit, tensors, progress)
        fit.run(lambda *_: None)
        now.end()
        now.save(path)
        now = Process(lab, name, changes, pristine)
        for replayed in range(index + 1):
            now.begin(replayed)
        now.load(path)
    assert _same(now.method.state_dict(), whole.method.state_dict())


# -- cost


@pytest.mark.parametrize("name", lanes(METHODS, ["c-clip", "ewc"]))
def test_passes_of_the_towers_per_step(name, lab, monkeypatch):
    """One in the first task, where the old model's features are cached; then one more or none."""
    calls = []
    tower = OpenClip._image_tower

    def counted(self, x_BLW):
        calls.append(torch.is_grad_enabled())
        return tower(self, x_BLW)

    feed = lab.feed(lab.clip())
    feed.frozen.images(lab.pairs[0].pixels, lab.pairs[0].pixel_key)
    method = lab.method(name, feed)
    monkeypatch.setattr(OpenClip, "_image_tower", counted)
    per_step = []
    for index in range(2):
        task = lab.task(feed, lab.pairs[index], index, 2)
        method.before_task(task)
        calls.clear()
        Fit(method, task, lab.recipe, (0,)).run(lambda *_: None)
        steps = len(task.loader)
        assert sum(calls) == steps  # with gradient
        per_step.append(len(calls) / steps)
        no_grad_after_task(method, task)
    assert per_step == ([1, 1] if name == "ewc" else [1, 2])


@pytest.mark.parametrize("name", lanes(WITH_TEACHER, ["c-clip"]))
def test_the_teacher_is_the_model_as_it_was(name, lab):
    feed = lab.feed(lab.clip())
    method = lab.method(name, feed)
    tokens = lab.pairs[0].tokens_ML[:3]
    for index in range(2):
        task = lab.task(feed, lab.pairs[index], index, 2)
        with torch.no_grad():
            before = method.clip.text(tokens)
        method.before_task(task)
        Fit(method, task, lab.recipe, (0,)).run(lambda *_: None)
        if index or name == "c-clip":
            assert method.teacher.text(tokens).equal(before)
            assert not any(p.requires_grad for p in method.teacher.parameters())
        else:
            assert method.teacher is None
        no_grad_after_task(method, task)
        assert not torch.allclose(method.clip.text(tokens), before, atol=1e-5)


@pytest.mark.parametrize("name", lanes(METHODS, ["mod-x", "c-clip"]))
def test_a_batch_in_pieces_has_the_same_terms_and_gradients(name, lab):
    """As after running out of memory: old features and penalties do not depend on the pieces."""
    found = []
    for chunks in (1, 3):
        feed = lab.feed(lab.clip())
        method = lab.method(name, feed, **{"dropout": 0.0} if name == "c-clip" else {})
        method.before_task(lab.task(feed, lab.pairs[0], 0, 2))
        g = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for p in (p for n, p in method.named_parameters() if "logit_scale" not in n):
                p.add_(torch.randn(p.shape, generator=g) / 50)  # away from the old model
            method.clip.chunks = chunks
            method.eval()
            if name == "ewc":  # the others would drop what they need
                method.after_task(lab.task(feed, lab.pairs[0], 0, 2))
                method.clip.ln_final.bias.add_(0.01)
        method.train()
        batch = next(iter(lab.task(feed, lab.pairs[1], 0, 2).loader.epoch(0)))
        terms = method.loss(batch)
        trained = [p for group in method.trainable() for p in group.params]
        gradients = torch.autograd.grad(sum(terms.values()), trained)
        found.append(({k: v.item() for k, v in terms.items()}, gradients))
    (terms, whole), (cut_terms, cut) = found
    assert len(terms) == 2
    assert min(terms.values()) > 1e-4
    assert cut_terms == pytest.approx(terms, rel=1e-4, abs=1e-6)
    largest = max(float(x.abs().max()) for x in whole)
    for x, y in zip(whole, cut, strict=True):
        assert float((x - y).abs().max()) <= 1e-4 * largest
