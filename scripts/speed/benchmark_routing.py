"""DAR's mixed batches beside the plain backbone and the other ways to serve many adapters.

    python scripts/speed/benchmark_routing.py [--model tiny-s] [--batches 16 64 256 512]
        [--adapters 7] [--rounds 9] [--quick] [--json FILE]

A batch of images, or of texts, whose items belong to different adapters is encoded

- by the plain backbone, without adapters;
- by cl-bench: the bank of `dar`, with the routing features cached, in a single batch, so without
  the store of an evaluation, in which groups are larger and no row is computed twice;
- by a loop that runs the tower once per adapter (per pair and its weights where two are merged),
  adapters beside the weights as PEFT has them, or merged into weights that are held;
- by every adapter, of whose outputs one is picked (nothing can be merged that way);
- by PEFT, which takes one adapter name per item. Its wrapper cannot reach `attn.out_proj` inside
  torch's attention and has no weights for two adapters, so it is measured on c_fc and c_proj
  alone, on open_clip's own model, with cl-bench on the same two maps beside it. That model pads
  every text to the full length, so its ratio to open_clip without adapters is told too. PEFT is no
  dependency: where it is not installed, a line says so.

Backbone and adapters are random, but for the backbones that ship with the package: the time does
not depend on their values. Routes are uniform over all adapters, which is as mixed as a batch can
be. Each row's ratio is its CPU time over that of the plain backbone in the same round: median, and
quartiles. cl-bench holds merged weights from one batch to the next, as far as they fit; so does the
loop over merged ones. "both" is one image and one text of each.
"""

import argparse
import importlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from fair import Table, arguments, finish, spread
from torch import Tensor, nn

from benchmark.backbones.backbone import Backbone
from benchmark.backbones.known import bundled, configs
from benchmark.backbones.load import load
from benchmark.backbones.sites import PROJECTIONS, replaced
from benchmark.protocol.types import Images, Texts
from benchmark.toolkit.lora import LoRA
from benchmark.toolkit.merging.bank import Bank
from benchmark.toolkit.merging.mixed import weighted_deltas

RANK, ALPHA = 16, 32.0
MLP = ("mlp.c_fc", "mlp.c_proj")
PLAIN = "plain backbone"
OPEN_CLIP = "plain open_clip (its attention, texts of full length)"
CLOSE = 1e-4  # cosine distance of what must be equal; fp32 rounding is below 1e-6

Way = Callable[[], Tensor]


@dataclass(frozen=True)
class Routes:
    """Which two adapters each item has, and their weights; (1, 0) where nothing is merged."""

    index_BK: Tensor
    weight_BK: Tensor

    @classmethod
    def uniform(cls, batch: int, adapters: int, merged: float, g: torch.Generator) -> "Routes":
        """Every adapter and every second one equally likely; a share of the items is merged."""
        first_B = torch.randint(adapters, (batch,), generator=g)
        second_B = (first_B + torch.randint(1, adapters, (batch,), generator=g)) % adapters
        best_B = 0.5 + torch.rand(batch, generator=g) / 4  # DAR: 0.73 at its margin
        best_B[torch.randperm(batch, generator=g)[round(merged * batch) :]] = 1
        return cls(torch.stack([first_B, second_B], 1), torch.stack([best_B, 1 - best_B], 1))

    def to(self, device: torch.device) -> "Routes":
        """The same on a device."""
        return Routes(self.index_BK.to(device), self.weight_BK.to(device))

    def groups(self) -> list[Tensor]:
        """Rows of the items that use the same adapters in the same order."""
        rows: dict[tuple[int, ...], list[int]] = {}
        used = torch.where(self.weight_BK > 0, self.index_BK, -1).tolist()
        for row, key in enumerate(used):
            rows.setdefault(tuple(key), []).append(row)
        return [torch.tensor(r) for r in rows.values()]


def random_bank(clip: Backbone, adapters: int, targets: tuple[str, ...]) -> Bank:
    """Adapters that change something."""
    bank, g = Bank("linear", 1.0, 0.5, 32), torch.Generator().manual_seed(1)
    for _ in range(adapters):
        adapter = LoRA(clip, targets, RANK, ALPHA, 0.0, g)
        for b in adapter.B.values():
            b.data = (torch.randn(b.shape, generator=g) * 0.02).to(b.device)
        bank.append(adapter)
    return bank.eval()


def make_items(clip: Backbone, kind: str, batch: int, tokens: int) -> Images | Texts:
    """Noise images, or texts of one length, as an evaluation batches them."""
    g, device = torch.Generator().manual_seed(2), clip.logit_scale.device
    if kind == "image":
        pixels = torch.randn(batch, 3, clip.size, clip.size, generator=g)
        return Images(pixels.to(device), lambda: torch.empty(0))
    last = clip.frame[1]  # the end-of-text token
    tokens_ML = torch.randint(1, last, (batch, tokens), generator=g)
    tokens_ML[:, -1] = last
    return Texts(tokens_ML.to(device), lambda: torch.empty(0))


def encode(clip: Backbone, items: Images | Texts) -> Tensor:
    """Unit rows by whatever the backbone is at the moment."""
    if isinstance(items, Images):
        return clip.image(items.pixels_B3HW)
    return clip.text(items.tokens_ML)


def loop(clip: Backbone, bank: Bank, items: Images | Texts, routes: Routes) -> Tensor:
    """One pass of the tower for each group of items."""
    adapters = [bank.adapter(t) for t in range(len(bank))]
    out_BD = torch.empty(len(items), clip.dim)
    for rows in routes.groups():
        deltas = weighted_deltas(adapters, routes.index_BK[rows], routes.weight_BK[rows])
        with clip.adapted(deltas, adapters[0].targets):
            out_BD[rows] = encode(clip, items[rows])
    return out_BD


def merged_loop(clip: Backbone, bank: Bank, items: Images | Texts, routes: Routes) -> Way:
    """The same through weights that each adapter was merged into before; no pairs."""
    tower = "image" if isinstance(items, Images) else "text"
    sites = {n: s for n, s in clip.sites(bank.adapter(0).targets).items() if n.startswith(tower)}
    weights = []
    for adapter in (bank.adapter(t) for t in range(len(bank))):
        keys = adapter.names
        low = {n: adapter.scale * adapter.B[keys[n]] @ adapter.A[keys[n]] for n in sites}
        weights.append({site: site.weight + low[n] for n, site in sites.items()})

    def run() -> Tensor:
        out_BD = torch.empty(len(items), clip.dim)
        for rows in routes.groups():
            with replaced(weights[int(routes.index_BK[rows[0], 0])]):
                out_BD[rows] = encode(clip, items[rows])
        return out_BD

    return run


def every(clip: Backbone, bank: Bank, items: Images | Texts, routes: Routes) -> Tensor:
    """All items through all adapters, then each item's own."""
    found = []
    for adapter in (bank.adapter(t) for t in range(len(bank))):
        with clip.adapted(adapter.deltas(), adapter.targets):
            found.append(encode(clip, items))
    return torch.stack(found)[routes.index_BK[:, 0], torch.arange(len(items))]


def open_clip_model(clip: Backbone) -> Any:
    """The same weights in the model that open_clip builds, with torch's attention."""
    open_clip = importlib.import_module("open_clip")
    open_clip.add_model_config(configs()[clip.name])  # it does not know the tiny ones
    logging.disable(logging.WARNING)  # "no pretrained weights"
    model = open_clip.create_model(clip.name, pretrained=None)
    logging.disable(logging.NOTSET)
    model.load_state_dict(clip.state_dict())
    return model.eval()


def call_open_clip(model: Any, items: Images | Texts, **kwargs: Any) -> Tensor:
    """Unit rows through `forward`, which is where PEFT listens; it takes texts of full length."""
    if isinstance(items, Images):
        found: tuple[Tensor, ...] = model(image=items.pixels_B3HW, text=None, **kwargs)
        return found[0]
    tokens_ML = nn.functional.pad(
        items.tokens_ML, (0, int(model.context_length) - len(items.tokens_ML[0]))
    )
    found = model(image=None, text=tokens_ML, **kwargs)
    return found[1]


def peft_model(clip: Backbone, bank: Bank) -> Any:
    """open_clip with the adapters of the bank, which has MLP targets alone, in PEFT's wrappers."""
    peft = importlib.import_module("peft")
    config = peft.LoraConfig(
        r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=r".*\.mlp\.(c_fc|c_proj)"
    )
    model = peft.get_peft_model(open_clip_model(clip), config, adapter_name="0")
    for t in range(1, len(bank)):
        model.add_adapter(str(t), config)
    modules = dict(model.base_model.model.named_modules())
    with torch.no_grad():
        for t in range(len(bank)):
            adapter = bank.adapter(t)
            for name, key in adapter.names.items():
                tower, layer, target = name.split(".", 2)
                above = "visual.transformer" if tower == "image" else "transformer"
                module = modules[f"{above}.resblocks.{layer}.{target}"]
                module.lora_A[str(t)].weight.copy_(adapter.A[key])
                module.lora_B[str(t)].weight.copy_(adapter.B[key])
    return model.eval()


def ways_of(
    clip: Backbone, items: Images | Texts, adapters: int
) -> tuple[dict[str, Way], list[str]]:
    """Name -> what is timed, and remarks; all ways of one group must give the same rows."""
    batch, g = len(items), torch.Generator().manual_seed(3)
    full, mlp = (random_bank(clip, adapters, targets) for targets in (PROJECTIONS, MLP))
    top1, some, top2 = (Routes.uniform(batch, adapters, m, g) for m in (0.0, 0.3, 1.0))

    def ours(bank: Bank, routes: Routes) -> Way:
        return lambda: bank.encode(clip, items, routes.index_BK, routes.weight_BK)

    ways: dict[str, Way] = {PLAIN: lambda: encode(clip, items)}
    ways["top-1 | cl-bench"] = ours(full, top1)
    ways["top-1 | loop over adapters"] = lambda: loop(clip, full, items, top1)
    ways["top-1 | loop over merged weights, held"] = merged_loop(clip, full, items, top1)
    ways["top-1 | all adapters, pick one"] = lambda: every(clip, full, items, top1)
    ways["30 % top-2 | cl-bench"] = ours(full, some)
    ways["top-2 | cl-bench"] = ours(full, top2)
    ways["top-2 | loop over pairs"] = lambda: loop(clip, full, items, top2)
    ways["top-1, c_fc and c_proj | cl-bench"] = ours(mlp, top1)
    plain = open_clip_model(clip)
    ways[OPEN_CLIP] = lambda: call_open_clip(plain, items)
    try:
        wrapped = peft_model(clip, mlp)
    except ModuleNotFoundError:
        return ways, ["peft is not installed: no row for it"]
    names = [str(t) for t in top1.index_BK[:, 0].tolist()]
    ways["top-1, c_fc and c_proj | open_clip with PEFT"] = lambda: call_open_clip(
        wrapped, items, adapter_names=names
    )
    return ways, []


def check(ways: Mapping[str, Way]) -> None:
    """What is compared must be the same computation, and no adapter may be without effect."""
    plain, first = ways[PLAIN](), dict[str, Tensor]()
    for name, way in ways.items():
        group, found = name.partition(" | ")[0], way()
        reference = plain if name.startswith("plain") else first.setdefault(group, found)
        far = float((found - reference).abs().max())
        if far > CLOSE:
            raise SystemExit(f"{name}: differs from its group by {far:.1e}, expected below {CLOSE}")
        if reference is not plain and torch.allclose(found, plain, atol=CLOSE):
            raise SystemExit(f"{name}: the same as without adapters")


def measure(ways: Mapping[str, Way], rounds: int) -> dict[str, list[float]]:
    """Name -> CPU seconds of a batch, round by round; the ways take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.process_time()
            way()
            seconds[name].append(time.process_time() - start)
    return seconds


def ratios(name: str, of: str, seconds: Mapping[str, Sequence[float]]) -> str:
    """One way's time over another's in the same round: median and quartiles."""
    return spread([a / b for a, b in zip(seconds[name], seconds[of], strict=True)])


def table_of(kind: str, batch: int, measured: Mapping[str, Mapping[str, list[float]]]) -> Table:
    """All ways of a batch size, images and texts and both, and cl-bench over each peer."""
    table, both = Table(f"batches of {batch}: {kind}"), measured["both"]
    for name in both:
        group, _, way = name.partition(" | ")
        ours = f"{group} | cl-bench"
        beside = ours in both and way != "cl-bench"
        row = {"way": name}
        row |= {f"{k} / plain": ratios(name, PLAIN, seconds) for k, seconds in measured.items()}
        row["cl-bench / this, both"] = ratios(ours, name, both) if beside else ""
        row["this / open_clip"] = ratios(name, OPEN_CLIP, both) if name.endswith("PEFT") else ""
        table.rows.append(row)
    return table


def main() -> None:
    """Command line."""
    parser = arguments(__doc__, rounds=9)
    parser.add_argument("--model", default="tiny-s", help="an open_clip model")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64, 256, 512])
    parser.add_argument("--tokens", type=int, default=24, help="length of the texts")
    parser.add_argument("--adapters", type=int, default=7)
    asked = parser.parse_args()
    clip = load(asked.model, "bundled" if asked.model in bundled() else "random:0")
    about = f"{asked.model}, {asked.adapters} adapters of rank {RANK}, fp32, one thread"
    tables = [
        compared(clip, batch, about, asked) for batch in ([16] if asked.quick else asked.batches)
    ]
    finish(tables, asked)


@torch.no_grad()
def compared(clip: Backbone, batch: int, about: str, asked: argparse.Namespace) -> Table:
    """One batch size: checked, measured in turns and printed."""
    measured: dict[str, dict[str, list[float]]] = {}
    remarks: list[str] = []
    for kind in ("image", "text"):
        ways, remarks = ways_of(clip, make_items(clip, kind, batch, asked.tokens), asked.adapters)
        check(ways)
        measured[kind] = measure(ways, 1 if asked.quick else asked.rounds)
    pairs = {n: zip(s, measured["text"][n], strict=True) for n, s in measured["image"].items()}
    measured["both"] = {name: [a + b for a, b in both] for name, both in pairs.items()}
    table = table_of(about, batch, measured)
    table.remarks += remarks
    table.show()
    return table


if __name__ == "__main__":
    main()
