"""The command line. Heavy imports stay inside the commands: `--help` and `ls` import no torch."""

import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from ..errors import BenchError
from .check import check_method, init_method
from .compare import compare
from .data.app import app as data_app
from .described.command import ls
from .display import DisplayOption, first_word, make_display
from .experiments.study import app as study_app
from .experiments.sweep import sweep
from .experiments.tables import tables
from .order.command import order
from .repro import noise, repro
from .terminal import going_on, guarded_streams, streams, told
from .validate import validate

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Benchmark of continual learning of vision-language models.",
)
app.add_typer(data_app, name="data")
app.add_typer(study_app, name="study")

Methods = Annotated[
    list[str],
    typer.Option(
        "--method",
        "-m",
        help="name, name.variant, or a path to a method's .py file; repeat it for several runs",
    ),
]


@app.command()
def run(
    method: Methods,
    order: Annotated[
        list[str],
        typer.Option(
            "--order",
            "-o",
            help="forward (a protocol's order I) | reverse | ii (its order II, where the suite has "
            "one) | measured | random:SEED | a,b,c; repeatable",
        ),
    ] = ["forward"],  # noqa: B006
    suite: Annotated[
        str | None,
        typer.Option("--suite", "-s", help="a suite's name or a .toml file [retrieval or mini]"),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="open_clip model, or blip-base [the suite's]")
    ] = None,
    pretrained: Annotated[
        str | None, typer.Option(help="weights tag, file, bundled or random:SEED [the suite's]")
    ] = None,
    seed: Annotated[list[int], typer.Option(help="repeat it for several runs")] = [42],  # noqa: B006
    hp: Annotated[
        list[str], typer.Option(metavar="KEY=VALUE", help="a method's setting; repeatable")
    ] = [],  # noqa: B006
    epochs: Annotated[int | None, typer.Option(help="per task [the suite's]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="pairs per step [the suite's]")] = None,
    caption_sampling: Annotated[
        str | None,
        typer.Option(help="captions of an image in an epoch: random (one) | all [the suite's]"),
    ] = None,
    crops: Annotated[
        str | None,
        typer.Option(help="of training images: none | random (0.9 to 1 of each) [the suite's]"),
    ] = None,
    templates: Annotated[
        str | None,
        typer.Option(
            help="prompts of few-shot suites: generic | per-dataset | first | ensemble "
            "[the suite's]; another than the suite's is never ranked"
        ),
    ] = None,
    evals: Annotated[
        str, typer.Option(help="all | id (tasks only) | ood (held-out sets only)")
    ] = "all",
    limit: Annotated[
        int | None, typer.Option(help="N images of every split, evenly spaced; never ranked")
    ] = None,
    validate: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="learn the first N tasks from a part of their training data and score the rest of "
            "it; no test set is read; never ranked",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda[:N]")] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="fp32 | bf16, of the towers [the suite's]")
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(help="records go to DIR, unfinished ones to DIR/scratch [results, scratch]"),
    ] = None,
    cache_dir: Annotated[
        Path | None, typer.Option(help="decoded images and features [CL_BENCH_CACHE or ~/.cache]")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="replace a finished record")] = False,
    fresh: Annotated[
        bool, typer.Option(help="train even what an earlier run has trained alike (DAR, TA)")
    ] = False,
    checkpointing: Annotated[
        bool, typer.Option(help="compute activations twice to save memory; the same numbers")
    ] = False,
    compile: Annotated[
        str, typer.Option(help="auto | on | off: the towers by torch.compile [on a GPU, if large]")
    ] = "auto",
    save_ranks: Annotated[
        bool, typer.Option(help="keep the rank of every query in .ranks.parquet")
    ] = False,
    display: DisplayOption = "auto",
) -> None:
    """Train a method over a sequence of tasks, evaluate it at every stage, write one parquet.

    Several methods, orders and seeds are run one after the other, each to its own record.
    """
    from ..backbones.known import check_backbone
    from ..run.registry import check_method

    streams().result = False
    for name in method:
        check_method(name)
    if backbone is not None:
        check_backbone(backbone)
    named, why = suite, ""
    if named is None:
        from ..suites.ready import default_suite

        named, why = default_suite(cache_dir, backbone)
    make_display(display).line(first_word(named, method, order, seed))
    from ..run.asked.validation import Validation
    from ..run.request import Request
    from .run import run_all

    requests = [
        Request(
            method=m,
            order=o,
            suite=named,
            backbone=backbone,
            pretrained=pretrained,
            seed=s,
            hp=tuple(hp),
            epochs=epochs,
            batch_size=batch_size,
            caption_sampling=caption_sampling,  # type: ignore[arg-type]
            crops=crops,  # type: ignore[arg-type]
            templates=templates,  # type: ignore[arg-type]
            evals=evals,  # type: ignore[arg-type]
            limit=limit,
            validation=None if validate is None else Validation(validate),
            device=device,
            precision=precision,  # type: ignore[arg-type]
            output_dir=output_dir,
            cache_dir=cache_dir,
            overwrite=overwrite,
            fresh=fresh,
            save_ranks=save_ranks,
            checkpointing=checkpointing,
            compile=compile,  # type: ignore[arg-type]
        )
        for m in dict.fromkeys(method)
        for s in dict.fromkeys(seed)
        for o in dict.fromkeys(order)
    ]
    with going_on():
        raise typer.Exit(run_all(requests, why, display))


app.command()(order)


app.command()(ls)


@app.command()
def show(
    record: Annotated[Path, typer.Argument(help="a record, results/<suite>/<run>.parquet")],
    k: Annotated[int, typer.Option(help="K of Recall@K: 1, 5 or 10")] = 1,
) -> None:
    """One record: what ran, its scores, and the stage x dataset matrices."""
    from .listing import show_record

    typer.echo(show_record(record, k))


for command in (tables, sweep, compare, validate, repro, noise, init_method, check_method):
    app.command()(command)


@app.command()
def doctor() -> None:
    """What is installed, device, cache, git state, hub reachable or not."""
    from .doctor import report

    typer.echo(report())


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print it and exit")
    ] = False,
) -> None:
    """Options before the command."""


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point: a user's mistake is one sentence and an exit code, never a traceback."""
    signal.signal(signal.SIGTERM, _interrupt)
    with guarded_streams() as guarded:
        code = told(guarded, _ended())
    sys.exit(code)


def _ended() -> int:
    """Runs the command; its exit code."""
    try:
        app()
    except BenchError as e:
        typer.echo(f"error: {e}", err=True)
        return e.code
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else 0
    return 0
