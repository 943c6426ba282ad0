"""What `cl-bench data` commands do with suite files (.toml) that name data on the hub."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer
from tabulate import tabulate

from ...data.own.hub import AT_ONCE, HubPins, Left, Pinned
from ...data.own.pinning import sized
from ...errors import BenchError
from ...hub.trouble import offline
from ...suites.custom import suite_pins
from ..display import DisplayMode, make_display
from .consent import free_bytes
from .names import FULL_DISK


def are_suite_files(names: Sequence[str], **options: object) -> bool:
    """Whether a command is asked for suite files, and not for published data.

    Args:
        names: as the user gave them.
        options: those that mean nothing for suite files; None or False where not given.

    Raises:
        BenchError: both at once, or such an option beside a suite file.
    """
    files = [name for name in names if name.endswith(".toml")]
    if not files:
        return False
    if others := [name for name in names if name not in files]:
        fix = "give two commands"
        raise BenchError("either suite files or published data", f"'{others[0]}' beside", fix)
    for option, value in options.items():
        if value not in (None, False):
            given = "--" + option.replace("_", "-")
            where = "; their files go to the hub's cache, which HF_HOME moves"
            fix = "remove it" + where * (option == "cache_dir")
            raise BenchError(f"no {given} beside a suite file", "one", fix)
    return True


def lock_suites(names: Sequence[str], relock: bool) -> int:
    """`data lock` of suite files: pins what is not pinned, and says what has moved; the exit code.

    Raises:
        BenchError: one of them cannot be read, or contradicts its lock file.
    """
    for pins in _each(names):
        if relock and offline():
            fix = "unset HF_HUB_OFFLINE"
            raise BenchError("the hub, to take its present state", "HF_HUB_OFFLINE", fix, 4)
        pinned = pins.plan(relock, lambda _: None)
        for each in pinned:
            files = f"{len(each.files)} files, {sized(each.size)}"
            typer.echo(f"{each.table.key}: {each.origin}, {each.table.wanted}: {files}")
        if not offline():
            pins.look(pinned)
            for line in pins.moved():
                typer.echo(line)
        typer.echo(str(pins.lock))
    return 0


def prepare_suites(names: Sequence[str], yes: bool, mode: DisplayMode) -> int:
    """`data prepare` of suite files: fetches what is not in the hub's cache; the exit code.

    Raises:
        BenchError: whatever is wrong with them or the hub, a small disk, or nobody to ask.
    """
    display = make_display(mode)
    for pins in _each(names):
        pinned = pins.plan()
        left = pins.left(pinned)
        if left and not offline():
            pins.look(pinned)
            if not _agreed(pins, pinned, left, yes):
                return 1
            size = sum(file.size for _, _, file in left)
            with display.bars((f"{pins.file.name} download", size, "B")) as (arrived,):
                pins.fetch(pinned, left, arrived)
        else:
            pins.fetch(pinned, left)
        display.line(f"{pins.file.name}: {len(pinned)} tables are in {_cache()}")
    return 0


def status_suites(names: Sequence[str]) -> str:
    """`data status` of suite files; nothing is asked of the hub."""
    rows: list[tuple[object, ...]] = []
    for pins in _each(names):
        known = {each.table.key: each for each in pins.pinned()}
        for table in pins.tables:
            each = known.get(table.key)
            state, size, at = "not pinned", "", table.repo
            if each is not None:
                there = sum(each.cached(file) is not None for file in each.files)
                state = f"{there} of {len(each.files)} files"
                size, at = sized(each.size), each.origin
            rows.append((table.key, state, size, at, str(table.wanted)))
    heads = ("table", "in the hub's cache", "size", "source", "what of it")
    return tabulate(rows, heads, disable_numparse=True, maxcolwidths=[None] * 4 + [40])


def verify_suites(names: Sequence[str]) -> list[str]:
    """`data verify` of suite files: what is missing or damaged, in words."""
    troubles = []
    for pins in _each(names):
        known = list(pins.pinned())
        missing = {table.key for table in pins.tables} - {each.table.key for each in known}
        troubles += [f"{key} is not pinned in {pins.lock}" for key in sorted(missing)]
        for (repo, commit, file), path in pins.left(known).items():
            where = f"{file.path} of {repo}@{commit[:12]}"
            troubles.append(f"{where} is {'missing' if path is None else f'damaged: {path}'}")
    return troubles


def _each(names: Sequence[str]) -> Iterator[HubPins]:
    for name in names:
        pins = suite_pins(name)
        if not pins.tables:
            fix = "leave it out; files of your own need no preparation"
            raise BenchError(f"data on the hub in '{name}'", "no dataset with `hub`", fix)
        yield pins


def _agreed(pins: HubPins, pinned: Sequence[Pinned], left: Left, yes: bool) -> bool:
    """Say what is fetched, and ask, but for `yes`."""
    rows = []
    for each in pinned:
        mine = [file for r, c, file in left if (r, c) == (each.table.repo, each.commit)]
        size = sum(file.size for file in each.files if file in mine)
        rows.append((each.table.key, sized(size), each.origin, str(each.table.wanted)))
    heads, size = ("table", "download", "source", "what of it"), sum(f.size for *_, f in left)
    typer.echo(tabulate(rows, heads, disable_numparse=True, maxcolwidths=[None] * 3 + [40]))
    folder = _cache()
    free = free_bytes(folder)
    typer.echo(f"in all {sized(size)} to download and keep in {folder}; {sized(free)} are free")
    if size > free:
        fix = "free some space, or set HF_HOME to another disk"
        raise BenchError(f"{sized(size)} free in {folder}", sized(free), fix, FULL_DISK)
    if yes or size <= AT_ONCE:  # so much a run takes, too
        return True
    if not sys.stdin.isatty():
        fix = f"repeat `{pins.command('prepare', ' --yes')}`"
        raise BenchError("--yes, or somebody to ask", "neither", fix)
    return typer.confirm("Download them? Their licences are on their pages")


def _cache() -> Path:
    """The hub's own cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)
