"""Which files of a repository are which split, as the library `datasets` finds it.

A repository's README may say it in its YAML head (`configs`, with `data_files` or `data_dir`); else
the names of files and folders do, by the hub's conventions. Both are read by `datasets` itself,
from a list of the repository's paths.
"""

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from .client import RemoteFile, in_cache, tree
from .partial import RemoteFileParts, Traffic
from .trouble import Repo

CARD = "README.md"
LARGEST_CARD = 1 << 20  # bytes; the largest of the hub have some hundred thousand
EXPORTED = re.compile(r"(?P<config>[^/]+)/(?P<split>[^/]+)/\d{4,}\.parquet")
"""A file of the branch refs/convert/parquet, where the hub's own bot writes copies."""
PARTIAL = "partial-"  # begins a split of that branch that holds the first gigabytes only
DEFAULT = "default"
_PROTOCOL = "cl-bench-listing"
_ROOT = f"{_PROTOCOL}://repository"
Splits = dict[str, list[str]]
"""Name -> paths, in the order that their rows are read."""


@dataclass(frozen=True)
class Configuration:
    """One of the configurations of a repository.

    Attributes:
        name: as the README has it; "default" where names of files alone say what is what.
        splits: those with files.
        preferred: whether `datasets` takes it where none is named.
    """

    name: str
    splits: Splits
    preferred: bool


def configurations(card: str, paths: Sequence[str]) -> list[Configuration]:
    """The configurations of a repository that have files: by its README, else by its paths.

    Args:
        card: text of its README; '' where it has none.
        paths: of all its files.
    """
    return configured(card, paths) or _exported(paths) or _conventional(paths)


def card_text(repo: Repo, commit: str, there: Sequence[RemoteFile] | None, traffic: Traffic) -> str:
    """The text of a repository's README, '' where it has none, or a very large one.

    Args:
        repo: the repository.
        commit: 40 hex digits.
        there: all its files, None where they are not known yet.
        traffic: is added to.

    Raises:
        BenchError: the hub does not answer.
    """
    cached = in_cache(repo, commit, RemoteFile(CARD, 0, None))
    if cached is not None:
        return cached.read_text(encoding="utf-8", errors="replace")
    files = tree(repo, commit) if there is None else there
    card = next((file for file in files if file.path == CARD), None)
    if card is None or not 0 < card.size <= LARGEST_CARD:
        return ""
    return RemoteFileParts(repo, commit, card, traffic).read().decode(errors="replace")


def configured(card: str, paths: Sequence[str]) -> list[Configuration]:
    """Those that a README's YAML head declares and that have files.

    Empty where the head declares none, or cannot be read: then it says nothing.
    """
    if not card.startswith("---") or "configs" not in card:
        return []
    from datasets.data_files import sanitize_patterns
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard

    found, first = [], None
    try:
        data = DatasetCard(card, ignore_metadata_errors=True).data
        declared = MetadataConfigs.from_dataset_card_data(data)
        with suppress(ValueError):  # two are: then none is
            first = declared.get_default_config_name()
        for name, about in declared.items():
            base, patterns = str(about.get("data_dir") or ""), about.get("data_files")
            splits = (
                _by_names(paths, base) if patterns is None
                else _some({split: matching(globs, paths, base)
                            for split, globs in sanitize_patterns(patterns).items()})
            )  # fmt: skip
            found.append(Configuration(str(name), splits, name == first))
    except Exception as error:  # YAML's own errors, and whatever a head of another shape leads to
        if isinstance(error, MemoryError):
            raise
        return []
    return [config for config in found if config.splits]


def class_names_in(card: str, column: str) -> tuple[str, ...] | None:
    """Names of the numbers in a column that a README's YAML head declares; None where it does not.

    `load_dataset` takes them where the files have none.
    """
    if not card.startswith("---") or "class_label" not in card:
        return None
    from datasets import ClassLabel
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCard

    try:
        data = DatasetCard(card, ignore_metadata_errors=True).data
        infos = DatasetInfosDict.from_dataset_card_data(data).values()
        features = [(info.features or {}).get(column) for info in infos]
    except Exception as error:  # as in `configured`
        if isinstance(error, MemoryError):
            raise
        return None
    found = {tuple(f.names) for f in features if isinstance(f, ClassLabel)}
    return found.pop() if len(found) == 1 else None


def matching(patterns: Sequence[Any], paths: Sequence[str], base: str = "") -> list[str]:
    """The paths that glob patterns match, as in `data_files` of `load_dataset`.

    `*` stands for anything within a name, `**` for folders, too; files that are hidden are matched
    where the pattern says so. The name of a folder stands for all files in it.

    Args:
        patterns: relative to `base`; one that leads out of the repository matches nothing.
        paths: of all files.
        base: a folder of the repository.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        name = str(pattern).removeprefix("./")
        if not _inside(name) or not _inside(base or "."):
            continue
        here = _resolved(name, paths, base)
        if not here and not any(sign in name for sign in "*?["):
            here = _resolved(f"{name.rstrip('/')}/**", paths, base)
        found |= dict.fromkeys(sorted(here))
    return list(found)


def _conventional(paths: Sequence[str]) -> list[Configuration]:
    splits = _by_names(paths, "")
    return [Configuration(DEFAULT, splits, True)] if splits else []


def _exported(paths: Sequence[str]) -> list[Configuration]:
    """The configurations of refs/convert/parquet, which are its folders."""
    data = [path for path in paths if not path.startswith(".") and path != CARD]
    named = [EXPORTED.fullmatch(path) for path in data]
    if not named or None in named:
        return []
    found: dict[str, Splits] = {}
    for path, match in sorted(zip(data, named, strict=True), key=lambda pair: pair[0]):
        assert match is not None, "asked above"
        found.setdefault(match["config"], {}).setdefault(match["split"], []).append(path)
    only = len(found) == 1
    return [Configuration(n, splits, only or n == DEFAULT) for n, splits in found.items()]


def _by_names(paths: Sequence[str], base: str) -> Splits:
    """Splits by the names of files and folders below a folder.

    No convention looks at which digits a name has, so that of many files with names that differ in
    nothing else one is looked at for all.
    """
    from datasets.data_files import get_data_patterns

    if not _inside(base or "."):
        return {}
    alike: dict[str, list[str]] = {}
    for path in sorted(paths):
        alike.setdefault(re.sub(r"[0-9]", "0", path), []).append(path)
    first = [same[0] for same in alike.values()]
    try:
        patterns = get_data_patterns(_url(base), download_config=_listed(first))
    except FileNotFoundError:
        return {}
    every = {same[0]: same for same in alike.values()}
    found = {str(split): matching(globs, first, base) for split, globs in patterns.items()}
    return _some({split: sorted(p for one in ones for p in every[one])
                  for split, ones in found.items()})  # fmt: skip


def _some(splits: Splits) -> Splits:
    return {split: files for split, files in splits.items() if files}


def _inside(pattern: str) -> bool:
    """Whether a pattern stays within the repository."""
    foreign = "://" in pattern or "::" in pattern or pattern.startswith("/")
    return not foreign and ".." not in PurePosixPath(pattern).parts


def _resolved(pattern: str, paths: Sequence[str], base: str) -> list[str]:
    from datasets.data_files import resolve_pattern

    try:
        found = resolve_pattern(pattern, _url(base), download_config=_listed(paths))
    except FileNotFoundError:
        return []
    return [path.removeprefix(f"{_ROOT}/") for path in found]


def _url(folder: str) -> str:
    return f"{_ROOT}/{folder.strip('/').removeprefix('./')}".rstrip("/")


def _listed(paths: Sequence[str]) -> Any:
    """What makes `datasets` see the paths as files."""
    from datasets import DownloadConfig

    _register()
    return DownloadConfig(storage_options={_PROTOCOL: {"paths": tuple(paths)}})


@cache
def _register() -> None:
    """Makes a list of paths a file system: the only thing that `datasets` globs in."""
    from fsspec import register_implementation
    from fsspec.spec import AbstractFileSystem

    class Listing(AbstractFileSystem):  # type: ignore[misc]
        """Files of which there is nothing but their paths."""

        protocol = _PROTOCOL
        cachable = False
        root_marker = ""

        def __init__(self, paths: Sequence[str] = (), **_: Any) -> None:
            super().__init__()
            root = self._strip_protocol(_ROOT)
            named = (f"{root}/{path}" for path in paths)
            self.files = {path: {"name": path, "type": "file", "size": 0} for path in named}

        def find(self, path: str, **_: Any) -> dict[str, dict[str, Any]]:
            """All files below a folder."""
            top = self._strip_protocol(path).rstrip("/") + "/"
            return {p: about for p, about in self.files.items() if p.startswith(top)}

        def exists(self, path: str, **_: Any) -> bool:
            """Whether it is a file."""
            return self._strip_protocol(path) in self.files

        def info(self, path: str, **_: Any) -> dict[str, Any]:
            """As much as a glob asks for."""
            return self.files[self._strip_protocol(path)]

    logging.getLogger("datasets").setLevel(logging.ERROR)
    register_implementation(_PROTOCOL, Listing, clobber=True)
