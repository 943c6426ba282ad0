"""MoE-Adapter, mixture-of-experts adapters (Yu et al., CVPR 2024), for both towers of CLIP.

Beside the MLP of every block are E bottleneck adapters A_e, and one router per task t. With x the
residual stream after the attention, not normalised, and x_0 its first token,

    out = x + MLP(norm(x)) + sum over e of g_e A_e(x),
    A_e(x) = scale * (up_e dropout(ReLU(down_e x + b_e)) + c_e),
    g = softmax of the K largest of x_0 W_t, 0 elsewhere.

In training, noise from N(0, 1) times softplus(x_0 N_t) + 0.01 is added to the logits. W_t and N_t
start at zero and are the task's own; the adapters are shared. After a task the adapters of each
block that were chosen most often are frozen for good. At test an auto-encoder per task says which
task an image is from, and so which router it takes; what looks like no task goes through the plain
backbone (DDAS, see `toolkit/autoencoder_routers.py`). An image meets the class texts of its own
route. The backbone is frozen. Official code: JiazuoYu/MoE-Adapters4CL. As there:

- A text's first token is the start token. Under the causal mask it sees nothing else, so at test a
  block's gates are the same for all texts of a task, which uses K of the block's E adapters.
- No loss balances the load: the official code computes one and does not add it.
- The adapters that a task used most, over its noisy choices in training, may be frozen already;
  then none is added. (It keeps them in a file that later runs extend; here they are the run's.)

Differs from paper and official code:
- Routing is per image. The official code decides for a test batch by its mean error, and a batch
  has images of one data set alone: `route-batch`, with a badge; its batches are the evaluator's.
- The auto-encoders see CLIP's frozen embeddings, and a limit is a quantile of errors on held-out
  training items, not 0.06; none is of a reference data set, or trained before its task comes.
- A caption has no image: where texts are embedded for retrieval, auto-encoders of the frozen text
  embeddings route each by itself. Class prompts never use them.
- One learning rate; official scripts set one per data set by hand (few shots: 1e-4 to 1e-2, median
  5e-3; all data: median 1e-3). Warm-up (there 100 steps), budget (500 of 64), crops (0.9 to 1,
  drawn once), prompts and precision are the suite's. On pairs the loss is CLIP's, both ways.

Cost: K adapters per token and block; at test class texts are encoded for each route that occurs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.api import (
    PARALLEL,
    ROUTERS,
    Backbone,
    Badge,
    Batch,
    Classes,
    Config,
    Content,
    Delta,
    Features,
    Images,
    Method,
    ParamGroup,
    Part,
    Router,
    Routing,
    Task,
    Texts,
    Tools,
    by_own_route,
    check_router,
    check_smoothing,
    encode_with,
    matching,
    mix_experts,
    require,
    routed_classifier,
    setting,
)

EPSILON = 0.01  # least deviation of the noise, official code


@dataclass(frozen=True)
class MoEAdapterConfig(Config):
    """Defaults: the official code's (few-shot script), unless said otherwise."""

    lr: float | None = setting(5e-3, paper="1e-4 to 1e-2, by dataset", why="their median")
    weight_decay: float | None = setting(0.0, source="official code")
    experts: int = setting(22, source="official code")  # E
    top_k: int = setting(2, source="official code")  # K
    hidden: int = setting(64, source="official code, adapter.py")  # width of an adapter
    scale: float = setting(0.1, source="official code, adapter.py")  # of an adapter's output
    dropout: float = setting(0.1, source="official code, adapter.py")  # of its hidden units
    freeze: int = setting(2, source="official code")  # adapters per block that a task freezes
    label_smoothing: float = setting(0.2, source="official code, few-shot script")
    routing: Routing = setting("sample", paper="batch", why="a batch tells its task")  # at test
    router_steps: int = setting(300, source="official code, few-shot script")
    router_quantile: float = setting(
        0.99, paper="an error of 0.06 (test script)", why="theirs is of AlexNet's features"
    )

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        require(self.experts >= 1, "experts of at least 1", self.experts)
        require(1 <= self.top_k <= self.experts, "top_k in [1, experts]", self.top_k)
        require(self.hidden >= 1, "hidden of at least 1", self.hidden)
        require(self.scale > 0, "scale above 0", self.scale)
        require(0 <= self.dropout <= 0.99, "dropout in [0, 0.99]", self.dropout)
        require(0 <= self.freeze <= self.experts, "freeze in [0, experts]", self.freeze)
        check_smoothing(self.label_smoothing)
        check_router(self, self.routing, self.router_steps, self.router_quantile)


class Expert(nn.Module):
    """An adapter W -> R -> W; a new one gives zero. Initialised as in the official code."""

    def __init__(self, width: int, config: MoEAdapterConfig, generator: torch.Generator) -> None:
        super().__init__()
        bound = width**-0.5
        down_RW = torch.empty(config.hidden, width).uniform_(-bound, bound, generator=generator)
        self.down_RW, self.down_R = nn.Parameter(down_RW), nn.Parameter(torch.zeros(config.hidden))
        self.up_WR = nn.Parameter(torch.zeros(width, config.hidden))
        self.up_W = nn.Parameter(torch.zeros(width))

    def maps(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Down and up, each with its bias, as `mix_experts` takes them."""
        return self.down_RW, self.down_R, self.up_WR, self.up_W


class Mixture(nn.Module):
    """What stands beside the MLP of one block: E experts, a router and its noise per task.

    count_E: each expert's choices in the task. frozen_E: never trained again. chosen: per pass.
    """

    training_only = ("noises", "count_E", "frozen_E")

    def __init__(self, width: int, config: MoEAdapterConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.top_k, self.shape_WE = config.top_k, (width, config.experts)
        self.scale, self.dropout = config.scale, config.dropout
        experts = (Expert(width, config, generator) for _ in range(config.experts))
        self.experts = nn.ModuleList(experts)
        self.routers, self.noises = nn.ParameterList(), nn.ParameterList()
        self.count_E: Tensor = nn.Buffer(torch.zeros(config.experts, dtype=torch.int64))
        self.frozen_E: Tensor = nn.Buffer(torch.zeros(config.experts, dtype=torch.bool))
        self.chosen: list[Tensor] = []

    def add(self) -> None:
        """A router for the next task, and counts from zero."""
        for rows in (self.routers, self.noises):
            rows.append(nn.Parameter(torch.zeros(self.shape_WE, device=self.count_E.device)))
        self.count_E.zero_()

    def trainable(self) -> list[nn.Parameter]:
        """The experts that are not frozen, and the newest router with its noise."""
        pairs = zip(self.experts, self.frozen_E.tolist(), strict=True)
        free = [p for expert, frozen in pairs if not frozen for p in expert.parameters()]
        return [*free, self.routers[-1], self.noises[-1]]

    def gates(self, x_BW: Tensor, task: int) -> tuple[Tensor, Tensor]:
        """First tokens -> the experts of each item, best first (B, K), and their weights.

        In float64, so that a choice turns on the size of the batch as little as can be.
        """
        x_BW = x_BW.double()
        logit_BE = x_BW @ self.routers[task].double()
        if self.training:
            deviation_BE = F.softplus(x_BW @ self.noises[task].double()) + EPSILON
            logit_BE = logit_BE + torch.randn_like(logit_BE) * deviation_BE
        # Stable: of equal logits the first comes first, on every device.
        order_BE = logit_BE.detach().argsort(dim=1, descending=True, stable=True)
        index_BK = order_BE[:, : self.top_k]
        return index_BK, logit_BE.gather(1, index_BK).softmax(dim=1).float()

    def forward(self, x_BLW: Tensor, task: int) -> Tensor:
        """The residual stream -> the experts' weighted sum (B, L, W), by the router of `task`."""
        index_BK, weight_BK = self.gates(x_BLW[:, 0], task)
        if self.training:
            every_E = torch.arange(len(self.experts), device=index_BK.device)
            self.chosen.append((index_BK[..., None] == every_E).sum(dim=(0, 1)))
        maps = [e.maps() for e in self.experts if isinstance(e, Expert)]
        drop = self.dropout if self.training else 0.0
        return mix_experts(x_BLW, index_BK, weight_BK * self.scale, maps, drop)


@dataclass(frozen=True)
class Beside:
    """A mixture with the router of a task, as what is added beside an MLP."""

    mixture: Mixture
    task: int
    by_first = True  # a token's is of that token and of x_0

    def __call__(self, x_BLW: Tensor) -> Tensor:
        """Tokens, the item's first one before all others -> what is added to each."""
        added: Tensor = self.mixture(x_BLW, self.task)
        return added


class MoEAdapter(Method[MoEAdapterConfig]):
    """Mixtures of shared adapters with a router per task, chosen by auto-encoders."""

    label = "MoE-Adapter"
    paper = "Yu et al., Boosting continual learning of vision-language models, CVPR 2024"
    at_once = 4096  # items to route together; their rows are from the store
    variants = {"route-batch": {"routing": "batch"}, "route-oracle": {"routing": "oracle"}}

    def __init__(self, clip: Backbone, config: MoEAdapterConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        device, seed = clip.logit_scale.device, tools.generator("experts")
        widths = dict(zip(("image", "text"), clip.widths, strict=True))
        self.names = {name: name.replace(".", "/") for name in clip.places((PARALLEL,))}
        self.mixtures = nn.ModuleDict()
        for name, key in self.names.items():
            width = widths[name.partition(".")[0]]
            self.mixtures[key] = Mixture(width, config, seed).to(device)
        self.router = Router(config.routing, config.router_steps, config.router_quantile)
        self.content = Content()
        self.newest = 0
        self.used: list[Tensor] = []

    @classmethod
    def badges(cls, config: MoEAdapterConfig) -> frozenset[Badge]:
        """Oracle routing reads the task, batch routing the other items of the test batch."""
        return ROUTERS[config.routing]

    def before_task(self, task: Task) -> None:
        """A router in every block, and the task's auto-encoders."""
        self.newest = task.index
        for mixture in self._mixtures():
            mixture.add()
        self.router.learn(task)

    def trainable(self) -> list[ParamGroup]:
        """Experts that no earlier task has frozen, and the task's own routers."""
        return [ParamGroup([p for m in self._mixtures() for p in m.trainable()])]

    def features(self, batch: Batch) -> Features:
        """Embeddings by the task's own router."""
        for m in self._mixtures():
            m.chosen = []
        image_BD = self._encode(batch.images, self.newest)
        text_MD = self._encode(batch.texts, self.newest)
        # Now: with chunks, `backward` runs the towers again.
        self.used = [sum(m.chosen, torch.zeros_like(m.count_E)) for m in self._mixtures()]
        return Features(image_BD, text_MD, self.clip.scale, batch.target_B, batch.paired)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy with smoothed labels."""
        return {"match": matching(self.features(batch), self.config.label_smoothing)}

    def after_step(self, step: int, total: int) -> None:
        """Count the choices of a step that was made; one that ran out of memory was not."""
        for mixture, used_E in zip(self._mixtures(), self.used, strict=True):
            mixture.count_E += used_E

    def after_task(self, task: Task) -> None:
        """Freeze what the task used most; of experts used alike the first."""
        self.content.forget()
        for mixture in self._mixtures():
            most_E = mixture.count_E.argsort(descending=True, stable=True)
            mixture.frozen_E[most_E[: self.config.freeze]] = True

    def _mixtures(self) -> list[Mixture]:
        return [m for m in self.mixtures.values() if isinstance(m, Mixture)]

    def _encode(self, items: Images | Texts, route: int) -> Tensor:
        """Unit rows by the router of that task; by the plain backbone for -1."""
        if route < 0:
            return items.frozen()
        deltas: dict[str, Delta] = {
            name: Beside(m, route) for name, m in zip(self.names, self._mixtures(), strict=True)
        }
        return encode_with(self.clip, items, deltas, (PARALLEL,))

    def encode_image(self, images: Images) -> Tensor:
        """Each image by its own route."""
        return by_own_route(images, self.router.route(images), self._kept)

    def encode_text(self, texts: Texts) -> Tensor:
        """Each text by its own route."""
        return by_own_route(texts, self.router.route(texts), self._kept)

    def classifier(self, classes: Classes) -> Callable[[Images], Tensor]:
        """Each image by its own route, against the class texts of that route."""
        return routed_classifier(classes, self.router.route, self._kept, self.clip.scale)

    def _kept(self, items: Images | Texts, route: int) -> Tensor:
        """As `_encode`, from the store: by the values of the tower's experts and of that router."""
        if route < 0:
            return items.frozen()
        tower = "image." if isinstance(items, Images) else "text."
        named = {
            f"{name} {n}": p
            for name, key in self.names.items()
            for n, p in self.mixtures[key].named_parameters()
            if name.startswith(tower) and (n.startswith("experts.") or n == f"routers.{route}")
        }
        about = f"{tower}{route} {self.config.top_k} {self.config.scale}"
        part = Part(about, named, self.content)
        return items.cached(part, lambda some: self._encode(some, route))
