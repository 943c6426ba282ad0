"""What `cl-bench data ...` does."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from tabulate import tabulate

from ...backbones.known import image_side
from ...common.files import cache_root
from ...data.catalog import CATALOG, declaration
from ...data.published.declare import Folder
from ...data.published.load import usable
from ...data.published.preparation.plan import Job, Planned, plan
from ...data.published.preparation.prepare import note_in_lock, prepare
from ...data.published.store import Store, identity
from ...errors import BenchError
from ...suites.find import find_suite
from ...suites.names import SplitName
from ..display import Display, DisplayMode, make_display
from .names import GB, Selection, cache_folder, source_of, wanted


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


def _jobs(asked: Selection, options: Options) -> list[Job]:
    root = cache_folder(options.cache_dir)
    own = image_side(options.backbone or find_suite("retrieval").backbone)
    side = options.side or own
    if options.source is not None and len(asked.names) != 1:
        raise BenchError("one dataset beside --source", f"{len(asked.names)}", "name only that one")
    if options.pretrained is not None and not asked.suites:
        fix = "name a suite, or the weights themselves as MODEL/TAG"
        raise BenchError("a suite beside --pretrained", "none", fix)
    jobs = []
    for name in asked.names:
        declared = declaration(name)
        source = source_of(declared, options.source)
        if isinstance(source, Folder) and name in asked.optional and not _holds(options, source):
            continue
        command = _command(name, options)
        jobs.append(Job(declared, source, side, root, options.given, options.keep_raw, command))
    if options.given is not None and not any(isinstance(j.source, Folder) for j in jobs):
        known = ", ".join(n for n, d in CATALOG.items() if isinstance(d.source, Folder))
        got = "--from beside data that come from the hub"
        raise BenchError(f"a dataset of given files ({known})", got, "remove --from")
    return jobs


def _holds(options: Options, source: Folder) -> bool:
    """Whether the given folder has a dataset's files; an optional one is left out otherwise."""
    folder = options.given
    return folder is not None and (folder / source.listing).exists()


def _command(name: str, options: Options) -> str:
    """The command of one dataset as the user gave it, to be repeated after trouble."""
    given = {
        "--side": options.side, "--backbone": options.backbone, "--source": options.source,
        "--from": options.given, "--cache-dir": options.cache_dir,
    }  # fmt: skip
    words = [f"{option} {value}" for option, value in given.items() if value is not None]
    words += ["--keep-raw"] * options.keep_raw + ["--yes"] * options.yes
    return " ".join(["cl-bench data prepare", name, *words])


def prepare_all(names: Sequence[str], options: Options, mode: DisplayMode) -> int:
    """`data prepare`; returns the exit code, of the first trouble where there is one.

    Raises:
        BenchError: whatever stops it before it begins, or a full disk.
    """
    asked, display = wanted(names), make_display(mode)
    weights = _weights(asked, options)
    jobs = _jobs(asked, options)
    left = set(asked.names) - {job.declared.name for job in jobs}
    for name in sorted(left):
        display.line(f"{name}: optional, left out (prepare it with --from FOLDER)")
    todo = [job for job in jobs if _there(job) is None]
    planned, troubles = _plans(todo)
    for job in jobs:
        if job not in todo and (store := _there(job)) is not None:
            late = "; its files were not kept, and --keep-raw comes too late" * job.keep_raw
            display.line(f"{job.declared.title}: prepared ({store.about}, {store.side} px){late}")
            try:
                note_in_lock(job.key, store)
            except BenchError as error:
                troubles.append(error)
    sizes = _weight_sizes(weights, troubles)
    if (planned or any(sizes.values())) and not _agreed(planned, sizes, options, display):
        return 1
    for each in planned:
        try:
            prepare(each, display)
        except BenchError as error:
            if error.code == 6:
                raise
            troubles.append(error)
    for tag in sizes:
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


def _agreed(
    planned: Sequence[Planned], weights: Mapping[str, int], options: Options, display: Display
) -> bool:
    """Print sizes, licences and free disk, and ask.

    Raises:
        BenchError: too small a disk, or nobody to ask.
    """
    rows: list[tuple[object, ...]] = []
    get, keep, peak = sum(weights.values()), 0, 0
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
        rows.append((about.name, f"{mine / GB:.3g}", f"{pixels / GB:.3g}", expected, about.licence))
    for tag, size in weights.items():
        rows.append((tag, f"{size / GB:.3g}", "", "", "weights, in the hub's own cache"))
    heads = ("set", "download GB", "cache GB", "images", "licence")
    display.line(tabulate(rows, heads, disable_numparse=True, maxcolwidths=[None] * 4 + [44]))
    root = cache_root(options.cache_dir)
    free = shutil.disk_usage(_existing(root)).free
    display.line(
        f"in all {get / GB:.3g} GB to download, {keep / GB:.3g} GB to keep in {root}; "
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


def _weights(asked: Selection, options: Options) -> list[str]:
    """The "model/tag" pairs that are on the hub."""
    from ...common.files import weights_file

    found = list(asked.weights)
    if options.backbone or options.pretrained:
        for suite in map(find_suite, asked.suites):
            found.remove(f"{suite.backbone}/{suite.pretrained}")
            model = options.backbone or suite.backbone
            own = "bundled" if model.startswith("tiny-") else suite.pretrained
            tag = options.pretrained or own
            found.append(f"{model}/{tag}")
    found = list(dict.fromkeys(found))
    plain = [f for f in found if "/" in f and weights_file(f) is None]
    return [f for f in plain if not f.partition("/")[2].startswith(("random:", "bundled"))]


def _weight_sizes(tags: Sequence[str], troubles: list[BenchError]) -> dict[str, int]:
    """Bytes to download of each; 0 for those that are there, or that have no size to ask for."""
    if not tags:
        return {}
    from ...backbones.load import hub_places
    from ...hub.weights import left_to_fetch

    found = {}
    for tag in tags:
        name, _, pretrained = tag.partition("/")
        try:
            command = f"cl-bench data prepare {tag}"
            places = hub_places(name, pretrained)
            found[tag] = sum(left_to_fetch(*place, command) for place in places)
        except BenchError as error:
            troubles.append(error)
    return found


def _fetch_weights(tag: str, display: Display) -> None:
    from ...backbones.load import files_of

    name, _, pretrained = tag.partition("/")
    display.line(f"weights {tag}")
    display.line(f"weights {tag}: {files_of(name, pretrained).origin or 'there'}")


def _tokens(asked: Selection, options: Options, display: Display) -> None:
    """Encode the captions of the suite once, for the tokenizer of its backbone."""
    from ...backbones.load import tokenizer_of
    from ...data.cache.tokens import FEW, tokens_of
    from ...data.split import Pairs

    root = cache_root(options.cache_dir)
    suites = [find_suite(name, options.cache_dir) for name in asked.suites]
    parts: tuple[SplitName, ...] = ("train", "test")
    tokenize, name = None, ""
    for suite, dataset in [(s, d) for s in suites for d in s.datasets]:
        if dataset.needs is None or declaration(dataset.needs).kind != "pairs":
            continue
        learned = dataset in suite.tasks
        for part in parts if learned else parts[:1] if dataset == suite.reference else parts[1:]:
            split = dataset.load(part)
            assert isinstance(split, Pairs)
            texts = [text for own in split.captions for text in own]
            if len(texts) < FEW:
                continue
            if tokenize is None:
                tokenize, name = tokenizer_of(
                    options.backbone or suite.backbone, options.pretrained or ""
                )
            display.line(f"{dataset.title}: tokens of {len(texts)} captions ({part})")
            tokens_of(texts, tokenize, name, root)
