"""What a BLIP is loaded from: weights, config and vocabulary, on the hub or side by side.

The architecture is shipped/blip-base.json, in transformers' words: BLIP's ViT-B/16 and
configs/med_config.json, texts of at most 35 tokens (models/blip_retrieval.py), pixels normalised as
for CLIP (data/__init__.py). A config.json beside the weights has to agree, but for the epsilon of
the norms, which is its own. The number of heads matters most: transformers' default of 8 for texts
fits the weights and gives other numbers (huggingface/transformers, issue 22625).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..common.files import weights_file
from ..errors import BenchError, quoted
from ..hub.weights import TRANSFORMERS
from .blip import Blip, WordPieces, build, read_config
from .known import Architecture
from .tensor_file import read_file
from .weights import Files, fingerprint, fit, from_hub, tag_advice

CONFIG, VOCABULARY = "config.json", "vocab.txt"
OWN_WORD = "layer_norm_eps"  # what config.json may say otherwise
UNUSED = re.compile(r"\.crossattention\.|^itm_head\.|\.position_ids$")


# -- which files


def places(model: Architecture, tag: str) -> list[tuple[str, str]]:
    """Repository and file on the hub of a tag's weights, config and vocabulary.

    Raises:
        BenchError: no such tag.
    """
    tags = model.about["tags"]
    if tag not in tags:
        expected = f"a weights file, random:<seed>, or a tag of {model.name} ({', '.join(tags)})"
        raise BenchError(expected, quoted(tag), tag_advice(tag, list(tags)))
    return [(tags[tag], file) for file in (TRANSFORMERS, CONFIG, VOCABULARY)]


def files(model: Architecture, pretrained: str) -> Files:
    """All files of a BLIP, fetched where they are not there.

    Args:
        model: takes them.
        pretrained: "random:<seed>", a weights file with vocab.txt beside it, or a tag.

    Raises:
        BenchError: no such tag, or no way to a file.
    """
    if (path := weights_file(pretrained)) is not None:
        config = path.with_name(CONFIG)
        beside = config if config.exists() else None
        return Files(pretrained, path, beside, _vocabulary(model, pretrained))
    if pretrained.startswith("random:"):
        return Files(pretrained, vocabulary=_vocabulary(model, pretrained))
    (weights, origin), (beside, _), (words, _) = (
        from_hub(model.name, pretrained, place) for place in places(model, pretrained)
    )
    return Files(pretrained, weights, beside, words, origin)


def _vocabulary(model: Architecture, pretrained: str) -> Path:
    """Beside a file, or of a tag; of the first tag where weights are random."""
    if (path := weights_file(pretrained)) is not None:
        return path.with_name(VOCABULARY)
    free = not pretrained or pretrained.startswith("random:")
    tag = next(iter(model.about["tags"])) if free else pretrained
    return from_hub(model.name, tag, places(model, tag)[-1])[0]


# -- the tokenizer


def tokenizer(model: Architecture, pretrained: str = "") -> tuple[WordPieces, str]:
    """Its tokenizer, and what names the tokens.

    Args:
        model: whose texts are encoded.
        pretrained: as for `files`, or "" for the first tag.

    Raises:
        BenchError: there is no vocabulary, or no way to it.
    """
    return _words(model, _vocabulary(model, pretrained))


def _words(model: Architecture, path: Path) -> tuple[WordPieces, str]:
    about = model.about
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise BenchError(
            f"'{path}', the vocabulary that was published with the weights",
            type(e).__name__,
            "put it beside the weights",
            code=4,
        ) from e
    sha = hashlib.sha256(text.encode()).hexdigest()
    context, most = int(about["context"]), int(about["config"]["text_config"]["vocab_size"])
    return _pieces(text, context, most), f"bert {sha} {context} {version('tokenizers')}"


@cache
def _pieces(text: str, context: int, most: int) -> WordPieces:
    return WordPieces(text, context, most)


# -- read them, build, check


def read(model: Architecture, files: Files) -> Blip:
    """The model with its weights; random ones are drawn from torch's generator of the CPU.

    Raises:
        BenchError: files that cannot be read, or that are not of this model.
    """
    config = model.about["config"]
    if files.config is not None:
        config = _agreed(model.name, config, files.config)
    assert files.vocabulary is not None, "every BLIP has one"
    tokenize, known_as = _words(model, files.vocabulary)
    blip = build(model, tokenize, config)
    if files.weights is not None:
        own = {"logit_scale": blip.logit_scale.detach()}  # published weights have none
        tensors, _ = read_file(files.weights)
        fit(blip, tensors, model.name, files.asked, unused=UNUSED, default=own)
    blip.tokenizer, blip.origin = known_as, files.origin
    eps = [float(config[part][OWN_WORD]) for part in ("vision_config", "text_config")]
    blip.fingerprint = fingerprint({**blip.state_dict(), OWN_WORD: torch.tensor(eps)})
    return blip


def _agreed(name: str, own: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Our config with the epsilons of the one beside the weights.

    Raises:
        BenchError: it is unreadable, or says something else.
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(given, dict):
            raise ValueError
    except (OSError, ValueError) as e:
        raise BenchError(
            "transformers' config in JSON", f"'{path}'", "mend or remove that file", code=4
        ) from e
    theirs = read_config(given).to_dict()
    found, odd = dict(own), []
    for key, value in own.items():
        if not isinstance(value, dict):
            odd += [f"{key} {theirs[key]} instead of {value}"] * (theirs[key] != value)
            continue
        part = theirs[key]
        found[key] = value | {OWN_WORD: part[OWN_WORD]}
        odd += [
            f"{key}.{inner} {part[inner]} instead of {expected}"
            for inner, expected in found[key].items()
            if part[inner] != expected
        ]
    if odd:
        raise BenchError(
            f"the config of {name} (benchmark/backbones/shipped/{name}.json)",
            f"'{path}' with {odd[0]}" + (f" and {len(odd) - 1} more" if odd[1:] else ""),
            "give a file of such weights, with vocab.txt and their own config.json beside it",
            code=4,
        )
    return found
