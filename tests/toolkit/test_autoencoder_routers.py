"""Domain routers: errors, limits and training by hand, and who goes where."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from benchmark.cli.listing import _routes
from benchmark.protocol.badges import UNSEEN
from benchmark.protocol.types import Classes, Context, Images, Texts
from benchmark.toolkit.autoencoder_routers import (
    AutoEncoder,
    AutoEncoders,
    Router,
    by_own_route,
    frozen_features,
    routed_classifier,
)

DIM = 16
STEPS = 100  # enough for three clusters


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
    names = ("down_HD", "down_H", "up_DH", "up_D")
    w, b, v, c = (state[name].numpy().astype(np.float64) for name in names)
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


@pytest.mark.parametrize(("quantile", "count"), [(0.5, 41), (1.0, 41), (0.75, 3), (1.0, 1)])
def test_a_limit_is_a_quantile_of_errors_of_items_that_were_held_out(quantile, count, monkeypatch):
    """Each item's by a coder of all items but its fold; a single item's by its own."""
    rows, trained = _cluster(0, count), []
    real = AutoEncoders._trained

    def noted(self, feature_ND, generator):
        coder = real(self, feature_ND, generator)
        trained.append((feature_ND, coder))
        return coder

    monkeypatch.setattr(AutoEncoders, "_trained", noted)
    routers = AutoEncoders(30, quantile)
    routers.add(rows, _seed())
    assert trained[0][0].equal(rows)
    assert trained[0][1] is routers[0]
    errors = []
    for fitted, coder in trained[1:]:
        known = {tuple(row) for row in fitted.tolist()}
        out = torch.stack([r for r in rows if tuple(r.tolist()) not in known or count == 1])
        assert len(out) + len(fitted) == count or count == 1
        errors.append(_error(coder.state_dict(), out))
    assert [len(e) for e in errors] == ([9, 9, 9, 9, 5] if count == 41 else [1] * count)
    want = np.quantile(np.concatenate(errors), quantile)
    assert float(routers.limit_T[0]) == pytest.approx(want, rel=1e-5)


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


def test_every_feature_is_seen_in_every_epoch(monkeypatch):
    """More features than a batch holds, and steps that end inside an epoch."""
    seen = []
    real = AutoEncoder.forward

    def forward(self, x_BD):
        seen.append(x_BD.detach())
        return real(self, x_BD)

    monkeypatch.setattr(AutoEncoder, "forward", forward)
    AutoEncoders(5).add(_cluster(0, 150), _seed())
    assert [len(x) for x in seen[:5]] == [64, 64, 22, 64, 64]
    assert [len(x) for x in seen[5:11]] == [64, 56, 64, 56, 64, 30]  # of a fold, and its errors
    assert len(torch.cat(seen[:3]).unique(dim=0)) == 150
    assert not torch.cat(seen[:2]).equal(torch.cat(seen[3:5]))


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


# -- what goes with routes


def test_features_of_a_task(lab, captioned):
    feed = lab.feed(lab.clip())
    task = lab.task(feed, captioned, 0, 1)
    got = frozen_features(task)
    assert got["image"].equal(feed.frozen.images(captioned.pixels, captioned.pixel_key))
    assert got["text"].equal(feed.frozen.texts(captioned.tokens_ML, captioned.text_key))
    assert len(got["text"]) > len(got["image"])
    data = lab.labelled[0]
    task = lab.task(feed, data, 0, 1)
    got = frozen_features(task)
    assert got["image"].equal(feed.frozen.images(data.pixels, data.pixel_key))
    assert got["text"].equal(task.classes.prompts.frozen())
    assert len(got["text"]) == len(data.names) < len(data)


def test_what_no_task_took_has_its_own_number():
    def never() -> torch.Tensor:
        raise AssertionError("features were asked for")

    seen, router = [], Router("oracle", 1, 1.0)
    for task in (3, -1):
        context = Context(lambda *logged: seen.append(logged), task)
        items = Images(torch.zeros(2, 3, 4, 4), never, context)
        assert router.route(items).tolist() == [task] * 2
    assert [(name, rows.tolist()) for name, rows in seen] == [
        ("route", [3, 3]), ("route", [UNSEEN, UNSEEN]),
    ]  # fmt: skip
    assert torch.iinfo(torch.int16).max == UNSEEN  # records count in 16 bits


def _images(rows_BD):
    return Images(rows_BD[:, :, None, None], lambda: rows_BD)


def _encoder(calls):
    """Rows that tell item and route."""

    def encode(items, route):
        calls.append((type(items).__name__, len(items), route))
        return items.frozen() * (route + 2)

    return encode


@pytest.mark.parametrize("route", [[2, 2, 2, 2], [1, -1, 1, 0], [-1, -1, 5, 5]])
def test_rows_come_back_in_their_order(route):
    calls: list[tuple[str, int, int]] = []
    x = torch.arange(8.0).reshape(4, 2)
    got = by_own_route(_images(x), torch.tensor(route), _encoder(calls))
    assert got.equal(x * (torch.tensor(route)[:, None] + 2))
    assert calls == [("Images", route.count(r), r) for r in sorted(set(route))]


def test_an_image_meets_the_texts_of_its_route():
    """Three classes, the first with two prompts; texts of a route are encoded once, and late."""
    texts, owner = _cluster(1, 4), torch.tensor([0, 0, 1, 2])
    prompts, calls = Texts(torch.zeros(4, 3, dtype=torch.int64), lambda: texts), []

    def encode(items, route):
        calls.append((type(items).__name__, route))
        return F.normalize(items.frozen().roll(route, dims=1), dim=1)

    classes = Classes(("a", "b", "c"), prompts, owner, torch.full((3,), -1))
    routes = torch.tensor([3, -1, 3, 0, 3])
    x = _cluster(2, 5)
    score = routed_classifier(classes, lambda _: routes, encode, torch.tensor(10.0))
    assert calls == []
    got = score(_images(x))
    for i, route in enumerate(routes.tolist()):
        class_CD = torch.stack(
            [F.normalize(texts.roll(route, 1)[owner == c].sum(dim=0), dim=0) for c in range(3)]
        )
        want = 10 * (class_CD @ F.normalize(x[i].roll(route), dim=0))
        assert_close(got[i], want, rtol=1e-5, atol=1e-5)
    assert calls.count(("Texts", 3)) == calls.count(("Texts", -1)) == calls.count(("Texts", 0)) == 1
    assert score(_images(x)).equal(got)
    assert len([c for c in calls if c[0] == "Texts"]) == 3


def test_a_listing_names_the_unseen():
    row = {"metric": "route", "step": 2, "direction": "image", "task_order": "a,b"}
    rows = [
        row | {"eval_task": task, "k": k, "value": value}
        for task, k, value in (("a", 0, 0.9), ("a", UNSEEN, 0.1), ("b", 1, 1.0))
    ]
    (table,) = _routes(pd.DataFrame(rows))
    _, head, _, first, second = table.splitlines()
    assert head.split() == ["set", "a", "b", "unseen"]
    assert first.split() == ["a", "90.0", "0.0", "10.0"]
    assert second.split() == ["b", "0.0", "100.0", "0.0"]
