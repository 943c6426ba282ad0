"""Of the last block one token is computed: the same numbers and gradients as by all tokens."""

import math

import open_clip
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from benchmark.backbones.backbone import unit
from benchmark.backbones.known import configs
from benchmark.backbones.load import load
from benchmark.backbones.sites import MAPS, PARALLEL

CAPTIONS = ["a red circle", "two small blue squares on the left of a large one", "a"]


class Counted:
    """A delta that is told how many tokens it saw; `tokenwise` as it is set."""

    def __init__(self, out: int, tokenwise: bool) -> None:
        self.out, self.tokenwise = out, tokenwise
        self.tokens = 0

    def __call__(self, x):
        self.tokens = x.shape[1]
        return x.sum(dim=-1, keepdim=True) * torch.linspace(-0.1, 0.1, self.out).to(x)


@pytest.fixture
def clip():
    return load("tiny-s", "bundled").double()


def _inputs(clip, count=3):
    pixels = torch.randn(count, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    return pixels.double(), clip.tokenize(CAPTIONS[:count])


@pytest.mark.filterwarnings("ignore::UserWarning")  # open_clip: no pretrained weights
def test_gradients_are_those_of_open_clips_own_towers(clip):
    open_clip.add_model_config(configs()["tiny-s"])
    theirs = open_clip.create_model("tiny-s", pretrained=None)
    theirs.load_state_dict(clip.state_dict())
    theirs.double()
    pixels, tokens = _inputs(clip)
    weight = torch.linspace(-1, 1, 128).double()
    (clip.image_tower(clip.embed_image(pixels)) * weight).sin().sum().backward()
    feature = clip.text_tower(clip.embed_text(tokens), clip.end_of_text(tokens))
    (feature * weight).sin().sum().backward()
    (theirs.encode_image(pixels) * weight).sin().sum().backward()
    (theirs.encode_text(tokens) * weight).sin().sum().backward()
    wanted = dict(theirs.named_parameters())
    for name, p in clip.named_parameters():
        if name != "logit_scale":
            assert wanted[name].grad is not None, name
            assert_close(p.grad, wanted[name].grad, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("target", [*MAPS, PARALLEL])
def test_a_delta_gives_the_same_by_one_token_as_by_all(target, clip):
    pixels, tokens = _inputs(clip)
    found = {}
    for tokenwise in (True, False):
        places = clip.places((target,))
        width = {n: getattr(p, "weight", torch.empty(128)).shape[0] for n, p in places.items()}
        deltas = {n: Counted(width[n], tokenwise) for n in places}
        clip.zero_grad()
        with clip.adapted(deltas, (target,)):
            rows = clip.image(pixels), clip.text(tokens)
        sum((r * torch.linspace(-1, 1, 128)).sum() for r in rows).backward()
        # `unit` gives float32: what is compared is the towers' own arithmetic, in float64.
        found[tokenwise] = *rows, *(p.grad for p in clip.weights())
        asked = target in ("attn.q", "attn.k", "attn.v") or not tokenwise
        for name, delta in deltas.items():
            last = name.split(".")[1] == {"image": "3", "text": "2"}[name.split(".")[0]]
            assert (delta.tokens == 1) == (last and not asked), name
    for one, whole in zip(found[True], found[False], strict=True):
        assert_close(one, whole, rtol=1e-6, atol=1e-7)


class ByFirst:
    """A delta of a token and of the item's first one; `by_first` as it is set."""

    def __init__(self, by_first: bool) -> None:
        self.by_first, self.tokens = by_first, 0

    def __call__(self, x):
        self.tokens = x.shape[1]
        return x * x[:, :1].sin() * 0.3


@pytest.mark.parametrize("chunks", [1, 2])
def test_a_delta_that_looks_at_the_first_token_gets_it_besides_the_one_that_is_pooled(chunks, clip):
    """The class token is both; a text's are its first and its last."""
    pixels, tokens = _inputs(clip)
    clip.chunks = chunks
    found = {}
    for by_first in (True, False):
        deltas = {n: ByFirst(by_first) for n in clip.places((PARALLEL,))}
        clip.zero_grad()
        with clip.adapted(deltas, (PARALLEL,)):
            rows = clip.image(pixels), clip.text(tokens)
        seen = [deltas[f"{n}.{PARALLEL}"].tokens for n in ("image.3", "text.2")]
        assert (seen == [1, 2]) == by_first
        assert min(deltas[f"{n}.{PARALLEL}"].tokens for n in ("image.2", "text.1")) > 3
        sum((r * torch.linspace(-1, 1, 128)).sum() for r in rows).backward()
        found[by_first] = *rows, *(p.grad for p in clip.weights())
    for one, whole in zip(found[True], found[False], strict=True):
        assert_close(one, whole, rtol=1e-6, atol=1e-7)


def test_a_tokenwise_delta_beside_one_that_looks_at_the_first_gets_both_tokens(clip):
    """And one that looks at any gets all of them."""
    tokens = _inputs(clip)[1]
    for tokenwise, wanted in ((True, 2), (False, tokens.argmax(dim=1).max() + 1)):
        first, other = ByFirst(True), Counted(512, tokenwise)
        deltas = {f"text.2.{PARALLEL}": first, "text.2.mlp.c_fc": other}
        with clip.adapted(deltas, (PARALLEL, "mlp.c_fc")):
            clip.text(tokens)
        assert first.tokens == other.tokens == wanted


@torch.no_grad()
def test_one_token_has_the_bits_that_all_tokens_give():
    clip = load("tiny-s", "bundled")
    pixels, tokens = _inputs(clip)
    with clip.adapted({f"{t}.0.{PARALLEL}": torch.zeros_like for t in ("image", "text")},
                      (PARALLEL,)):  # fmt: skip
        one = clip.image(pixels.float()), clip.text(tokens)
    names = (f"image.3.{PARALLEL}", f"text.2.{PARALLEL}")
    with clip.adapted(dict.fromkeys(names, torch.zeros_like), (PARALLEL,)):
        whole = clip.image(pixels.float()), clip.text(tokens)
    assert one[0].equal(whole[0])
    assert one[1].equal(whole[1])


def _hooked(block, seen):
    block.mlp.c_proj.register_forward_hook(lambda m, i, y: seen.append(y.shape[1]))


def _mixed(block, seen):
    class Mixer(nn.Module):
        def forward(self, x):
            seen.append(x.shape[1])
            return x - x.mean(dim=1, keepdim=True)

    block.mlp = nn.Sequential(block.mlp, Mixer())


@pytest.mark.parametrize("change", [_hooked, _mixed])
@torch.no_grad()
def test_who_looks_into_the_last_block_or_changes_it_gets_all_tokens(change, clip):
    pixels, tokens = _inputs(clip)
    for blocks, run in (
        (clip.visual.transformer.resblocks, lambda: clip.image(pixels)),
        (clip.transformer.resblocks, lambda: clip.text(tokens)),
    ):
        seen: list[int] = []
        change(blocks[-1], seen)
        run()
        assert len(seen) == 1
        assert seen[0] > 3


@pytest.mark.parametrize("kind", ["image", "text"])
@torch.no_grad()
def test_bits_of_an_item_do_not_depend_on_how_many_there_are(kind):
    clip = load("tiny-s", "bundled")
    pixels = torch.randn(40, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    tokens = clip.tokenize([f"a {'red ' * (i % 3)}circle" for i in range(40)])
    encode = clip.image if kind == "image" else clip.text
    items = pixels if kind == "image" else tokens
    whole = encode(items)
    for count in (1, 2, 3, 15, 16, 17):
        for first in (0, 40 - count):
            rows = slice(first, first + count)
            if kind == "text":  # where a text is cut is the caller's to keep
                cut = clip.text_length(int(clip.end_of_text(tokens).max()) + 1)
                x_MLW = clip._embed_text(tokens[rows, :cut])
                got = unit(clip.text_tower(x_MLW, clip.end_of_text(tokens[rows])))
            else:
                got = encode(items[rows])
            assert got.equal(whole[rows]), (count, first)


def test_memory_for_the_backward_pass_is_of_one_token(clip):
    """What is kept of the last MLP is a row an item, not one a token."""
    pixels, kept = _inputs(clip)[0], []

    def keep_shape(t):
        kept.append(tuple(t.shape))
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep_shape, lambda t: t):
        clip.image(pixels).sum().backward()
    wide = [math.prod(s[:-1]) for s in kept if s[-1:] == (512,)]
    assert wide.count(3 * 17) == 3 * 2  # what goes into the activation and what comes out
