"""The settings of a block of rows in a few sentences, from what its records were asked for."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from ..cells import TableRow
from ..sets import shown
from ..spec import EXTRA_ROWS

Settings = Mapping[str, Any]
# Of a method's own settings, those that say how much was trained, and how.
_OWN = (
    "rank", "alpha", "dropout", "kappa_max", "dense", "strength", "lr", "weight_decay", "decay",
    "caption_sampling",
)  # fmt: skip
_WORDS = {"lr": "learning rate", "weight_decay": "weight decay", "caption_sampling": "captions"}
# Of older records: what was done before there was a choice.
_UNSAID = {"decay": "all", "caption_sampling": "random", "precision": "fp32", "crops": "none"}
_DECAYED = {
    "all": "on all weights, gains and biases too",
    "matrices": "on matrices, not on gains and biases",
}
_CAPTIONS = {
    "random": "one random caption an image and epoch",
    "all": "every caption of an image in each epoch",
}
_CROPS = {
    "none": "no augmentation",
    "random": "training images by random crops of 0.9 to 1 of their area, no other augmentation",
}
_SIMILARITY = (
    "Margin and temperature act on similarities to tasks. With routing sample such a similarity is "
    "the mean of a cosine within the item's modality and one across, and gaps between tasks are "
    "about half as large as with pair, where both cosines are within a modality."
)
_ADDED = "it starts at zero or at random, and has further to go"
_MANY = 3  # variants of one method that are counted and not listed


def settings_notes(rows: Sequence[TableRow]) -> Iterator[str]:
    """The suite's recipe, then what rows have of their own, a sentence each.

    Nothing is said of records that do not say it.

    Args:
        rows: of one block.
    """
    runs = shown([run for row in rows for run in row.runs])
    known = [run for run in runs if run.asked.get("recipe")]
    recipe: Settings = {}
    if known:
        # Of one suite: rows with other values are named by them, and those as asked come first.
        first = min(known, key=lambda run: (bool(run.settings), run.seed))
        recipe = first.asked["recipe"]
        yield _recipe(recipe, "pairs" in first.worlds)
    configs = {row.label: config_of(row) for row in rows}
    groups: dict[str, list[TableRow]] = {}
    for row in rows:
        if words := _own(configs[row.label], recipe):
            groups.setdefault(words, []).append(row)
    if groups:
        listed = "; ".join(f"{words} ({_named(group)})" for words, group in groups.items())
        yield f"Settings of their own: {listed}."
    if any("margin" in one and one.get("routing") == "sample" for one in configs.values()):
        yield _SIMILARITY


def config_of(row: TableRow) -> Settings:
    """The method's settings of a row, empty where its records do not say."""
    found = (run.asked.get("config") for run in row.runs)
    return next((config for config in found if config), {})


def extra_notes(rows: Sequence[TableRow]) -> Iterator[str]:
    """In what every extra row differs from the one that it is held against."""
    by_label = {row.label: config_of(row) for row in rows}
    for label, base in EXTRA_ROWS.items():
        if label in by_label:
            ours, theirs = by_label[label], by_label.get(base, {})
            differs = [
                f"{_WORDS.get(key, key)} {_value(ours[key])} and not {_value(theirs[key])}"
                for key in sorted(ours.keys() & theirs.keys())
                if ours[key] != theirs[key]
            ]
            yield f"{label}, beside {base}: {', '.join(differs) or 'other settings'}"


def _recipe(recipe: Settings, captions: bool) -> str:
    def of(key: str) -> Any:
        return recipe.get(key, _UNSAID.get(key))

    parts = [
        f"{recipe['steps']} steps a task" if recipe.get("steps") else f"{of('epochs')} epochs",
        f"batches of {of('batch_size')}",
    ]
    lr, added = of("lr"), of("lr_added")
    if lr is not None:
        rate = f"AdamW with a peak learning rate of {lr:g}"
        if added not in (None, lr):
            rate += f", and of {added:g} for what a method adds ({_ADDED})"
        parts.append(rate)
    if decay := of("weight_decay"):
        parts.append(f"weight decay {decay:g} {_DECAYED.get(of('decay'), of('decay'))}")
    elif decay is not None:
        parts.append("no weight decay")
    if (warmup := of("warmup")) is not None:
        up = f"a linear rise over {warmup:.0%} of the steps" if warmup else "no warm-up"
        parts.append(f"{up}, then half a cosine to 0")
    if captions:
        parts.append(_CAPTIONS.get(of("caption_sampling"), str(of("caption_sampling"))))
    parts.append(_CROPS.get(of("crops"), str(of("crops"))))
    if of("precision") != "fp32":
        parts.append(f"{of('precision')}")
    return f"Settings of the suite: {'; '.join(parts)}."


def _own(config: Settings, recipe: Settings) -> str:
    """What is not the suite's; alpha only where it is an adapter's."""
    wanted = [key for key in _OWN if key != "alpha" or "rank" in config]
    values = {key: config[key] for key in wanted if config.get(key) is not None}
    return ", ".join(
        f"{_WORDS.get(key, key)} {_value(value)}"
        for key, value in values.items()
        if recipe.get(key, _UNSAID.get(key)) != value
        or (key == "lr" and recipe.get("lr_added", value) != value)
    )


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _named(rows: Sequence[TableRow]) -> str:
    """Labels; of many variants of one method, how many."""
    parts = []
    for method, found in groupby(rows, key=lambda row: row.method):
        labels = list(dict.fromkeys(row.label for row in found))
        variants = [label for label in labels if label != method]
        if len(variants) > _MANY:
            parts += [method] * (method in labels) + [f"{len(variants)} variants of {method}"]
        else:
            parts += labels
    return ", ".join(parts)
