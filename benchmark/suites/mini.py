"""The embedded suite `mini`: seven rendered image-caption domains. It needs no download."""

from functools import partial
from typing import TYPE_CHECKING

from .names import Kind, SplitName
from .suite import Dataset, Recipe, Suite
from .tuned import tuned, tuned_origins

if TYPE_CHECKING:
    from ..data.split import Split

TRAIN, TEST, SEED = 480, 200, 0
# Each method has a rate of its own, chosen by a sweep (`tuned.json`); these two, for methods that
# none was for, are those that were chosen for the plainest ones, `ft` and `lora-ft`.
RECIPE = Recipe(epochs=5, batch_size=32, lr=3e-5, lr_added=5e-4, weight_decay=0.1, warmup=0.1)
TASKS = {
    "photos": "Photos",
    "gen-art": "GenArt",
    "products": "Products",
    "paintings": "Paintings",
    "cartoons": "Cartoons",
    "sketches": "Sketches",
    "scans": "Scans",
}
HELD_OUT = {"objects": "Objects10", "land": "Land8", "street": "Street", "pantry": "Pantry"}
LABELLED = ("objects", "land")


def _load(name: str, split: SplitName) -> "Split":
    from ..data import rendered as renders  # numpy and Pillow: not for `cl-bench ls`

    size = TRAIN if split == "train" else TEST
    render = renders.render_pairs if name in renders.CAPTIONED else renders.render_labelled
    return render(name, split, size, SEED)


def _dataset(name: str, title: str) -> Dataset:
    kind: Kind = "labelled" if name in LABELLED else "pairs"
    return Dataset(name, title, partial(_load, name), "MIT", "cl-bench", kind=kind)


def held_out(name: str) -> Dataset:
    """A held-out set, the same images and prompts for every embedded suite."""
    return _dataset(name, HELD_OUT[name])


def _load_reference(split: SplitName) -> "Split":
    """More photos of role "pretrain": scenes of no task's training or test set."""
    from ..data import rendered as renders

    return renders.render_pairs("photos", "pretrain", TRAIN, SEED + 1)


def reference() -> Dataset:
    """Images and captions of no task, the same for every embedded suite."""
    return Dataset("reference", "Reference", _load_reference, "MIT", "cl-bench", kind="pairs")


def mini() -> Suite:
    """The suite; nothing is rendered before a split is loaded."""
    return Suite(
        name="mini",
        version="1.1",
        tasks=tuple(_dataset(*item) for item in TASKS.items()),
        held_out=tuple(held_out(name) for name in HELD_OUT),
        backbone="tiny-s",
        pretrained="bundled",
        recipe=RECIPE,
        class_scope="own",
        about="seven rendered image-caption domains and four held-out sets; needs nothing",
        reference=reference(),
        settings=tuned("mini"),
        origins=tuned_origins("mini"),
    )
