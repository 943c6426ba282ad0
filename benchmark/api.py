"""The one module that a method file imports, beside torch."""

from .clip import Clip, Delta, end_of_text, unit
from .errors import BenchError
from .method import Config, Method, class_rows, prompt_classifier
from .toolkit.lora import PROJECTIONS, LoRA, check_adapter, weighted_deltas
from .toolkit.losses import matching
from .toolkit.merging import MERGES, check_merge, merged_deltas, site_updates
from .types import Batch, Classes, Features, Images, Loader, ParamGroup, Task, Texts, Tools

__all__ = [
    "MERGES",
    "PROJECTIONS",
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
    "check_merge",
    "class_rows",
    "end_of_text",
    "matching",
    "merged_deltas",
    "prompt_classifier",
    "site_updates",
    "unit",
    "weighted_deltas",
]
