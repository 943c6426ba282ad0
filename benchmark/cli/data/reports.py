"""What `cl-bench data status, verify, stats, licenses, rm` say and do."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from tabulate import tabulate

from ...common.locks import held
from ...data.catalog import declaration
from ...data.published.declare import Declaration, Shots
from ...data.published.load import lock_key, usable
from ...data.published.preparation.plan import guard_of
from ...data.published.shots import look_wide, texts
from ...data.published.store import Flaw, Store, folders_of, source_name, stores
from ...errors import BenchError, quoted
from ...hub import lock
from ...hub.lock import Entry
from ...suites.ready import cropped_shots
from ..display import DisplayMode, make_display
from .names import GB, cache_folder, wanted


def _stores(names: Sequence[str], root: Path) -> Iterator[tuple[Declaration, list[Store]]]:
    for name in _named(names):
        yield declaration(name), list(stores(root, declaration(name)))


def status(names: Sequence[str], cache_dir: Path | None) -> str:
    """`data status`: what is prepared, unfinished, locked."""
    root, entries = cache_folder(cache_dir), lock.read(lock.lock_path())
    rows: list[tuple[object, ...]] = []
    for declared, found in _stores(names, root):
        locked, shots = _locked(entries.get(declared.name)), cropped_shots(declared.name)
        for store in found:
            mine = _locked(entries.get(lock_key(declared, store)))
            splits = ", ".join(f"{k} {v['rows']}" for k, v in store.manifest["splits"].items())
            size = f"{store.nbytes() / GB:.2f}"
            state = "prepared" + _crops(store, shots)
            rows.append((declared.name, state, store.side, splits, size, store.about, mine))
        whole = {store.folder for store in found}
        others = [folder for folder in folders_of(root, declared) if folder not in whole]
        for folder in others:
            done, side = len(list(folder.glob("[0-9]*.json"))), folder.name.rpartition("-")[2]
            state = f"unfinished or old, {done} files done"
            rows.append((declared.name, state, int(side), "", "", folder.name, locked))
        if not found and not others:
            rows.append((declared.name, "-", "", "", "", source_name(declared.source), locked))
    heads = ("set", "state", "px", "splits", "GB", "source", "locked")
    return tabulate(
        rows, heads, disable_numparse=True, maxcolwidths=[None, 24, None, 40, None, 48, None]
    )


def _crops(store: Store, shots: Sequence[Shots]) -> str:
    """Whether there are whole images to take crops from, where suites train on them."""
    found = look_wide(store)
    if isinstance(found, Flaw):
        return ", crops damaged"
    there = found is not None and set(found.rules) >= set(texts(shots))
    return "" if not shots else ", with crops" if there else ", no crops"


def _locked(entry: Entry | None) -> str:
    return "no" if entry is None or entry.revision is None else entry.revision[:12]


def verify(names: Sequence[str], cache_dir: Path | None, mode: DisplayMode) -> list[str]:
    """`data verify`: what is damaged, in words. Without names, all of the cache."""
    from ...data.published.verify import damage, noted_damage

    root, display, troubles = cache_folder(cache_dir), make_display(mode), []
    checked = 0
    for declared, found in _stores(names, root):
        for store in found:
            with display.bars((declared.title, store.nbytes(), "B")) as (advance,):
                troubles += list(damage(store, declared, advance))
            checked += 1
        whole = {store.folder for store in found}
        for folder in folders_of(root, declared):
            if folder in whole:
                continue
            if (folder / "manifest.json").exists():
                troubles.append(f"{folder} is damaged or was written by another version")
            else:
                display.line(f"{folder} is unfinished and was not read")
    if not names:
        with display.bars(("features and tokens", 0, "B")) as (advance,):
            troubles += list(noted_damage(root, advance))
    display.line(f"{checked} prepared sets read, {len(troubles)} troubles")
    return troubles


def stats(names: Sequence[str], cache_dir: Path | None) -> str:
    """`data stats`: counts of every prepared set among the names."""
    from ...data.published.stats import HEADS, split_stats

    root, rows = cache_folder(cache_dir), []
    for name in _named(names):
        declared = declaration(name)
        if found := usable(root, declared):
            rows += split_stats(declared, found[0])
    if not rows:
        command = f"cl-bench data prepare {' '.join(names) or 'NAME'}"
        fix = f"run `{command}` first, or set CL_BENCH_CACHE to where they are"
        raise BenchError(f"a prepared set in {root}", "none of those named", fix, 4)
    return tabulate(rows, HEADS, disable_numparse=True)


def licenses(names: Sequence[str]) -> str:
    """`data licenses`: what may be done with each set, and whom to cite."""
    rows = [
        (d.name, source_name(d.source), d.licence, d.citation)
        for d in map(declaration, _named(names))
    ]
    return tabulate(
        rows, ("set", "source", "licence", "citation"), maxcolwidths=[None, None, 44, 48]
    )


def remove(names: Sequence[str], cache_dir: Path | None) -> str:
    """`data rm`: prepared and unfinished sets, and what was downloaded of them.

    Raises:
        BenchError: one of them is being prepared, or cannot be removed.
    """
    root, freed = cache_folder(cache_dir), 0
    for name in _named(names):

        def busy(name: str = name) -> None:
            fix = "wait for it to end, or end it"
            raise BenchError(f"nobody to prepare {name}", "a process that does", fix, 6)

        with held(guard_of(root, name), busy):
            for kind in ("data", "raw"):
                folder = root / kind / name
                size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
                try:
                    if folder.exists():
                        shutil.rmtree(folder)
                except OSError as error:
                    reason = error.strerror or type(error).__name__
                    raise BenchError(
                        f"to remove {folder}", reason, "remove it by hand", 6
                    ) from error
                freed += size
    return f"{freed / GB:.2f} GB removed"


def _named(names: Sequence[str]) -> tuple[str, ...]:
    """Datasets of the catalog; weights are in the hub's own cache, not in ours.

    Raises:
        BenchError: unknown names, or weights.
    """
    if own := [name for name in names if name.endswith(".toml")]:
        got = f"the suite file {quoted(own[0])}, of which nothing is prepared"
        fix = "its files lie where it says, or in the hub's own cache (`hf cache ls`); what its "
        fix += f"splits share, `cl-bench data stats --across {own[0]}` counts"
        raise BenchError("published datasets or suites", got, fix)
    asked = wanted(names or ["all"])
    if given := [name for name in names if "/" in name]:
        fix = "see `hf cache ls` for the hub's cache, where weights are"
        raise BenchError("datasets or suites", f"'{given[0]}'", fix)
    return asked.names
