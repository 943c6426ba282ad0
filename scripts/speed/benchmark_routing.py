"""DAR's mixed batches beside the plain backbone and the other ways to serve many adapters.

    python scripts/speed/benchmark_routing.py [--model tiny-s] [--batch 256] [--turns 9]
        [--threads 2]

A batch of images, or of texts, whose items belong to different adapters is encoded

- by the plain backbone, the unit of all ratios;
- by cl-bench: the bank of `dar`, with the routing features cached, as in an evaluation;
- by a loop that runs the tower once per adapter (per pair and its weights where two are merged);
- by every adapter, of whose outputs one is picked (nothing can be merged that way);
- by PEFT, which takes one adapter name per item. Its wrapper cannot reach `attn.out_proj` inside
  torch's attention and has no weights for two adapters, so it is measured on c_fc and c_proj
  alone, on open_clip's own model, with cl-bench on the same two maps beside it. That model pads
  every text to the full length, so its rows have a ratio to open_clip without adapters too. PEFT is
  no dependency: where it is not installed, a line says so.

Backbone and adapters are random, but for the backbones that ship with the package: the time does
not depend on their values. Routes are uniform over all
adapters, which is as mixed as a batch can be. The ways take turns, so that a machine that slows
down slows all of them; printed are medians. "both" is one image and one text.
"""

import argparse
import importlib
import json
import logging
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.backbones.backbone import Backbone
from benchmark.backbones.known import bundled, configs
from benchmark.backbones.load import load
from benchmark.backbones.sites import PROJECTIONS
from benchmark.protocol.types import Images, Texts
from benchmark.toolkit.lora import LoRA
from benchmark.toolkit.merging.mixed import weighted_deltas
from benchmark.toolkit.merging.bank import Bank

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


def measure(ways: Mapping[str, Way], turns: int, clock: Callable[[], float]) -> dict[str, float]:
    """Name -> median seconds of a batch; the ways take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            start = clock()
            way()
            seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def report(title: str, seconds: Mapping[str, float]) -> dict[str, float]:
    """Print the medians, and their ratios to the plain backbone."""
    print(f"{title}: {PLAIN} {seconds[PLAIN] * 1000:.1f} ms")
    ratios = {name: value / seconds[PLAIN] for name, value in seconds.items()}
    for name, ratio in ratios.items():
        own = f"   {ratio / ratios[OPEN_CLIP]:.2f} x open_clip" if name.endswith("PEFT") else ""
        print(f"  {name:<55} {ratio:6.2f} x{own}")
    return ratios


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="tiny-s", help="an open_clip model")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=24, help="length of the texts")
    parser.add_argument("--adapters", type=int, default=7)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--cpu-time", action="store_true", help="CPU seconds, for a busy machine; with one thread"
    )
    parser.add_argument("--json", type=Path, help="write the ratios to this file too")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    clip = load(a.model, "bundled" if a.model in bundled() else "random:0")
    print(
        f"{a.model}, {a.adapters} adapters of rank {RANK}, batches of {a.batch}, {a.turns} turns, "
        f"{a.threads} threads, {'CPU' if a.cpu_time else 'wall'} time, fp32, "
        f"torch {torch.__version__}"
    )
    found: dict[str, dict[str, float]] = {}
    for kind in ("image", "text"):
        with torch.no_grad():
            ways, remarks = ways_of(clip, make_items(clip, kind, a.batch, a.tokens), a.adapters)
            check(ways)
            clock = time.process_time if a.cpu_time else time.perf_counter
            found[kind] = measure(ways, a.turns, clock)
    both = {name: found["image"][name] + found["text"][name] for name in found["image"]}
    ratios = {kind: report(kind, seconds) for kind, seconds in {**found, "both": both}.items()}
    print(*remarks, sep="\n")
    if a.json:
        a.json.write_text(json.dumps({**vars(a), "json": "", "ratios": ratios}, indent=1))


if __name__ == "__main__":
    main()
