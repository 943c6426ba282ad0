"""`validate`: whether records can be trusted, one line a finding."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..validation.findings import Finding

RESULTS = Path("results")
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
