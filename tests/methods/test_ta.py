"""Task arithmetic against the sum written out, its limits, and going on after a stop."""

import itertools
from contextlib import contextmanager
from dataclasses import replace

import pandas as pd
import pytest
import torch
from lanes import lanes
from torch.testing import assert_close

from benchmark.cli.display import Display
from benchmark.errors import BenchError
from benchmark.protocol.method import no_grad_after_task
from benchmark.records.store import read_record
from benchmark.run import runner
from benchmark.run.evaluate import EvalSet, evaluate
from benchmark.run.registry import find_method
from benchmark.run.request import Request, make_plan
from benchmark.run.runner import execute
from benchmark.run.state import checkpoint
from benchmark.run.state.checkpoint import Pristine
from benchmark.run.train import Fit
from methods.ta import TAConfig


@pytest.fixture(scope="module")
def runs(lab):
    """Method, order of the sets and settings -> a trained run; shared, never changed."""
    done = {}

    def get(name, order, **changes):
        key = name, order, tuple(changes.items())
        if key not in done:
            done[key] = lab.train(name, tuple(lab.pairs[i] for i in order), **changes)
        return done[key]

    return get


def _weights(run):
    return {k: v for k, v in run.method.state_dict().items() if k.startswith("clip.")}


def _equal(one, two):
    assert one.keys() == two.keys()
    assert [k for k in one if not one[k].equal(two[k])] == []


def _hits(lab, run):
    return [
        [row["hits"] for row in evaluate(run.method, run.feed, EvalSet("x", "X", data, None)).rows]
        for data in lab.pairs
    ]


def _merge(lab, tuned, **changes):
    """The method after tasks that ended with these weights; nothing is trained."""
    feed = lab.feed(lab.clip())
    method, task = lab.method("ta", feed, **changes), lab.task(feed, lab.pairs[0], 0, len(tuned))
    for index, weights in enumerate(tuned):
        method.load_state_dict(weights, strict=False)
        with torch.no_grad():
            method.after_task(replace(task, index=index))
    return {k: v for k, v in method.state_dict().items() if k.startswith("clip.")}


# -- the arithmetic


@pytest.mark.parametrize("scaling", lanes([0.3, 0.8, None], [0.3]))
def test_the_weights_are_the_sum_of_task_vectors(scaling, runs, lab):
    """In float64, from the formula with differences."""
    start = {f"clip.{k}": v.double() for k, v in lab.clip().state_dict().items()}
    tuned = [_weights(runs("ft", (i,))) for i in range(3)]
    for count in (1, 2, 3):
        factor = 1 / count if scaling is None else scaling
        moved = 0.0
        for name, value in _merge(lab, tuned[:count], scaling=scaling).items():
            change = sum(t[name].double() - start[name] for t in tuned[:count])
            want = start[name] + factor * change
            assert_close(value.double(), want, rtol=2**-23, atol=1e-12)
            moved = max(moved, float((value - start[name]).abs().max()))
        assert moved > 1e-4, "nothing was learned: the test proves nothing"


def test_every_task_is_trained_as_if_it_were_the_first(runs, lab):
    run, alone = runs("ta", (0, 1, 2)), [runs("ft", (i,)) for i in range(3)]
    assert run.losses == [loss for one in alone for loss in one.losses]
    _equal(_weights(run), _merge(lab, [_weights(one) for one in alone]))


def test_with_one_task_and_scaling_1_it_is_ft_bit_for_bit(runs, lab):
    one, plain = runs("ta", (0,), scaling=1.0), runs("ft", (0,))
    assert one.losses == plain.losses
    _equal(_weights(one), _weights(plain))
    for changes in ({"scaling": None}, {"scaling": 1.0, "init": "sequential"}):
        _equal(_merge(lab, [_weights(plain)], **changes), _weights(plain))


def test_sequential_is_trained_as_ft_and_merged_from_the_start(runs, lab):
    run, plain = runs("ta", (0, 1), init="sequential"), runs("ft", (0, 1))
    assert run.losses == plain.losses
    start = lab.clip().state_dict()
    first, second = _weights(runs("ft", (0,))), _weights(plain)
    for name, value in _weights(run).items():
        base = start[name.removeprefix("clip.")].double()
        change = first[name].double() + second[name].double() - 2 * base
        assert_close(value.double(), base + 0.3 * change, rtol=2**-23, atol=1e-12)


def test_the_order_of_tasks_leaves_no_bit(runs, lab, captioned):
    one, two = runs("ta", (0, 1, 2)), runs("ta", (2, 1, 0))
    _equal(_weights(one), _weights(two))
    assert one.method.sum_N.equal(two.method.sum_N)
    assert _hits(lab, one) == _hits(lab, two)
    for data in (lab.pairs[0], captioned):
        first, second = (lab.embed(r.method, r.feed, data) for r in (one, two))
        assert_close(first, second, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_seven_tasks_in_any_order_give_the_same_bits(lab):
    """Weights of sizes from 1e-6 to 10, where a sum in float32 would depend on the order."""
    g = torch.Generator().manual_seed(0)

    def wild(like):
        sizes = 10 ** torch.empty(like.shape).uniform_(-6, 1, generator=g)
        return torch.randn(like.shape, generator=g) * sizes

    start = {f"clip.{k}": v for k, v in lab.clip().state_dict().items() if k != "logit_scale"}
    tuned = [{k: wild(v) for k, v in start.items()} for _ in range(7)]
    plain, back = (sum(t["clip.visual.proj"] for t in order) for order in (tuned, tuned[::-1]))
    assert not plain.equal(back), "float32 is exact here: the test proves nothing"
    first = _merge(lab, tuned)
    for order in ((6, 5, 4, 3, 2, 1, 0), (3, 0, 6, 1, 5, 2, 4)):
        _equal(_merge(lab, [tuned[i] for i in order]), first)


# -- state


def test_what_it_keeps(runs, lab):
    """One sum in float64, `sequential` also the last weights; nothing grows with the tasks."""
    pristine = Pristine.of(lab.clip())
    count = sum(p.numel() for p in lab.clip().weights())
    for order, changes, each in (((0, 1, 2), {}, 8), ((0, 1), {"init": "sequential"}, 12)):
        state, same = checkpoint.method_state(runs("ta", order, **changes).method, pristine)
        assert checkpoint.extra_bytes(state) == each * count
        assert same == ["clip.logit_scale"]


class Stopped(BaseException):
    """Stands for the end of a process."""


@pytest.mark.parametrize("init", lanes(["pretrained", "sequential"], ["pretrained"]))
def test_going_on_inside_the_second_task(init, runs, lab):
    """As benchmark/run/runner.py does it: before_task of all, the saved tensors, the steps left."""
    pristine = Pristine.of(lab.clip())

    def start():
        feed = lab.feed(lab.clip())
        tasks = [lab.task(feed, lab.pairs[i], i, 2) for i in range(2)]
        return lab.method("ta", feed, init=init), tasks

    def fit_of(method, task):
        return Fit(method, task, lab.recipe, (0, lab.pairs[task.index].fingerprint))

    def stop(progress, _loss, _images):
        if progress.step == 2:
            raise Stopped

    method, tasks = start()
    method.before_task(tasks[0])
    fit_of(method, tasks[0]).run(lambda *_: None)
    no_grad_after_task(method, tasks[0])
    method.before_task(tasks[1])
    fit = fit_of(method, tasks[1])
    with pytest.raises(Stopped):
        fit.run(stop)
    saved = checkpoint.method_state(method, pristine), checkpoint.fit_state(fit)

    method, tasks = start()
    for task in tasks:
        method.before_task(task)
    checkpoint.restore(method, *saved[0], pristine)
    fit = fit_of(method, tasks[1])
    checkpoint.restore_fit(fit, *saved[1])
    fit.run(lambda *_: None)
    no_grad_after_task(method, tasks[1])
    whole = runs("ta", (0, 1), init=init).method.state_dict()
    _equal(method.state_dict(), whole)


class Bomb(Display):
    """Stops the run in one of its tasks, after so many steps, or at a stage's start."""

    def __init__(self, head="", steps=0):
        super().__init__(quiet=True)
        self._where, self._left, self._now = head, steps, ""

    @contextmanager
    def training(self, head, total, epochs, done):
        self._now = head
        yield

    @contextmanager
    def evaluating(self, head, total):
        if head.startswith(self._where) and self._where.startswith("stage"):
            raise Stopped
        yield

    def step(self, step, loss, pairs):
        if self._where and self._now.startswith(self._where):
            self._left -= 1
            if not self._left:
                raise Stopped


@pytest.mark.slow
@pytest.mark.parametrize("hp", [(), ("init=sequential", "scaling=none")], ids=["default", "mean"])
def test_a_stopped_run_ends_as_one_that_was_not(hp, cache, tmp_path_factory, monkeypatch):
    """Inside a task, before its stage, and inside the next: the weights start anew there."""
    monkeypatch.setattr(runner, "SAVE_EVERY", 0.0)
    folder = tmp_path_factory.mktemp("ta")

    def ask(out):
        return make_plan(
            Request(
                "ta", order="photos,gen-art", hp=hp, pretrained="random:0", limit=12,
                epochs=1, batch_size=4, evals="id", device="cpu", output_dir=folder / out,
                cache_dir=cache, fresh=True,
            )
        )  # fmt: skip

    whole, stopped = ask("whole"), ask("stopped")
    execute(whole, Bomb())
    for bomb in (("task 1", 2), ("stage 1", 0), ("task 2", 2)):
        with pytest.raises(Stopped):
            execute(stopped, Bomb(*bomb))
    execute(stopped, Bomb())
    one, two = read_record(whole.target), read_record(stopped.target)
    pd.testing.assert_frame_equal(one.frame, two.frame, check_exact=True)
    for key in ("losses", "state_bytes", "parameters"):
        assert one.provenance[key] == two.provenance[key]
    assert two.provenance["resumed"] == 3


# -- settings


def test_training_is_shared_only_where_it_depends_on_nothing_else(lab):
    feed = lab.feed(lab.clip())
    for scaling, init in itertools.product((0.3, None), ("pretrained", "sequential")):
        key = lab.method("ta", feed, scaling=scaling, init=init).training_key()
        assert key == ({} if init == "pretrained" else None)


@pytest.mark.parametrize(
    "hp", ["scaling=0", "scaling=-0.3", "scaling=inf", "scaling=nan", "scaling=mean", "init=zero"]
)
def test_settings_that_mean_nothing_are_refused(hp):
    with pytest.raises(BenchError):
        find_method("ta", [hp])


def test_variants_change_what_they_say():
    base = find_method("ta", []).config
    assert isinstance(base, TAConfig)
    assert (base.scaling, base.init, base.lr, base.weight_decay) == (0.3, "pretrained", None, None)
    assert find_method("ta.mean", []).config == replace(base, scaling=None)
    assert find_method("ta", ["scaling=none"]).config == replace(base, scaling=None)
    assert find_method("ta.sequential", []).config == replace(base, init="sequential")
