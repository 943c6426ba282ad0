"""L2P against one item at a time, written out from the formulas in float64; choice, pull, mask."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from benchmark.api import Texts, Tools
from benchmark.common.seeds import generator
from benchmark.errors import BenchError
from benchmark.protocol.types import Batch, Images
from benchmark.run.registry import find_method
from benchmark.run.state import checkpoint
from benchmark.run.state.checkpoint import Pristine
from methods.l2p import L2PConfig

CONTEXT, START, END = 77, 4094, 4095  # of the tiny models


def _noise(module, seed=0, size=0.1):
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            if p.ndim:
                p.add_(size * torch.randn(p.shape, generator=g))


@pytest.fixture(scope="module")
def wild(lab):
    """Settings -> a method whose every weight, prompt and key is far from its start."""

    def build(**changes):
        method = lab.method("l2p", lab.feed(lab.clip()), **changes)
        _noise(method, size=0.1)
        return method.eval()

    return build


def _unit(shape, seed):
    return F.normalize(torch.randn(shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def _caption(length, seed):
    """Ids of a caption of so many places, start and end included."""
    g = torch.Generator().manual_seed(seed)
    return [START, *torch.randint(1, START, (length - 2,), generator=g).tolist(), END]


def _texts(captions, query_MD):
    tokens_ML = torch.zeros(len(captions), CONTEXT, dtype=torch.int64)
    for row, ids in zip(tokens_ML, captions, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    return Texts(tokens_ML, lambda: query_MD)


# -- the reference: plain loops over one item, nothing of benchmark/backbones/backbone.py


def _block(state, at, x, heads, causal):
    """One residual block of a transformer with QuickGELU, (L, W) -> (L, W)."""

    def norm(name, y):
        return F.layer_norm(
            y, y.shape[-1:], state[f"{at}.{name}.weight"], state[f"{at}.{name}.bias"]
        )

    def linear(name, y, suffix="."):
        return y @ state[f"{at}.{name}{suffix}weight"].T + state[f"{at}.{name}{suffix}bias"]

    q, k, v = linear("attn.in_proj", norm("ln_1", x), "_").chunk(3, dim=1)
    size = q.shape[1] // heads
    outs = []
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        scores = q[:, part] @ k[:, part].T / math.sqrt(size)
        if causal:
            for i in range(len(x)):
                scores[i, i + 1 :] = -math.inf
        outs.append(scores.softmax(dim=1) @ v[:, part])
    x = x + linear("attn.out_proj", torch.cat(outs, dim=1))
    y = linear("mlp.c_fc", norm("ln_2", x))
    return x + linear("mlp.c_proj", y * torch.sigmoid(1.702 * y))


def _chosen(method, tower, query_D):
    """The prompts of an item as rows, by a sort in plain Python."""
    pool, k = method.pools[tower], method.config.top_k
    keys = pool.key_PD.detach().double()
    cosine = [float(query_D.double() @ key / key.norm()) for key in keys]
    order = sorted(range(len(keys)), key=lambda p: -cosine[p])[:k]
    return torch.cat([pool.prompt_PLW[p] for p in order]).double(), order, cosine


def _text_by_hand(method, ids, query_D):
    state = {k: v.double() for k, v in method.clip.state_dict().items()}
    prompts, _, _ = _chosen(method, "text", query_D)
    places = list(range(len(ids)))
    if method.config.text_room == "truncate":
        room = CONTEXT - len(prompts)
        ids = ids if len(ids) <= room else [*ids[: room - 1], END]
        places = [0, *(len(prompts) + i for i in range(1, len(ids)))]
    rows = [
        state["token_embedding.weight"][t] + state["positional_embedding"][p]
        for t, p in zip(ids, places, strict=False)
    ]
    x = torch.stack([rows[0], *prompts, *rows[1:]])
    for i in range(3):
        x = _block(state, f"transformer.resblocks.{i}", x, 4, True)
    last = F.layer_norm(x[-1], x[-1].shape, state["ln_final.weight"], state["ln_final.bias"])
    return F.normalize(last @ state["text_projection"], dim=0)


def _image_by_hand(method, pixels_3HW, query_D):
    state = {k: v.double() for k, v in method.clip.state_dict().items()}
    kernel, rows = state["visual.conv1.weight"].flatten(1), [state["visual.class_embedding"]]
    for top in range(0, 48, 12):
        for left in range(0, 48, 12):
            patch = pixels_3HW[:, top : top + 12, left : left + 12].double()
            rows.append(kernel @ patch.flatten())
    x = torch.stack(rows) + state["visual.positional_embedding"]
    x = F.layer_norm(x, x.shape[1:], state["visual.ln_pre.weight"], state["visual.ln_pre.bias"])
    x = torch.cat([x[:1], _chosen(method, "image", query_D)[0], x[1:]])
    for i in range(4):
        x = _block(state, f"visual.transformer.resblocks.{i}", x, 4, False)
    weight, bias = state["visual.ln_post.weight"], state["visual.ln_post.bias"]
    return F.normalize(F.layer_norm(x[0], x[0].shape, weight, bias) @ state["visual.proj"], dim=0)


# -- both towers


# With 25 prompt vectors, `truncate` leaves 52 places: exactly full, one less, one more.
LENGTHS = [2, 3, 12, 51, 52, 53, 76, 77]


@pytest.mark.parametrize("room", ["extend", "truncate"])
@torch.no_grad()
def test_texts_one_by_one_from_token_lists(room, wild):
    method = wild(text_room=room)
    captions, query_MD = [_caption(n, n) for n in LENGTHS], _unit((len(LENGTHS), 128), 5)
    got = method.encode_text(_texts(captions, query_MD))
    want = torch.stack(
        [_text_by_hand(method, c, q) for c, q in zip(captions, query_MD, strict=True)]
    )
    assert_close(got.double(), want, rtol=0, atol=2e-6)
    assert float((want @ want.T).fill_diagonal_(0).max()) < 0.999, "all alike: proves nothing"


@pytest.mark.parametrize("room", ["extend", "truncate"])
@torch.no_grad()
def test_a_text_longer_than_the_context(room, wild, lab):
    """The tokenizer cuts it and puts the end token back; what was cut has no say."""
    method, query = wild(text_room=room), _unit((1, 128), 5)
    words = " ".join(["a red circle above a blue square"] * 30)
    tokens = method.clip.tokenize([words, words + " and a star"])
    assert method.clip.end_of_text(tokens).tolist() == [76, 76]
    got = method.encode_text(Texts(tokens, lambda: query.expand(2, -1)))
    assert got[0].equal(got[1])
    assert_close(got[0].double(), _text_by_hand(method, tokens[0].tolist(), query[0]),
                 rtol=0, atol=2e-6)  # fmt: skip


@torch.no_grad()
def test_images_one_by_one_from_patches(wild):
    method, query_BD = wild(), _unit((4, 128), 6)
    pixels = torch.randn(4, 3, 48, 48, generator=torch.Generator().manual_seed(2))
    got = method.encode_image(Images(pixels, lambda: query_BD))
    want = [_image_by_hand(method, p, q) for p, q in zip(pixels, query_BD, strict=True)]
    assert_close(got.double(), torch.stack(want), rtol=0, atol=2e-6)


@pytest.mark.parametrize("room", ["extend", "truncate"])
@torch.no_grad()
def test_a_long_neighbour_changes_no_short_text(room, wild):
    method = wild(text_room=room)
    query_MD = _unit((3, 128), 7)
    captions = [_caption(5, 0), _caption(77, 1), _caption(20, 2)]
    together = method.encode_text(_texts(captions, query_MD))
    for i in range(3):
        alone = method.encode_text(_texts(captions[i : i + 1], query_MD[i : i + 1]))
        assert_close(alone, together[i : i + 1], rtol=0, atol=1e-6)
    assert not torch.allclose(together[0], together[2], atol=1e-2)


@torch.no_grad()
def test_where_nothing_is_cut_only_positions_differ(wild):
    """Without positions of tokens, extending and truncating are the same for a short text."""
    texts = _texts([_caption(9, 0), _caption(30, 1)], _unit((2, 128), 7))
    rows: list[torch.Tensor] = []
    for room in ("extend", "truncate"):
        method = wild(text_room=room)
        assert not rows or not method.encode_text(texts).equal(rows[-1])
        method.clip.positional_embedding.zero_()
        rows.append(method.encode_text(texts))
    assert_close(*rows, rtol=0, atol=1e-6)


def test_making_room_by_token_lists():
    from methods.l2p import make_room

    tokens = torch.tensor(
        [[8, 1, 9, 0, 0, 0, 0], [8, 1, 2, 9, 0, 0, 0], [8, 1, 2, 3, 9, 0, 0],
         [8, 1, 2, 3, 4, 5, 9], [8, 9, 0, 0, 0, 0, 0]]
    )  # fmt: skip
    before = tokens.clone()
    assert make_room(tokens, tokens.argmax(1), 3).tolist() == [
        [8, 0, 0, 0, 1, 9, 0], [8, 0, 0, 0, 1, 2, 9], [8, 0, 0, 0, 1, 2, 9],
        [8, 0, 0, 0, 1, 2, 9], [8, 0, 0, 0, 9, 0, 0],
    ]  # fmt: skip
    assert tokens.equal(before)


# -- the choice of prompts


@torch.no_grad()
def test_every_item_chooses_for_itself(wild):
    """Alone or among others, the very same prompts, those of a plain sort."""
    method, query_BD = wild(), _unit((40, 128), 8)
    images = Images(torch.zeros(40, 3, 48, 48), lambda: query_BD)
    cosine_BP, index_BK = method._choose("image", images)
    assert index_BK.shape == (40, 5)
    for i in range(40):
        _, order, cosine = _chosen(method, "image", query_BD[i])
        assert index_BK[i].tolist() == order
        assert_close(cosine_BP[i], torch.tensor(cosine), rtol=0, atol=1e-6)
        one = method._choose("image", images[torch.tensor([i])])
        assert one[0].equal(cosine_BP[i : i + 1])
        assert one[1].equal(index_BK[i : i + 1])
    assert len(index_BK.unique(dim=0)) > 20, "all choose alike: proves nothing"


@torch.no_grad()
def test_of_equal_cosines_the_first_prompts_are_taken(wild):
    method, query_BD = wild(), _unit((33, 128), 9)
    method.pools["image"].key_PD[:] = method.pools["image"].key_PD[0]
    for n in (1, 2, 33):
        images = Images(torch.zeros(n, 3, 48, 48), query_BD[:n].clone)
        assert method._choose("image", images)[1].equal(torch.arange(5).expand(n, -1))
    method.pools["image"].key_PD[7] *= -1  # now the best or the worst of all
    images = Images(torch.zeros(33, 3, 48, 48), lambda: query_BD)
    cosine_BP, index_BK = method._choose("image", images)
    for row, best in zip(index_BK.tolist(), (cosine_BP[:, 7] > 0).tolist(), strict=True):
        assert row == ([7, 0, 1, 2, 3] if best else [0, 1, 2, 3, 4])


# -- the loss


def _batch(n, seed=0, paired=True, texts=None):
    m = texts or n
    pixels = torch.randn(n, 3, 48, 48, generator=torch.Generator().manual_seed(seed))
    image_BD, text_MD = _unit((n, 128), seed + 1), _unit((m, 128), seed + 2)
    captions = [_caption(4 + i, i) for i in range(m)]
    images = Images(pixels, lambda: image_BD)
    return Batch(images, _texts(captions, text_MD), torch.arange(n) % m, paired)


@pytest.mark.parametrize("towers", ["both", "vision"])
@pytest.mark.parametrize("paired", [True, False])
def test_loss_by_hand(paired, towers, wild):
    method = wild(towers=towers, key_coeff=0.7)
    batch = _batch(6, paired=paired, texts=None if paired else 4)
    terms = method.loss(batch)
    pull = 0.0
    for tower, items in (("image", batch.images), ("text", batch.texts)):
        if tower in method.pools:
            cosines = []
            for query_D in items.frozen():
                _, order, cosine = _chosen(method, tower, query_D)
                cosines += [cosine[p] for p in order]
            pull += 1 - sum(cosines) / len(cosines)
    assert terms["keys"].item() == pytest.approx(0.7 * pull, abs=1e-5)
    image_BD, text_MD = method.encode_image(batch.images), method.encode_text(batch.texts)
    logits = (method.clip.scale * image_BD @ text_MD.T).double()
    want = F.cross_entropy(logits, batch.target_B)
    if paired:
        want = (want + F.cross_entropy(logits.T, batch.target_B)) / 2
    assert_close(terms["match"].double(), want, rtol=1e-5, atol=1e-5)
    assert terms.keys() == {"match", "keys"}


def test_gradients_reach_the_chosen_alone(wild):
    """Keys learn from the pull, prompts from the matching; both only where they were chosen."""
    method = wild()
    method.train()
    batch = _batch(2)
    used = {"image": batch.images.frozen(), "text": batch.texts.frozen()}
    for term, moved, still in (("keys", "key_PD", "prompt_PLW"), ("match", "prompt_PLW", "key_PD")):
        method.zero_grad(set_to_none=True)
        method.loss(batch)[term].backward()
        for tower, queries in used.items():
            pool = method.pools[tower]
            chosen = {p for q in queries for p in _chosen(method, tower, q)[1]}
            assert 5 <= len(chosen) < 10, "every prompt is chosen: proves nothing"
            grad = getattr(pool, moved).grad.flatten(1).abs().sum(dim=1)
            assert {int(p) for p in grad.nonzero()[:, 0]} == chosen
            assert getattr(pool, still).grad is None


def test_a_batch_in_pieces_has_the_same_gradients(wild):
    method, grads = wild(), []
    method.train()
    for chunks in (1, 3):
        method.clip.chunks = chunks
        method.zero_grad(set_to_none=True)
        torch.stack(list(method.loss(_batch(6)).values())).sum().backward()
        grads.append({n: p.grad.clone() for n, p in method.pools.named_parameters()})
    for name, grad in grads[0].items():
        assert float(grad.abs().max()) > 0
        assert_close(grads[1][name], grad, rtol=1e-3, atol=1e-6)


@torch.no_grad()
def test_in_bf16_the_same_prompts_are_chosen(wild):
    """The towers alone run in bf16; a choice in it would differ."""
    method, batch = wild(), _batch(6)
    full = method._choose("image", batch.images), method.features(batch)
    method.clip.precision = "bf16"
    half = method._choose("image", batch.images), method.features(batch)
    for one, two in zip(full[0], half[0], strict=True):
        assert one.equal(two)
    for one, two in ((full[1].image_BD, half[1].image_BD), (full[1].text_MD, half[1].text_MD)):
        assert two.dtype == torch.float32
        assert not one.equal(two)
        assert float((one * two).sum(dim=1).min()) > 0.99


# -- training


@pytest.fixture(scope="module")
def run(lab):
    return lab.train("l2p", lab.pairs[:2], epochs=2)


def test_keys_are_pulled_and_the_backbone_stays(run, lab):
    start = lab.clip().state_dict()
    assert all(v.equal(start[k]) for k, v in run.method.clip.state_dict().items())
    fresh = lab.method("l2p", lab.feed(lab.clip())).eval()
    rows = torch.arange(14)
    images = run.feed.images(lab.pairs[1], rows)
    mean = [
        m.pools["image"].cosines(images.frozen()).topk(5).values.mean().item()
        for m in (fresh, run.method)
    ]
    assert mean[1] > mean[0] + 0.005
    for tower, pool in fresh.pools.items():
        assert not pool.prompt_PLW.equal(run.method.pools[tower].prompt_PLW)


def test_pools_start_from_the_run_s_seed_alone(lab):
    """Not from the first task's data, so that both orders start alike."""
    one, two, other = (lab.method("l2p", lab.feed(lab.clip()), seed=s) for s in (0, 0, 1))
    for tower in ("image", "text"):
        a, b, c = (m.pools[tower] for m in (one, two, other))
        assert a.key_PD.equal(b.key_PD)
        assert a.prompt_PLW.equal(b.prompt_PLW)
        assert not a.key_PD.equal(c.key_PD)
        assert a.key_PD.abs().max() <= 1
        assert 0 <= a.prompt_PLW.min() <= a.prompt_PLW.max() <= 0.01
    assert not one.pools["image"].key_PD.equal(one.pools["text"].key_PD)


def test_with_the_mask_a_task_trains_its_own_prompts(lab):
    """Two tasks have their own; for the third nothing is left, and all are open."""
    feed = lab.feed(lab.clip())
    method = lab.method("l2p", feed, use_prompt_mask=True, pool_size=4, top_k=2)
    own = [{0, 1}, {2, 3}, {0, 1, 2, 3}]
    for index, slots in enumerate(own):
        method.before_task(lab.task(feed, lab.pairs[index], index, 3))
        method.zero_grad(set_to_none=True)
        method.train()
        batch = _batch(8)
        chosen = method._choose("image", batch.images)[1]
        torch.stack(list(method.loss(batch).values())).sum().backward()
        for pool in method.pools.values():
            for p in (pool.prompt_PLW, pool.key_PD):
                assert {int(i) for i in p.grad.flatten(1).abs().sum(1).nonzero()} == slots
        method.eval()
        free = method._choose("image", batch.images)[1]
        assert len(free.unique()) == 4, "at test the nearest of all are taken"
        assert index == 2 or chosen.tolist() == [sorted(slots)] * 8


def test_the_mask_leaves_the_prompts_of_other_tasks_bit_for_bit(lab):
    run = lab.train("l2p", lab.pairs[:2], use_prompt_mask=True, pool_size=15)
    one = lab.train("l2p", lab.pairs[:1], use_prompt_mask=True, pool_size=15)
    for tower, pool in run.method.pools.items():
        first = one.method.pools[tower]
        start = lab.method("l2p", lab.feed(lab.clip()), use_prompt_mask=True, pool_size=15)
        for name, value in pool.named_parameters():
            assert value[:5].equal(first.get_parameter(name)[:5])
            assert not value[5:10].equal(first.get_parameter(name)[5:10])
            assert value[10:].equal(start.pools[tower].get_parameter(name)[10:])


# -- state and settings


def test_vision_leaves_texts_to_the_frozen_backbone(lab):
    run = lab.train("l2p", lab.pairs[:1], towers="vision")
    data = lab.pairs[1]
    _, texts = lab.embed(run.method, run.feed, data)
    assert texts.equal(run.feed.frozen.texts(data.tokens_ML, data.text_key))
    assert list(run.method.pools) == ["image"]
    assert run.trainable == [10 * 5 * 128 + 10 * 128]


def test_what_it_keeps(run, lab, monkeypatch):
    """Pools and keys; at the widths of ViT-B/16, 74 240 floats."""
    state, same = checkpoint.method_state(run.method, Pristine.of(lab.clip()))
    assert checkpoint.extra_bytes(state) == 4 * 2 * (10 * 5 * 128 + 10 * 128)
    assert {k.partition(".")[0] for k in state} == {"pools"}
    assert len(same) == len(lab.clip().state_dict())
    clip = lab.clip()
    monkeypatch.setattr(type(clip), "widths", (768, 512))
    monkeypatch.setattr(type(clip), "dim", 512)
    never: Any = None
    tools = Tools(lambda *k: generator(0, *k), never, never)
    method: Any = find_method("l2p", []).cls(clip, find_method("l2p", []).config, tools)
    assert sum(p.numel() for p in method.pools.parameters()) == 74_240


@pytest.mark.parametrize(
    "hp",
    ["pool_size=0", "top_k=0", "prompt_length=0", "top_k=11", "key_coeff=-1", "key_coeff=nan",
     "towers=text", "text_room=cut", "query=cls", "use_prompt_mask=maybe"],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(hp):
    with pytest.raises(BenchError):
        find_method("l2p", [hp])


def test_prompts_that_leave_no_room_are_refused_before_anything_runs(lab):
    feed = lab.feed(lab.clip())
    full = {"top_k": 2, "pool_size": 2, "text_room": "truncate"}
    with pytest.raises(BenchError, match=r"at most 74.*got 76.*text_room=extend"):
        lab.method("l2p", feed, prompt_length=38, **full)
    method = lab.method("l2p", feed, prompt_length=37, **full).eval()
    _noise(method)
    captions = [_caption(77, 0), _caption(3, 1), _caption(2, 2)]
    query_MD = _unit((3, 128), 3)
    with torch.no_grad():
        got = method.encode_text(_texts(captions, query_MD))
        for row, caption, query in zip(got, captions, query_MD, strict=True):
            assert_close(row.double(), _text_by_hand(method, caption, query), rtol=0, atol=2e-6)
    roomy = {"text_room": "extend", "prompt_length": 38}
    lab.method("l2p", feed, **full | roomy)
    lab.method("l2p", feed, **full | roomy, towers="vision")
    with pytest.raises(BenchError, match="texts have no prompts"):
        lab.method("l2p", feed, **full, towers="vision")


def test_variants_change_what_they_say():
    base = find_method("l2p", []).config
    assert isinstance(base, L2PConfig)
    assert (base.pool_size, base.top_k, base.prompt_length, base.key_coeff) == (10, 5, 5, 0.5)
    assert (base.lr, base.weight_decay, base.towers, base.text_room) == (1e-3, 0, "both", "extend")
    assert not base.use_prompt_mask
    assert find_method("l2p.vision", []).config == replace(base, towers="vision")
    assert find_method("l2p.truncate", []).config == replace(base, text_room="truncate")
    masked = replace(base, use_prompt_mask=True, pool_size=35)
    assert find_method("l2p.mask", []).config == masked
