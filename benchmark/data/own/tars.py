"""Rows of a user's webdataset tars: samples are files of one name with different endings."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from ...errors import BenchError
from ..files.columns import require
from ..files.stream import Record, tar_fields, tar_rows
from .files import OwnFiles
from .row import IMAGE, ColumnNames, OwnRow, OwnRows, digest_of, readable

KEY = "__key__"  # of a webdataset's samples


def open_tars(files: OwnFiles, columns: ColumnNames) -> OwnRows:
    """The samples of some tars.

    A column is a kind of file ("txt"), a field of a .json ("json.caption"), or "__key__", the name
    of the sample. Without a name, the image is the file with an ending of images.

    Raises:
        BenchError: as `rows.open_rows`.
    """
    from datasets.packaged_modules.webdataset.webdataset import WebDataset

    kinds: dict[str, None] = {}
    for path in files.paths:
        with readable(files, path, "tar"):
            kinds |= dict.fromkeys(tar_fields(path))
    images = [columns.image] if columns.image in kinds else []
    if not images and columns.image == IMAGE:
        images = [kind for kind in kinds if kind.lower() in WebDataset.IMAGE_EXTENSIONS]
    where = files.called(files.paths[0])
    if not images:
        require([columns.image], tuple(kinds), where)
    tops = {name: name if name == KEY else _kind_of(name, kinds, where) for name in columns.names()}
    types = {kind: _tar_type(kind) for kind in tops.values() if kind != KEY}
    types |= dict.fromkeys(images, pa.binary())

    def samples() -> Iterator[tuple[str, Record]]:
        for path in files.paths:
            with readable(files, path, "tar"):
                for sample in tar_rows([path], types):
                    yield f"{files.called(path)} sample '{sample[KEY]}'", sample

    def raw_of(sample: Record, where: str) -> bytes | None:
        found = [sample[kind] for kind in images if sample[kind] is not None]
        if len(found) > 1:
            got = ", ".join(kind for kind in images if sample[kind] is not None)
            fix = "name the kind of file that is the image with the key `image`"
            raise BenchError(f"one image in {where}", got, fix)
        return found[0] if found else None

    def rows() -> Iterator[OwnRow]:
        for where, sample in samples():
            cells = {name: _tar_cell(sample, name, tops[name]) for name in columns.names()}
            raw = raw_of(sample, where)
            if raw is None:
                expected = f"an image ({', '.join(images)}) in {where}"
                fix = "pack its files one after the other (`tar --sort=name`), or remove it"
                raise BenchError(expected, "none beside its other files", fix)
            yield OwnRow(where, cells, sample[KEY], digest_of(raw))

    return OwnRows(rows, lambda: (raw_of(sample, where) for where, sample in samples()))


def _kind_of(name: str, kinds: dict[str, None], where: str) -> str:
    """The kind of file that has a value: "txt", or "json" for "json.caption"."""
    top = name if name in kinds else name.partition(".")[0]
    if top not in kinds:
        require([name], tuple(kinds), where)
    return top


def _tar_type(kind: str) -> pa.DataType:
    return pa.int64() if kind.lower() in ("cls", "cls2", "index", "inx", "id") else pa.string()


def _tar_cell(sample: Record, name: str, kind: str) -> Any:
    """A value in a sample: of .txt, one caption a line."""
    value = sample[kind]
    for step in name.removeprefix(kind).split(".")[1:]:
        value = value.get(step) if isinstance(value, dict) else None
    if kind.lower() in ("txt", "text") and isinstance(value, str):
        lines = value.removeprefix("\ufeff").strip().split("\n")
        return lines if len(lines) > 1 else lines[0]
    return value
