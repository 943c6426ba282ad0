"""The embedded few-shot suites: small X-TAIL and MTIL on rendered domains. They need no download.

`mini-xtail` has 16 shots and the classes of all tasks at every step, `mini-mtil` 5 shots and each
task's own classes. Both test on the same images, and hold out what `mini` holds out of labels.
`mini-peft` has 16 shots of three of the tasks, each learned alone and tested among its own classes.
All start from weights that tell these domains apart and know a part of their classes, as CLIP does.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ..common.origins import Origin
from .mini import LABELLED, held_out, reference
from .names import ClassScope, SplitName, Templates
from .suite import Dataset, Recipe, Suite
from .tuned import tuned, tuned_origins

if TYPE_CHECKING:
    from ..data.split import Split

TASKS = {
    "planes": "Planes8",
    "curios": "Curios10",
    "textures": "Textures8",
    "blossoms": "Blossoms8",
    "dishes": "Dishes8",
    "digits": "Digits10",
    "motors": "Motors9",
    "scenes": "Scenes8",
}
ORDER_II = (
    "motors", "planes", "dishes", "scenes", "digits", "blossoms", "textures", "curios",
)  # fmt: skip
ALONE = ("curios", "motors", "blossoms")
TEST_PER_CLASS, TEST_SEED = 20, 0
# One seed for each protocol: no part of a run's seed, so that all runs have the same shots.
TRAIN_SEEDS = {"xtail": 16, "mtil": 5, "peft": 7}
# As CoDyRA's, in small: a budget of steps, and what is added learns faster. Each method has a rate
# of its own, chosen by a sweep (`tuned.json`); these two, for methods that none was for, are those
# that were chosen for the plainest ones, `ft` and `lora`.
# Crops are those of all official scripts.
RECIPE = Recipe(
    epochs=1, batch_size=32, lr=1e-5, lr_added=2e-4, weight_decay=0.0, warmup=0.1, crops="random"
)
# With 5 shots `joint` learns as much in 40 steps a task as in 80.
STEPS = {"xtail": 80, "mtil": 40, "peft": 80}
# CoDyRA, section 4.1: thresholds that rise to 0.005 in 500 steps, dense steps for a half of them in
# X-TAIL and for 0.7 in MTIL. Gates shrink by the sum of thresholds, so that fewer steps need larger
# ones; with these, as with the paper's, about half of the ranks are kept at dense = 0.5.
KAPPA_MAX, KAPPA_STEPS = 0.005, 500
DENSE = {"xtail": 0.5, "mtil": 0.7, "peft": 0.5}


def _load(
    split: SplitName, *, name: str, protocol: str, shots: int, templates: Templates
) -> "Split":
    from ..data import rendered as renders  # numpy and Pillow: not for `cl-bench ls`
    from ..data.catalog.templates import GENERIC

    classes = renders.classes_of(name)
    if split == "train":
        found = renders.render_labelled(name, "train", shots * classes, TRAIN_SEEDS[protocol])
    else:
        found = renders.render_labelled(name, "test", TEST_PER_CLASS * classes, TEST_SEED)
    sets = {
        "generic": GENERIC,
        "per-dataset": found.templates[:1],
        "first": found.templates[:1],
        "ensemble": found.templates,
    }
    return replace(found, templates=sets[templates])


def _few_shot(
    protocol: str, shots: int, scope: ClassScope, default: Templates, about: str,
    templates: Templates | None, tasks: Sequence[str] = tuple(TASKS), alone: bool = False,
) -> Suite:  # fmt: skip
    chosen, name = templates or default, f"mini-{protocol}"
    load = partial(_load, protocol=protocol, shots=shots, templates=chosen)
    return Suite(
        name=name,
        version="2.0",
        tasks=tuple(
            Dataset(task, TASKS[task], partial(load, name=task), "MIT", "cl-bench", kind="labelled")
            for task in tasks
        ),
        held_out=() if alone else tuple(map(held_out, LABELLED)),
        backbone="tiny-s",
        pretrained="bundled-few-shot",
        recipe=replace(RECIPE, steps=STEPS[protocol]),
        class_scope=scope,
        about=about,
        reference=reference(),
        templates=chosen,
        order_ii=() if alone else ORDER_II,
        alone=alone,
        settings={
            "kappa_max": KAPPA_MAX * KAPPA_STEPS / STEPS[protocol],
            "dense": DENSE[protocol],
            **tuned(name),
        },
        origins={
            **tuned_origins(name),
            "kappa_max": Origin(
                "CoDyRA, section 4.1",
                str(KAPPA_MAX),
                f"the paper's for its {KAPPA_STEPS} steps, in proportion to the suite's",
            ),
            "dense": Origin("CoDyRA, section 4.1"),
        },
    )


FEW_SHOT: dict[str, Callable[[Templates | None], Suite]] = {
    "mini-xtail": partial(
        _few_shot, "xtail", 16, "union", "per-dataset",
        "eight rendered labelled domains, 16 shots, 69 classes compete; needs nothing",
    ),
    "mini-mtil": partial(
        _few_shot, "mtil", 5, "own", "first",
        "the same domains, 5 shots, the task is known; needs nothing",
    ),
    "mini-peft": partial(
        _few_shot, "peft", 16, "own", "first",
        "three of the domains, 16 shots, each learned alone (-o curios); needs nothing",
        tasks=ALONE, alone=True,
    ),
}  # fmt: skip
