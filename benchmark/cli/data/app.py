"""`cl-bench data`: download, prepare and check the published datasets."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ...errors import BenchError

app = typer.Typer(no_args_is_help=True, help="Prepare and check the published datasets.")

Names = Annotated[
    list[str],
    typer.Argument(
        help="suites, datasets, MODEL/TAG weights, or 'all'; or suite files (.toml)", metavar="NAME"
    ),
]
SomeNames = Annotated[
    list[str] | None,
    typer.Argument(help="suites or datasets [all]; or suite files (.toml)", metavar="NAME"),
]
Published = Annotated[list[str], typer.Argument(help="suites, datasets or 'all'", metavar="NAME")]
SomePublished = Annotated[
    list[str] | None, typer.Argument(help="suites or datasets [all]", metavar="NAME")
]
Cache = Annotated[Path | None, typer.Option(help="cache folder [CL_BENCH_CACHE or ~/.cache]")]
Show = Annotated[
    Literal["auto", "rich", "plain", "none"], typer.Option(help="live view or plain lines")
]


@app.command()
def prepare(
    names: Names,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    side: Annotated[int | None, typer.Option(help="image side in pixels [the backbone's]")] = None,
    backbone: Annotated[
        str | None, typer.Option(help="open_clip model, or blip-base [the suite's]")
    ] = None,
    pretrained: Annotated[str | None, typer.Option(help="its weights [the suite's]")] = None,
    source: Annotated[
        str | None, typer.Option(help="a fall-back repository of one dataset; never ranked beside")
    ] = None,
    given: Annotated[
        Path | None, typer.Option("--from", help="folder of files that no hub holds")
    ] = None,
    keep_raw: Annotated[bool, typer.Option(help="keep the downloaded files")] = False,
    cache_dir: Cache = None,
    display: Show = "auto",
) -> None:
    """Download, verify, decode and cache. Prints sizes and licences first, and asks.

    A killed run goes on where it was when the same command is given again.
    """
    from .jobs import Options
    from .own import are_suite_files, prepare_suites
    from .prepare import prepare_all

    of_published = {
        "side": side, "backbone": backbone, "pretrained": pretrained, "source": source,
        "from": given, "keep_raw": keep_raw, "cache_dir": cache_dir,
    }  # fmt: skip
    if are_suite_files(names, **of_published):
        raise typer.Exit(prepare_suites(names, yes, display))
    if side is not None and side < 8:
        raise BenchError("--side of at least 8 pixels", str(side), "correct it")
    options = Options(side, backbone, pretrained, source, given, yes, keep_raw, cache_dir)
    raise typer.Exit(prepare_all(names, options, display))


@app.command()
def lock(
    names: Names,
    relock: Annotated[
        bool, typer.Option("--relock", help="forget what is known and take the present state")
    ] = False,
    source: Annotated[str | None, typer.Option(help="a fall-back repository")] = None,
    given: Annotated[
        Path | None, typer.Option("--from", help="folder of files that no hub holds")
    ] = None,
) -> None:
    """Resolve revisions and files on the hub and note them in the lock file.

    With HF_HUB_OFFLINE, what is not in it yet is noted as not resolved.
    """
    from .lock import lock_all
    from .own import are_suite_files, lock_suites

    if are_suite_files(names, **{"source": source, "from": given}):
        raise typer.Exit(lock_suites(names, relock))
    raise typer.Exit(lock_all(names, relock, source, given))


@app.command()
def status(names: SomeNames = None, cache_dir: Cache = None) -> None:
    """What is prepared, unfinished and locked."""
    from .own import are_suite_files, status_suites
    from .reports import status as report

    if are_suite_files(names or [], cache_dir=cache_dir):
        typer.echo(status_suites(names or []))
    else:
        typer.echo(report(names or [], cache_dir))


@app.command()
def verify(names: SomeNames = None, cache_dir: Cache = None, display: Show = "auto") -> None:
    """Read every byte again and compare; needs no network."""
    from .own import are_suite_files, verify_suites
    from .reports import verify as check

    own = are_suite_files(names or [], cache_dir=cache_dir)
    troubles = verify_suites(names or []) if own else check(names or [], cache_dir, display)
    for trouble in troubles:
        typer.echo(trouble, err=True)
    if troubles and own:
        fix = f"run `cl-bench data prepare {' '.join(names or [])}`"
        raise BenchError("the pinned files in the hub's cache", f"{len(troubles)} troubles", fix, 5)
    if troubles:
        raise BenchError(
            "a cache as it was written",
            f"{len(troubles)} troubles",
            "prepare the sets named again, which fetches what is damaged alone; arrays in pixels, "
            "features and tokens are made again by the next run that reads them",
            code=5,
        )


@app.command()
def stats(
    names: SomePublished = None,
    across: Annotated[
        str | None,
        typer.Option(
            metavar="SUITE", help="what its splits share: pictures, nearly equal ones, captions"
        ),
    ] = None,
    side: Annotated[
        int | None, typer.Option(help="beside --across: of the pictures [the backbone's]")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="beside --across: keep it in results/ for the tables")
    ] = False,
    cache_dir: Cache = None,
    display: Annotated[
        Literal["auto", "rich", "plain", "none"],
        typer.Option(help="beside --across: live view or plain lines"),
    ] = "auto",
) -> None:
    """Counts per split: images, captions, duplicates, classes; or what the splits share."""
    if across is None:
        from .reports import stats as count

        if side is not None or write or display != "auto":
            option = "--write" if write else "--side" if side is not None else "--display"
            raise BenchError(f"--across beside {option}", "none", "name a suite with --across")
        typer.echo(count(names or [], cache_dir))
        return
    from .across import across as compare

    if names:
        raise BenchError("--across alone", f"'{names[0]}' beside it", "give one of the two")
    if side is not None and side < 8:
        raise BenchError("--side of at least 8 pixels", str(side), "correct it")
    typer.echo(compare(across, side, cache_dir, display, write))


@app.command()
def licenses(names: SomePublished = None) -> None:
    """Licence and citation of every dataset."""
    from .reports import licenses as table

    typer.echo(table(names or []))


@app.command()
def rm(names: Published, cache_dir: Cache = None) -> None:
    """Remove prepared and unfinished sets, and what was downloaded of them."""
    from .reports import remove

    typer.echo(remove(names, cache_dir))
