"""What the parts of gpu_figures.py share: a table of predictions beside measurements, a setting."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from benchmark_routing import make_items
from torch import Tensor

from benchmark.backbones.backbone import Backbone
from benchmark.backbones.blocks.compiled import Compiler, Sizes, text_length
from benchmark.backbones.load import load
from benchmark.protocol.types import Images, Texts

Run = Callable[[], object]
INF = float("inf")


@dataclass(frozen=True)
class Expected:
    """A prediction in the unit of its row: a range, and what it was derived from."""

    low: float
    high: float
    source: str

    def __str__(self) -> str:
        low, high = (f"{x:,.0f}" if x >= 100 else f"{x:.3g}" for x in (self.low, self.high))
        text = f">= {low}" if self.high == INF else f"<= {high}" if self.low == 0 else ""
        return f"{text or (low if low == high else f'{low} to {high}')} ({self.source})"

    def ratio(self, measured: float) -> float:
        """Measured over the nearest end of the range; 1 inside it."""
        return measured / min(max(measured, self.low), self.high)


@dataclass
class Row:
    """One line of the table."""

    quantity: str
    unit: str
    predicted: str
    measured: float | None = None
    ratio: float | None = None
    cold_s: float | None = None
    note: str = ""


@dataclass
class Sheet:
    """Measures, prints and keeps; `end` is when what has to be compiled is left out."""

    device: torch.device
    comparable: bool
    quick: bool
    end: float
    rows: list[Row] = field(default_factory=list)
    values: dict[str, float] = field(default_factory=dict)

    def head(self) -> None:
        """Names of the columns."""
        print(
            f"{'quantity':<46}{'predicted, not measured':>26}{'measured':>10} {'unit':<9}"
            f"{'ratio':>6}{'cold':>9}"
        )

    def value(self, quantity: str, unit: str, value: float, expected: Expected | None) -> None:
        """A number that was measured elsewhere."""
        self.add(Row(quantity, unit, str(expected or "")), value, expected)

    def add(self, row: Row, value: float | None, expected: Expected | None) -> None:
        """Print the row as soon as it is known."""
        if value is not None:
            row.measured = self.values[row.quantity] = value
            row.ratio = expected.ratio(value) if expected and self.comparable else None
        shown = "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        cold = "" if row.cold_s is None else f"{row.cold_s:.1f} s"
        print(
            f"{row.quantity:<46}{row.predicted or '-':>26}{shown:>10} {row.unit:<9}{ratio:>6}"
            f"{cold:>9}  {row.note}",
            flush=True,
        )
        self.rows.append(row)

    def time(
        self,
        quantity: str,
        build: Callable[[], Run],
        items: int = 0,
        unit: str = "",
        expected: Expected | None = None,
        compiles: bool = False,
    ) -> None:
        """Time what `build` gives: items per second, or milliseconds where items is 0."""
        row = Row(quantity, unit or "ms", str(expected or ""))
        seconds = None
        try:
            if compiles and time.monotonic() > self.end:
                row.note = "left out: the time is up"
            else:
                row.cold_s, seconds = timed(build(), self.device, self.quick)
        except Exception as e:  # whatever it is, the next row goes on
            row.note = f"{type(e).__name__}: {str(e).strip().splitlines()[0] if str(e) else ''}"
            row.note = row.note[:160]
        value = None if seconds is None else items / seconds if items else seconds * 1000
        self.add(row, value, expected)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def over(self, quantity: str, above: str, below: str, expected: Expected | None) -> None:
        """The ratio of two rows that were measured."""
        row = Row(quantity, "x", str(expected or ""))
        if above in self.values and below in self.values:
            self.add(row, self.values[above] / self.values[below], expected)
        else:
            row.note = "one of the two is missing"
            self.add(row, None, None)


def timed(run: Run, device: torch.device, quick: bool) -> tuple[float, float]:
    """Seconds of the first call, and the median of those that follow two more."""
    cuda = device.type == "cuda"
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        if cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    count = 3 if quick else max(5, min(50, int(2 / seconds[-1])))
    if not cuda:
        warm = []
        for _ in range(count):
            start = time.perf_counter()
            run()
            warm.append(time.perf_counter() - start)
        return seconds[0], statistics.median(warm)
    marks = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(count)]
    for start_mark, end_mark in marks:
        start_mark.record()
        run()
        end_mark.record()
    torch.cuda.synchronize()
    return seconds[0], statistics.median(a.elapsed_time(b) / 1000 for a, b in marks)


@dataclass(frozen=True)
class Setting:
    """What all parts share."""

    model: str
    device: torch.device
    batch: int
    bf16: bool
    quick: bool

    def clip(self, model: str = "") -> Backbone:
        """The backbone with random weights, on the device."""
        clip = load(model or self.model, "random:0").to(self.device).requires_grad_(False)
        clip.precision = "bf16" if self.bf16 else "fp32"
        return clip

    def autocast(self) -> torch.autocast:
        """For models that are not ours."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)


def pixels_of(clip: Backbone, batch: int) -> Tensor:
    """Noise images."""
    images = make_items(clip, "image", batch, 0)
    assert isinstance(images, Images)
    return images.pixels_B3HW


def tokens_of(clip: Backbone, batch: int, length: int) -> Tensor:
    """Noise captions of one length."""
    texts = make_items(clip, "text", batch, length)
    assert isinstance(texts, Texts)
    return texts.tokens_ML


def inference(run: Run) -> Run:
    """Without gradients."""
    return torch.no_grad()(run)


def in_blocks(clip: Backbone, batch: int, length: int = 1) -> Backbone:
    """The backbone, its blocks compiled as those of a run are, for batches of this size.

    Args:
        clip: to be compiled.
        batch: images, or texts.
        length: tokens of a text.
    """
    clip.compiler = Compiler(Sizes(batch, batch, batch * text_length(length)))
    return clip


def compiled(run: Callable[..., Tensor], *inputs: Tensor) -> Run:
    """The same, compiled for these shapes; nothing is kept from what was compiled before."""
    torch._dynamo.reset()
    fast = torch.compile(run, dynamic=False)
    return inference(lambda: fast(*inputs))
