"""The one module that a method file imports, beside torch."""

from .clip import Clip, Delta, end_of_text, unit
from .errors import BenchError
from .method import Config, Method, class_rows, prompt_classifier
from .toolkit.bank import Bank
from .toolkit.distillation import directions, divergence, is_right, old_features, snapshot
from .toolkit.gated import Gated, Pruning
from .toolkit.lora import MAPS, PROJECTIONS, LoRA, check_adapter, weighted_deltas
from .toolkit.losses import both_ways, matching
from .toolkit.merging import MERGES, check_merge
from .types import Badge, Batch, Classes, Features, Images, Loader, ParamGroup, Task, Texts, Tools

__all__ = [
    "MAPS",
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
    "Gated",
    "Images",
    "LoRA",
    "Loader",
    "Method",
    "ParamGroup",
    "Pruning",
    "Task",
    "Texts",
    "Tools",
    "both_ways",
    "check_adapter",
    "check_merge",
    "class_rows",
    "directions",
    "divergence",
    "end_of_text",
    "is_right",
    "matching",
    "old_features",
    "prompt_classifier",
    "snapshot",
    "unit",
    "weighted_deltas",
]
