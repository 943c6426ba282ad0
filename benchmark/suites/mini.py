"""The embedded suite: seven rendered image-caption domains, needs nothing but the package."""

from functools import partial

from ..data import mini as renders
from ..data.split import Split
from .suite import Dataset, Recipe, SplitName, Suite

TRAIN, TEST, SEED = 480, 200, 0
RECIPE = Recipe(epochs=8, batch_size=64, lr=1e-3, weight_decay=0.1, warmup=0.1)
TASKS = ("photos", "gen-art", "paintings", "products", "cartoons", "sketches", "scans")
HELD_OUT = ("objects", "land", "street", "pantry")


def _load(name: str, split: SplitName) -> Split:
    size = TRAIN if split == "train" else TEST
    render = renders.render_pairs if name in renders.CAPTIONED else renders.render_labelled
    return render(name, split, size, SEED)


def _dataset(name: str) -> Dataset:
    return Dataset(name, renders.TITLES[name], partial(_load, name), "MIT", "cl-bench")


def _reference(split: SplitName) -> Split:
    """More photos of role "pretrain": scenes of no task's training or test set."""
    return renders.render_pairs("photos", "pretrain", TRAIN, SEED + 1)


def mini() -> Suite:
    """The suite; nothing is rendered before a split is loaded."""
    return Suite(
        name="mini",
        version="1.0",
        tasks=tuple(_dataset(name) for name in TASKS),
        held_out=tuple(_dataset(name) for name in HELD_OUT),
        backbone="tiny-s",
        pretrained="bundled",
        recipe=RECIPE,
        class_scope="own",
        about="seven rendered image-caption domains and four held-out sets; needs nothing",
        reference=Dataset("reference", "Reference", _reference, "MIT", "cl-bench"),
    )
