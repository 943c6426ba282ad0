"""Groups 7 and 8: a small run through the real runner to a record, and what a step costs."""

import json
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile

from ...common.report import SILENT
from ...protocol.config import Config
from ...protocol.method import Method
from ...records.store import Record, read_record
from ...run.build import open_ground
from ...run.inputs import open_inputs, zero_shot_rows
from ...run.registry import ResolvedMethod
from ...run.request import Plan, Request, make_plan
from ...run.runner import execute
from ...run.train import Fit
from ...suites.find import find_suite
from ...suites.names import Kind
from ...validation.inspect import inspect
from ..contract import SUITES, Broken, NotApplicable, Subject, check
from ..lab import Lab
from ..learned import Halt

_STEPS = 6


@check(
    "smoke",
    "Run `cl-bench run` with the same --limit and --epochs to see it alone.",
    needs=(
        "trains", "only_trainable_moves", "logit_scale", "rows_have_length_1", "batch_invariance",
        "evaluation_leaves_no_trace", "class_order", "resumes_between_tasks", "report",
        "torch_stays_as_it_is", "asks_nothing_of_the_system",
    ),
)  # fmt: skip
def run_to_a_record(subject: Subject, kind: Kind) -> str:
    """A small run of an embedded suite ends in a valid record, whose step 0 is the backbone's."""
    if kind not in subject.suites:
        raise NotApplicable(f"the suite {SUITES[kind]} was not asked for")
    with tempfile.TemporaryDirectory(prefix="cl-bench-check-") as folder:
        plan = make_plan(_request(subject, kind, Path(folder)))
        subject.lab.place.at(f"a run of {plan.suite.name}")
        execute(plan, SILENT)
        record = read_record(plan.target)
        if wrong := findings(record, plan.target.parents[1]):
            raise Broken(wrong[0])
        _starts_at_the_backbone(record, plan)
    steps, sets = record.frame["step"].max(), record.frame["eval_task"].nunique()
    return f"{plan.suite.name}: {steps} tasks, {sets} sets, {len(record.frame)} rows"


def findings(record: Record, results: Path) -> list[str]:
    """What is wrong with a record, in sentences; the one place where validation is asked.

    Not asked is what of no unfinished method can hold: that its code is in a commit (V04), and the
    method in the registry (V05).
    """
    failed = record.frame[record.frame["status"] != "ok"]
    said = [f"{row.eval_title} at step {row.step}: {row.error}" for row in failed.itertuples()]
    found, _ = inspect(results)
    return said + [
        f"{one.code}, {one.cell}: expected {one.expected}, got {one.got}"
        for one in found
        if one.severity == "error" and one.code not in ("V04", "V05")
    ]


def _request(subject: Subject, kind: Kind, folder: Path) -> Request:
    """The whole suite where there is time, else its first two tasks."""
    tasks = [d.name for d in find_suite(SUITES[kind]).tasks]
    return Request(
        method=subject.asked,
        suite=SUITES[kind],
        order="forward" if subject.full else ",".join(tasks[:2]),
        hp=(*subject.hp, *(f"{k}={v}" for k, v in subject.changes.items())),
        epochs=1,
        limit=32,
        device="cpu",
        evals="all" if subject.full else "id",
        output_dir=folder,
        fresh=True,
    )


def _starts_at_the_backbone(record: Record, plan: Plan) -> None:
    """Step 0 of a record has the hits of a backbone that was loaded anew."""
    ground = open_ground(plan, SILENT)
    frame = record.frame[(record.frame["step"] == 0) & record.frame["metric"].isin(("hit", "acc"))]
    for which in open_inputs(plan, SILENT, ground).evals:
        own = frame[frame["eval_task"] == which.name]
        expected = [r["hits"] for r in zero_shot_rows(ground, which)]
        if (got := own["hits"].tolist()) != expected:
            raise Broken(f"step 0 of {which.title} has hits of {got}, and the backbone {expected}")


# -- cost


class _Defaults(Method):
    """Fine-tuning: every hook is the protocol's default."""

    label = "FT"


@check("cost", "Nothing is to be done: it is what others will see.", needs=("trains",))
def cost_of_a_step(subject: Subject, kind: Kind) -> str:
    """Time and peak memory of a training step beside those of fine-tuning, in one process."""
    if not sum(subject.learned(kind).trainable):
        raise NotApplicable("no step is made")
    lab = replace(
        subject.lab, recipe=replace(subject.lab.recipe, batch_size=len(subject.lab.pairs[0]))
    )
    plain = replace(subject.found, cls=_Defaults, config=Config())
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(2):  # in turns, so that a busy moment is not of one alone
        for mine in (False, True):
            changes = subject.changes if mine else {}
            found = subject.found if mine else plain
            seconds[mine] += _seconds(lab, found, kind, changes)
    peaks = [
        _peak(lab, found, kind, changes)
        for found, changes in ((plain, {}), (subject.found, subject.changes))
    ]
    slower = min(seconds[True]) / min(seconds[False])
    return (
        f"{slower:.2f} times the time and {peaks[1] / peaks[0]:.2f} times the peak memory of "
        f"fine-tuning ({1000 * min(seconds[True]):.0f} ms, {peaks[1] / 2**20:.0f} MiB)"
    )


def _fit(lab: Lab, found: ResolvedMethod, kind: Kind, changes: Mapping[str, Any]) -> Fit:
    """Training of the second task, after the first, at its start."""
    feed = lab.feed(lab.clip())
    method = lab.method(found, feed, **changes)
    first, second = lab.sets(kind)[:2]
    task = lab.task(feed, first, 0, 2)
    lab.before(method, task, first)
    lab.run(lab.fit(method, task, first, 0, 1))
    lab.after(method, task, first)
    task = lab.task(feed, second, 1, 2)
    lab.before(method, task, second)
    return lab.fit(method, task, second, 0, _STEPS)


def _seconds(
    lab: Lab, found: ResolvedMethod, kind: Kind, changes: Mapping[str, Any]
) -> list[float]:
    """Of each step but the first."""
    ends = [time.perf_counter()]
    lab.run(_fit(lab, found, kind, changes), lambda loss: ends.append(time.perf_counter()))
    return [b - a for a, b in pairwise(ends[1:])]


def _peak(lab: Lab, found: ResolvedMethod, kind: Kind, changes: Mapping[str, Any]) -> int:
    """Bytes that one step holds at most beyond those before it, by torch's own account."""
    fit = _fit(lab, found, kind, changes)
    profiled = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
    with profiled, suppress(Halt):
        lab.run(fit, halt=1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profiled.export_chrome_trace(str(file))
        events = json.loads(file.read_text(encoding="utf-8"))["traceEvents"]
    held = peak = 0
    memory = [e for e in events if e.get("name") == "[memory]"]
    for event in sorted(memory, key=lambda e: float(e["ts"])):
        held += int(event["args"]["Bytes"])
        peak = max(peak, held)
    return max(peak, 1)


CHECKS = (run_to_a_record, cost_of_a_step)
