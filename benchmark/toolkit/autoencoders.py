"""Auto-encoders of the tasks' features, and all that are fitted for a task in one fit.

What they are for, and where they differ from DDAS, is said in `toolkit.autoencoder_routers`.

Shapes: D of a feature, H of the code; S steps; K auto-encoders side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..common.digests import tensor_digest
from ..protocol.optimisers import eager
from ..protocol.types import Once, computed

HIDDEN, BATCH = 100, 64  # width of the code, features in a step; official code
RATE, DECAY = 3e-3, 1e-4  # Adam's rate and L2 penalty; official code
FOLDS = 5  # parts of a task's items; the errors of each are those of a coder of the others
MANY = 4096  # features in float64 at a time


class AutoEncoder(nn.Module):
    """D -> HIDDEN, ReLU -> D, sigmoid; initialised as torch's Linear.

    Args:
        dim: D.
        generator: seeds the weights.
    """

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()

        def drawn(fan_in: int, *shape: int) -> nn.Parameter:
            bound = fan_in**-0.5
            return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))

        self.down_HD, self.down_H = drawn(dim, HIDDEN, dim), drawn(dim, HIDDEN)
        self.up_DH, self.up_D = drawn(HIDDEN, dim, HIDDEN), drawn(HIDDEN, dim)

    def forward(self, x_BD: Tensor) -> Tensor:
        """Squared error (B,) of the reconstruction, mean over the features; in x's precision."""
        return _squared_error(x_BD, *(p.to(x_BD.dtype) for p in self.maps()))

    def maps(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights as rows are multiplied by them, and biases: (D, H), (1, H), (H, D), (1, D)."""
        return self.down_HD.mT, self.down_H[None], self.up_DH.mT, self.up_D[None]


class AutoEncoders(nn.ModuleList):
    """One auto-encoder per learned task, and the largest error of an item that is the task's own.

    `add` them in `before_task`, so that a resumed run has them all. They are of no concern to the
    training loop: `add` trains them.

    Adam's rate is constant: the official code divides it by 10 after 10 epochs of the whole
    training set, which its 300 steps seldom reach.

    Args:
        steps: of Adam, at least 1; official: 300 for few shots.
        quantile: of a task's errors on held-out training items, in (0, 1]; 0.99 is our choice.
    """

    def __init__(self, steps: int = 300, quantile: float = 0.99) -> None:
        super().__init__()
        self.steps, self.quantile = steps, quantile
        self.limit_T: Tensor = nn.Buffer(torch.zeros(0))

    def add(self, feature_ND: Tensor, generator: torch.Generator) -> None:
        """Train the next task's auto-encoder on all items, and set its limit by cross-fitting.

        Args:
            feature_ND: unit rows of all training items of the task, frozen. A single one is its
                own limit.
            generator: seeds weights, batches and folds; on the CPU.
        """
        add_together([(self, feature_ND, generator)])

    def take(self, coder: AutoEncoder, held_out_N: Tensor) -> None:
        """The next task's auto-encoder, and the error (N,) of each item by one without it."""
        self.append(coder)
        limit_1 = held_out_N.double().quantile(self.quantile, keepdim=True).float()
        self.limit_T = torch.cat([self.limit_T.to(limit_1.device), limit_1])

    def errors(self, feature_BD: Tensor) -> Tensor:
        """Unit rows -> error (B, T) of every task's auto-encoder, at least 0, float32."""
        return torch.stack([_errors(coder, feature_BD) for coder in self], dim=1)

    def route(self, feature_BD: Tensor, together: bool = False) -> Tensor:
        """Unit rows -> the task of each item (B,), int64; -1 where no task's limit is kept.

        Args:
            feature_BD: of B items, frozen.
            together: one decision for all, by their mean errors. That is the paper's, with
                batches of one data set, and tells items by what they are batched with.
        """
        error_BT = self.errors(feature_BD)
        if together:
            error_BT = error_BT.double().mean(dim=0, keepdim=True).float().expand(len(error_BT), -1)
        least_B, task_B = error_BT.min(dim=1)
        route_B: Tensor = torch.where(least_B <= self.limit_T[task_B], task_B, -1)
        return route_B


def _squared_error(
    x_BD: Tensor, down_DH: Tensor, down_1H: Tensor, up_HD: Tensor, up_1D: Tensor
) -> Tensor:
    """Of one auto-encoder, or of K with (K, ...) before all of these shapes."""
    code_BH = F.relu(x_BD @ down_DH + down_1H)
    again_BD = (code_BH @ up_HD + up_1D).sigmoid()
    return (again_BD - x_BD).square().mean(dim=-1)


@torch.no_grad()
def _errors(coder: nn.Module, feature_BD: Tensor) -> Tensor:
    """In float64, rounded once: an item's route must not turn on the size of its batch."""
    error_B: Tensor = coder(_squashed(feature_BD.double()))
    return error_B.float()


def _squashed(feature_BD: Tensor) -> Tensor:
    scaled_BD: Tensor = feature_BD * feature_BD.shape[-1] ** 0.5
    return scaled_BD.sigmoid()


# -- fitting


def add_together(
    added: Sequence[tuple[AutoEncoders, Tensor, torch.Generator]], once: Once = computed
) -> None:
    """`AutoEncoders.add` for several at once, of equal steps and D: all are fitted side by side.

    Args:
        added: each with the features and the generator of its own.
        once: see `Task.once`; a fit depends on features and draws alone.
    """
    features = [feature_ND for _, feature_ND, _ in added]
    drawn = [_drawn(one.steps, feature_ND, seed) for one, feature_ND, seed in added]

    def fitted() -> dict[str, Tensor]:
        coders, found = iter(_fitted(features, [fits for fits, _ in drawn])), dict[str, Tensor]()
        for i, (feature_ND, (fits, parts)) in enumerate(zip(features, drawn, strict=True)):
            whole, *folds = islice(coders, len(fits))
            found |= {f"{i}.{name}": value for name, value in whole.state_dict().items()}
            held_out = [
                _errors(coder, feature_ND[rows])
                for coder, part in zip(folds, parts, strict=True)
                for rows in part.to(feature_ND.device).split(MANY)
            ]
            found[f"{i}.held_out"] = torch.cat(held_out)
        return found

    found = once(_key(features, [fits for fits, _ in drawn]), fitted)
    for i, ((routers, feature_ND, _), (fits, _)) in enumerate(zip(added, drawn, strict=True)):
        coder = fits[0].coder.to(feature_ND.device).requires_grad_(False)
        coder.load_state_dict({name: found[f"{i}.{name}"] for name in coder.state_dict()})
        routers.take(coder, found[f"{i}.held_out"].to(feature_ND.device))


@dataclass(frozen=True)
class _Fit:
    """What is drawn for one auto-encoder.

    Attributes:
        coder: as initialised.
        rows_SB: the features of each of its S steps; -1 where a batch has no more.
    """

    coder: AutoEncoder
    rows_SB: Tensor


def _drawn(
    steps: int, feature_ND: Tensor, generator: torch.Generator
) -> tuple[list[_Fit], tuple[Tensor, ...]]:
    """Fits of all features and of all but each fold, and the folds."""
    n, dim = feature_ND.shape

    def fit(rows: Tensor) -> _Fit:
        coder, batches, left = AutoEncoder(dim, generator), [], rows[:0]
        for _ in range(steps):
            if not len(left):
                left = rows[torch.randperm(len(rows), generator=generator)]
            batches.append(F.pad(left[:BATCH], (0, max(0, BATCH - len(left))), value=-1))
            left = left[BATCH:]
        return _Fit(coder, torch.stack(batches))

    fits = [fit(torch.arange(n))]
    parts = torch.randperm(n, generator=generator).chunk(min(FOLDS, n))
    for i, part in enumerate(parts):
        fits.append(fit(torch.cat([*parts[:i], *parts[i + 1 :]]) if n > 1 else part))
    return fits, parts


def _key(features: Sequence[Tensor], fits: Sequence[Sequence[_Fit]]) -> str:
    """Digest of all that the fits depend on."""
    every = [x for some in fits for fit in some for x in (fit.rows_SB, *fit.coder.parameters())]
    tensors = [*features, *every]
    return tensor_digest(x for t in tensors for x in (f"{t.dtype} {tuple(t.shape)}", t.detach()))


def _fitted(features: Sequence[Tensor], fits: Sequence[Sequence[_Fit]]) -> list[AutoEncoder]:
    """The coders of all fits, K in all, each as if it were alone: parameters are stacked.

    Adam treats every number by itself, and the sum of all losses has for each coder the gradient
    of its own. Where a batch is shorter than others, what fills it up weighs nothing.

    Args:
        features: tables (N, D).
        fits: those on each of the tables.
    """
    device, every = features[0].device, [fit for some in fits for fit in some]
    rows_SKB = torch.stack([fit.rows_SB for fit in every], dim=1)
    count_SK = (rows_SKB >= 0).sum(dim=2)
    weight_SKB = ((rows_SKB >= 0).double() / count_SK[..., None]).to(features[0])
    rows_SKB = rows_SKB.clamp(min=0).to(device)
    params = [
        nn.Parameter(torch.stack(same).detach().to(device))
        for same in zip(*(fit.coder.maps() for fit in every), strict=True)
    ]  # no view of a coder's own maps is left: they are moved below
    tables = [_squashed(table) for table in features]
    adam = eager(torch.optim.Adam)(params, RATE, weight_decay=DECAY, fused=True)
    with torch.enable_grad(), torch.autocast(device.type, enabled=False):
        for s, longest in enumerate(count_SK.amax(dim=1).tolist()):
            by_table = rows_SKB[s, :, :longest].split([len(some) for some in fits])
            own = [table[rows] for table, rows in zip(tables, by_table, strict=True)]
            error_KB = _squared_error(torch.cat(own), *params)
            adam.zero_grad()
            (error_KB * weight_SKB[s, :, :longest]).sum().backward()
            adam.step()
    coders = [fit.coder.to(device).requires_grad_(False) for fit in every]
    with torch.no_grad():
        for coder, *own in zip(coders, *params, strict=True):
            for part, value in zip(coder.maps(), own, strict=True):
                part.copy_(value)
    return coders
