"""Walks over modules, against those that torch has."""

import torch
from torch import nn

from benchmark.backbones.content import modules_of, parameters_of, set_mode
from benchmark.backbones.sites import Place


class Odd(nn.Module):
    """A module that occurs twice, a parameter under two names, and places with nothing."""

    def __init__(self) -> None:
        super().__init__()
        linear = nn.Linear(2, 3)
        self.first = nn.Sequential(linear, nn.BatchNorm1d(3))
        self.again = self.first
        self.tied = nn.Linear(2, 3, bias=False)
        self.tied.weight = linear.weight
        self.own = nn.Parameter(torch.ones(()))
        self.gone: nn.Module | None = nn.Linear(1, 1)
        self.gone = None
        self.circle = nn.ModuleList([nn.Dropout()])


def test_a_walk_meets_what_torchs_meets() -> None:
    module = Odd()
    assert [id(m) for m in modules_of(module)] == [id(m) for m in module.modules()]
    mine, theirs = parameters_of(module), list(module.named_parameters())
    assert [(n, id(p)) for n, p in mine] == [(n, id(p)) for n, p in theirs]


def test_a_swapped_module_is_met_at_once() -> None:
    module = Odd()
    parameters_of(module)
    module.tied = nn.Linear(4, 4)
    assert dict(parameters_of(module))["tied.weight"] is module.tied.weight


def test_every_module_gets_the_mode() -> None:
    module = Odd().eval()
    module.first[1].train()  # as a hook may leave it
    set_mode(module, False)
    assert not any(m.training for m in module.modules())
    set_mode(module, True)
    assert all(m.training for m in module.modules())


def test_a_delta_is_no_part_of_the_place() -> None:
    place = Place()
    place.delta = delta = nn.Linear(2, 2)
    assert place.delta is delta
    assert not list(place.parameters())
    place.delta = None
    assert place.delta is None
