"""Rows of a downloaded file, as its publisher wrote them: parquet, or webdataset tars."""

import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ....errors import BenchError
from ...images import damaged
from ...split_rules import shown
from ..classes import different, match_classes
from ..declare import Source, class_table

BATCH = 64  # rows of a parquet file in memory at a time


@dataclass(frozen=True)
class RawRow:
    """One row of one file.

    Attributes:
        row: its number in the file, from 0. key: its publisher's name, '' for none.
        part, group: where it belongs. image: encoded bytes, None where there are none.
        captions: stripped, without blank ones; label: class in the order of the class table.
    """

    row: int
    key: str
    part: str
    group: str
    image: bytes | None
    captions: tuple[str, ...] = ()
    label: int = -1


@dataclass(frozen=True)
class SourceFile:
    """Which file is read for what.

    Attributes:
        path: the local file. name: its path in the repository, for errors.
        source: its declaration. part: its part, or None where a column says it.
        classes: class table of a labelled set, None for pairs.
    """

    path: Path
    name: str
    source: Source
    part: str | None
    classes: str | None


def read_rows(place: SourceFile) -> tuple[Iterator[RawRow], dict[str, str]]:
    """The rows of one file, and the columns that were taken among the alternatives.

    Raises:
        BenchError: no readable file, a column missing or of another type, a label that is no
            class. Also while iterating.
    """
    return (_tar if place.path.suffix == ".tar" else _parquet)(place)


def _parquet(place: SourceFile) -> tuple[Iterator[RawRow], dict[str, str]]:
    try:
        file = pq.ParquetFile(place.path)
    except (pa.ArrowException, OSError) as error:
        raise damaged(place.name, error) from error
    schema, source = file.schema_arrow, place.source
    taken = {
        "image": _one_of(schema.names, source.image, place.name),
        "value": _one_of(schema.names, source.value, place.name),
    }
    for column in (source.key, source.part_column, source.group):
        if column is not None:
            _one_of(schema.names, (column,), place.name)
    image = taken["image"]
    kind = schema.field(image).type
    nested = pa.types.is_struct(kind)
    if not (nested and "bytes" in [f.name for f in kind]) and not pa.types.is_binary(kind):
        raise different(place.name, f"images in column '{image}'", f"type {kind}")
    value = _value_reader(place, schema, taken["value"])
    names = [f"{image}.bytes" if nested else image, taken["value"]]
    others = [c for c in (source.key, source.part_column, source.group) if c is not None]
    group = _labels(schema, source.group, place.name)
    part = _labels(schema, source.part_column, place.name)

    def rows() -> Iterator[RawRow]:
        try:
            count = 0
            for batch in file.iter_batches(BATCH, columns=list(dict.fromkeys(names + others))):
                for record in batch.to_pylist():
                    cell = record[image]
                    raw = cell.get("bytes") if isinstance(cell, dict) else cell
                    row = RawRow(
                        count,
                        "" if source.key is None else str(record[source.key] or ""),
                        place.part or part(record[str(source.part_column)]),
                        "" if source.group is None else group(record[source.group]),
                        raw,
                    )
                    where = f"row {count} of {place.name}"
                    yield value(row, record[taken["value"]], where)
                    count += 1
        except (pa.ArrowException, OSError) as error:
            raise damaged(place.name, error) from error
        finally:
            file.close()

    return rows(), taken


def _tar(place: SourceFile) -> tuple[Iterator[RawRow], dict[str, str]]:
    """Samples are files of one stem that follow each other."""
    images, (field, *_) = place.source.image, place.source.value
    value = _captions if place.classes is None else _labelled(place, None)

    def sample(count: int, stem: str, members: dict[str, bytes]) -> RawRow:
        where = f"sample '{stem}' of {place.name}"
        if field not in members:
            raise different(place.name, f"a file .{field} in {where}", f".{', .'.join(members)}")
        text = members[field].decode("utf-8-sig")
        raw = next((members[kind] for kind in images if kind in members), None)
        cell: Any = text.split("\n") if place.classes is None else _integer(text.strip(), where)
        return value(RawRow(count, stem, place.part or "", "", raw), cell, where)

    def rows() -> Iterator[RawRow]:
        try:
            with tarfile.open(place.path) as archive:
                count, stem = 0, ""
                members: dict[str, bytes] = {}
                for member in archive:
                    if not member.isfile():
                        continue
                    folder, slash, file = member.name.removeprefix("./").rpartition("/")
                    name, _, kind = file.partition(".")
                    name, kind = folder + slash + name, kind.lower()
                    if name == stem and kind in members:
                        where = f"sample '{stem}' of {place.name}"
                        raise different(where, "one file of each kind", f"two .{kind}")
                    if name != stem and members:
                        yield sample(count, stem, members)
                        count, members = count + 1, {}
                    stem = name
                    stream = archive.extractfile(member)
                    members[kind] = b"" if stream is None else stream.read()
                if members:
                    yield sample(count, stem, members)
        except (tarfile.TarError, OSError, UnicodeDecodeError) as error:
            got = f"'{str(error).splitlines()[0]}'"
            raise BenchError(f"a readable tar file {place.name}", got, "report it", 5) from error

    return rows(), {"image": images[0], "value": field}


def _integer(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise different(where, "a class number", f"'{text}'")
    return int(text)


def _one_of(there: Sequence[str], wanted: tuple[str, ...], name: str) -> str:
    for column in wanted:
        if column in there:
            return column
    got = f"columns {shown(there, 20)}"
    raise different(name, f"a column {' or '.join(repr(c) for c in wanted)}", got)


def _features(schema: Any) -> dict[str, Any]:
    """What `datasets` wrote of its columns, if it wrote the file."""
    meta = (schema.metadata or {}).get(b"huggingface")
    try:
        found = json.loads(meta)["info"]["features"] if meta else {}
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _names(schema: Any, column: str | None) -> list[str] | None:
    """Names of a ClassLabel column's numbers."""
    feature = _features(schema).get(column or "", {})
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else None


def _is_place(cell: Any, names: Sequence[str]) -> bool:
    return isinstance(cell, int) and 0 <= cell < len(names)


def _labels(schema: Any, column: str | None, name: str) -> Any:
    """A cell of that column as text: by the names of a ClassLabel, else as it is."""
    names = _names(schema, column)

    def text(cell: Any) -> str:
        if cell is None or (names is not None and not _is_place(cell, names)):
            raise different(name, f"a value in every row of column '{column}'", repr(cell))
        return names[cell] if names is not None else str(cell)

    return text


def _value_reader(place: SourceFile, schema: Any, column: str) -> Any:
    kind = schema.field(column).type
    if place.classes is not None:
        if not (pa.types.is_integer(kind) or pa.types.is_string(kind)):
            raise different(place.name, f"labels in column '{column}'", f"type {kind}")
        return _labelled(place, _names(schema, column))
    inner = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
    if not (pa.types.is_string(inner) or pa.types.is_large_string(inner)):
        raise different(place.name, f"captions in column '{column}'", f"type {kind}")
    return _captions


def _captions(row: RawRow, cell: Any, where: str) -> RawRow:
    texts = cell if isinstance(cell, list) else [cell]
    stripped = tuple(text.strip() for text in texts if text is not None and text.strip())
    return RawRow(row.row, row.key, row.part, row.group, row.image, captions=stripped)


def _labelled(place: SourceFile, names: list[str] | None) -> Any:
    """Puts the class into a row: its place in the class table."""
    classes = str(place.classes)
    total = len(class_table(classes)["source"])
    own = names is None or place.source.by_number or names == [str(i) for i in range(len(names))]
    order = None if own else match_classes(names or [], classes, place.name)

    def label(row: RawRow, cell: Any, where: str) -> RawRow:
        if isinstance(cell, str):
            found = match_classes([cell], classes, where)[0]
        elif not isinstance(cell, int) or not 0 <= cell < len(order or range(total)):
            raise different(where, f"a label from 0 to {total - 1}", repr(cell))
        else:
            found = cell if order is None else order[cell]
        return RawRow(row.row, row.key, row.part, row.group, row.image, label=found)

    return label
