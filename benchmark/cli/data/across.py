"""`cl-bench data stats --across SUITE`: what the splits of a suite share."""

from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from ...backbones.known import image_side
from ...common.report import Report
from ...data.overlap.count import ComparedSplit, count_shared, distinct_codes
from ...data.overlap.hashes import FLAT, NAME, hash_pictures, library
from ...data.overlap.near import RADIUS, candidates
from ...data.overlap.texts import same_text
from ...data.split import Pairs, Split, StoredImages
from ...errors import BenchError
from ...records.overlap import SharedCounts, SplitSize, SuiteOverlap, overlap_line, write_overlap
from ...suites.find import find_suite
from ...suites.names import PUBLISHED, SplitName
from ...suites.ready import ready
from ...suites.suite import Suite
from ..display import DisplayMode, make_display
from .names import cache_folder

RESULTS = Path("results")
HEADS = ("of the one", "of the other", "same bytes", "same pixels", "near", "same caption")


@dataclass(frozen=True)
class _Loaded:
    """One split of a suite, and what it is called."""

    name: str
    part: str
    split: Split


def across(
    name: str, side: int | None, cache_dir: Path | None, mode: DisplayMode, write: bool
) -> str:
    """Compare every split of a suite with every other.

    Args:
        name: of the suite, or a TOML file.
        side: of the compared pictures in pixels; None for the side of the suite's backbone.
        cache_dir: the cache folder.
        mode: how progress is shown.
        write: whether the counts go to results/<suite>/overlap.json.

    Raises:
        BenchError: no such suite, its data are not prepared, or a library is missing.
    """
    root, display = cache_folder(cache_dir), make_display(mode)
    suite = find_suite(name, root)
    side = image_side(suite.backbone) if side is None else side
    if name in PUBLISHED:
        suite = find_suite(name, root, side)
    made_by = library()  # before minutes of reading
    left_out = _left_out(suite, root, side)
    loaded = _splits(suite, left_out)
    splits = _compared(loaded, root, side, display)
    codes = distinct_codes(splits)[0]
    with display.bars(("comparing", candidates(codes), "pairs")) as (advance,):
        counted = count_shared(splits, advance)
    found = SuiteOverlap(
        suite.name,
        suite.version,
        side,
        f"{NAME}, at most {RADIUS} bits apart ({made_by})",
        tuple(
            SplitSize(
                one.name,
                one.part,
                len(split.pictures),
                int(split.pictures.flat_N.sum()),
                None if split.captions is None else len(split.captions),
                met.pixels,
                met.near,
                met.captions,
            )
            for one, split, met in zip(loaded, splits, counted.met, strict=True)
        ),
        left_out,
        tuple(SharedCounts(**vars(pair)) for pair in counted.pairs),
    )
    shown = render_overlap(found)
    return f"{shown}\nwritten to {write_overlap(RESULTS, found)}" if write else shown


def _left_out(suite: Suite, root: Path, side: int) -> tuple[str, ...]:
    """Optional sets that are not prepared; BenchError where another one is not."""
    if not any(d.needs for d in suite.datasets):
        return ()
    return ready(suite, list(suite.datasets), root, side).left_out


def _splits(suite: Suite, left_out: tuple[str, ...]) -> list[_Loaded]:
    """Training and test part of every task, what is held out, and the reference data."""
    parts: tuple[SplitName, ...] = ("train", "test")
    found = [_Loaded(d.name, part, d.load(part)) for d in suite.tasks for part in parts]
    held_out = [d for d in suite.held_out if d.name not in left_out]
    found += [_Loaded(d.name, "test", d.load("test")) for d in held_out]
    if suite.reference is not None:
        found.append(_Loaded(suite.reference.name, "reference", suite.reference.load("train")))
    return found


def _compared(loaded: list[_Loaded], root: Path, side: int, display: Report) -> list[ComparedSplit]:
    from ...data.cache.decoded import decoded

    found = []
    total = sum(one.split.images.size for one in loaded)
    with display.bars(("reading", total, "pictures")) as (advance,):
        for one in loaded:
            images = one.split.images
            if images.size == 0:
                raise BenchError(f"images in '{one.name}'", "an empty split", "check its split")
            pictures = hash_pictures(decoded(images, side, root).pixels, advance)
            encoded = None
            if isinstance(images, StoredImages) and images.encoded is not None:
                encoded = tuple(images.encoded())
            captions = None
            if isinstance(one.split, Pairs):
                texts = (same_text(text) for own in one.split.captions for text in own)
                captions = tuple(texts)
            learned = one.part != "test"
            found.append(ComparedSplit(pictures, encoded, captions, learned))
    return found


# -- printing


def render_overlap(found: SuiteOverlap) -> str:
    """Counts as text: first training data in test data, then all else."""
    flat = sum(split.flat for split in found.splits)
    total = sum(split.pictures for split in found.splits)
    lines = [
        f"suite {found.suite} {found.version}: {len(found.splits)} splits, {total} pictures at "
        f"{found.side} px; near: {found.method}, and not the same",
        *([f"not prepared and left out: {', '.join(found.left_out)}"] if found.left_out else []),
        *_flat(found, flat),
        *_table(found, "training data in test data", found.leaks()),
        *_table(found, "other splits", found.others()),
        f"{found.silent} pairs of splits share nothing",
        overlap_line(found),
    ]
    return "\n".join(lines)


def _flat(found: SuiteOverlap, flat: int) -> list[str]:
    if not flat:
        return []
    where = ", ".join(f"{split} {split.flat}" for split in found.splits if split.flat)
    return [
        f"{flat} pictures are too flat for the hash (contrast below {FLAT:g} grey levels) and are "
        f"compared by their pixels alone: {where}"
    ]


def _table(found: SuiteOverlap, title: str, pairs: list[SharedCounts]) -> list[str]:
    if not pairs:
        return [f"{title}: none"]
    rows = [
        (
            str(found.splits[p.left]),
            str(found.splits[p.right]),
            *("-" if c is None else f"{c[0]} / {c[1]}" for c in (p.encoded, p.pixels, p.near)),
            "-" if p.captions is None else f"{p.captions[0]} / {p.captions[1]}",
        )
        for p in pairs
    ]
    return [f"{title} (pictures or captions of the one / of the other):",
            tabulate(rows, HEADS, disable_numparse=True)]  # fmt: skip
