"""The runs of a sweep: one for every trial and seed, each refused before the first one begins."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BenchError, MethodError, quoted
from ..protocol.config import field_types
from ..records.evidence import evidence_file
from ..records.store import Record, read_record
from ..run.registry import find_method
from ..run.request import Plan, Request, make_plan
from .declared import Settings, Sweep

NUMBERS = ("epochs", "batch_size")
RECIPE = (*NUMBERS, "caption_sampling", "crops")
"""Settings of a trial that are of the recipe, and of no method."""


@dataclass(frozen=True)
class Places:
    """Where a sweep runs and keeps its runs; all as of `cl-bench run`."""

    device: str = "auto"
    output_dir: Path | None = None
    cache_dir: Path | None = None


@dataclass(frozen=True)
class TrialRun:
    """One trial with one seed.

    Attributes:
        number: of the trial, from 1.
        seed: of the run.
        request: what it is run by. plan: the same, resolved.
    """

    number: int
    seed: int
    request: Request
    plan: Plan


def trial_runs(sweep: Sweep, places: Places) -> list[TrialRun]:
    """Every run of a sweep, trial after trial.

    Raises:
        BenchError: what `make_plan` refuses in any of them, or two trials that are one.
    """
    own = field_types(type(find_method(sweep.method, []).config))
    runs: list[TrialRun] = []
    first: dict[str, int] = {}
    for number, settings in enumerate(sweep.trials, start=1):
        with _of_trial(sweep, number):
            for name in set(RECIPE) & set(own) & set(settings):
                raise BenchError(
                    f"`{name}` to mean one thing", "a setting of the method and of the recipe",
                    "leave it out",
                )  # fmt: skip
            for seed in sweep.seeds:
                request = _request(sweep, settings, seed, places)
                runs.append(TrialRun(number, seed, request, make_plan(request)))
        plan = runs[-1].plan
        same = repr({**plan.asked, "seed": None})
        if (other := first.setdefault(same, number)) != number:
            raise BenchError(
                f"trials that differ in {sweep.file.name}",
                f"trials {other} and {number} with the same settings, {_words(settings)}",
                "remove one of them",
            )
    return runs


def _request(sweep: Sweep, settings: Settings, seed: int, places: Places) -> Request:
    hp = tuple(f"{key}={as_text(v)}" for key, v in settings.items() if key not in RECIPE)
    return Request(
        method=sweep.method,
        order=sweep.order,
        suite=sweep.suite,
        backbone=sweep.backbone,
        pretrained=sweep.pretrained,
        seed=seed,
        hp=hp,
        templates=sweep.templates,
        validation=sweep.validation,
        device=places.device,
        output_dir=places.output_dir,
        cache_dir=places.cache_dir,
        **{key: _of_recipe(key, settings[key]) for key in RECIPE if key in settings},
    )


def _of_recipe(key: str, value: Any) -> Any:
    kind, name = (int, "whole number") if key in NUMBERS else (str, "text")
    if type(value) is not kind:
        raise BenchError(f"a {name} for `{key}`", quoted(value), "correct it")
    return value


def as_text(value: Any) -> str:
    """A value of a TOML file as `--hp` takes it."""
    if isinstance(value, list):
        return ",".join(map(as_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _words(settings: Settings) -> str:
    return ", ".join(f"{key} = {as_text(value)}" for key, value in settings.items())


@contextmanager
def _of_trial(sweep: Sweep, number: int) -> Iterator[None]:
    """What is wrong with a trial is said with its number."""
    try:
        yield
    except BenchError as e:
        expected = f"{e.expected}, in trial {number} of {sweep.file.name},"
        raise type(e)(expected, e.got, e.fix, e.code) from e


def prove(sweep: Sweep, runs: list[TrialRun]) -> None:
    """Build the method of every trial, so that what it refuses is told before any run.

    What its own code fails in is a failed trial and no refusal, and is left to its run.

    Raises:
        BenchError: what a method says of its settings or of the backbone.
    """
    from ..common.report import SILENT
    from ..run.build import build_method, open_ground

    for run in {run.number: run for run in runs}.values():
        with _of_trial(sweep, run.number):
            ground = open_ground(run.plan, SILENT)
            try:
                build_method(ground)
            except MethodError:
                continue
            except BenchError:
                raise
            except Exception:  # its run meets it again, and records it
                continue


def finished(run: TrialRun) -> Record | None:
    """The record of this very run, by this code and on this machine, whether it failed or not."""
    target = run.plan.target
    if not target.is_file():
        return None
    from ..run.device.pick import pick_device
    from ..run.provenance.machine import hardware, versions

    try:
        record = read_record(target)
    except BenchError:  # damaged: it is made again
        return None
    about = record.provenance
    wanted = {
        "asked": run.plan.asked,
        "versions": versions(),
        "hardware": {**hardware(), "device": pick_device(run.request.device).type},
    }
    code = [about.get(key, {}).get("sha256") for key in ("code", "method")]
    same = all(about.get(key) == value for key, value in wanted.items())
    return record if same and code == [run.plan.code, run.plan.method.sha] else None


def forget(run: TrialRun) -> None:
    """Remove a record that is not this run's any more; it was made for a sweep and is no result."""
    for file in (run.plan.target, evidence_file(run.plan.target)):
        file.unlink(missing_ok=True)
