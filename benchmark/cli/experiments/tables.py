"""`cl-bench tables`."""

from pathlib import Path
from typing import Annotated

import typer

from ...errors import BenchError
from ...records.study.file import STUDIES

RESULTS, TABLES, LEADERBOARD = Path("results"), Path("tables"), Path("leaderboard.md")


def tables(
    results: Annotated[Path, typer.Option(help="folder of records")] = RESULTS,
    studies: Annotated[Path, typer.Option(help="folder of the points of studies")] = STUDIES,
    out: Annotated[Path, typer.Option(help="folder for the tables")] = TABLES,
    leaderboard: Annotated[Path, typer.Option(help="the leaderboard")] = LEADERBOARD,
    check: Annotated[bool, typer.Option(help="change nothing; fail if one is stale")] = False,
    lint: Annotated[
        bool, typer.Option(help="only list the papers' printed numbers that do not add up")
    ] = False,
    cache_dir: Annotated[
        Path | None,
        typer.Option(help="digests of what was read before [CL_BENCH_CACHE or ~/.cache]"),
    ] = None,
) -> None:
    """Rebuild tables, figure and leaderboard from the records and the papers' numbers."""
    from ...common.index import open_index
    from ...tables.paper.lint import lint_report
    from ...tables.render import build_tables, check_tables

    if lint:
        given = (results, studies, out, leaderboard, cache_dir)
        if check or given != (RESULTS, STUDIES, TABLES, LEADERBOARD, None):
            raise BenchError(
                "--lint alone, as it reads the papers' numbers and writes nothing",
                "other options with it",
                "give them in two calls",
            )
        typer.echo(lint_report())
        return
    index = open_index(cache_dir)
    if check:
        stale, not_compared = found = check_tables(
            results, out, leaderboard, index=index, studies=studies
        )
        if stale:
            raise BenchError(
                "tables that fit the records", ", ".join(map(str, stale)), "run `make tables`", 5
            )
        typer.echo("tables and leaderboard fit the records")
        if not_compared:
            typer.echo(found.remark())
        return
    for path in build_tables(results, out, leaderboard, index=index, studies=studies):
        typer.echo(str(path))
