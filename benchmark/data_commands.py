"""What `cl-bench data ...` does."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from tabulate import tabulate

from .data.cache import cache_root
from .data.catalog import CATALOG, declaration
from .data.hub.declare import Declaration, Folder, Source
from .data.hub.load import usable
from .data.hub.plan import Job, Planned, plan
from .data.hub.prepare import prepare
from .data.hub.store import Store, identity, source_name
from .display import Display, DisplayMode, make_display
from .errors import BenchError, nearest
from .models import configs, image_side
from .suites import find_suite
from .suites.suite import PUBLISHED, SplitName

GB = 1e9


@dataclass(frozen=True)
class Wanted:
    """What `data` commands are asked for.

    Attributes:
        names: datasets of the catalog, in order. optional: those of a suite that it can do
            without. weights: "model/tag" pairs. suite: the first suite named, if any.
    """

    names: tuple[str, ...]
    optional: frozenset[str]
    weights: tuple[str, ...]
    suite: str | None


def wanted(names: Sequence[str]) -> Wanted:
    """Suites, datasets, "model/tag" and "all" as datasets and weights.

    Raises:
        BenchError: a name that is none of these.
    """
    datasets: dict[str, bool] = {}
    weights: list[str] = []
    suites = [name for name in names if name in PUBLISHED]
    for name in names:
        if name in PUBLISHED:
            suite = find_suite(name)
            weights.append(f"{suite.backbone}/{suite.pretrained}")
            for d in (*suite.tasks, *suite.held_out):
                if d.needs is not None:
                    datasets[d.needs] = datasets.get(d.needs, False) or not d.optional
        elif name in CATALOG:
            datasets[name] = True
        elif name == "all":
            datasets |= {n: datasets.get(n, False) for n in CATALOG}
        elif name.partition("/")[0] in configs() and "/" in name:
            weights.append(name)
        else:
            known = [*PUBLISHED, *CATALOG, "all"]
            expected = "a suite, a dataset, a model/tag of open_clip, or 'all'"
            raise BenchError(expected, f"'{name}'", nearest(name, known, 40))
    optional = frozenset(n for n, must in datasets.items() if not must)
    return Wanted(
        tuple(datasets), optional, tuple(dict.fromkeys(weights)), suites[0] if suites else None
    )


@dataclass(frozen=True)
class Options:
    """How to prepare; see `cl-bench data prepare --help`."""

    side: int | None = None
    backbone: str | None = None
    pretrained: str | None = None
    source: str | None = None
    given: Path | None = None
    yes: bool = False
    keep_raw: bool = False
    cache_dir: Path | None = None


def _command(names: Sequence[str]) -> str:
    return f"cl-bench data prepare {' '.join(names)}"


def source_of(declared: Declaration, name: str | None) -> Source | Folder:
    """The primary source, or the one that `--source` names."""
    every = (declared.source, *declared.fallbacks)
    for source in every:
        if name is None or source_name(source) == name:
            return source
    known = [source_name(source) for source in every]
    raise BenchError(f"a source of {declared.name}", f"'{name}'", nearest(str(name), known))


def _jobs(asked: Wanted, options: Options, names: Sequence[str]) -> list[Job]:
    root = cache_root(options.cache_dir)
    side = options.side or image_side(options.backbone or find_suite("retrieval").backbone)
    if options.source is not None and len(asked.names) != 1:
        raise BenchError("one dataset beside --source", f"{len(asked.names)}", "name only that one")
    jobs = []
    for name in asked.names:
        declared = declaration(name)
        source = source_of(declared, options.source)
        if isinstance(source, Folder) and options.given is None and name in asked.optional:
            continue
        command = f"cl-bench data prepare {name}"
        jobs.append(Job(declared, source, side, root, options.given, options.keep_raw, command))
    if options.given is not None and not any(isinstance(j.source, Folder) for j in jobs):
        known = ", ".join(n for n, d in CATALOG.items() if isinstance(d.source, Folder))
        got = "--from beside data that come from the hub"
        raise BenchError(f"a dataset of given files ({known})", got, "remove --from")
    return jobs


def prepare_all(names: Sequence[str], options: Options, mode: DisplayMode) -> int:
    """`data prepare`; returns the exit code, of the first trouble where there is one.

    Raises:
        BenchError: whatever stops it before it begins, or a full disk.
    """
    asked, display = wanted(names), make_display(mode)
    weights = _weights(asked, options)
    jobs = _jobs(asked, options, names)
    left = set(asked.names) - {job.declared.name for job in jobs}
    for name in sorted(left):
        display.line(f"{name}: optional, left out (prepare it with --from FOLDER)")
    todo = [job for job in jobs if _there(job) is None]
    for job in jobs:
        if job not in todo and (store := _there(job)) is not None:
            display.line(f"{job.declared.title}: prepared ({store.about}, {store.side} px)")
    planned, troubles = _plans(todo)
    if planned and not _agreed(planned, options, display):
        return 1
    for each in planned:
        try:
            prepare(each, display)
        except BenchError as error:
            if error.code == 6:
                raise
            troubles.append(error)
    for tag in weights:
        try:
            _fetch_weights(tag, display)
        except BenchError as error:
            troubles.append(error)
    if not troubles:
        _tokens(asked, options, display)
    for trouble in troubles:
        typer.echo(f"error: {trouble}", err=True)
    if troubles:
        done = len(jobs) - len([e for e in jobs if _there(e) is None])
        display.line(f"{done} of {len(jobs)} sets are prepared; the same command goes on from here")
    return troubles[0].code if troubles else 0


def _there(job: Job) -> Store | None:
    """The store of exactly this source and side."""
    mine = identity(job.declared, job.source)
    found = usable(job.root, job.declared)
    return next((s for s in found if s.side == job.side and s.manifest["identity"] == mine), None)


def _plans(jobs: Sequence[Job]) -> tuple[list[Planned], list[BenchError]]:
    """Revision and files of every job; where one fails, the others go on."""
    found, troubles = [], []
    for job in jobs:
        try:
            found.append(plan(job))
        except BenchError as error:
            if error.code == 6:
                raise
            troubles.append(error)
    return found, troubles


def _agreed(planned: Sequence[Planned], options: Options, display: Display) -> bool:
    """Print sizes, licences and free disk, and ask.

    Raises:
        BenchError: too small a disk, or nobody to ask.
    """
    rows, get, keep, peak = [], 0, 0, 0
    for each in planned:
        notes = each.notes()
        mine = sum(f.size for f, note in zip(each.files, notes, strict=True) if note is None)
        if isinstance(each.job.source, Folder):
            mine = 0
        expected = sum((each.entry.rows or each.job.source.rows).values())
        done = sum(note.kept for note in notes if note is not None)
        pixels = max(0, expected - done) * each.job.side**2 * 3
        get, keep = get + mine, keep + pixels
        peak = max(peak, 2 * max((f.size for f in each.files), default=0))
        if each.job.keep_raw:
            keep += mine
        about = each.job.declared
        rows.append((about.name, f"{mine / GB:.2f}", f"{pixels / GB:.2f}", expected, about.licence))
    heads = ("set", "download GB", "cache GB", "images", "licence")
    display.line(tabulate(rows, heads, disable_numparse=True, maxcolwidths=[None] * 4 + [44]))
    root = planned[0].job.root
    free = shutil.disk_usage(_existing(root)).free
    display.line(
        f"in all {get / GB:.2f} GB to download, {keep / GB:.2f} GB to keep in {root}; "
        f"{free / GB:.1f} GB are free"
    )
    for each in planned:
        for note in each.job.declared.notes:
            display.line(f"  {each.job.declared.name}: {note}")
    if keep + peak > free:
        raise BenchError(
            f"{(keep + peak) / GB:.1f} GB free in {root}",
            f"{free / GB:.1f} GB",
            "free some space, or give --cache-dir (or CL_BENCH_CACHE) another disk",
            code=6,
        )
    if options.yes:
        return True
    if not sys.stdin.isatty():
        raise BenchError("--yes, or somebody to ask", "neither", "repeat the command with --yes")
    return typer.confirm("Download and prepare them under these licences?")


def _existing(path: Path) -> Path:
    return next(p for p in (path, *path.absolute().parents) if p.exists())


def _weights(asked: Wanted, options: Options) -> list[str]:
    """The "model/tag" pairs that are on the hub."""
    from .files import weights_file

    found = list(asked.weights)
    if asked.suite is not None and (options.backbone or options.pretrained):
        suite = find_suite(asked.suite)
        model = options.backbone or suite.backbone
        tag = options.pretrained or suite.pretrained
        found = [model if model.startswith("tiny-") else f"{model}/{tag}"]
    plain = [f for f in found if "/" in f and weights_file(f) is None]
    return [f for f in plain if not f.partition("/")[2].startswith(("random:", "bundled"))]


def _fetch_weights(tag: str, display: Display) -> None:
    from .backbones import weights_of

    name, _, pretrained = tag.partition("/")
    display.line(f"weights {tag}")
    _, origin = weights_of(name, pretrained)
    display.line(f"weights {tag}: {origin or 'there'}")


def _tokens(asked: Wanted, options: Options, display: Display) -> None:
    """Encode the captions of the suite once, for the tokenizer of its backbone."""
    if asked.suite is None:
        return
    from .backbones import tokenizer_of
    from .data.split import Pairs
    from .data.tokens import FEW, tokens_of

    root, suite = cache_root(options.cache_dir), find_suite(asked.suite, options.cache_dir)
    parts: tuple[SplitName, ...] = ("train", "test")
    tokenize, name = None, ""
    for dataset in (*suite.tasks, *suite.held_out):
        if dataset.needs is None or declaration(dataset.needs).kind != "pairs":
            continue
        for part in parts if dataset in suite.tasks else parts[1:]:
            split = dataset.load(part)
            assert isinstance(split, Pairs)
            texts = [text for own in split.captions for text in own]
            if len(texts) < FEW:
                continue
            if tokenize is None:
                tokenize, name = tokenizer_of(options.backbone or suite.backbone)
            display.line(f"{dataset.title}: tokens of {len(texts)} captions ({part})")
            tokens_of(texts, tokenize, name, root)
