"""Domain routers: a task's features, the rows of routed items, and their classifier."""

import pandas as pd
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from benchmark.cli.listing import _routes
from benchmark.protocol.badges import UNSEEN
from benchmark.protocol.types import Classes, Context, Images, Texts
from benchmark.toolkit.autoencoder_routers import (
    Router,
    by_own_route,
    frozen_features,
    routed_classifier,
)


def _rows(seed, n):
    """Unit rows."""
    return F.normalize(torch.randn(n, 16, generator=torch.Generator().manual_seed(seed)), dim=1)


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
    texts, owner = _rows(1, 4), torch.tensor([0, 0, 1, 2])
    prompts, calls = Texts(torch.zeros(4, 3, dtype=torch.int64), lambda: texts), []

    def encode(items, route):
        calls.append((type(items).__name__, route))
        return F.normalize(items.frozen().roll(route, dims=1), dim=1)

    classes = Classes(("a", "b", "c"), prompts, owner, torch.full((3,), -1))
    routes = torch.tensor([3, -1, 3, 0, 3])
    x = _rows(2, 5)
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
