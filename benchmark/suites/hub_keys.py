"""What a user's suite file says of a dataset on the hub: `hub` and the keys beside it."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..data.own.chosen import WHOLE, Wanted
from ..data.own.pinning import OnHub
from .toml_keys import Keys

KEYS = ("hub", "revision", "config", "files")
PARTS = ("train", "test")
_ID = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*", re.ASCII)
_ONE = 'like split = { test = 0.2 }, or split = { column = "split" }'


@dataclass(frozen=True)
class _Place:
    dataset: str
    repo: str
    revision: str

    def table(self, part: str, wanted: Wanted) -> OnHub:
        return OnHub(self.dataset, part, self.repo, self.revision, wanted)


def hub_tables(keys: Keys, local: tuple[str, ...], held_out: bool) -> dict[str, OnHub]:
    """The tables of a dataset with `hub`, by part: "train" and "test", or "data" to be divided.

    Args:
        keys: of the dataset.
        local: keys of files of one's own, which may not stand beside it.
        held_out: whether the dataset is only tested.

    Raises:
        BenchError: a value that is none, or keys that do not go together.
    """
    if beside := [key for key in local if key in keys]:
        fix = "remove one of them; files on the hub are named with `split` or `files`"
        keys.bad("either `hub` or files of your own", f"`hub` and `{beside[0]}`", fix)
    repo = keys.text("hub")
    if not _ID.fullmatch(repo) or len(repo) > 200:
        fix = f'write hub = "{_id_in(repo)}"'
        keys.bad("an id of the hub, like owner/name, for `hub`", f"'{repo}'", fix)
    place = _Place(keys.text("name"), repo, keys.text("revision", "main").strip())
    if "files" in keys:
        return _by_files(keys, place, held_out)
    config = keys.text("config") if "config" in keys else None
    if divides(keys):
        split = keys.table("split")
        of = split.texts("of", ()) if "of" in split else ()
        return {"data": place.table("data", Wanted(config, of))}
    names = _splits(keys, held_out)
    return {part: place.table(part, Wanted(config, splits)) for part, splits in names.items()}


def refuse_alone(keys: Keys) -> None:
    """Raises BenchError for a key that means nothing without `hub`."""
    for key in KEYS[1:]:
        if key in keys:
            keys.bad(f"`{key}` only beside `hub`", "files of your own", "remove it, or add `hub`")


def divides(keys: Keys) -> bool:
    """Whether `split` says how one table is divided, and does not name splits."""
    split = keys.raw.get("split")
    if not isinstance(split, dict):
        return False
    names = [key for key in PARTS if isinstance(split.get(key), str | list)]
    return "column" in split or not names


def _id_in(given: str) -> str:
    """The id in the address of a page, as far as there is one."""
    found = re.search(r"(?:datasets/)?([\w.-]+/[\w.-]+)/?$", given.split("/tree/")[0])
    return found[1] if found else "owner/name"


def _by_files(keys: Keys, place: _Place, held_out: bool) -> dict[str, OnHub]:
    if "config" in keys:
        keys.bad("`config` only with splits", "`files` beside it", "remove one of them")
    if not isinstance(keys.raw["files"], dict):
        patterns = _patterns(keys, "files")
        if divides(keys):
            if "of" in keys.table("split"):
                keys.table("split").bad("no `of` beside `files`", "both", "remove one of them")
            return {"data": place.table("data", Wanted(files=patterns))}
        if held_out and "split" not in keys:
            return {"test": place.table("test", Wanted(files=patterns))}
        got = "names of splits" if "split" in keys else "none"
        fix = f"divide them, {_ONE}, or write files = {{ train = ..., test = ... }}"
        keys.bad("a `split` that divides `files`", got, fix)
    if "split" in keys:
        keys.bad("`split` only for one table", "`files` of two", "remove it")
    parts = keys.table("files").only(PARTS)
    wanted = {part: Wanted(files=_patterns(parts, part)) for part in _present(parts, held_out)}
    return {part: place.table(part, files) for part, files in wanted.items()}


def _patterns(keys: Keys, key: str) -> tuple[str, ...]:
    patterns = keys.texts(key, ())
    for pattern in patterns:
        if (
            "://" in pattern
            or "::" in pattern
            or pattern.startswith("/")
            or ".." in PurePosixPath(pattern).parts
        ):
            fix = "write paths as the repository has them"
            keys.bad(f"files within the repository for `{key}`", f"'{pattern}'", fix)
    return patterns


def _splits(keys: Keys, held_out: bool) -> dict[str, tuple[str, ...]]:
    """The splits of the repository that each part is."""
    if "split" not in keys:
        return {part: (part,) for part in PARTS[held_out:]}
    if not isinstance(keys.raw["split"], dict):
        names = keys.texts("split", ())
        if not held_out:
            fix = (
                f'write split = {{ train = "{WHOLE}", test = "{names[0]}" }}, or divide one, {_ONE}'
            )
            keys.bad("a split for training and one for tests", f"'{names[0]}'", fix)
        return {"test": names}
    split = keys.table("split").only(PARTS)
    found = {part: split.texts(part, ()) for part in _present(split, held_out)}
    if both := sorted(set(found.get("train", ())) & set(found["test"])):
        split.bad("separate splits for training and test", f"'{both[0]}' for both", "name two")
    return found


def _present(parts: Keys, held_out: bool) -> tuple[str, ...]:
    """The parts that are named; all that are needed must be."""
    for part in PARTS[held_out:]:
        if part not in parts:
            parts.bad("`train` and `test`", f"no `{part}`", "name both")
    return tuple(part for part in PARTS if part in parts)
