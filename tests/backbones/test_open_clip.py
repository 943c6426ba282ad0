"""The backbone is open_clip's, number by number, and wrong weights never load."""

import json
import logging
from copy import deepcopy
from itertools import count
from typing import Any

import open_clip
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

from benchmark.backbones import known, open_clip_files
from benchmark.backbones.backbone import Backbone, unit
from benchmark.backbones.known import SHIPPED, bundled, configs, describe
from benchmark.backbones.load import load
from benchmark.backbones.open_clip import OpenClip, build
from benchmark.backbones.open_clip_files import tiny_tokenizer
from benchmark.backbones.plain_open_clip import part
from benchmark.backbones.weights import fingerprint
from benchmark.errors import BenchError

UNUSED: Any = torch.empty  # for a tokenizer, where no text is read
TARGETS = ("attn.q", "attn.k", "attn.v", "attn.out_proj", "mlp.c_fc", "mlp.c_proj")
BASE: dict[str, Any] = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 24, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 64, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture
def own_model(tmp_path, monkeypatch):
    """Declares an open_clip architecture, to us and to open_clip, for one test."""

    def declare(name, vision=None, text=None, **top):
        config = deepcopy(BASE)
        config["vision_cfg"] |= vision or {}
        config["text_cfg"] |= text or {}
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(config | top))
        open_clip.add_model_config(path)
        monkeypatch.setitem(configs(), name, path)
        return name

    yield declare
    paths = open_clip.factory._MODEL_CONFIG_PATHS
    paths[:] = [p for p in paths if tmp_path not in p.parents]
    for path in tmp_path.glob("*.json"):
        open_clip.factory._MODEL_CONFIGS.pop(path.stem, None)


@pytest.fixture
def saved(clip, tmp_path):
    """(tensors, metadata) -> a weights file of tiny-s."""

    def write(tensors=None, metadata=None):
        path = tmp_path / "w.safetensors"
        save_file(tensors or clip.state_dict(), path, metadata=metadata)
        return str(path)

    return write


def _noise(model, seed=0):
    """Random weights everywhere: at their start, biases and some tables are constant."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim:
                p.add_(0.1 * torch.randn(p.shape, generator=g))


def _tokens(lengths, context, end):
    """Texts with their end token at length - 1 and junk that must not matter never before it."""
    g = torch.Generator().manual_seed(1)
    tokens_ML = torch.zeros(len(lengths), context, dtype=torch.int64)
    for row, n in zip(tokens_ML, lengths, strict=True):
        row[:n] = torch.randint(1, end - 1, (n,), generator=g)
        row[n - 1] = end
    return tokens_ML


# -- the same numbers as open_clip


def _theirs(name):
    """The model that open_clip itself makes of a config."""
    if name in bundled():
        open_clip.add_model_config(configs()[name])
    return open_clip.create_model(name, pretrained=None)


def _pair(name):
    """open_clip's own model and ours on the same random weights, in float64."""
    ours = load(name, "random:0")
    theirs = _theirs(name)
    _noise(theirs)
    ours.load_state_dict(theirs.state_dict())
    return ours.double().eval(), theirs.double().eval()


@pytest.mark.filterwarnings("ignore::UserWarning")  # open_clip: no pretrained weights
@pytest.mark.parametrize("variant", ["tiny-s", "gelu", "layer-scale"])
@torch.no_grad()
def test_both_towers_equal_open_clip(variant, own_model):
    name = variant
    if variant != "tiny-s":
        more = {"ls_init_value": 0.3}
        scaled = variant == "layer-scale"
        name = own_model(f"own-{variant}", more if scaled else None, more if scaled else None)
    ours, theirs = _pair(name)
    g = torch.Generator().manual_seed(0)
    pixels = torch.randn(3, 3, ours.size, ours.size, generator=g, dtype=torch.float64)
    context, end = ours.context, ours.token_embedding.num_embeddings - 1
    assert_close(
        ours.image_tower(ours.embed_image(pixels)), theirs.encode_image(pixels), rtol=0, atol=1e-9
    )
    for lengths in ([3, 7, 5], [context, 4, 2], [2, 2, 2]):
        tokens = _tokens(lengths, context, end)
        feature = ours.text_tower(ours.embed_text(tokens), ours.end_of_text(tokens))
        assert_close(feature, theirs.encode_text(tokens), rtol=0, atol=1e-9)
        assert_close(ours.text(tokens), unit(theirs.encode_text(tokens)), rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_state_dict_keys_are_open_clips(clip):
    theirs = _theirs("tiny-s").state_dict()
    ours = clip.state_dict()
    assert list(ours.keys() ^ theirs.keys()) == []
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


@torch.no_grad()
def test_attention_of_the_text_tower_is_causal_and_of_the_image_tower_is_not(clip):
    _noise(clip)
    x = torch.randn(1, 6, 128, generator=torch.Generator().manual_seed(0))
    later = x.clone()
    later[:, 4:] += 1
    end = torch.tensor([3])
    assert clip.text_tower(x, end).equal(clip.text_tower(later, end))
    assert not torch.allclose(clip.text_tower(x, end + 1), clip.text_tower(later, end + 1))
    assert not torch.allclose(clip.image_tower(x), clip.image_tower(later))


@torch.no_grad()
def test_a_text_does_not_depend_on_the_longest_of_its_batch(clip):
    _noise(clip)
    tokens = _tokens([4, 77, 30], 77, 4095)
    whole = clip.text(tokens)
    assert clip.embed_text(tokens[:1]).shape[1] == 4
    assert clip.embed_text(tokens).shape[1] == 77
    for i in range(3):
        assert_close(clip.text(tokens[i : i + 1]), whole[i : i + 1], rtol=0, atol=1e-6)
    assert clip.end_of_text(tokens).tolist() == [3, 76, 29]


# -- adapters


def _delta(x, out, value):
    """Not the same for every channel: a norm would take that away again."""
    return x.mean(dim=-1, keepdim=True) * torch.linspace(-9, 9, out) * value


@pytest.fixture
def inputs(clip):
    _noise(clip)
    pixels = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    return clip, pixels, _tokens([5, 9], 77, 4095)


@pytest.mark.parametrize("target", TARGETS)
def test_every_site_acts_on_its_tower_alone_and_learns(target, inputs):
    clip, pixels, tokens = inputs
    with torch.no_grad():
        before = {"image": clip.image(pixels), "text": clip.text(tokens)}
    sites = clip.sites((target,))
    layers = {"image": 4, "text": 3}
    assert list(sites) == [f"{t}.{i}.{target}" for t, n in layers.items() for i in range(n)]
    for name, site in sites.items():
        value = nn.Parameter(torch.tensor(0.05))
        out = site.weight.shape[0]
        with clip.adapted({name: lambda x, o=out, v=value: _delta(x, o, v)}, (target,)):
            after = {"image": clip.image(pixels), "text": clip.text(tokens)}
        mine = name.partition(".")[0]
        other = {"image": "text", "text": "image"}[mine]
        assert not torch.allclose(after[mine], before[mine], atol=1e-5), name
        assert after[other].equal(before[other]), name
        (after[mine] * torch.linspace(-1, 1, 128)).sum().backward()
        assert value.grad is not None, name
        assert value.grad.abs() > 1e-7, name
    with torch.no_grad():
        assert clip.image(pixels).equal(before["image"])


@pytest.mark.parametrize("target", TARGETS)
@torch.no_grad()
def test_a_delta_equals_a_changed_weight(target, inputs):
    """The q, k and v sites must be the right thirds of the packed weight, for both towers."""
    clip, pixels, tokens = inputs
    clip.double()
    pixels = pixels.double()
    sites = clip.sites((target,))
    g = torch.Generator().manual_seed(2)
    change = {n: torch.randn(s.weight.shape, generator=g).double() / 30 for n, s in sites.items()}
    with clip.adapted({n: lambda x, w=w: x @ w.T for n, w in change.items()}, (target,)):
        adapted = clip.image(pixels), clip.text(tokens)
    for name, site in sites.items():
        site.weight.add_(change[name])
    assert_close(clip.image(pixels), adapted[0], rtol=0, atol=1e-6)
    assert_close(clip.text(tokens), adapted[1], rtol=0, atol=1e-6)


@torch.no_grad()
def test_adapted_restores_also_after_an_error_and_nests(inputs):
    clip, pixels, _ = inputs
    plain = clip.image(pixels)
    name = "image.0.mlp.c_fc"
    outer = {name: lambda x: _delta(x, 512, 0.1)}
    with clip.adapted(outer, ("mlp.c_fc",)):
        one = clip.image(pixels)
        with clip.adapted({name: lambda x: _delta(x, 512, 0.2)}, ("mlp.c_fc", "attn.q")):
            assert not clip.image(pixels).equal(one)
        assert clip.image(pixels).equal(one)
        with pytest.raises(KeyError), clip.adapted({name: lambda x: {}[x]}, ("mlp.c_fc",)):
            clip.image(pixels)
        assert clip.image(pixels).equal(one)
    assert clip.image(pixels).equal(plain)
    assert all(s.delta is None for s in clip.sites(TARGETS).values())


def test_an_unknown_target_names_the_near_one(clip):
    with pytest.raises(BenchError, match=r"'attn\.out'.*attn\.out_proj"):
        clip.sites(("mlp.c_fc", "attn.out"))


@torch.no_grad()
def test_a_copy_is_independent(inputs):
    """Teachers are deep copies: their sites must look up the copy's weights, not ours."""
    clip, pixels, _ = inputs
    before = clip.image(pixels)
    twin = deepcopy(clip)
    for name, site in twin.sites(TARGETS).items():
        own = clip.sites(TARGETS)[name]
        assert site is not own
        assert site.weight.equal(own.weight)
        site.weight.zero_()
        assert float(own.weight.abs().sum()) > 0
    assert not twin.image(pixels).equal(before)
    assert clip.image(pixels).equal(before)


# -- a model is loaded

# Sha256 of the bundled weights, as the committed records have it.
BUNDLED = {
    "tiny-s": "676ff44474ab6ff018e4071711b23c465772f86473321ef0c04f474c389d8e21",
    "tiny-b": "13d049e8fa8623a40242cb16c660dcd0fc32303f6ba1eed9e658346414eaf73d",
}


def test_the_bundled_weights_are_those_of_the_records():
    assert {name: load(name, "bundled").fingerprint for name in bundled()} == BUNDLED


def test_loading_changes_no_draw_of_others(saved):
    """Else a run would depend on when its models are loaded, and from where."""
    sources = ("bundled", "random:3", saved())
    for source in sources:
        torch.manual_seed(11)
        before = torch.get_rng_state()
        load("tiny-s", source)
        assert torch.get_rng_state().equal(before), source


def test_random_weights_do_not_depend_on_what_was_drawn_before():
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(load("tiny-s", "random:3").fingerprint)
    torch.manual_seed(3)
    plain = build(describe("tiny-s"), UNUSED).state_dict()
    assert found[0] == found[1] == fingerprint(plain)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_random_weights_are_those_that_open_clip_draws():
    ours = load("tiny-s", "random:5").state_dict()
    torch.manual_seed(5)
    assert all(p.equal(ours[name]) for name, p in _theirs("tiny-s").state_dict().items())


def test_no_weights_are_drawn_that_a_file_replaces():
    """They would take longer than the file: a second for a ViT-B/16."""
    model, before = describe("tiny-s"), torch.get_rng_state()
    clip = open_clip_files.read(model, open_clip_files.files(model, "bundled"))
    assert torch.get_rng_state().equal(before)
    assert {p.device.type for p in clip.state_dict().values()} == {"cpu"}
    assert all(p.requires_grad and p.is_leaf for p in clip.parameters())
    assert clip.fingerprint == fingerprint(clip.state_dict()) == BUNDLED["tiny-s"]


def test_values_outside_the_state_dict_are_refused(monkeypatch):
    """Loading would leave them as the memory happened to be."""
    made = open_clip.CLIP(**describe("tiny-s").about)
    made.visual.register_buffer("grid", torch.ones(3), persistent=False)
    monkeypatch.setattr(part("model"), "CLIP", lambda **_: made)
    with pytest.raises(BenchError, match="towers differ"):
        load("tiny-s", "bundled")


def test_one_tokenizer_is_made_in_a_process(monkeypatch):
    """Making it takes longer than all else of a tiny model."""
    made, plain = count(), SimpleTokenizer
    monkeypatch.setattr(part("tokenizer"), "SimpleTokenizer", lambda: (next(made), plain())[1])
    open_clip_files._pairs.cache_clear()
    texts = ["a red circle", "two blue squares"]
    rows = [load(name, "bundled").tokenize(texts) for name in ("tiny-s", "tiny-b", "tiny-s")]
    assert rows[0].equal(rows[1])
    assert rows[0].equal(rows[2])
    assert next(made) == 1


def test_loading_leaves_logging_alone(caplog):
    logging.disable(logging.INFO)
    try:
        with caplog.at_level(logging.DEBUG):
            handlers = list(logging.root.handlers)
            load("tiny-s", "random:0")
        assert logging.root.manager.disable == logging.INFO
    finally:
        logging.disable(logging.NOTSET)
    assert caplog.records == []
    assert logging.root.handlers == handlers


def test_the_interface_alone_is_no_model():
    with pytest.raises(TypeError, match="abstract"):
        Backbone("x", size=1, mean=(), std=(), context=1, tokenize=UNUSED)  # type: ignore[abstract]
    assert getattr(OpenClip, "__final__", False)


# -- weights that do not fit


def test_random_weights_derive_from_their_seed():
    a, b, c = load("tiny-s", "random:3"), load("tiny-s", "random:3"), load("tiny-s", "random:4")
    assert a.fingerprint == b.fingerprint != c.fingerprint
    assert not a.training
    for wrong in ("random:", "random:x", "random:-1"):
        with pytest.raises(BenchError, match="whole number"):
            load("tiny-s", wrong)


def test_a_weights_file_comes_back(clip, saved):
    again = load("tiny-s", saved(metadata={"quick_gelu": "true"}))
    assert again.fingerprint == clip.fingerprint
    assert load("tiny-s", saved()).fingerprint == clip.fingerprint


@pytest.fixture
def fresh_process(monkeypatch):
    """open_clip as it is before anything was built: it does not know the tiny models."""
    factory = open_clip.factory
    keep = {k: v for k, v in factory._MODEL_CONFIGS.items() if not k.startswith("tiny-")}
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", keep)
    paths = [p for p in factory._MODEL_CONFIG_PATHS if not p.name.startswith("tiny-")]
    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", paths)


@pytest.mark.parametrize("first", [False, True], ids=["built-before", "first-thing"])
def test_metadata_of_the_other_activation_is_refused(first, saved, request):
    path = saved(metadata={"quick_gelu": "false"})
    if first:
        request.getfixturevalue("fresh_process")
    with pytest.raises(BenchError, match="GELU"):
        load("tiny-s", path)


def test_weights_load_first_thing_in_a_process(clip, saved, fresh_process):
    path = saved(metadata={"quick_gelu": "true"})
    assert load("tiny-s", path).fingerprint == clip.fingerprint
    assert "tiny-s" not in open_clip.list_models()  # nothing is added to open_clip's own table


def test_a_tag_of_the_other_activation_is_refused_without_network(monkeypatch):
    asked = []

    def never(*args, **_kwargs):
        asked.append(args)
        raise OSError

    monkeypatch.setattr("benchmark.hub.weights.resolve", never)
    monkeypatch.setattr(part("model"), "CLIP", never)
    with pytest.raises(BenchError, match="ViT-B-16-quickgelu"):
        load("ViT-B-16", "openai")
    with pytest.raises(BenchError, match=r"--backbone ViT-B-16\."):
        load("ViT-B-16-quickgelu", "laion2b_s34b_b88k")
    assert asked == []
    with pytest.raises(OSError):  # noqa: PT011  # the right pair does ask
        load("ViT-B-16-quickgelu", "openai")
    assert [repo.id for repo, _ in asked] == ["timm/vit_base_patch16_clip_224.openai"]


def test_an_openai_archive_is_refused_by_a_model_with_gelu(own_model, tmp_path):
    name, quick = own_model("own-plain"), own_model("own-quick", quick_gelu=True)
    state = load(name, "random:0").state_dict()
    extra = {"input_resolution": 24, "context_length": 12, "vocab_size": 64}
    archive = {k: torch.tensor(v) for k, v in extra.items()} | state
    torch.save(archive, tmp_path / "w.pt")
    with pytest.raises(BenchError, match="QuickGELU"):
        load(name, str(tmp_path / "w.pt"))
    assert load(quick, str(tmp_path / "w.pt")).state_dict().keys() == state.keys()
    for wrapped in (state, {"state_dict": {f"module.{k}": v for k, v in state.items()}}):
        torch.save(wrapped, tmp_path / "w.pt")
        found = load(name, str(tmp_path / "w.pt")).state_dict()
        assert found["visual.proj"].equal(state["visual.proj"])


@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-B-32-quickgelu"])
def test_a_file_must_say_its_activation_where_a_model_has_both(name, tmp_path, monkeypatch):
    """By open_clip's own config beside it; the normalisation comes from there too."""
    file, config = tmp_path / "w.pt", tmp_path / "open_clip_config.json"
    torch.save({"logit_scale": torch.zeros(())}, file)
    with pytest.raises(BenchError, match=r"open_clip_config\.json"):
        load(name, str(file))
    quick = name.endswith("quickgelu")
    config.write_text(json.dumps({"model_cfg": {"quick_gelu": not quick}}))
    with pytest.raises(BenchError, match="GELU"):
        load(name, str(file))
    mean = [0.5, 0.25, 0.125]
    about = {"model_cfg": {"quick_gelu": quick}, "preprocess_cfg": {"mean": mean, "std": [1, 1, 1]}}
    config.write_text(json.dumps(about))
    small = load("tiny-s", "random:0")
    monkeypatch.setattr(open_clip_files, "build", lambda *_: small)
    monkeypatch.setattr(open_clip_files, "fit", lambda *_: None)
    assert load(name, str(file)).mean == tuple(mean)
    for broken in ("{", "[]", '{"model_cfg": 3}'):
        config.write_text(broken)
        with pytest.raises(BenchError, match="mend or remove"):
            load(name, str(file))


def test_a_file_that_is_no_state_dict(tmp_path):
    for content in (torch.zeros(3), [torch.zeros(3)], {"a": 3}):
        torch.save(content, tmp_path / "w.pt")
        with pytest.raises(BenchError, match="readable weights"):
            load("tiny-s", str(tmp_path / "w.pt"))


def test_weights_of_another_shape_are_refused(clip, saved):
    state = clip.state_dict()
    narrow = {**state, "visual.proj": state["visual.proj"][:, :64].contiguous()}
    less = {k: v for k, v in state.items() if k != "logit_scale"}
    more = {**state, "visual.extra": torch.zeros(1)}
    for tensors, named in ((narrow, "visual.proj"), (less, "logit_scale"), (more, "visual.extra")):
        with pytest.raises(BenchError, match=named):
            load("tiny-s", saved(tensors))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_missing_and_cut_files(suffix, clip, saved, tmp_path):
    path = tmp_path / f"x{suffix}"
    with pytest.raises(BenchError, match="no file"):
        load("tiny-s", str(path))
    if suffix == ".pt":
        torch.save(clip.state_dict(), path)
        raw = path.read_bytes()
    else:
        raw = (tmp_path / "w.safetensors").read_bytes() if saved() else b""
    for start in (raw[: len(raw) // 2], raw[:4], b"", b"version https://git-lfs"):
        path.write_bytes(start)
        with pytest.raises(BenchError, match="readable weights"):
            load("tiny-s", str(path))


def test_unknown_names_get_near_ones(monkeypatch):
    with pytest.raises(BenchError, match="'tiny-s'"):
        load("tiny-ss", "random:0")
    with pytest.raises(BenchError, match="tiny-s"):
        load("ViT-B-16", "bundled")
    with pytest.raises(BenchError, match=r"'openai'"):
        load("ViT-B-16-quickgelu", "opanai")


ODD = [
    ({"pool_type": "avg"}, {}, {}, "images pooled by 'avg'"),
    ({"attentional_pool": True}, {}, {}, "images pooled by attention"),
    ({"qk_norm": True}, {}, {}, r"image tower \(qk_norm\)"),
    ({"block_type": "custom"}, {}, {}, r"image tower \(block_type\)"),
    ({}, {"scale_fc": True, "scale_attn": True}, {}, r"text tower \(scale_attn, scale_fc\)"),
    ({}, {"pool_type": "last"}, {}, "texts read at 'last'"),
    ({}, {"no_causal_mask": True}, {}, "no causal mask on texts"),
    ({}, {"embed_cls": True}, {}, "a class token in the text tower"),
    ({}, {"proj_bias": True}, {}, "a projection of texts that is no"),
    ({}, {"proj_type": "none"}, {}, "a projection of texts that is no"),
    ({}, {}, {"custom_text": True}, "custom_text"),
    ({}, {}, {"init_logit_bias": -10}, "a bias on the similarity"),
    ({}, {}, {"nonscalar_logit_scale": True}, "no scalar"),
    ({"layers": [1, 1, 1, 1], "width": 16, "image_size": 32, "patch_size": None}, {}, {},
     "a ResNet as image tower"),
]  # fmt: skip


@pytest.mark.parametrize(("vision", "text", "top", "words"), ODD, ids=lambda x: str(x)[:30])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_towers_of_another_layout_are_refused(vision, text, top, words, own_model, monkeypatch):
    """By the config before anything is built, and by what was built if the config were passed.

    SigLIP is the sum of several of these; each alone would give wrong numbers in silence.
    """
    name = own_model("own-odd", vision, text, **top)
    with monkeypatch.context() as unbuilt:
        unbuilt.setattr(part("model"), "CLIP", None)
        with pytest.raises(BenchError, match=f"'own-odd', which has .*{words}"):
            load(name, "random:0")
    monkeypatch.setattr(known, "check_layout", lambda *_: None)
    with pytest.raises(BenchError, match="towers differ"):
        build(describe(name), UNUSED)


def test_settings_that_change_no_layout_are_accepted(own_model):
    """Layer scale, no first norm and the order of last norm and pooling are run as they are."""
    same = {"final_ln_after_pool": True}
    more = {"no_ln_pre": True, "ls_init_value": 0.1, "mlp_ratio": 3.0, "block_type": "default"}
    name = own_model("own-fine", same | more, {"ls_init_value": 0.1, "mlp_ratio": 2.0})
    clip = build(describe(name), UNUSED)
    assert clip.widths == (32, 32)


# -- precision


@torch.no_grad()
def test_bf16_changes_the_towers_only(inputs):
    clip, pixels, tokens = inputs
    full = clip.image(pixels), clip.text(tokens)
    state = {k: v.clone() for k, v in clip.state_dict().items()}
    clip.precision = "bf16"
    for x, y in zip((clip.image(pixels), clip.text(tokens)), full, strict=True):
        assert x.dtype == torch.float32
        assert_close(x.norm(dim=1), torch.ones(2), rtol=0, atol=1e-5)
        assert not x.equal(y)
        assert (x * y).sum(dim=1).min() > 0.99
    assert clip.image_tower(clip.embed_image(pixels)).dtype == torch.bfloat16
    assert clip.scale.dtype == torch.float32
    assert (torch.eye(3) @ torch.eye(3)).dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")
    assert all(v.equal(state[k]) and v.dtype == torch.float32
               for k, v in clip.state_dict().items())  # fmt: skip
    clip.precision = "fp32"
    assert clip.image(pixels).equal(full[0])


# -- the compact tokenizer


@pytest.mark.parametrize("context", [8, 77])
def test_compact_tokenizer(context, clip):
    tokenize = tiny_tokenizer(context)
    vocabulary = clip.token_embedding.num_embeddings
    long = "a red circle above a blue square " * 30
    texts = ["a red circle", "zyzzyva ☃ 漢字 qwrtpsdf", "", long, "A  Red circle"]
    tokens = tokenize(texts)
    start, end = int(tokens[0, 0]), int(tokens.max())
    assert tokens.shape == (5, context)
    assert tokens.dtype == torch.int64
    assert end == start + 1 < vocabulary
    assert end == len(tokenize.rows) + tokenize.buckets + 1
    assert int(tokens.min()) >= 0
    places = clip.end_of_text(tokens)
    assert places[2] == 1
    assert places[3] == context - 1, "a cut text has lost its end token"
    for row, place in zip(tokens, places, strict=True):
        assert row[0] == start
        assert (row == end).sum() == 1
        assert (row[place + 1 :] == 0).all()
        assert (row[1:place] < start).all()
    assert tokens[4].equal(tokens[0])
    assert not tokens[1].equal(tokens[0])
    assert tokenize([long])[0].equal(tokens[3])


def test_compact_tokenizer_fits_every_tiny_model():
    for name in bundled():
        table = json.loads((SHIPPED / f"{name}.json").read_text())["text_cfg"]
        tokenize = tiny_tokenizer(table["context_length"])
        assert int(tokenize(["x"]).max()) < table["vocab_size"]
        assert len(set(tokenize.rows.values())) == len(tokenize.rows)
