"""The one module that a method file imports, beside torch."""

from .backbones.backbone import Backbone, unit
from .backbones.content import Content
from .backbones.sites import MAPS, PARALLEL, PROJECTIONS, Delta
from .errors import BenchError
from .protocol.badges import Badge
from .protocol.class_rows import encode_classes
from .protocol.config import Config, require, require_choice, require_no_step, setting
from .protocol.encoders import prompt_classifier
from .protocol.items import OwnTower
from .protocol.losses import check_smoothing, matching, symmetric_cross_entropy
from .protocol.method import Method
from .protocol.parts import Part, told_by_values
from .protocol.types import Batch, Classes, Features, Images, Loader, ParamGroup, Task, Texts, Tools
from .toolkit.autoencoder_routers import (
    ROUTERS,
    Router,
    Routing,
    by_own_route,
    check_router,
    routed_classifier,
)
from .toolkit.distillation import (
    check_distillation,
    directions,
    distillation,
    divergence,
    is_right,
    over_directions,
    snapshot,
    teacher_features,
    teacher_images,
    teacher_texts,
)
from .toolkit.experts import mix_experts
from .toolkit.flat_weights import flat, parts
from .toolkit.gated import Factors, Gated, Pruning, check_gated, merge_factors
from .toolkit.lora import (
    LoRA,
    check_adapter,
    encode_with,
)
from .toolkit.low_rank import dropout
from .toolkit.merging.bank import Bank
from .toolkit.merging.mixed import weighted_deltas
from .toolkit.merging.spaces import MERGES, check_merge
from .toolkit.ridge import Dual, Primal, check_ridge
from .toolkit.ridge_head import RidgeHead

__all__ = [
    "MAPS",
    "MERGES",
    "PARALLEL",
    "PROJECTIONS",
    "ROUTERS",
    "Backbone",
    "Badge",
    "Bank",
    "Batch",
    "BenchError",
    "Classes",
    "Config",
    "Content",
    "Delta",
    "Dual",
    "Factors",
    "Features",
    "Gated",
    "Images",
    "LoRA",
    "Loader",
    "Method",
    "OwnTower",
    "ParamGroup",
    "Part",
    "Primal",
    "Pruning",
    "RidgeHead",
    "Router",
    "Routing",
    "Task",
    "Texts",
    "Tools",
    "by_own_route",
    "check_adapter",
    "check_distillation",
    "check_gated",
    "check_merge",
    "check_ridge",
    "check_router",
    "check_smoothing",
    "directions",
    "distillation",
    "divergence",
    "dropout",
    "encode_classes",
    "encode_with",
    "flat",
    "is_right",
    "matching",
    "merge_factors",
    "mix_experts",
    "over_directions",
    "parts",
    "prompt_classifier",
    "require",
    "require_choice",
    "require_no_step",
    "routed_classifier",
    "setting",
    "snapshot",
    "symmetric_cross_entropy",
    "teacher_features",
    "teacher_images",
    "teacher_texts",
    "told_by_values",
    "unit",
    "weighted_deltas",
]
