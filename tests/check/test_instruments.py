"""What looks at a method: the pretended device, torch's switches, traces, sealed data."""

import copy
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from benchmark.api import Method
from benchmark.check.instruments.pretended import DEVICE, DeviceMismatch, Elsewhere, pretended
from benchmark.check.instruments.sealed import seal
from benchmark.check.instruments.torch_state import Generators, TorchState
from benchmark.check.instruments.trace import differing, traced
from benchmark.check.instruments.waits import counted
from benchmark.check.instruments.watch import watched


def there(*shape: int) -> torch.Tensor:
    return torch.arange(float(np.prod(shape))).reshape(shape).to(DEVICE)


# -- the pretended device: what CUDA does, by its documentation and its words


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x + torch.ones(3),
        lambda x: x @ torch.ones(3, 2),
        lambda x: torch.cat([x, torch.ones(1, 3)]),
        lambda x: x.copy_(torch.ones(2, 3)).mul_(torch.ones(3)),
        lambda x: torch.where(x > 1, x, torch.zeros(2, 3)),
        lambda x: torch.randn(3, generator=torch.Generator(), device=x.device),
        lambda x: x.normal_(generator=torch.Generator()),
        lambda x: torch.ones(2, 3)[x.long()[0, :1]],
        lambda x: nn.functional.cross_entropy(x, torch.tensor([0, 1])),
        lambda x: torch.stack([x[0], torch.ones(3)]),
        lambda x: torch.ones(2, 3).index_add_(0, torch.tensor([0]), x[:1]),
        lambda x: x.numpy(),
        lambda x: np.asarray(x),
    ],
)
def test_what_cuda_refuses_is_refused(wrong: Any) -> None:
    with pretended(), pytest.raises((DeviceMismatch, TypeError)):
        wrong(there(2, 3))


@pytest.mark.parametrize(
    "right",
    [
        lambda x: x + 1.5,
        lambda x: x * torch.tensor(2.0),  # a number of the CPU is welcome
        lambda x: x[torch.tensor([1, 0])],  # so are indices
        lambda x: x[[1, 0]],
        lambda x: x[torch.tensor([True, False])],
        lambda x: x + torch.ones(3, device=x.device),
        lambda x: x + x.new_tensor([1.0, 2.0, 3.0]),
        lambda x: x + torch.tensor([1, 2, 3], device=x.device),
        lambda x: x + torch.ones(3).to(x.device),
        lambda x: x.clone().squeeze_().unsqueeze_(0).sum(0),
        lambda x: torch.cat([x, x.new_zeros(1, 3)]),
        lambda x: x.double().cumsum(0).argsort().float(),
        lambda x: nn.functional.cross_entropy(x, torch.tensor([0, 1], device=x.device)),
        lambda x: x.clone().data.mul_(3),
    ],
)
def test_what_cuda_allows_has_the_numbers_of_the_cpu(right: Any) -> None:
    here = right(torch.arange(6.0).reshape(2, 3))
    with pretended():
        found = right(there(2, 3))
        assert isinstance(found, Elsewhere)
        assert found.device == DEVICE
        assert found.shape == here.shape
        assert found.dtype == here.dtype
        assert_close(found.cpu(), here, rtol=0, atol=0)
        assert found.tolist() == here.tolist()


def test_a_module_learns_there_as_it_does_here() -> None:
    torch.manual_seed(0)
    here = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.LayerNorm(4), nn.Linear(4, 2))
    x = torch.randn(5, 3)

    def learn(model: nn.Module, x: torch.Tensor) -> list[float]:
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
        losses = []
        for _ in range(3):
            optimizer.zero_grad()
            with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=False):
                loss = model(x).square().mean()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        return losses

    with pretended() as device:
        other = copy.deepcopy(here)
        kept = [*other.parameters()]  # as CUDA: whoever holds a parameter holds it afterwards too
        other.to(device)
        assert [id(p) for p in kept] == [id(p) for p in other.parameters()]
        copied = copy.deepcopy(other)
        found = learn(other, x.to(device)), learn(copied, x.to(device))
    expected = learn(here, x)
    assert_close(torch.tensor(found), torch.tensor([expected, expected]), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda x: x.sum().item(), {"item": 1}),
        (lambda x: bool((x > 1).any()), {"item": 1}),
        (lambda x: x.tolist(), {"tolist": 1}),
        (lambda x: x.cpu(), {"copy to the host": 1}),
        (lambda x: torch.ones(2, 3).copy_(x), {"copy to the host": 1}),
        (lambda x: torch.ones(3).to(x.device), {"copy to the device": 1}),
        (lambda x: torch.tensor([1.0], device=x.device), {"copy to the device": 1}),
        (lambda x: x.copy_(torch.ones(2, 3)), {"copy to the device": 1}),
        (lambda x: torch.ones(3).to(x.device, non_blocking=True), {"copy to the device": 1}),
        (lambda x: torch.ones(3).pin_memory().to(x.device), {"copy to the device": 1}),
        (lambda x: torch.ones(3).pin_memory().to(x.device, non_blocking=True), {}),
        (lambda x: x.nonzero(), {"nonzero": 1}),
        (lambda x: x[x > 1], {"mask as index": 1}),
        (lambda x: x[torch.tensor([1, 0])], {"index of the host": 1}),
        (lambda x: x[torch.zeros(2, dtype=torch.long, device=x.device)], {}),
        (lambda x: (x @ x.T).softmax(dim=1).argmax(dim=1), {}),
        (lambda x: x.to(torch.bfloat16).float(), {}),
        (lambda x: torch.cat([x, x])[:2].clone(), {}),
    ],
)
def test_what_makes_the_host_wait_is_counted(act: Any, expected: dict[str, int]) -> None:
    """By CUDA's rules: pageable copies and what depends on values wait, asynchronous work not."""
    with pretended(), counted() as waits:
        act(there(2, 3))
    with pretended(), counted() as none:
        there(2, 3)
    assert waits - none == expected


def test_torch_is_as_before_when_the_pretence_ends() -> None:
    autocast, swap = torch.autocast, torch.__future__.get_swap_module_params_on_conversion()
    with pytest.raises(KeyError), pretended():
        raise KeyError
    assert torch.autocast is autocast
    assert torch.__future__.get_swap_module_params_on_conversion() is swap
    assert torch.zeros(2, device="meta").is_meta
    assert not isinstance(torch.zeros(2, device="meta"), Elsewhere)


# -- switches, generators, traces, the system, data


@pytest.mark.parametrize(
    "change",
    [
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.set_grad_enabled(False),
        lambda: torch.set_num_threads(torch.get_num_threads() + 1),
        lambda: torch.use_deterministic_algorithms(True),
        lambda: torch.set_float32_matmul_precision("medium"),
        lambda: torch.set_autocast_enabled("cpu", True),
        lambda: setattr(torch.backends.cudnn, "benchmark", not torch.backends.cudnn.benchmark),
        lambda: torch.set_default_device("meta"),
    ],
)
def test_a_switch_that_is_turned_is_named_and_turned_back(change: Any) -> None:
    before = TorchState.now()
    change()
    (found,) = before.changes()
    assert found.count(":") >= 1
    assert before.restore() == [found]
    assert before.changes() == []


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("torch", lambda: torch.rand(1)),
        ("random", random.random),
        ("numpy", lambda: np.random.random()),
    ],
)
def test_one_draw_moves_one_generator(name: str, draw: Any) -> None:
    before = Generators.now()
    assert before.drawn() == []
    draw()
    assert before.drawn() == [name]


KNOWN: list[int] = []


class Traced(Method):
    label = "T"
    counts: dict[str, int] = {}


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.clip.weights()[0].data.add_(1),
        lambda m: m.register_buffer("x_D", torch.zeros(1), persistent=False),
        lambda m: setattr(m, "calls", 1),
        lambda m: setattr(m.clip, "seen", True),
        lambda m: m.notes["deep"][0].append(1),
        lambda m: Traced.counts.update(a=1),
        lambda m: KNOWN.append(1),
        lambda m: m.clip.register_forward_hook(lambda *_: None),
        lambda m: m.train(),
    ],
)
def test_every_change_leaves_a_trace(
    change: Any, lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Traced, "counts", {})
    feed = lab.feed(lab.clip())
    method = Traced(feed.clip, Traced.Config(), None).eval()  # type: ignore[arg-type]
    method.notes = {"deep": [[]]}
    before = traced(method)
    assert differing(before, traced(method)) == []
    change(method)
    assert differing(before, traced(method))
    KNOWN.clear()


def test_what_a_file_asks_of_the_system_is_seen_and_what_others_ask_is_not(
    tmp_path: Path,
) -> None:
    file = tmp_path / "asks.py"
    file.write_text(
        "import os\n\ndef ask(folder):\n    os.listdir(folder)\n    open(folder / 'x')\n"
    )
    space: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), space)
    with watched(file) as seen, pytest.raises(FileNotFoundError):
        space["ask"](tmp_path)
    assert [one.partition(" ")[0] for one in seen] == ["asks.py:4", "asks.py:5"]
    assert "lists the folder" in seen[0]
    with watched(file) as seen:
        [*tmp_path.iterdir()]
    assert seen == []


def test_sealed_data_have_their_values_inside_alone(lab: Any) -> None:
    for data in (lab.pairs[0], lab.labelled[0]):
        sealed = seal(data)
        assert not sealed.data.pixels[:].any()
        with sealed.shown() as shown:
            assert (shown.pixels[:] == data.pixels[:]).all()
            held = shown.pixels
        assert not held[:].any()
        assert sealed.data.fingerprint == data.fingerprint
        assert data.pixels[:].any()
