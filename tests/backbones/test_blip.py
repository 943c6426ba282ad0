"""BLIP: transformers' own numbers, sites in every map, and files that fit or are refused.

The model is a tiny one with random weights, saved by transformers as one is published on the hub.
"""

import copy
import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from known import known
from lanes import lanes
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close
from transformers import BlipConfig, BlipForImageTextRetrieval

from benchmark.backbones import known as models
from benchmark.backbones.blip import Blip, WordPieces, build
from benchmark.backbones.blocks.compiled import Compiler, Sizes
from benchmark.backbones.known import check_backbone, describe, image_side
from benchmark.backbones.load import files_of, hub_places, load, tokenizer_of
from benchmark.backbones.sites import PARALLEL
from benchmark.cli.data.jobs import Options
from benchmark.cli.data.lock import lock_all
from benchmark.cli.data.prepare import prepare_all
from benchmark.cli.display import Display
from benchmark.data import rendered as mini
from benchmark.data.tensors import load_split
from benchmark.errors import BenchError
from benchmark.hub import lock
from benchmark.records.store import read_record
from benchmark.run.registry import method_names
from benchmark.run.request import Request, make_plan
from benchmark.run.runner import execute
from methods.lwf_vr import virtual_texts

NAME, REPO = "blip-tiny", "someone/blip-tiny"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
MARKS = ("[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (*MARKS, "[", "]", ".", ",", "red", "circle", "##s", "photo", "of", "the", *LETTERS,
         *(f"##{c}" for c in LETTERS if c != "s"))  # fmt: skip
CONFIG = {
    "image_text_hidden_size": 12,
    "vision_config": {
        "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": 24, "patch_size": 8, "hidden_act": "gelu",
        "attention_dropout": 0.0, "layer_norm_eps": 1e-5,
    },
    "text_config": {
        "vocab_size": len(WORDS) + 2, "hidden_size": 20, "intermediate_size": 28,
        "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 24,
        "hidden_act": "gelu", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": 1e-12, "pad_token_id": 0,
    },
}  # fmt: skip
ABOUT = {
    "tags": {"local": REPO}, "context": 16, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.25],
    "config": CONFIG,
}  # fmt: skip
MAPS = ("attn.q", "attn.k", "attn.v", "attn.out_proj", "mlp.c_fc", "mlp.c_proj")
TEXTS = ["a red circle", "", "circles, circles and the photo of a thing", "x"]
METHODS = [name for name, origin in method_names().items() if origin.startswith("methods/")]
# Of the others each has its parts in one of these.
FIRST = ("zs", "rail-primal", "codyra", "c-clip", "l2p", "lwf-vr")


@pytest.fixture(scope="module", autouse=True)
def _known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The harness knows the tiny one beside the one that it ships."""
    folder = tmp_path_factory.mktemp("known")
    for at in models.BLIPS.glob("blip-*.json"):
        shutil.copy(at, folder)
    (folder / f"{NAME}.json").write_text(json.dumps(ABOUT))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "BLIPS", folder)
        yield


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository as transformers writes it: cross-attention and matching head too."""
    folder = tmp_path_factory.mktemp("published")
    model = BlipForImageTextRetrieval(BlipConfig(**copy.deepcopy(CONFIG)))
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=g) * 0.2)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


@pytest.fixture(scope="module")
def file(published: Path) -> str:
    return str(published / "model.safetensors")


@pytest.fixture(scope="module")
def theirs(published: Path) -> Any:
    return BlipForImageTextRetrieval.from_pretrained(published).double().eval()


@pytest.fixture(scope="module")
def start(file: str) -> Blip:
    found = load(NAME, file)
    assert isinstance(found, Blip)
    return found


@pytest.fixture
def blip(start: Blip) -> Blip:
    return copy.deepcopy(start).double()


def _pixels(count: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, 24, 24, generator=g, dtype=torch.float64)


def _rows(blip: Blip, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Unit rows in float64."""
    text = blip.text_tower(blip.embed_text(tokens), blip.end_of_text(tokens))
    return F.normalize(blip.image_tower(blip.embed_image(pixels))), F.normalize(text)


# -- the same numbers as transformers


@pytest.mark.parametrize("cut", [16, 13])
@torch.no_grad()
def test_both_towers_equal_transformers(blip: Blip, theirs: Any, cut: int) -> None:
    """With padding up to the context and without; every text but one is shorter than the batch."""
    pixels, tokens = _pixels(3), blip.tokenize(TEXTS)
    tokens = tokens[:, :cut]
    tokens[2, cut - 1] = blip.frame[1]
    assert blip.end_of_text(tokens).tolist() == [4, 1, cut - 1, 2]
    known = theirs(tokens, pixels, use_itm_head=False, attention_mask=(tokens != 0).long())
    image, text = _rows(blip, pixels, tokens)
    assert_close(image @ text.T, known.itm_score, rtol=0, atol=1e-10)
    want = theirs.text_proj(known.question_embeds[:, 0])
    assert_close(text, F.normalize(want), rtol=0, atol=1e-10)
    want = theirs.vision_proj(known.last_hidden_state[:, 0])
    assert_close(image, F.normalize(want), rtol=0, atol=1e-10)
    assert float(known.itm_score.std()) > 0.02, "all alike: proves nothing"
    assert_close(blip.text(tokens), text.float())
    assert blip.float().image(pixels.float()).dtype == torch.float32


@torch.no_grad()
def test_an_item_does_not_depend_on_its_batch(blip: Blip) -> None:
    pixels, tokens = _pixels(4), blip.tokenize(TEXTS)
    image, text = _rows(blip, pixels, tokens)
    longest = int(blip.end_of_text(tokens).max()) + 1
    assert blip.embed_text(tokens).shape == (4, blip.text_length(longest), 20)
    for i in range(4):
        one = _rows(blip, pixels[i : i + 1], tokens[i : i + 1])
        longest = int(blip.end_of_text(tokens)[i]) + 1
        assert blip.embed_text(tokens[i : i + 1]).shape[1] == blip.text_length(longest)
        assert_close(one[0], image[i : i + 1], rtol=0, atol=1e-12)
        assert_close(one[1], text[i : i + 1], rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_text_sees_all_up_to_its_end_and_nothing_after(blip: Blip) -> None:
    g = torch.Generator().manual_seed(0)
    x, end = torch.randn(1, 6, 20, generator=g, dtype=torch.float64), torch.tensor([3])
    for place in range(6):
        other = x.clone()
        other[:, place] += 1
        same = torch.allclose(blip.text_tower(x, end), blip.text_tower(other, end))
        assert same == (place > 3)


def test_the_towers_are_those_of_the_published_model(start: Blip, theirs: Any) -> None:
    """Of its weights only those of the matching path are left."""
    own, known = start.state_dict(), theirs.state_dict()
    left = {k for k in known if "crossattention" not in k and not k.startswith("itm_head")}
    assert own.keys() - {"logit_scale"} == left
    assert left < known.keys()
    assert (start.dim, start.widths, start.size, start.context) == (12, (16, 20), 24, 16)
    assert (start.mean, start.std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.25))
    assert float(start.scale.detach()) == pytest.approx(1 / 0.07)
    assert not start.training


def _count(size: dict[str, int]) -> int:
    """Parameters of the blocks of a tower: four square maps, two of the MLP, two norms."""
    w, h = size["hidden_size"], size["intermediate_size"]
    return size["num_hidden_layers"] * (4 * w * (w + 1) + w * (2 * h + 1) + h + 4 * w)


def test_number_of_parameters_of_the_base_model() -> None:
    model = describe("blip-base")
    config = model.about["config"]
    with torch.device("meta"):
        blip = build(model, WordPieces("\n".join(WORDS), 35, 30524), config)
    image, text = (config[f"{part}_config"] for part in ("vision", "text"))
    patches = (384 // 16) ** 2
    want = _count(image) + 768 * (3 * 16 * 16 + 1) + 768 * (1 + patches + 1) + 2 * 768
    want += _count(text) + 768 * (30524 + 512) + 2 * 768 + 2 * 256 * (768 + 1) + 1
    assert sum(p.numel() for p in blip.parameters()) == want == 195_375_873
    assert len(blip.sites(MAPS)) == 2 * 12 * 6
    assert (blip.size, blip.context, blip.dim, blip.widths) == (384, 35, 256, (768, 768))


@pytest.mark.slow
@torch.no_grad()
def test_the_base_model_is_transformers_s() -> None:
    model, words = describe("blip-base"), WordPieces("\n".join(WORDS), 35, 30524)
    config = model.about["config"]
    torch.manual_seed(0)
    ours = build(model, words, config).eval()
    theirs = BlipForImageTextRetrieval(BlipConfig(**config)).eval()
    missing, extra = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert extra == ["logit_scale"]
    assert all("crossattention" in name or "itm_head" in name for name in missing)
    pixels, tokens = torch.randn(2, 3, 384, 384), words(["a red circle", "circle " * 60])
    known = theirs(tokens, pixels, use_itm_head=False, attention_mask=(tokens != 0).long())
    assert_close(ours.image(pixels) @ ours.text(tokens).T, known.itm_score, rtol=0, atol=1e-5)


# -- adapters


@torch.no_grad()
def test_a_site_is_the_map_of_its_name(blip: Blip) -> None:
    state, sites = blip.state_dict(), blip.sites(MAPS)
    for i in range(2):
        own = f"vision_model.encoder.layers.{i}."
        thirds = state[f"{own}self_attn.qkv.weight"].split(16)
        image = [*thirds, *(state[f"{own}{n}.weight"] for n in
                            ("self_attn.projection", "mlp.fc1", "mlp.fc2"))]  # fmt: skip
        own = f"text_encoder.encoder.layer.{i}."
        text = [state[f"{own}{n}.weight"] for n in (
            "attention.self.query", "attention.self.key", "attention.self.value",
            "attention.output.dense", "intermediate.dense", "output.dense",
        )]  # fmt: skip
        for tower, maps in (("image", image), ("text", text)):
            for target, weight in zip(MAPS, maps, strict=True):
                found = sites[f"{tower}.{i}.{target}"].weight
                assert (found.data_ptr(), found.shape) == (weight.data_ptr(), weight.shape)


def _deltas(blip: Blip, targets: tuple[str, ...]) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(1)
    shapes = {name: site.weight.shape for name, site in blip.sites(targets).items()}
    return {n: torch.randn(s, generator=g, dtype=torch.float64) * 0.3 for n, s in shapes.items()}


def _linear(weight: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: x @ weight.T


@pytest.mark.parametrize("target", MAPS)
@torch.no_grad()
def test_a_merged_map_equals_a_live_one(blip: Blip, target: str) -> None:
    """In every block of both towers; each alone changes its own tower and not the other."""
    pixels, tokens = _pixels(2), blip.tokenize(TEXTS)
    plain = _rows(blip, pixels, tokens)
    for name, delta in _deltas(blip, (target,)).items():
        with blip.adapted({name: _linear(delta)}, (target,)):
            live = _rows(blip, pixels, tokens)
        weight = blip.sites((target,))[name].weight
        kept = weight.clone()
        weight += delta
        merged = _rows(blip, pixels, tokens)
        weight.copy_(kept)
        own, other = (0, 1) if name.startswith("image.") else (1, 0)
        assert_close(live[own], merged[own], rtol=0, atol=1e-10)
        assert float((live[own] - plain[own]).abs().max()) > 1e-4, name
        assert live[other].equal(plain[other])
    assert _rows(blip, pixels, tokens)[1].equal(plain[1])


@torch.no_grad()
def test_sites_have_the_names_of_a_clip(blip: Blip, clip: Any) -> None:
    own = [n for n in clip.sites(MAPS) if int(n.split(".")[1]) < 2]
    assert list(blip.sites(MAPS)) == own
    assert list(blip.places((PARALLEL,))) == [f"{t}.{i}.{PARALLEL}" for t in ("image", "text")
                                              for i in range(2)]  # fmt: skip
    with pytest.raises(BenchError, match=r"adapter targets of attn\.q"):
        blip.sites(("attn.qkv",))


@torch.no_grad()
def test_what_is_beside_the_mlp_goes_inside_the_norm_of_a_text(blip: Blip, theirs: Any) -> None:
    """Against transformers' own layers: texts norm(x + MLP(x) + d x), images x + MLP(..) + d x."""
    g = torch.Generator().manual_seed(2)
    widths = {"image": 16, "text": 20}
    weights = {
        name: torch.randn(w, w, generator=g, dtype=torch.float64) * 0.2
        for name in blip.places((PARALLEL,))
        for w in [widths[name.split(".")[0]]]
    }
    pixels, tokens = _pixels(2), blip.tokenize(TEXTS[:1])[:, :5]
    x = theirs.text_encoder.embeddings(input_ids=tokens)
    for i, layer in enumerate(theirs.text_encoder.encoder.layer):
        x = layer.attention(x)[0]
        extra = x @ weights[f"text.{i}.{PARALLEL}"].T
        x = layer.output.LayerNorm(x + layer.output.dense(layer.intermediate(x)) + extra)
    y = theirs.vision_model.embeddings(pixels)
    for i, layer in enumerate(theirs.vision_model.encoder.layers):
        y = y + layer.self_attn(layer.layer_norm1(y))[0]
        y = y + layer.mlp(layer.layer_norm2(y)) + y @ weights[f"image.{i}.{PARALLEL}"].T
    want = theirs.vision_proj(theirs.vision_model.post_layernorm(y[:, 0]))
    with blip.adapted({n: _linear(w) for n, w in weights.items()}, (PARALLEL,)):
        image, text = _rows(blip, pixels, tokens)
    assert_close(image, F.normalize(want), rtol=0, atol=1e-10)
    assert_close(text, F.normalize(theirs.text_proj(x[:, 0])), rtol=0, atol=1e-10)


def test_pieces_of_a_batch_have_the_gradients_of_the_whole(blip: Blip) -> None:
    pixels, tokens = _pixels(5), blip.tokenize([*TEXTS, "the the"])
    deltas = {n: w.requires_grad_() for n, w in _deltas(blip, MAPS).items()}
    found = []
    for chunks in (1, 2):
        blip.chunks = chunks
        with blip.adapted({n: _linear(w) for n, w in deltas.items()}, MAPS):
            image, text = _rows(blip, pixels, tokens)
        loss = F.cross_entropy(image @ text.T * 9, torch.arange(5))
        found.append((loss, *torch.autograd.grad(loss, list(deltas.values()))))
    for whole, pieces in zip(*found, strict=True):
        assert_close(whole, pieces, rtol=0, atol=1e-12)
    assert all(float(g.abs().max()) > 0 for n, g in zip(deltas, found[0][1:], strict=True)
               if not n.endswith("attn.k"))  # fmt: skip


@torch.no_grad()
def test_compiled_blocks_give_the_same_rows(blip: Blip, monkeypatch: pytest.MonkeyPatch) -> None:
    """Padded in both directions; by as many graphs as there are kinds of blocks."""
    for name in ("torch.__trace", "torch"):  # what pytest would keep of it takes minutes
        monkeypatch.setattr(logging.getLogger(name), "propagate", False)
    graphs = []

    def backend(graph: Any, inputs: object) -> Any:
        graphs.append(graph)
        return graph.forward

    pixels, tokens = _pixels(len(TEXTS)), blip.tokenize(TEXTS)[:, :13]
    want = _rows(blip, pixels, tokens)
    blip.compiler = Compiler(Sizes(batch=6, images=8, tokens=8 * 16), backend)
    assert_close(_rows(blip, pixels, tokens), want, rtol=0, atol=1e-12)
    assert len(graphs) == 4, "in the middle of a tower and at its end, of images and of texts"


def test_weights_outside_the_blocks(start: Blip) -> None:
    """What C-CLIP trains as a whole."""
    names = {id(p): n for n, p in start.named_parameters()}
    inside = ("vision_model.encoder.", "text_encoder.encoder.")
    patch = "vision_model.embeddings.patch_embedding."
    want = [n for n in names.values() if not n.startswith((*inside, patch, "logit_scale"))]
    assert [names[id(p)] for p in start.weights_outside_blocks()] == want
    assert len(want) == 2 + 2 + 4 + 4


@torch.no_grad()
def test_bf16_towers_are_near(start: Blip) -> None:
    blip = copy.deepcopy(start)
    pixels, tokens = _pixels(3).float(), blip.tokenize(TEXTS)
    whole = blip.image(pixels), blip.text(tokens)
    blip.precision = "bf16"
    half = blip.image(pixels), blip.text(tokens)
    for mine, other in zip(whole, half, strict=True):
        assert other.dtype == torch.float32
        assert not mine.equal(other)
        assert float((mine * other).sum(dim=1).min()) > 0.99


# -- tokens


def _ids(*words: str) -> list[int]:
    return [WORDS.index(w) for w in words]


def test_word_pieces_by_hand(start: Blip) -> None:
    tokens = start.tokenize(["A RED Circles.", "", "héx", "☃ the", "[PAD] a", "red " * 99])
    assert tokens.dtype == torch.int64
    assert tokens.shape == (6, 16)
    want = [
        ("[CLS]", "a", "red", "circle", "##s", ".", "[SEP]"), ("[CLS]", "[SEP]"),
        ("[CLS]", "h", "##e", "##x", "[SEP]"), ("[CLS]", "[UNK]", "the", "[SEP]"),
        ("[CLS]", "[PAD]", "a", "[SEP]"), ("[CLS]", *["red"] * 14, "[SEP]"),
    ]  # fmt: skip
    for row, words in zip(tokens.tolist(), want, strict=True):
        assert row == _ids(*words) + [0] * (16 - len(words))
    assert start.end_of_text(tokens).tolist() == [len(words) - 1 for words in want]
    assert copy.deepcopy(start).tokenize is start.tokenize


def test_words_are_all_but_those_in_brackets(start: Blip) -> None:
    assert start.words.tolist() == list(range(len(MARKS), len(WORDS)))
    assert start.frame == tuple(_ids("[CLS]", "[SEP]"))
    tokens = virtual_texts(start, 40, 5, torch.Generator().manual_seed(0))
    assert tokens.shape == (40, 16)
    assert start.end_of_text(tokens).tolist() == [6] * 40
    assert not tokens[:, 7:].any()
    assert int(tokens[:, 1:6].min()) >= len(MARKS)


# -- methods


@pytest.fixture(scope="module")
def blip_lab(lab: Any, start: Blip) -> Any:
    def read(split: Any) -> Any:
        return load_split(split, start.size, start.tokenize, lab.root)

    return replace(
        lab,
        start=start,
        pairs=tuple(read(mini.render_pairs(n, "train", 8, 0)) for n in ("photos", "sketches")),
        labelled=tuple(read(mini.render_labelled(n, "train", 8, 0)) for n in ("objects", "land")),
        reference=read(mini.render_pairs("photos", "pretrain", 6, 1)),
    )


CASES = [
    pytest.param(name, kind, marks=[pytest.mark.slow] * (name not in FIRST or bool(late)))
    for name in METHODS
    for late, kind in enumerate(
        k for k in ("pairs", "labelled") if k not in known(name).cls.refuses
    )
]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_method_runs_on_it(name: str, kind: str, blip_lab: Any) -> None:
    few = {"sequences": 7, "length": 5} if name == "lwf-vr" else {}
    few |= {"prompt_length": 2, "top_k": 2} if name == "l2p" else {}
    run = blip_lab.train(name, blip_lab.sets(kind), **few)
    assert np.isfinite(run.losses).all()
    assert run.trespass == []
    for count, moved in zip(run.trainable, run.moved, strict=True):
        assert (moved > 0) == (count > 0)
    task = 0 if "task id" in run.method.uses else None
    rows = blip_lab.embed(run.method, run.feed, blip_lab.pairs[0], task)
    for found in rows:
        assert_close(found.norm(dim=1), torch.ones(len(found)))


@pytest.mark.parametrize("room", ["extend", "truncate"])
@torch.no_grad()
def test_prompts_in_a_text_do_not_depend_on_its_batch(room: str, blip_lab: Any) -> None:
    feed = blip_lab.feed(blip_lab.clip())
    method = blip_lab.method("l2p", feed, prompt_length=2, top_k=3, text_room=room).eval()
    data = blip_lab.pairs[0]
    _, whole = blip_lab.embed(method, feed, data)
    texts = [feed.texts(data.tokens_ML, data.text_key, torch.tensor([i])) for i in range(8)]
    assert_close(torch.cat([method.encode_text(t) for t in texts]), whole[:8], rtol=0, atol=1e-5)
    assert not torch.allclose(whole, feed.clip.text(data.tokens_ML), atol=1e-3)


@pytest.mark.parametrize("method", lanes(["zs", "rail-primal", "codyra"], ["zs"]))
def test_a_whole_run(method: str, file: str, own_cache: Path, tmp_path: Path) -> None:
    """Two tasks of few-shot learning, from the request to the record."""
    asked = Request(
        method, suite="mini-xtail", order="planes,curios", backbone=NAME, pretrained=file, limit=9,
        epochs=1, evals="id", device="cpu", output_dir=tmp_path, cache_dir=own_cache,
    )  # fmt: skip
    plan = make_plan(asked)
    assert plan.pretrained.startswith("model.safetensors@")
    execute(plan, Display(quiet=True))
    record = read_record(plan.target)
    about = record.provenance
    assert set(record.frame["backbone"]) == {NAME}
    assert set(record.frame["status"]) == {"ok"}
    assert about["weights"]["sha256"] == load(NAME, file).fingerprint
    assert about["versions"]["transformers"].startswith("5.")


# -- files


def test_a_file_with_its_vocabulary(start: Blip, file: str, published: Path) -> None:
    again = load(NAME, file)
    assert again.fingerprint == start.fingerprint
    assert again.origin == ""
    tokenize, name = tokenizer_of(NAME, file)
    assert name == start.tokenizer
    assert tokenize(TEXTS).equal(start.tokenize(TEXTS))
    assert name.startswith("bert ")


def _changed(published: Path, folder: Path, **sections: Any) -> str:
    """The published files with another config."""
    shutil.copytree(published, folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    for key, value in sections.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder / "model.safetensors")


ODD = [
    ({"text_config": {"num_attention_heads": 2}}, r"t_config.num_attention_heads 2 instead of 4"),
    ({"text_config": {"hidden_act": "relu"}}, r"text_config.hidden_act relu instead of gelu"),
    ({"text_config": {"hidden_dropout_prob": 0.1}}, r"hidden_dropout_prob 0.1 instead of 0.0"),
    ({"vision_config": {"attention_dropout": 0.5}}, r"attention_dropout 0.5 instead of 0.0"),
    ({"vision_config": {"image_size": [24, 32]}}, r"image_size .* instead of 24"),
    ({"image_text_hidden_size": 13}, r"image_text_hidden_size 13 instead of 12"),
    ({"text_config": {"hidden_size": 24, "hidden_act": "relu"}}, r"24 instead of 20 and 1 more"),
    ({"text_config": {"vocab_size": "many"}}, r"expected a config.json of a BLIP"),
]  # fmt: skip


@pytest.mark.parametrize(("sections", "said"), ODD)
def test_a_config_that_says_otherwise(
    sections: dict[str, Any], said: str, published: Path, tmp_path: Path
) -> None:
    with pytest.raises(BenchError, match=said) as caught:
        load(NAME, _changed(published, tmp_path, **sections))
    assert caught.value.code == 4


def test_the_epsilon_is_that_of_the_config(
    start: Blip, published: Path, theirs: Any, tmp_path: Path
) -> None:
    other = load(NAME, _changed(published, tmp_path, vision_config={"layer_norm_eps": 0.1}))
    assert other.fingerprint != start.fingerprint
    assert all(p.equal(q) for p, q in zip(other.parameters(), start.parameters(), strict=True))
    pixels = _pixels(2).float()
    assert not torch.allclose(other.image(pixels), start.image(pixels), atol=1e-4)
    (tmp_path / "config.json").unlink()
    assert load(NAME, str(tmp_path / "model.safetensors")).fingerprint == start.fingerprint


BROKEN = [
    ("config.json", "{", "expected transformers' config in JSON"),
    ("config.json", "[]", "expected transformers' config in JSON"),
    ("vocab.txt", None, "got FileNotFoundError; put it beside the weights"),
    ("vocab.txt", "", r"a vocabulary of BERT's: up to 89 lines, \[PAD\] the first"),
    ("vocab.txt", "\n".join(WORDS[1:]), r"86 lines, 86 different ones, the first '\[unu"),
    ("vocab.txt", "\n".join([*WORDS, "b", "c"]), "got 89 lines, 87 different ones"),
    ("vocab.txt", "\n".join([*WORDS, "bb", "cc", "dd"]), "got 90 lines"),
    ("vocab.txt", "\n".join(w for w in WORDS if w != "[SEP]"), "got 86 lines"),
    ("model.safetensors", "no", "a readable weights file"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "said"), BROKEN)
def test_broken_files(
    name: str, content: str | None, said: str, published: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(published, folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(BenchError, match=said) as caught:
        load(NAME, str(folder / "model.safetensors"))
    assert caught.value.code == 4


@pytest.mark.parametrize("change", ["missing", "shape", "more"])
def test_weights_that_do_not_fit(change: str, start: Blip, published: Path, tmp_path: Path) -> None:
    state = dict(start.state_dict())
    if change == "missing":
        del state["text_proj.weight"]
    elif change == "shape":
        state["text_proj.weight"] = torch.zeros(3)
    else:
        state["qformer.weight"] = torch.zeros(3)
    shutil.copy(published / "vocab.txt", tmp_path)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(BenchError, match=r"tensors of blip-tiny, .* with 1 that do not fit"):
        load(NAME, str(tmp_path / "w.pt"))


def test_the_extra_is_missing(monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    """Said before anything is built, whatever asks."""

    def missing(_: str) -> str:
        raise PackageNotFoundError

    for name in ("benchmark.backbones.blip", "benchmark.backbones.blip_files"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "transformers", None)  # an import of it fails
    for found, got in ((missing, "none"), (lambda _: "4.57.1", "4.57.1")):
        monkeypatch.setattr(models, "version", found)
        for ask in (
            lambda: check_backbone("blip-base"),
            lambda: image_side("blip-base"),
            lambda: load(NAME, file),
            lambda: tokenizer_of(NAME, file),
            lambda: hub_places(NAME, "local"),
            lambda: files_of(NAME, "local"),
            lambda: make_plan(Request("zs", backbone="blip-base", pretrained="itm-coco")),
        ):
            with pytest.raises(BenchError) as caught:
                ask()
            assert str(caught.value).startswith("expected transformers 5, which blip-")
            assert f"got {got}; install the extra: pip install 'cl-bench[blip]'" in str(
                caught.value
            )


def test_names_and_tags() -> None:
    assert image_side("blip-base") == 384
    assert hub_places("blip-base", "itm-flickr") == [
        ("Salesforce/blip-itm-base-flickr", name)
        for name in ("model.safetensors", "config.json", "vocab.txt")
    ]
    with pytest.raises(
        BenchError, match=r"a tag of blip-base \(itm-coco, itm-flickr\), got 'openai'"
    ):
        load("blip-base", "openai")
    with pytest.raises(BenchError, match=r"an open_clip model name, or blip-base.*'blip-base'"):
        check_backbone("blip-bose")
    for seed in ("random:", "random:-1", "random:x"):
        with pytest.raises(BenchError, match="whole number"):
            load(NAME, seed)


@pytest.fixture
def on_hub(hub: Any, place: Path, published: Path) -> Iterator[str]:
    files = {at.name: at.read_bytes() for at in published.iterdir()}
    yield hub.server.add(REPO, files, kind="model")
    hub.server.forget(REPO, kind="model")
    from huggingface_hub import constants

    shutil.rmtree(Path(constants.HF_HUB_CACHE) / "models--someone--blip-tiny", ignore_errors=True)


def test_from_the_hub_pinned_and_read_offline(
    hub: Any, place: Path, on_hub: str, start: Blip, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(NAME, "local")
    assert first.fingerprint == start.fingerprint
    assert first.tokenizer == start.tokenizer
    assert first.origin == f"{REPO}@{on_hub}/model.safetensors"
    entries = lock.read(place / "hub.lock.json")
    assert set(entries) == {f"weights {REPO}/{name}" for name in
                            ("model.safetensors", "config.json", "vocab.txt")}  # fmt: skip
    for entry in entries.values():
        assert entry.revision == on_hub
        assert entry.files is not None
        assert len(entry.files[0].sha256 or "") == 64
    hub.server.add(REPO, {"model.safetensors": b"new", "vocab.txt": b"new"}, kind="model")
    hub.server.requests.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert load(NAME, "local").fingerprint == start.fingerprint
    assert files_of(NAME, "local").origin == first.origin
    assert tokenizer_of(NAME)[1] == start.tokenizer
    assert hub.server.requests == []


def test_prepare_and_lock_take_all_three_files(
    hub: Any, place: Path, on_hub: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lock_all([f"{NAME}/local"], False, None, None) == 0
    assert f"{REPO}@{on_hub}" in capsys.readouterr().out
    assert len(lock.read(place / "hub.lock.json")) == 3
    assert prepare_all([f"{NAME}/local"], Options(yes=True), "plain") == 0
    assert prepare_all([f"{NAME}/local"], Options(), "none") == 0  # nothing to ask for


def test_older_weights_and_random_ones(hub: Any, place: Path, published: Path, start: Blip) -> None:
    """A repository without safetensors; random weights take its vocabulary alone."""
    from huggingface_hub import constants

    torch.save(start.state_dict(), published.parent / "w.bin")
    files = {n: (published / n).read_bytes() for n in ("config.json", "vocab.txt")}
    files["pytorch_model.bin"] = (published.parent / "w.bin").read_bytes()
    commit = hub.server.add(REPO, files, kind="model")
    try:
        assert load(NAME, "random:3").fingerprint == load(NAME, "random:3").fingerprint
        assert load(NAME, "random:3").fingerprint != load(NAME, "random:4").fingerprint
        assert set(lock.read(place / "hub.lock.json")) == {f"weights {REPO}/vocab.txt"}
        rows = load(NAME, "random:3").image(_pixels(4).float()).detach()
        assert float((rows @ rows.T).min()) < 0.999, "an image tower that is blind"
        found = load(NAME, "local")
        assert found.fingerprint == start.fingerprint
        assert found.origin == f"{REPO}@{commit}/pytorch_model.bin"
    finally:
        hub.server.forget(REPO, kind="model")
        shutil.rmtree(
            Path(constants.HF_HUB_CACHE) / "models--someone--blip-tiny", ignore_errors=True
        )
