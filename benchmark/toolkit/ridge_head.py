"""A regression on labels beside a zero-shot classifier: whose columns are whose, and the fusion.

RAIL (Xu et al., NeurIPS 2024), and whatever else is coupled with its heads. Shapes as in
`toolkit.ridge`: S columns, one for each class of each learned task, in the order of learning; a
class name that two tasks share has two.
"""

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..errors import BenchError
from ..protocol.types import Classes, Images, Task
from .ridge import Dual, Primal


class RidgeHead(nn.Module):
    """A regression beside a zero-shot classifier: which class has which column, and the fusion.

    Args:
        regression: what is learned.
        beta: its share where it acts, see `fuse`.
    """

    def __init__(self, regression: Primal | Dual, beta: float) -> None:
        super().__init__()
        self.regression, self.beta = regression, beta
        self.name_S: Tensor = nn.Buffer(torch.zeros(0, dtype=torch.int64))  # hash of the class name
        self.task_S: Tensor = nn.Buffer(torch.zeros(0, dtype=torch.int64))

    def learn(self, task: Task, encode: Callable[[Images], Tensor]) -> None:
        """One pass over a task's images, for `after_task`.

        Args:
            task: with the lease open.
            encode: images -> features (B, D), the same function as at test time.
        """
        assert task.classes is not None
        names = task.classes.names
        first = len(self.name_S)
        for batch in task.loader.sweep():
            label_B = batch.target_B + first
            self.regression.update(encode(batch.images), label_B, first + len(names))
        self.regression.finish()
        new_S = _hashes(names).to(self.name_S.device)
        self.name_S = torch.cat([self.name_S, new_S])
        self.task_S = torch.cat([self.task_S, torch.full_like(new_S, task.index)])

    def columns(self, classes: Classes) -> Tensor:
        """The column (C,) of each class, -1 for classes that were not learned.

        Where `Classes.task_C` names learned tasks, their classes have these tasks' columns. Where
        it names none, one dataset's classes may compete without a word on which it is. All that
        is given then is the list of names: if one learned task, and no second, has exactly these
        names, the columns are its own.

        Raises:
            BenchError: `task_C` names a task whose classes had other names, or no task is named and
                several have exactly these names.
        """
        name_C, task_C = _hashes(classes.names).to(self.name_S.device), classes.task_C
        column_C = torch.full_like(name_C, -1)
        told = [int(t) for t in task_C.unique() if t >= 0]
        for t in told:
            rows = (task_C == t).nonzero()[:, 0]
            own = (self.task_S == t).nonzero()[:, 0]
            if not _place(column_C, rows, name_C[rows], own, self.name_S[own]):
                raise BenchError(
                    f"the classes of task {t + 1} to have the names they were learned by",
                    f"{len(rows)} classes of which some have others",
                    "give training and test split of a dataset the same class names",
                )
        if not told:
            every = torch.arange(len(name_C), device=name_C.device)
            found = []
            for t in self.task_S.unique():
                own = (self.task_S == t).nonzero()[:, 0]
                here_C = torch.full_like(name_C, -1)
                if _place(here_C, every, name_C, own, self.name_S[own]):
                    found.append(here_C)
            if len(found) > 1:
                raise BenchError(
                    "tasks whose class names tell them apart, where each is scored by itself",
                    f"{len(found)} learned tasks with the same {len(name_C)} names",
                    "choose a method without a regression, or let the classes of all tasks compete",
                )
            column_C = found[0] if found else column_C
        return column_C

    def classifier(
        self, classes: Classes, class_CD: Tensor, scale: Tensor, encode: Callable[[Images], Tensor]
    ) -> Callable[[Images], Tensor]:
        """Classes -> function of images -> scores (B, C) that sum to about 1, float32.

        Args:
            classes: C candidates.
            class_CD: their unit text rows.
            scale: of the cosines in the zero-shot softmax.
            encode: images -> unit rows (B, D), for both parts.
        """
        column_C = self.columns(classes)

        def score(images: Images) -> Tensor:
            image_BD = encode(images)
            chance_BC = (scale * image_BD @ class_CD.T).softmax(dim=1)
            if bool((column_C < 0).all()):
                return chance_BC
            return fuse(chance_BC, self.regression.scores(image_BD), column_C, self.beta)

        return score


def fuse(chance_BC: Tensor, score_BS: Tensor, column_C: Tensor, beta: float) -> Tensor:
    """RAIL's fusion: an image whose likeliest class is a learned one is scored by both.

    p <- (1 - beta) p + beta s for these images, where s are the regression's scores on learned
    classes and 0 on others; for all other images p is returned as it is, bit for bit.

    Args:
        chance_BC: p, the zero-shot probabilities; of equal ones the first counts.
        score_BS: the regression's scores, one for each column.
        column_C: the column of each class, -1 for classes that were not learned.
        beta: in [0, 1].

    Returns:
        (B, C) in p's dtype.
    """
    learned_C = column_C >= 0
    score_BC = score_BS[:, column_C.clamp(min=0)].to(chance_BC.dtype)
    mixed_BC = (1 - beta) * chance_BC + beta * torch.where(learned_C, score_BC, 0)
    acts_B1 = learned_C[chance_BC.argmax(dim=1)][:, None]
    return torch.where(acts_B1, mixed_BC, chance_BC)


def _hashes(names: tuple[str, ...]) -> Tensor:
    """63 bits of the sha256 of each name, int64: tensors are what a checkpoint holds."""
    digests = [hashlib.sha256(name.encode()).digest()[:8] for name in names]
    return torch.tensor([int.from_bytes(d, "big") >> 1 for d in digests], dtype=torch.int64)


def _place(column_C: Tensor, rows: Tensor, wanted: Tensor, own: Tensor, names: Tensor) -> bool:
    """Write the columns `own` at `rows`, by name; False and nothing where the names differ.

    Of a name that occurs several times, the first is matched with the first.
    """
    wanted, there = wanted.sort(stable=True)
    names, here = names.sort(stable=True)
    if not wanted.equal(names):
        return False
    column_C[rows[there]] = own[here]
    return True
