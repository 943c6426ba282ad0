"""Which files a user's own dataset is in, and of what kind they are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import Literal

from ...common.files import unreadable
from ...errors import BenchError, quoted
from ..files.stream import TAR_ENDINGS
from ..files.text import JSON_LINES, SEPARATED
from ..images import short

Kind = Literal["parquet", "tar", "text", "folder", "listed"]
TABLES = (*SEPARATED, *JSON_LINES)
WRITTEN = "folder of parquet files or of images, .tar shards, or a .parquet file"
LOGS = ("_delta_log", "_spark_metadata")  # of tables that keep files which do not count any more
PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x0cJXL ",
            b"\xff\x0a")  # fmt: skip
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")  # of an image folder


@dataclass(frozen=True)
class OwnFiles:
    """The files of one table.

    Attributes:
        kind: parquet files; webdataset tars; one CSV, TSV or JSON-lines table; image files in
            folders named by their class; or an image folder with a metadata file that lists it.
        paths: the files, in the order that their rows are read.
        folder: what paths of images are relative to.
        partitions: of a parquet file in folders like `label=cat`, column -> value.
        names: what errors call a file, where that is not its name with its folder's.
        repo: the repository on the hub that they are of, None for the user's own.
    """

    kind: Kind
    paths: tuple[Path, ...]
    folder: Path
    partitions: Mapping[Path, Mapping[str, str | None]] = field(default_factory=dict)
    names: Mapping[Path, str] = field(default_factory=dict)
    repo: str | None = None

    @property
    def title(self) -> str:
        """What errors call the table by."""
        return (
            self.called(self.paths[0]) if len(self.paths) == 1 else self.repo or short(self.folder)
        )

    def called(self, path: Path) -> str:
        """What errors call a file by."""
        return self.names.get(path) or short(path)

    def parts(self, path: Path) -> Mapping[str, str | None]:
        """Columns that the folders of a file say."""
        return self.partitions.get(path, {})


def find_files(path: Path, images: Path | None = None) -> OwnFiles:
    """The files that a path of a suite file names: a file, a folder, or a pattern like `a-*.tar`.

    Args:
        path: as the suite file has it.
        images: the folder of image files beside a table of text.

    Raises:
        BenchError: there is nothing of that name, or nothing that can be read.
    """
    if images is not None:
        return OwnFiles("text", (path,), images)
    try:
        folder, there = path.is_dir(), path.exists()
        if not there and any(c in path.name for c in "*?["):
            found = tuple(sorted(path.parent.glob(path.name)))
            if not found:
                raise BenchError(f"files like '{path}'", "none", "correct the pattern", 4)
            return OwnFiles(_kind(found, path), found, path.parent)
        if not folder:  # also where it is not there: its reader says so
            return OwnFiles(_kind((path,), path), (path,), path.parent)
        return _in_folder(path)
    except OSError as error:
        raise unreadable(path, error) from error


def of_hub(repo: str, paths: Mapping[str, Path]) -> OwnFiles:
    """The table that some files of a repository are.

    Args:
        repo: hub id.
        paths: path in the repository -> path on this machine, in the order that rows are read.
    """
    files = tuple(paths.values())
    parts = {path: partition(PurePosixPath(name)) for name, path in paths.items()}
    names = {path: f"{repo}:{name}" for name, path in paths.items()}
    kind = _kind(files, files[0])
    return OwnFiles(kind, files, files[0].parent, parts, names, repo)


def can_be_table(path: Path) -> bool:
    """Whether a path may be read, as far as its name says."""
    name = path.name.lower()
    return not path.suffix or name.endswith((".parquet", *TAR_ENDINGS)) or path.is_dir()


def _kind(files: Sequence[Path], path: Path) -> Kind:
    names = [file.name.lower() for file in files]
    if all(name.endswith(".parquet") for name in names):
        return "parquet"
    if all(name.endswith(TAR_ENDINGS) for name in names):
        return "tar"
    got = quoted(path.name)
    raise BenchError(f"a {WRITTEN}", got, "convert it, or name it in another way")


def _in_folder(folder: Path) -> OwnFiles:
    """The table that a folder is: parts that Spark or Dask wrote, shards, or images."""
    if listed := [folder / name for name in METADATA if (folder / name).is_file()]:
        if len(listed) > 1:
            got = " and ".join(path.name for path in listed)
            raise BenchError(
                f"one metadata file in {folder}", got, "remove the one that is not meant"
            )
        return OwnFiles("listed", (listed[0],), folder)
    if log := next((n for n in LOGS if (folder / n).is_dir()), None):
        got = f"a table whose {log} says which of its files count"
        raise BenchError(
            f"files that all count in {folder}", got, "write it as plain parquet files"
        )
    files = [f for f in _below(folder) if not _hidden(f.relative_to(folder))]
    kinds: dict[Kind, Callable[[Path], bool]] = {
        "parquet": lambda f: f.suffix.lower() == ".parquet" and not _private(f.relative_to(folder)),
        "tar": lambda f: f.name.lower().endswith(TAR_ENDINGS),
        "folder": _image,
    }
    found = {kind: tuple(filter(test, files)) for kind, test in kinds.items()}
    held: list[Kind] = [kind for kind, paths in found.items() if paths]
    if len(held) != 1:
        said = [f"{len(found[kind])} {kind} files" for kind in held]
        if not held and any(f.suffix == ".arrow" for f in files):
            said = ["Arrow files, as `save_to_disk` of `datasets` writes them"]
        got = " and ".join(said).replace("folder files", "image files") or "nothing of these"
        fix = "write them as parquet (`to_parquet`)" if not held else "name those that are meant"
        raise BenchError(f"parquet parts, .tar shards or images in the folder {folder}", got, fix)
    (kind,) = held
    _check_left_out(folder, kind, [f for f in files if f not in set(found[kind])])
    parts = {f: partition(f.relative_to(folder)) for f in found[kind]}
    return OwnFiles(kind, found[kind], folder, parts if kind == "parquet" else {})


def _below(folder: Path, above: frozenset[Path] = frozenset()) -> list[Path]:
    """All files in a folder and in those below, also behind links, in the order of their parts.

    Args:
        folder: the folder.
        above: the folders on the way to it, into which no link leads back.
    """
    if (here := folder.resolve()) in above:
        return []
    found: list[Path] = []
    for each in folder.iterdir():
        if each.is_dir():
            found += _below(each, above | {here})
        elif each.is_file():
            found.append(each)
    return sorted(found, key=lambda f: f.parts)


def _private(path: PurePath) -> bool:
    """Whether Spark, Hive and Arrow leave a file of a table out by its name."""
    return any(part.startswith("_") and "=" not in part for part in path.parts)


def _check_left_out(folder: Path, kind: Kind, others: Sequence[Path]) -> None:
    """Raises where a file would be left out by its ending that is of the kind by its content."""
    for path in others:
        if _private(path.relative_to(folder)):
            continue
        with path.open("rb") as stream:
            head = stream.read(262)
        picture = head.startswith(PICTURES) or head[4:8] == b"ftyp"
        picture |= head[:4] == b"RIFF" and head[8:12] == b"WEBP"
        same = {"parquet": head.startswith(b"PAR1"), "tar": head[257:] == b"ustar"}
        if same.get(kind, picture):
            got = f"{quoted(str(path.relative_to(folder)))}, one by its content"
            fix = "give it the usual ending of what it is (.parquet, .tar, .jpg, .png, ...), or "
            fix += "convert or remove it"
            what = {"parquet": "parquet files", "tar": "tars"}.get(kind, "images")
            raise BenchError(f"endings of {what} in {folder}", got, fix)


def _hidden(path: Path) -> bool:
    """Whether a file is its writer's own, and no part of the table."""
    return any(part.startswith(".") or part in ("__MACOSX", "_temporary") for part in path.parts)


def partition(path: PurePath) -> dict[str, str | None]:
    """Columns in the names of folders, as Spark and Hive write them: `label=cat/part-0.parquet`."""
    from urllib.parse import unquote

    pairs = [part.partition("=") for part in path.parts[:-1] if "=" in part]
    return {
        unquote(name): None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value)
        for name, _, value in pairs
    }


def _image(file: Path) -> bool:
    from datasets.packaged_modules.imagefolder.imagefolder import ImageFolder

    return file.suffix.lower() in (*ImageFolder.EXTENSIONS, ".avif")
