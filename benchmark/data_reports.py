"""What `cl-bench data status, verify, stats, licenses, rm` say and do."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from tabulate import tabulate

from .data.cache import cache_root
from .data.catalog import declaration
from .data.hub import lock
from .data.hub.declare import Declaration
from .data.hub.load import usable
from .data.hub.store import Store, source_name, stores
from .data_commands import GB, wanted
from .display import DisplayMode, make_display
from .errors import BenchError


def _stores(names: Sequence[str], root: Path) -> Iterator[tuple[Declaration, list[Store]]]:
    for name in wanted(names or ["all"]).names:
        yield declaration(name), list(stores(root, declaration(name)))


def status(names: Sequence[str], cache_dir: Path | None) -> str:
    """`data status`: what is prepared, unfinished, locked."""
    root, entries = cache_root(cache_dir), lock.read(lock.lock_path())
    rows: list[tuple[object, ...]] = []
    for declared, found in _stores(names, root):
        entry = entries.get(declared.name)
        locked = "no" if entry is None or entry.revision is None else entry.revision[:12]
        for store in found:
            splits = ", ".join(f"{k} {v['rows']}" for k, v in store.manifest["splits"].items())
            size = f"{store.nbytes() / GB:.2f}"
            rows.append((declared.name, "prepared", store.side, splits, size, store.about, locked))
        whole = {store.folder for store in found}
        others = [f for f in (root / "data" / declared.name).glob("*-*") if f not in whole]
        for folder in sorted(f for f in others if f.is_dir()):
            done, side = len(list(folder.glob("[0-9]*.json"))), folder.name.rpartition("-")[2]
            state = f"unfinished or old, {done} files done"
            rows.append((declared.name, state, int(side), "", "", folder.name, locked))
        if not found and not others:
            rows.append((declared.name, "-", "", "", "", source_name(declared.source), locked))
    heads = ("set", "state", "px", "splits", "GB", "source", "locked")
    return tabulate(
        rows, heads, disable_numparse=True, maxcolwidths=[None, 24, None, 40, None, 48, None]
    )


def verify(names: Sequence[str], cache_dir: Path | None, mode: DisplayMode) -> list[str]:
    """`data verify`: what is damaged, in words. Without names, all of the cache."""
    from .data.hub.verify import damage, noted_damage

    root, display, troubles = cache_root(cache_dir), make_display(mode), []
    checked = 0
    for declared, found in _stores(names, root):
        for store in found:
            with display.bars((declared.title, store.nbytes(), "B")) as (advance,):
                troubles += list(damage(store, declared, advance))
            checked += 1
        whole = {store.folder for store in found}
        for folder in sorted((root / "data" / declared.name).glob("*-*")):
            if folder in whole or not folder.is_dir():
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
    from .data.hub.stats import HEADS, split_stats

    root, rows = cache_root(cache_dir), []
    for name in wanted(names or ["all"]).names:
        declared = declaration(name)
        if found := usable(root, declared):
            rows += split_stats(declared, found[0])
    if not rows:
        fix = "run `cl-bench data prepare` first, or set CL_BENCH_CACHE to where they are"
        raise BenchError(f"a prepared set in {root}", "none of those named", fix, 4)
    return tabulate(rows, HEADS, disable_numparse=True)


def licenses(names: Sequence[str]) -> str:
    """`data licenses`: what may be done with each set, and whom to cite."""
    rows = [
        (d.name, source_name(d.source), d.licence, d.citation)
        for d in map(declaration, wanted(names or ["all"]).names)
    ]
    return tabulate(
        rows, ("set", "source", "licence", "citation"), maxcolwidths=[None, None, 44, 48]
    )


def remove(names: Sequence[str], cache_dir: Path | None) -> str:
    """`data rm`: prepared and unfinished sets, and what was downloaded of them."""
    root, freed = cache_root(cache_dir), 0
    for name in wanted(names).names:
        for kind in ("data", "raw"):
            folder = root / kind / name
            freed += sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
            shutil.rmtree(folder, ignore_errors=True)
    return f"{freed / GB:.2f} GB removed"
