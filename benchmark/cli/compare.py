"""`cl-bench compare`: two methods on the same test images, or all of a suite as rank intervals."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, get_args

import typer

from ..errors import BenchError, nearest, quoted

if TYPE_CHECKING:
    from ..stats.summaries import Question

RESULTS = Path("results")
Word = TypeVar("Word", bound=str)

LEAST_RESAMPLES, MOST_RESAMPLES = 200, 1_000_000
_STEPPED = ("hit", "acc")
_UNEVEN = ("transfer", "forgetting")


def compare(
    a: Annotated[
        str | None, typer.Argument(help="a method's label (dar, dar.r8), or a record's path")
    ] = None,
    b: Annotated[str | None, typer.Argument(help="what it is compared with")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="compare all ranked methods: rank intervals")
    ] = False,
    suite: Annotated[
        str | None, typer.Option("--suite", "-s", help="of the records [the only one]")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="of the records [the only one]")] = None,
    metric: Annotated[
        str,
        typer.Option(
            help="final (mean over the learned sets at the end) | hit | acc (of image-caption or "
            "labelled sets, see --step) | delta | learning | forgetting | transfer | average | ood"
        ),
    ] = "final",
    k: Annotated[int | None, typer.Option(help="K of Recall@K: 1, 5 or 10 [1]")] = None,
    direction: Annotated[str | None, typer.Option(help="t2i | i2t | both [both]")] = None,
    step: Annotated[
        str | None, typer.Option(help="last, or N tasks learned; for hit and acc [last]")
    ] = None,
    per_set: Annotated[bool, typer.Option("--per-set", help="every set alone, too")] = False,
    over_sets: Annotated[
        bool, typer.Option("--over-sets", help="and as if the sets were draws of all sets")
    ] = False,
    alpha: Annotated[float, typer.Option(help="level of tests and intervals")] = 0.05,
    correction: Annotated[
        str | None, typer.Option(help="for many tests (--per-set, --all): holm | bh | none [holm]")
    ] = None,
    resamples: Annotated[
        int | None, typer.Option(help="of the bootstrap over test images [10000]")
    ] = None,
    mid_p: Annotated[
        bool, typer.Option("--mid-p", help="with --per-set: McNemar's test as mid-p")
    ] = False,
    results: Annotated[Path, typer.Option(help="folder of records")] = RESULTS,
    json: Annotated[bool, typer.Option("--json", help="all numbers in full")] = False,
    md: Annotated[bool, typer.Option("--md", help="markdown")] = False,
) -> None:
    """Whether two methods differ, and how sure that is: on the same images, orders and seeds."""
    from ..stats.multiple import CORRECTIONS

    question = _question(metric, k, direction, step)
    if not 0 < alpha <= 0.5:
        raise BenchError("--alpha above 0 and up to 0.5", f"{alpha:g}", "give 0.05, say")
    if json and md:
        raise BenchError("one form", "--json and --md", "leave one of them out")
    chosen = _one_of("--correction", correction or "holm", tuple(CORRECTIONS))
    if every:
        _refuse_with_all(a, per_set, over_sets, mid_p, resamples)
        from ..tables.board.tier_report import tier_report

        given = tuple(option for option, there in (("--k", k), ("--direction", direction)) if there)
        shown = tier_report(results, suite, backbone, question, alpha, chosen, given, json, md)
        typer.echo(shown)
        return
    if a is None or b is None:
        raise BenchError(
            "two methods, or --all", "fewer", "name them: `cl-bench compare dar ft --suite mini`"
        )
    _refuse_without_sets(per_set, mid_p, correction, metric)
    from ..stats.report.data import as_json
    from ..stats.report.numbers import Choices
    from ..stats.report.versus import check_options, compare_methods
    from ..stats.report.words import blocks, render

    wanted = Choices(question, per_set, over_sets, alpha, chosen, _resamples(resamples), mid_p)
    found = compare_methods((a, b), results, suite, backbone, wanted)
    check_options(found, k is not None, direction is not None)
    typer.echo(as_json(found) if json else render(list(blocks(found)), md))


def _one_of(option: str, given: str, known: tuple[Word, ...]) -> Word:
    """The word that was given, as one of those that there are."""
    for word in known:
        if word == given:
            return word
    fix = nearest(given, known)
    raise BenchError(f"{option} among {', '.join(known)}", quoted(given), fix)


def _question(metric: str, k: int | None, direction: str | None, step: str | None) -> "Question":
    from ..records.answers import KS
    from ..stats.summaries import Direction, Question, Summary

    summary = _one_of("--metric", metric, get_args(Summary))
    way = _one_of("--direction", direction or "both", get_args(Direction))
    if k not in (None, *KS):
        raise BenchError(f"--k among {', '.join(map(str, KS))}", str(k), "give --k 1")
    for option, given in (("--k", k), ("--direction", direction)):
        if summary == "acc" and given is not None:
            got = f"{option} {given} with --metric acc"
            raise BenchError(f"{option} for captions", got, f"leave out {option}")
    if step is not None and summary not in _STEPPED:
        got = f"--step {step} with --metric {summary}, which has its own steps"
        raise BenchError("--step for the metrics hit and acc", got, "give --metric hit or acc")
    number = None
    if step is not None and step != "last":
        if not step.isdecimal():
            raise BenchError("--step last or a number", quoted(step), "give --step last")
        number = int(step)
    return Question(summary, k or 1, way, number)


def _resamples(given: int | None) -> int:
    if given is not None and not LEAST_RESAMPLES <= given <= MOST_RESAMPLES:
        raise BenchError(
            f"--resamples from {LEAST_RESAMPLES} to {MOST_RESAMPLES}", str(given), "give 10000"
        )
    return given or 10_000


def _refuse_with_all(
    a: str | None, per_set: bool, over_sets: bool, mid_p: bool, resamples: int | None
) -> None:
    given = {
        a or "": a is not None,
        "--per-set": per_set,
        "--over-sets": over_sets,
        "--mid-p": mid_p,
        "--resamples": resamples is not None,  # its variance is the bootstrap's limit
    }
    if found := [name for name, there in given.items() if there]:
        raise BenchError(
            "--all without what is for two methods", ", ".join(found), "leave that out, or --all"
        )


def _refuse_without_sets(per_set: bool, mid_p: bool, correction: str | None, metric: str) -> None:
    if per_set and metric in _UNEVEN:
        got = f"--metric {metric}, which the first or the last set of an order lacks"
        raise BenchError("--per-set with a number that every set has", got, "leave out --per-set")
    for option, given in (("--mid-p", mid_p), ("--correction", correction is not None)):
        if given and not per_set:
            raise BenchError(
                f"{option} where there are many tests", "a single one", "give --per-set too"
            )
