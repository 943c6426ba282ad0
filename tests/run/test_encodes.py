"""Nothing is encoded twice in a run, and no pixel is read for a row that is there."""

from pathlib import Path
from typing import Any

import pytest
import torch
from counted import Encodes, encodes
from known import known
from torch import Tensor

from benchmark.backbones import content
from benchmark.cli.display import Display
from benchmark.errors import MethodError
from benchmark.protocol.config import Config
from benchmark.protocol.items import Context
from benchmark.protocol.method import Method
from benchmark.protocol.types import Classes, Images, Texts, Tools
from benchmark.records.store import Record, read_record
from benchmark.run import evaluate as module
from benchmark.run.evaluate import EvalSet, evaluate
from benchmark.run.registry import method_names
from benchmark.run.request import Request, make_plan
from benchmark.run.runner import execute
from benchmark.run.scoring.memory import Memory

SMALL = {
    "pairs": {"order": "photos,gen-art", "limit": 8},
    "labelled": {"suite": "mini-xtail", "order": "planes,dishes", "limit": 10, "epochs": 2},
}
NAMES = [name for name in method_names() if "." not in name]
QUICK = {("dar", "pairs"), ("ft", "labelled")}
CASES = [
    pytest.param(name, kind, marks=() if (name, kind) in QUICK else pytest.mark.slow)
    for name in NAMES
    for kind in SMALL
    if kind not in known(name).cls.refuses
]


def run(method: str, kind: str, folder: Path, cache: Path, **changes: Any) -> Record:
    base: dict[str, Any] = {
        "pretrained": "random:0", "epochs": 2, "batch_size": 4, "evals": "id", "device": "cpu",
        "fresh": True,
    }  # fmt: skip
    asked: dict[str, Any] = {**base, **SMALL[kind], **changes}
    plan = make_plan(Request(method, **asked, output_dir=folder, cache_dir=cache))
    execute(plan, Display(quiet=True))
    return read_record(plan.target)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_no_item_is_encoded_twice(name: str, kind: str, own_cache: Path, tmp_path: Path) -> None:
    """By the same weights and adapters; a guard's second look at a few items is none of these."""
    with encodes() as found:
        run(name, kind, tmp_path / "out", own_cache)
    assert found.twice == {"image": 0, "text": 0}


def totals(found: Encodes) -> tuple[int, int]:
    return sum(found.image.values()), sum(found.text.values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pairs", pytest.param("labelled", marks=pytest.mark.slow)])
def test_stages_of_the_untouched_backbone_cost_nothing(
    kind: str, own_cache: Path, tmp_path: Path
) -> None:
    """No pass and no pixel: of `zs` with features on the disk, and of `joint` before its end."""
    run("zs", kind, tmp_path / "first", own_cache)
    with encodes() as none:
        run("zs", kind, tmp_path / "again", own_cache, seed=1)
    assert (*totals(none), none.pixels) == (0, 0, 0)
    with encodes() as last:
        run("joint", kind, tmp_path / "joint", own_cache)
    with encodes() as every:
        run("ft", kind, tmp_path / "ft", own_cache)
    # Two tasks: `ft` has another model at both stages, `joint` at the last one alone.
    assert tuple(2 * n for n in totals(last)) == totals(every)


def test_the_weights_are_read_once_a_stage(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []

    def digest(parts: Any) -> str:
        about, *_ = parts = list(parts)
        taken.append(about)
        found: str = plain(parts)
        return found

    plain = vars(content)["tensor_digest"]
    monkeypatch.setattr(content, "tensor_digest", digest)
    run("ft", "pairs", tmp_path, own_cache)
    towers = [next(t for t in ("image", "text") if about.endswith(t)) for about in taken]
    # When it is loaded, and after each of two tasks.
    assert {t: towers.count(t) for t in towers} == {"image": 3, "text": 3}


# ---- What a stage shares -----------------------------------------------------------------------


def method_of(lab: Any, **hooks: Any) -> tuple[Any, Any]:
    """A plugin with these hooks on a pristine backbone, and its feed."""
    feed = lab.feed(lab.clip())
    cls: Any = type("Plugin", (Method,), {"label": "Plugin", "__module__": "plugin"} | hooks)

    def none(*_: object) -> Any:
        raise AssertionError

    return cls(feed.clip, Config(), Tools(none, none, none, none)).eval(), feed


def unions(lab: Any) -> list[EvalSet]:
    scope = lab.labelled
    places = tuple(range(len(scope)))
    return [EvalSet(d.name, d.name, d, i, scope, i, places) for i, d in enumerate(scope)]


def test_sets_with_the_same_classes_share_a_classifier(lab: Any) -> None:
    made: list[int] = []

    def classifier(self: Any, classes: Classes) -> Any:
        made.append(len(classes))
        log = classes.prompts.log
        log("route", torch.tensor([3]))
        return Method.classifier(self, classes)

    method, feed = method_of(lab, classifier=classifier)
    memory, sets = Memory(), unions(lab)
    for _ in range(2):
        with memory.stage():
            shared = [evaluate(method, feed, w, 2, memory=memory) for w in sets]
    assert len(made) == 2
    alone = [evaluate(method, feed, w, 2) for w in sets]
    assert shared == alone, "what was logged of prompts is counted for every set"
    assert any(row["metric"] == "route" for row in shared[1].rows)


def test_a_classifier_that_logs_late_is_made_for_each_set(lab: Any) -> None:
    """Else what is counted for a set would depend on which sets were scored before it."""
    made: list[int] = []

    def classifier(self: Any, classes: Classes) -> Any:
        made.append(len(classes))
        first, score = [True], Method.classifier(self, classes)

        def scores(images: Images) -> Tensor:
            if first.pop() if first else False:
                classes.prompts.log("route", torch.tensor([5]))
            return score(images)

        return scores

    method, feed = method_of(lab, classifier=classifier)
    memory, sets = Memory(), unions(lab)
    with memory.stage():
        shared = [evaluate(method, feed, w, 2, memory=memory) for w in sets]
    assert len(made) == len(sets)
    assert shared == [evaluate(method, feed, w, 2) for w in sets]


def test_ranks_are_taken_over_by_the_rows_alone(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ranked: list[int] = []
    plain = module._ranks

    def ranks(*args: Any) -> Any:
        ranked.append(1)
        return plain(*args)

    monkeypatch.setattr(module, "_ranks", ranks)
    method, feed = method_of(lab)
    memory, which = Memory(), EvalSet("a", "A", lab.pairs[0], 0)
    first = evaluate(method, feed, which, 1, memory=memory)
    assert evaluate(method, feed, which, 2, memory=memory) == first
    assert len(ranked) == 1
    with torch.no_grad():
        method.clip.visual.proj.add_(torch.randn_like(method.clip.visual.proj) / 8)
    moved = evaluate(method, feed, which, 2, memory=memory)
    assert len(ranked) == 2
    assert moved.ranks != first.ranks


# ---- Plugins -----------------------------------------------------------------------------------


def old_image(self: Any, images: Images) -> Tensor:
    self.sizes.append(len(images))
    row_BD: Tensor = self.clip.image(images.pixels_B3HW)
    return row_BD


def old_text(self: Any, texts: Any) -> Tensor:
    self.sizes.append(len(texts))
    row_BD: Tensor = self.clip.text(texts.tokens_ML)
    return row_BD


@pytest.mark.parametrize("most", [256, 5])
def test_encoders_of_the_old_style_get_small_batches(
    most: int, lab: Any, captioned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks: dict[str, Any] = {"encode_image": old_image, "encode_text": old_text, "sizes": []}
    method, feed = method_of(lab, **hooks, at_once=most)
    which = EvalSet("a", "A", captioned, 0)
    old = evaluate(method, feed, which, 1)
    assert max(method.sizes) == min(most, len(captioned.tokens_ML))
    new, feed = method_of(lab)
    assert evaluate(new, feed, which, 1).ranks == old.ranks


class Constant:
    """A part whose digest does not tell what its rows depend on."""

    def digest(self) -> str:
        return "constant"


def test_a_stored_row_that_does_not_hold_any_more_is_refused(lab: Any) -> None:
    def encode_image(self: Any, images: Images) -> Tensor:
        def turned(some: Images) -> Tensor:
            row_BD: Tensor = self.clip.image(some.pixels_B3HW)
            return row_BD.roll(self.turn[0], dims=1)

        return images.cached(Constant(), turned)

    method, feed = method_of(lab, encode_image=encode_image, turn=[0])
    which = EvalSet("a", "A", lab.pairs[0], 0)
    first = evaluate(method, feed, which, 1)
    assert evaluate(method, feed, which, 2) == first
    method.turn[0] = 1
    with pytest.raises(MethodError, match=r"digest\(\) tells all"):
        evaluate(method, feed, which, 3)


def test_rows_of_class_prompts_are_held_to_the_same(lab: Any) -> None:
    """Also of a method in methods/ whose file is not as the repository has it."""

    def encode_text(self: Any, texts: Texts) -> Tensor:
        def turned(some: Texts) -> Tensor:
            row_BD: Tensor = self.clip.text(some.tokens_ML)
            return row_BD.roll(self.turn[0], dims=1)

        return texts.cached(self.clip, turned)  # which is told to be the backbone's own tower

    for home, committed in (("plugin", True), ("methods.mine", False)):
        method, feed = method_of(lab, encode_text=encode_text, turn=[0], __module__=home)
        which = EvalSet("b", "B", lab.labelled[0], 0, lab.labelled[:1], 0, (0,))
        first = evaluate(method, feed, which, 1, committed=committed)
        assert evaluate(method, feed, which, 2, committed=committed) == first
        method.turn[0] = 1
        with pytest.raises(MethodError, match="row of a text that moves"):
            evaluate(method, feed, which, 3, committed=committed)


def test_a_delta_around_the_default_is_seen(lab: Any) -> None:
    """The store's key would be the backbone's, and the rows those of another model."""

    def encode_image(self: Any, images: Images) -> Tensor:
        with self.clip.adapted({"image.0.mlp.c_fc": lambda x: self.by[0]}, ("mlp.c_fc",)):
            row_BD: Tensor = Method.encode_image(self, images)
            return row_BD

    method, feed = method_of(lab, encode_image=encode_image, by=[torch.zeros(())])
    rows = torch.arange(6)
    with torch.no_grad():
        images = feed.images(lab.pairs[0], rows, Context(), cached=True)
        plain = images.frozen()
        torch.testing.assert_close(method.encode_image(images), plain)
        method.by[0] = torch.ones(())
        assert float((method.encode_image(images) - plain).abs().max()) > 1e-3
