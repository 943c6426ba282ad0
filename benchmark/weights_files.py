"""Weights in files: tensors by name, and what is said of how they were trained."""

import json
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from .errors import BenchError


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
