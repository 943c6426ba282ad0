"""Which runs are compiled, what they say of it, and that they are the same runs."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from graphs import Counted

from benchmark.backbones.backbone import Backbone
from benchmark.backbones.blocks.compiled import Compiler, Sizes
from benchmark.cli.display import Display
from benchmark.errors import BenchError
from benchmark.records.store import Record, read_record
from benchmark.run.again.original import read_original
from benchmark.run.again.plan import Given, command, plan_again
from benchmark.run.device import compiling
from benchmark.run.device.compiling import chosen_compiler, pays
from benchmark.run.request import Request, make_plan
from benchmark.run.runner import execute

CPU, CUDA, SIZES = torch.device("cpu"), torch.device("cuda", 0), Sizes(4, 256, 8192)


def broken(graph: object, inputs: object) -> Any:
    raise OSError("there is no compiler")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch.__trace", "torch"):  # what pytest would keep of it takes minutes
        monkeypatch.setattr(logging.getLogger(name), "propagate", False)


def test_auto_compiles_large_models_on_a_gpu_alone(clip: Backbone) -> None:
    large = clip
    assert not pays(clip, CUDA)
    large.register_parameter("more", torch.nn.Parameter(torch.empty(10**8, device="meta")))
    assert pays(large, CUDA)
    assert not pays(large, CPU)
    assert chosen_compiler("auto", large, CPU, SIZES, False) == (None, "")
    assert chosen_compiler("auto", large, CUDA, SIZES, True) == (None, ""), "a run with --limit"
    assert chosen_compiler("off", large, CUDA, SIZES, False) == (None, "")


def test_what_torch_cannot_compile_is_refused_or_said(
    clip: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried; nothing that is asked for is left out in silence."""
    monkeypatch.setattr(compiling, "BACKEND", broken)
    with pytest.raises(BenchError, match=r"--compile that can be done here.*no compiler") as e:
        chosen_compiler("on", clip, CPU, SIZES, False)
    assert e.value.code == 2
    monkeypatch.setattr(compiling, "pays", lambda *_: True)
    found, said = chosen_compiler("auto", clip, CPU, SIZES, False)
    assert found is None
    assert "cannot compile" in said
    assert "the run is eager" in said
    assert "\n" not in said


def test_runs_share_what_is_compiled(clip: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "BACKEND", Counted())
    one, said = chosen_compiler("on", clip, CPU, SIZES, False)
    assert isinstance(one, Compiler)
    assert "\n" not in said
    assert one is chosen_compiler("on", clip, CPU, Sizes(4, 256, 8192), False)[0]
    assert one is not chosen_compiler("on", clip, CPU, Sizes(8, 256, 8192), False)[0]


def test_another_word_is_refused() -> None:
    with pytest.raises(BenchError, match=r"--compile of auto, on, off"):
        make_plan(Request("zs", compile="fast"))  # type: ignore[arg-type]


def ran(tmp_path: Path, cache: Path, method: str, order: str, compile: Any) -> Record:
    request = Request(
        method, order, limit=8, epochs=1, batch_size=4, evals="id", device="cpu",
        pretrained="random:0", output_dir=tmp_path / f"{method}-{order}-{compile}",
        cache_dir=cache, fresh=True, compile=compile,
    )  # fmt: skip
    plan = make_plan(request)
    execute(plan, Display(quiet=True))
    return read_record(plan.target)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dar", "ft", "codyra"])
def test_a_compiled_run_is_the_same_run_and_says_so(
    method: str, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within rounding; and nothing that either has kept is taken for the other's."""
    backend = Counted()
    monkeypatch.setattr(compiling, "BACKEND", backend)
    off, on = (ran(tmp_path, own_cache, method, "photos,scans", c) for c in ("auto", "on"))
    assert backend.count > 4
    assert off.provenance["identity"] == on.provenance["identity"]
    assert off.path.name == on.path.name
    for record, asked, compiled in ((off, "auto", False), (on, "on", True)):
        assert record.provenance["options"]["compile"] == asked
        assert record.provenance["computing"]["compiled"] is compiled
    for one, other in zip(off.provenance["losses"], on.provenance["losses"], strict=True):
        for epoch, same in zip(one, other, strict=True):
            assert epoch == pytest.approx(same, rel=1e-4)
    given = Given(tmp_path / "again", None, None, None, None, own_cache)
    again = [plan_again(read_original(r.path), given) for r in (off, on)]
    assert [plan.request.compile for plan in again] == ["auto", "on"]
    assert ["--compile" in command(plan, 1) for plan in again] == [False, True]


@pytest.mark.slow
def test_a_longer_run_has_no_more_graphs(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four tasks, with their adapters and what is merged of them, as two."""
    counts = []
    for order in ("photos,scans", "photos,scans,sketches,paintings"):
        backend = Counted()
        monkeypatch.setattr(compiling, "BACKEND", backend)
        ran(tmp_path, own_cache, "dar", order, "on")
        counts.append(backend.count)
    lengths = 5
    assert counts[1] <= 2 * 2 * 2 * 2 * lengths
    assert counts[1] - counts[0] <= 2 * 2 * lengths  # those of captions of a length not seen yet
