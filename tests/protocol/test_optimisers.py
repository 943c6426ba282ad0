"""Optimisers without the compiler: the very steps of torch's own."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from benchmark.protocol.optimisers import eager


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD])
def test_steps_and_state_are_torch_s_own(kind: Any) -> None:
    torch.manual_seed(0)
    one = nn.Linear(5, 3)
    two = deepcopy(one)
    mine, theirs = (
        made([{"params": m.weight, "lr": 0.1}, {"params": m.bias}], lr=0.01, weight_decay=0.1)
        for made, m in ((eager(kind), one), (kind, two))
    )
    for at in range(4):
        for module, optimizer in ((one, mine), (two, theirs)):
            assert torch.is_grad_enabled()
            optimizer.zero_grad()
            module(torch.full((2, 5), 1.0 + at)).square().sum().backward()
            optimizer.step()
        assert one.weight.equal(two.weight)
        assert one.bias.equal(two.bias)
    torch.testing.assert_close(mine.state_dict(), theirs.state_dict(), rtol=0, atol=0)
    again = eager(kind)([{"params": one.weight, "lr": 0.1}, {"params": one.bias}], lr=0.01)
    again.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(again.state_dict(), theirs.state_dict(), rtol=0, atol=0)


def test_it_is_one_of_torch_s_to_hooks_and_checks() -> None:
    seen: list[Any] = []
    handle = register_optimizer_step_pre_hook(lambda own, *_: seen.append(own))
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    optimizer = eager(torch.optim.AdamW)([weight], lr=0.5, fused=True)
    optimizer.step()
    handle.remove()
    optimizer.step()
    assert seen == [optimizer]
    assert isinstance(optimizer, torch.optim.AdamW)
    assert type(optimizer).__name__ == "AdamW"
    assert eager(torch.optim.AdamW) is type(optimizer)  # made once
    assert weight.requires_grad
    assert not weight.equal(torch.ones(2))
    assert repr(optimizer).startswith("AdamW (")
