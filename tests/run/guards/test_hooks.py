"""Methods that return something else than they promise, or move what they must not: refused."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from lanes import lanes
from torch import Tensor, nn

from benchmark.backbones.backbone import unit
from benchmark.check.lab import Lab
from benchmark.common.seeds import generator
from benchmark.errors import MethodError
from benchmark.protocol.config import Config
from benchmark.protocol.method import Frozen, Method
from benchmark.protocol.types import Batch, Classes, Images, ParamGroup, Tools
from benchmark.run.evaluate import EvalSet, evaluate
from benchmark.run.guards.evaluation import Untouched
from benchmark.run.guards.rows import Undefined
from benchmark.run.train import Fit

Hook = Callable[..., Any]


def made(lab: Lab, **hooks: Any) -> tuple[Any, Any]:
    """A method with these hooks on a fresh backbone, in eval mode, and its feed."""
    cls: Any = type("Mine", (Method,), {"label": "Mine", **hooks})
    feed = lab.feed(lab.clip())

    def none(*_: object) -> Any:
        raise AssertionError

    method = cls(feed.clip, Config(), Tools(lambda *k: generator(0, *k), none, none, none))
    method.eval()
    return method, feed


def trained(lab: Lab, **hooks: Any) -> Any:
    method, feed = made(lab, **hooks)
    task = lab.task(feed, lab.pairs[0], 0, 1)
    method.before_task(task)
    Fit(method, task, lab.recipe, (0,)).run(lambda *_: None)
    return method


def scored(
    lab: Lab, hooks: dict[str, Any], uses: frozenset[Any] = frozenset(), labelled: bool = False
) -> Any:
    """What evaluation gives, inside the guard that a run has."""
    method, feed = made(lab, **hooks)
    which = EvalSet("a", "Set A", lab.pairs[0], 0)
    if labelled:
        which = EvalSet("b", "Set B", lab.labelled[0], 0, lab.labelled[:1], 0, (0,))
    evaluate(Frozen(feed.clip.scale), feed, which)  # fills the caches of frozen features
    with torch.no_grad(), Untouched(method).during("Set A"):
        return evaluate(method, feed, which, 1, uses)


# ---- Training ----------------------------------------------------------------------------------


def loss_of(make: Callable[[Tensor], Any]) -> Hook:
    return lambda self, batch: make(Method.loss(self, batch)["match"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda t: t, r"a tensor of shape \(\).*give the term a name"),
        (lambda t: None, "got None"),
        (lambda t: [t], "got a list"),
        (lambda t: {}, "an empty mapping"),
        (lambda t: {"a": t, "b": 1.0}, "got a float as 'b'"),
        (lambda t: {"a": t.repeat(2)}, r"shape \(2,\) as 'a'.*mean"),
        (lambda t: {"a": t, "b": t.detach()}, "'b' without a gradient"),
        (lambda t: {1: t}, "the name 1"),
        (lambda t: {"a": torch.tensor(3)}, "int64 as 'a'"),
    ],
)
def test_a_loss_of_another_form(make: Callable[[Tensor], Any], words: str, lab: Lab) -> None:
    with pytest.raises(MethodError, match=rf"expected loss\(\) to return a mapping.*{words}") as e:
        trained(lab, loss=loss_of(make))
    assert e.value.code == 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda w: None, "got None"),
        (lambda w: w, "a tensor of shape"),
        (lambda w: ParamGroup(w), "got a ParamGroup"),
        (lambda w: [ParamGroup(iter(w))], "as its parameters"),
        (lambda w: [ParamGroup([w[0].detach()])], "make it an nn.Parameter"),
        (lambda w: [ParamGroup([nn.Parameter(torch.ones(2))])], "no part of the method"),
        (lambda w: [ParamGroup(w), ParamGroup(w[:1])], "twice"),
        (lambda w: [ParamGroup(w, lr_scale=float("nan"))], "lr_scale of at least 0, got nan"),
        (lambda w: [ParamGroup(w, weight_decay=-1.0)], "weight_decay of at least 0"),
        (lambda w: [ParamGroup(w, betas=(0.9, 1.0))], "two betas"),
    ],
)
def test_groups_of_another_form(make: Callable[[Any], Any], words: str, lab: Lab) -> None:
    with pytest.raises(MethodError, match=words):
        trained(lab, trainable=lambda self: make(self.clip.weights()))


def test_the_scale_is_trained_by_no_method(lab: Lab) -> None:
    with pytest.raises(MethodError, match="logit_scale"):
        trained(lab, trainable=lambda self: [ParamGroup(list(self.clip.parameters()))])


class Loaded:
    """A loader of so many batches, of which it gives others."""

    def __init__(self, own: Any, count: int, given: int) -> None:
        self.own, self.count, self.given = own, count, given

    def __len__(self) -> int:
        return self.count

    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        for number in range(self.given):
            yield next(self.own.epoch(number))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda own: None, "got None"),
        (lambda own: list(own.epoch(0)), "got a list"),
        (lambda own: Loaded(own, 0, 0), "at least one batch"),
        (lambda own: Loaded(own, 30, 30), "at most the task's 3 batches, got 30"),
        (lambda own: Loaded(own, 3, 0), "none from batch 0 of epoch 0 on"),
    ],
)
def test_loaders_of_another_form(make: Callable[[Any], Any], words: str, lab: Lab) -> None:
    with pytest.raises(MethodError, match=words):
        trained(lab, loader=lambda self, task: make(task.loader))


def test_more_budgets_than_tasks_with_samples(lab: Lab) -> None:
    def more(self: Any, task: Any) -> None:
        self.budgets = 5

    with pytest.raises(MethodError, match="`budgets` of 1, got 5"):
        trained(lab, before_task=more)


def first_only(self: Any) -> list[ParamGroup]:
    return [ParamGroup(self.clip.weights()[:1])]


@torch.no_grad()
def by_data(self: Any, step: int, total: int) -> None:
    self.clip.weights()[-1].data.add_(0.01)


def own_optimiser(self: Any, step: int, total: int) -> None:
    optimiser = torch.optim.SGD(self.clip.weights(), 0.1)
    for p in self.clip.weights():
        p.grad = torch.ones_like(p)
    optimiser.step()


def in_loss(self: Any, batch: Batch) -> dict[str, Tensor]:
    with torch.no_grad():
        self.clip.weights()[0].mul_(0.999)
    return Method.loss(self, batch)


@pytest.mark.parametrize(
    ("hooks", "words"),
    [
        ({"trainable": first_only, "after_step": by_data}, "'clip.* moved"),
        ({"after_step": own_optimiser}, "a step of another SGD"),
        ({"loss": in_loss}, r"loss\(\) to leave the parameters to the loop"),
    ],
)
def test_what_moves_is_what_is_declared_by_the_loops_steps(
    hooks: dict[str, Any], words: str, lab: Lab
) -> None:
    with pytest.raises(MethodError, match=words):
        trained(lab, **hooks)


def test_a_step_that_projects_what_is_trained_is_no_trespass(lab: Lab) -> None:
    def project(self: Any, step: int, total: int) -> None:
        self.clip.weights()[0].mul_(0.5)

    trained(lab, trainable=first_only, after_step=project)


# ---- Evaluation --------------------------------------------------------------------------------


def image_by(make: Callable[[Tensor], Any]) -> dict[str, Hook]:
    return {"encode_image": lambda self, images: make(Method.encode_image(self, images))}


def text_by(make: Callable[[Tensor], Any]) -> dict[str, Hook]:
    return {"encode_text": lambda self, texts: make(Method.encode_text(self, texts))}


def third(value: float) -> Callable[[Tensor], Tensor]:
    def change(x: Tensor) -> Tensor:
        x[2] = value
        return x

    return change


class Disguised(Tensor):
    """Answers what it is asked as it likes."""


ROWS: list[tuple[Callable[[Tensor], Any], str]] = [
    (lambda x: 2 * x, "length 1, got one of length 2 for {item} 1 of"),
    (lambda x: x * 1.001, "length 1, got one of length 1.001"),
    (lambda x: x[1:], r"one row for each of \d+ items"),
    (lambda x: x.double(), "rows of torch.float64"),
    (lambda x: x.half(), "rows of torch.float16"),
    (lambda x: x.numpy(), "a ndarray"),
    (lambda x: x[:, :, None], "a tensor of shape"),
    (lambda x: x.tolist(), "a list"),
    (lambda x: None, "got None"),
    (lambda x: x.as_subclass(Disguised), "a plain tensor"),
    (lambda x: unit(x - x.mean(dim=0)), "do not depend on the other items"),
    (lambda x: unit(x + 0.01 * x.std(dim=0, correction=0)), "do not depend on the other items"),
    (lambda x: unit(x + 0.01 * len(x)), "do not depend on the other items"),
    (lambda x: unit(x + 0.01 * torch.arange(len(x))[:, None]), "do not depend on the other"),
]


@pytest.mark.parametrize(
    ("by", "item", "number"),
    lanes(
        [(*of, n) for of in ((image_by, "image"), (text_by, "caption")) for n in range(len(ROWS))],
        [
            *((image_by, "image", n) for n in range(len(ROWS))),
            *((text_by, "caption", n) for n in (0, 2, 3, 10)),
        ],
    ),
)
def test_rows_of_another_form(number: int, by: Hook, item: str, lab: Lab) -> None:
    make, words = ROWS[number]
    with pytest.raises(MethodError, match=words.format(item=item)) as error:
        scored(lab, by(make))
    assert f"encode_{item.replace('caption', 'text')}()" in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
@pytest.mark.parametrize("by", [image_by, text_by])
def test_a_row_without_a_direction_gives_no_score(value: float, by: Hook, lab: Lab) -> None:
    with pytest.raises(
        Undefined, match=r"length (nan|inf|0.0) for (image 3|caption \d+) of \d+ in Set A"
    ):
        scored(lab, by(third(value)))


def test_whoever_declares_the_batch_may_use_it(lab: Lab) -> None:
    by_batch = image_by(lambda x: unit(x - 0.1 * x.mean(dim=0)))
    assert scored(lab, by_batch, frozenset({"test batch"})).rows


def test_memory_that_is_used_again_gives_the_rows_that_were_returned(lab: Lab) -> None:
    held = torch.zeros(512, lab.clip().dim)

    def again(x: Tensor) -> Tensor:
        held[: len(x)] = x
        return held[: len(x)]

    hooks = {**image_by(again), **text_by(again), "at_once": 5}
    assert scored(lab, hooks).ranks == scored(lab, image_by(lambda x: x)).ranks


def scores_by(make: Callable[[Tensor], Any]) -> dict[str, Hook]:
    def classifier(self: Any, classes: Classes) -> Callable[[Images], Any]:
        score = Method.classifier(self, classes)
        return lambda images: make(score(images))

    return {"classifier": classifier}


@pytest.mark.parametrize(
    ("make", "words", "kind"),
    [
        (lambda s: s[:, 1:], r"to give scores \(\d+, \d+\)", MethodError),
        (lambda s: s.half(), "scores of torch.float16", MethodError),
        (lambda s: s.long(), "scores of torch.int64", MethodError),
        (lambda s: s.argmax(dim=1), "a tensor of shape", MethodError),
        (lambda s: None, "got None", MethodError),
        (lambda s: s - s.mean(dim=0), "do not depend on the other items", MethodError),
        (third(float("nan")), "got nan for image 3 of", Undefined),
        (third(float("-inf")), "got -inf for image 3 of", Undefined),
    ],
)
def test_scores_of_another_form(
    make: Callable[[Tensor], Any], words: str, kind: type[Exception], lab: Lab
) -> None:
    with pytest.raises(kind, match=words):
        scored(lab, scores_by(make), labelled=True)


def test_scores_in_float64_are_scores(lab: Lab) -> None:
    assert scored(lab, scores_by(lambda s: s.double()), labelled=True).guesses


def test_a_classifier_that_is_no_function(lab: Lab) -> None:
    with pytest.raises(MethodError, match="a function of images, got a tensor"):
        scored(lab, {"classifier": lambda self, classes: torch.zeros(2)}, labelled=True)


def traces(act: Callable[[Any], object]) -> dict[str, Hook]:
    def encode_image(self: Any, images: Images) -> Tensor:
        act(self)
        return Method.encode_image(self, images)

    return {"encode_image": encode_image}


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda m: m.clip.weights()[0].data.add_(1e-6), "another 'clip"),
        (lambda m: m.clip.logit_scale.data.add_(1.0), "another 'clip.logit_scale'"),
        (lambda m: m.register_buffer("n", torch.ones(1)), "another 'n'"),
        (lambda m: m.train(), "in eval mode"),
        (lambda m: next(iter(m.clip.children())).train(), "in eval mode"),
        (lambda m: torch.rand(1), "state of torch's generator"),
        (lambda m: np.random.rand(), "state of numpy's generator"),
        (lambda m: random.random(), "state of Python's generator"),
        (lambda m: torch.set_num_threads(torch.get_num_threads() + 1), "number of threads"),
        (lambda m: torch.set_float32_matmul_precision("medium"), "precision of float32|depend on"),
        (lambda m: torch.use_deterministic_algorithms(True), "deterministic"),
        (lambda m: setattr(torch.backends.cudnn, "benchmark", True), "cudnn.benchmark"),
        (lambda m: torch.set_autocast_enabled("cpu", True), "autocast on cpu"),
        (
            lambda m: nn.modules.module.register_module_forward_hook(lambda *_: None),
            "hooks on all modules",
        ),
    ],
)
def test_an_evaluation_leaves_no_trace(act: Callable[[Any], object], words: str, lab: Lab) -> None:
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    with pytest.raises(MethodError, match=words):
        scored(lab, traces(act))
    after = torch.get_num_threads(), torch.get_float32_matmul_precision()
    assert after == before, "it was put back"
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.is_autocast_enabled("cpu")
    assert not nn.modules.module._global_forward_hooks


@pytest.mark.slow
def test_what_torch_wraps_when_it_imports_its_compiler_is_no_change() -> None:
    """As at the first checkpoint of a step that ran out of memory, in the midst of a task."""
    code = (
        "import torch\n"
        "from benchmark.run.guards.process.switches import shared_parts\n"
        "(part,) = [s for s in shared_parts() if s.name.startswith('functions')]\n"
        "before = part.read()\n"
        "seed = torch.manual_seed\n"
        "import torch._dynamo\n"
        "assert torch.manual_seed is not seed, 'the premise'\n"
        "assert before == part.read(), before.others(part.read())\n"
        "import functools\n"
        "torch.manual_seed = functools.wraps(torch.manual_seed)(lambda seed: None)\n"
        "assert before != part.read()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
