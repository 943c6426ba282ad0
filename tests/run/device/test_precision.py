"""The precision of a run: what is declared, what a device can do, and what a record then says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from benchmark.check.lab import Lab
from benchmark.cli.display import Display
from benchmark.errors import BenchError
from benchmark.protocol.method import Method
from benchmark.records.store import Record, read_record
from benchmark.run.device import precision
from benchmark.run.device.precision import chosen_precision, float32_products, steps_in_tf32
from benchmark.run.request import Plan, Request, make_plan
from benchmark.run.runner import execute
from benchmark.suites.find import find_suite
from benchmark.suites.names import EMBEDDED, PUBLISHED

CUDA = torch.device("cuda", 0)
TOML = """
name = "shades"
version = "1.0"
[recipe]
epochs = 1
batch_size = 2
precision = "bf16"
[[task]]
name = "greys"
images = "."
train_table = "train.jsonl"
test_table = "test.jsonl"
image = "file"
captions = "text"
"""


@pytest.fixture
def shades(tmp_path: Path) -> Path:
    """A user's own suite that declares bf16."""
    for part, first in (("train", 0), ("test", 4)):
        rows = []
        for i in range(first, first + 4):
            Image.new("RGB", (60, 60), (30 * i, 10, 255 - 30 * i)).save(tmp_path / f"{i}.png")
            rows.append(json.dumps({"file": f"{i}.png", "text": f"a plain shade number {i}"}))
        (tmp_path / f"{part}.jsonl").write_text("\n".join(rows))
    path = tmp_path / "shades.toml"
    path.write_text(TOML)
    return path


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Says whether this machine multiplies in bfloat16, whatever it is."""

    def set_it(yes: bool) -> None:
        monkeypatch.setattr(precision, "multiplies_bf16", lambda device: yes)

    set_it(True)
    return set_it


def ran(request: Request) -> tuple[Plan, Record, list[str]]:
    said: list[str] = []

    class Told(Display):
        def line(self, text: str) -> None:
            said.append(text)

    plan = make_plan(request)
    execute(plan, Told(quiet=True))
    return plan, read_record(plan.target), said


# -- what is declared


def test_published_suites_declare_bf16_and_embedded_ones_fp32() -> None:
    found = {name: find_suite(name).recipe.precision for name in (*EMBEDDED, *PUBLISHED)}
    assert found == {**dict.fromkeys(EMBEDDED, "fp32"), **dict.fromkeys(PUBLISHED, "bf16")}


@pytest.mark.parametrize("wrong", ['"fp16"', "16", '"BF16"'])
def test_a_suite_declares_a_precision_that_there_is(shades: Path, wrong: str) -> None:
    shades.write_text(TOML.replace('"bf16"', wrong))
    with pytest.raises(BenchError, match="precision"):
        find_suite(str(shades))


def test_the_declared_precision_is_no_setting_and_another_one_is(
    shades: Path, able: Callable[[bool], None]
) -> None:
    suite = str(shades)
    declared = make_plan(Request("zs", suite=suite))
    assert (declared.precision, declared.settings) == ("bf16", {})
    assert declared.asked["precision"] == declared.asked["recipe"]["precision"] == "bf16"
    asked = make_plan(Request("zs", suite=suite, precision="bf16"))
    assert (asked.asked, asked.target) == (declared.asked, declared.target)
    other = make_plan(Request("zs", suite=suite, precision="fp32"))
    assert (other.precision, other.settings) == ("fp32", {"precision": "fp32"})
    assert other.target != declared.target
    assert (other.asked["precision"], other.asked["recipe"]["precision"]) == ("fp32", "bf16")


def test_a_suite_that_declares_nothing_asks_as_it_always_did() -> None:
    """Records that are there are compared with this."""
    usual = make_plan(Request("zs"))
    assert (usual.precision, usual.settings) == ("fp32", {})
    assert "precision" not in usual.asked["recipe"]
    assert make_plan(Request("zs", precision="bf16")).settings == {"precision": "bf16"}


# -- what a device can do


def test_a_device_that_cannot_do_what_is_declared_is_said_and_named(
    shades: Path, able: Callable[[bool], None], tmp_path: Path, cache: Path
) -> None:
    able(False)
    request = Request("ft", suite=str(shades), output_dir=tmp_path / "out", cache_dir=cache)
    plan, record, said = ran(request)
    assert plan.settings == {"precision": "fp32"}
    assert "precision=fp32" in plan.target.name
    assert [line for line in said if "declares bf16" in line] == [plan.instead]
    assert record.provenance["asked"]["precision"] == "fp32"
    computing = record.provenance["computing"]
    assert (computing["precision"], computing["declared"]) == ("fp32", "bf16")


def test_what_is_declared_runs_and_is_recorded(
    shades: Path, able: Callable[[bool], None], tmp_path: Path, cache: Path
) -> None:
    request = Request("ft", suite=str(shades), output_dir=tmp_path / "out", cache_dir=cache)
    _, record, said = ran(request)
    assert not any("declares" in line for line in said)
    assert set(record.frame["settings"]) == {""}
    assert record.provenance["asked"]["precision"] == "bf16"
    assert record.provenance["computing"]["precision"] == "bf16"
    _, other, _ = ran(Request(**{**vars(request), "precision": "fp32"}))
    assert other.provenance["losses"] != record.provenance["losses"], "it acts"


@pytest.mark.parametrize(
    ("asked", "declared", "there", "expected"),
    [
        (None, "bf16", True, "bf16"), (None, "bf16", False, "fp32"), (None, "fp32", False, "fp32"),
        ("fp32", "bf16", True, "fp32"), ("fp32", "bf16", False, "fp32"),
        ("bf16", "fp32", True, "bf16"), ("bf16", "fp32", False, "bf16"),  # slow, but it is asked
    ],
)  # fmt: skip
def test_which_precision_a_run_takes(
    asked: Any, declared: Any, there: bool, expected: str, able: Callable[[bool], None]
) -> None:
    able(there)
    found, said = chosen_precision(asked, declared, "cpu")
    assert found == expected
    assert bool(said) == (asked is None and expected != declared)


def test_a_gpu_without_bf16_refuses_it_where_it_is_asked_for(
    able: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    able(False)
    monkeypatch.setattr(precision, "pick_device", lambda asked: CUDA)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "an old GPU")
    with pytest.raises(BenchError, match="an old GPU"):
        chosen_precision("bf16", "fp32", "cuda")
    assert chosen_precision(None, "bf16", "cuda")[0] == "fp32"
    assert chosen_precision("fp32", "bf16", "cuda")[0] == "fp32"


def test_bf16_that_a_gpu_only_imitates_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch says of every GPU that it supports bfloat16, unless it is asked without emulation."""

    def supported(including_emulation: bool = True) -> bool:
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(torch.cuda, "device", lambda device: float32_products(False))
    assert not precision.multiplies_bf16(CUDA)


@pytest.mark.parametrize(
    ("told", "expected"),
    [({"avx512_bf16": True}, True), ({"avx512_bf16": False, "avx2": True}, False),
     ({"architecture": "arm64", "bf16": True}, True), ({"amx_bf16": True}, True)],
)  # fmt: skip
def test_a_processor_is_asked_for_its_instructions(
    told: dict[str, object], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert precision.multiplies_bf16(torch.device("cpu")) is expected


# -- TF32


def _switches() -> tuple[bool, bool, str]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return matmul.allow_tf32, cudnn.allow_tf32, torch.get_float32_matmul_precision()


@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("before", [(False, True), (True, False), (True, True)])
def test_products_are_what_is_asked_and_then_as_before(
    tf32: bool, before: tuple[bool, bool]
) -> None:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    usual = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32, cudnn.allow_tf32 = before
    try:
        kept = _switches()
        with float32_products(tf32):
            assert _switches()[:2] == (tf32, tf32)
        assert _switches() == kept
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = usual
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize(
    ("towers", "device", "capability", "expected"),
    [
        ("bf16", CUDA, (9, 0), True), ("bf16", CUDA, (8, 0), True), ("bf16", CUDA, (7, 5), False),
        ("fp32", CUDA, (9, 0), False), ("bf16", torch.device("cpu"), (9, 0), False),
    ],
)  # fmt: skip
def test_who_multiplies_in_tf32(
    towers: Any, device: torch.device, capability: Any, expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert steps_in_tf32(towers, device) is expected


@pytest.mark.parametrize("there", [False, True])
def test_steps_alone_multiply_in_tf32_and_all_else_exactly(
    there: bool, shades: Path, able: Callable[[bool], None], tmp_path: Path, cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Whatever the process was set to before: torch's own default is neither."""
    monkeypatch.setattr("benchmark.run.runner.steps_in_tf32", lambda *_: there)
    seen: list[tuple[str, bool, bool]] = []

    def noted(hook: str) -> Callable[..., Any]:
        real = getattr(Method, hook)

        def call(self: Any, *args: Any) -> Any:
            if hook != "encode_image" or not self.training:
                seen.append((hook, *_switches()[:2]))
            return real(self, *args)

        return call

    for hook in ("before_task", "loss", "after_task", "encode_image"):
        monkeypatch.setattr(Method, hook, noted(hook))
    ran(Request("ft", suite=str(shades), output_dir=tmp_path / "out", cache_dir=cache))
    assert {hook for hook, *_ in seen} == {"before_task", "loss", "after_task", "encode_image"}
    assert {tuple(found) for hook, *found in seen if hook == "loss"} == {(there, there)}
    assert {tuple(found) for hook, *found in seen if hook != "loss"} == {(False, False)}


# -- how far bf16 is from fp32


@torch.no_grad()
def test_embeddings_in_bf16_are_near_those_in_fp32(lab: Lab) -> None:
    """bfloat16 keeps 8 bits: 2^-9 of each factor, and errors of many products add up as a walk."""
    clip = lab.clip()
    feed = lab.feed(clip)
    rows = torch.arange(len(lab.pairs[0]))
    pixels = feed.images(lab.pairs[0], rows).pixels_B3HW
    tokens = lab.pairs[0].tokens_ML
    full = clip.image(pixels), clip.text(tokens)
    clip.precision = "bf16"
    for half, whole in zip((clip.image(pixels), clip.text(tokens)), full, strict=True):
        far = (half - whole).norm(dim=1)
        assert 1e-4 < far.max() < 2e-2
        assert (half - whole).mean(dim=0).norm() < 1e-2, "no common shift"


def test_gradients_in_bf16_are_near_those_in_fp32(lab: Lab) -> None:
    grads = []
    for towers in ("fp32", "bf16"):
        clip = lab.clip()
        feed = lab.feed(clip)
        clip.precision = towers
        batch = next(lab.task(feed, lab.pairs[0], 0, 1, batch_size=14).loader.epoch(0))
        image_BD, text_MD = clip.image(batch.images.pixels_B3HW), clip.text(batch.texts.tokens_ML)
        score_BM = clip.scale.detach() * image_BD @ text_MD.T
        torch.nn.functional.cross_entropy(score_BM, batch.target_B).backward()
        named = {n: p.grad for n, p in clip.named_parameters() if p.grad is not None}
        assert all(g.dtype == torch.float32 for g in named.values()), "masters in float32"
        grads.append(named)
    full, half = (torch.cat([g.flatten() for g in named.values()]) for named in grads)
    assert grads[0].keys() == grads[1].keys()
    assert torch.nn.functional.cosine_similarity(full, half, dim=0) > 0.99
    assert 0.95 < half.norm() / full.norm() < 1.05


@pytest.mark.slow
def test_a_run_in_bf16_ends_near_one_in_fp32(tmp_path: Path, cache: Path) -> None:
    """Of 64 queries a set, both ways: scores move by noise, and the mean by less."""
    values = []
    for towers in ("fp32", "bf16"):
        request = Request(
            "ft", "photos,scans", limit=64, epochs=2, batch_size=16, evals="id", device="cpu",
            precision=towers, output_dir=tmp_path, cache_dir=cache,
        )  # fmt: skip
        values.append(ran(request)[1].frame["value"])
    assert not values[0].equals(values[1])
    assert (values[0] - values[1]).abs().max() <= 0.1
    assert abs((values[0] - values[1]).mean()) <= 0.02
