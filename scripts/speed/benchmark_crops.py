"""What random crops of training images cost: a step with them beside one without, and the disk.

    python scripts/speed/benchmark_crops.py [--rounds 7] [--quick] [--json FILE]

A step is `ft` in the harness's loop on labelled images, on one thread. Both ways have the same
images in the same batches and the same weights to begin with; only what a batch shows of an image
differs, so that the losses do, too.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from benchmark_steps import feed_of, no_reference
from fair import Table, Way, arguments, compare, finish

from benchmark.backbones.known import bundled
from benchmark.common.seeds import generator
from benchmark.data.batches import join, make_loader
from benchmark.data.rendered import render_labelled
from benchmark.data.tensors import LabelTensors, load_split
from benchmark.protocol.types import Task, Tools
from benchmark.run.registry import find_method
from benchmark.run.train import Fit
from benchmark.suites.find import find_suite

STEPS = 4  # of a round
QUICK = (("tiny-s", 8),)
SETTINGS = (("tiny-s", 32), ("ViT-B-16-quickgelu", 8))


def trained(name: str, data: LabelTensors, batch: int, root: Path) -> Callable[[], bool]:
    """A round of steps; gives whether they were made."""
    feed = feed_of(name, root)
    found = find_method("ft", [])
    tools = Tools(partial(generator, 0), no_reference, join)
    method = found.cls(feed.clip, found.config, tools)
    loader = make_loader(feed, data, (0,), batch)
    task = Task(0, 1, loader, feed.classes((data,), first_prompt_only=True), partial(generator, 0))
    method.before_task(task)
    recipe = replace(find_suite("mini-xtail").recipe, steps=STEPS)

    def run() -> bool:
        steps: list[float] = []
        Fit(method, task, recipe, (0,)).run(lambda progress, loss, size: steps.append(loss))
        return len(steps) == STEPS

    return run


def read(name: str, data: LabelTensors, batch: int, root: Path) -> Callable[[], bool]:
    """The pixels of as many batches alone."""
    loader = make_loader(feed_of(name, root), data, (0,), batch)

    def run() -> bool:
        batches = [one for _, one in zip(range(STEPS), loader.epoch(0), strict=False)]
        return all(bool(torch.isfinite(one.images.pixels_B3HW).all()) for one in batches)

    return run


def tables_of(name: str, batch: int, rounds: int, root: Path) -> list[Table]:
    """The tables of one backbone."""
    clip = feed_of(name, root).clip
    split = render_labelled("objects", "train", batch * STEPS, 0)
    cropped = load_split(split, clip.size, clip.tokenize, root, crops=True)
    assert isinstance(cropped, LabelTensors)
    assert cropped.wide is not None
    plain, found = replace(cropped, wide=None), []
    for what, way in (("steps", trained), ("reading of pixels", read)):
        title = f"{name}, batch {batch}: {what} ({STEPS} batches)"
        ways = [
            Way("plain", "the view that is tested", way(name, plain, batch, root)),
            Way("crops", "a box of 0.9 to 1 of each image", way(name, cropped, batch, root)),
        ]
        found.append(compare(title, ways, rounds, lambda a, b: a and b))
    size = cropped.wide.pixels.nbytes / cropped.pixels.nbytes
    found[-1].remarks.append(
        f"on the disk, images to crop take {size:.3f} of the others' bytes, beside them: "
        f"{cropped.wide.pixels.nbytes / len(cropped) / 1024:.1f} KiB an image at {clip.size} px"
    )
    print(f"  {found[-1].remarks[-1]}\n")
    return found


def main() -> None:
    """Command line."""
    asked = arguments(__doc__, rounds=7).parse_args()
    tables: list[Table] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, batch in QUICK if asked.quick else SETTINGS:
            rounds = asked.rounds if name in bundled() else min(asked.rounds, 3)
            tables += tables_of(name, batch, rounds, Path(folder))
    finish(tables, asked)


if __name__ == "__main__":
    main()
