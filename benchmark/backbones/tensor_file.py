"""A weights file: its tensors by name, whatever they are wrapped in. No pickled code is run.

What a file is, is read from its first bytes, not from its name: `.bin` and `.ckpt` are used for
several kinds, and a page or a pointer is often saved in the place of a file.
"""

import json
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from ..common.files import stand_in
from ..errors import BenchError, quoted

OPENAI = frozenset({"input_resolution", "context_length", "vocab_size"})
"""What OpenAI's own archives hold beside the weights, all of which were trained with QuickGELU."""
SAFETENSORS_HEAD = 100 * 2**20  # the format's own bound


def read_file(path: Path) -> tuple[dict[str, Tensor], bool | None]:
    """Tensors, and whether they were trained with QuickGELU, None where the file does not say.

    Tensors of a dictionary in a dictionary are named by the way to them ("state_dict/visual.proj");
    numbers and settings that stand between them are left out.

    Args:
        path: safetensors, or a pickle of torch's with nothing but tensors and plain values in it.

    Raises:
        BenchError: there is no such file, it is something else, or it is damaged.
    """
    if not path.exists():
        raise BenchError("a weights file", f"no file '{path}'", "correct --pretrained", code=4)
    if path.is_dir():
        names = sorted(p.name for p in path.iterdir() if p.suffix in (".safetensors", ".bin"))
        fix = f"name the file in it: {path / names[0]}" if names else "name a file"
        raise BenchError("a weights file", f"the folder '{path}'", fix, code=4)
    try:
        with path.open("rb") as stream:
            head = stream.read(4096)
        _check_kind(path, head)
        if _is_safetensors(head):
            with safe_open(path, framework="pt") as f:
                meta = f.metadata() or {}
            quick = meta["quick_gelu"] == "true" if "quick_gelu" in meta else None
            return load_file(path), quick
        with path.open("rb") as stream:  # given a path, torch would judge it by its ending
            content = torch.load(stream, map_location="cpu", weights_only=True)
        tensors = dict(_named(content))
    except BenchError:
        raise
    except Exception as error:  # torch and safetensors raise many kinds on broken bytes
        raise _unreadable(path, error) from error
    if not tensors:
        raise _refused(path, "none in it", "save the model's state_dict()")
    last = {re.split(r"[./]", name)[-1] for name in tensors}
    return tensors, True if last >= OPENAI else None


def _named(value: Any, way: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        if way:
            yield way, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(key, str):  # numbers count the states of an optimizer
                yield from _named(inner, f"{way}/{key}" if way else key)


def _is_safetensors(head: bytes) -> bool:
    """Eight bytes of a length, and JSON of that length."""
    if len(head) < 9 or head[8:9] != b"{":
        return False
    return bool(struct.unpack("<Q", head[:8])[0] <= SAFETENSORS_HEAD)


def _check_kind(path: Path, head: bytes) -> None:
    """Refuse what can be told by its first bytes."""
    if (found := stand_in(head)) is not None:
        raise _refused(path, *found)
    if head.lstrip()[:1] in (b"{", b"["):
        _refuse_json(path)
    if not head.startswith(b"PK"):
        return
    with zipfile.ZipFile(path) as archive:
        inside = {name.partition("/")[2] for name in archive.namelist()}
    if "constants.pkl" in inside:
        said = f'torch.save(torch.jit.load("{path.name}").state_dict(), "weights.pt")'
        got = "a TorchScript archive, as OpenAI publishes its own"
        raise _refused(path, got, f"use its tag (openai), or save its tensors: {said}")
    if not any(name.endswith("data.pkl") for name in inside):
        raise _refused(path, "a zip archive", "unpack it and name the weights file in it")


def _refuse_json(path: Path) -> None:
    """An index of several files, or another JSON."""
    try:
        content = json.loads(path.read_bytes())
        parts = sorted(set(content["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _refused(path, "a JSON file", "name the file with the tensors") from None
    if len(parts) == 1:
        raise _refused(path, "the index of one file", f"name that file: {parts[0]}")
    load = "torch.load" if str(parts[0]).endswith(".bin") else "safetensors.torch.load_file"
    fix = f"join them in Python: read each with {load}, and torch.save one dictionary of them all"
    got = f"the index of {len(parts)} files ({parts[0]} ...)"
    raise _refused(path, got, fix)


def _unreadable(path: Path, error: Exception) -> BenchError:
    """The error for what torch or safetensors does not read."""
    found = re.search(r"(?:GLOBAL |global |class )([\w]+\.[\w.]+)", str(error))
    if found is not None:
        fix = (
            "where you trust the file, save its tensors alone: in Python, `x = torch.load(..., "
            "weights_only=False)`, then torch.save x.state_dict() or the dictionary of them in x"
        )
        got = f"a pickle with objects of {found[1]}, which is not loaded as it may run any code"
        return _refused(path, got, fix)
    reason = str(error).split("\n")[0].rstrip(". ")
    got = f"{type(error).__name__}: {quoted(reason)}" if reason else type(error).__name__
    return _refused(path, got, "fetch it again, or give another one")


def _refused(path: Path, got: str, fix: str) -> BenchError:
    return BenchError("a readable weights file, tensors by name", f"'{path}' ({got})", fix, code=4)
