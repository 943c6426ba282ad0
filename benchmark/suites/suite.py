"""What a suite declares: its datasets, their order, and the training budget."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backbones.known import Precision
from ..common.files import weights_file
from ..common.origins import Origin
from ..errors import BenchError
from .names import CaptionSampling, ClassScope, Crops, Decay, Kind, SplitName, Templates

if TYPE_CHECKING:
    from ..data.published.declare import Shots
    from ..data.split import Split


UNSAID: Mapping[str, Any] = {
    "steps": 0, "precision": "fp32", "caption_sampling": "random", "crops": "none", "decay": "all",
}  # fmt: skip
"""What a recipe has of which a record says nothing: as it was when there was no choice."""


@dataclass(frozen=True)
class Recipe:
    """The suite-wide training budget. A method's Config may override lr and weight_decay.

    Attributes:
        epochs: passes over a task's training split.
        batch_size: pairs per optimiser step; also the number of in-batch negatives.
        lr: peak learning rate of AdamW for pretrained weights.
        lr_added: the same for parameters that a method adds (adapters, prompts, heads), which
            start from zero or from random values.
        weight_decay: AdamW's decoupled weight decay.
        decay: what it falls on: "matrices", with arrays of more dimensions (gains, biases and
            other vectors are spared, as CLIP and open_clip train), or "all".
        steps: optimiser steps of every task, whatever its size; 0 means that `epochs` says.
        warmup: fraction of a task's steps in which lr rises linearly from 0; a half cosine to 0
            follows.
        grad_clip: largest global gradient norm; 0 means no clipping.
        precision: that the towers multiply in. "bf16" keeps weights, losses and similarities in
            float32, and lets what else a training step multiplies in float32 do so in TF32, on a
            device that has it; "fp32" lets nothing. A run in another precision is named by it.
        caption_sampling: what an epoch has of an image with several captions: "random", one of
            them, drawn anew in every epoch; or "all", each of them once beside the image, so that
            an epoch has as many steps more. No batch has two captions of one image then, as long
            as there are batches enough.
        crops: what training batches have of an image: "none", the view that is tested; or
            "random", a box of 0.9 to 1 of the whole image, drawn anew at every step and scaled
            to the model's side (RandomResizedCrop(scale=(0.9, 1)) of the official scripts of
            X-TAIL and MTIL). Everything that is asked of a batch's image is of its crop; what
            reads a task's data in order, without training on it, sees the view that is tested.
    """

    epochs: int
    batch_size: int
    lr: float
    lr_added: float
    weight_decay: float
    warmup: float
    grad_clip: float = 0.0
    steps: int = 0
    precision: Precision = "fp32"
    decay: Decay = "matrices"
    caption_sampling: CaptionSampling = "random"
    crops: Crops = "none"

    def asked(self) -> dict[str, Any]:
        """As records have it; what is as it was when there was no choice is not in it."""
        return {k: v for k, v in asdict(self).items() if k not in UNSAID or v != UNSAID[k]}


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
        origin: where the data of a user's own dataset are from, as "owner/name@commit" of the
            hub; None for files of one's own.
        kind: images with captions or with labels, so that a method that is not defined for them
            is refused before anything is read; None where only the loaded split says it.
        test_images: expected in its test split, None where no declaration says it.
        shots: the draw of its training split from a prepared set, where it is one of few shots.
        training: the training split without a look at the test split, where `load` has one (to
            say that a picture is in both); None where `load` has none.
    """

    name: str
    title: str
    load: "Callable[[SplitName], Split]"
    licence: str
    citation: str
    needs: str | None = None
    optional: bool = False
    origin: "Callable[[], str | None]" = lambda: None
    kind: Kind | None = None
    test_images: int | None = None
    shots: "Shots | None" = None
    training: "Callable[[], Split] | None" = None


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
            "a photo of a {}." for all, one template for each dataset, the first of a list, or the
            mean over the list.
            Training sees the first template of a set. Held-out sets keep their own.
        order_ii: all tasks in the protocol's second order; empty where it has one only.
        alone: whether each task is learned by itself, from the pretrained weights: an order is
            then the name of one task, and is complete.
        settings: values that every method gets which has a setting of that name, and under the name
            of a method those that it alone gets, where neither its variant nor the call gives
            another; see `settings_for`.
        origins: setting, "method.setting" or key of the recipe -> where the value is from.
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
    alone: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)

    def settings_for(self, method: str) -> dict[str, Any]:
        """Those that a method gets if it has such settings; as the function of that name."""
        return settings_for(self.settings, method)

    def origins_for(self, method: str) -> dict[str, Origin]:
        """Setting, or key of the recipe -> origin of the value that a method gets."""
        plain = {key: one for key, one in self.origins.items() if "." not in key}
        own = {
            key.removeprefix(f"{method}."): one
            for key, one in self.origins.items() if key.startswith(f"{method}.")
        }  # fmt: skip
        return {**plain, **own}

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """Tasks, held-out sets and reference data."""
        return (*self.tasks, *self.held_out, *filter(None, [self.reference]))

    @property
    def weights(self) -> str:
        """`pretrained` as `backbones.load.load` takes it: a tag, or the path of a file."""
        if self.folder is not None and weights_file(self.pretrained) is not None:
            return str(self.folder / self.pretrained)
        return self.pretrained


def settings_for(settings: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Of a suite's settings those for a method: everybody's, and then its own.

    Args:
        settings: `Suite.settings`, or what is pinned of them.
        method: its name.
    """
    plain = {key: value for key, value in settings.items() if not isinstance(value, Mapping)}
    return {**plain, **settings.get(method, {})}


def check_recipe(suite: Suite, recipe: Recipe) -> None:
    """Raises BenchError for a recipe that says something of data that the suite does not have."""
    kinds = {dataset.kind for dataset in suite.tasks}
    if recipe.caption_sampling == "all" and "pairs" not in kinds and None not in kinds:
        raise BenchError(
            "tasks with captions where `caption_sampling` is all",
            f"'{suite.name}', whose tasks have labels",
            "leave it out",
        )
