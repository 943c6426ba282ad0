"""What the evaluations of a run have in common, so that nothing is computed twice."""

import hashlib
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...common.digests import tensor_bytes
from ...protocol.items import Images, Log
from .sets import Counts

Ranks = dict[str, Tensor]


@dataclass
class Classifier:
    """A method's classifier of one list of classes, and what it logged of their prompts.

    Attributes:
        counts: of the prompts. made: whether the hook has returned.
        late: whether something was logged after that, as by a classifier that encodes prompts when
            an image asks for them: then every test set has one of its own, so that what is counted
            for a set does not depend on which sets were scored before.
    """

    score: Callable[[Images], object] | None = None
    counts: Counts = field(default_factory=Counts)
    late: bool = False

    def log(self) -> Log:
        """Counts values of prompts."""
        count = self.counts.of("text")

        def log(key: str, value_B: Tensor) -> None:
            self.late |= self.score is not None
            count(key, value_B)

        return log


class Memory:
    """Classifiers of a stage, which its test sets share, and ranks by the rows that they are of.

    Ranks are taken over where rows have the same bits, whatever gave them: nobody promises it.
    """

    def __init__(self) -> None:
        self._classifiers: dict[Hashable, Classifier] = {}
        self._ranks: dict[str, Ranks] = {}

    @contextmanager
    def stage(self) -> Iterator[None]:
        """Around the evaluation of one encoder that does not change meanwhile."""
        self._classifiers.clear()
        try:
            yield
        finally:
            self._classifiers.clear()

    def classifier(
        self, key: Hashable, make: Callable[[Classifier], Callable[[Images], object]]
    ) -> Classifier:
        """The stage's classifier under a key.

        Args:
            key: tells the classes, and what the method is told of them, from others of the stage.
            make: calls the hook.
        """
        known = self._classifiers.get(key)
        if known is None or known.late:
            known = Classifier()
            known.score = make(known)
            self._classifiers[key] = known
        return known

    def ranks(self, rows: tuple[Tensor, ...], about: str, compute: Callable[[], Ranks]) -> Ranks:
        """Ranks that derive from these rows and from nothing else that changes in a run.

        Args:
            rows: embeddings.
            about: names the set.
            compute: gives the ranks.
        """
        sha = hashlib.sha256(about.encode())
        for part in rows:
            sha.update(f"{tuple(part.shape)}{part.dtype}".encode())
            sha.update(tensor_bytes(part))
        key = sha.hexdigest()
        if key not in self._ranks:
            self._ranks[key] = {name: r.to("cpu", torch.int32) for name, r in compute().items()}
        return self._ranks[key]
