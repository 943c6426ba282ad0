"""Loading a backbone: architecture, tokenizer, weights, and whether they belong together."""

import hashlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from ..common.files import weights_file
from ..errors import BenchError, nearest
from .backbone import Backbone
from .known import SHIPPED, blips, check_backbone, check_layout
from .tokenizer import CompactTokenizer
from .weights import config_beside, fingerprint, read_file, seed_random
from .weights import fit as _fit


@contextmanager
def _absent(library: str) -> Iterator[None]:
    """Inside, a library that was not imported before cannot be."""
    modules = cast(dict[str, Any], sys.modules)
    if library in modules:
        yield
        return
    modules[library] = None
    try:
        yield
    finally:
        del modules[library]


with _absent("transformers"):  # seconds, for towers of other libraries, which are refused here
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
    from open_clip.tokenizer import SimpleTokenizer


def bundled() -> tuple[str, ...]:
    """Names of the tiny models that ship with the package."""
    return tuple(sorted(p.stem for p in SHIPPED.glob("tiny-?.json")))


def tiny_tokenizer(context: int) -> CompactTokenizer:
    """The tokenizer of the bundled models; its table is weights/tiny-vocabulary.json."""
    table = json.loads((SHIPPED / "tiny-vocabulary.json").read_text())
    rows = {int(t): i for i, t in enumerate(table["tokens"])}
    return CompactTokenizer(rows, int(table["buckets"]), context, SimpleTokenizer().encode)


def _tokenizer(name: str, context: int) -> Callable[[list[str]], Tensor]:
    if name in bundled():
        return tiny_tokenizer(context)
    plain = open_clip.get_tokenizer(name)
    return lambda texts: cast(Tensor, plain(texts))


def _tokenizer_id(name: str, context: int) -> str:
    """Names what the tokens of a text derive from; models that share a tokenizer share it."""
    if name in bundled():
        table = hashlib.sha256((SHIPPED / "tiny-vocabulary.json").read_bytes()).hexdigest()
        return f"tiny {table} {context}"
    config = (open_clip.get_model_config(name) or {}).get("text_cfg", {})
    own = sorted((k, repr(v)) for k, v in config.items() if "tokenizer" in k)
    return f"open_clip {version('open_clip_torch')} {own} {context}"


def _is_blip(name: str) -> bool:
    """Whether it is one, after a word on a missing library: the import would only fail."""
    if name in blips():
        check_backbone(name)
        return True
    return False


@cache
def _register() -> None:
    for tiny in bundled():
        open_clip.add_model_config(SHIPPED / f"{tiny}.json")


def _check_name(name: str) -> None:
    """Makes the tiny models known to open_clip; refuses unknown names and other layouts."""
    _register()
    known = open_clip.list_models()
    if name not in known:
        raise BenchError("an open_clip model name", f"'{name}'", nearest(name, known))
    check_layout(name, open_clip.get_model_config(name) or {})


def build(name: str) -> Backbone:
    """The architecture with random weights (torch's global generator).

    Raises:
        BenchError: open_clip knows no model of that name, or its towers are not plain.
    """
    _check_name(name)
    logging.disable(logging.WARNING)  # "no pretrained weights": they are loaded by the caller
    try:
        model = open_clip.create_model(name, pretrained=None)
    finally:
        logging.disable(logging.NOTSET)
    context = int(model.context_length)
    clip = Backbone(name, model, _tokenizer(name, context))
    clip.tokenizer = _tokenizer_id(name, context)
    return clip


def load(name: str, pretrained: str) -> Backbone:
    """A backbone with its weights, in float32 on the CPU, in eval mode.

    Args:
        name: open_clip model name, for example ViT-B-16-quickgelu or tiny-s, or blip-base.
        pretrained: "bundled" (the tiny models), "random:<seed>", a weights file, or a tag such as
            openai.

    Raises:
        BenchError: unknown model or tag, weights that do not fit or that were trained with the
            other activation (QuickGELU against GELU).
    """
    if _is_blip(name):
        from .blip_files import load_blip

        return load_blip(name, pretrained)
    _check_name(name)
    if seed_random(pretrained):
        clip = build(name)
    else:
        weights, preprocess = _weights(name, pretrained)
        clip = build(name)
        _fit(clip, weights, name, pretrained)
        clip.origin = str(preprocess.get("origin", ""))
        clip.mean = tuple(preprocess.get("mean", clip.mean))
        clip.std = tuple(preprocess.get("std", clip.std))
    clip.fingerprint = fingerprint(clip.state_dict())
    return clip.eval()


def _weights(name: str, pretrained: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors, and what is said of their images (mean, std)."""
    if pretrained == "bundled":
        if name not in bundled():
            raise BenchError(
                f"a model with bundled weights ({', '.join(bundled())})",
                f"'{name}'",
                "give --pretrained an open_clip tag such as openai, or a weights file",
            )
        pretrained = str(SHIPPED / f"{name}.safetensors")
    path = weights_file(pretrained)
    if path is None:
        return _download(name, pretrained)
    state, quick = read_file(path)
    beside = config_beside(path)
    if beside is not None:
        quick = bool(beside.get("model_cfg", {}).get("quick_gelu", False))
    if quick is not None:
        _check_activation(name, pretrained, quick)
    elif _both_activations(name):
        raise BenchError(
            "weights that say whether they were trained with QuickGELU, as there is a "
            f"{name.removesuffix('-quickgelu')} of either kind",
            f"'{pretrained}' without a word of it",
            'put an open_clip_config.json with {"model_cfg": {"quick_gelu": true or false}} '
            "beside it",
            code=4,
        )
    return state, (beside or {}).get("preprocess_cfg", {})


def _both_activations(name: str) -> bool:
    base = name.removesuffix("-quickgelu")
    return {base, f"{base}-quickgelu"} <= set(open_clip.list_models())


def _download(name: str, tag: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    config = _tag_config(name, tag)
    path, origin = _hub_file(name, tag, config)
    state, quick = read_file(path)
    if quick is not None:
        _check_activation(name, tag, quick)
    return state, {**config, "origin": origin}


def weights_of(name: str, tag: str) -> tuple[Path, str]:
    """The file of a model's published weights, fetched where it is not there, and its origin.

    Raises:
        BenchError: no such model or tag, weights that this model cannot use, or no way to them.
    """
    if _is_blip(name):
        from .blip_files import files_of

        found = files_of(name, tag)
        assert found.weights is not None, "of a tag"
        return found.weights, found.origin
    _check_name(name)
    return _hub_file(name, tag, _tag_config(name, tag))


def tokenizer_of(name: str, pretrained: str = "") -> tuple[Callable[[list[str]], Tensor], str]:
    """A model's tokenizer, and what names its tokens; no weights are built.

    Args:
        name: of the model.
        pretrained: its weights, where their files bring the vocabulary (BLIP).
    """
    if _is_blip(name):
        from .blip_files import tokenizer

        return tokenizer(name, pretrained)
    _check_name(name)
    config = (open_clip.get_model_config(name) or {}).get("text_cfg", {})
    context = int(config.get("context_length", 77))
    return _tokenizer(name, context), _tokenizer_id(name, context)


def _tag_config(name: str, tag: str) -> dict[str, Any]:
    """What open_clip knows of published weights.

    Raises:
        BenchError: no such tag, or weights of another activation or another way to resize.
    """
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
    return cast(dict[str, Any], config)


def hub_places(name: str, tag: str) -> list[tuple[str, str]]:
    """Repository and file ("" for open_clip's usual name) of all that a tag has on the hub.

    Raises:
        BenchError: as `weights_of`.
    """
    if _is_blip(name):
        from .blip_files import hub_files

        return hub_files(name, tag)
    _check_name(name)
    repo, slash, file = str(_tag_config(name, tag).get("hf_hub", "")).rpartition("/")
    return [(repo, file)] if slash else []


def _hub_file(name: str, tag: str, config: dict[str, Any]) -> tuple[Path, str]:
    """The weights file of a tag, and where it is from: pinned on the hub, else from its URL."""
    for place in hub_places(name, tag):
        from ..hub.weights import hub_weights

        return hub_weights(*place, f"cl-bench data prepare {name}/{tag}")
    try:
        return Path(open_clip.download_pretrained(config)), ""
    except Exception as e:
        raise BenchError(
            f"the weights '{tag}' of {name} from {config.get('url', 'the net')} or the cache",
            f"{type(e).__name__}",
            "go online once, or give --pretrained a local file",
            code=4,
        ) from e


def _check_activation(name: str, source: str, quick: bool) -> None:
    """A model that computes with the other GELU gives wrong numbers without any other sign."""
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
