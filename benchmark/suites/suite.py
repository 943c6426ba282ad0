"""The declaration of a suite and the look-up by name or path."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ..errors import BenchError, nearest
from ..files import weights_file

if TYPE_CHECKING:
    from ..data.split import Split

SplitName = Literal["train", "test"]
ClassScope = Literal["own", "union"]
Templates = Literal["generic", "per-dataset", "ensemble"]


@dataclass(frozen=True)
class Recipe:
    """The suite-wide training budget. A method's Config may override lr and weight_decay.

    Attributes:
        epochs: passes over a task's training split.
        batch_size: pairs per optimiser step; also the number of in-batch negatives.
        lr: peak learning rate of AdamW for pretrained weights.
        lr_added: the same for parameters that a method adds (adapters, prompts, heads), which
            start from nothing.
        weight_decay: AdamW's decoupled weight decay.
        steps: optimiser steps of every task, whatever its size; 0 means that `epochs` says.
        warmup: fraction of a task's steps in which lr rises linearly from 0; a half cosine to 0
            follows.
        grad_clip: largest global gradient norm; 0 means no clipping.
    """

    epochs: int
    batch_size: int
    lr: float
    lr_added: float
    weight_decay: float
    warmup: float
    grad_clip: float = 0.0
    steps: int = 0


@dataclass(frozen=True)
class Dataset:
    """One dataset of a suite.

    Attributes:
        name: identifier in records and in `--order a,b,c`: lower-case letters, digits, '-'.
        title: column head in tables.
        load: split name -> split. Held-out datasets are only asked for "test".
        licence: licence label, kept in every record's provenance.
        citation: whom to cite; likewise.
        needs: the declared dataset that must be prepared before, None where nothing must.
        optional: a held-out set that a run leaves out, and says so, where it is not prepared.
    """

    name: str
    title: str
    load: "Callable[[SplitName], Split]"
    licence: str
    citation: str
    needs: str | None = None
    optional: bool = False


@dataclass(frozen=True)
class Suite:
    """A sequence of tasks and held-out datasets with one budget.

    Attributes:
        name: identifier in records and the folder under results/.
        version: "major.minor"; only records of the same version are compared.
        tasks: the datasets in forward order.
        held_out: datasets that are never trained on, evaluated at every stage (OOD).
        backbone: default open_clip model name.
        pretrained: default weights of that backbone: a tag, or a file relative to `folder`. As
            declared, so that a record says the same wherever the suite lies; `weights` is what
            to load.
        recipe: the training budget.
        class_scope: for labelled tasks, whether test images are classified among their own
            dataset's classes ("own", MTIL) or among the classes of all tasks ("union", X-TAIL).
        about: one line on the suite; `cl-bench ls` shows that of embedded suites.
        reference: image-text data from outside the tasks, for methods that declare it.
        folder: the folder of the file that declares the suite; None for embedded suites.
        templates: which set of prompts the labelled tasks have, where the suite offers a choice:
            "a photo of a {}." for all, one template for each dataset, or the mean over a list.
            Training sees the first template of a set. Held-out sets keep their own.
        order_ii: all tasks in the protocol's second order; empty where it has one only.
    """

    name: str
    version: str
    tasks: tuple[Dataset, ...]
    held_out: tuple[Dataset, ...]
    backbone: str
    pretrained: str
    recipe: Recipe
    class_scope: ClassScope
    about: str
    reference: Dataset | None = None
    folder: Path | None = None
    templates: Templates | None = None
    order_ii: tuple[str, ...] = ()

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """Tasks, held-out sets and reference data."""
        return (*self.tasks, *self.held_out, *filter(None, [self.reference]))

    @property
    def weights(self) -> str:
        """`pretrained` as `backbones.load` takes it: a tag, or the path of a file."""
        if self.folder is not None and weights_file(self.pretrained) is not None:
            return str(self.folder / self.pretrained)
        return self.pretrained


EMBEDDED = ("mini", "mini-xtail", "mini-mtil")
PUBLISHED = ("retrieval", "xtail", "xtail-coop", "mtil")
# Suites that come or will come with the package, and the folder of unfinished work.
RESERVED = (*EMBEDDED, *PUBLISHED, "scratch")


def suite_names() -> tuple[str, ...]:
    """Names of the suites that come with the package."""
    return (*EMBEDDED, *PUBLISHED)


def find_suite(
    name: str,
    cache: Path | None = None,
    side: int | None = None,
    templates: Templates | None = None,
) -> Suite:
    """The suite of that name, or the one declared by a TOML file.

    Args:
        name: a suite's name, or a path that ends in `.toml`.
        cache: the folder where prepared data lie; None for the default one.
        side: image side of the run, for suites of prepared data; None reads whichever is there.
        templates: set of prompts; None for the suite's own.

    Raises:
        BenchError: no such suite or file, the file does not declare a suite, or the suite does
            not offer that choice of prompts.
    """
    _check_templates(templates)
    found = _find(name, cache, side, templates)
    if templates is not None and found.templates is None:
        raise BenchError(
            "--templates beside a suite with a choice of prompts",
            f"'{found.name}', which has none",
            "remove --templates or choose one of the labelled few-shot suites",
        )
    return found


def _check_templates(templates: str | None) -> None:
    known = get_args(Templates)
    if templates is not None and templates not in known:
        got = f"'{templates}'"
        raise BenchError(f"--templates of {', '.join(known)}", got, nearest(templates, known))


def _find(name: str, cache: Path | None, side: int | None, templates: Templates | None) -> Suite:
    if name.endswith(".toml"):
        from .custom import read_suite

        return read_suite(name)
    if name == "mini":
        from .mini import mini

        return mini()
    if name in EMBEDDED:
        from .mini_few import FEW_SHOT

        return FEW_SHOT[name](templates)
    if name in PUBLISHED:
        from . import published

        return published.PUBLISHED[name](published.At(cache, side, templates))
    raise BenchError(
        f"a suite ({', '.join(suite_names())}) or a path to a .toml file",
        f"'{name}'",
        nearest(name, suite_names()),
    )
