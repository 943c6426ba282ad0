"""Rules that merge a stack of matrices into one, whatever space the matrices stand in.

Shapes: matrix_KOI, K matrices of one size (in core space O and I are the sides of the core);
weight_K, above 0. Every rule is homogeneous: weights or matrices twice as large give twice the
result. The weights enter before what is not linear, and sum to 1 by convention. The published
codes know no weights and sum: at equal weights their result is K times ours.

Singular vectors of a zero singular value are arbitrary (they differ between machines), so none is
ever used: a matrix counts with its numerical rank.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor


def linear(matrix_KOI: Tensor, weight_K: Tensor) -> Tensor:
    """The weighted sum: task arithmetic (Ilharco et al., 2023) where all weights are lambda."""
    return torch.einsum("k,koi->oi", weight_K, matrix_KOI)


def ties(matrix_KOI: Tensor, weight_K: Tensor, density: float) -> Tensor:
    """Trim, elect a sign per entry, and sum what agrees (TIES: Yadav et al., 2023).

    Each matrix keeps its largest entries; the sign of the weighted sum is elected (none where it
    is zero), and the weighted entries of that sign are added, as mergekit's dare_ties does. The
    paper's code has no weights and takes the mean of the agreeing entries. With weights that sum
    to 1 that would halve what two adapters agree on, so here an entry that all keep is their
    weighted mean, and one that a single adapter keeps has that adapter's weight, not 1.

    Args:
        matrix_KOI: K matrices.
        weight_K: their weights; trimming ignores them.
        density: fraction in (0, 1] of entries that each matrix keeps; those equal to the smallest
            kept one stay too.
    """
    flat_KN = matrix_KOI.flatten(1)
    size_KN = flat_KN.abs()
    entries = flat_KN.shape[1]
    dropped = entries - max(1, round(density * entries))
    least_K1 = size_KN.kthvalue(dropped + 1, dim=1, keepdim=True).values
    vote_KN = torch.where(size_KN >= least_K1, flat_KN, 0) * weight_K[:, None]
    sign_N = vote_KN.sum(dim=0).sign()
    agreeing_N = (vote_KN * sign_N).clamp(min=0).sum(dim=0) * sign_N
    return agreeing_N.view(matrix_KOI.shape[1:])


def dare_ties(
    matrix_KOI: Tensor, weight_K: Tensor, density: float, trim: float, seed_K: Sequence[int]
) -> Tensor:
    """DARE (Yu et al., 2024), then TIES.

    Entries are dropped at random and the rest divided by the density, so that a matrix keeps its
    expectation.

    Args:
        matrix_KOI: K matrices.
        weight_K: their weights.
        density: fraction of entries that DARE keeps, in (0, 1], rounded to 1/65536.
        trim: density of `ties`, counted over all entries, dropped ones included. Where it equals
            the density, TIES trims next to nothing, which is how mergekit and PEFT define the
            pair.
        seed_K: of each matrix's mask, which depends on nothing else but the shape.
    """
    cut, shape = round(density * 65536), matrix_KOI.shape[1:]
    kept_KOI = torch.stack([_draws(shape, seed) <= cut - 32769 for seed in seed_K])
    sparse_KOI = torch.where(kept_KOI.to(matrix_KOI.device), matrix_KOI, 0)
    return ties(sparse_KOI * (65536 / cut), weight_K, trim)


def _draws(shape: torch.Size, seed: int) -> Tensor:
    """Uniform 16-bit integers from -32768 on, drawn on the CPU: the same on every machine."""
    draws = torch.empty(-(-shape.numel() // 4), dtype=torch.int64)
    draws.random_(-(2**63), None, generator=torch.Generator().manual_seed(seed))
    return draws.view(torch.int16)[: shape.numel()].view(shape)


def iso_c(matrix_KOI: Tensor, weight_K: Tensor) -> Tensor:
    """Iso-C (Marczak et al., 2025): the weighted sum, all of its singular values made equal."""
    return isotropize(linear(matrix_KOI, weight_K))


def isotropize(matrix_OI: Tensor) -> Tensor:
    """All singular values replaced by their mean; those that are numerically zero do not count."""
    u_OQ, size_Q, v_QI = triples(matrix_OI)
    return size_Q.sum() / max(1, len(size_Q)) * u_OQ @ v_QI


def tsv(matrix_KOI: Tensor, weight_K: Tensor) -> Tensor:
    """TSV-M (Gargiulo et al., 2025): the leading singular triples of all, made orthogonal.

    Each matrix gives its first min(O, I) // K triples (in core space of K adapters that is all
    there are); the joined left vectors are replaced by the nearest orthonormal ones, so are the
    right ones, and put together again with the weighted singular values.
    """
    top = min(matrix_KOI.shape[1:]) // len(matrix_KOI)
    if top == 0:
        raise ValueError(f"expected no more matrices than singular values, got {matrix_KOI.shape}")
    parts = [triples(m) for m in matrix_KOI]
    u_OQ = _polar(torch.cat([u[:, :top] for u, _, _ in parts], dim=1))
    v_QI = _polar(torch.cat([v[:top] for _, _, v in parts]))
    size_Q = torch.cat([w * s[:top] for w, (_, s, _) in zip(weight_K, parts, strict=True)])
    return u_OQ * size_Q @ v_QI


def tsv_iso(matrix_KOI: Tensor, weight_K: Tensor) -> Tensor:
    """TSV-M, then isotropized: what the official code of Core Space gives as its example."""
    return isotropize(tsv(matrix_KOI, weight_K))


def triples(matrix_OI: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Thin SVD without the numerically zero singular values -> u (O, Q), sizes (Q,), v (Q, I)."""
    u_OQ, size_Q, v_QI = torch.linalg.svd(matrix_OI, full_matrices=False)
    rank = int(nonzero(size_Q).sum())
    return u_OQ[:, :rank], size_Q[:rank], v_QI[:rank]


def nonzero(size_Q: Tensor) -> Tensor:
    """Which singular values, largest first, are above rounding noise (1e-15 of the largest)."""
    return size_Q > 1e-12 * size_Q[:1]


def _polar(matrix_OI: Tensor) -> Tensor:
    """The nearest matrix whose singular values are all 1, or 0 where they were."""
    u_OQ, _, v_QI = triples(matrix_OI)
    return u_OQ @ v_QI


def fill(up_OQ: Tensor, down_QI: Tensor) -> Tensor:
    """Singular vectors for the zero singular values of a low-rank matrix, as one partial isometry.

    Any choice is a valid SVD; LAPACK's are the directions of rounding noise, and no two machines
    agree on them. Here a fixed random isometry G (O, I) is projected off both spans and made
    isometric again: the polar factor of X = (1 - up up^T) G (1 - down^T down), which depends on
    the spans alone. No SVD of size O x I is needed: X X^T is 1 - L L^T on its range, with
    L = (1 - up up^T) G down^T of rank Q, and 1 - L^T L = S^T S for S = [up^T G down^T;
    (1 - G^T G) down^T]. With singular values s and right vectors r of S, the polar factor is
    X + L r diag(1 / (s + s^2)) r^T L^T X.

    Args:
        up_OQ: orthonormal columns.
        down_QI: orthonormal rows.

    Returns:
        (O, I) with min(O, I) - Q singular values 1 and Q zeros, orthogonal to both.
    """
    if up_OQ.shape[0] > down_QI.shape[1]:
        return fill(down_QI.T, up_OQ.T).T
    random_OI = _isometry(len(up_OQ), down_QI.shape[1]).to(up_OQ.device)
    turned_OQ = random_OI @ down_QI.T
    inner_QI = up_OQ.T @ random_OI
    lost_NQ = torch.cat([inner_QI @ down_QI.T, down_QI.T - random_OI.T @ turned_OQ])
    _, size_Q, r_QQ = torch.linalg.svd(lost_NQ.cpu(), full_matrices=False)
    kept_OQ = turned_OQ - up_OQ @ (up_OQ.T @ turned_OQ)
    x_OI = random_OI - up_OQ @ inner_QI - kept_OQ @ down_QI
    kept_OQ = kept_OQ @ r_QQ.T.to(up_OQ.device)
    gain_Q = 1 / (size_Q + size_Q.square()).to(up_OQ.device)
    filled_OI: Tensor = x_OI + kept_OQ * gain_Q @ (kept_OQ.T @ x_OI)
    return filled_OI


@lru_cache(maxsize=8)
def _isometry(outputs: int, inputs: int) -> Tensor:
    """Orthonormal rows (O, I), O <= I, of no preferred direction; the same for ever."""
    shape, generator = (inputs, outputs), torch.Generator().manual_seed(0)
    q_IO, r_OO = torch.linalg.qr(torch.randn(shape, generator=generator, dtype=torch.float64))
    rows: Tensor = (q_IO * r_OO.diagonal().sign()).T
    return rows.contiguous()
