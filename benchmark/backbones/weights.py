"""Weights: tensors by name in files, what is said of how they were trained, and their sha256."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import BenchError


def config_beside(path: Path) -> dict[str, Any] | None:
    """The open_clip_config.json with which open_clip's models are published."""
    beside = path.with_name("open_clip_config.json")
    if not beside.is_file():
        return None
    try:
        config = json.loads(beside.read_text())
        if not all(isinstance(config.get(k, {}), dict) for k in ("model_cfg", "preprocess_cfg")):
            raise ValueError
    except (OSError, ValueError, AttributeError) as e:
        raise BenchError(
            "open_clip's config in JSON", f"'{beside}'", "mend or remove that file", code=4
        ) from e
    return cast(dict[str, Any], config)


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


def seed_random(pretrained: str) -> bool:
    """For "random:<seed>", seed torch's global generator; False for other weights.

    Raises:
        BenchError: no such seed.
    """
    if not pretrained.startswith("random:"):
        return False
    seed = pretrained.removeprefix("random:")
    if not (seed.isascii() and seed.isdigit() and len(seed) <= 18):
        raise BenchError(
            "random:<whole number of up to 18 digits>", f"'{pretrained}'", "give such a seed"
        )
    torch.manual_seed(int(seed))
    return True


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
    """sha256 over names, shapes and bytes of the tensors, sorted by name."""
    h = hashlib.sha256()
    for name in sorted(state):
        t = state[name].detach().cpu().contiguous()
        h.update(f"{name}:{t.dtype}:{tuple(t.shape)};".encode())
        h.update(t.view(-1).view(torch.uint8).numpy().tobytes() if t.numel() else b"")
    return h.hexdigest()
