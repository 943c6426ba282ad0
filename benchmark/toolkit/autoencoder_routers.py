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

from ..protocol.badges import UNSEEN, Badge
from ..protocol.class_rows import encode_classes
from ..protocol.config import Config, require
from ..protocol.types import Classes, Images, Task, Texts
from .autoencoders import AutoEncoders, add_together

Routing = Literal["sample", "batch", "oracle"]
ROUTERS: Mapping[Routing, frozenset[Badge]] = {
    "sample": frozenset(), "batch": frozenset({"test batch"}), "oracle": frozenset({"task id"}),
}  # fmt: skip
"""What a way of routing has to declare."""
_Items = TypeVar("_Items", Images, Texts)
Encode = Callable[[Images | Texts, int], Tensor]
"""Items and a route -> their unit rows (B, D)."""


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
        if not self.coders:
            return
        features, coders = frozen_features(task), dict[str, Any](self.coders)
        seeds = {name: task.generator("router", name) for name in coders}
        add_together([(coders[n], features[n], seeds[n]) for n in coders], task.once)

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
