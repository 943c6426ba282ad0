"""The same repository as it might have been published: other shards, columns, spellings, orders.

A variation keeps what a declaration relies on (the names of its columns, of the splits and of the
files' folders) and changes the rest; of labelled sets it has one row of every class.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from .kinds import IMAGE, Column, Era, Row, Spec, Split, classes

ODD_COLUMNS: dict[str, Column] = {
    "aspect": Column("float64", lambda row: row.size[0] / row.size[1]),
    "box": Column("list:float32", lambda row: [0.0, 0.5, 1.0, float(row.index)]),
    "checked": Column("bool", lambda row: row.index % 2 == 0),
    "difficulty": classes(("easy", "hard"), lambda row: row.number % 2),
    "notes": Column("null", lambda row: None),
    "raw": Column("binary", lambda row: bytes([row.index % 256])),
    "remark": Column("large_string", lambda row: "café" * (row.index % 3)),
    "tags": Column("list:string", lambda row: [], listed="List"),
    "thumbnail": IMAGE,
    "uploaded": Column("timestamp[us]", lambda row: datetime(2023, 1, 1 + row.index % 28)),
}
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as published": str,
    "upper": str.upper,
    "lower": str.lower,
    "title": str.title,
    "underscores": lambda name: name.replace(" ", "_").replace("-", "_"),
    "spaces": lambda name: name.replace("_", " ").replace("-", " "),
    "hyphens": lambda name: name.replace("_", "-").replace(" ", "-"),
    "words turned": lambda name: " ".join(reversed(name.replace("_", " ").split())),
    "accents": lambda name: name.replace("e", "é").replace("o", "ö"),
    "accents apart": lambda name: name.replace("e", "e\u0301").replace("o", "o\u0308"),
    "wide": lambda name: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in name),
}


def vary(spec: Spec, rng: np.random.Generator, spelling: str | None = None) -> Spec:
    """One of many variations; the same of equal generators.

    Args:
        spec: the repository as published.
        rng: of the choice.
        spelling: of the class names, a key of `SPELLINGS`; None chooses one.
    """
    splits = {
        name: Split(
            1 if spec.classes and len(spec.classes) < 1000 else size.rows,
            int(rng.integers(1, 5)),
            size.captioned,
        )
        for name, size in spec.splits.items()
    }
    changed = replace(spec, splits=splits, data="", revision="")
    if spec.classes:
        names = list(SPELLINGS)
        changed = _respelled(changed, rng, spelling or names[int(rng.integers(len(names)))])
    if spec.files.endswith(".tar"):
        return changed
    more = {name: c for name, c in ODD_COLUMNS.items() if rng.random() < 0.5}
    columns = list({**changed.columns, **more}.items())
    order = rng.permutation(len(columns))
    eras: tuple[Era, ...] = (2022, 2023, 2025) if spec.era is not None else (None,)
    era = eras[int(rng.integers(len(eras)))]
    return replace(changed, columns={columns[i][0]: columns[i][1] for i in order}, era=era)


def _respelled(spec: Spec, rng: np.random.Generator, spelling: str) -> Spec:
    """Class names spelled and ordered otherwise, and sometimes written out in every row."""
    if all(column.kind != "class" or not column.label for column in spec.columns.values()):
        return spec  # numbers alone
    order = rng.permutation(len(spec.classes))
    names = tuple(SPELLINGS[spelling](spec.classes[i]) for i in order)
    written = bool(rng.random() < 0.2)

    def name_of(row: Row) -> Any:
        return names[row.label]

    columns = {
        name: (Column("string", name_of) if written else replace(column, names=names))
        if column.label
        else column
        for name, column in spec.columns.items()
    }
    canonical = tuple(spec.canonical[i] for i in order)
    return replace(spec, columns=columns, classes=names, canonical=canonical)
