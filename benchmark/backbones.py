"""Loading a backbone: architecture, tokenizer, weights, and whether they belong together."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from .clip import Clip
from .errors import BenchError, nearest
from .tokenizer import CompactTokenizer

WEIGHTS = Path(__file__).parent / "weights"


def bundled() -> tuple[str, ...]:
    """Names of the tiny models that ship with the package."""
    return tuple(sorted(p.stem for p in WEIGHTS.glob("tiny-?.json")))


def tiny_tokenizer(context: int) -> CompactTokenizer:
    """The tokenizer of the bundled models; its table is weights/tiny-vocabulary.json."""
    from open_clip.tokenizer import SimpleTokenizer

    table = json.loads((WEIGHTS / "tiny-vocabulary.json").read_text())
    rows = {int(t): i for i, t in enumerate(table["tokens"])}
    return CompactTokenizer(rows, int(table["buckets"]), context, SimpleTokenizer().encode)


def _tokenizer(name: str, context: int) -> Callable[[list[str]], Tensor]:
    if name in bundled():
        return tiny_tokenizer(context)
    import open_clip

    plain = open_clip.get_tokenizer(name)
    return lambda texts: cast(Tensor, plain(texts))


@cache
def _register() -> None:
    import open_clip

    for tiny in bundled():
        open_clip.add_model_config(WEIGHTS / f"{tiny}.json")


def _check_name(name: str) -> None:
    """Makes the tiny models known to open_clip, and refuses a name that it does not know."""
    import open_clip

    _register()
    known = open_clip.list_models()
    if name not in known:
        raise BenchError("an open_clip model name", f"'{name}'", nearest(name, known))


def build(name: str) -> Clip:
    """The architecture with random weights (torch's global generator).

    Raises:
        BenchError: open_clip knows no model of that name, or its towers are not plain.
    """
    import open_clip

    _check_name(name)
    logging.disable(logging.WARNING)  # "no pretrained weights": they are loaded by the caller
    try:
        model = open_clip.create_model(name, pretrained=None)
    finally:
        logging.disable(logging.NOTSET)
    return Clip(name, model, _tokenizer(name, int(model.context_length)))


def load(name: str, pretrained: str) -> Clip:
    """A backbone with its weights, in float32 on the CPU, in eval mode.

    Args:
        name: open_clip model name, for example ViT-B-16-quickgelu or tiny-s.
        pretrained: "bundled" (the tiny models), "random:<seed>", a weights file, or an open_clip
            tag such as openai.

    Raises:
        BenchError: unknown model or tag, weights that do not fit or that were trained with the
            other activation (QuickGELU against GELU).
    """
    _check_name(name)
    if not pretrained.startswith("random:"):
        weights, preprocess = _weights(name, pretrained)
        clip = build(name)
        _fit(clip, weights, name, pretrained)
        clip.mean = tuple(preprocess.get("mean", clip.mean))
        clip.std = tuple(preprocess.get("std", clip.std))
    else:
        seed = pretrained.removeprefix("random:")
        if not (seed.isascii() and seed.isdigit()):
            raise BenchError("random:<whole number>", f"'{pretrained}'", "give a seed")
        torch.manual_seed(int(seed))
        clip = build(name)
    clip.fingerprint = fingerprint(clip.state_dict())
    return clip.eval()


def _weights(name: str, pretrained: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if pretrained == "bundled":
        if name not in bundled():
            raise BenchError(
                f"a model with bundled weights ({', '.join(bundled())})",
                f"'{name}'",
                "give --pretrained an open_clip tag such as openai, or a weights file",
            )
        pretrained = str(WEIGHTS / f"{name}.safetensors")
    path = Path(pretrained)
    if path.suffix in (".safetensors", ".pt", ".pth", ".bin"):
        return _read_file(name, path), {}
    return _download(name, pretrained)


def _read_file(name: str, path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise BenchError("a weights file", f"no file '{path}'", "correct --pretrained", code=4)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as f:
                meta = f.metadata() or {}
            if "quick_gelu" in meta:
                _check_activation(name, str(path), meta["quick_gelu"] == "true")
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except BenchError:
        raise
    except Exception as e:
        raise BenchError(
            "a readable weights file", f"'{path}' ({type(e).__name__})", "fetch it again", code=4
        ) from e
    state = state.get("state_dict", state)
    if {"input_resolution", "context_length", "vocab_size"} <= state.keys():
        _check_activation(name, str(path), True)  # OpenAI's own archive layout
    extra = ("input_resolution", "context_length", "vocab_size")
    return {k.removeprefix("module."): v for k, v in state.items() if k not in extra}


def _download(name: str, tag: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    base = name.removesuffix("-quickgelu")
    tags = sorted({*list_pretrained_tags_by_model(name), *list_pretrained_tags_by_model(base)})
    config = get_pretrained_cfg(name, tag) or get_pretrained_cfg(base, tag)
    if not config:
        raise BenchError(
            f"a weights file, or a tag of {name} ({', '.join(tags) or 'it has none'})",
            f"'{tag}'",
            nearest(tag, tags) if tags else "give --pretrained a file",
        )
    _check_activation(name, tag, bool(config.get("quick_gelu", False)))
    resize = (config.get("resize_mode", "shortest"), config.get("interpolation", "bicubic"))
    if resize != ("shortest", "bicubic"):
        raise BenchError(
            "weights whose images are resized by the shortest side, bicubic",
            f"'{tag}' with {resize[0]}, {resize[1]}",
            f"choose another tag of {name}",
        )
    try:
        path = open_clip.download_pretrained(config)
    except Exception as e:
        raise BenchError(
            f"the weights '{tag}' of {name} from the hub or its cache",
            f"{type(e).__name__}",
            "go online once, set HF_ENDPOINT to a mirror, or give --pretrained a local file",
            code=4,
        ) from e
    return _read_file(name, Path(path)), config


def _check_activation(name: str, source: str, quick: bool) -> None:
    """A model that computes with the other GELU gives wrong numbers without any other sign."""
    import open_clip

    config = open_clip.get_model_config(name) or {}
    if bool(config.get("quick_gelu", False)) == quick:
        return
    swapped = name.removesuffix("-quickgelu") if not quick else f"{name}-quickgelu"
    known = swapped in open_clip.list_models()
    raise BenchError(
        f"a model with {'QuickGELU' if quick else 'GELU'}, as the weights '{source}' were trained",
        f"'{name}', whose config has {'GELU' if quick else 'QuickGELU'}",
        f"use --backbone {swapped}" if known else "use weights that fit the model",
    )


def _fit(clip: Clip, weights: Mapping[str, Tensor], name: str, source: str) -> None:
    own = clip.state_dict()
    given = {k: v for k, v in weights.items() if k != "attn_mask"}
    wrong = sorted(k for k in own.keys() & given.keys() if own[k].shape != given[k].shape)
    odd = sorted(own.keys() ^ given.keys()) + wrong
    if odd:
        raise BenchError(
            f"the {len(own)} tensors of {name}",
            f"'{source}' with {len(odd)} that do not fit ({odd[0]} ...)",
            "give the weights of this architecture",
        )
    clip.load_state_dict({k: v.float() for k, v in given.items()})


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """sha256 over names, shapes and bytes of the tensors, sorted by name."""
    h = hashlib.sha256()
    for name in sorted(state):
        t = state[name].detach().cpu().contiguous()
        h.update(f"{name}:{t.dtype}:{tuple(t.shape)};".encode())
        h.update(t.view(-1).view(torch.uint8).numpy().tobytes() if t.numel() else b"")
    return h.hexdigest()
