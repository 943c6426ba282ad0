"""Counts of a prepared set: what a reader of its numbers should know."""

from collections import Counter
from typing import Any

import numpy as np

from .declare import Declaration, class_table
from .load import rows_of
from .splits import pick
from .store import Rows, Store

HEADS = (
    "set", "split", "images", "captions", "per image", "words", "captions of >1 image",
    "repeated images", "in another split", "classes", "per class",
)  # fmt: skip


def split_stats(declared: Declaration, store: Store) -> list[tuple[Any, ...]]:
    """One row of `HEADS` for every declared split.

    Counted are captions that more than one image has (ignoring case), images whose encoded bytes
    another image of the split has too, and images whose bytes are in another split.
    """
    rows = rows_of(store)
    picked = {name: pick(rows, rule, declared) for name, rule in declared.splits.items()}
    image = np.asarray(rows.column("image_sha256"))
    return [_one(declared, rows, name, picked, image) for name in picked]


def _one(
    declared: Declaration, rows: Rows, name: str, picked: dict[str, Any], image: Any
) -> tuple[Any, ...]:
    mine = picked[name]
    hashes = Counter(image[mine].tolist())
    repeated = sum(n for n in hashes.values() if n > 1)
    others = {h for other, found in picked.items() if other != name for h in image[found].tolist()}
    shared = sum(h in others for h in image[mine].tolist())
    head = (declared.name, name, len(mine))
    if declared.kind == "labelled":
        label = np.asarray(rows.column("label"))[mine]
        sizes = np.bincount(label, minlength=len(class_table(str(declared.classes))["source"]))
        held = sizes[sizes > 0]
        spread = f"{held.min()}-{held.max()}"
        return (*head, "", "", "", "", repeated, shared, len(held), spread)
    captions = rows.table.column("captions").take(mine).to_pylist()
    texts = [text for own in captions for text in own]
    owners: dict[str, set[int]] = {}
    for i, own in enumerate(captions):
        for text in own:
            owners.setdefault(text.lower(), set()).add(i)
    double = sum(len(owners[text.lower()]) > 1 for text in texts)
    counts = [len(own) for own in captions]
    per = f"{min(counts)}-{max(counts)}" if min(counts) < max(counts) else f"{counts[0]}"
    words = f"{np.mean([len(text.split()) for text in texts]):.1f}"
    share = f"{double} ({100 * double / len(texts):.1f} %)"
    return (*head, len(texts), per, words, share, repeated, shared, "", "")
