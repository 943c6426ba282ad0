"""The protocol of a method: training hooks and inference hooks, each with a plain default.

A method file holds a frozen dataclass `Config`, one final subclass of `Method`, and a docstring
with its paper. It never sees a dataset's name, a device, a seed, a file, past or future data.
"""

from abc import ABC
from collections.abc import Callable, Mapping, Set
from typing import Any, ClassVar, Generic, Literal, Self

import torch
from torch import Tensor, nn
from typing_extensions import TypeVar  # typing's has no default before Python 3.13

from ..backbones.backbone import Backbone
from ..backbones.content import modules_of, parameters_of
from ..errors import BenchError
from .badges import Badge
from .class_rows import PROMPTS
from .config import Config, named_config
from .encoders import TEXTS, prompt_classifier
from .encoders import Encoder as Encoder
from .encoders import Frozen as Frozen
from .invariants import Invariant
from .items import OwnTower
from .losses import matching
from .types import Batch, Classes, Features, Images, Loader, ParamGroup, Task, Texts, Tools

ConfigT = TypeVar("ConfigT", bound=Config, default=Config)


class Method(nn.Module, ABC, Generic[ConfigT]):
    """A continual-learning method. Abstract: every method is one final subclass.

    `class Mine(Method[MyConfig])` says once what the method's settings are: `self.config` is a
    MyConfig for whoever runs it and for mypy. A method without settings is a plain `Method`.
    What several methods share are functions and modules of the toolkit, never a class between.

    What a method keeps between tasks is its state dict: parameters, `nn.Buffer`s and those of its
    modules. A run that goes on after a kill has them, and beside them what `__init__` and
    `before_task` set. A number, string or list that another hook set is lost, and nothing says so.

    Attributes:
        Config: the class of its settings, taken from the brackets.
        variants: tag -> overrides of Config; `--method name.tag` asks for one.
        label: name in tables. paper: whom to cite.
        uses: what the method needs beyond the current task's data; shown as badges. Where that
            depends on the settings, see `badges`.
        refuses: kind of task ("pairs" or "labelled") -> why the method is not defined for it. A
            run that has such a task ends before anything is evaluated. Where that depends on the
            settings, see `refused`.
        training_only: names of tensors and modules that training needs, in a task or for the next
            one, and no prediction reads; what a task costs at inference leaves them out. A module
            of a method may have this attribute too.
        invariants: promise -> settings that it depends on, each with the values for which it
            holds. Records are held against it by `cl-bench validate`. Like `aliases`, plain
            literals, which are read from the source and no part of the code that identifies a
            method.
        aliases: variant ("" for none) -> label of a method or variant that it does the same as, so
            that equal scores are no sign of a copied record.
        at_once: how many items an evaluation gives the encoders at a time, at most. A method that
            routes and has its rows from `items.cached` can take thousands, so that it sees a set
            before a tower runs; 256 for one that reads pixels and tokens itself.
        budgets: where the suite gives each task a number of steps, how many of these the training
            after `before_task` has; 1, but for a method that learns several tasks at once.
    """

    Config: ClassVar[type[Config]] = Config
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    label: ClassVar[str]
    paper: ClassVar[str] = ""
    uses: frozenset[Badge] = frozenset()
    refuses: ClassVar[Mapping[str, str]] = {}
    training_only: ClassVar[tuple[str, ...]] = ()
    invariants: ClassVar[Mapping[Invariant, Mapping[str, tuple[Any, ...]]]] = {}
    aliases: ClassVar[Mapping[str, str]] = {}
    at_once: ClassVar[int] = PROMPTS
    budgets: int = 1

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """`Config` from the brackets.

        Raises:
            BenchError: the class has a `Config` of its own beside them, and it is another.
        """
        super().__init_subclass__(**kwargs)
        if (named := named_config(cls, Method)) is None:
            return
        if (own := cls.__dict__.get("Config", named)) is not named:
            raise BenchError(
                f"one Config class for {cls.__name__}",
                f"{named.__name__} in brackets and Config = {own.__name__}",
                "leave out the latter",
            )
        cls.Config = named

    def __init__(self, clip: Backbone, config: ConfigT, tools: Tools) -> None:
        super().__init__()
        self.clip, self.config, self.tools = clip, config, tools
        self.uses = self.badges(config)

    def __setattr__(self, name: str, value: Any) -> None:
        """A tensor that would be no part of the state is refused: a resumed run would not have it.

        Raises:
            BenchError: a tensor that is neither a Parameter nor an nn.Buffer.
        """
        buffers = vars(self).get("_buffers", ())
        known = isinstance(value, nn.Parameter | nn.Buffer) or name in buffers
        if isinstance(value, Tensor) and not known:
            raise BenchError(
                f"a tensor '{name}' that is part of the method's state",
                "a plain attribute, which a resumed run would not have",
                "make it an nn.Buffer, with persistent=False if before_task builds it",
            )
        super().__setattr__(name, value)

    def train(self, mode: bool = True) -> Self:
        """As every module, but a copy of the backbone that nothing trains stays in eval mode.

        The loop calls this before every step; a teacher must not start to drop features there.
        """
        self.training = mode
        for child in self.children():  # a teacher never changes its mode, and keeps its digest
            child.train(mode and not self._rests(child))
        for part in modules_of(self):
            if self._rests(part):
                part.eval()
        return self

    def _rests(self, part: nn.Module) -> bool:
        copy = isinstance(part, Backbone) and part is not self.clip
        return copy and not any(p.requires_grad for _, p in parameters_of(part))

    @classmethod
    def badges(cls, config: ConfigT) -> frozenset[Badge]:
        """`uses` of the method with these settings."""
        return cls.uses

    @classmethod
    def refused(cls, config: ConfigT) -> Mapping[str, str]:
        """`refuses` of the method with these settings."""
        return cls.refuses

    # -- training, called in this order for every task

    def before_task(self, task: Task) -> None:
        """Build what the task needs, from (config, task.index, task.generator, weights) alone.

        A resumed run calls it again for every finished task, one after the other, and then loads
        the saved tensors. In that replay the weights are the pretrained ones and no hook between
        has run, so what is read of weights and buffers may go into tensors that are saved, and
        decide nothing else. What the loader gives, frozen features above all, is the same in a
        replay, and so are draws from `task.generator` and torch's own. Gradients are on.
        """

    def loader(self, task: Task) -> Loader:
        """The batches to train on; past tasks' only for methods that declare "samples"."""
        return task.loader

    def trainable(self) -> list[ParamGroup]:
        """Parameters to train in this task; an empty list means no step is made.

        The loop turns the gradients of all others off.
        """
        return [ParamGroup(self.clip.weights())]

    def features(self, batch: Batch) -> Features:
        """Embeddings of a training batch, with gradient.

        Where memory is short, `backward` runs the towers a second time, piece by piece (see
        `Backbone.chunks`). So what a delta computes must be the same then and leave no trace: it
        may draw from torch's global generator, and count nothing. Count here, and add in
        `after_step`, which a step that ran out of memory and is repeated does not reach.
        """
        return Features(
            self.encode_image(batch.images),
            self.encode_text(batch.texts),
            self.clip.scale,
            batch.target_B,
            batch.paired,
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named scalar terms; training minimises their sum and logs each.

        Called in training mode, with torch's global generator seeded for the step.
        """
        return {"match": matching(self.features(batch))}

    def training_key(self) -> Mapping[str, Any] | None:
        """The settings that training depends on, if nothing of earlier tasks does.

        None, unless training on a task starts from the pretrained model and what `before_task`
        builds, reads nothing that earlier tasks left, and changes no tensor but the trained ones.
        Then runs that agree in these settings, `lr`, `weight_decay` and `decay` train each task
        once, whatever their order and their other settings.
        """
        return None

    def after_step(self, step: int, total: int) -> None:
        """After optimiser step `step` (1-based) of `total`; no gradients here."""

    def after_task(self, task: Task) -> None:
        """After the last step, in eval mode; may read the task's loader once more.

        What merges tasks or adapters must not depend on their order unless the paper's does: add
        in float64 and go through adapters by content, not by task. Drop what the task alone
        needed (`self.teacher = None`), or it counts as kept. Gradients are off; a method that
        needs some (a Fisher estimate) turns them on.
        """

    def report(self) -> Mapping[str, Any]:
        """What the method did in the task, for the record; asked once, after `after_task`.

        Numbers, strings, lists, and mappings with strings as keys: at most 16 KiB as JSON (see
        `run.record.costs.plain_report`). A record has them under `reports`, one entry a task.
        """
        return {}

    # -- inference, in eval mode and without gradients

    def encode_image(self, images: Images) -> Tensor:
        """Images -> unit rows (B, D), float32. An item's row must not depend on the others.

        In float32 the last bits of a product depend on the size of the batch. That may not decide
        anything, so scores that choose (a router, a gate, a prototype) are computed in float64.
        """
        return images.cached(self.clip, OwnTower(self.clip))

    def encode_text(self, texts: Texts) -> Tensor:
        """Texts -> unit rows (M, D), float32. An item's row must not depend on the others."""
        return texts.cached(self.clip, OwnTower(self.clip))

    def classifier(self, classes: Classes) -> Callable[[Images], Tensor]:
        """Classes -> function of images -> scores (B, C); class texts are encoded once.

        A classifier of a method's own gets their rows from `encode_classes`, in small batches.
        """
        return prompt_classifier(self, classes, self.clip.scale, at_once(self, "encode_text"))


def at_once(
    encoder: Encoder, hook: Literal["encode_image", "encode_text"], uses: Set[Badge] = frozenset()
) -> int:
    """How many items a hook is given at a time, at most.

    Texts of a hook that has them from the store are many, so that there are some of each length.

    Args:
        encoder: a method, or the frozen backbone.
        hook: its hook.
        uses: what the method declares; with "test batch" the size of a batch is part of it.
    """
    if "test batch" in uses or not isinstance(encoder, Method | Frozen):
        return PROMPTS
    if hook == "encode_text":
        own = type(encoder).encode_text
        if own in (Method.encode_text, Frozen.encode_text):
            return TEXTS
    return encoder.at_once if isinstance(encoder, Method) else PROMPTS


def trainable_count(method: Method[Any]) -> int:
    """Number of scalars that the method trains in the current task."""
    return sum(p.numel() for group in method.trainable() for p in group.params)


def no_grad_after_task(method: Method[Any], task: Task) -> None:
    """Calls `after_task` as the protocol promises: eval mode, no gradients."""
    method.eval()
    with torch.no_grad():
        method.after_task(task)
