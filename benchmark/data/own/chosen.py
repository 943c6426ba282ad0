"""Which files of a repository on the hub a table of a user's suite is."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ...errors import BenchError, nearest, quoted
from ...hub.splits import CARD, PARTIAL, Configuration, configurations, matching
from ..files.stream import TAR_ENDINGS
from ..split_rules import shown
from .files import METADATA

EXPORT = "refs/convert/parquet"  # the hub's own copies
WHOLE = "train"  # the split that a rule divides, of several, where none is named
DOCUMENTS = (".md", ".py", ".txt", ".yaml", ".yml", ".ipynb", ".pdf", ".gitattributes", "")


@dataclass(frozen=True)
class Wanted:
    """What a suite file says of which files of a repository a table is.

    Attributes:
        config: the configuration whose splits are meant; None for the only one, or the default.
        splits: names of its splits, one after the other; none for the only one, or `WHOLE`.
        files: patterns in place of splits.
    """

    config: str | None = None
    splits: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As the lock file has it, and errors."""
        if self.files:
            return f"files {', '.join(map(quoted, self.files))}"
        of = f"config {quoted(self.config)}, " if self.config is not None else ""
        named = f"split {' + '.join(map(quoted, self.splits))}"
        return of + (named if self.splits else f"the only split, or {WHOLE!r}")


def chosen(
    repo: str, revision: str, wanted: Wanted, card: str, paths: Sequence[str], alone: bool = False
) -> list[str]:
    """The paths of a table, in the order that its rows are read.

    Args:
        repo: hub id, for errors.
        revision: as declared, for errors.
        wanted: what the suite file says.
        card: text of the repository's README.
        paths: of all its files.
        alone: whether the dataset has no other table, and is not divided.

    Raises:
        BenchError: no such files, configuration or split; or files of another kind.
    """
    if wanted.files:
        found = _matched(repo, wanted, paths)
        other = [path for path in found if not is_table(path)]
        where, name = f"among the files {shown(wanted.files)} of {repo}", "name those alone"
        if other:
            kinds = f"parquet files or webdataset tars {where}"
            raise BenchError(kinds, quoted(other[0]), _remedy(repo, revision, paths, name))
    else:
        config = _configuration(repo, wanted, configurations(card, paths), paths, revision)
        names = wanted.splits or (_only(repo, config),)
        every = [path for name in names for path in _split(repo, config, name, wanted, alone)]
        where, name = f"in split {' and '.join(map(quoted, names))} of {repo}", "name them"
        found = _tables(every, where, _remedy(repo, revision, paths, f"{name} with `files`"))
    if len({path.lower().endswith(".parquet") for path in found}) > 1:
        got = f"both, like {quoted(found[0])} and {quoted(found[-1])}"
        raise BenchError(f"either parquet files or tars {where}", got, "name some with `files`")
    return list(dict.fromkeys(found))


def is_table(path: str) -> bool:
    """Whether a file is of a kind that is read from the hub, and no list of loose images."""
    name = PurePosixPath(path).name.lower()
    return name.endswith((".parquet", *TAR_ENDINGS)) and name not in METADATA


def _matched(repo: str, wanted: Wanted, paths: Sequence[str]) -> list[str]:
    found: list[str] = []
    for pattern in wanted.files:
        here = matching([pattern], paths)
        if not here:
            there = [path for path in paths if is_table(path)] or paths
            got = (
                f"{len(paths)} others, like {shown(there[:3])}" if there else "an empty repository"
            )
            fix = f"correct `files` ({nearest(pattern, there)})"
            raise BenchError(f"files like {quoted(pattern)} in {repo}", got, fix, 4)
        found += here
    return found


def _configuration(
    repo: str, wanted: Wanted, configs: Sequence[Configuration], paths: Sequence[str], revision: str
) -> Configuration:
    names = [config.name for config in configs]
    if wanted.config is not None:
        for config in configs:
            if config.name == wanted.config:
                return config
        got = f"configurations {shown(names)}" if names else "none"
        fix = nearest(wanted.config, names)
        raise BenchError(f"a configuration {quoted(wanted.config)} of {repo}", got, fix)
    if not configs:
        what = _kinds(paths) or "an empty repository"
        fix = _remedy(repo, revision, paths, "name them with `files`")
        raise BenchError(f"parquet files or webdataset tars in {repo}", what, fix)
    preferred = [config for config in configs if config.preferred]
    if len(configs) > 1 and len(preferred) != 1:
        fix = f"name one, like config = {_toml(names[0])}"
        raise BenchError(f"one configuration of {repo}", shown(names), fix)
    return preferred[0] if len(configs) > 1 else configs[0]


def _only(repo: str, config: Configuration) -> str:
    """The split that a rule divides."""
    if len(config.splits) == 1 or WHOLE not in config.splits:
        names = list(config.splits)
        if len(names) > 1:
            fix = f"name the one to divide: add of = {_toml(names[0])} to `split`"
            raise BenchError(f"a split {WHOLE!r} of {repo}, or only one", shown(names), fix)
        return names[0]
    return WHOLE


def _split(repo: str, config: Configuration, name: str, wanted: Wanted, alone: bool) -> list[str]:
    if name in config.splits:
        return config.splits[name]
    names = list(config.splits)
    if PARTIAL + name in names:
        got = f"'{PARTIAL}{name}' alone, the first gigabytes of it"
        fix = f"name that split if a part will do, or download {repo} and name its files themselves"
        raise BenchError(f"the whole split '{name}' of {repo}", got, fix)
    if name not in ("train", "test"):
        fix = nearest(name, names)
    elif alone:
        fix = f"name one, like split = {_toml(names[0])}"
    elif len(names) > 1:
        train = "train" if "train" in names else names[0]
        test = next(n for n in (*names[1:], names[0]) if n != train)
        fix = f"name them, like split = {{ train = {_toml(train)}, test = {_toml(test)} }}"
    else:
        fix = f"divide {names[0]!r}, like split = {{ test = 0.2 }}"
    of = f" (configuration {quoted(config.name)})" if wanted.config is not None else ""
    got = f"splits {shown(names)}" if len(names) > 1 else f"only a split {names[0]!r}"
    raise BenchError(f"a split {quoted(name)} of {repo}{of}", got, fix)


def _tables(paths: Sequence[str], where: str, fix: str) -> list[str]:
    """The tables among the files of a split, which are most of its files beside documents."""
    found = [path for path in paths if is_table(path)]
    others = Counter(_ending(path) for path in paths if not is_table(path))
    most = max((n for kind, n in others.items() if kind not in DOCUMENTS), default=0)
    if not found or most > len(found):
        raise BenchError(f"parquet files or webdataset tars {where}", _kinds(paths), fix)
    return found


def _kinds(paths: Sequence[str]) -> str:
    """How many files there are of which kind, in words."""
    counts = Counter(_ending(path) for path in paths if path not in (CARD, ".gitattributes"))
    said = [f"{n} {kind or 'files without an ending'}" for kind, n in counts.most_common(4)]
    return ", ".join(said) + (" ..." if len(counts) > 4 else "")


def _ending(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _remedy(repo: str, revision: str, paths: Sequence[str], other: str) -> str:
    """What to do about files that are not read from the hub."""
    if any(map(is_table, paths)):
        return other
    by_hand = f"download {repo} and name its files with `train`, `test`, `data` or `table`"
    if revision == EXPORT:
        return by_hand
    script = f"{repo.rpartition('/')[2]}.py" in paths
    why = "it is loaded by a script, which is not run here; " if script else ""
    copy = f"take the hub's own copy where it has one, revision = {_toml(EXPORT)}"
    return f"{why}{copy} (of the first 5 GB only, if it is larger), or {by_hand}"


def _toml(text: str) -> str:
    return f'"{text}"'
