"""Many weights as one vector, and back."""

import torch
from torch import nn

from benchmark.toolkit.flat_weights import flat, parts


def test_a_vector_has_every_scalar_in_order_and_its_parts_are_views() -> None:
    weights = [nn.Parameter(torch.arange(6.0).view(2, 3)), nn.Parameter(torch.tensor([6.0]))]
    vector_N = flat(weights)
    assert vector_N.tolist() == list(range(7))
    (gradient, _) = torch.autograd.grad(vector_N.square().sum(), weights)
    assert gradient.equal(2 * weights[0])
    one_N, two_N = vector_N.detach(), torch.zeros(7)
    for weight, own, other in parts(weights, one_N, two_N):
        assert own.equal(weight)
        other += own
    assert two_N.equal(one_N)
    assert flat([weights[0].detach().T]).tolist() == [0, 3, 1, 4, 2, 5]  # however it lies in memory
    flat([weights[0].detach()]).zero_()
    assert weights[0].sum() == 15, "a copy"
