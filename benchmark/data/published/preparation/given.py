"""Rows of files that the user gives as a folder.

Places365, CoOp's split_zhou lists, and torchvision's folders of classes, which ZSCL divides.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from ....common.files import file_bytes, file_text, unreadable
from ....errors import BenchError, quoted
from ....hub.client import RemoteFile
from ...files.stream import UnreadableFile, tar_fields, tar_rows
from ...split_rules import random_split
from ..classes import match_classes
from ..declare import Declaration, Folder
from .reader import RawRow

IMAGES = (".jpg", ".jpeg", ".png")


def listed(declared: Declaration, source: Folder, folder: Path | None, command: str) -> RemoteFile:
    """The list file of a given folder, verified, as the one file of its dataset.

    Raises:
        BenchError: no folder given, a file missing, or another md5 than its publisher states.
    """
    names = tuple(dict.fromkeys((source.images, source.listing)))
    wanted = " and ".join(names)
    if folder is None:
        raise BenchError(
            f"the files of {declared.title}, which no hub holds ({wanted})",
            "no folder",
            f"get them from {source.url} and give their folder: `{command} --from FOLDER`",
            code=4,
        )
    for name in names:
        if not (folder / name).exists():
            fix = f"get it from {source.url}, or correct --from"
            raise BenchError(f"'{name}' in {folder}", "no such file", fix, code=4)
        if name in source.md5:
            _check_md5(folder / name, source.md5[name])
    if source.layout == "folders":
        raw = "".join(f"{path}\n" for path in _paths(source, folder)).encode()
    else:
        raw = file_bytes(folder / source.listing)
    return RemoteFile(source.listing, len(raw), hashlib.sha256(raw).hexdigest())


def _check_md5(file: Path, md5: str) -> None:
    try:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "md5").hexdigest()
    except OSError as error:
        raise unreadable(file, error) from error
    if found != md5:
        raise BenchError(f"{file} with md5 {md5}", found, "fetch it again", code=4)


def read_given(declared: Declaration, source: Folder, folder: Path) -> Iterator[RawRow]:
    """The rows in the order of the list.

    Raises:
        BenchError: a damaged list, an image that is not there, a class that is none.
    """
    rows = {"places365": _places, "coop": _coop, "folders": _folders}[source.layout]
    return rows(declared, source, folder)


def _places(declared: Declaration, source: Folder, folder: Path) -> Iterator[RawRow]:
    """Rows in the order of the tar, which is read once."""
    lines = file_text(folder / source.listing).split("\n")
    try:
        labels = {name: int(number) for name, number in (line.split() for line in lines if line)}
    except ValueError as error:
        got, fix = quoted(str(error)), "fetch it again"
        raise BenchError(f"a name and a number a line in {source.listing}", got, fix, 4) from error
    tar = folder / source.images
    try:
        kinds = dict.fromkeys(tar_fields(tar), pa.binary())
        for row, sample in enumerate(tar_rows([tar], kinds)):
            stem = Path(sample["__key__"]).name
            names = [f"{stem}.{kind}" for kind in kinds if sample[kind] is not None]
            odd = [name for name in names if name not in labels] + names[1:]
            if odd:
                got = f"{quoted(odd[0])}, which is not in it"
                raise BenchError(f"the images of {source.listing}", got, "fetch both again", 4)
            image = sample[names[0].removeprefix(f"{stem}.")]
            yield RawRow(row, names[0], source.parts[0], "", image, label=labels[names[0]])
    except (UnreadableFile, OSError) as error:
        got = quoted(str(error).splitlines()[0], 200)
        raise BenchError(f"a readable {source.images}", got, "fetch it again", 4) from error


def _coop(declared: Declaration, source: Folder, folder: Path) -> Iterator[RawRow]:
    where = str(folder / source.listing)
    try:
        lists = json.loads(file_bytes(folder / source.listing))
        entries = [(part, *entry) for part in source.parts for entry in lists[part]]
        records = [(p, str(path), int(label), str(name)) for p, path, label, name in entries]
    except (ValueError, KeyError, TypeError) as error:
        got = f"{type(error).__name__} '{error}'"
        fix = "take the file from CoOp's DATASETS.md"
        raise BenchError(f"a split_zhou list in {where}", got, fix, code=4) from error
    for row, (part, path, _, name) in enumerate(records):
        label = match_classes([name], str(declared.classes), where)[0]
        image = file_bytes(folder / source.images / path)
        yield RawRow(row, path, part, "", image, label=label)


def _paths(source: Folder, folder: Path) -> list[str]:
    """The images below the folders of the classes, class by class, in the order of their names."""
    root = folder / source.images
    found = []
    for path in root.rglob("*"):
        inside = path.relative_to(root)
        if path.suffix.lower() in IMAGES and inside.parts[0] not in source.without:
            found.append(inside)
    return [path.as_posix() for path in sorted(found, key=lambda path: path.parts)]


def _folders(declared: Declaration, source: Folder, folder: Path) -> Iterator[RawRow]:
    """Rows in the order of the paths; a file of a set that is not whole gives others no part."""
    paths, wanted = _paths(source, folder), sum(source.rows.values())
    where, split = str(folder / source.images), source.split
    assert split is not None, "folders say nothing of parts"
    if len(paths) != wanted:
        fix = f"get all of them from {source.url}, and nothing beside them"
        raise BenchError(f"{wanted} images in {where}", str(len(paths)), fix, code=4)
    in_test = set(random_split(len(paths), split.train, split.seed)[1].tolist())
    for row, path in enumerate(paths):
        label = match_classes([str(Path(path).parent)], str(declared.classes), where)[0]
        part = source.parts[row in in_test]
        yield RawRow(row, path, part, "", file_bytes(folder / source.images / path), label=label)
