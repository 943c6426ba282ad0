"""`cl-bench study ...`: analyses of the CoDyRA paper, one command each."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...tables.spec import LOW_RANK, PRUNED
from ..display import DisplayOption, make_display

if TYPE_CHECKING:
    from ...study.points import Study

app = typer.Typer(
    no_args_is_help=True,
    help="Where low-rank updates act and what they change. All of it is measured on test data: it "
    "explains, and nothing may be chosen by it. `cl-bench tables` draws what is there.",
)
Suite = Annotated[str, typer.Option("--suite", "-s", help="a suite of labelled tasks")]
Seeds = Annotated[list[int], typer.Option("--seed", help="repeatable")]
Limit = Annotated[int | None, typer.Option(help="N images of every split; never official")]
Epochs = Annotated[int | None, typer.Option(help="instead of the suite's steps")]
Backbone = Annotated[str | None, typer.Option(help="[the suite's]")]
Weights = Annotated[str | None, typer.Option(help="[the suite's]")]
Device = Annotated[str, typer.Option(help="auto | cpu | cuda[:N]")]
Cache = Annotated[Path | None, typer.Option(help="[CL_BENCH_CACHE or ~/.cache]")]
Points = Annotated[Path | None, typer.Option(help="of points: DIR/<suite>/<study>.json [studies]")]
Records = Annotated[Path | None, typer.Option(help="of records [results]")]
Overwrite = Annotated[bool, typer.Option(help="begin anew where other code made the points")]
Task = Annotated[str | None, typer.Option("--task", "-t", help="the new task [the first]")]
Reference = Annotated[str | None, typer.Option(help="a held-out labelled set [the suite's first]")]
SUITE = "mini-xtail"


def _study(
    method: str, suite: str, seed: Sequence[int], backbone: str | None, pretrained: str | None,
    device: str, cache_dir: Path | None, display: DisplayOption, *, limit: int | None = None,
    epochs: int | None = None, points: Path | None = None, records: Path | None = None,
    overwrite: bool = False,
) -> "Study":  # fmt: skip
    from ...run.request import Request
    from ...study.desk import Keeping
    from ...study.points import Study

    request = Request(
        method, suite=suite, backbone=backbone, pretrained=pretrained, limit=limit, epochs=epochs,
        device=device, cache_dir=cache_dir, output_dir=records,
    )  # fmt: skip
    seeds = list(dict.fromkeys(seed))
    return Study(request, seeds, Keeping(points, overwrite), make_display(display))


@app.command()
def placement(
    suite: Suite = SUITE, task: Task = None, reference: Reference = None,
    rank: Annotated[list[int], typer.Option(help="repeatable")] = [1, 4, 8, 16],  # noqa: B006
    method: Annotated[str, typer.Option("--method", "-m", help="with low-rank updates")] = LOW_RANK,
    seed: Seeds = [42], limit: Limit = None, epochs: Epochs = None,  # noqa: B006
    backbone: Backbone = None, pretrained: Weights = None, device: Device = "auto",
    output_dir: Points = None, cache_dir: Cache = None, overwrite: Overwrite = False,
    display: DisplayOption = "auto",
) -> None:  # fmt: skip
    """Figure 4a: towers x attention, MLP, all x ranks: a new task against a reference set."""
    from ...study import points

    study = _study(
        method, suite, seed, backbone, pretrained, device, cache_dir, display, limit=limit,
        epochs=epochs, points=output_dir, overwrite=overwrite,
    )  # fmt: skip
    typer.echo(str(points.placement(study, task, reference, list(dict.fromkeys(rank)))))


@app.command()
def removal(
    suite: Suite = SUITE, task: Task = None, reference: Reference = None,
    method: Annotated[str, typer.Option("--method", "-m", help="with low-rank updates")] = LOW_RANK,
    seed: Seeds = [42], limit: Limit = None, epochs: Epochs = None,  # noqa: B006
    backbone: Backbone = None, pretrained: Weights = None, device: Device = "auto",
    output_dir: Points = None, cache_dir: Cache = None, overwrite: Overwrite = False,
    display: DisplayOption = "auto",
) -> None:  # fmt: skip
    """Figure 4b: updates of all maps are learned, then those of one tower's map taken out."""
    from ...study import points

    study = _study(
        method, suite, seed, backbone, pretrained, device, cache_dir, display, limit=limit,
        epochs=epochs, points=output_dir, overwrite=overwrite,
    )  # fmt: skip
    typer.echo(str(points.removal(study, task, reference)))


@app.command()
def amplification(
    suite: Suite = SUITE,
    task: Annotated[
        list[str], typer.Option("--task", "-t", help="repeatable [the first three]")
    ] = [],  # noqa: B006
    top: Annotated[int, typer.Option(help="r: singular vectors of an update")] = 4,
    method: Annotated[
        list[str], typer.Option("--method", "-m", help="repeatable")
    ] = [LOW_RANK, PRUNED],  # noqa: B006
    seed: Seeds = [42], limit: Limit = None, epochs: Epochs = None,  # noqa: B006
    backbone: Backbone = None, pretrained: Weights = None, device: Device = "auto",
    output_dir: Points = None, cache_dir: Cache = None, overwrite: Overwrite = False,
    display: DisplayOption = "auto",
) -> None:  # fmt: skip
    """Figure 9: how much updates amplify directions that the weights hardly have."""
    from ...study import points

    study = _study(
        method[0], suite, seed, backbone, pretrained, device, cache_dir, display, limit=limit,
        epochs=epochs, points=output_dir, overwrite=overwrite,
    )  # fmt: skip
    typer.echo(str(points.amplified(study, list(dict.fromkeys(method)), task, top)))


@app.command()
def insertion(
    suite: Suite = SUITE,
    rank: Annotated[list[int], typer.Option(help="repeatable")] = [4, 16],  # noqa: B006
    method: Annotated[str, typer.Option("--method", "-m")] = PRUNED,
    seed: Seeds = [42], limit: Limit = None, epochs: Epochs = None,  # noqa: B006
    backbone: Backbone = None, pretrained: Weights = None, device: Device = "auto",
    output_dir: Records = None, cache_dir: Cache = None, display: DisplayOption = "auto",
) -> None:  # fmt: skip
    """Figure 7: whole runs by where updates act and their initial rank; records as of any run."""
    from ...study.runs import LOCATIONS
    from ...study.runs import insertion as requests
    from ..run import run_all

    study = _study(
        method, suite, seed, backbone, pretrained, device, cache_dir, display, limit=limit,
        epochs=epochs, records=output_dir,
    )  # fmt: skip
    raise typer.Exit(run_all(requests(study, LOCATIONS, list(dict.fromkeys(rank))), "", display))


@app.command()
def pruning(
    suite: Suite = SUITE,
    kappa: Annotated[
        list[float], typer.Option(help="largest threshold, repeatable [0 to 2 times the method's]")
    ] = [],  # noqa: B006
    dense: Annotated[
        list[float], typer.Option(help="share of dense steps, repeatable")
    ] = [0.0, 0.3, 0.5, 0.7, 0.9],  # noqa: B006
    method: Annotated[str, typer.Option("--method", "-m")] = PRUNED,
    seed: Seeds = [42], limit: Limit = None, epochs: Epochs = None,  # noqa: B006
    backbone: Backbone = None, pretrained: Weights = None, device: Device = "auto",
    output_dir: Records = None, cache_dir: Cache = None, display: DisplayOption = "auto",
) -> None:  # fmt: skip
    """Figure 8: whole runs by the largest threshold and the dense share; records as of any run."""
    from ...study.runs import pruning as requests
    from ..run import run_all

    study = _study(
        method, suite, seed, backbone, pretrained, device, cache_dir, display, limit=limit,
        epochs=epochs, records=output_dir,
    )  # fmt: skip
    raise typer.Exit(run_all(requests(study, kappa, dense), "", display))
