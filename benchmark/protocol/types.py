"""The types that the harness and a method exchange.

Shape legend, used as name suffixes everywhere:
B images in a batch · M candidate texts · C classes · P prompt templates · L tokens · D embedding ·
W tower width · H, W pixels (after 3) · T tasks · K selected adapters · R rank.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from .items import Context as Context
from .items import Images as Images
from .items import Keyed as Keyed
from .items import Log as Log
from .items import Texts as Texts
from .items import no_log as no_log
from .items import undeclared


@dataclass(frozen=True)
class Batch:
    """One training step's data, the same shape for retrieval and for few-shot classification.

    Attributes:
        images: B images.
        texts: M texts. Retrieval: M = B, the captions. Classification: the M classes' prompts.
        target_B: int64 in [0, M): the text of each image.
        paired: True where text j belongs to image j alone, so that text-to-image is a task too;
            then M = B.
    """

    images: Images
    texts: Texts
    target_B: Tensor
    paired: bool


@dataclass(frozen=True)
class Features:
    """Embeddings of a batch: unit rows image_BD, text_MD, and the similarity scale."""

    image_BD: Tensor
    text_MD: Tensor
    scale: Tensor
    target_B: Tensor
    paired: bool


@dataclass(frozen=True)
class Classes:
    """The classes that an image is to be told apart among.

    Attributes:
        names: C class names.
        prompts: M texts, one or several for each class.
        owner_M: the class of each prompt, in [0, C).
        task_C: the 0-based index of the learned task that each class belongs to, in that task's
            own order of classes; -1 for classes of tasks not learned yet and of held-out sets.
            Where only one dataset's classes compete, it would name the task of every test image,
            and is -1 for methods that do not declare "task id".
    """

    names: tuple[str, ...]
    prompts: Texts
    owner_M: Tensor
    task_C: Tensor

    def __len__(self) -> int:
        return len(self.names)


class Loader(Protocol):
    """A task's training batches, a pure function of (seed, dataset, epoch)."""

    def __len__(self) -> int:
        """Number of batches in an epoch."""

    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        """The batches of that epoch from batch `start` on; skipped ones are not read."""

    def sweep(self) -> Iterator[Batch]:
        """Every image once, in the split's order, with all of its texts.

        Retrieval: all captions of the B images, `target_B` the first of each; not `paired` where
        an image has several. Classification: the prompts of all classes, `target_B` the label.
        """

    def keep(self, rows: Tensor) -> None:
        """Give up all images but these, for good: no batch has another one any more.

        So a method that declares "samples" shows how much it keeps: what remains is counted as
        its state. Loaders that this one was joined to follow.

        Args:
            rows: distinct places of the split's order (`sweep`'s, before anything was given up).

        Raises:
            BenchError: a row that is not there, or was given up before.
        """


Tensors = Mapping[str, Tensor]
Once = Callable[[str, Callable[[], Tensors]], Tensors]


def computed(key: str, compute: Callable[[], Tensors]) -> Tensors:
    """Where nothing is kept."""
    return compute()


@dataclass
class Task:
    """The lease of one task's training data. No test data, no other task, no dataset name.

    Attributes:
        index: 0-based position in the order.
        total: number of tasks in the order.
        loader: the training batches. Closed when the task ends, unless the method declares
            "samples".
        classes: the task's classes, or None for image-caption tasks.
        generator: generator(*key) is a fresh seeded generator that depends on the run's seed, the
            dataset and the key, and on nothing else: not on the position in the order.
        once: once(key, compute) is compute(), or what it gave for the same key in an earlier run
            of the same method, bit for bit. The key is a digest of all values that it depends on.
    """

    index: int
    total: int
    loader: Loader
    classes: Classes | None
    generator: Callable[..., torch.Generator]
    once: Once = computed


@dataclass(frozen=True)
class ParamGroup:
    """Parameters to train, and how AdamW treats them.

    Attributes:
        lr_scale: multiplies the learning rate.
        weight_decay: None takes the Config's, and if that is None the suite's, which spare gains
            and biases (see `Config.decay`); one that is given here holds for all of them.
        betas: decay rates of AdamW's moments.
    """

    params: list[nn.Parameter]
    lr_scale: float = 1.0
    weight_decay: float | None = None
    betas: tuple[float, float] = (0.9, 0.999)


def _no_reference_texts(count: int) -> Texts:
    raise undeclared("reference data", "tools.reference_texts")


@dataclass(frozen=True)
class Tools:
    """What the harness lends a method for the whole run.

    Attributes:
        generator: as in `Task`, but tied to the run's seed and the key alone.
        reference: reference(batch_size) -> image-text pairs from outside the tasks, drawn with
            torch's generator, which is seeded anew at every step; only for methods that declare
            "reference data".
        join: joins loaders into one whose batches mix their examples, or, with a second argument
            of False, have those of one of them alone.
        reference_texts: reference_texts(count) -> at most so many texts of that reference data,
            evenly spaced, always the same; likewise only for methods that declare it.
    """

    generator: Callable[..., torch.Generator]
    reference: Callable[[int], Batch]
    join: Callable[..., Loader]
    reference_texts: Callable[[int], Texts] = _no_reference_texts
