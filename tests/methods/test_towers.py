"""Targets that name a tower, in every method that has targets: what changes, and how it is told."""

import random
from dataclasses import fields
from typing import Any

import pytest
import torch
from known import known
from torch.testing import assert_close

from benchmark.backbones.backbone import Backbone
from benchmark.backbones.sites import MAPS, Delta, of_towers, shortest
from benchmark.errors import BenchError
from benchmark.protocol.config import parse_setting
from benchmark.run.registry import find_method, method_names
from benchmark.toolkit.lora import LoRA
from benchmark.toolkit.merging.bank import Bank

NAMES = [
    name
    for name, origin in method_names().items()
    if origin.startswith("methods/")
    and "targets" in {field.name for field in fields(known(name).config)}
]
QUICK = ("dar", "codyra")  # one adapter that stays, one update that is merged
ALL = [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in NAMES]
SMALL: dict[str, Any] = {"router_steps": 5, "hidden": 40, "rank": 2}
SOME = ("text.mlp.c_fc", "image.attn.q")


def _small(name: str) -> dict[str, Any]:
    return {k: v for k, v in SMALL.items() if hasattr(known(name).config, k)}


def _is_named(site: str) -> bool:
    """By the words of the site alone: "image.3.attn.q"."""
    tower, _, name = site.split(".", 2)
    return f"{tower}.{name}" in SOME


def test_the_methods_with_targets_are_found() -> None:
    assert {"codyra", "codyra-plus", "lora", "lora-ft", "dar", "c-clip"} <= {*NAMES}


@pytest.mark.parametrize("name", ALL)
def test_only_what_is_named_learns(name: str, lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where deltas act, which of them get a gradient, and which weights are others at the end."""
    feed = lab.feed(lab.clip())
    method = lab.method(name, feed, targets=SOME, **_small(name))
    start = {n: s.weight.detach().clone() for n, s in feed.clip.sites(MAPS).items()}
    acted, deltas = set[str](), dict[str, Delta]()
    real = Backbone.adapted

    def watch(own: Backbone, those: Any, targets: tuple[str, ...]) -> Any:
        acted.update(those)
        deltas.update(those)
        return real(own, those, targets)

    monkeypatch.setattr(Backbone, "adapted", watch)
    task = lab.task(feed, lab.labelled[0], 0, 1)
    lab.before(method, task, lab.labelled[0])
    lab.fit(method, task, lab.labelled[0], 0, 1).run(lambda *_: None)
    sum(method.loss(next(iter(task.loader.epoch(0)))).values()).backward()
    assert acted == {n for n in start if _is_named(n)}
    for site, delta in deltas.items():
        owner: Any = getattr(delta, "adapter", None) or getattr(delta, "update", None)
        for factors in (owner.A, owner.B):
            assert float(factors[owner.names[site]].grad.abs().sum()) > 0, site
        assert owner.A.keys() == owner.B.keys() == {owner.names[n] for n in acted}
    lab.after(method, task, lab.labelled[0])
    for site, weight in feed.clip.sites(MAPS).items():
        if not _is_named(site):
            assert weight.weight.equal(start[site]), site


@pytest.mark.parametrize("name", ALL)
def test_every_map_of_either_tower_is_the_default(name: str, lab: Any) -> None:
    """Bit for bit, in whatever order they are spelled out: state, and rows of test items."""
    config: Any = known(name).config
    spelled = of_towers(config.targets)
    random.Random(0).shuffle(spelled)
    runs = [
        lab.train(name, lab.labelled[:2], targets=targets, **_small(name)).method.eval()
        for targets in (tuple(spelled), config.targets)
    ]
    one, two = (run.state_dict() for run in runs)
    assert one.keys() == two.keys()
    assert all(v.equal(two[k]) for k, v in one.items())
    rows = [lab.embed(run, lab.feed(run.clip), lab.pairs[0]) for run in runs]
    assert all(x.equal(y) for x, y in zip(*rows, strict=True))


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        (("attn.q",), ("attn.q",)),
        (("text.attn.q", "image.attn.q"), ("attn.q",)),
        (("text.mlp.c_fc", "image.attn.q"), ("image.attn.q", "text.mlp.c_fc")),
        (("image.attn.q", "attn.k"), ("attn.k", "image.attn.q")),
        (tuple(reversed(of_towers(MAPS))), MAPS),
    ],
)
def test_the_same_maps_have_the_same_words(
    targets: tuple[str, ...], found: tuple[str, ...], clip: Backbone
) -> None:
    assert shortest(targets) == shortest(tuple(reversed(targets))) == found
    names = list(clip.sites(targets))
    assert names == list(clip.sites(found))
    assert names == [n for n in clip.sites(MAPS) if n in names]  # in model order


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("attn.q,image.attn.q", "each once"),
        ("text.attn.k,text.attn.k", "each once"),
        ("", "at least one"),
        ("image.atn.q", "did you mean 'image.attn.q'"),
        ("vision.attn.q", "did you mean"),
        ("image.mlp.parallel", "targets of attn.q"),
        ("image", "targets of attn.q"),
        ("image.image.attn.q", "did you mean"),
        ("image.3.attn.q", "did you mean"),
    ],
)
def test_what_names_no_map_or_one_twice_is_refused(name: str, text: str, said: str) -> None:
    assert parse_setting(tuple[str, ...], "targets", text) is not None
    with pytest.raises(BenchError, match="expected") as e:
        find_method(name, [f"targets={text}"])
    assert said in str(e.value)


@torch.no_grad()
def test_a_step_in_one_tower_leaves_the_other_as_it_was(lab: Any) -> None:
    start = lab.embed(lab.method("zs", lab.feed(lab.clip())), lab.feed(lab.clip()), lab.pairs[0])
    for i, tower in enumerate(("image", "text")):
        with torch.enable_grad():
            run = lab.train("codyra", lab.labelled[:1], targets=(f"{tower}.mlp.c_fc",), rank=2)
        rows = lab.embed(run.method, run.feed, lab.pairs[0])
        assert rows[1 - i].equal(start[1 - i])
        assert not rows[i].equal(start[i])


@torch.no_grad()
@pytest.mark.parametrize("tower", ["image", "text"])
def test_a_merged_bank_of_one_tower_is_merged_weights(tower: str, lab: Any) -> None:
    """Both kinds of rows of a bank whose adapters act on one tower; also by a rule of bases."""
    clip, bank, other = lab.clip(), Bank("linear", 1.0, 0.5, 4), Bank("core-tsv", 1.0, 0.5, 4)
    g = torch.Generator().manual_seed(0)
    for _ in range(2):
        adapter = LoRA(clip, (f"{tower}.attn.v", f"{tower}.mlp.c_proj"), 4, 8.0, 0.0, g)
        for b in adapter.B.values():
            b.copy_(torch.randn(b.shape, generator=g) / 20)
        bank.add(adapter.eval(), g)
        other.add(adapter, g)
    feed = lab.feed(clip)
    data = lab.pairs[0]
    texts = feed.texts(data.tokens_ML, data.text_key, torch.arange(5))
    items = feed.images(data, torch.arange(6)), texts
    model = lab.clip()
    for name, site in model.sites((f"{tower}.attn.v", f"{tower}.mlp.c_proj")).items():
        for t in range(2):
            a, b = bank.adapter(t).A[name.replace(".", "/")], bank.adapter(t).B
            site.weight.add_(0.5 * 2.0 * b[name.replace(".", "/")] @ a)
    wants = model.image(items[0].pixels_B3HW), model.text(items[1].tokens_ML)
    for some, want in zip(items, wants, strict=True):
        count = len(want)
        routes = torch.tensor([[0, 1]]).expand(count, 2), torch.full((count, 2), 0.5)
        assert_close(bank.encode(clip, some, *routes), want, rtol=0, atol=2e-6)
        mine = some is items[tower == "text"]
        assert torch.allclose(other.encode(clip, some, *routes), want, atol=2e-6) is not mine
