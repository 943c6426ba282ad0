"""The lock file: what the hub had when a dataset was first prepared, and has to have ever after."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any

from ..common.files import atomic, cache_root, in_source_tree
from ..common.locks import held
from ..errors import BenchError
from .client import RemoteFile

SHIPPED = Path(__file__).with_name("hub.lock.json")
VERSION = 1
PLACE = "set CL_BENCH_LOCK to a copy of the lock file in a folder that can be written"
ABOUT = (
    "What `cl-bench data lock` and `data prepare` found on the hub; null is not resolved yet. A "
    "difference from what is here is an error. Written by the program; commit it."
)


@dataclass(frozen=True)
class KnownFile:
    """A published fact of one file, from before its repository's listing is resolved.

    Attributes:
        path: in the repository. size: in bytes. sha256: hex. None is not known.
    """

    path: str
    size: int | None
    sha256: str | None


@dataclass(frozen=True)
class Entry:
    """What is known of one source of a dataset, or of a model's weights.

    Attributes:
        repo: hub id. declared: the revision as declared. revision: its 40 hex digits.
        files: path, size and sha256 of every wanted file.
        columns: which of the alternative columns was there.
        rows: rows per part of the source. dropped: rows per part that could not be decoded.
        splits: split -> rows and sha256 of its manifest.
        known: single files, while `files` is not resolved; a listing has to agree with them.
    """

    repo: str
    declared: str
    revision: str | None = None
    files: tuple[RemoteFile, ...] | None = None
    columns: Mapping[str, str] | None = None
    rows: Mapping[str, int] | None = None
    dropped: Mapping[str, int] | None = None
    splits: Mapping[str, Mapping[str, Any]] | None = None
    known: tuple[KnownFile, ...] | None = None

    def plain(self) -> dict[str, Any]:
        """As JSON, without `known`, which stands in a place of its own, see `write`."""
        plain = asdict(self)
        del plain["known"]
        return plain


def lock_path() -> Path:
    """CL_BENCH_LOCK, else the file of the checkout; of an installed package, one in the cache.

    A file that an installer wrote is never changed: what is found is written to the file in the
    cache, which completes the one that came with the package (see `read`).
    """
    given = os.environ.get("CL_BENCH_LOCK")
    if given:
        return Path(given)
    return SHIPPED if in_source_tree() else cache_root(None) / SHIPPED.name


def read(path: Path) -> dict[str, Entry]:
    """Every entry by its key; nothing where there is no file.

    For an installed package, these are the entries of its own file and of the one in the cache.
    Where a newer package declares another revision than the cache has, the package's entry counts.

    Raises:
        BenchError: a file that is no lock file.
    """
    own = _read(path)
    if path == SHIPPED or path != lock_path() or os.environ.get("CL_BENCH_LOCK"):
        return own
    shipped = _read(SHIPPED)
    newer = {k: e for k, e in shipped.items() if k not in own or own[k].declared != e.declared}
    told = {
        k: replace(e, known=shipped[k].known)
        for k, e in own.items()
        if k in shipped and e.files is None and e.known is None
    }
    return {**own, **told, **newer}


def _read(path: Path) -> dict[str, Entry]:
    try:
        found = json.loads(path.read_text())
        if found["version"] != VERSION:
            raise ValueError(f"version {found['version']}")
        known = found.get("known", {})
        if unheard := set(known) - set(found["entries"]):
            raise ValueError(f"files of '{sorted(unheard)[0]}', which is no entry")
        return {key: _entry(value, known.get(key)) for key, value in found["entries"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(
            f"a lock file of version {VERSION}",
            f"'{path}' ({type(error).__name__}: {error})",
            "restore it with git",
            code=4,
        ) from error


def _entry(value: dict[str, Any], known: list[dict[str, Any]] | None) -> Entry:
    names = {f.name for f in fields(Entry)} - {"known"}
    if set(value) - names:
        raise ValueError(f"unknown key {sorted(set(value) - names)[0]}")
    files = value.get("files")
    listed = None if files is None else tuple(RemoteFile(**file) for file in files)
    single = None if known is None else tuple(KnownFile(**file) for file in known)
    entry = Entry(**{**value, "files": listed, "known": single})
    for name in ("repo", "declared"):
        _typed(name, getattr(entry, name), str)
    if entry.revision is not None:
        _typed("revision", entry.revision, str)
    for file in entry.files or ():
        _typed("path", file.path, str)
        _typed("size", file.size, int)
    for fact in entry.known or ():
        _typed("path", fact.path, str)
        _typed("size", fact.size, int | None)
        _typed("sha256", fact.sha256, str | None)
    for name, kind in (("columns", str), ("rows", int), ("dropped", int), ("splits", dict)):
        held = getattr(entry, name)
        if held is not None:
            _typed(name, held, dict)
            for item in held.values():
                _typed(name, item, kind)
    for split in (entry.splits or {}).values():
        _typed("rows", split["rows"], int)
        _typed("sha256", split["sha256"], str)
    return entry


def _typed(name: str, value: object, kind: type | UnionType) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {value!r}, which is no {getattr(kind, '__name__', kind)}")


def update(path: Path, key: str, change: Callable[[Entry | None], Entry]) -> Entry:
    """Change one entry; other processes may change others at the same time.

    Raises:
        BenchError: the file cannot be written.
    """
    known = read(path).get(key)
    if (entry := change(known)) == known:
        return entry  # a file that cannot be written is no trouble where nothing changes
    with held(path.with_name(f".{path.name}.lock"), lambda: None, PLACE):
        entries = read(path)
        entry = change(entries.get(key))
        if entries.get(key) != entry:
            entries[key] = entry
            write(path, entries)
    return entry


def write(path: Path, entries: Mapping[str, Entry]) -> None:
    """The whole file, sorted.

    What is known of single files stands beside the entries and not in them: a program from before
    this was written reads the rest of the file as ever.
    """
    plain = {key: entries[key].plain() for key in sorted(entries)}
    known = {key: list(map(asdict, entries[key].known or ())) for key in plain}
    lines: dict[str, str] = {}

    def short(files: list[dict[str, Any]], name: str) -> list[str]:
        """Stand-ins: a file a line, not a key a line."""
        lines.update({f"{name}#{i}": json.dumps(file) for i, file in enumerate(files)})
        return [f"{name}#{i}" for i in range(len(files))]

    for key, entry in plain.items():
        if entry["files"] is not None:
            entry["files"] = short(entry["files"], key)
    single = {key: short(files, f"known {key}") for key, files in known.items() if files}
    whole = {"about": ABOUT, "version": VERSION, "entries": plain}
    text = json.dumps({**whole, "known": single} if single else whole, indent=1)
    for name, line in lines.items():
        text = text.replace(json.dumps(name), line, 1)
    with atomic(path) as temporary:
        temporary.write_text(text + "\n")


def relock_command(key: str) -> str:
    """What takes the present state of a dataset's entry."""
    name, _, source = key.partition("@")
    return f"cl-bench data lock {name} --relock" + (f" --source {source}" if source else "")


def merged(key: str, known: Entry | None, found: Entry, relock: str = "") -> Entry:
    """What is known under a key, completed by what was found.

    Args:
        key: of the entry.
        known: what the lock file has.
        found: what the hub or a store has.
        relock: the command that takes what was found, where the key is not a dataset's.

    Raises:
        BenchError: they contradict each other; the difference is spelled out.
    """
    if known is None:
        return found
    differences = differ(known, found)
    if differences:
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise BenchError(
            f"{found.repo} as the lock file has it ({lock_path()})",
            "; ".join(differences[:3]) + more,
            "find out what changed; to take the new state for all later runs, use "
            f"`{relock or relock_command(key)}`, and do not compare with older records",
            code=5,
        )
    changes = {f.name: getattr(found, f.name) for f in fields(Entry)}
    whole = replace(known, **{k: v for k, v in changes.items() if v is not None})
    # The listing says all that was known of single files.
    return whole if whole.files is None else replace(whole, known=None)


def differ(known: Entry, found: Entry) -> list[str]:
    """The differences of two entries, in words; a field that one of them lacks is none."""
    out = []
    for name in ("repo", "declared", "revision"):
        a, b = getattr(known, name), getattr(found, name)
        if a is not None and b is not None and a != b:
            out.append(f"{name} was {a} and is {b}")
    if known.files is not None and found.files is not None:
        out += _differing_files(known.files, found.files)
    if known.known is not None and found.files is not None:
        out += _contradicted(known.known, found.files)
    for name in ("columns", "rows", "dropped", "splits"):
        a, b = getattr(known, name), getattr(found, name)
        if a is not None and b is not None:
            keys = [k for k in {**a, **b} if a.get(k) != b.get(k)]
            out += [f"{name} of '{k}' were {_short(a, k)} and are {_short(b, k)}" for k in keys]
    return out


def _short(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key, "absent")
    if isinstance(value, Mapping):
        return f"{value['rows']} rows ({value['sha256'][:12]})"
    return str(value)


def _differing_files(known: tuple[RemoteFile, ...], found: tuple[RemoteFile, ...]) -> list[str]:
    a, b = {f.path: f for f in known}, {f.path: f for f in found}
    out = [f"{path} is gone" for path in sorted(a.keys() - b.keys())]
    out += [f"{path} is new" for path in sorted(b.keys() - a.keys())]
    for path in sorted(a.keys() & b.keys()):
        if a[path].size != b[path].size:
            out.append(f"{path} had {a[path].size} bytes and has {b[path].size}")
        elif None not in (a[path].sha256, b[path].sha256) and a[path].sha256 != b[path].sha256:
            out.append(f"{path} has another sha256 ({str(b[path].sha256)[:12]})")
    return out


def _contradicted(facts: tuple[KnownFile, ...], listed: tuple[RemoteFile, ...]) -> list[str]:
    """What a listing says otherwise than is known; a file of the same content may have moved."""
    there = {file.path: file for file in listed}
    contents = {file.sha256 for file in listed}
    out = []
    for fact in facts:
        file = there.get(fact.path)
        if file is None:
            if fact.sha256 is None:
                out.append(f"{fact.path} is not there")
            elif fact.sha256 not in contents:
                out.append(f"{fact.path} is not there, nor is another file of its sha256")
        else:
            if fact.size not in (None, file.size):
                out.append(f"{fact.path} had {fact.size} bytes and has {file.size}")
            if None not in (fact.sha256, file.sha256) and fact.sha256 != file.sha256:
                out.append(f"{fact.path} had sha256 {fact.sha256} and has {file.sha256}")
    return out
