"""Auto-encoders of a task's features: errors, limits and training by hand, and who goes where."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.testing import assert_close

from benchmark.toolkit.autoencoders import (
    AutoEncoder,
    AutoEncoders,
    _drawn,
    _fitted,
    add_together,
)

DIM = 16
STEPS = 100  # enough for three clusters
NAMES = ("down_HD", "down_H", "up_DH", "up_D")


def _seed(n=0):
    return torch.Generator().manual_seed(n)


def _cluster(center, n, spread=0.15):
    """Unit rows around a unit vector; a different one for every number."""
    g = _seed(100 + center)
    middle = F.normalize(torch.randn(DIM, generator=g), dim=0)
    return F.normalize(middle + spread * torch.randn(n, DIM, generator=g), dim=1)


@pytest.fixture(scope="module")
def three():
    """Routers of three clusters, and what they were trained on."""
    routers, data = AutoEncoders(STEPS), [_cluster(i, 90) for i in range(3)]
    for i, rows in enumerate(data):
        routers.add(rows, _seed(i))
    return routers, data


def _error(state, z_ND):
    """Formulas of the docstrings, in numpy."""
    z = z_ND.numpy().astype(np.float64)
    w, b, v, c = (state[name].numpy().astype(np.float64) for name in NAMES)
    x = 1 / (1 + np.exp(-z * np.sqrt(z.shape[1])))
    h = np.maximum(x @ w.T + b, 0)
    y = 1 / (1 + np.exp(-(h @ v.T + c)))
    return ((y - x) ** 2).mean(axis=1)


def test_errors_and_limits_by_hand(three):
    routers, data = three
    every = torch.cat([*data, _cluster(7, 20)])
    error_BT = routers.errors(every)
    assert error_BT.shape == (290, 3)
    assert error_BT.dtype == torch.float32
    for t, coder in enumerate(routers):
        assert_close(error_BT[:, t].numpy(), _error(coder.state_dict(), every).astype("f4"))


# -- one auto-encoder after the other, to which fitting all at once is held


def _alone(rows, generator, steps):
    """One auto-encoder trained by itself, in the precision of its features."""
    dim = rows.shape[1]

    def drawn(fan_in, *shape):
        start = torch.empty(shape).uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=generator)
        return start.to(rows.dtype).requires_grad_()

    params = [drawn(dim, 100, dim), drawn(dim, 100), drawn(100, dim, 100), drawn(100, dim)]
    adam, order = torch.optim.Adam(params, 3e-3, weight_decay=1e-4), list[int]()
    for _ in range(steps):
        order = order or torch.randperm(len(rows), generator=generator).tolist()
        x = torch.sigmoid(rows[order[:64]] * dim**0.5)
        order = order[64:]
        again = F.linear(F.linear(x, *params[:2]).relu(), *params[2:]).sigmoid()
        adam.zero_grad()
        F.mse_loss(again, x).backward()
        adam.step()
    return {name: p.detach() for name, p in zip(NAMES, params, strict=True)}


def _cross_fitted(rows, generator, steps):
    """The auto-encoder of all items, those without a fold, and each item's held-out error."""
    whole, n = _alone(rows, generator, steps), len(rows)
    order = torch.randperm(n, generator=generator).tolist()
    size = -(-n // 5)
    states, errors = [whole], []
    for start in range(0, n, size):
        out = order[start : start + size]
        rest = [*order[:start], *order[start + size :]] or out
        states.append(_alone(rows[rest], generator, steps))
        errors.append(_error(states[-1], rows[out]))
    return states, np.concatenate(errors)


SIZES = [(150, 41), (64, 65), (7, 1), (2, 130)]  # images and texts; a step takes at most 64


@pytest.mark.parametrize("sizes", SIZES)
def test_all_at_once_is_one_after_the_other(sizes):
    """In float64, where rounding is too small to turn a hidden unit on or off."""
    rows = [_cluster(i, n).double() for i, n in enumerate(sizes)]
    drawn = [_drawn(25, x, _seed(i)) for i, x in enumerate(rows)]
    for fits, _ in drawn:
        for fit in fits:
            fit.coder.double()
    got = iter(_fitted(rows, [fits for fits, _ in drawn]))
    for i, x in enumerate(rows):
        for state in _cross_fitted(x, _seed(i), 25)[0]:
            for name, p in next(got).named_parameters():
                assert_close(p, state[name], rtol=0, atol=1e-10)
    assert next(got, None) is None


@pytest.mark.parametrize("sizes", SIZES)
def test_errors_and_limits_are_those_of_one_after_the_other(sizes):
    rows = [_cluster(i, n) for i, n in enumerate(sizes)]
    routers = [AutoEncoders(25, 0.75) for _ in sizes]
    add_together([(r, x, _seed(i)) for i, (r, x) in enumerate(zip(routers, rows, strict=True))])
    fresh = _cluster(7, 20)
    for i, (router, x) in enumerate(zip(routers, rows, strict=True)):
        states, errors = _cross_fitted(x, _seed(i), 25)
        want = torch.from_numpy(_error(states[0], fresh)).float()
        assert_close(router.errors(fresh)[:, 0], want, rtol=1e-5, atol=0)
        assert float(router.limit_T[0]) == pytest.approx(np.quantile(errors, 0.75), rel=1e-5)


@pytest.mark.parametrize(("quantile", "count"), [(0.5, 41), (1.0, 41), (0.75, 3), (1.0, 1)])
def test_a_limit_is_a_quantile_of_errors_of_items_that_were_held_out(quantile, count):
    """Each item's by a coder of all items but its fold; a single item's by its own."""
    rows = _cluster(0, count)
    routers = AutoEncoders(30, quantile)
    routers.add(rows, _seed())
    _, errors = _cross_fitted(rows, _seed(), 30)
    assert len(errors) == count
    assert float(routers.limit_T[0]) == pytest.approx(np.quantile(errors, quantile), rel=1e-5)


def test_a_task_has_one_fit():
    """Of images and texts, and of all folds: as many optimiser steps as one alone."""
    steps = []

    def noted(optimizer, *_):
        steps.append(sum(p.numel() for group in optimizer.param_groups for p in group["params"]))

    handle = register_optimizer_step_post_hook(noted)
    try:
        add_together([(AutoEncoders(4), _cluster(0, n), _seed(n)) for n in (20, 3)])
    finally:
        handle.remove()
    one = sum(p.numel() for p in AutoEncoder(DIM, _seed()).parameters())
    assert steps == [(1 + 5 + 1 + 3) * one] * 4


def test_what_was_fitted_is_taken_under_all_that_it_depends_on():
    """Bit for bit, and the seed is drawn from as ever."""
    kept: dict[str, dict[str, torch.Tensor]] = {}
    fitted = []

    def once(key, compute):
        if key not in kept:
            fitted.append(key)
            kept[key] = {name: x.clone() for name, x in compute().items()}
        return kept[key]

    def add(count=70, seed=3, steps=5, shift=0.0):
        routers, generator = AutoEncoders(steps), _seed(seed)
        add_together([(routers, _cluster(0, count) + shift, generator)], once)
        return routers.state_dict(), generator.get_state()

    (first, drawn), (again, drawn_again) = add(), add()
    assert len(fitted) == 1
    assert drawn.equal(drawn_again)
    assert all(first[name].equal(value) for name, value in again.items())
    plain = AutoEncoders(5)
    plain.add(_cluster(0, 70), _seed(3))
    assert all(first[name].equal(value) for name, value in plain.state_dict().items())
    for change in ({"count": 71}, {"seed": 4}, {"steps": 6}, {"shift": 1e-6}):
        add(**change)
    assert len(fitted) == 5


def test_new_items_of_a_small_task_are_its_own():
    """Five shots of ten classes in CLIP's dimension: their training errors say too little."""
    g = _seed(4)
    center_CD = torch.randn(10, 512, generator=g)
    drawn = center_CD.repeat(25, 1) + 0.8 * torch.randn(250, 512, generator=g)
    rows = F.normalize(drawn, dim=1)
    routers = AutoEncoders(STEPS)
    routers.add(rows[:50], _seed())
    own = routers.errors(rows[:50])[:, 0].quantile(0.99)
    fresh = routers.errors(rows[50:])[:, 0]
    assert (fresh > own).float().mean() > 0.5, "by its training errors, most were strangers"
    assert (routers.route(rows[50:]) == 0).float().mean() >= 0.9
    stranger = F.normalize(torch.randn(50, 512, generator=g), dim=1)
    assert (routers.route(stranger) == -1).float().mean() >= 0.9


def test_training_is_adam_with_an_l2_penalty():
    """Ten features are one batch, so that their order changes rounding alone."""
    rows, steps = _cluster(0, 10), 6
    routers = AutoEncoders(steps)
    routers.add(rows, _seed(5))
    start = AutoEncoder(DIM, _seed(5)).double()
    params = [p.detach().clone() for p in start.parameters()]
    first, second = [torch.zeros_like(p) for p in params], [torch.zeros_like(p) for p in params]
    x = torch.sigmoid(rows.double() * DIM**0.5)
    for step in range(1, steps + 1):
        leaves = [p.requires_grad_() for p in params]
        h = torch.relu(x @ leaves[0].T + leaves[1])
        loss = (torch.sigmoid(h @ leaves[2].T + leaves[3]) - x).pow(2).mean()
        grads = torch.autograd.grad(loss, leaves)
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            g = g + 1e-4 * p.detach()
            first[i] = 0.9 * first[i] + 0.1 * g
            second[i] = 0.999 * second[i] + 0.001 * g * g
            m, v = first[i] / (1 - 0.9**step), second[i] / (1 - 0.999**step)
            params[i] = p.detach() - 3e-3 * m / (v.sqrt() + 1e-8)
    for p, q in zip(routers[0].parameters(), params, strict=True):
        assert_close(p.double(), q, rtol=0, atol=2e-5)
    up_DH = routers[0].get_parameter("up_DH").double()
    assert not torch.allclose(up_DH, start.get_parameter("up_DH"), atol=1e-2)


def test_every_feature_is_seen_in_every_epoch():
    """More features than a batch holds, and steps that end inside an epoch."""
    (whole, *folds), parts = _drawn(5, _cluster(0, 150), _seed())
    assert [int((rows >= 0).sum()) for rows in whole.rows_SB] == [64, 64, 22, 64, 64]
    first, again = whole.rows_SB[:3], whole.rows_SB[3:]
    assert first[first >= 0].sort().values.tolist() == list(range(150))
    assert not first[:2].equal(again)
    for fold, part in zip(folds, parts, strict=True):
        assert [int((rows >= 0).sum()) for rows in fold.rows_SB] == [64, 56, 64, 56, 64]
        seen = fold.rows_SB[:2]
        assert set(seen[seen >= 0].tolist()) == set(range(150)) - set(part.tolist())
    assert torch.cat(parts).sort().values.tolist() == list(range(150))


@torch.no_grad()
def test_training_has_one_seed_and_leaves_no_trace(three):
    """Also where gradients are off."""
    routers, data = three
    before = torch.get_rng_state()
    again = AutoEncoders(STEPS)
    again.add(data[0], _seed(0))
    assert before.equal(torch.get_rng_state())
    state, mine = routers.state_dict(), again.state_dict()
    assert (len(state), len(mine)) == (3 * 4 + 1, 4 + 1)
    assert mine.pop("limit_T").equal(state["limit_T"][:1])
    assert all(v.equal(state[k]) for k, v in mine.items())
    assert not any(p.requires_grad for p in again.parameters())
    assert all(p.grad is None for p in again.parameters())
    other = AutoEncoders(STEPS)
    other.add(data[0], _seed(1))
    assert not other[0].get_parameter("down_HD").equal(again[0].get_parameter("down_HD"))


def test_each_goes_to_its_own_and_strangers_nowhere(three):
    routers, data = three
    for t, rows in enumerate(data):
        route_B = routers.route(rows)
        assert int((route_B == t).sum()) >= 88
        assert set(route_B.tolist()) <= {t, -1}
    fresh = torch.cat([_cluster(t, 300)[200:] for t in range(3)])
    taken = routers.route(fresh)
    own = torch.arange(3).repeat_interleave(100)
    assert int((taken[taken != own] >= 0).sum()) <= 3  # of 300 taken for another task's
    assert (taken == own).float().mean() >= 0.9
    for stranger in (7, 8, 9):
        assert (routers.route(_cluster(stranger, 50)) == -1).float().mean() >= 0.9


def test_an_item_goes_to_the_smallest_error_or_nowhere(three):
    """Also where that task refuses it and another, with a larger error, would not."""
    routers, data = three
    every = torch.cat([*data, _cluster(7, 20)])
    kept = routers.limit_T.clone()
    try:
        routers.limit_T = torch.tensor([0.0, float(kept[1]), 9.0])
        error = routers.errors(every).tolist()
        want = []
        for row in error:
            best = min(range(3), key=row.__getitem__)
            want.append(best if row[best] <= float(routers.limit_T[best]) else -1)
        assert routers.route(every).tolist() == want
        assert set(want) == {-1, 1, 2}
    finally:
        routers.limit_T = kept


def test_a_route_does_not_depend_on_the_batch(three):
    routers, data = three
    every = torch.cat([*data, _cluster(7, 20)])
    p = torch.randperm(len(every), generator=_seed(3))
    whole = routers.errors(every), routers.route(every)
    for rows in (p, p[:100], p[:7]):
        assert routers.errors(every[rows]).equal(whole[0][rows])
        assert routers.route(every[rows]).equal(whole[1][rows])
    single = [routers.route(every[i : i + 1]) for i in range(0, 290, 13)]
    assert torch.cat(single).equal(whole[1][::13])


def test_together_is_one_decision_by_the_mean(three):
    routers, data = three
    mixed = torch.cat([data[1][:30], data[2][:10]])
    mean_T = np.mean([_error(c.state_dict(), mixed) for c in routers], axis=1)
    best = int(mean_T.argmin())
    want = best if mean_T[best] <= float(routers.limit_T[best]) else -1
    assert routers.route(mixed, together=True).tolist() == [want] * 40
    assert routers.route(data[1], together=True).tolist() == [1] * 90
    among = torch.cat([data[1], _cluster(8, 1)])
    assert routers.route(among).tolist() == [1] * 90 + [-1], "alone, a stranger is refused"
    assert routers.route(among, together=True).tolist() == [1] * 91
    assert routers.route(_cluster(8, 5), together=True).tolist() == [-1] * 5
