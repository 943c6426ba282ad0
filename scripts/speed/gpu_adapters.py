"""Part (2) of gpu_figures.py: the ways to run an image tower with one adapter, and with seven."""

import copy
from collections.abc import Callable
from functools import partial

import torch
from benchmark_routing import RANK, Routes, random_bank
from gpu_sheet import Expected, Run, Setting, Sheet, compiled, in_blocks, inference, pixels_of
from torch import Tensor
from torch.nn import functional as F

from benchmark.backbones.backbone import Backbone
from benchmark.backbones.sites import PROJECTIONS, Delta
from benchmark.protocol.types import Images
from benchmark.toolkit.lora import LoRA


def through(clip: Backbone, deltas: dict[str, Delta], pixels: Tensor) -> Tensor:
    """Images with these deltas."""
    with clip.adapted(deltas, PROJECTIONS):
        return clip.image(pixels)


def factors(adapters: list[LoRA], key: str) -> tuple[Tensor, Tensor]:
    """A (T, R, I) and B^T with the scale (T, R, O) of one site."""
    b_TRO = torch.stack([a.B[key].T * a.scale for a in adapters])
    return torch.stack([a.A[key] for a in adapters]), b_TRO


def gathered(adapters: list[LoRA], index_B: Tensor) -> dict[str, Delta]:
    """Every item with a copy of its own factors: batched products."""

    def delta(a_TRI: Tensor, b_TRO: Tensor, x: Tensor) -> Tensor:
        return torch.bmm(torch.bmm(x, a_TRI[index_B].mT), b_TRO[index_B])

    return {n: partial(delta, *factors(adapters, k)) for n, k in adapters[0].names.items()}


def stacked(adapters: list[LoRA], index_B: Tensor) -> dict[str, Delta]:
    """All items through the stacked factors of all adapters, and a mask in between."""
    mask = F.one_hot(index_B, len(adapters)).float().repeat_interleave(RANK, dim=1)[:, None]

    def delta(a_TRI: Tensor, b_TRO: Tensor, x: Tensor) -> Tensor:
        low = F.linear(x, a_TRI.flatten(0, 1))
        return F.linear(low * mask.to(low.dtype), b_TRO.flatten(0, 1).T)

    return {n: partial(delta, *factors(adapters, k)) for n, k in adapters[0].names.items()}


def grouped(adapters: list[LoRA], index_B: Tensor) -> dict[str, Delta]:
    """Items sorted by adapter, through torch's grouped product, which takes bf16."""
    product = getattr(F, "grouped_mm", None) or torch._grouped_mm
    stops_T = index_B.bincount(minlength=len(adapters)).cumsum(0)

    def delta(a_TRI: Tensor, b_TRO: Tensor, x: Tensor) -> Tensor:
        offs = (stops_T * x.shape[1]).int()
        low = product(x.bfloat16().flatten(0, 1), a_TRI.bfloat16().mT, offs=offs)
        y: Tensor = product(low, b_TRO.bfloat16(), offs=offs)
        return y.view(*x.shape[:2], -1)

    return {n: partial(delta, *factors(adapters, k)) for n, k in adapters[0].names.items()}


@torch.no_grad()
def adapters(sheet: Sheet, s: Setting) -> None:
    """(2) Image tower with adapters: merged into the weights, one, and seven in one batch."""
    clip, g = s.clip(), torch.Generator().manual_seed(0)
    bank, pixels = random_bank(clip, 7, PROJECTIONS), pixels_of(clip, s.batch)
    each = [bank.adapter(t) for t in range(7)]
    top1, some = (Routes.uniform(s.batch, 7, m, g).to(s.device) for m in (0.0, 0.3))
    index_B = top1.index_BK[:, 0]
    order_B = index_B.argsort(stable=True)
    merged = copy.deepcopy(clip)
    for name, site in merged.sites(PROJECTIONS).items():
        key = each[0].names[name]
        site.weight.add_(each[0].scale * each[0].B[key] @ each[0].A[key])
    images = Images(pixels, lambda: torch.empty(0))

    def ours(routes: Routes) -> Tensor:
        return bank.encode(clip, images, routes.index_BK, routes.weight_BK)

    def alike(run: Callable[[], Tensor]) -> Run:
        """A scheme must do what the bank does, up to rounding."""
        if (far := float((run() - ours(top1)).norm(dim=1).max())) > 0.1:
            raise ValueError(f"differs from cl-bench by {far:.2g}")
        return inference(run)

    def in_groups() -> Tensor:
        return through(clip, grouped(each, index_B[order_B]), pixels[order_B])[order_B.argsort()]

    def row(name: str, build: Callable[[], Run], compiles: bool = False) -> None:
        sheet.time(name, build, s.batch, "images/s", compiles=compiles)

    one, mask = each[0].deltas(), stacked(each, index_B)
    gather = gathered(each, index_B)
    row("merged weights, eager", lambda: inference(partial(merged.image, pixels)))
    row("one adapter r=16, eager", lambda: inference(partial(through, clip, one, pixels)))
    row("7 mixed, cl-bench, eager", lambda: inference(partial(ours, top1)))
    row("7 mixed, 30 % merged, cl-bench, eager", lambda: inference(partial(ours, some)))
    row("7 mixed, gathered factors, eager", lambda: alike(partial(through, clip, gather, pixels)))
    row("7 mixed, stacked r=112, eager", lambda: alike(partial(through, clip, mask, pixels)))
    row("7 mixed, grouped_mm, eager", lambda: alike(in_groups))

    def fast(run: Callable[[Backbone], Tensor], of: Backbone) -> Run:
        return inference(partial(run, in_blocks(copy.deepcopy(of), s.batch)))

    row("merged weights, compiled", lambda: fast(lambda c: c.image(pixels), merged), True)
    row("one adapter r=16, compiled", lambda: fast(lambda c: through(c, one, pixels), clip), True)
    run_all = partial(through, clip, mask)
    row("7 mixed, stacked r=112, compiled", lambda: compiled(run_all, pixels), True)
    for way in ("eager", "compiled"):
        for name, guess in (("one adapter r=16", 0.77), ("7 mixed, stacked r=112", 0.71)):
            above, expected = f"{name}, {way}", Expected(guess, guess, "model")
            sheet.over(f"{name} over merged, {way}", above, f"merged weights, {way}", expected)
