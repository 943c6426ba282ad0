"""Weights: which files they are in, what these hold and say, and their sha256."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from ..common.digests import tensor_digest
from ..errors import BenchError
from ..hub.weights import hub_weights


@dataclass(frozen=True)
class Files:
    """What a model is read from.

    Attributes:
        asked: `--pretrained`, for messages.
        weights: None for random ones.
        config: published beside the weights, None where there is none.
        vocabulary: None where the library brings its own.
        origin: repository, commit and file of the weights, where they are from the hub.
        table: of a tag, what the library's own table of published weights says of it.
    """

    asked: str
    weights: Path | None = None
    config: Path | None = None
    vocabulary: Path | None = None
    origin: str = ""
    table: Mapping[str, Any] | None = None


def from_hub(name: str, tag: str, place: tuple[str, str]) -> tuple[Path, str]:
    """A file of published weights, pinned and verified, and its origin.

    Args:
        name: of the model.
        tag: of its weights.
        place: repository and file.

    Raises:
        BenchError: as `hub_weights`.
    """
    return hub_weights(*place, f"cl-bench data prepare {name}/{tag}")


def read_file(path: Path) -> tuple[dict[str, Tensor], bool | None]:
    """Tensors, and whether they were trained with QuickGELU, None where the file does not say."""
    if not path.is_file():
        raise BenchError("a weights file", f"no file '{path}'", "correct --pretrained", code=4)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as f:
                meta = f.metadata() or {}
            quick = meta["quick_gelu"] == "true" if "quick_gelu" in meta else None
            return load_file(path), quick
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        if not all(isinstance(v, Tensor) for v in state.values()):
            raise ValueError
    except Exception as e:
        script = "; of a TorchScript archive (OpenAI's own) save the state_dict(), or use its tag"
        raise BenchError(
            "a readable weights file, tensors by name",
            f"'{path}' ({type(e).__name__})",
            "fetch it again" + script * (path.suffix != ".safetensors"),
            code=4,
        ) from e
    extra = {"input_resolution", "context_length", "vocab_size"}  # OpenAI's own state dict
    quick = True if extra <= state.keys() else None
    return {k.removeprefix("module."): v for k, v in state.items() if k not in extra}, quick


def random_seed(pretrained: str) -> int | None:
    """The seed of "random:<seed>", None for other weights.

    Raises:
        BenchError: no such seed.
    """
    if not pretrained.startswith("random:"):
        return None
    seed = pretrained.removeprefix("random:")
    if not (seed.isascii() and seed.isdigit() and len(seed) <= 18):
        raise BenchError(
            "random:<whole number of up to 18 digits>", f"'{pretrained}'", "give such a seed"
        )
    return int(seed)


def fit(model: nn.Module, weights: Mapping[str, Tensor], name: str, source: str) -> None:
    """Give a model its weights, as float32.

    Args:
        model: takes them.
        weights: tensors by name.
        name: of the model.
        source: of the weights, for messages.

    Raises:
        BenchError: names or shapes are not the model's.
    """
    own = model.state_dict()
    given = {k: v for k, v in weights.items() if k != "attn_mask"}
    wrong = sorted(k for k in own.keys() & given.keys() if own[k].shape != given[k].shape)
    odd = sorted(own.keys() ^ given.keys()) + wrong
    if odd:
        raise BenchError(
            f"the {len(own)} tensors of {name}",
            f"'{source}' with {len(odd)} that do not fit ({odd[0]} ...)",
            "give the weights of this architecture",
        )
    model.load_state_dict({k: v.float() for k, v in given.items()})


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """sha256 over names, types, shapes and bytes of the tensors, sorted by name."""
    parts = ((f"{n}:{t.dtype}:{tuple(t.shape)};", t) for n, t in sorted(state.items()))
    return tensor_digest(part for both in parts for part in both)
