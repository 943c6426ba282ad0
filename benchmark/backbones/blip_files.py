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
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..common.files import weights_file
from ..errors import BenchError, nearest
from .blip import Blip, WordPieces, build, read_config
from .known import blip_about, check_backbone
from .weights import fingerprint, fit, read_file, seed_random

CONFIG, VOCABULARY = "config.json", "vocab.txt"
OWN_WORD = "layer_norm_eps"  # what config.json may say otherwise
UNUSED = re.compile(r"\.crossattention\.|^itm_head\.|\.position_ids$")


@dataclass(frozen=True)
class Files:
    """Where a BLIP is.

    Attributes:
        weights: None for random ones. config: None where there is none. vocabulary: always there.
        origin: repository, commit and file of the weights, where they are from the hub.
    """

    weights: Path | None
    config: Path | None
    vocabulary: Path
    origin: str = ""


def load_blip(name: str, pretrained: str) -> Blip:
    """A BLIP with its weights, as `backbones.load` gives them.

    Args:
        name: of the model.
        pretrained: "random:<seed>", a weights file with vocab.txt beside it, or a tag.

    Raises:
        BenchError: transformers is missing, or a file is, or does not fit.
    """
    seed_random(pretrained)
    files, about = files_of(name, pretrained), blip_about(name)
    if files.config is not None:
        about["config"] = _agreed(name, about["config"], files.config)
    tokenize, known_as = _words(name, files.vocabulary)
    blip = build(name, about, tokenize)
    if files.weights is not None:
        state = {k: v for k, v in read_file(files.weights)[0].items() if not UNUSED.search(k)}
        fit(blip, {"logit_scale": blip.logit_scale.detach(), **state}, name, pretrained)
    blip.tokenizer, blip.origin = known_as, files.origin
    eps = [float(about["config"][part][OWN_WORD]) for part in ("vision_config", "text_config")]
    blip.fingerprint = fingerprint({**blip.state_dict(), OWN_WORD: torch.tensor(eps)})
    return blip.eval()


def tokenizer(name: str, pretrained: str = "") -> tuple[WordPieces, str]:
    """Its tokenizer, and what names the tokens.

    Args:
        name: of the model.
        pretrained: as for `load_blip`, or "" for the first tag.

    Raises:
        BenchError: transformers is missing, or there is no vocabulary.
    """
    check_backbone(name)
    return _words(name, _vocabulary(name, pretrained))


def _words(name: str, path: Path) -> tuple[WordPieces, str]:
    about = blip_about(name)
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


def _vocabulary(name: str, pretrained: str) -> Path:
    """Beside a file, or of a tag; of the first tag where weights are random."""
    if (path := weights_file(pretrained)) is not None:
        return path.with_name(VOCABULARY)
    free = not pretrained or pretrained.startswith("random:")
    tag = next(iter(blip_about(name)["tags"])) if free else pretrained
    return _fetched(name, tag, hub_files(name, tag)[-1])[0]


def files_of(name: str, pretrained: str) -> Files:
    """All files of a BLIP, fetched where they are not there.

    Raises:
        BenchError: transformers is missing, no such tag, or no way to a file.
    """
    check_backbone(name)
    path = weights_file(pretrained)
    if path is not None:
        config = path.with_name(CONFIG)
        return Files(path, config if config.exists() else None, _vocabulary(name, pretrained))
    if pretrained.startswith("random:"):
        return Files(None, None, _vocabulary(name, pretrained))
    places = hub_files(name, pretrained)
    (weights, origin), (beside, _), (words, _) = (_fetched(name, pretrained, p) for p in places)
    return Files(weights, beside, words, origin)


def hub_files(name: str, tag: str) -> list[tuple[str, str]]:
    """Repository and file on the hub of weights, config and vocabulary.

    Raises:
        BenchError: transformers is missing, or no such tag.
    """
    from ..hub.weights import TRANSFORMERS

    check_backbone(name)
    tags = blip_about(name)["tags"]
    if tag not in tags:
        expected = f"a weights file, random:<seed>, or a tag of {name} ({', '.join(tags)})"
        raise BenchError(expected, f"'{tag}'", nearest(tag, tags))
    return [(tags[tag], file) for file in (TRANSFORMERS, CONFIG, VOCABULARY)]


def _fetched(name: str, tag: str, place: tuple[str, str]) -> tuple[Path, str]:
    from ..hub.weights import hub_weights

    return hub_weights(*place, f"cl-bench data prepare {name}/{tag}")


def _agreed(name: str, own: dict[str, Any], path: Path) -> dict[str, Any]:
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
            f"the config of {name} (benchmark/weights/{name}.json)",
            f"'{path}' with {odd[0]}" + (f" and {len(odd) - 1} more" if odd[1:] else ""),
            "give a file of such weights, with vocab.txt and their own config.json beside it",
            code=4,
        )
    return found
