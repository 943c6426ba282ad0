"""Which columns of a published file are read for what: from its schema or first sample alone.

A schema is in the last kilobytes of a parquet file, so that all of this is known before gigabytes
are fetched.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ...errors import BenchError
from ..files.stream import plain
from ..split_rules import shown
from .classes import different, match_classes
from .declare import Source, class_table

Names = tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """What is read of a published file.

    Attributes:
        image: column of the image; of a tar, its kind of file.
        value: column of captions or label; of a tar, its kind of file.
        key, part, group: columns, where the declaration has some.
        names: class names by the numbers in `value`, where the file has them.
        part_names, group_names: the same of those columns.
    """

    image: str
    value: str
    key: str | None = None
    part: str | None = None
    group: str | None = None
    names: Names | None = None
    part_names: Names | None = None
    group_names: Names | None = None

    @property
    def taken(self) -> dict[str, str]:
        """What was taken among alternatives, as the lock file notes it."""
        return {"image": self.image, "value": self.value}

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read."""
        every = (self.image, self.value, self.key, self.part, self.group)
        return tuple(dict.fromkeys(name for name in every if name is not None))


def parquet_layout(schema: pa.Schema, source: Source, classes: str | None, where: str) -> Layout:
    """The columns of a parquet file.

    Args:
        schema: of the file.
        source: its declaration.
        classes: class table of a labelled set, None for pairs.
        where: the file, for errors.

    Raises:
        BenchError: a column is missing or of another type, or the class names of none fit.
    """
    image = _one_of(schema.names, source.image, where)
    value = _value_column(schema, source, classes, where)
    for column in (source.key, source.part_column, source.group):
        if column is not None:
            _one_of(schema.names, (column,), where)
    for column in (source.part_column, source.group):
        if column is not None and class_names(schema, column) is None:
            kind = plain(schema.field(column).type)
            if not _text(kind):
                got = f"type {kind}" + " without names" * pa.types.is_integer(kind)
                raise different(where, f"text, or numbers with names, in column '{column}'", got)
    kind = plain(schema.field(image).type)
    fields = {f.name: f.type for f in kind} if pa.types.is_struct(kind) else {}
    if not _binary(fields.get("bytes", kind)):
        raise different(where, f"images in column '{image}'", f"type {kind}")
    kind = plain(schema.field(value).type)
    if classes is not None:
        if not (pa.types.is_integer(kind) or _text(kind)):
            raise different(where, f"labels in column '{value}'", f"type {kind}")
    else:
        inner = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
        if not _text(inner):
            raise different(where, f"captions in column '{value}'", f"type {kind}")
    return Layout(
        image, value, source.key, source.part_column, source.group,
        class_names(schema, value) if classes is not None else None,
        class_names(schema, source.part_column), class_names(schema, source.group),
    )  # fmt: skip


def tar_layout(fields: Sequence[str], source: Source, where: str) -> Layout:
    """The kinds of files of a webdataset tar.

    Args:
        fields: the kinds that samples have ("jpg", "cls"), in any case.
        source: its declaration.
        where: the tar, for errors.

    Raises:
        BenchError: no sample has an image, or captions or a label.
    """
    there = [field.lower() for field in fields]
    _one_of(there, source.image, where, "a kind of file")
    return Layout(source.image[0], _one_of(there, source.value, where, "a kind of file"))


def class_names(schema: pa.Schema, column: str | None) -> Names | None:
    """Names of the numbers of a ClassLabel column, as `datasets` wrote them."""
    meta = (schema.metadata or {}).get(b"huggingface")
    try:
        features: Any = json.loads(meta)["info"]["features"] if meta else {}
        names = features.get(column, {}).get("names")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return tuple(str(name) for name in names) if isinstance(names, list) else None


def own_numbers(names: Names | None, source: Source) -> bool:
    """Whether the numbers of a file are those of the class table."""
    return names is None or source.by_number or names == tuple(map(str, range(len(names))))


def bare_numbers(schema: pa.Schema, layout: Layout, source: Source, classes: str | None) -> bool:
    """Whether labels are numbers of which a file does not say what they mean."""
    if classes is None or source.by_number:
        return False
    digits = all(name.isdigit() for name in class_table(classes)["source"])
    number = pa.types.is_integer(plain(schema.field(layout.value).type))
    return number and own_numbers(layout.names, source) and not digits


def _value_column(schema: pa.Schema, source: Source, classes: str | None, where: str) -> str:
    """The column of captions or labels, among those that are declared.

    Of labels it is the first whose class names are those of the table: a dataset has other label
    columns too (family, superclass). A column that is not declared is never taken, as the identity
    of a store is that of its declaration; but it is named where it would fit.
    """
    there = [column for column in source.value if column in schema.names]
    named = {name: names for name in schema.names if (names := class_names(schema, name))}
    if classes is None:
        return _one_of(schema.names, source.value, where)
    misfits = {name: _misfit(names, source, classes, where) for name, names in named.items()}
    fitting = [column for column in there if column in named and misfits[column] is None]
    # Text, or numbers without names: the rows say whether they fit.
    if found := [*fitting, *(column for column in there if column not in named)]:
        return found[0]
    total = len(class_table(classes)["source"])
    others = [n for n in named if misfits[n] is None and len(named[n]) == total and n not in there]
    hint = f"; {shown(others)} has the classes of '{classes}'" if others else ""
    try:
        column = _one_of(schema.names, source.value, where)
    except BenchError as error:
        raise BenchError(error.expected, error.got, error.fix + hint, error.code) from error
    got = f"{misfits[column]} in column '{column}', which has {len(named[column])} classes"
    counts = [f"'{name}' has {len(names)}" for name, names in named.items() if name != column]
    got += "".join(f", {count}" for count in counts)
    said = different(where, f"class names of '{classes}'", got)
    raise BenchError(said.expected, said.got, said.fix + hint, said.code)


def _misfit(names: Names, source: Source, classes: str, where: str) -> str | None:
    """Why the class names of a column are not those of the class table, None where they are."""
    total = len(class_table(classes)["source"])
    if own_numbers(names, source):
        return None if len(names) == total else f"{len(names)} numbers for {total} classes"
    try:
        match_classes(names, classes, where)
    except BenchError as error:
        return error.got
    return None


def _one_of(there: Sequence[str], wanted: Names, where: str, what: str = "a column") -> str:
    for column in wanted:
        if column in there:
            return column
    got = f"columns {shown(there, 20)}" if what == "a column" else shown(there, 20)
    raise different(where, f"{what} {' or '.join(repr(c) for c in wanted)}", got)


def _binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
