"""`cl-bench ls`: what there is, or one method with its settings."""

from typing import Annotated

import typer


def ls(
    method: Annotated[
        str | None, typer.Argument(help="a method or a file: its settings and variants")
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="the suite that it runs in: what it gives; alone, the suite's own lines"),
    ] = None,
) -> None:
    """Methods, suites with tasks, backbone and recipe, orders, and records."""
    from ..listing import describe, listing

    typer.echo(listing(suite) if method is None else describe(method, suite))
