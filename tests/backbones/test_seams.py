"""What others build on: replaced weights, the length of texts, digests of what towers depend on."""

from copy import deepcopy
from itertools import count

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from benchmark.backbones import content
from benchmark.backbones.backbone import Tower
from benchmark.backbones.load import load
from benchmark.backbones.sites import MAPS, replaced
from benchmark.common import digests
from benchmark.run.train import Fit

TOWERS: tuple[Tower, Tower] = ("image", "text")


@pytest.fixture
def clip():
    return load("tiny-s", "bundled").double()


@pytest.fixture
def inputs(clip):
    g = torch.Generator().manual_seed(0)
    pixels = torch.randn(3, 3, 48, 48, generator=g, dtype=torch.float64)
    return pixels, clip.tokenize(["a red circle", "two small blue squares on the left", "a"])


def _rows(clip, inputs):
    pixels, tokens = inputs
    return clip.image(pixels), clip.text(tokens)


def _moved(sites, scale=0.03):
    g = torch.Generator().manual_seed(1)
    noise = {n: torch.randn(s.weight.shape, generator=g).double() for n, s in sites.items()}
    return {n: s.weight.detach() + scale * noise[n] for n, s in sites.items()}


# -- replaced weights


def _replaced(clip, weights):
    sites = clip.sites(MAPS)
    return replaced({sites[name]: weight for name, weight in weights.items()})


@pytest.mark.parametrize("targets", [*((t,) for t in MAPS), MAPS], ids=lambda t: "+".join(t))
@torch.no_grad()
def test_replaced_weights_compute_as_changed_ones(targets, clip, inputs):
    before, versions = _rows(clip, inputs), [p._version for p in clip.parameters()]
    new = _moved(clip.sites(targets))
    with _replaced(clip, new):
        found = _rows(clip, inputs)
    for again, plain in zip(_rows(clip, inputs), before, strict=True):
        assert again.equal(plain)
    assert [p._version for p in clip.parameters()] == versions
    for name, site in clip.sites(targets).items():
        site.weight.copy_(new[name])
    for got, wanted, plain in zip(found, _rows(clip, inputs), before, strict=True):
        assert_close(got, wanted, rtol=0, atol=1e-6)
        assert not torch.allclose(got, plain, atol=1e-3)


@torch.no_grad()
def test_replaced_keeps_deltas_nests_and_ends_after_an_error(clip, inputs):
    name = "image.3.attn.v"
    site = clip.sites(MAPS)[name]
    change = torch.full_like(site.weight, 0.01).tril()
    new = {name: site.weight + change}
    plain = _rows(clip, inputs)[0]
    with clip.adapted({name: lambda x: x @ change.T}, ("attn.v",)):
        once = _rows(clip, inputs)[0]
        with _replaced(clip, new):
            twice = _rows(clip, inputs)[0]
            with _replaced(clip, {name: site.weight}):
                assert_close(_rows(clip, inputs)[0], once, rtol=0, atol=1e-7)
            assert _rows(clip, inputs)[0].equal(twice)
        with pytest.raises(ZeroDivisionError), _replaced(clip, new):
            raise ZeroDivisionError
        assert _rows(clip, inputs)[0].equal(once)
    with _replaced(clip, {name: site.weight + 2 * change}):
        assert_close(_rows(clip, inputs)[0], twice, rtol=0, atol=1e-6)
    assert _rows(clip, inputs)[0].equal(plain)


@pytest.mark.parametrize("chunks", [1, 3])
def test_gradients_reach_the_weights_that_stand_in(chunks, clip, inputs):
    """Also when the towers run again in `backward`, after the end of the context."""
    clip.chunks = chunks
    sites = clip.sites(("attn.k", "mlp.c_fc"))
    new = {n: nn.Parameter(w) for n, w in _moved(sites).items()}
    with _replaced(clip, new):
        loss = sum((x * torch.linspace(-1, 1, 128)).sum() for x in _rows(clip, inputs))
    loss.backward()
    for name, site in sites.items():
        reached = new[name].grad
        assert reached is not None, name
        assert reached.any(), name
        own = getattr(site._owner[0], site._names[0]).grad
        assert own is None or not own[site._rows].any(), name


# -- the length of texts


def test_texts_are_cut_at_few_lengths_and_at_the_longest_where_gradients_are_kept(clip):
    lengths = range(1, clip.context + 1)
    with torch.no_grad():
        found = [clip.text_length(n) for n in lengths]
    assert all(n <= cut <= clip.context for n, cut in zip(lengths, found, strict=True))
    assert found == sorted(found)
    assert len(set(found)) <= clip.context / 4 + 1
    assert [clip.text_length(n) for n in lengths] == list(lengths)
    tokens = clip.tokenize(["a red circle"])
    longest = int(clip.end_of_text(tokens)[0]) + 1
    assert clip.embed_text(tokens).shape[1] == longest
    with torch.no_grad():
        assert clip.embed_text(tokens).shape[1] == clip.text_length(longest)


# -- digests


@torch.no_grad()
def test_a_digest_changes_with_every_parameter_of_its_tower_and_with_no_other():
    clip = load("tiny-s", "bundled")
    seen: dict[Tower, set[str]] = {t: {clip.digest(t)} for t in TOWERS}
    both = {clip.digest()}
    for name, p in clip.named_parameters():
        if name == "logit_scale":
            continue
        mine, other = TOWERS if name.startswith("visual.") else reversed(TOWERS)
        before = clip.digest(other)
        p.view(-1)[-1].add_(1)
        seen[mine].add(clip.digest(mine))
        both.add(clip.digest())
        assert clip.digest(other) == before, name
    count = len(list(clip.parameters())) - 1
    assert len(seen["image"]) + len(seen["text"]) == count + 2
    assert len(both) == count + 1
    assert not seen["image"] & seen["text"]


@torch.no_grad()
def test_equal_weights_have_one_digest_and_a_changed_copy_another():
    clip, again = load("tiny-s", "bundled"), load("tiny-s", "bundled")
    first = clip.digest()
    twin = deepcopy(clip)
    assert first == again.digest() == twin.digest()
    twin.weights()[0].view(-1)[0] += 1
    assert twin.digest() != first == clip.digest()
    clip.precision = "bf16"
    assert clip.digest() != first


@torch.no_grad()
def test_a_write_without_a_trace_is_seen_once_the_mode_changes():
    clip = load("tiny-s", "bundled")
    first = clip.train().digest()
    clip.weights()[-1].data.view(-1)[0] += 1
    assert clip.eval().digest() != first


def test_a_digest_is_computed_once(monkeypatch):
    clip, read, bytes_read = load("tiny-s", "bundled"), digests.tensor_digest, count()
    monkeypatch.setattr(content, "tensor_digest", lambda parts: (next(bytes_read), read(parts))[1])
    first = clip.digest()
    assert clip.digest("image") != clip.digest("text")
    assert clip.eval().digest() == first
    assert next(bytes_read) == 2


def test_another_tensor_in_the_same_place_has_a_digest_of_its_own():
    """What is computed anew each time may lie where its predecessor lay, with as many writes."""
    known, a = content.Content(), torch.zeros(8, 64)
    found = {(a.add_(1), known.digest("w", {"w": torch.ones(64, 8) @ a}))[1] for _ in range(5)}
    assert len(found) == 5
    whole = torch.arange(64.0).view(8, 8)
    views = (whole[:2], whole[:4], whole[:4].T, whole[:2].T, whole.view(torch.int32)[:2])
    assert len({known.digest("w", {"w": view}) for view in views}) == 5


def test_writes_without_a_trace_are_seen_after_forget_all():
    known, a = content.Content(), torch.zeros(4)
    first = known.digest("a", {"a": a})
    a.data.add_(1)
    assert known.digest("a", {"a": a}) == first
    content.forget_all()
    second = known.digest("a", {"a": a})
    assert second != first == content.Content().digest("a", {"a": torch.zeros(4)})
    with torch.inference_mode():
        b = torch.ones(4)
    assert known.digest("a", {"a": b}) == second
    with torch.inference_mode():
        b.add_(1)
    assert known.digest("a", {"a": b}) != second


def test_a_fused_step_leaves_a_trace(lab):
    """AdamW's fused step writes past torch's counters: what is kept by them would be stale."""
    feed = lab.feed(lab.clip())
    method = lab.method("ft", feed)
    fit = Fit(method, lab.task(feed, lab.pairs[0], 0, 1), lab.recipe, (0,))
    seen = [method.train().clip.digest()]
    fit.run(lambda *_: seen.append(method.clip.digest()))
    assert len(set(seen)) == len(seen) > 2
