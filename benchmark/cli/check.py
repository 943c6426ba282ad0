"""`cl-bench check-method` and `cl-bench init-method`. No torch: what runs is another process."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .display import make_display

Suites = Literal["mini", "mini-xtail", "both"]
Start = Literal["finetune", "adapter", "inference"]
BROKEN = 5  # exit code


def check_method(
    method: Annotated[
        str, typer.Argument(help="a name, name.variant, or a path to a method's .py file")
    ],
    suite: Annotated[
        Suites | None,
        typer.Option(help="embedded suites that it is run on [both]"),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full/--quick", help="minutes, or less than one minute")
    ] = False,
    hp: Annotated[
        list[str], typer.Option(metavar="KEY=VALUE", help="a method's setting; repeatable")
    ] = [],  # noqa: B006
    report: Annotated[Path | None, typer.Option(help="a markdown file to write")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON and nothing else")] = False,
) -> None:
    """Whether a method keeps what every method promises: each promise, and how to mend it."""
    from ..check import report as shown
    from ..check.outcome import Outcome
    from ..check.session import Session
    from ..common.files import atomic
    from ..run.registry import check_method as known

    known(method)
    display = make_display("none" if as_json else "auto")

    def tell(outcome: Outcome) -> None:
        advance(1)
        if outcome.status in ("fail", "warning"):
            display.line(f"{outcome.head}: {outcome.status}")

    suites = {None: ("mini", "mini-xtail"), "both": ("mini", "mini-xtail")}.get(suite, (suite,))
    with display.phase(f"checking {method}", 0, "checks") as advance:
        checked = Session(method, hp, [s for s in suites if s], full, tell).run()
    if report is not None:
        with atomic(report) as temporary:
            temporary.write_text(shown.markdown(checked), encoding="utf-8")
    typer.echo(shown.as_json(checked) if as_json else shown.text(checked))
    raise typer.Exit(0 if checked.passed else BROKEN)


def init_method(
    name: Annotated[str, typer.Argument(help="lower-case letters, digits and '-'")],
    kind: Annotated[Start, typer.Option(help="what it begins from")] = "finetune",
    into: Annotated[
        Path | None, typer.Option(help="folder for both files [methods/ and tests/methods/]")
    ] = None,
    paper: Annotated[str, typer.Option(help="authors, title, place, year")] = "",
) -> None:
    """Write the file of a new method and its test, which pass `check-method` as they stand."""
    from ..check.scaffold import write_scaffold

    typer.echo(write_scaffold(name, kind, into, paper).next_steps())
