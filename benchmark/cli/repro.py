"""`cl-bench repro`, which makes a record again, and `noise`, which makes one run several times."""

import shutil
from contextlib import ExitStack
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import BenchError
from .display import DisplayMode, DisplayOption, make_display
from .terminal import going_on

if TYPE_CHECKING:
    from ..records.noise import Noise
    from ..records.replays import Cells, Verdict
    from ..records.store import Record
    from ..run.again.compare import Agreement, RunOutcome
    from ..run.again.original import Original
    from ..run.again.plan import Given
    from ..run.request import Plan, Request

AGAIN = Path("scratch") / "again"
SHOWN = 10  # differences
DIFFERENT = 3  # exit code

Cache = Annotated[Path | None, typer.Option(help="cache folder [CL_BENCH_CACHE or ~/.cache]")]


def repro(
    record: Annotated[Path, typer.Argument(help="a record, results/<suite>/<run>.parquet")],
    cells: Annotated[
        Literal["last", "canary", "all"],
        typer.Option(
            help="which scores are compared: all stages | last | canary (the untouched backbone; "
            "nothing is trained)"
        ),
    ] = "all",
    tolerance: Annotated[
        float, typer.Option(metavar="POINTS", help="largest difference of a score that agrees")
    ] = 0.0,
    method: Annotated[
        str | None, typer.Option("--method", "-m", help="its file, where the record's was one")
    ] = None,
    suite: Annotated[
        str | None, typer.Option("--suite", "-s", help="its .toml, where the record's was one")
    ] = None,
    pretrained: Annotated[
        str | None, typer.Option(help="weights file, where the record's was one")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto | cpu | cuda[:N] [the record's kind]")
    ] = None,
    output_dir: Annotated[Path, typer.Option(help="the new record goes to DIR")] = AGAIN,
    cache_dir: Cache = None,
    write: Annotated[
        bool, typer.Option("--write", help="keep the verdict beside the record, in replays/")
    ] = False,
    display: DisplayOption = "auto",
) -> None:
    """Make a record again, from nothing, and compare every score and every answer.

    Exit code 0: equal, or within the tolerance; 3: different.
    """
    if not (isfinite(tolerance) and 0 <= tolerance <= 100):
        raise BenchError("--tolerance from 0 to 100 points", str(tolerance), "correct it")
    _check_folder(output_dir, record)
    from ..run.again.original import read_original

    original = read_original(record)
    make_display(display).line(f"repro: {record}")
    from ..run.again.plan import Given

    given = Given(output_dir, method, suite, pretrained, device, cache_dir)
    verdict = _made_again(original, given, (cells, tolerance), write, display)
    raise typer.Exit(DIFFERENT if verdict == "different" else 0)


def _made_again(
    original: "Original", given: "Given", asked: tuple["Cells", float], write: bool,
    mode: DisplayMode,
) -> "Verdict":  # fmt: skip
    """Run it, compare, and tell; `asked` are the cells and the tolerance."""
    from ..records.replays import write_replay
    from ..run.again.conditions import as_many_threads, conditions, threads_of
    from ..run.again.plan import command, plan_again
    from ..run.again.result import agreement, replay_made
    from ..run.device.pick import pick_device

    plan = plan_again(original, given)  # what it says of a cache is of the user's own
    threads, (cells, _) = threads_of(original), asked
    line, device = command(plan, threads), pick_device(plan.request.device).type
    if write:
        _check_write(original, plan, cells)
    with as_many_threads(threads), going_on():
        found = conditions(original, plan, device)
        typer.echo(f"command: {line}")
        typer.echo(f"code: {found.code}")
        typer.echo(f"machine: {found.machine}")
        now = _run(plan, cells, mode)
    agreed = agreement(original, now, *asked)
    _tell(agreed, original, asked[1])
    if write:
        replay = replay_made(original, plan, agreed, found, device, *asked)
        typer.echo(str(write_replay(original.record.path, replay)))
    return agreed.verdict


def _check_folder(output_dir: Path, record: Path) -> None:
    """A repetition never stands where records do."""
    there = output_dir.resolve()
    inside = there.is_relative_to(Path("results").resolve())
    if inside or record.resolve().is_relative_to(there):
        raise BenchError(
            "--output-dir apart from the record and from results/",
            f"'{output_dir}'",
            "give it a folder of its own",
        )


def _check_write(original: "Original", plan: "Plan", cells: str) -> None:
    """A replay that others may count on is of a record in its place, and of code that is kept."""
    from ..records.naming import suite_folder
    from ..records.schema import validate_name

    record = original.record
    validate_name(record.row, record.path)
    home = suite_folder(record.row["suite"])
    got = ""
    if cells == "canary":
        got = "--cells canary, which trains nothing"
    elif record.path.resolve().parent.name != home:
        got = f"one in '{record.path.resolve().parent.name}', not in '{home}'"
    elif plan.git["commit"] is None or plan.git["dirty"]:
        got = "code that is not committed"
    if got:
        raise BenchError(
            "for --write, a record of a results folder, trained again by committed code",
            got,
            "leave --write out, or mend that",
        )


def _run(plan: "Plan", cells: str, mode: DisplayMode) -> "RunOutcome":
    from ..run.again.cache import fresh_cache

    given = plan.request
    assert given.output_dir is not None
    with fresh_cache(given.cache_dir, given.output_dir) as cache:
        request = replace(given, cache_dir=cache)
        if cells == "canary":
            from ..run.again.canary import canary
            from ..run.request import make_plan

            return canary(make_plan(request), make_display(mode))
        from ..run.again.result import outcome_of
        from .run import run_all

        run_all([request], "", mode)
        return outcome_of(plan.target)


def _tell(found: "Agreement", original: "Original", tolerance: float) -> None:
    answers = f"{found.queries} answers to queries"
    if original.evidence is None:
        answers = "no answers, as the record has no evidence"
    typer.echo(f"compared {found.compared} scores and {answers}")
    differing = [*dict.fromkeys((*found.others, *found.scores, *found.answers))]
    for text in differing[:SHOWN]:
        typer.echo(f"  {text}")
    if len(differing) > SHOWN:
        typer.echo(f"  and {len(differing) - SHOWN} more differences")
    if found.scores or found.otherwise:
        share = f", {found.otherwise} answers differ" if found.queries else ""
        count = (
            "1 score differs" if len(found.scores) == 1 else f"{len(found.scores)} scores differ"
        )
        typer.echo(f"{count}, by at most {found.largest:.3g} points{share}")
    within = f" ({tolerance:g} points)" if found.verdict == "within tolerance" else ""
    typer.echo(f"verdict: {found.verdict}{within}")


# -- noise


def noise(
    method: Annotated[str, typer.Option("--method", "-m", help="as of `cl-bench run`")],
    suite: Annotated[str, typer.Option("--suite", "-s", help="a suite's name or a .toml file")],
    repeats: Annotated[int, typer.Option(help="number of runs, 2 to 100")] = 3,
    order: Annotated[str, typer.Option("--order", "-o", help="as of `cl-bench run`")] = "forward",
    backbone: Annotated[str | None, typer.Option(help="open_clip model [the suite's]")] = None,
    pretrained: Annotated[str | None, typer.Option(help="its weights [the suite's]")] = None,
    seed: Annotated[int, typer.Option(help="of every run")] = 42,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda[:N]")] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="fp32 | bf16, of the towers [the suite's]")
    ] = None,
    output_dir: Annotated[
        Path | None, typer.Option(help="noise goes to DIR/<suite>/noise [results]")
    ] = None,
    cache_dir: Cache = None,
    display: DisplayOption = "auto",
) -> None:
    """Make one run several times, each from nothing, and keep how far its scores differ.

    A difference between two methods that is no larger than this is none.
    """
    from ..records.noise import LEAST, MOST, write_noise

    if not LEAST <= repeats <= MOST:
        raise BenchError(f"--repeats from {LEAST} to {MOST}", str(repeats), "correct it")
    make_display(display).line(f"noise: {repeats} runs of {method} on {suite}, seed {seed}")
    from ..run.again.repeats import noise_of
    from ..run.request import Request, make_plan

    request = Request(
        method, order, suite, backbone, pretrained, seed, device=device,
        precision=precision,  # type: ignore[arg-type]
        output_dir=output_dir, cache_dir=cache_dir, fresh=True,
    )  # fmt: skip
    plan = make_plan(request)
    with going_on():
        measured = noise_of(_repeated(plan, request, repeats, display))
    _tell_noise(measured)
    typer.echo(str(write_noise(plan.target.parent, measured)))


def _repeated(plan: "Plan", request: "Request", repeats: int, mode: DisplayMode) -> "list[Record]":
    """The records of so many runs; those that an interrupted call has finished are kept."""
    from ..common.digests import digest
    from ..records.store import read_record
    from ..run.again.cache import fresh_cache
    from ..run.provenance.machine import hardware, versions
    from ..run.request import make_plan
    from .run import run_all

    about = [plan.code, plan.method.sha, repr(plan.asked), repr(hardware()), repr(versions())]
    work = plan.scratch / "noise" / digest([*about, request.device])[:16]
    with ExitStack() as caches:
        requests = [
            replace(
                request,
                output_dir=work / str(number),
                cache_dir=caches.enter_context(fresh_cache(request.cache_dir, work)),
            )
            for number in range(repeats)
        ]
        targets = [make_plan(one).target for one in requests]
        run_all(requests, "", mode)
    records = [read_record(target) for target in targets]
    shutil.rmtree(work, ignore_errors=True)
    return records


def _tell_noise(found: "Noise") -> None:
    scores = sorted(found.hits, key=lambda score: -found.largest(score))
    moved = [score for score in scores if found.largest(score)]
    final = found.final()
    typer.echo(f"{found.about['machine']} ({found.device}), {found.repeats} runs")
    typer.echo(f"{len(scores)} scores, {len(moved)} of them not the same in all runs")
    for score in moved[:SHOWN]:
        words = " ".join(str(part) for part in score[1:] if part is not None)
        largest, sd = found.largest(score), found.sd(score)
        typer.echo(f"  step {score[0]}, {words}: at most {largest:.3g} points, sd {sd:.3g}")
    top = found.largest(scores[0])
    typer.echo(
        f"largest difference {top:.3g} points"
        + (f", of the mean at the end {max(final) - min(final):.3g}" if final else "")
    )
