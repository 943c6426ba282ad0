"""From a name and a tag to a model: which library, which files, read them.

Each library has one module with the same few functions (`Library`). It is imported when a model of
that library is wanted: either takes seconds, and transformers may be missing.
"""

from typing import Protocol

import torch

from .backbone import Backbone
from .known import Architecture, describe
from .tokenizer import Tokenize
from .weights import Files, random_seed


class Library(Protocol):
    """What a library's module offers: backbones/open_clip_files.py and backbones/blip_files.py."""

    def places(self, model: Architecture, tag: str) -> list[tuple[str, str]]:
        """Repository and file of all that a tag has on the hub."""

    def files(self, model: Architecture, pretrained: str) -> Files:
        """What the model is read from, fetched where it is not there."""

    def tokenizer(self, model: Architecture, pretrained: str) -> tuple[Tokenize, str]:
        """The model's tokenizer, and what names its tokens."""

    def read(self, model: Architecture, files: Files) -> Backbone:
        """The model with its weights; random ones are drawn from torch's generator of the CPU."""


def library_of(model: Architecture) -> Library:
    """The only place that chooses between the libraries."""
    if model.library == "transformers":
        from . import blip_files

        return blip_files
    from . import open_clip_files

    return open_clip_files


def load(name: str, pretrained: str) -> Backbone:
    """A backbone with its weights, in float32 on the CPU, in eval mode.

    Torch's generator of the CPU is afterwards as it was: whether and when a model is loaded changes
    no other draw.

    Args:
        name: of the model, for example ViT-B-16-quickgelu, tiny-s or blip-base.
        pretrained: "bundled" (the tiny models), "random:<seed>", a weights file, or a tag such as
            openai.

    Raises:
        BenchError: unknown model or tag, a library or a file that is missing, weights that do not
            fit or that were trained with the other activation (QuickGELU against GELU).
    """
    model = describe(name)
    library = library_of(model)
    with torch.random.fork_rng(devices=[]):
        if (seed := random_seed(pretrained)) is not None:
            torch.default_generator.manual_seed(seed)
        return library.read(model, library.files(model, pretrained)).eval()


def files_of(name: str, pretrained: str) -> Files:
    """What a model is read from, fetched where it is not there; raises as `load`."""
    model = describe(name)
    return library_of(model).files(model, pretrained)


def hub_places(name: str, tag: str) -> list[tuple[str, str]]:
    """Repository and file ("" for open_clip's usual name) of all that a tag has on the hub.

    Raises:
        BenchError: no such model or tag, or weights that this model cannot use.
    """
    model = describe(name)
    return library_of(model).places(model, tag)


def tokenizer_of(name: str, pretrained: str = "") -> tuple[Tokenize, str]:
    """A model's tokenizer, and what names its tokens; no weights are read.

    Args:
        name: of the model.
        pretrained: its weights, where the vocabulary comes with them (BLIP); "" for the first tag.

    Raises:
        BenchError: no such model, or no way to its vocabulary.
    """
    model = describe(name)
    return library_of(model).tokenizer(model, pretrained)
