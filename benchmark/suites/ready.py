"""Whether the published data that a suite needs are prepared. No torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BenchError
from .names import PUBLISHED
from .suite import Dataset, Suite

if TYPE_CHECKING:
    from ..data.published.declare import Shots


@dataclass(frozen=True)
class PreparedData:
    """What a run over a suite of published data reads.

    Attributes:
        left_out: optional held-out sets that are not prepared.
        copies: dataset -> source, where it is not the declared one.
        content: dataset -> source, revision and splits, for comparison with other runs.
    """

    left_out: tuple[str, ...]
    copies: dict[str, str]
    content: dict[str, Any]


def missing(datasets: Iterable[Dataset], root: Path, side: int) -> list[Dataset]:
    """Those that must be prepared at an image side and are not."""
    from ..data.catalog import declaration
    from ..data.published.load import prepared

    found: dict[str, bool] = {}
    for name in {d.needs for d in datasets if d.needs is not None}:
        found[name] = prepared(root, declaration(name), side) is not None
    return [d for d in datasets if d.needs is not None and not found[d.needs]]


def ready(suite: Suite, datasets: list[Dataset], root: Path, side: int) -> PreparedData:
    """What of a suite's datasets is read.

    Args:
        suite: for its name.
        datasets: those that a run needs.
        root: cache folder.
        side: of the backbone's images.

    Raises:
        BenchError: one is not prepared, or differs from the lock file.
    """
    from ..data.catalog import declaration
    from ..data.published.load import check_lock, prepared
    from ..data.published.store import source_name

    gone = missing(datasets, root, side)
    if must := [d for d in gone if not d.optional]:
        every = {d.needs for d in datasets if not d.optional}
        names = list(dict.fromkeys(str(d.needs) for d in must))
        shown = ", ".join(names[:4]) + (" ..." if len(names) > 4 else "")
        raise BenchError(
            f"the prepared data of suite {suite.name} at {side} px in {root}",
            f"{len(every) - len(names)} of {len(every)} sets (not {shown})",
            f"run `cl-bench data prepare {suite.name}{_option(suite, side)}`, or set "
            "CL_BENCH_CACHE (or --cache-dir) to the folder where they are",
            code=4,
        )
    copies, content = {}, {}
    for dataset in datasets:
        if dataset in gone or dataset.needs is None:
            continue
        declared = declaration(dataset.needs)
        store = prepared(root, declared, side)
        assert store is not None, "it is not missing"
        check_lock(declared, store)
        content[dataset.needs] = [store.about, store.manifest["splits"]]
        if store.manifest["source"] != source_name(declared.source):
            copies[dataset.needs] = str(store.manifest["source"])
    return PreparedData(tuple(d.name for d in gone), copies, content)


def _option(suite: Suite, side: int) -> str:
    from ..backbones.known import image_side

    return "" if side == image_side(suite.backbone) else f" --side {side}"


def default_suite(cache: Path | None, backbone: str | None) -> tuple[str, str]:
    """The suite of a run that names none, and why."""
    from ..backbones.known import image_side
    from ..common.files import cache_root
    from .find import find_suite

    root, how = cache_root(cache), "`cl-bench data prepare retrieval` prepares it"
    if not any((root / "data").glob("*/*/manifest.json")):
        return "mini", f"the data of retrieval is not prepared; {how}"
    suite = find_suite("retrieval", cache)
    datasets = [*suite.tasks, *suite.held_out]
    gone = {d.needs for d in missing(datasets, root, image_side(backbone or suite.backbone))}
    if gone:
        every = len({d.needs for d in datasets})
        return "mini", f"{len(gone)} of {every} sets of retrieval are not prepared; {how}"
    return "retrieval", "its data is prepared; --suite mini is embedded and needs none"


# -- training crops


def cropped(suite: Suite) -> frozenset[str]:
    """The prepared sets of which a suite trains on crops of few shots."""
    if suite.recipe.crops == "none":
        return frozenset()
    return frozenset(str(d.needs) for d in suite.tasks if d.shots is not None)


def cropped_shots(name: str) -> "tuple[Shots, ...]":
    """The draws of shots of a prepared set that some suite trains on by crops.

    What crops are taken from is prepared for all of them at once, so that what lies in the cache
    does not depend on the suite that it was prepared for.
    """
    from .find import find_suite

    found = (
        d.shots
        for suite in map(find_suite, PUBLISHED)
        for d in suite.tasks
        if d.needs == name and name in cropped(suite) and d.shots is not None
    )
    return tuple(dict.fromkeys(found))


def check_crops(suite: Suite, tasks: Iterable[Dataset], root: Path, side: int) -> None:
    """Whether the whole images are prepared that crops of a suite's tasks are taken from.

    Args:
        suite: for its name.
        tasks: those that are trained on.
        root: cache folder.
        side: of the backbone's images.

    Raises:
        BenchError: they are not, or are damaged.
    """
    from ..data.catalog import declaration
    from ..data.published.declare import Folder
    from ..data.published.load import prepared, rows_of, source_option
    from ..data.published.shots import again, lacks_shots, refetched, shot_rows, without_wide

    shown, size, option = [], 0, ""
    error: BenchError | None = None
    mine = [(d, d.needs, d.shots) for d in tasks if d.needs is not None]
    for dataset, needs, shots in mine:
        if shots is None:
            raise BenchError(
                f"whole images of {dataset.title} to be cropped",
                "the view alone that is tested, as `data prepare` keeps those of few shots alone",
                "leave --crops at none",
            )
        declared = declaration(needs)
        store = prepared(root, declared, side)
        if store is None or not lacks_shots(store, shots):
            continue
        source = source_option(declared, store.manifest["source"])
        rows = rows_of(store, source)
        picked = shot_rows(rows, [shots], declared)
        error = without_wide(declared, store, rows, picked, source)
        shown.append(declared.name)
        size += refetched(declared, store, rows, picked)
        option = " --from FOLDER" if isinstance(declared.source, Folder) else option
    if error is None or len(shown) == 1:
        if error is not None:
            raise error
        return
    names = ", ".join(shown[:4]) + (" ..." if len(shown) > 4 else "")
    raise BenchError(
        f"the whole images that suite {suite.name} takes training crops from, at {side} px in "
        f"{root}",
        f"{len(mine) - len(shown)} of {len(mine)} sets with them (not {names})",
        f"run `cl-bench data prepare {suite.name}{_option(suite, side)}{option}`, which adds them"
        f"{again(size)}, or train without crops by --crops none",
        code=4,
    )
