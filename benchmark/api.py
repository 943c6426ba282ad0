"""The one module that a method file imports, beside torch."""

from .clip import Clip, Delta, end_of_text, unit
from .errors import BenchError
from .method import Config, Method, class_rows, prompt_classifier
from .toolkit.bank import Bank
from .toolkit.distillation import directions, divergence, is_right, old_features, snapshot
from .toolkit.fusion import RidgeHead, fuse, labelled
from .toolkit.lora import PROJECTIONS, LoRA, check_adapter, weighted_deltas
from .toolkit.losses import matching
from .toolkit.merging import MERGES, check_merge
from .toolkit.ridge import Dual, Primal, check_ridge, check_steps
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
    "Dual",
    "Features",
    "Images",
    "LoRA",
    "Loader",
    "Method",
    "ParamGroup",
    "Primal",
    "RidgeHead",
    "Task",
    "Texts",
    "Tools",
    "check_adapter",
    "check_merge",
    "check_ridge",
    "check_steps",
    "class_rows",
    "directions",
    "divergence",
    "end_of_text",
    "fuse",
    "is_right",
    "labelled",
    "matching",
    "old_features",
    "prompt_classifier",
    "snapshot",
    "unit",
    "weighted_deltas",
]
