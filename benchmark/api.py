"""The one module that a method file imports, beside torch."""

from .clip import PARALLEL, Clip, Delta, unit
from .errors import BenchError
from .method import (
    Config,
    Method,
    check_steps,
    class_rows,
    encode_classes,
    prompt_classifier,
)
from .toolkit.bank import Bank, tower
from .toolkit.codyra import GatedConfig, GatedMethod
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
from .toolkit.fusion import RidgeHead
from .toolkit.gated import Factors, Gated, Pruning, merge_factors
from .toolkit.lora import MAPS, PROJECTIONS, LoRA, check_adapter, dropout, weighted_deltas
from .toolkit.losses import both_ways, check_smoothing, matching
from .toolkit.merging import MERGES, check_merge
from .toolkit.ridge import Dual, Primal, check_ridge
from .toolkit.routers import ROUTERS, Router, by_own_route, check_router, routed_classifier
from .types import Badge, Batch, Classes, Features, Images, Loader, ParamGroup, Task, Texts, Tools

__all__ = [
    "MAPS",
    "MERGES",
    "PARALLEL",
    "PROJECTIONS",
    "ROUTERS",
    "Badge",
    "Bank",
    "Batch",
    "BenchError",
    "Classes",
    "Clip",
    "Config",
    "Delta",
    "Dual",
    "Factors",
    "Features",
    "Gated",
    "GatedConfig",
    "GatedMethod",
    "Images",
    "LoRA",
    "Loader",
    "Method",
    "ParamGroup",
    "Primal",
    "Pruning",
    "RidgeHead",
    "Router",
    "Task",
    "Texts",
    "Tools",
    "both_ways",
    "by_own_route",
    "check_adapter",
    "check_distillation",
    "check_merge",
    "check_ridge",
    "check_router",
    "check_smoothing",
    "check_steps",
    "class_rows",
    "directions",
    "distillation",
    "divergence",
    "dropout",
    "encode_classes",
    "is_right",
    "matching",
    "merge_factors",
    "old_features",
    "old_images",
    "prompt_classifier",
    "routed_classifier",
    "snapshot",
    "tower",
    "unit",
    "weighted_deltas",
]
