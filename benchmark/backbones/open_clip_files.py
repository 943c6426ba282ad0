"""What a CLIP of open_clip is read from: weights on the hub, in a file, or in the package.

The model must compute with the activation (QuickGELU or GELU) that its weights were trained with,
which the tensors do not show. Of a tag, open_clip's table of published weights says it; of a file,
the file itself, or the open_clip_config.json beside it with which open_clip's models are published.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from ..common.files import weights_file
from ..errors import BenchError, quoted
from .known import (
    BUNDLED,
    SHIPPED,
    Architecture,
    bundled,
    bundled_weights,
    checked,
    configs,
)
from .open_clip import OpenClip, build
from .plain_open_clip import part, published
from .plain_open_clip.undrawn import Undrawn
from .tensor_file import read_file
from .tokenizer import CompactTokenizer, Tokenize
from .weights import Files, fingerprint, fit, from_hub, tag_advice

CONFIG = "open_clip_config.json"
VOCABULARY = SHIPPED / "tiny-vocabulary.json"  # of the bundled models


# -- which files


def places(model: Architecture, tag: str) -> list[tuple[str, str]]:
    """Repository and file ("" for open_clip's usual name) of a tag's weights on the hub.

    Raises:
        BenchError: no such tag, or weights that this model cannot use.
    """
    return _places(_row(model, tag))


def files(model: Architecture, pretrained: str) -> Files:
    """The weights, fetched where they are not there, and what is said of them.

    Args:
        model: takes them.
        pretrained: "bundled" or "bundled-few-shot" (the tiny models), "random:<seed>", a file, or
            a tag such as openai.

    Raises:
        BenchError: no such tag, weights that this model cannot use, or no way to them.
    """
    if pretrained.startswith("random:"):
        return Files(pretrained)
    if pretrained == BUNDLED or pretrained.startswith(f"{BUNDLED}-"):
        known = bundled_weights()
        if (model.name, pretrained) not in known:
            raise BenchError(
                f"bundled weights ({', '.join(map('/'.join, known))})",
                f"'{model.name}/{pretrained}'",
                "choose one of them, an open_clip tag such as openai, or a weights file",
            )
        return Files(pretrained, checked(known[model.name, pretrained]))
    if (path := weights_file(pretrained)) is not None:
        config = path.with_name(CONFIG)
        return Files(pretrained, path, config if config.is_file() else None)
    row = _row(model, pretrained)
    for place in _places(row):
        path, origin = from_hub(model.name, pretrained, place)
        return Files(pretrained, path, origin=origin, table=row)
    try:
        return Files(pretrained, Path(published().download_pretrained(row)), table=row)
    except Exception as e:
        raise BenchError(
            f"the weights '{pretrained}' of {model.name} from {row.get('url', 'the net')} "
            "or the cache",
            f"{type(e).__name__}",
            "go online once, or give --pretrained a local file",
            code=4,
        ) from e


def _row(model: Architecture, tag: str) -> dict[str, Any]:
    """What open_clip's table of published weights says of a tag.

    Raises:
        BenchError: no such tag, or weights of another activation or another way to resize.
    """
    name, base = model.name, model.name.removesuffix("-quickgelu")
    table = published()
    tags = sorted({tag for n in (name, base) for tag in table.list_pretrained_tags_by_model(n)})
    row = table.get_pretrained_cfg(name, tag) or table.get_pretrained_cfg(base, tag)
    if not row:
        raise BenchError(
            f"a weights file, or a tag of {name} ({', '.join(tags) or 'it has none'})",
            quoted(tag),
            tag_advice(tag, tags),
        )
    _check_activation(model, tag, bool(row.get("quick_gelu", False)))
    resize = (row.get("resize_mode", "shortest"), row.get("interpolation", "bicubic"))
    if resize != ("shortest", "bicubic"):
        raise BenchError(
            "weights whose images are resized by the shortest side, bicubic",
            f"'{tag}' with {resize[0]}, {resize[1]}",
            f"choose another tag of {name}",
        )
    return cast(dict[str, Any], row)


def _places(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    repo, slash, file = str(row.get("hf_hub", "")).rpartition("/")
    return [(repo, file)] if slash else []


# -- the tokenizer


def tokenizer(model: Architecture, pretrained: str = "") -> tuple[Tokenize, str]:
    """A model's tokenizer, and what names its tokens: models that share the one share the other.

    Args:
        model: whose texts are encoded.
        pretrained: of no account, as the vocabulary does not come with the weights.
    """
    text = model.about.get("text_cfg", {})
    context = int(text.get("context_length", 77))
    if model.name in bundled():
        table = hashlib.sha256(checked(VOCABULARY).read_bytes()).hexdigest()
        return tiny_tokenizer(context), f"tiny {table} {context}"
    own = sorted((k, repr(v)) for k, v in text.items() if "tokenizer" in k)
    known_as = f"open_clip {version('open_clip_torch')} {own} {context}"
    return lambda texts: cast(Tensor, _published(model.name)(texts)), known_as


@cache
def tiny_tokenizer(context: int) -> CompactTokenizer:
    """The tokenizer of the bundled models; its table is shipped/tiny-vocabulary.json."""
    table = json.loads(checked(VOCABULARY).read_text())
    rows = {int(t): i for i, t in enumerate(table["tokens"])}
    return CompactTokenizer(rows, int(table["buckets"]), context, lambda t: _pairs().encode(t))


# Making either takes longer than reading a tiny model, and use does not change what they give.


@cache
def _pairs() -> Any:
    return part("tokenizer").SimpleTokenizer()


@cache
def _published(name: str) -> Any:
    """As `open_clip.get_tokenizer` makes it, which is imported where it is one of transformers."""
    text = json.loads(configs()[name].read_text()).get("text_cfg", {})
    if "hf_tokenizer_name" in text or "siglip" in name.lower():
        import open_clip

        return open_clip.get_tokenizer(name)
    kwargs = {"context_length": text.get("context_length", 77), **text.get("tokenizer_kwargs", {})}
    return part("tokenizer").SimpleTokenizer(**kwargs)


# -- read them, build, check


def read(model: Architecture, files: Files) -> OpenClip:
    """The model with its weights; random ones are drawn from torch's generator of the CPU.

    Raises:
        BenchError: weights that do not fit, or that were trained with the other activation.
    """
    tokenize, known_as = tokenizer(model)
    if files.weights is None:
        clip = build(model, tokenize)
    else:
        tensors, images = _checked(model, files, files.weights)
        with Undrawn():
            clip = build(model, tokenize)
        fit(clip, tensors, model.name, files.asked)
        clip.mean = tuple(images.get("mean", clip.mean))
        clip.std = tuple(images.get("std", clip.std))
    clip.tokenizer, clip.origin = known_as, files.origin
    clip.fingerprint = fingerprint(clip.state_dict())
    return clip


def _checked(
    model: Architecture, files: Files, weights: Path
) -> tuple[dict[str, Tensor], Mapping[str, Any]]:
    """Tensors whose activation is the model's, and what is said of their images (mean, std)."""
    tensors, quick = read_file(weights)
    images: Mapping[str, Any] = files.table or {}
    if files.config is not None:
        beside = _read_config(files.config)
        quick = bool(beside.get("model_cfg", {}).get("quick_gelu", False))
        images = beside.get("preprocess_cfg", {})
    if quick is not None:
        _check_activation(model, files.asked, quick)
    elif files.table is None and _both_activations(model.name):
        raise BenchError(
            "weights that say whether they were trained with QuickGELU, as there is a "
            f"{model.name.removesuffix('-quickgelu')} of either kind",
            f"'{files.asked}' without a word of it",
            f'put an {CONFIG} with {{"model_cfg": {{"quick_gelu": true or false}}}} beside it',
            code=4,
        )
    return tensors, images


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text())
        if not all(isinstance(config.get(k, {}), dict) for k in ("model_cfg", "preprocess_cfg")):
            raise ValueError
    except (OSError, ValueError, AttributeError) as e:
        raise BenchError(
            "open_clip's config in JSON", f"'{path}'", "mend or remove that file", code=4
        ) from e
    return cast(dict[str, Any], config)


def _both_activations(name: str) -> bool:
    base = name.removesuffix("-quickgelu")
    return {base, f"{base}-quickgelu"} <= configs().keys()


def _check_activation(model: Architecture, source: str, quick: bool) -> None:
    """A model that computes with the other GELU gives wrong numbers without any other sign."""
    name = model.name
    if bool(model.about.get("quick_gelu", False)) == quick:
        return
    swapped = name.removesuffix("-quickgelu") if not quick else f"{name}-quickgelu"
    raise BenchError(
        f"a model with {'QuickGELU' if quick else 'GELU'}, as the weights '{source}' were trained",
        f"'{name}', whose config has {'GELU' if quick else 'QuickGELU'}",
        f"use --backbone {swapped}" if swapped in configs() else "use weights that fit the model",
    )
