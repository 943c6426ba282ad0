"""What `cl-bench data prepare` does; `jobs` says what there is to do, and `consent` asks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from ...common.files import cache_root
from ...data.catalog import declaration
from ...data.published.intact import damaged_files
from ...data.published.preparation.plan import Job
from ...data.published.preparation.prepare import note_in_lock, prepare
from ...data.published.shots import damaged_wide, lacks_wide
from ...data.published.store import Store
from ...data.split_rules import shown
from ...errors import BenchError
from ...hub.trouble import HubTrouble, NoHub
from ...suites.find import find_suite
from ...suites.names import SplitName
from ...suites.suite import Dataset
from ..display import Display, DisplayMode, make_display
from .consent import agreed, cost_of, free_bytes
from .jobs import (
    Options,
    jobs_of,
    looked_at,
    plans_of,
    said,
    store_of,
    weight_sizes,
    weight_tags,
)
from .names import FULL_DISK, Selection, wanted


def prepare_all(names: Sequence[str], options: Options, mode: DisplayMode) -> int:
    """`data prepare`; returns the exit code, of the first trouble where there is one.

    Raises:
        BenchError: whatever stops it before it begins, or a full disk.
    """
    asked, display = wanted(names), make_display(mode)
    weights, jobs = weight_tags(asked, options), jobs_of(asked, options)
    for name in sorted(set(asked.names) - {job.declared.name for job in jobs}):
        display.line(f"{name}: optional, left out (prepare it with --from FOLDER)")
    found = [(job, _intact(job, display)) for job in jobs]
    planned, misfits = plans_of([job for job, store in found if store is None])
    there = [(job, store) for job, store in found if store is not None]
    steps = ((job.declared.name, partial(_keep, job, store, display)) for job, store in there)
    troubles = _troubles(steps)
    sizes, more = weight_sizes(weights)
    cost, root = cost_of(planned, sizes), cache_root(options.cache_dir)
    if cost.keep + cost.peak > free_bytes(root):
        agreed(cost, root, options.yes, display)  # says what there is too little of
    seen, unfit = looked_at(planned, display)
    misfits += [*more, *unfit]
    if any(not isinstance(error, HubTrouble) for _, error in misfits):
        return _refused([*troubles, *misfits], jobs, display)
    troubles += misfits
    planned = [each.planned for each in seen if not each.troubles]
    cost = cost_of(planned, sizes)
    if (planned or any(sizes.values())) and not agreed(cost, root, options.yes, display):
        return 1
    makes = ((each.job.declared.name, partial(prepare, each, display)) for each in planned)
    troubles += _troubles(makes, fatal=FULL_DISK)
    troubles += _troubles((tag, partial(_fetch_weights, tag, display)) for tag in sizes)
    if not troubles:
        _encode_captions(asked, options, display)
    return _end(jobs, troubles, display)


def _troubles(
    steps: Iterable[tuple[str, Callable[[], object]]], fatal: int | None = None
) -> list[tuple[str, BenchError]]:
    """Do all the named steps; gives their errors, and raises one with the exit code `fatal`."""
    troubles = []
    for name, step in steps:
        try:
            step()
        except BenchError as error:
            if error.code == fatal or isinstance(error, NoHub):
                raise
            troubles.append((name, error))
    return troubles


def _refused(
    troubles: Sequence[tuple[str, BenchError]], jobs: Sequence[Job], display: Display
) -> int:
    """Say all that does not fit, before anything is fetched; the exit code."""
    code, bad = said(troubles), {name for name, _ in troubles}
    fine = [job.declared.name for job in jobs if job.declared.name not in bad]
    rest = f"; without them: `cl-bench data prepare {' '.join(fine)}`" if fine else ""
    display.line(f"nothing was fetched: {shown(sorted(bad))} will not fit{rest}")
    return code


def _intact(job: Job, display: Display) -> Store | None:
    """The store of a job, every byte compared; what is damaged is said, and counts as not there.

    So does a store without the whole images that crops are taken from, where they are wanted.
    """
    store, title = store_of(job), job.declared.title
    if store is None:
        return None
    with display.bars((f"{title} check", store.nbytes(), "B")) as (advance,):
        wrong = list(damaged_files(store.folder, store.notes, advance))
        wrong += damaged_wide(store) if job.crops else ()
    for path in wrong:
        display.line(f"{title}: {path} has other bytes than when it was written; it is made again")
    return None if wrong or lacks_wide(store, job.crops) else store


def _keep(job: Job, store: Store, display: Display) -> None:
    """A store that is there already completes the lock file."""
    late = "; its files were not kept, and --keep-raw comes too late" * job.keep_raw
    display.line(f"{job.declared.title}: prepared ({store.about}, {store.side} px){late}")
    note_in_lock(job.key, store)


def _fetch_weights(tag: str, display: Display) -> None:
    from ...backbones.load import files_of

    name, _, pretrained = tag.partition("/")
    display.line(f"weights {tag}")
    display.line(f"weights {tag}: {files_of(name, pretrained).origin or 'there'}")


def _end(jobs: Sequence[Job], troubles: Sequence[tuple[str, BenchError]], display: Display) -> int:
    """Say what went wrong; the exit code, of the first trouble where there is one."""
    if not troubles:
        return 0
    said(troubles)
    stores = [(job, store) for job in jobs if (store := store_of(job)) is not None]
    done = sum(
        not any(damaged_files(store.folder, store.notes)) and not lacks_wide(store, job.crops)
        for job, store in stores
    )
    display.line(f"{done} of {len(jobs)} sets are prepared; the same command goes on from here")
    return troubles[0][1].code


def _encode_captions(asked: Selection, options: Options, display: Display) -> None:
    """Encode the captions of the suites once, for the tokenizer of their backbone."""
    from ...backbones.load import tokenizer_of
    from ...data.cache.tokens import FEW, tokens_of

    tokenize, name = None, ""
    for backbone, dataset, part in _captioned(asked, options):
        texts = _captions(dataset, part)
        if len(texts) < FEW:
            continue
        if tokenize is None:
            tokenize, name = tokenizer_of(options.backbone or backbone, options.pretrained or "")
        display.line(f"{dataset.title}: tokens of {len(texts)} captions ({part})")
        tokens_of(texts, tokenize, name, cache_root(options.cache_dir))


def _captioned(asked: Selection, options: Options) -> Iterator[tuple[str, Dataset, SplitName]]:
    """Backbone, dataset and split of all captions that a run over the suites may read."""
    both: tuple[SplitName, ...] = ("train", "test")
    for suite in [find_suite(name, options.cache_dir) for name in asked.suites]:
        for dataset in suite.datasets:
            if dataset.needs is None or declaration(dataset.needs).kind != "pairs":
                continue
            learned = dataset in suite.tasks
            for part in both if learned else both[:1] if dataset == suite.reference else both[1:]:
                yield suite.backbone, dataset, part


def _captions(dataset: Dataset, part: SplitName) -> list[str]:
    from ...data.split import Pairs

    split = dataset.load(part)
    assert isinstance(split, Pairs)
    return [text for own in split.captions for text in own]
