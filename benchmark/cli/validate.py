"""What all records are read for: `validate`, whether they can be trusted, and `tables`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BenchError
from ..records.study.file import STUDIES

if TYPE_CHECKING:
    from ..validation.findings import Finding

RESULTS, TABLES, LEADERBOARD = Path("results"), Path("tables"), Path("leaderboard.md")
MOST_ALIKE = 3  # warnings of one kind, before they are counted


def validate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="results folders, suites in them, or records [results]"),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="REF", help="only what changed since a branch, tag or commit"),
    ] = None,
    strict: Annotated[bool, typer.Option(help="exit code 7 for warnings alone")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="findings as JSON")] = False,
    explain: Annotated[
        str | None, typer.Option(metavar="CODE", help="what a check is, and how to mend it")
    ] = None,
    cache_dir: Annotated[
        Path | None, typer.Option(help="what git said before [CL_BENCH_CACHE or ~/.cache]")
    ] = None,
) -> None:
    """Check records: form, code, suite, evidence, zero-shot rows, copies. Reads data alone."""
    if explain is not None:
        from ..validation.findings import explain as explained

        typer.echo(explained(explain.upper()))
        return
    from ..common.index import open_index
    from ..validation.inspect import counted, inspect, results_of

    findings: list[Finding] = []
    checked = 0
    for results, only in results_of(paths or [RESULTS]).items():
        found, number = inspect(results, only, against, index=open_index(cache_dir))
        findings += found
        checked += number
    counts = counted(findings)
    if as_json:
        typer.echo(
            json.dumps({"checked": checked, **counts, "findings": _plain(findings)}, indent=1)
        )
    else:
        for line in _lines(findings):
            typer.echo(line)
        typer.echo(_summary(checked, counts["errors"], counts["warnings"]))
    raise typer.Exit(5 if counts["errors"] else 7 if strict and counts["warnings"] else 0)


def _plain(findings: "Sequence[Finding]") -> list[dict[str, str]]:
    return [{name: str(value) for name, value in asdict(one).items()} for one in findings]


def _lines(findings: "Sequence[Finding]") -> list[str]:
    """A line a finding; of many warnings that say the same of several files, the first few."""
    lines, alike = [], dict[tuple[str, ...], int]()
    for one in findings:
        kind = one.code, one.expected, one.got
        alike[kind] = alike.get(kind, 0) + 1
        if one.severity == "error" or alike[kind] <= MOST_ALIKE:
            lines.append(one.line())
    for (code, _, got), count in alike.items():
        if (more := count - sum(line.startswith(f"{code} ") and got in line for line in lines)) > 0:
            lines.append(f"{code} (warning) and {more} more files with the same, {got}")
    return lines


def _summary(checked: int, errors: int, warnings: int) -> str:
    def many(count: int, what: str) -> str:
        return f"{count} {what}{'' if count == 1 else 's'}"

    found = f"{many(errors, 'error')}, {many(warnings, 'warning')}"
    return f"{many(checked, 'record')} checked: {found}"


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
    from ..common.index import open_index
    from ..tables.paper.lint import lint_report
    from ..tables.render import build_tables, check_tables

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
