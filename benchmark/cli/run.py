"""`cl-bench run`: one plan after the other, each a no-op when its record is there."""

import gc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..errors import BenchError, MethodError
from ..records.naming import method_label
from ..records.store import RANKS_SUFFIX, Record, failure_of, read_record
from ..run.guards.crash import failure, files_of, is_failure, keep_traceback
from ..run.guards.process.interrupts import interrupted, noting_interrupts
from ..run.guards.process.kept import kept
from ..run.provenance.code import unchanged
from ..run.request import Plan, Request, make_plan
from .display import Display, DisplayMode, make_display
from .meters import DONE


def run_all(requests: list[Request], why: str, mode: DisplayMode) -> int:
    """Run every request; returns the exit code: 0 done, 3 a record with failed cells.

    A run that fails, in whatever way a method's own code can fail, does not keep those after it
    from running. A mistake in the request itself (an unknown name, a value out of range) is told
    before any run begins.

    Args:
        requests: one for every method, seed and order.
        why: why this suite, where the user named none; "" where they did.
        mode: of the display.

    Raises:
        BenchError: a mistake that the user can mend; of several, the first.
        KeyboardInterrupt: the user's wish to end the call; one of a method's own is a failed run.
    """
    with noting_interrupts():
        codes, errors = _run_each(requests, why, make_display(mode))
    if not errors:
        return max(codes)
    if len(requests) == 1:
        raise errors[0]
    first = errors[0]
    said = f"expected {first.expected}, got {first.got}"
    got = f"{len(errors)} of {len(requests)} runs that failed, the first with '{said}'"
    raise BenchError("every run to finish", got, first.fix, first.code)


def _run_each(
    requests: list[Request], why: str, display: Display
) -> tuple[list[int], list[BenchError]]:
    """Exit codes of the runs that came to their end, and the errors of the others."""
    codes: list[int] = []
    errors: list[BenchError] = []

    def failed(error: BenchError) -> None:
        # Without its frames, which hold the model and the data of the run that is over.
        errors.append(error.with_traceback(None))
        error.__cause__ = error.__context__ = None
        if len(requests) > 1:
            display.line(f"this run has failed: {error}")

    plans = _plans(requests, display, failed)
    display.remaining.kinds = [_kind(plan) for plan in plans]
    for index, plan in enumerate(plans):
        number = f"run {index + 1}/{len(plans)}: " if len(plans) > 1 else ""
        display.line(number + _first_line(plan, why))
        for reason in plan.unofficial:
            display.line(f"this record goes to {plan.scratch}: {reason}")
        try:
            with display.running(index):
                codes.append(_run(plan, display))
        except BenchError as e:
            failed(e)
        except BaseException as e:
            if not is_failure(e, files_of(plan.method.cls, plan.method.file)):
                raise
            failed(_crash(plan.request, plan, e))
        if interrupted():  # and a method has kept it to itself
            raise KeyboardInterrupt
        gc.collect()  # what a failed run has left
    return codes, errors


def _plans(
    requests: list[Request], display: Display, failed: Callable[[BenchError], None]
) -> list[Plan]:
    """Those of all requests whose method's own code does not fail."""
    plans = []
    head = "importing torch, checking what was asked"
    with display.phase(head, len(requests), "runs") as advance:
        # Imported first: what torch changes in the process is no plugin's doing.
        from ..protocol import method as _  # noqa: F401

        for request in requests:
            try:
                with kept("the import", display.line):
                    plan = make_plan(request)
                plans.append(plan)
            except MethodError as e:
                failed(_with_traceback(request, e))
            except BenchError:
                raise
            except BaseException as e:
                if not is_failure(e, frozenset()):
                    raise
                failed(_crash(request, None, e))
            if interrupted():
                raise KeyboardInterrupt
            advance(1)
    return plans


def _kind(plan: Plan) -> str:
    """What runs are alike in that take as long as each other."""
    with suppress(OSError, BenchError):  # of which its run will tell
        if not plan.request.overwrite and plan.target.exists() and failure_of(plan.target) is None:
            return DONE
    name = method_label(plan.method.name, plan.method.variant)
    return f"{name} {plan.method.overrides} {plan.request.order.count(',')}"


def _crash(request: Request, plan: Plan | None, error: BaseException) -> BenchError:
    """One sentence for what nobody foresaw, with the whole traceback in a file."""
    files = files_of(plan.method.cls, plan.method.file) if plan else frozenset[Path]()
    return failure(request.method, error, files, None, _keep(request, plan, error))


def _with_traceback(request: Request, error: MethodError) -> MethodError:
    """The error of a method that could not be read, with the file that has its traceback."""
    if error.__cause__ is None or isinstance(error.__cause__, BenchError):
        return error
    file = _keep(request, None, error.__cause__)
    fix = error.fix if file is None else f"{error.fix}; the whole traceback is in '{file}'"
    return MethodError(error.expected, error.got, fix, error.code)


def _keep(request: Request, plan: Plan | None, error: BaseException) -> Path | None:
    scratch = plan.scratch if plan else (request.output_dir or Path()) / "scratch"
    name = plan.stem if plan else Path(request.method.partition(":")[0]).stem
    return keep_traceback(error, scratch / "failed" / f"{name}.txt")


def _first_line(plan: Plan, why: str) -> str:
    default = f" (the default: {why})" if why else ""
    name = method_label(plan.method.name, plan.method.variant)
    settings = "".join(f", {k}={v}" for k, v in plan.settings.items())
    return (
        f"suite {plan.suite.name}{default}: {name}{settings}, {plan.backbone}, "
        f"order {plan.request.order}, seed {plan.request.seed}"
    )


def _run(plan: Plan, display: Display) -> int:
    if not plan.request.overwrite and (there := _existing(plan, display)) is not None:
        display.line(f"already finished, nothing to do (--overwrite runs it again){there[1]}")
        if plan.request.save_ranks and not plan.target.with_suffix(RANKS_SUFFIX).is_file():
            display.line(
                "that run did not keep the rank of every query; its evidence tells whether it was "
                "within the first 1, 5 or 10, and --overwrite runs it again to keep them"
            )
        return _end(there[0], plan, display)
    from ..run.runner import execute

    execute(plan, display)
    return _end(read_record(plan.target), plan, display)


def _existing(plan: Plan, display: Display) -> tuple[Record, str] | None:
    """The record of this very request, and what to say of its code."""
    if not _is_there(plan.target):
        return None
    record = read_record(plan.target)
    if told := record.provenance.get("failed"):
        display.line(f"an earlier try has failed, so it is run again: {told.get('error')}")
        return None
    made = record.provenance.get("asked") or {}
    keys = [k for k, v in plan.asked.items() if made.get(k) != v]
    if plan.request.device != "auto":
        from ..run.device.pick import pick_device

        device = pick_device(plan.request.device).type
        keys += ["device"] * (record.provenance.get("hardware", {}).get("device") != device)
    shared = record.provenance.get("shared") or []
    if plan.request.fresh and any(seconds is not None for seconds in shared):
        keys.append("training (an earlier run's)")
    if keys:
        raise BenchError(
            f"'{plan.target}' to be this run's record",
            f"one made with another {', '.join(keys)}",
            "use --overwrite to replace it or --output-dir to keep both",
            code=5,
        )
    if plan.unofficial:  # scratch records follow the code that is being written
        made_by = [record.provenance.get(k, {}).get("sha256") for k in ("code", "method")]
        return (record, "") if made_by == [plan.code, plan.method.sha] else None
    same = unchanged(record.provenance, plan.method.sha, plan.method.file)
    return record, "" if same else "; the code has changed since it was made"


def _is_there(target: Path) -> bool:
    try:
        target.stat()
    except FileNotFoundError:
        return False
    except OSError as e:
        raise BenchError(
            f"to look for '{target}'",
            e.strerror or type(e).__name__,
            "give --output-dir another folder",
            code=6,
        ) from e
    return True


def _end(record: Record, plan: Plan, display: Display) -> int:
    from ..tables.render import final_row

    display.line("")
    display.line(final_row(record.frame))
    display.result(str(plan.target))
    failed = sorted(set(record.frame.loc[record.frame["status"] != "ok", "eval_title"]))
    if failed:
        display.line(f"not everything could be scored: {', '.join(failed)}")
    return 3 if failed else 0
