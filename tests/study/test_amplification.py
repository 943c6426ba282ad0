"""The amplification factor, against whole singular value decompositions and against its limits."""

import numpy as np
import pytest
import torch

from benchmark.study.amplification import amplification


def _factors(out: int, into: int, k: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(out, k, generator=g), torch.randn(k, into, generator=g)


def _by_definition(weight: np.ndarray, change: np.ndarray, top: int) -> float:
    """From the whole matrices, by numpy: no factor is used."""
    u, _, vh = np.linalg.svd(change)
    return float(
        np.sqrt((change**2).sum()) / np.sqrt(((u[:, :top].T @ weight @ vh[:top].T) ** 2).sum())
    )


@pytest.mark.parametrize(("out", "into", "k"), [(7, 5, 3), (5, 9, 2), (6, 6, 6), (4, 8, 7)])
@pytest.mark.parametrize("top", [1, 2, 4])
def test_it_is_that_of_the_whole_matrices(out: int, into: int, k: int, top: int) -> None:
    weight = torch.randn(out, into, generator=torch.Generator().manual_seed(9))
    b, a = _factors(out, into, k)
    found = amplification(weight, b, a, top)
    change = b.double().numpy() @ a.double().numpy()
    rank = min(k, out, into)
    assert (found.rank, found.used) == (rank, min(top, rank))
    assert found.change == pytest.approx(np.linalg.norm(change))
    assert found.factor == pytest.approx(
        _by_definition(weight.double().numpy(), change, found.used)
    )


@pytest.mark.parametrize("times", [0.5, -2.0, 3.0])
def test_a_multiple_of_the_weight_amplifies_by_that_much(times: float) -> None:
    b, a = _factors(6, 5, 2)
    assert amplification(b @ a, times * b, a, 2).factor == pytest.approx(abs(times), rel=1e-5)
    # With one direction the rest of the change is in the numerator alone.
    one = amplification(b @ a, times * b, a, 1).factor
    assert one is not None
    assert one > abs(times)


def test_it_grows_as_the_change_and_not_with_its_split_into_factors() -> None:
    weight = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    b, a = _factors(5, 4, 2)
    plain = amplification(weight, b, a, 2).factor
    assert plain is not None
    assert amplification(weight, 4 * b, a, 2).factor == pytest.approx(4 * plain, rel=1e-6)
    assert amplification(weight, 8 * b, a / 8, 2).factor == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize("k", [0, 3])
def test_no_change_has_no_factor(k: int) -> None:
    """Of a pruned map, which has no rank, and of one that was not moved; never NaN."""
    found = amplification(torch.eye(4), torch.zeros(4, k), torch.ones(k, 4), 2)
    assert (found.change, found.rank, found.used, found.along, found.factor) == (
        0,
        0,
        0,
        None,
        None,
    )


def test_directions_that_the_weight_has_not_give_no_number() -> None:
    weight = torch.diag(torch.tensor([1.0, 0.0, 0.0]))
    b, a = torch.tensor([[0.0], [1.0], [0.0]]), torch.tensor([[0.0, 0.0, 1.0]])
    found = amplification(weight, b, a, 1)
    assert (found.change, found.along, found.factor) == (1.0, 0.0, None)


def test_no_more_directions_are_taken_than_the_change_has() -> None:
    """Beyond its rank a decomposition's vectors are arbitrary, and so would be the number."""
    weight = torch.randn(6, 6, generator=torch.Generator().manual_seed(2))
    b, a = _factors(6, 6, 1)
    twice = amplification(weight, torch.cat([b, b], 1), torch.cat([a, a]), 6)
    assert (twice.rank, twice.used) == (1, 1)
    once = amplification(weight, 2 * b, a, 1)
    assert twice.factor == pytest.approx(once.factor, rel=1e-5)
