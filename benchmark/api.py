"""The one module that a method file imports, beside torch."""

from .clip import PARALLEL, Clip, Delta, end_of_text, unit
from .errors import BenchError
from .method import Config, Method, class_rows, prompt_classifier
from .toolkit.bank import Bank, tower
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
from .toolkit.fusion import RidgeHead, fuse
from .toolkit.gated import Gated, Pruning
from .toolkit.lora import MAPS, PROJECTIONS, LoRA, check_adapter, dropout, weighted_deltas
from .toolkit.losses import both_ways, check_smoothing, matching
from .toolkit.merging import MERGES, check_merge
from .toolkit.ridge import Dual, Primal, check_ridge, check_steps
from .toolkit.routers import AutoEncoders, by_own_route, frozen_features, noted, routed_classifier
from .types import Badge, Batch, Classes, Features, Images, Loader, ParamGroup, Task, Texts, Tools

__all__ = [
    "MAPS",
    "MERGES",
    "PARALLEL",
    "PROJECTIONS",
    "AutoEncoders",
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
    "Gated",
    "Images",
    "LoRA",
    "Loader",
    "Method",
    "ParamGroup",
    "Primal",
    "Pruning",
    "RidgeHead",
    "Task",
    "Texts",
    "Tools",
    "both_ways",
    "by_own_route",
    "check_adapter",
    "check_distillation",
    "check_merge",
    "check_ridge",
    "check_smoothing",
    "check_steps",
    "class_rows",
    "directions",
    "distillation",
    "divergence",
    "dropout",
    "end_of_text",
    "frozen_features",
    "fuse",
    "is_right",
    "matching",
    "noted",
    "old_features",
    "old_images",
    "prompt_classifier",
    "routed_classifier",
    "snapshot",
    "tower",
    "unit",
    "weighted_deltas",
]
