"""In place of open_clip's module of this name: text towers of transformers."""

from . import later

__getattr__ = later("hf_model")
