"""What training on a task gave, shared by all runs that would train the very same thing.

Only for methods that say what their training depends on (`Method.training_key`). The key also has
the values that training starts from, the data, the recipe, the seed, the code, and whatever else
the frozen features are keyed by, so that a run ends in the same numbers, bit for bit, whether it
trained a task itself or not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...common.digests import digest, tensor_digest
from ...common.files import cache_root
from ...common.report import Say, silent
from ...protocol.types import Tensors
from ..inputs import Inputs
from ..provenance.machine import hardware, versions
from ..request import Plan
from ..train import Fit
from . import checkpoint
from .checkpoint import DamagedCheckpoint


@dataclass(frozen=True)
class Trained:
    """Where trained parameters lie.

    Attributes:
        root: cache folder.
        about: everything beside the method and the task that training depends on.
        fresh: train again and replace what is there.
        say: is told of a damaged file, whose task is trained again.
    """

    root: Path
    about: tuple[str, ...]
    fresh: bool = False
    say: Say = silent

    def key(self, fit: Fit, data: str, settings: Mapping[str, Any]) -> str:
        """Names one training.

        Args:
            fit: before its first step.
            data: fingerprint of the task's training split.
            settings: those of the method that its training depends on.
        """
        config = fit.method.config
        given = config.lr, config.weight_decay, config.decay
        asked = [repr(sorted(settings.items())), repr(given)]
        return digest([*self.about, *asked, repr(fit.recipe), repr(fit.seed), data, _sha(fit)])

    def load(self, key: str, fit: Fit) -> dict[str, Any] | None:
        """Give the parameters of `fit` their trained values.

        Returns:
            The notes of `keep`; None where nothing is kept, and the parameters are as they were.
        """
        path = self._path(key)
        if self.fresh or not path.exists():
            return None
        shapes = {name: p.shape for name, p in _tensors(fit.params).items()}
        try:
            tensors, about = checkpoint.read(path)
            if about.get("key") != key or {k: v.shape for k, v in tensors.items()} != shapes:
                raise DamagedCheckpoint(f"{path.name}: it is of another training")
        except DamagedCheckpoint as e:
            self.say(f"what an earlier run has trained is damaged ({e}); it is trained again")
            return None
        with torch.no_grad():
            for index, p in enumerate(fit.params):
                p.copy_(tensors[str(index)])
        return about

    def keep(self, key: str, fit: Fit, about: Mapping[str, Any]) -> None:
        """Keep what training gave, and the notes."""
        checkpoint.write(self._path(key), _tensors(fit.params), {**about, "key": key})

    def once(self, key: str, compute: Callable[[], Tensors]) -> Tensors:
        """What `compute` gives, or gave to an earlier run; see `Task.once`."""
        key = digest([*self.about, "once", key])
        path = self._path(key)
        if not self.fresh and path.exists():
            try:
                tensors, about = checkpoint.read(path)
                if about.get("key") == key:
                    return tensors
                self.say(f"{path.name} is of something else; it is made again")
            except DamagedCheckpoint as e:
                self.say(f"what an earlier run has fitted is damaged ({e}); it is fitted again")
        tensors = {name: tensor.cpu() for name, tensor in compute().items()}
        checkpoint.write(path, tensors, {"key": key})
        return tensors

    def _path(self, key: str) -> Path:
        return self.root / "trained" / f"{key[:32]}.safetensors"


def shared_training(plan: Plan, inputs: Inputs, say: Say) -> Trained:
    """Where a run keeps what it trains, and finds what others have trained alike.

    Args:
        plan: of the run.
        inputs: its data.
        say: see `Trained`.
    """
    known = (
        "weights", "normalisation", "transform", "crops", "torch", "device", "threads", "blocks",
    )  # fmt: skip
    about = (
        plan.code, plan.method.sha, plan.backbone, plan.precision, repr(versions()),
        repr(hardware()),
    )  # fmt: skip
    identity = (repr(inputs.identity.get(k)) for k in known)
    root = cache_root(plan.request.cache_dir)
    return Trained(root, (*about, *identity), plan.request.fresh, say)


def _tensors(params: Sequence[Tensor]) -> dict[str, Tensor]:
    return {str(index): p for index, p in enumerate(params)}


def _sha(fit: Fit) -> str:
    """Digest of what is trained: the values that training starts from."""
    return tensor_digest(part for p in fit.params for part in (repr((tuple(p.shape), p.dtype)), p))
