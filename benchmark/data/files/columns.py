"""Finding a column of a table: by its name, within a struct, or flattened into several."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ...errors import BenchError, nearest
from ..split_rules import shown
from .stream import Record, plain

ENCODED = "encoded bytes, paths or {bytes, path}"


def require(wanted: Sequence[str], there: Sequence[str], where: str) -> None:
    """Raises BenchError where a wanted column is not there, or more than once."""
    for name in wanted:
        if list(there).count(name) != 1:
            missing(name, there, where)


def missing(name: str, there: Sequence[str], where: str) -> None:
    """Raises the BenchError of a column that is not there, or more than once."""
    got = f"columns {shown(there)}"
    if list(there).count(name) > 1:
        got = f"two of that name among {got}"
        raise BenchError(f"one column '{name}' in {where}", got, "rename one of them")
    near = nearest(name, there) if there else "add it"
    fix = f"{near} (the suite file names the column)"
    raise BenchError(f"one column '{name}' in {where}", got, fix)


@dataclass(frozen=True)
class FoundColumn:
    """Where a value is found in the rows of a file.

    Attributes:
        tops: the columns of the file that are read for it.
        steps: names of fields within the column, from the outside in.
        kind: Arrow type of the value.
        flat: fields of a struct whose every field is a column of its own -> that column.
        single: whether the value stands alone in a list.
    """

    tops: tuple[str, ...]
    steps: tuple[str, ...]
    kind: pa.DataType
    flat: tuple[tuple[str, str], ...] = ()
    single: bool = False

    def of(self, record: Record) -> Any:
        """Its value in a row; None where that, or a struct around it, is null.

        Raises:
            LookupError: a list of more or fewer than one.
        """
        if self.flat:
            return {field: record[column] for field, column in self.flat}
        value = record[self.tops[0]]
        for step in self.steps:
            value = None if value is None else value.get(step)
        if self.single and value is not None:
            if len(value) != 1:
                raise LookupError(f"a list of {len(value)}")
            value = value[0]
        return value


def find_column(schema: pa.Schema, name: str, where: str) -> FoundColumn:
    """A column by its name, or a field within one by its path ("meta.caption").

    Raises:
        BenchError: there is none, or more than one.
    """
    if schema.names.count(name) == 1:
        return FoundColumn((name,), (), plain(schema.field(name).type))
    words = name.split(".")
    for n in range(len(words) - 1, 0, -1):
        top = ".".join(words[:n])
        if schema.names.count(top) != 1:
            continue
        kind = plain(schema.field(top).type)
        for step in words[n:]:
            names = [f.name for f in kind] if pa.types.is_struct(kind) else []
            if names.count(step) != 1:
                missing(name, [f"{top}.{f}" for f in names] or schema.names, where)
            kind = kind.field(step).type
        return FoundColumn((top,), tuple(words[n:]), kind)
    missing(name, schema.names, where)
    raise AssertionError("raised above")


def find_image(schema: pa.Schema, name: str, where: str) -> FoundColumn:
    """The column of the images, whose values are bytes, a path, or {bytes, path}.

    A struct may be flattened into the columns `name.bytes` and `name.path`; it may be the only
    image in a struct, or in a list.

    Raises:
        BenchError: there is no such column, or it holds something else.
    """
    flat = [f for f in ("bytes", "path") if schema.names.count(f"{name}.{f}") == 1]
    if name not in schema.names and flat:
        kinds = {f: plain(schema.field(f"{name}.{f}").type) for f in flat}
        kind = pa.struct(list(kinds.items()))
        tops = tuple(f"{name}.{f}" for f in flat)
        column = FoundColumn(tops, (), kind, tuple(zip(flat, tops, strict=True)))
    else:
        column = find_column(schema, name, where)
        if _list(column.kind):
            inner = column.kind.value_type
            column = FoundColumn(column.tops, column.steps, inner, single=True)
        inside = _images(column.kind)
        if not column.single and len(inside) == 1:
            kind = column.kind
            for step in inside[0]:
                kind = kind.field(step).type
            column = FoundColumn(column.tops, column.steps + inside[0], kind)
    if (fault := _fault(column.kind)) is not None:
        raise BenchError(
            f"{ENCODED} in column '{name}' of {where}",
            f"type {column.kind}{fault}",
            "write the bytes of each image file as binary, or name the image column with the "
            "key `image`",
        )
    return column


def _fault(kind: pa.DataType) -> str | None:
    """None where values of the type are images, else what is wrong beyond the type itself."""
    if _binary(kind) or _text(kind):
        return None
    fields = {f.name: f.type for f in kind} if pa.types.is_struct(kind) else {}
    if "bytes" not in fields and "path" not in fields:
        return ""
    raw = fields.get("bytes", pa.null())
    if not (_binary(raw) or pa.types.is_null(raw)):
        text = ", which is text and no bytes (base64?)" if _text(raw) else ""
        return f", whose field 'bytes' is {raw}{text}"
    path = fields.get("path", pa.null())
    if not (_text(path) or pa.types.is_null(path)):
        return f", whose field 'path' is {path}"
    return None


def _images(kind: pa.DataType) -> list[tuple[str, ...]]:
    """Paths to what may be images in a struct that is none itself."""
    if not pa.types.is_struct(kind) or {"bytes", "path"} & {f.name for f in kind}:
        return []
    found: list[tuple[str, ...]] = []
    for field in kind:
        of = field.type
        if _binary(of) or (pa.types.is_struct(of) and _fault(of) is None):
            found.append((field.name,))
        else:
            found += [(field.name, *rest) for rest in _images(of)]
    return found


def _list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
