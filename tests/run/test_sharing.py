"""What runs share: trained adapters, and tables of encoders that never change."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from benchmark.backbones.open_clip import OpenClip
from benchmark.cli.display import Display
from benchmark.records.store import Record, read_record
from benchmark.run.request import Request, make_plan
from benchmark.run.runner import execute
from benchmark.run.state.shared import Trained
from benchmark.run.train import Fit
from benchmark.toolkit import autoencoders

torch.set_num_threads(1)  # the number is part of what a run shares


class Steps(Display):
    """Counts training steps and remembers lines."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.count, self.lines = 0, [""]

    def line(self, text: str) -> None:
        self.lines.append(text)

    def step(self, step: int, loss: float, pairs: int) -> None:
        self.count += 1


Go = Callable[..., tuple[Record, Steps]]


@pytest.fixture
def go(tmp_path: Path, own_cache: Path) -> Go:
    """Run a request in a cache of the test's own; its record, and what was shown."""

    def run(method: str, out: str, **changes: Any) -> tuple[Record, Steps]:
        base: dict[str, Any] = {
            "method": method, "order": "photos,gen-art", "pretrained": "random:0", "limit": 12,
            "epochs": 1, "batch_size": 4, "evals": "id", "device": "cpu",
        }  # fmt: skip
        request = Request(**base | changes, output_dir=tmp_path / out, cache_dir=own_cache)
        plan, display = make_plan(request), Steps()
        execute(plan, display)
        return read_record(plan.target), display

    return run


def scores(record: Record) -> pd.DataFrame:
    """What was measured, without the name of the variant."""
    return record.frame.drop(columns=["variant", "settings"])


def test_what_one_run_trained_another_does_not_train_again(go: Go, tmp_path: Path) -> None:
    first, trained = go("dar", "first")
    assert trained.count == 6
    assert first.provenance["shared"] == [None, None]
    again, taken = go("dar", "again")
    assert taken.count == 0
    assert sum("trained by an earlier run" in line for line in taken.lines) == 2
    assert again.provenance["losses"] == first.provenance["losses"]
    assert again.provenance["chunks"] == [1, 1]
    assert all(seconds > 0 for seconds in again.provenance["shared"])
    alone, fresh = go("dar", "fresh", fresh=True)
    assert fresh.count == 6
    for record in (again, alone):
        pd.testing.assert_frame_equal(record.frame, first.frame, check_exact=True)
    # A damaged file is not trusted: that task is trained again, to the same end.
    (one, _) = sorted((tmp_path / "cache" / "trained").glob("*.safetensors"))
    one.write_bytes(one.read_bytes()[:-1])
    mended, half = go("dar", "mended")
    assert half.count == 3
    pd.testing.assert_frame_equal(mended.frame, first.frame, check_exact=True)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"order": "gen-art,photos"}, marks=pytest.mark.slow),
        pytest.param({"hp": ("routing=image",)}, marks=pytest.mark.slow),
        pytest.param({"hp": ("margin=2.0", "merge=core-iso-c")}, marks=pytest.mark.slow),
    ],
    ids=["order", "routing", "merge"],
)
def test_the_other_order_and_other_inference_train_nothing(go: Go, changes: dict[str, Any]) -> None:
    go("dar", "first")
    record, display = go("dar", "second", **changes)
    assert display.count == 0
    whole, _ = go("dar", "fresh", fresh=True, **changes)
    pd.testing.assert_frame_equal(record.frame, whole.frame, check_exact=True)


def test_a_key_names_all_that_training_depends_on(lab: Any, tmp_path: Path) -> None:
    def key(
        about: str = "code", data: str = "photos", seed: int = 0, rank: int = 4, start: float = 0.0,
        config: Mapping[str, float] = {}, **recipe: Any,
    ) -> str:  # fmt: skip
        feed = lab.feed(lab.clip())
        method, task = lab.method("dar", feed, **config), lab.task(feed, lab.pairs[0], 0, 1)
        method.before_task(task)
        fit = Fit(method, task, replace(lab.recipe, **recipe), (seed, "data"))
        with torch.no_grad():
            fit.params[-1].add_(start)
        return Trained(tmp_path, (about,)).key(fit, data, {"rank": rank})

    changes: tuple[dict[str, Any], ...] = (
        {}, {"about": "other"}, {"data": "art"}, {"seed": 1}, {"rank": 8}, {"start": 1e-3},
        {"config": {"lr": 0.01}}, {"config": {"weight_decay": 0.3}}, {"epochs": 2},
        {"batch_size": 6},
    )  # fmt: skip
    keys = [key(**change) for change in changes]
    assert len(set(keys)) == len(changes)
    assert key() == keys[0]


OTHERWISE: tuple[dict[str, Any], ...] = (
    {"seed": 1}, {"hp": ("rank=8",)}, {"limit": 11}, {"hp": ("lr=0.01",)},
    {"hp": ("weight_decay=0.3",)}, {"hp": ("dropout=0.2",)}, {"epochs": 2}, {"batch_size": 6},
    {"pretrained": "random:1"}, {"precision": "bf16"}, {"hp": ("reuse_threshold=0.9",)},
)  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(changes, marks=pytest.mark.slow, id=str(*changes.values()))
        for changes in OTHERWISE
    ],
)
def test_what_trains_otherwise_is_not_shared(changes: dict[str, Any], go: Go) -> None:
    go("dar", "first")
    _, display = go("dar", "second", **changes)
    assert display.count > 0


@pytest.mark.slow
def test_changed_code_shares_nothing(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    go("dar", "first")
    monkeypatch.setattr("benchmark.run.request.code_sha", lambda *_: "changed")
    assert go("dar", "second")[1].count == 6


@pytest.mark.slow
def test_a_method_that_builds_on_earlier_tasks_shares_nothing(go: Go, tmp_path: Path) -> None:
    for out in ("first", "second"):
        record, display = go("lora-ft", out)
        assert display.count == 6
        assert record.provenance["shared"] == [None, None]
    assert not (tmp_path / "cache" / "trained").exists()


@pytest.mark.slow
def test_routers_are_fitted_once_for_all_orders_and_variants(
    go: Go, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though nothing else of their training is shared."""
    fits: list[int] = []
    real = autoencoders._fitted

    def fitted(features: Any, drawn: Any) -> Any:
        fits.append(len(features))
        return real(features, drawn)

    monkeypatch.setattr(autoencoders, "_fitted", fitted)
    small = {"hp": ("experts=3", "hidden=4", "router_steps=5")}
    first, _ = go("moe-adapter", "first", **small)
    assert fits == [2, 2], "images and texts of each task in one fit"
    go("moe-adapter", "reverse", order="gen-art,photos", **small)
    go("moe-adapter.route-batch", "batch", **small)
    again, _ = go("moe-adapter", "again", **small)
    assert fits == [2, 2]
    fresh, _ = go("moe-adapter", "fresh", fresh=True, **small)
    assert fits == [2, 2, 2, 2]
    for record in (again, fresh):
        pd.testing.assert_frame_equal(record.frame, first.frame, check_exact=True)
    go("moe-adapter", "otherwise", seed=1, **small)
    assert len(fits) == 6


def test_a_damaged_fit_is_made_again(tmp_path: Path) -> None:
    lines: list[str] = []
    trained, made = Trained(tmp_path, ("code",), say=lines.append), []

    def compute() -> dict[str, torch.Tensor]:
        made.append(1)
        return {"x": torch.arange(3.0)}

    for _ in range(2):
        assert trained.once("key", compute)["x"].tolist() == [0, 1, 2]
    assert len(made) == 1
    (file,) = (tmp_path / "trained").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert trained.once("key", compute)["x"].tolist() == [0, 1, 2]
    assert len(made) == 2
    assert len(lines) == 1
    Trained(tmp_path, ("other code",)).once("key", compute)
    assert len(made) == 3


# -- tables of encoders


@pytest.fixture(scope="module")
def run(lab: Any) -> Any:
    """DAR on three tasks, with adapters that change something."""
    found = lab.train("dar", lab.pairs, margin=0.02)
    g = torch.Generator().manual_seed(0)
    for adapter in found.method.adapters:
        for b in adapter.B.values():
            b.data += torch.randn(b.shape, generator=g) / 20
    return found


@torch.no_grad()
def embed(run: Any, data: Any, cached: bool) -> tuple[torch.Tensor, torch.Tensor]:
    feed, captions = run.feed, torch.arange(len(data.tokens_ML))
    texts = feed.texts(data.tokens_ML, data.text_key, captions, cached=cached)
    images = feed.images(data, torch.arange(len(data)), cached=cached)
    return run.method.encode_image(images), run.method.encode_text(texts)


def test_a_table_gives_what_encoding_gives(run: Any, lab: Any, captioned: Any) -> None:
    for data in (*lab.pairs, captioned):
        for cached, plain in zip(embed(run, data, True), embed(run, data, False), strict=True):
            assert_close(cached, plain, rtol=0, atol=1e-6)


def test_a_table_is_made_once_and_anew_for_another_adapter(
    run: Any, lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, seen = lab.pairs[0], []
    real = OpenClip.image

    def image(self: Any, pixels_B3HW: torch.Tensor) -> Any:
        seen.append(len(pixels_B3HW))
        return real(self, pixels_B3HW)

    monkeypatch.setattr(OpenClip, "image", image)
    sure = replace(run.method.config, margin=0.0)
    monkeypatch.setattr(run.method, "config", sure)
    first, _ = embed(run, data, True)
    before = len(seen)
    assert embed(run, data, True)[0].equal(first)
    assert 4 * sum(seen[before:]) < len(data), "only the few without a table"
    index_BK, _ = run.method.route(run.feed.images(data, torch.arange(len(data))), "image")
    used = run.method.adapters[int(index_BK[:, 0].mode().values)]
    factor, old = next(iter(used.B.values())), used.digest()
    kept = factor.detach().clone()
    with torch.no_grad():
        factor.mul_(-3)
    try:
        assert used.digest() != old
        changed, _ = embed(run, data, True)
        assert not torch.allclose(changed, first, atol=1e-4)
        assert_close(changed, embed(run, data, False)[0], rtol=0, atol=1e-6)
    finally:
        with torch.no_grad():
            factor.copy_(kept)


def test_a_table_is_not_taken_for_another_backbone(lab: Any) -> None:
    """A method may train the backbone too, by an optimiser that counts no version."""
    run = lab.train("dar", lab.pairs[:1], margin=0.0)
    before, _ = embed(run, lab.pairs[0], True)
    clip = run.method.clip.requires_grad_(True)
    optimizer = torch.optim.AdamW(clip.parameters(), lr=1e-2, fused=True)
    for p in clip.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    clip.forget()  # as every stage of a run begins
    after, _ = embed(run, lab.pairs[0], True)
    assert not torch.allclose(after, before, atol=1e-4)
    assert_close(after, embed(run, lab.pairs[0], False)[0], rtol=0, atol=1e-6)


def test_an_optimiser_step_changes_the_digest(lab: Any) -> None:
    """A digest that misses the fused step, which counts no version, would serve a stale table."""
    run = lab.train("dar", lab.pairs[:1])
    adapter = run.method.adapters[0]
    before = adapter.digest()
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=0.1, fused=True)
    for p in adapter.parameters():
        p.grad = torch.ones_like(p)
    run.method.train()  # as the loop does before a step
    optimizer.step()
    run.method.eval()
    assert adapter.digest() != before
    assert adapter.digest() == adapter.digest()


@torch.no_grad()
def test_training_batches_keep_nothing_of_what_may_be_trained(lab: Any) -> None:
    feed = lab.feed(lab.clip())
    loader, seen = lab.task(feed, lab.pairs[0], 0, 1).loader, list[int]()

    def encode(items: Any) -> torch.Tensor:
        seen.append(len(items))
        return torch.zeros(len(items), 2)

    for batch in (*loader.epoch(0), *loader.sweep()):
        for items in (batch.images, batch.texts):
            for _ in range(2):
                seen.clear()
                items.cached(feed.clip, encode)
                assert sum(seen) == len(items)
