"""Whether the towers of a run are compiled.

A graph takes some ten seconds to compile and a run needs a few dozens: a block in the middle and
the last one, of images and of each length of texts, with gradients and without. So a run of
minutes loses, which is every run of a tiny model and every one on few images. What it saves is
passes over memory and launches of kernels, of which a GPU's step has a good part; on a CPU products
are most of a step. So `auto` compiles on a GPU, for models of about the size of ViT-B/32 and
larger, in whole runs. This is arithmetic: scripts/speed/gpu_figures.py measures it on a GPU.
"""

import sys
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from ...backbones.backbone import Backbone
from ...backbones.blocks.compiled import Backend, Compiler, Sizes, compiler, told, with_torch
from ...backbones.known import Compile
from ...errors import BenchError

LEAST = 100_000_000  # parameters; ViT-B/32 has 151 million, the largest tiny model 10
DEEP = 2000  # calls inside calls, torch/_inductor/compile_fx.py
BACKEND: Backend = "inductor"


def chosen_compiler(
    asked: Compile, clip: Backbone, device: torch.device, sizes: Sizes, limited: bool
) -> tuple[Compiler | None, str]:
    """The compiler of a run, if any, and a sentence where the user should know.

    Args:
        asked: by `--compile`.
        clip: the backbone.
        device: where it runs.
        sizes: that batches are padded to.
        limited: whether `--limit` leaves a short run.

    Raises:
        BenchError: it is asked for, and torch cannot do it here.
    """
    if asked == "off" or (asked == "auto" and not (pays(clip, device) and not limited)):
        return None, ""
    if not (why := trouble(device.type, BACKEND)):
        # As torch does when it compiles, wherever that is: else a hook of a method is said to.
        sys.setrecursionlimit(max(sys.getrecursionlimit(), DEEP))
        return compiler(sizes, BACKEND), "compile: blocks are compiled when they are first needed"
    if asked == "on":
        got = f"'on' for a {device.type} for which torch cannot compile ({why})"
        raise BenchError("a --compile that can be done here", got, "give --compile off")
    return None, f"compile: torch cannot compile for this {device.type} ({why}); the run is eager"


def how_computed(clip: Backbone) -> str:
    """What the last bits of its rows depend on, beside all else."""
    return "eager" if clip.compiler is None else clip.compiler.about


def pays(clip: Backbone, device: torch.device) -> bool:
    """Whether a run of usual length gets back what compiling costs."""
    return device.type == "cuda" and sum(p.numel() for p in clip.parameters()) >= LEAST


@cache
def trouble(kind: str, backend: Backend) -> str:
    """Why torch cannot compile for a kind of device; "" where it can. It is tried."""
    run: Callable[[Tensor], Tensor] = with_torch(_tried, backend)
    try:
        run(torch.ones(16, device=kind, requires_grad=True)).sum().backward()
    except Exception as e:  # of torch, of Triton, or of whatever compiler they start
        return told(e)
    return ""


def _tried(x: Tensor) -> Tensor:
    return torch.sigmoid(x) * x
