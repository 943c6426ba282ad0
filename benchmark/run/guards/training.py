"""What moves while a task is trained: what the method declares, by the loop's own steps."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ...backbones.backbone import Backbone
from ...errors import MethodError, quoted
from ...protocol.method import Method
from .weights import Sums, moved, parameters, sums

LOOKS = 2  # steps of a task in which all parameters are compared before and after the loss


class Watch:
    """Watches the training of one task.

    Args:
        method: after `before_task`.
        params: that it declares.
        optimizer: the loop's; None where no step is made.
    """

    def __init__(
        self, method: nn.Module, params: Sequence[Tensor], optimizer: Optimizer | None
    ) -> None:
        self._method, self._optimizer = method, optimizer
        self._declared = {id(p) for p in params}
        self._looks = LOOKS

    @contextmanager
    def training(self) -> Iterator[None]:
        """Around all steps of a task.

        Raises:
            MethodError: a parameter moved that was not declared, or another optimiser than the
                loop's made a step.
        """
        before = self._others()
        handle = register_optimizer_step_pre_hook(self._only_the_loops)
        try:
            yield
        finally:
            handle.remove()
        if names := moved(before, self._others()):
            raise MethodError(
                "training to move the parameters that trainable() names, and no other",
                f"'{names[0]}' moved" + (f", and {len(names) - 1} more" if names[1:] else ""),
                "declare it in trainable(), or keep hooks from writing to it",
                code=3,
            )

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around `loss`; nothing may move there, which is looked at in the first steps of a task.

        Raises:
            MethodError: something did.
        """
        if not self._looks:
            yield
            return
        self._looks -= 1
        before = sums(parameters(self._method))
        yield
        if names := moved(before, sums(parameters(self._method))):
            raise MethodError(
                "loss() to leave the parameters to the loop, which makes the steps",
                f"'{names[0]}' moved in it",
                "return terms alone; what changes parameters belongs in after_step",
                code=3,
            )

    def _others(self) -> Sums:
        named = parameters(self._method)
        return sums((name, p) for name, p in named if id(p) not in self._declared)

    def _only_the_loops(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if optimizer is not self._optimizer:
            raise MethodError(
                "the loop's optimiser to make the steps of a task",
                f"a step of another {type(optimizer).__name__}, made by a hook",
                "return the loss from loss(), and let the loop make the steps",
                code=3,
            )


@contextmanager
def no_backbone_steps(method: Method[Any]) -> Iterator[None]:
    """Around a hook outside of training: no optimiser of its own trains the backbone there.

    What a method adds may be fitted in hooks, as routers are; the backbone is trained by the loop,
    whose steps and parameters the record counts.

    Raises:
        MethodError: an optimiser that holds a parameter of the backbone makes a step.
    """
    own = {id(p) for p in method.clip.parameters()}

    def refuse(optimizer: Any, args: Any, kwargs: Any) -> None:
        if any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
            raise MethodError(
                "the loop to train the backbone, with what trainable() names",
                f"a step of {type(optimizer).__name__} over its parameters, made by a hook",
                "name them in trainable(), and return the loss from loss()",
                code=3,
            )

    handle = register_optimizer_step_pre_hook(refuse)
    try:
        yield
    finally:
        handle.remove()


class Constants:
    """What no method may change in a whole run: the similarity's scale, and its own settings.

    Args:
        clip: the backbone.
        same: whether a tensor is the scale as it was pretrained.
        config: the settings that the record names.
    """

    def __init__(
        self, clip: Backbone, same: Callable[[Tensor], bool], config: Mapping[str, Any]
    ) -> None:
        self._clip, self._same, self._config = clip, same, dict(config)

    def check(self, method: Method[Any]) -> None:
        """Compare.

        Raises:
            MethodError: it has changed one of them.
        """
        scales = (self._clip.logit_scale, method.clip.logit_scale)
        if not all(isinstance(s, Tensor) and self._same(s) for s in scales):
            raise MethodError(
                "`clip.logit_scale` as pretrained, in every method",
                "another value",
                "keep a scale of your own as a parameter of the method",
                code=3,
            )
        now = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(method.config).items()}
        if now != self._config:
            other = next(k for k in {**now, **self._config} if now.get(k) != self._config.get(k))
            raise MethodError(
                f"the setting '{other}' of {quoted(self._config.get(other))} that was asked for",
                f"{quoted(now.get(other))} in the method's config",
                "leave the config as it is",
                code=3,
            )
