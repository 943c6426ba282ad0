"""The names that `cl-bench data` commands take, as datasets, weights and sources."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...backbones.known import blips, configs
from ...common.files import cache_root
from ...data.catalog import CATALOG
from ...data.published.declare import Declaration, Folder, Source
from ...data.published.store import source_name
from ...errors import BenchError, nearest
from ...suites.find import find_suite
from ...suites.names import PUBLISHED
from ...suites.ready import cropped

GB = 1e9
FULL_DISK = 6  # exit code; it stops a preparation, where other troubles let the next set go on


def cache_folder(cache_dir: Path | None) -> Path:
    """The cache folder, there or not.

    Raises:
        BenchError: it is a file.
    """
    root = cache_root(cache_dir)
    if root.exists() and not root.is_dir():
        fix = "correct --cache-dir or CL_BENCH_CACHE"
        raise BenchError("a folder as cache", f"the file '{root}'", fix, 6)
    return root


@dataclass(frozen=True)
class Selection:
    """What `data` commands are asked for.

    Attributes:
        names: datasets of the catalog, in order. optional: those of a suite that it can do
            without. weights: "model/tag" pairs. suites: those named. cropped: datasets whose
            whole images are wanted, where some suite trains on crops of them.
    """

    names: tuple[str, ...]
    optional: frozenset[str]
    weights: tuple[str, ...]
    suites: tuple[str, ...]
    cropped: frozenset[str] = frozenset()


def wanted(names: Sequence[str]) -> Selection:
    """Suites, datasets, "model/tag" and "all" as datasets and weights.

    Raises:
        BenchError: a name that is none of these.
    """
    datasets: dict[str, bool] = {}
    weights: list[str] = []
    whole: set[str] = set()
    suites = [name for name in names if name in PUBLISHED]
    for name in names:
        if name in PUBLISHED:
            suite = find_suite(name)
            weights.append(f"{suite.backbone}/{suite.pretrained}")
            whole |= cropped(suite)
            for d in suite.datasets:
                if d.needs is not None:
                    datasets[d.needs] = datasets.get(d.needs, False) or not d.optional
        elif name in CATALOG:
            datasets[name] = True
            whole.add(name)
        elif name == "all":
            datasets |= {n: datasets.get(n, False) for n in CATALOG}
            whole |= set(CATALOG)
        elif name.partition("/")[0] in {*configs(), *blips()} and "/" in name:
            weights.append(name)
        else:
            known = [*PUBLISHED, *CATALOG, "all"]
            expected = "a suite, a dataset, a model/tag of weights, or 'all'"
            raise BenchError(expected, f"'{name}'", nearest(name, known))
    optional = frozenset(n for n, must in datasets.items() if not must)
    return Selection(tuple(datasets), optional, tuple(weights), tuple(suites), frozenset(whole))


def check_one_source(asked: Selection, source: str | None) -> None:
    """Raises BenchError where `--source` is beside another number of datasets than one."""
    if source is not None and len(asked.names) != 1:
        raise BenchError("one dataset beside --source", f"{len(asked.names)}", "name only that one")


def source_of(declared: Declaration, name: str | None) -> Source | Folder:
    """The primary source, or the one that `--source` names."""
    every = (declared.source, *declared.fallbacks)
    for source in every:
        if name is None or source_name(source) == name:
            return source
    known = [source_name(source) for source in every]
    raise BenchError(f"a source of {declared.name}", f"'{name}'", nearest(str(name), known))
