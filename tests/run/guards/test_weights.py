"""Sums over bits, which tell whether a tensor has moved: against the bytes themselves."""

import pytest
import torch
from torch import nn

from benchmark.run.guards.weights import moved, sums, tensors


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
def test_the_sum_is_of_the_bits_as_whole_numbers(dtype: torch.dtype) -> None:
    x = torch.randn(5, 3).mul(100).to(dtype).T
    raw, size = x.contiguous().view(torch.uint8).numpy().tobytes(), dtype.itemsize
    words = [raw[at : at + size] for at in range(0, len(raw), size)]
    total = sum(int.from_bytes(word, "little", signed=True) for word in words)
    wrapped = (total + 2**63) % 2**64 - 2**63
    assert sums([("x", x)]) == {"x": ((3, 5), dtype, wrapped)}


def test_a_tensor_of_any_kind_has_one() -> None:
    odd = {
        "none": torch.empty(0, 2),
        "flags": torch.tensor([True, False, True]),
        "complex": torch.tensor([1j]),
        "one": torch.ones(()),
        "sparse": torch.eye(2).to_sparse(),
    }
    found = sums(odd.items())
    assert [values[2] for values in found.values()] == [0, 2, 0x3F800000, 0x3F800000, 0]


@pytest.mark.parametrize("change", ["negated", "one bit", "written through .data"])
def test_a_change_shows(change: str) -> None:
    module = nn.Linear(8, 8)
    before = sums(tensors(module))
    weight = module.weight.detach()
    if change == "negated":  # of two elements, as of any number
        weight[0, [1, 3]] = torch.tensor([1.0, 1.0])
        before = sums(tensors(module))
        weight[0, [1, 3]] *= -1
    elif change == "one bit":
        weight.view(torch.int32)[0, 0] ^= 1
    else:
        module.weight.data[0, 0] += 1
    assert moved(before, sums(tensors(module))) == ["weight"]
