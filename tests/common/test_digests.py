"""Digests of tensors: the elements in order, wherever and however they lie in memory."""

import hashlib

import pytest
import torch

from benchmark.common.digests import tensor_bytes, tensor_digest


def test_bytes_are_the_elements_row_by_row() -> None:
    x = torch.arange(6, dtype=torch.int16).view(2, 3)
    assert tensor_bytes(x) == bytes([0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0])
    assert tensor_bytes(x.T) == bytes([0, 0, 3, 0, 1, 0, 4, 0, 2, 0, 5, 0])
    assert tensor_bytes(x[:, 1]) == bytes([1, 0, 4, 0])
    assert tensor_bytes(torch.nn.Parameter(torch.ones(()))) == b"\0\0\x80?"
    assert tensor_bytes(torch.ones(2, 0)) == b""


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.bool, torch.uint8])
def test_bytes_of_every_type(dtype: torch.dtype) -> None:
    x = torch.tensor([1, 0, 1]).to(dtype)
    raw = tensor_bytes(x)
    assert len(raw) == 3 * dtype.itemsize
    assert torch.frombuffer(bytearray(raw), dtype=dtype).equal(x)


def test_a_digest_is_over_texts_and_bytes_in_their_order() -> None:
    x, y = torch.tensor([1, 2], dtype=torch.uint8), torch.tensor([3], dtype=torch.uint8)
    assert tensor_digest(["a", x, "b", y]) == hashlib.sha256(b"a\1\2b\3").hexdigest()
    assert tensor_digest(["a", x, "b", y]) != tensor_digest(["b", y, "a", x])
    assert tensor_digest([]) == hashlib.sha256().hexdigest()
