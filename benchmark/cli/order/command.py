"""`cl-bench order`."""

from pathlib import Path
from typing import Annotated

import typer

from ..display import DisplayOption, make_display


def order(
    suite: Annotated[
        str | None, typer.Option("--suite", "-s", help="a suite's name or a .toml file")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="open_clip model, or blip-base [the suite's]")
    ] = None,
    pretrained: Annotated[str | None, typer.Option(help="its weights [the suite's]")] = None,
    evals: Annotated[str, typer.Option(help="all | id (tasks only, which is faster)")] = "all",
    limit: Annotated[int | None, typer.Option(help="N images of every split")] = None,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda[:N]")] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="fp32 | bf16, of the towers [the suite's]")
    ] = None,
    cache_dir: Annotated[Path | None, typer.Option(help="cache folder")] = None,
    display: DisplayOption = "auto",
) -> None:
    """Zero-shot scores of a backbone on every set, beside published ones, and the tasks' order."""
    shown = make_display(display, ends=True)
    shown.line(f"order: zero-shot scores on {suite or 'the default suite'}")
    from ...run.request import Request
    from ...suites.ready import default_suite
    from ...tables.spec import ZERO_SHOT
    from .report import order_plan, order_report

    named = suite if suite is not None else default_suite(cache_dir, backbone)[0]
    request = Request(
        method=ZERO_SHOT,
        suite=named,
        backbone=backbone,
        pretrained=pretrained,
        evals=evals,  # type: ignore[arg-type]
        limit=limit,
        device=device,
        precision=precision,  # type: ignore[arg-type]
        cache_dir=cache_dir,
    )
    with shown.phase("importing torch, checking what was asked"):
        plan = order_plan(request, shown)
    typer.echo(order_report(plan, shown))
