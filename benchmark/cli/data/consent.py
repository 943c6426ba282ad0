"""What a preparation costs: sizes, licences and free disk, said before anything is fetched."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from tabulate import tabulate

from ...data.crops.room import room
from ...data.published.declare import Declaration, Folder
from ...data.published.preparation.plan import Planned
from ...data.published.preparation.wide import to_fetch_again, wide_left
from ...errors import BenchError
from ..display import Display
from .names import FULL_DISK, GB

HEADS = ("set", "download GB", "cache GB", "images", "licence")


@dataclass(frozen=True)
class SetCost:
    """What one dataset still needs.

    Attributes:
        declared: the dataset.
        download: bytes to download. pixels: bytes of decoded images to come.
        images: all that are expected.
        raw: bytes of downloads that are kept. largest: bytes of its largest source file.
        wide: bytes of whole images of shots to come, `pixels` has them too. again: bytes of
            files that are downloaded once more for these. held: bytes of files that stay until
            these are taken from them.
    """

    declared: Declaration
    download: int
    pixels: int
    images: int
    raw: int
    largest: int
    wide: int = 0
    again: int = 0
    held: int = 0


@dataclass(frozen=True)
class Cost:
    """What a call needs; weights are "model/tag" -> bytes to download."""

    sets: tuple[SetCost, ...]
    weights: Mapping[str, int]

    @property
    def download(self) -> int:
        """Bytes to download."""
        return sum(self.weights.values()) + sum(each.download for each in self.sets)

    @property
    def keep(self) -> int:
        """Bytes that stay in the cache folder; weights go to the hub's own."""
        return sum(each.pixels + each.raw for each in self.sets)

    @property
    def peak(self) -> int:
        """Bytes beside these while it runs: two source files at a time, and those with shots."""
        return max((2 * each.largest + each.held for each in self.sets), default=0)


def cost_of(planned: Sequence[Planned], weights: Mapping[str, int]) -> Cost:
    """What of the planned sets is not done yet, and the weights."""
    return Cost(tuple(_set_cost(each) for each in planned), weights)


def _set_cost(planned: Planned) -> SetCost:
    job, notes = planned.job, planned.notes()
    count, shot_files = wide_left(planned)
    again = to_fetch_again(planned, shot_files)
    left = sum(f.size for f, note in zip(planned.files, notes, strict=True) if note is None)
    download = 0 if isinstance(job.source, Folder) else left + again
    expected = sum((planned.entry.rows or job.source.rows).values())
    done = sum(note.kept for note in notes if note is not None)
    wide = count * room(job.side) ** 2 * 3
    pixels = max(0, expected - done) * job.side**2 * 3 + wide
    largest = max((f.size for f in planned.files), default=0)
    raw = download if job.keep_raw else 0
    kept = job.keep_raw or isinstance(job.source, Folder)
    held = 0 if kept else sum(planned.files[i].size for i in shot_files)
    return SetCost(job.declared, download, pixels, expected, raw, largest, wide, again, held)


def _of_wide(cost: SetCost) -> str:
    """What whole images of shots cost."""
    name, size = cost.declared.name, _gb(cost.wide)
    said = f"  {name}: {size} of it at most are whole images of few shots, to take crops from"
    again = f"; {_gb(cost.again)} of files that are prepared are fetched again for them"
    return said + again * bool(cost.again)


def described(cost: Cost, root: Path, free: int) -> list[str]:
    """The lines that a user reads before agreeing.

    Args:
        cost: what the call needs.
        root: the cache folder.
        free: bytes that are free there.
    """
    rows: list[tuple[object, ...]] = [
        (s.declared.name, f"{s.download / GB:.3g}", f"{s.pixels / GB:.3g}", s.images,
         s.declared.licence)
        for s in cost.sets
    ]  # fmt: skip
    rows += [
        (tag, f"{size / GB:.3g}", "", "", "weights, in the hub's own cache")
        for tag, size in cost.weights.items()
    ]
    table = tabulate(rows, HEADS, disable_numparse=True, maxcolwidths=[None] * 4 + [44])
    total = (
        f"in all {cost.download / GB:.3g} GB to download, {cost.keep / GB:.3g} GB to keep in "
        f"{root}; {free / GB:.1f} GB are free"
    )
    notes = [f"  {s.declared.name}: {note}" for s in cost.sets for note in s.declared.notes]
    notes += [_of_wide(s) for s in cost.sets if s.wide]
    return [table, total, *notes]


def check_room(cost: Cost, root: Path, free: int) -> None:
    """Raises BenchError where the disk of the cache folder has too few free bytes."""
    needed = cost.keep + cost.peak
    if needed > free:
        raise BenchError(
            f"{_gb(needed)} free in {root}",
            _gb(free),
            "free some space, or give --cache-dir (or CL_BENCH_CACHE) another disk",
            code=FULL_DISK,
        )


def _gb(nbytes: int) -> str:
    size = nbytes / GB
    return f"{size:.1f} GB" if size >= 1 else f"{size:.2g} GB"


def free_bytes(root: Path) -> int:
    """Free bytes on the disk of a folder that need not exist yet."""
    there = next(p for p in (root, *root.absolute().parents) if p.exists())
    return shutil.disk_usage(there).free


def agreed(cost: Cost, root: Path, yes: bool, display: Display) -> bool:
    """Say what a call needs, and ask, but for `yes`.

    Raises:
        BenchError: too small a disk, or nobody to ask.
    """
    free = free_bytes(root)
    for line in described(cost, root, free):
        display.line(line)
    check_room(cost, root, free)
    if yes:
        return True
    if not sys.stdin.isatty():
        raise BenchError("--yes, or somebody to ask", "neither", "repeat the command with --yes")
    return typer.confirm("Download and prepare them under these licences?")
