"""`sweep`: settings chosen on validation parts of the training data, and no test set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import BenchError
from ..display import DisplayOption, make_display
from ..terminal import going_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...records.store import Record
    from ...sweep.declared import Sweep
    from ...sweep.result import Document
    from ...sweep.trials import Places, TrialRun
    from ..display import DisplayMode


def sweep(
    file: Annotated[Path, typer.Argument(help="a sweep's .toml file, see docs/settings.md")],
    check: Annotated[
        bool, typer.Option(help="run nothing; whether the result fits the file and its own rule")
    ] = False,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda[:N]")] = "auto",
    output_dir: Annotated[
        Path | None, typer.Option(help="records of the trials go to DIR/scratch [scratch]")
    ] = None,
    cache_dir: Annotated[
        Path | None, typer.Option(help="decoded images and features [CL_BENCH_CACHE or ~/.cache]")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="run finished trials again")] = False,
    display: DisplayOption = "auto",
) -> None:
    """Try a fixed list of settings and choose one without any test set; writes FILE.json.

    Each trial learns the first tasks of an order from a part of their training data, and is scored
    on the rest of it. The same command goes on where a stopped one was.
    """
    from ...sweep.check import check_sweep
    from ...sweep.declared import read_sweep
    from ...sweep.text import sentences, table
    from ...sweep.trials import Places

    if check:
        if (device, output_dir, cache_dir, overwrite) != ("auto", None, None, False):
            got = "options of a run with it"
            raise BenchError("--check alone, as it runs nothing", got, "leave them out")
        found = check_sweep(file)[1]
    else:
        with going_on():
            declared = read_sweep(file)
            places = Places(device, output_dir, cache_dir)
            found = _swept(declared, places, overwrite, display)
    typer.echo("")
    typer.echo(table(found))
    for line in sentences(found):
        typer.echo(line)
    typer.echo(str(file.with_suffix(".json")))
    raise typer.Exit(0 if found["chosen"] else 3)


def _swept(declared: "Sweep", places: "Places", overwrite: bool, mode: "DisplayMode") -> "Document":
    """Run what is missing, and write the result."""
    from ...sweep.result import document_of, write_result
    from ...sweep.trials import finished, forget, prove, trial_runs

    say = make_display(mode).line
    say(
        f"sweep {declared.name}: {len(declared.trials)} trials x {len(declared.seeds)} seeds of "
        f"{declared.method}, importing torch"
    )
    runs = trial_runs(declared, places)
    missing = [run for run in runs if overwrite or finished(run) is None]
    say(f"{len(runs) - len(missing)} of {len(runs)} runs are finished")
    prove(declared, missing)
    for run in missing:
        forget(run)
    document = document_of(declared, runs, _records(runs, missing, mode))
    write_result(declared, document)
    return document


def _records(
    runs: "Sequence[TrialRun]", missing: "Sequence[TrialRun]", mode: "DisplayMode"
) -> "list[Record]":
    """The records of all runs, of which some are run now; one of a failed run is a record, too.

    Raises:
        BenchError: a run that left none, for want of data, room or permission.
    """
    from ...sweep.trials import finished
    from ..run import run_all

    error: BenchError | None = None
    if missing:
        try:
            run_all([run.request for run in missing], "", mode)
        except BenchError as e:  # of one that failed; the others were run all the same
            error = e
    records = []
    for run in runs:
        record = finished(run)
        if record is None:
            raise error or BenchError(
                f"a record of trial {run.number}, seed {run.seed}", "none", "run it again", 5
            )
        records.append(record)
    return records
