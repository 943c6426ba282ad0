"""In place of open_clip's module of this name: image towers of timm."""

from . import later

__getattr__ = later("timm_model")
