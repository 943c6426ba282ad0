"""Whether a result belongs to its sweep, and its choice follows from the scores in it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..common.files import file_text
from ..errors import BenchError, quoted
from .choice import RULE, best_of
from .declared import Sweep, read_sweep
from .result import FORMAT, Document
from .scores import MEANING, mean_of, seed_spread

_AGAIN = "run `cl-bench sweep` again, which runs only what is missing"
_NEAR = 2e-6  # percent: what is left of a sum of rounded numbers


def read_result(sweep: Sweep) -> Document:
    """The result of a sweep, after all checks that need no run.

    Raises:
        BenchError: code 4, there is none; 5, it is of another file, or contradicts itself.
    """
    if not sweep.result.is_file():
        raise BenchError(f"the result '{sweep.result.name}'", "no such file", _AGAIN, 4)
    try:
        found = json.loads(file_text(sweep.result), parse_constant=_refuse)
        for expected, got in _complaints(sweep, found):
            raise _wrong(sweep.result, expected, got)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, IndexError) as e:
        got = f"another ({type(e).__name__}: {e})"
        raise _wrong(sweep.result, "the form of a sweep's result", got) from e
    document: Document = found
    return document


def check_sweep(file: Path) -> tuple[Sweep, Document]:
    """A sweep and its result; raises as `read_sweep` and `read_result`."""
    sweep = read_sweep(file)
    return sweep, read_result(sweep)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _wrong(path: Path, expected: str, got: str) -> BenchError:
    return BenchError(f"{expected} in '{path.name}'", got, _AGAIN, code=5)


def _complaints(sweep: Sweep, found: Document) -> Iterator[tuple[str, str]]:
    declared = {
        "format": FORMAT,
        "sweep": sweep.name,
        "toml_sha256": sweep.sha256,
        "order": sweep.order,
        "seeds": list(sweep.seeds),
        "rule": RULE,
    }
    for key, value in declared.items():
        if found[key] != value:
            yield f"{key} {quoted(value)}", quoted(found[key])
    if (score := found["score"]["name"], found["score"]["meaning"]) != (
        sweep.score,
        MEANING[sweep.score],
    ):
        yield f"the score '{sweep.score}'", quoted(score)
    if found["division"]["share"] != sweep.validation.share:
        yield f"a share of {sweep.validation.share}", quoted(found["division"]["share"])
    if len(found["tasks"]) != sweep.validation.tasks:
        yield f"{sweep.validation.tasks} tasks", str(len(found["tasks"]))
    tried = [trial["settings"] for trial in found["trials"]]
    if tried != [dict(settings) for settings in sweep.trials]:
        yield f"the {len(sweep.trials)} trials of {sweep.file.name}", f"others ({len(tried)})"
    for number, trial in enumerate(found["trials"], start=1):
        yield from _of_trial(sweep, number, trial, set(found["tasks"]))
    yield from _of_choice(sweep, found)


def _of_trial(
    sweep: Sweep, number: int, trial: Document, tasks: set[str]
) -> Iterator[tuple[str, str]]:
    where = f"in trial {number}"
    if trial["trial"] != number:
        yield f"number {number} {where}", quoted(trial["trial"])
    seeds = [run["seed"] for run in trial["runs"]]
    if seeds != list(sweep.seeds):
        yield f"a run for each seed {where}", quoted(seeds)
    failed = any("error" in run for run in trial["runs"])
    if trial["status"] != ("failed" if failed else "ok"):
        yield f"the status of its runs {where}", quoted(trial["status"])
    scores = []
    for run in trial["runs"]:
        if "error" in run:
            continue
        if set(run["tasks"]) != tasks:
            yield f"a score for each task {where}", quoted(sorted(run["tasks"]))
        if not all(0 <= value <= 100 for value in run["tasks"].values()):
            yield f"scores from 0 to 100 {where}", quoted(run["tasks"])
        if run["score"] != mean_of(run["tasks"].values()):
            yield f"the mean of the tasks, seed {run['seed']} {where}", quoted(run["score"])
        scores.append(run["score"])
    mean, spread = (None, None) if failed else (mean_of(scores), seed_spread(scores))
    for key, value in (("mean", mean), ("standard_deviation_over_seeds", spread)):
        if trial[key] != value:
            yield f"{key} {value} {where}", quoted(trial[key])


def _of_choice(sweep: Sweep, found: Document) -> Iterator[tuple[str, str]]:
    trials = {t["trial"]: t for t in found["trials"] if t["status"] == "ok"}
    best = best_of({number: trial["mean"] for number, trial in trials.items()})
    wanted = None
    if best is not None:
        wanted = {"trial": best, "settings": dict(sweep.trials[best - 1])}
    if found["chosen"] != wanted:
        chosen = found["chosen"] and found["chosen"].get("trial")
        yield f"trial {best} chosen, which the rule gives", f"trial {chosen}"
    alike = []
    for trial in found["trials"]:
        number, behind = trial["trial"], trial["behind_the_chosen"]
        if number == best or number not in trials:
            if behind is not None:
                yield f"nothing behind the chosen of trial {number}", quoted(behind)
            continue
        apart = trials[best]["mean"] - trial["mean"]
        if abs(behind["points"] - apart) > _NEAR:
            yield f"trial {number} {apart:.6f} behind the chosen", quoted(behind["points"])
        alike += [] if behind["separated"] else [number]
    if found["not_separated_from_the_chosen"] != alike:
        expected = f"not separated from the chosen: {alike}"
        yield expected, quoted(found["not_separated_from_the_chosen"])


def chosen_settings(document: Document) -> dict[str, Any]:
    """The settings that a result chose; empty where all trials failed."""
    return dict(document["chosen"]["settings"]) if document["chosen"] else {}
