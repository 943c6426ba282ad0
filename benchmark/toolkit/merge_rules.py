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
    is zero), and the weighted entries of that sign are added, as mergekit's dare_ties does.
    Differs from the paper's code, which takes the plain mean of the agreeing entries: with weights
    that sum to 1 a count on top of them would shrink an entry on which two adapters agree twice.
    An entry that one adapter wins alone has the weight of that adapter here, and 1 there.

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
    vote_KN = flat_KN * (size_KN >= least_K1) * weight_K[:, None]
    sign_N = vote_KN.sum(dim=0).sign()
    return (vote_KN * (vote_KN.sign() == sign_N)).sum(dim=0).view(matrix_KOI.shape[1:])


def dare_ties(
    matrix_KOI: Tensor, weight_K: Tensor, density: float, trim: float, seed_K: Sequence[int]
) -> Tensor:
    """DARE (Yu et al., 2024), then TIES.

    Entries are dropped at random and the rest divided by the density, so that a matrix keeps its
    expectation.

    Args:
        matrix_KOI: K matrices.
        weight_K: their weights.
        density: fraction of entries that DARE keeps, rounded to 1/65536; 1 keeps all.
        trim: density of `ties`, counted over all entries, dropped ones included. Where it equals
            the density, TIES trims next to nothing, which is how mergekit and PEFT define the
            pair.
        seed_K: of each matrix's mask, which depends on nothing else but the shape.
    """
    shape = matrix_KOI.shape[1:]
    mask_KOI = torch.stack([_mask(shape, density, seed) for seed in seed_K])
    return ties(matrix_KOI * mask_KOI.to(matrix_KOI.device), weight_K, trim)


def _mask(shape: torch.Size, density: float, seed: int) -> Tensor:
    """0 or 1/density, drawn on the CPU so that every machine draws the same; see lora.dropout."""
    cut, size = round(density * 65536), shape.numel()
    draws = torch.empty(-(-size // 4), dtype=torch.int64)
    draws.random_(-(2**63), None, generator=torch.Generator().manual_seed(seed))
    kept = draws.view(torch.int16)[:size].view(shape) < cut - 32768
    return kept.double() * (65536 / cut)


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
    rank = int(nonzero(size_Q, max(matrix_OI.shape)).sum())
    return u_OQ[:, :rank], size_Q[:rank], v_QI[:rank]


def nonzero(size_Q: Tensor, side: int) -> Tensor:
    """Which singular values of a matrix with that longer side are not rounding noise."""
    return size_Q > side * torch.finfo(size_Q.dtype).eps * size_Q[:1]


def _polar(matrix_OI: Tensor) -> Tensor:
    """The nearest matrix whose singular values are all 1, or 0 where they were."""
    u_OQ, _, v_QI = triples(matrix_OI)
    return u_OQ @ v_QI


def fill(up_OQ: Tensor, down_QI: Tensor) -> Tensor:
    """Singular vectors for the zero singular values of a low-rank matrix, as one partial isometry.

    Any choice is a valid SVD; LAPACK's are the directions of rounding noise, and no two machines
    agree on them. Here it is what is left of a fixed random isometry G (O, I) when both spans are
    projected out, made isometric again: X = (1 - up up^T) G (1 - down^T down), polar(X). It
    depends on the two spans alone. As X X^T is a projection minus something of rank Q, no SVD of
    size O x I is needed.

    Args:
        up_OQ: orthonormal columns.
        down_QI: orthonormal rows.

    Returns:
        (O, I) with min(O, I) - Q singular values 1 and Q zeros, orthogonal to both.
    """
    if up_OQ.shape[0] > down_QI.shape[1]:
        return fill(down_QI.T, up_OQ.T).T
    random_OI = _isometry(len(up_OQ), down_QI.shape[1]).to(up_OQ.device)
    rows_OI = random_OI - up_OQ @ (up_OQ.T @ random_OI)
    lost_OQ = rows_OI @ down_QI.T
    x_OI = rows_OI - lost_OQ @ down_QI
    y_OQ, cos_Q, _ = torch.linalg.svd(lost_OQ.cpu(), full_matrices=False)
    grow_Q = ((1 - cos_Q**2) ** -0.5 - 1).to(up_OQ.device)
    y_OQ = y_OQ.to(up_OQ.device)
    return x_OI + y_OQ * grow_Q @ (y_OQ.T @ x_OI)


@lru_cache(maxsize=8)
def _isometry(outputs: int, inputs: int) -> Tensor:
    """Orthonormal rows (O, I), O <= I, of no preferred direction; the same for ever."""
    shape, generator = (inputs, outputs), torch.Generator().manual_seed(0)
    q_IO, r_OO = torch.linalg.qr(torch.randn(shape, generator=generator, dtype=torch.float64))
    return (q_IO * r_OO.diagonal().sign()).T.contiguous()
