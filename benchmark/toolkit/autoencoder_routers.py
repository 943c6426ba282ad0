"""Domain routers: which learned task an item looks like, if any, from its frozen features.

Distribution discriminative auto-selection (Yu et al., CVPR 2024): an auto-encoder per
task, trained on that task's features alone. An item belongs to the task whose auto-encoder
reconstructs it best, and to none where even that one does badly. Official code:
JiazuoYu/MoE-Adapters4CL. Here differs:

- The features are the frozen backbone's embeddings z, which the cache has. The official code takes
  the last convolutional features of an AlexNet (43,264 numbers); that is not built. As there, what
  is encoded and reconstructed is a sigmoid of the features, here x = sigmoid(sqrt(D) z): a unit row
  times sqrt(D) has entries of size 1, which a sigmoid can tell apart.
- The error below which an item is a task's own is a quantile of the errors of the task's training
  items, each by an auto-encoder that was trained without it (cross-fitting): one that has seen an
  item errs too little on it, and with few shots would take most new images of its own domain for
  strangers. The official code has one constant for all tasks, set by hand for AlexNet's features,
  and an auto-encoder of a reference data set (TinyImageNet) that competes for what no task has
  shown.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..protocol.badges import UNSEEN, Badge
from ..protocol.class_rows import encode_classes
from ..protocol.config import Config, require
from ..protocol.optimisers import eager
from ..protocol.types import Classes, Images, Task, Texts

HIDDEN, BATCH = 100, 64  # width of the code, features in a step; official code
RATE, DECAY = 3e-3, 1e-4  # Adam's rate and L2 penalty; official code
Routing = Literal["sample", "batch", "oracle"]
ROUTERS: Mapping[Routing, frozenset[Badge]] = {
    "sample": frozenset(), "batch": frozenset({"test batch"}), "oracle": frozenset({"task id"}),
}  # fmt: skip
"""What a way of routing has to declare."""
FOLDS = 5  # parts of a task's items; the errors of each are those of a coder of the others
MANY = 4096  # features in float64 at a time
_Items = TypeVar("_Items", Images, Texts)
Encode = Callable[[Images | Texts, int], Tensor]
"""Items and a route -> their unit rows (B, D)."""


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
        own = (p.to(x_BD.dtype) for p in (self.down_HD, self.down_H, self.up_DH, self.up_D))
        down_HD, down_H, up_DH, up_D = own
        code_BH = F.relu(F.linear(x_BD, down_HD, down_H))
        return (F.linear(code_BH, up_DH, up_D).sigmoid() - x_BD).square().mean(dim=1)


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
        n = len(feature_ND)
        self.append(self._trained(feature_ND, generator))
        parts = torch.randperm(n, generator=generator).to(feature_ND.device).chunk(min(FOLDS, n))
        own = []
        for i, part in enumerate(parts):
            rest = torch.cat([*parts[:i], *parts[i + 1 :]]) if n > 1 else part
            coder = self._trained(feature_ND[rest], generator)
            own += [self._errors(coder, feature_ND[rows]) for rows in part.split(MANY)]
        limit_1 = torch.cat(own).double().quantile(self.quantile, keepdim=True).float()
        self.limit_T = torch.cat([self.limit_T.to(feature_ND.device), limit_1])

    def _trained(self, feature_ND: Tensor, generator: torch.Generator) -> AutoEncoder:
        device, n = feature_ND.device, len(feature_ND)
        coder = AutoEncoder(feature_ND.shape[1], generator).to(device)
        adam = eager(torch.optim.Adam)(coder.parameters(), RATE, weight_decay=DECAY, fused=True)
        order = torch.zeros(0, dtype=torch.int64)
        with torch.enable_grad(), torch.autocast(device.type, enabled=False):
            for _ in range(self.steps):
                if not len(order):
                    order = torch.randperm(n, generator=generator)
                rows, order = order[:BATCH], order[BATCH:]
                adam.zero_grad()
                coder(_squashed(feature_ND[rows.to(device)])).mean().backward()
                adam.step()
        for p in coder.parameters():
            p.grad = None
        return coder.requires_grad_(False)

    def errors(self, feature_BD: Tensor) -> Tensor:
        """Unit rows -> error (B, T) of every task's auto-encoder, at least 0, float32."""
        return torch.stack([self._errors(coder, feature_BD) for coder in self], dim=1)

    @torch.no_grad()
    def _errors(self, coder: nn.Module, feature_BD: Tensor) -> Tensor:
        """In float64, rounded once: an item's route must not turn on the size of its batch."""
        error_B: Tensor = coder(_squashed(feature_BD.double()))
        return error_B.float()

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


def _squashed(feature_BD: Tensor) -> Tensor:
    scaled_BD: Tensor = feature_BD * feature_BD.shape[1] ** 0.5
    return scaled_BD.sigmoid()


def frozen_features(task: Task) -> dict[str, Tensor]:
    """All training items of a task -> "image" (N, D) and "text" (M, D), frozen unit rows.

    The texts are all captions, or the first prompts of all classes. For `before_task`.
    """
    batches = [(b.images.frozen(), b.texts.frozen()) for b in task.loader.sweep()]
    images, texts = zip(*batches, strict=True)
    # Class prompts come with every batch, a caption with its image's alone.
    own = texts if task.classes is None else texts[:1]
    return {"image": torch.cat(images), "text": torch.cat(own)}


class Router(nn.Module):
    """Which learned task each item is taken for: images and texts by auto-encoders of their own.

    Args:
        routing: "sample", each item by itself; "batch", all of a test batch by their mean errors;
            "oracle", by what they are, with no auto-encoder.
        steps, quantile: see `AutoEncoders`.
    """

    def __init__(self, routing: Routing, steps: int, quantile: float) -> None:
        super().__init__()
        self.routing = routing
        self.coders = nn.ModuleDict()
        for name in () if routing == "oracle" else ("image", "text"):
            self.coders[name] = AutoEncoders(steps, quantile)

    def learn(self, task: Task) -> None:
        """The task's auto-encoders, for `before_task`."""
        features = frozen_features(task) if self.coders else {}
        for name, coders in self.coders.items():
            assert isinstance(coders, AutoEncoders)
            coders.add(features[name], task.generator("router", name))

    def route(self, items: Images | Texts) -> Tensor:
        """The learned task (B,) of each item, int64, -1 for none; records count them."""
        if self.routing == "oracle":
            device = (items.pixels_B3HW if isinstance(items, Images) else items.tokens_ML).device
            route_B = torch.full((len(items),), items.task, device=device)
        else:
            coders: Any = self.coders["image" if isinstance(items, Images) else "text"]
            route_B = coders.route(items.frozen(), together=self.routing == "batch")
        items.log("route", torch.where(route_B < 0, UNSEEN, route_B))
        return route_B


def check_router(config: Config, routing: Routing, steps: int, quantile: float) -> None:
    """Refuse settings that mean nothing.

    Args:
        config: the method's, with fields router_steps and router_quantile.
        routing: its value.
        steps: its value of router_steps.
        quantile: its value of router_quantile.

    Raises:
        BenchError: a value out of range, or one that acts on no router.
    """
    require(steps >= 1, "router_steps of at least 1", steps)
    require(0 < quantile <= 1, "router_quantile in (0, 1]", quantile)
    for name, got in (("router_steps", steps), ("router_quantile", quantile)):
        acts = routing != "oracle" or got == getattr(type(config), name)
        require(acts, "no router with routing 'oracle'", f"{name}={got}", "leave it out")


def by_own_route(items: _Items, route_B: Tensor, encode: Encode) -> Tensor:
    """Unit rows (B, D), each item encoded under its own route.

    Args:
        items: B images or texts.
        route_B: int64, of each item.
        encode: called once for every route that occurs.
    """
    routes = route_B.unique().tolist()
    if len(routes) == 1:
        return encode(items, routes[0])
    rows = [(route_B == route).nonzero()[:, 0] for route in routes]
    parts = [encode(items[mine], route) for mine, route in zip(rows, routes, strict=True)]
    return torch.cat(parts)[torch.cat(rows).argsort()]


def routed_classifier(
    classes: Classes, route: Callable[[Images], Tensor], encode: Encode, scale: Tensor
) -> Callable[[Images], Tensor]:
    """A zero-shot classifier per route: an image meets the class texts of its own route.

    Args:
        classes: C classes with their prompts.
        route: images -> the route (B,) of each, int64.
        encode: see `by_own_route`. A route's prompts are encoded when the first image takes it.
        scale: multiplies the cosine.

    Returns:
        Function of B images -> scores (B, C).
    """
    known: dict[int, Tensor] = {}

    def rows(route: int) -> Tensor:
        if route not in known:
            known[route] = encode_classes(lambda texts: encode(texts, route), classes)
        return known[route]

    def scores(images: Images) -> Tensor:
        route_B = route(images)
        image_BD = by_own_route(images, route_B, encode)
        score_BC = image_BD.new_empty(len(images), len(classes))
        for one in route_B.unique().tolist():
            mine_B = route_B == one
            score_BC[mine_B] = scale * image_BD[mine_B] @ rows(one).T
        return score_BC

    return scores
