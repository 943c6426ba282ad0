"""What the protocol sees to by itself, so that no author needs to know it."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.api import Config, Method, snapshot
from benchmark.errors import BenchError


@pytest.fixture
def method(lab: Any) -> Method:
    class Mine(Method):
        label = "Mine"

    no_tools: Any = None
    return Mine(lab.clip(), Config(), no_tools)


def test_a_tensor_that_a_resumed_run_would_lose_is_refused(method: Method) -> None:
    with pytest.raises(BenchError, match=r"'memory_ND' .*make it an nn\.Buffer"):
        method.memory_ND = torch.zeros(2, 3)
    method.memory_ND = nn.Buffer(torch.zeros(2, 3))
    method.memory_ND = torch.ones(4, 3)  # as often as it likes
    method.start_N = nn.Buffer(torch.zeros(2), persistent=False)
    method.head = nn.Parameter(torch.zeros(2))
    method.register_buffer("late_N", None)
    method.late_N = torch.zeros(1)
    method.names = ["a"]
    own = {k for k in method.state_dict() if not k.startswith("clip.")}
    assert own == {"memory_ND", "head", "late_N"}
    kept = method.memory_ND
    assert isinstance(kept, Tensor)
    assert kept.shape == (4, 3)


def test_a_frozen_copy_of_the_backbone_stays_in_eval_mode(method: Method) -> None:
    method.teacher = snapshot(method.clip)
    method.others = nn.ModuleList([deepcopy(method.clip), nn.Dropout(0.5)])
    method.train()
    assert method.clip.training
    assert not any(part.training for part in method.teacher.modules())
    learner, added = method.others
    assert learner.training, "a copy that is trained"
    assert added.training
    method.clip.requires_grad_(False)  # as the loop does for a method that trains adapters alone
    learner.requires_grad_(False)
    method.train()
    assert method.clip.training
    assert not learner.training
    assert method.eval().clip.training is False
    assert not added.training
