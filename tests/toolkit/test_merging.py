"""Merging: every rule against its formula in numpy, and what must hold whatever the numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from benchmark.backbones.sites import PROJECTIONS
from benchmark.errors import BenchError
from benchmark.toolkit.lora import LoRA
from benchmark.toolkit.merging import rules as on
from benchmark.toolkit.merging.mixed import weighted_deltas
from benchmark.toolkit.merging.spaces import (
    MERGES,
    Updates,
    check_merge,
    merge,
    merged_deltas,
    site_updates,
)

K, R, O, I = 3, 4, 20, 28  # noqa: E741
WEIGHTS = (0.5, 0.3, 0.2)
WEIGHT_K = torch.tensor(WEIGHTS, dtype=torch.float64)
IN_CORE = [name for name in MERGES if name.startswith("core-")]
MERGED = [name for name in MERGES if name != "none"]
NONLINEAR = [name for name, rule in MERGES.items() if not rule.linear]


def _weights(*values):
    return torch.tensor(values, dtype=torch.float64)


def _updates(seed=0, count=K, rank=R, outputs=O, inputs=I):
    """Adapters whose scales differ, so that a forgotten one shows."""
    g = torch.Generator().manual_seed(seed)
    a = torch.randn(count, rank, inputs, dtype=torch.float64, generator=g)
    b = torch.randn(count, outputs, rank, dtype=torch.float64, generator=g)
    scale = torch.linspace(0.5, 2, count, dtype=torch.float64)
    return Updates(a, b, scale, tuple(range(70, 70 + count)))


def _deltas(updates):
    """The matrices scale b a, one adapter at a time."""
    parts = zip(updates.scale_K, updates.b_KOR, updates.a_KRI, strict=True)
    return [float(s) * b.numpy() @ a.numpy() for s, b, a in parts]


def _dense(merged):
    """What it does to the unit vectors, in float64."""
    down_QI = merged.down_QI
    inputs = (merged.up_OQ if down_QI is None else down_QI).shape[1]
    return merged(torch.eye(inputs).to(merged.up_OQ)).T.double().numpy()


def _merge(name, updates, weight_K=WEIGHT_K, **settings):
    return _dense(merge(MERGES[name], updates, weight_K, **settings))


def _apart(x, y):
    return np.linalg.norm(x - y) / np.linalg.norm(y)


def _close(x, y, tolerance=1e-12):
    assert x.shape == y.shape
    assert _apart(x, y) < tolerance


# -- core space


@pytest.mark.parametrize("shape", [(20, 28), (28, 20), (12, 12), (7, 30), (30, 7), (9, 8)])
def test_a_weighted_sum_is_the_same_in_both_spaces(shape):
    """K R is 12, so that the last shapes have more adapter rows than sides."""
    updates = _updates(1, outputs=shape[0], inputs=shape[1])
    deltas = _deltas(updates)
    _close(_merge("linear", updates), sum(w * d for w, d in zip(WEIGHTS, deltas, strict=True)))
    _close(_merge("uniform", updates), sum(deltas) / 3)
    _close(_merge("ta", updates, scale=0.7), 0.7 * sum(deltas))
    _close(_merge("none", updates), deltas[0])


@pytest.mark.parametrize("shape", [(20, 28), (7, 30), (30, 7)])
def test_bases_are_the_singular_vectors_of_the_stacked_factors(shape):
    updates = _updates(2, outputs=shape[0], inputs=shape[1])
    core = updates.core
    a = np.concatenate([a.numpy() for a in updates.a_KRI])
    scaled = zip(updates.scale_K, updates.b_KOR, strict=True)
    b = np.concatenate([float(s) * b.numpy() for s, b in scaled], axis=1)
    right = np.linalg.svd(a, full_matrices=False)[2]
    left = np.linalg.svd(b, full_matrices=False)[0]
    for mine, theirs in ((core.down_QI.numpy(), right), (core.up_OQ.numpy().T, left.T)):
        assert mine.shape == theirs.shape == (min(12, theirs.shape[1]), theirs.shape[1])
        signs = np.sign((mine * theirs).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(mine, signs * theirs, atol=1e-11)
    for c, delta in zip(core.core_KQQ.numpy(), _deltas(updates), strict=True):
        _close(core.up_OQ.numpy() @ c @ core.down_QI.numpy(), delta)


def _bank(clip, changed=None):
    bank = []
    for seed, alpha in ((1, 6.0), (2, 8.0), (3, 3.0)):
        g = torch.Generator().manual_seed(seed)
        adapter = LoRA(clip, PROJECTIONS, R, alpha, 0.0, g)
        for b in adapter.B.values():
            b.data.copy_(torch.randn(b.shape, generator=g) / 20)
        bank.append(adapter.eval())
    if changed is not None:
        for p in bank[changed].parameters():
            p.data.mul_(3).add_(1)
    return bank


@pytest.mark.parametrize("name", NONLINEAR)
def test_only_the_selected_adapters_span_the_space(name, clip):
    """Neither an adapter that was not given nor one of weight 0 changes a bit."""
    weight, seeds = torch.tensor([0.6, 0.4]), [5, 6, 7]
    site = "image.0.attn.out_proj"
    want = _merge(name, site_updates(_bank(clip)[:2], seeds[:2])[site], weight)
    for bank in (_bank(clip), _bank(clip, changed=2)):
        pair = site_updates([bank[0], bank[1]], seeds[:2])[site]
        assert np.array_equal(_merge(name, pair, weight), want)
        three = site_updates(bank, seeds)[site]
        assert np.array_equal(_merge(name, three, torch.tensor([0.6, 0.4, 0.0])), want)
    wide = site_updates(_bank(clip), seeds)[site].core
    narrow = site_updates(_bank(clip)[:2], seeds[:2])[site].core
    in_wide = wide.up_OQ @ on.ties(wide.core_KQQ[:2], weight.double(), 0.5) @ wide.down_QI
    in_narrow = narrow.up_OQ @ on.ties(narrow.core_KQQ, weight.double(), 0.5) @ narrow.down_QI
    assert _apart(in_wide.numpy(), in_narrow.numpy()) > 0.1  # the basis does matter


# -- what holds for every rule


@pytest.mark.parametrize("name", MERGED)
@pytest.mark.parametrize("order", [[1, 0, 2], [2, 0, 1], [2, 1, 0]])
def test_the_order_of_adapters_does_not_matter(name, order):
    updates = _updates(3)
    turned = Updates(
        updates.a_KRI[order],
        updates.b_KOR[order],
        updates.scale_K[order],
        tuple(updates.seed_K[k] for k in order),
    )
    got = _merge(name, turned, WEIGHT_K[order], density=0.4)
    _close(got, _merge(name, updates, density=0.4), 1e-9)


@pytest.mark.parametrize("name", MERGED)
def test_every_rule_is_homogeneous(name):
    updates = _updates(4)
    want = 2.5 * _merge(name, updates)
    _close(_merge(name, replace(updates, scale_K=2.5 * updates.scale_K)), want, 1e-10)
    _close(_merge(name, replace(updates, b_KOR=2.5 * updates.b_KOR)), want, 1e-10)
    _close(_merge(name, updates, scale=2.5), want)


@pytest.mark.parametrize("name", MERGES)
def test_rank_dtype_and_agreement_of_float32(name):
    """float64 inside: float32 factors give the float64 result, rounded."""
    updates = _updates(5)
    short = replace(updates, a_KRI=updates.a_KRI.float(), b_KOR=updates.b_KOR.float())
    merged = merge(MERGES[name], short, WEIGHT_K.float())
    assert merged.up_OQ.dtype == torch.float32
    used = 1 if name == "none" else K
    if merged.down_QI is not None:
        assert merged.down_QI.dtype == torch.float32
        assert merged.up_OQ.shape == (O, used * R)
        assert merged.down_QI.shape == (used * R, I)
    else:
        assert merged.up_OQ.shape == (O, I)
    exact = replace(short, a_KRI=short.a_KRI.double(), b_KOR=short.b_KOR.double())
    _close(_dense(merged), _merge(name, exact), 1e-6)
    assert merged.up_OQ.equal(merge(MERGES[name], short, WEIGHT_K.float()).up_OQ)


def test_a_one_hot_weight_is_that_adapter():
    updates = _updates(6)
    for k, delta in enumerate(_deltas(updates)):
        hot = torch.eye(K, dtype=torch.float64)[k]
        _close(_merge("linear", updates, hot), delta)
        _close(on.linear(torch.tensor(np.stack(_deltas(updates))), hot).numpy(), delta)


@pytest.mark.parametrize("name", MERGES)
def test_untrained_adapters_merge_to_nothing(name):
    updates = replace(_updates(7), b_KOR=torch.zeros(K, O, R, dtype=torch.float64))
    assert not _merge(name, updates).any()


@pytest.mark.parametrize("name", MERGES)
@pytest.mark.parametrize("shape", [(20, 28), (6, 30), (30, 6)])
@pytest.mark.parametrize("kind", ["zero", "equal", "one", "opposite", "flat"])
def test_degenerate_adapters_give_no_direction_of_their_own(name, shape, kind):
    """Nothing comes out that no adapter has: columns and rows lie in the spans of the deltas."""
    updates = _updates(8, outputs=shape[0], inputs=shape[1])
    a, b = updates.a_KRI.clone(), updates.b_KOR.clone()
    weight_K = WEIGHT_K
    if kind == "zero":
        b[1] = 0
    elif kind == "equal":
        a[1], b[1], a[2], b[2] = a[0], b[0], a[0], b[0]
    elif kind == "opposite":
        a[1], b[1] = a[0], -b[0]
    elif kind == "flat":
        a[0, 2:] = a[0, :1]  # rank 2 of 4
    updates = replace(updates, a_KRI=a, b_KOR=b)
    if kind == "one":
        updates, weight_K = updates[torch.tensor([True, False, False])], torch.ones(1)
    got = _merge(name, updates, weight_K)
    assert np.isfinite(got).all()
    dense = name in ("iso-c", "dare-ties")  # these leave the span by design
    side = min(R if name == "none" else R * len(updates.a_KRI), *shape)
    up_OQ = merge(MERGES[name], updates, weight_K).up_OQ
    assert up_OQ.shape[1] == (shape[1] if dense else side)
    core = updates.core
    for basis_QN, factor, rows in (
        (core.up_OQ.T, updates.b_KOR.transpose(1, 2), got.T),
        (core.down_QI, updates.a_KRI, got),
    ):
        _, sizes, span = np.linalg.svd(factor.flatten(0, 1).numpy())
        rank = int((sizes > 1e-9).sum())
        length_Q = (torch.arange(len(basis_QN)) < rank).double()
        assert_close(basis_QN @ basis_QN.T, length_Q.diag(), rtol=0, atol=1e-12)
        if not dense:
            _close(rows @ span[:rank].T @ span[:rank], rows, 1e-10)


def test_iso_and_tsv_of_an_adapter_and_an_untrained_one():
    """The untrained one adds nothing, whatever its a: no direction, no share of the mean."""
    updates = _updates(9, count=2)
    b_KOR = updates.b_KOR.clone()
    b_KOR[1] = 0
    updates, weight_K = replace(updates, b_KOR=b_KOR), _weights(0.7, 0.3)
    alone = updates[torch.tensor([True, False])]
    for name in ("core-iso-c", "core-tsv", "core-tsv-iso", "iso-c"):
        one = _merge(name, alone, _weights(1.0))
        _close(_merge(name, updates, weight_K), 0.7 * one, 1e-11)


def test_equal_adapters():
    """Iso-C is idempotent; TSV-M counts shared directions once, which halves them at K = 2."""
    updates = _updates(10, count=1)
    two = Updates(
        torch.cat([updates.a_KRI] * 2), torch.cat([updates.b_KOR] * 2),
        torch.cat([updates.scale_K] * 2),
    )  # fmt: skip
    weight_K, one = _weights(0.8, 0.2), _weights(1.0)
    _close(_merge("core-iso-c", two, weight_K), _merge("core-iso-c", updates, one), 1e-11)
    _close(_merge("core-tsv", two, weight_K), _deltas(updates)[0] / 2, 1e-11)


# -- Iso-C


def _iso(matrix):
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    return sum(s.mean() * np.outer(u[:, i], v[i]) for i in range(len(s)))


def test_iso_in_core_space():
    updates = _updates(11)
    core = updates.core
    want = _iso(sum(float(w) * c for w, c in zip(WEIGHTS, core.core_KQQ.numpy(), strict=True)))
    got = _merge("core-iso-c", updates)
    _close(got, core.up_OQ.numpy() @ want @ core.down_QI.numpy())
    summed = np.linalg.svd(sum(w * d for w, d in zip(WEIGHTS, _deltas(updates), strict=True)))[1]
    sizes = np.linalg.svd(got)[1]
    np.testing.assert_allclose(sizes[: K * R], summed[: K * R].mean(), rtol=1e-12)
    assert sizes[K * R :].max() < 1e-12


@pytest.mark.parametrize("shape", [(9, 30), (30, 9), (12, 12)])
def test_full_iso_is_the_official_formula_where_that_is_defined(shape):
    """The sum has full rank: no singular vector is arbitrary, and both spaces agree."""
    updates = _updates(12, outputs=shape[0], inputs=shape[1])
    want = _iso(sum(w * d for w, d in zip(WEIGHTS, _deltas(updates), strict=True)))
    _close(_merge("iso-c", updates), want, 1e-11)
    _close(_merge("core-iso-c", updates), want, 1e-11)


@pytest.mark.parametrize("shape", [(96, 96), (96, 128), (128, 96)])
def test_full_iso_where_most_of_it_is_arbitrary(shape):
    """All min(O, I) values equal their mean; 12 / 96 of the energy is the adapters' own."""
    updates = _updates(13, outputs=shape[0], inputs=shape[1])
    summed = sum(w * d for w, d in zip(WEIGHTS, _deltas(updates), strict=True))
    u, s, v = np.linalg.svd(summed, full_matrices=False)
    got = _merge("iso-c", updates)
    np.testing.assert_allclose(np.linalg.svd(got)[1], s.mean(), rtol=1e-9)
    span = s.mean() * u[:, :12] @ v[:12]
    _close(u[:, :12] @ (u[:, :12].T @ got), span, 1e-10)
    _close(got @ v[:12].T @ v[:12], span, 1e-10)
    assert np.linalg.norm(span) ** 2 / np.linalg.norm(got) ** 2 == pytest.approx(12 / 96)
    assert np.linalg.norm(got) / np.linalg.norm(summed) < (12 / 96) ** 0.5
    _close(_merge("core-iso-c", updates), span * 96 / 12, 1e-10)
    assert abs(np.trace(got - span)) < 5 * s.mean() * 96**0.5  # of no preferred direction


def test_full_iso_does_not_amplify_rounding():
    """LAPACK's own singular vectors of zero singular values would differ by more than 100 %."""
    updates = _updates(14, outputs=96, inputs=96)
    moved = replace(updates, a_KRI=updates.a_KRI * (1 + 1e-14))
    _close(_merge("iso-c", moved), _merge("iso-c", updates), 1e-10)
    official, again = (
        _iso(sum(w * d for w, d in zip(WEIGHTS, _deltas(u), strict=True))) for u in (updates, moved)
    )
    assert _apart(again, official) > 1


# -- TIES and DARE


def _ties(matrices, weights, density):
    """Entry by entry, in plain Python."""
    kept = []
    for m in matrices:
        sizes = sorted(abs(x) for x in m.flatten().tolist())
        least = sizes[-max(1, round(density * len(sizes)))]
        kept.append(np.where(np.abs(m) >= least, m, 0))
    out = np.zeros_like(matrices[0])
    for place in np.ndindex(out.shape):
        votes = [float(w) * m[place] for w, m in zip(weights, kept, strict=True)]
        sign = np.sign(sum(votes))
        out[place] = sum(v for v in votes if np.sign(v) == sign)
    return out


def test_ties_by_hand():
    """Half of four entries stays. Columns: agree, first wins, only second, trimmed in both."""
    matrix_KOI = torch.tensor([[[4.0, -6, 1, 0.5]], [[2.0, 1, 3, -0.5]]], dtype=torch.float64)
    weight_K = _weights(0.75, 0.25)
    got = on.ties(matrix_KOI, weight_K, 0.5)
    assert_close(got, torch.tensor([[3.5, -4.5, 0.75, 0]], dtype=torch.float64))
    all_kept = on.ties(matrix_KOI, weight_K, 1.0)
    assert_close(all_kept, torch.tensor([[3.5, -4.5, 1.5, 0.375]], dtype=torch.float64))
    lost = on.ties(matrix_KOI, _weights(0.1, 0.9), 1.0)
    assert_close(lost, torch.tensor([[2.2, 0.9, 2.8, -0.45]], dtype=torch.float64))


def test_ties_at_its_edges():
    """A tied vote elects nothing; entries as large as the smallest kept one stay; one stays."""
    pair = torch.tensor([[[1.0, -2]], [[-1.0, -2]]], dtype=torch.float64)
    half = _weights(0.5, 0.5)
    assert on.ties(pair, half, 1.0).tolist() == [[0, -2]]
    flat = torch.tensor([[[2.0, 2, 2, 1]]], dtype=torch.float64)
    assert on.ties(flat, half[:1], 0.5).tolist() == [[1, 1, 1, 0]]
    assert on.ties(flat + torch.arange(4), half[:1], 0.01).tolist() == [[0, 0, 2, 2]]


@pytest.mark.parametrize("density", [0.05, 0.3, 0.5, 0.9, 1.0])
def test_ties_entry_by_entry(density):
    updates = _updates(15)
    deltas = _deltas(updates)
    got = on.ties(torch.tensor(np.stack(deltas)), WEIGHT_K, density).numpy()
    _close(got, _ties(deltas, WEIGHT_K, density))
    assert (got != 0).mean() >= density - 0.01


@pytest.mark.parametrize("name", ["dare-ties", "core-dare-ties"])
@pytest.mark.parametrize("density", [0.3, 1.0])
def test_dare_ties_in_both_spaces(name, density):
    """Masks drawn here by their definition; density 1 drops nothing, and is TIES."""
    updates = _updates(16)
    core = updates.core
    matrices = core.core_KQQ.numpy() if name.startswith("core") else _deltas(updates)
    masked = []
    for seed, m in zip(updates.seed_K, matrices, strict=True):
        g = torch.Generator().manual_seed(seed)
        draws = torch.empty(m.size // 4, dtype=torch.int64).random_(-(2**63), None, generator=g)
        kept = draws.view(torch.int16).view(m.shape).numpy() / 65536 + 0.5 < density
        masked.append(m * kept / density)
        assert kept.mean() == pytest.approx(density, abs=0.15)
    if density == 1:
        assert all(np.array_equal(x, y) for x, y in zip(masked, matrices, strict=True))
    want = _ties(masked, WEIGHT_K, density)
    if name.startswith("core"):
        want = core.up_OQ.numpy() @ want @ core.down_QI.numpy()
    _close(_merge(name, updates, density=density), want, 1e-4)  # density is rounded to 1/65536


def test_dare_keeps_the_expectation():
    """Mean over many masks of one matrix: each entry within four standard errors."""
    ones, draws, density = torch.ones(1, 10, 13, dtype=torch.float64), 400, 0.25
    one = _weights(1.0)
    masked = [on.dare_ties(ones, one, density, 1.0, [seed]) for seed in range(draws)]
    mean = torch.stack(masked).mean(dim=0)
    assert float((mean - 1).abs().max()) < 4 * ((1 - density) / density / draws) ** 0.5
    assert float(mean.mean()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("name", ["dare-ties", "core-dare-ties"])
def test_masks_belong_to_adapter_and_site(name, clip):
    """Not to its place, partner, weights, or how often was drawn; another seed is another mask."""
    bank = _bank(clip)

    def zeros(adapters, seeds, site):
        updates = site_updates(adapters, seeds)[site]
        assert updates.seed_K is not None
        matrices = updates.core.core_KQQ if name.startswith("core") else torch.ones(2, O, I)
        one = _weights(1.0)
        return [
            on.dare_ties(m[None].double(), one, 0.5, 1.0, [seed]) == 0
            for m, seed in zip(matrices, updates.seed_K, strict=True)
        ]

    here, there = "image.0.mlp.c_fc", "image.1.mlp.c_fc"
    first = zeros(bank[:2], [5, 6], here)
    assert zeros(bank[1::-1], [6, 5], here)[1].equal(first[0])
    assert zeros([bank[0], bank[2]], [5, 9], here)[0].equal(first[0])
    for other in (
        first[1],
        zeros(bank[:2], [5, 6], there)[0],
        zeros(bank[:2], [7, 6], here)[0],
    ):
        assert 0.3 < float((other == first[0]).double().mean()) < 0.7
    site = site_updates(bank[:2], [5, 6])[here]
    once = _merge(name, site, torch.tensor([0.6, 0.4]))
    assert np.array_equal(_merge(name, site, torch.tensor([0.6, 0.4])), once)
    other = site_updates(bank[:2], [7, 6])[here]
    assert _apart(_merge(name, other, torch.tensor([0.6, 0.4])), once) > 0.1


# -- TSV-M


def _polar(x):
    u, _, v = np.linalg.svd(x, full_matrices=False)
    return u @ v


def _tsv(matrices, weights):
    top = min(matrices[0].shape) // len(matrices)
    parts = [np.linalg.svd(m, full_matrices=False) for m in matrices]
    u = _polar(np.concatenate([p[0][:, :top] for p in parts], axis=1))
    v = _polar(np.concatenate([p[2][:top] for p in parts], axis=0))
    s = np.concatenate([float(w) * p[1][:top] for w, p in zip(weights, parts, strict=True)])
    return sum(s[i] * np.outer(u[:, i], v[i]) for i in range(len(s)))


@pytest.mark.parametrize("shape", [(20, 28), (28, 20), (11, 30)])
def test_tsv_in_core_space(shape):
    updates = _updates(17, outputs=shape[0], inputs=shape[1])
    core = updates.core
    up, down = core.up_OQ.numpy(), core.down_QI.numpy()
    want = _tsv(list(core.core_KQQ.numpy()), WEIGHT_K)
    _close(_merge("core-tsv", updates), up @ want @ down, 1e-11)
    u, s, v = np.linalg.svd(want)
    rank = {20: 12, 28: 12, 11: 9}[shape[0]]  # three times min(12, O, I) // 3
    assert s[rank - 1] > 1e-9
    iso = s[:rank].mean() * u[:, :rank] @ v[:rank]
    _close(_merge("core-tsv-iso", updates), up @ iso @ down, 1e-10)


def test_tsv_of_any_matrices():
    """Also where triples are left out: 3 matrices of rank 10 give 3 each."""
    g = torch.Generator().manual_seed(18)
    matrix_KOI = torch.randn(3, 10, 14, dtype=torch.float64, generator=g)
    got = on.tsv(matrix_KOI, WEIGHT_K).numpy()
    _close(got, _tsv(list(matrix_KOI.numpy()), WEIGHT_K))
    assert np.linalg.matrix_rank(got) == 9
    with pytest.raises(ValueError, match="no more matrices than singular values"):
        on.tsv(matrix_KOI[:, :2], WEIGHT_K)


def test_tsv_of_orthogonal_adapters_is_their_weighted_sum():
    eye = torch.eye(12, dtype=torch.float64)
    sizes = torch.tensor([3.0, 2, 1.5, 1], dtype=torch.float64)[:, None]
    a = torch.stack([eye[:4], eye[4:8]]) * sizes
    updates = Updates(a, torch.stack([eye[:, 6:10], eye[:, 2:6]]), torch.ones(2).double())
    weight_K = _weights(0.7, 0.3)
    _close(_merge("core-tsv", updates, weight_K), _merge("linear", updates, weight_K))


# -- how much the choices matter


def test_what_a_space_changes():
    """At two adapters of rank 16.

    TIES looks at entries, so it sees the space. Iso-C and TSV look at singular vectors, so they do
    not, unless those of zero singular values count, as in the published codes on dense matrices.
    """
    updates = _updates(19, count=2, rank=16, outputs=96, inputs=128)
    half, core, deltas = _weights(0.5, 0.5), updates.core, _deltas(updates)
    in_core, in_full = (
        {
            "iso": lift(on.iso_c(matrices, half)),
            "tsv": lift(on.tsv(matrices, half)),
            "ties": lift(on.ties(matrices, half, 0.2)),
        }
        for lift, matrices in (
            (lambda m: (core.up_OQ @ m @ core.down_QI).numpy(), core.core_KQQ),
            (lambda m: m.numpy(), torch.tensor(np.stack(deltas))),
        )
    )
    _close(in_core["iso"], in_full["iso"])
    _close(in_core["tsv"], in_full["tsv"])
    assert _apart(in_core["ties"], in_full["ties"]) > 1 / 3
    assert _apart(in_core["iso"], _iso(sum(deltas) / 2)) > 1
    assert _apart(in_core["tsv"], _tsv(deltas, [0.5, 0.5])) > 1 / 3


@pytest.mark.parametrize("name", NONLINEAR)
def test_a_rule_that_is_not_linear_is_no_gate(name):
    """As the first weight goes to 1, the result does not go to the first adapter; a sum does."""
    updates = _updates(20, count=2, rank=16, outputs=96, inputs=96)
    almost = _weights(1 - 1e-6, 1e-6)
    first = _deltas(updates)[0]
    assert _apart(_merge(name, updates, almost), first) > 0.1
    assert _apart(_merge("linear", updates, almost), first) < 1e-5


# -- the table and the two towers


def test_weights_of_linear_rules_per_row():
    weight_BK = torch.tensor([[0.75, 0.25], [0.5, 0.5]])

    def weigh(name, scale=1.0):
        assert MERGES[name].linear
        return MERGES[name].weigh(weight_BK, scale).tolist()

    assert weigh("none", 3.0) == [[1, 0], [1, 0]]
    assert weigh("linear", 2.0) == [[1.5, 0.5], [1, 1]]
    assert weigh("uniform", 2.0) == [[1, 1], [1, 1]]
    assert weigh("ta", 0.25) == [[0.25, 0.25], [0.25, 0.25]]
    assert set(MERGES) == {"none", "linear", "uniform", "ta", "dare-ties", "iso-c", *IN_CORE}
    assert len(IN_CORE) == 4


@torch.no_grad()
@pytest.mark.parametrize("name", MERGES)
def test_deltas_in_a_backbone_are_the_merged_weights(name, clip):
    """Per site, `merged_deltas` adds what `merge` says; a linear rule is `weighted_deltas`."""
    bank = [adapter.double() for adapter in _bank(clip)[:2]]
    weight_K, rule = _weights(0.7, 0.3), MERGES[name]
    sites = site_updates(bank, [5, 6])
    deltas = merged_deltas(rule, sites, weight_K, 0.8, 0.5)
    pixels = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0)).double()
    clip.double()
    with clip.adapted(deltas, PROJECTIONS):
        got = clip.image_tower(clip.embed_image(pixels))
    if rule.linear:
        index_BK = torch.tensor([[0, 1], [0, 1]])
        weight_BK = rule.weigh(weight_K.expand(2, 2), 0.8)
        with clip.adapted(weighted_deltas(bank, index_BK, weight_BK), PROJECTIONS):
            again = clip.image_tower(clip.embed_image(pixels))
        assert_close(again, got, rtol=0, atol=1e-10)
    plain = clip.image_tower(clip.embed_image(pixels))
    for at, site in clip.sites(PROJECTIONS).items():
        site.weight.add_(torch.tensor(_merge(name, sites[at], weight_K, scale=0.8)))
    merged = clip.image_tower(clip.embed_image(pixels))
    assert_close(merged, got, rtol=0, atol=1e-10)
    assert float((merged - plain).abs().max()) > 1e-3


# -- hostile values


@pytest.mark.parametrize(
    "weights",
    [[0.5, 0.3], [0.5, 0.3, 0.1, 0.1], [0.5, 0.5, 0.5], [1.2, -0.1, -0.1], [float("nan")] * 3, []],
)
@pytest.mark.parametrize("name", ["linear", "ta", "core-tsv", "iso-c"])
def test_weights_that_mean_nothing(weights, name):
    with pytest.raises(ValueError, match="3 weights of at least 0 with sum 1"):
        merge(MERGES[name], _updates(), torch.tensor(weights))


@pytest.mark.parametrize(
    ("scale", "density"),
    [(0.0, 0.5), (-1.0, 0.5), (float("inf"), 0.5), (float("nan"), 0.5), (1.0, 0.0), (1.0, 1.1)],
)
def test_settings_that_mean_nothing(scale, density):
    with pytest.raises(ValueError, match="a scale above 0"):
        merge(MERGES["dare-ties"], _updates(), WEIGHT_K, scale, density)
    with pytest.raises(BenchError, match="density in"):
        check_merge("dare-ties", scale, density)


def test_masks_need_seeds():
    bare = replace(_updates(), seed_K=None)
    for name in ("dare-ties", "core-dare-ties"):
        with pytest.raises(ValueError, match="a seed per adapter"):
            merge(MERGES[name], bare, WEIGHT_K)


def test_factors_that_do_not_fit():
    good = _updates()
    bad = [
        {"a_KRI": good.a_KRI[:2]},
        {"a_KRI": good.a_KRI[:, :3]},
        {"a_KRI": good.a_KRI[0]},
        {"b_KOR": good.b_KOR.transpose(1, 2)},
        {"scale_K": good.scale_K[:1]},
        {"scale_K": torch.tensor(2.0)},
        {"seed_K": (1, 2)},
        {"seed_K": ()},
        {"a_KRI": good.a_KRI[:, :0], "b_KOR": good.b_KOR[:, :, :0]},
    ]
    for change in bad:
        with pytest.raises(ValueError, match=r"expected \(K, R, I\)"):
            replace(good, **change)
    for field in ("a_KRI", "b_KOR", "scale_K"):
        broken = getattr(good, field).clone()
        broken.flatten()[0] = float("nan")
        with pytest.raises(ValueError, match="finite"):
            replace(good, **{field: broken})


def test_settings_that_a_merge_would_ignore_are_refused():
    for name in MERGES:
        check_merge(name, 1.0, 0.5)
    for name, rule in MERGES.items():
        if name == "none":
            with pytest.raises(BenchError, match="where they are not read"):
                check_merge(name, 0.5, 0.5)
        else:
            check_merge(name, 0.5, 0.5)
        if rule.sparse:
            check_merge(name, 1.0, 0.3)
        else:
            with pytest.raises(BenchError, match="where they are not read"):
                check_merge(name, 1.0, 0.3)
    with pytest.raises(BenchError, match="did you mean 'core-iso-c'"):
        check_merge("core-iso", 1.0, 0.5)
