"""The one module that a method file imports, beside torch."""

from .clip import Clip, Delta, end_of_text, unit
from .errors import BenchError
from .method import Config, Method, class_rows, prompt_classifier
from .toolkit.bank import Bank
from .toolkit.distillation import (
    check_distillation,
    directions,
    distillation,
    divergence,
    is_right,
    old_features,
    old_images,
    snapshot,
)
from .toolkit.lora import PROJECTIONS, LoRA, check_adapter, weighted_deltas
from .toolkit.losses import check_smoothing, matching
from .toolkit.merging import MERGES, check_merge
from .types import Badge, Batch, Classes, Features, Images, Loader, ParamGroup, Task, Texts, Tools

__all__ = [
    "MERGES",
    "PROJECTIONS",
    "Badge",
    "Bank",
    "Batch",
    "BenchError",
    "Classes",
    "Clip",
    "Config",
    "Delta",
    "Features",
    "Images",
    "LoRA",
    "Loader",
    "Method",
    "ParamGroup",
    "Task",
    "Texts",
    "Tools",
    "check_adapter",
    "check_distillation",
    "check_merge",
    "check_smoothing",
    "class_rows",
    "directions",
    "distillation",
    "divergence",
    "end_of_text",
    "is_right",
    "matching",
    "old_features",
    "old_images",
    "prompt_classifier",
    "snapshot",
    "unit",
    "weighted_deltas",
]
