"""What a GPU really does, beside what was predicted for an H100 without one. About ten minutes.

    python scripts/speed/gpu_figures.py [--model ViT-B-16-quickgelu] [--batch 512] [--json FILE]
    python scripts/speed/gpu_figures.py --device cpu --model tiny-s --quick   # does it work?

Predictions are arithmetic, made before any measurement: peak rates and bytes of one H100 (790
TFLOP/s in bf16, 3.0 TB/s), and rates that others published. Their sources: "model" is that
arithmetic, "plan" the same with the losses that we expected, "timm" its published rates on consumer
cards. Nothing here has been measured on a GPU until somebody runs it; a ratio is printed on such a
GPU alone.

Backbone (random:0), adapters, images and captions are random, as times do not depend on their
values. Every row is on its own: one that fails, or that this torch cannot do, prints why, and the
next goes on. "cold" is the first call, with compilation; "measured" the median of the warm ones,
timed by CUDA events. When the time is up, what would have to be compiled is left out.

Where open_clip is missing, carry its wheels. On a machine with the net, `pip download --no-deps
-d wheels open_clip_torch==3.3.0 ftfy wcwidth` (with `--python-version`, `--platform` and
`--only-binary=:all:` of the other machine); there, `pip install --no-index --no-deps --target site
wheels/*.whl` and `PYTHONPATH=site:. python scripts/speed/gpu_figures.py`.
"""

import argparse
import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from benchmark_routing import ALPHA, RANK, open_clip_model
from gpu_adapters import adapters
from gpu_loading import copies
from gpu_sheet import (
    INF,
    Expected,
    Run,
    Setting,
    Sheet,
    compiled,
    in_blocks,
    inference,
    pixels_of,
    tokens_of,
)
from torch import Tensor
from torch.nn import functional as F

from benchmark.backbones.backbone import Backbone
from benchmark.backbones.sites import PROJECTIONS, Delta
from benchmark.metrics.retrieval import first_positive_rank
from benchmark.protocol.losses import matching
from benchmark.protocol.types import Features
from benchmark.run.device.precision import float32_products
from benchmark.toolkit.lora import LoRA

TRAINED = 256  # pairs of a training step, the recipe's batch


def forward(sheet: Sheet, s: Setting) -> None:
    """(1) Image towers: torch's attention and ours, eager and compiled, both activations."""
    peak = Expected(11_000, 13_000, "model")
    base = s.model.removesuffix("-quickgelu")
    for name, label in dict.fromkeys([(s.model, "QuickGELU"), (base, "GELU")]):
        clip = s.clip(name)
        pixels = pixels_of(clip, s.batch)

        def plain(clip: Backbone = clip, pixels: Tensor = pixels) -> Run:
            model = open_clip_model(clip.cpu()).to(s.device)
            clip.to(s.device)

            def run() -> object:
                with s.autocast():
                    return model.encode_image(pixels, normalize=True)

            return inference(run)

        eager = partial(clip.image, pixels)
        sheet.time(f"open_clip, eager, {label}", plain, s.batch, "images/s")
        sheet.time(f"ours, eager, {label}", partial(inference, eager), s.batch, "images/s")
        whole = partial(compiled, clip.image, pixels)
        name = f"ours, compiled whole, {label}"
        sheet.time(name, whole, s.batch, "images/s", peak, compiles=True)

        def fast(clip: Backbone = clip, pixels: Tensor = pixels) -> Run:
            return inference(partial(in_blocks(clip, s.batch).image, pixels))

        sheet.time(f"ours, compiled, {label}", fast, s.batch, "images/s", peak, compiles=True)
        if base == s.model:
            return
    for way, guess in (
        ("eager", Expected(0.8, 0.88, "timm")),
        ("compiled", Expected(1, 1, "timm")),
    ):
        pair = f"ours, {way}, QuickGELU", f"ours, {way}, GELU"
        sheet.over(f"QuickGELU over GELU, {way}", *pair, guess)
    half = copy.deepcopy(s.clip()).bfloat16()
    half.precision = "fp32"
    pixels = pixels_of(half, s.batch).bfloat16()

    def with_half() -> Run:
        return inference(partial(in_blocks(half, s.batch).image, pixels))

    sheet.time("ours, compiled, bf16 weights", with_half, s.batch, "images/s", peak, compiles=True)


def training(sheet: Sheet, s: Setting) -> None:
    """(3) A training step on pairs with texts of full length: all weights, and LoRA."""
    batch = TRAINED if not s.quick else s.batch

    def step(dropout: float | None, fast: bool) -> Run:
        clip = s.clip()
        pixels, tokens = pixels_of(clip, batch), tokens_of(clip, batch, clip.context)
        params, deltas = clip.weights(), dict[str, Delta]()
        if dropout is not None:
            g = torch.Generator().manual_seed(0)
            adapter = LoRA(clip, PROJECTIONS, RANK, ALPHA, dropout, g).train()
            params, deltas = list(adapter.parameters()), adapter.deltas()
        for p in params:
            p.requires_grad_(True)
        optimizer = torch.optim.AdamW(params, lr=1e-5, fused=True)
        target_B = torch.arange(batch, device=s.device)
        if fast:
            in_blocks(clip, batch, clip.context)

        def run() -> None:
            optimizer.zero_grad(set_to_none=True)
            with clip.adapted(deltas, PROJECTIONS):
                features = Features(
                    clip.image(pixels), clip.text(tokens), clip.scale, target_B, True
                )
            matching(features).backward()
            optimizer.step()

        return run

    kinds = {"FT": None, "LoRA": 0.0, "LoRA, dropout 0.1": 0.1}
    plans = {"FT": Expected(2300, 3200, "plan"), "LoRA": Expected(2800, 4000, "plan")}
    for way in ("eager", "compiled"):
        for name, dropout in kinds.items():
            if s.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            build, fast = partial(step, dropout, way == "compiled"), way == "compiled"
            sheet.time(f"{name} step, {way}", build, batch, "pairs/s", plans.get(name), fast)
            if s.device.type == "cuda":
                peak = torch.cuda.max_memory_allocated() / 1e9
                guess = Expected(19, 29, "model") if name == "FT" else None
                sheet.value(f"{name} step, {way}, peak memory", "GB", peak, guess)


def texts(sheet: Sheet, s: Setting) -> None:
    """(4) Text tower on captions of several lengths."""
    clip = s.clip()

    def encode(length: int, fast: bool) -> Run:
        clip.compiler = None
        tokens = tokens_of(clip, s.batch, length)
        return inference(partial((in_blocks(clip, s.batch, length) if fast else clip).text, tokens))

    for way in ("eager", "compiled"):
        for length in (77, 32, 24, 16):
            name, fast = f"text of {length} tokens, {way}", way == "compiled"
            sheet.time(name, partial(encode, length, fast), s.batch, "texts/s", compiles=fast)
        for length, guess in ((24, Expected(2.5, INF, "model")), (16, None)):
            pair = f"text of {length} tokens, {way}", f"text of 77 tokens, {way}"
            sheet.over(f"{length} over 77 tokens, {way}", *pair, guess)


def resident(sheet: Sheet, s: Setting) -> None:
    """(5) Batches of normalised pixels from decoded images that lie in the GPU's memory."""
    clip, count = s.clip(), 512 if s.quick else 20_000
    store = torch.randint(256, (count, clip.size, clip.size, 3), dtype=torch.uint8, device=s.device)
    mean, std = (torch.tensor(x, device=s.device)[:, None, None] for x in (clip.mean, clip.std))
    rows = torch.randint(count, (TRAINED,), device=s.device)

    def run() -> Tensor:
        return (store[rows].permute(0, 3, 1, 2).float() / 255 - mean) / std

    guess = Expected(50_000, INF, "model")
    sheet.time("uint8 gather and normalise, eager", lambda: run, TRAINED, "images/s", guess)
    name = "uint8 gather and normalise, compiled"
    sheet.time(name, lambda: compiled(run), TRAINED, "images/s", guess, compiles=True)


def small(sheet: Sheet, s: Setting) -> None:
    """(6) Polar factors of 32 x 32 cores, condition 2.5: by SVD, and by Newton-Schulz steps."""
    count = 64 if s.quick else 36 * s.batch  # one for each image and adapted map of ViT-B/16
    g = torch.Generator(s.device).manual_seed(0)
    noise = torch.randn(count, 32, 32, device=s.device, generator=g)
    size = torch.linspace(0.4, 1, 32, device=s.device)
    left, right = torch.linalg.qr(noise).Q, torch.linalg.qr(noise.mT).Q
    cores, want = left * size @ right, left @ right

    def svd() -> Tensor:
        u, _, v = torch.linalg.svd(cores, full_matrices=False)
        polar: Tensor = u @ v
        return polar

    def newton() -> Tensor:
        x: Tensor = cores / cores.flatten(1).norm(dim=1)[:, None, None]
        for _ in range(14):
            x = 1.5 * x - 0.5 * (x @ x.mT) @ x
        return x

    def right_one(run: Callable[[], Tensor]) -> Run:
        if (far := float((run() - want).abs().max())) > 1e-3:
            raise ValueError(f"no polar factor: off by {far:.1e}")
        return run

    by_svd, by_newton = (f"{way}, {count} cores at once" for way in ("SVD", "Newton-Schulz"))
    sheet.time(by_svd, lambda: right_one(svd), count, "cores/s")
    sheet.time(by_newton, lambda: right_one(newton), count, "cores/s")
    sheet.over("Newton-Schulz over SVD", by_newton, by_svd, None)


def recall(sheet: Sheet, s: Setting) -> None:
    """(7) Exact ranks of 10,000 queries among 10,000, and of 100,000 among 100,000."""
    for count, guess in ((10_000, Expected(0, 50, "model")), (100_000, None)):
        count = count // 20 if s.quick else count
        g = torch.Generator().manual_seed(0)
        q, k = (F.normalize(torch.randn(count, 512, generator=g)).to(s.device) for _ in range(2))
        positive = torch.arange(count, device=s.device)[:, None]
        run = partial(first_positive_rank, q, k, positive)
        sheet.time(f"recall of {count} x {count}", lambda run=run: run, expected=guess)  # type: ignore[misc]


@torch.no_grad()
def half(sheet: Sheet, s: Setting) -> None:
    """(8) How far unit rows in bf16 are from those in fp32: the largest distance of a batch."""
    clip = s.clip()
    pixels, tokens = pixels_of(clip, s.batch), tokens_of(clip, s.batch, 24)
    rows = []
    for precision in ("fp32", "bf16"):
        clip.precision = precision
        with float32_products(tf32=False):
            rows.append((clip.image(pixels), clip.text(tokens)))
    for name, full, low in zip(("images", "texts"), *rows, strict=True):
        far = float((full - low).norm(dim=1).max())
        sheet.value(f"bf16 against fp32, {name}", "distance", far, Expected(0, 0.05, "2^-9 a step"))


def loading(sheet: Sheet, s: Setting) -> None:
    """(9) Batches of uint8 from the host: copies, and training steps on what comes from there."""
    copies(sheet, s, s.batch if s.quick else TRAINED)


PARTS = (forward, adapters, training, texts, resident, small, recall, half, loading)


def about(s: Setting) -> dict[str, object]:
    """What the figures belong to."""
    cuda = s.device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(s.device) if cuda else f"{s.device.type}",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "open_clip": version("open_clip_torch"),
        "precision": "bf16 autocast" if s.bf16 else "fp32",
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "model": f"{s.model}, random weights",
        "batch": s.batch,
        "quick": s.quick,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--model", default="ViT-B-16-quickgelu", help="an open_clip model")
    parser.add_argument("--batch", type=int, help="images or texts at once; 512, with --quick 16")
    parser.add_argument("--precision", choices=("bf16", "fp32"), help="bf16 on cuda, else fp32")
    parser.add_argument("--parts", default="123456789", help="which of the nine, for example 137")
    parser.add_argument("--seconds", type=float, default=500, help="then nothing is compiled")
    parser.add_argument("--quick", action="store_true", help="tiny: whether it works, no figures")
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    a = parser.parse_args()
    device = torch.device(a.device)
    precision = a.precision or ("bf16" if device.type == "cuda" else "fp32")
    batch = a.batch or (16 if a.quick else 512)
    s = Setting(a.model, device, batch, precision == "bf16", a.quick)
    facts = about(s)
    hopper = any(name in str(facts["device"]) for name in ("H100", "H200"))
    comparable = hopper and not a.quick and a.model.startswith("ViT-B-16") and s.bf16
    sheet = Sheet(device, comparable, a.quick, time.monotonic() + a.seconds)
    print(", ".join(f"{k} {v}" for k, v in facts.items()))
    sheet.head()
    for part in (PARTS[int(i) - 1] for i in a.parts):
        print(part.__doc__)
        try:
            part(sheet, s)
        except Exception as e:  # a part that cannot even begin must not take the others along
            print(f"  left out: {type(e).__name__}: {e}")
        if a.json:
            rows = [asdict(row) for row in sheet.rows]
            a.json.write_text(json.dumps({"about": facts, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
