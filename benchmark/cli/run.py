"""`cl-bench run`: one plan after the other, each a no-op when its record is there."""

import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..common.files import atomic
from ..errors import BenchError, MethodError
from ..records.naming import method_label
from ..records.store import RANKS_SUFFIX, Record, read_record
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
    """
    display = make_display(mode)
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
        except (Exception, SystemExit) as e:
            failed(_crash(plan.request, plan, e))
    if not errors:
        return max(codes)
    if len(requests) == 1:
        raise errors[0]
    first = errors[0]
    said = f"expected {first.expected}, got {first.got}"
    got = f"{len(errors)} of {len(requests)} runs that failed, the first with '{said}'"
    raise BenchError("every run to finish", got, first.fix, first.code)


def _plans(
    requests: list[Request], display: Display, failed: Callable[[BenchError], None]
) -> list[Plan]:
    """Those of all requests whose method's own code does not fail."""
    plans = []
    head = "importing torch, checking what was asked"
    with display.phase(head, len(requests), "runs") as advance:
        for request in requests:
            try:
                plans.append(make_plan(request))
            except MethodError as e:
                failed(e)
            except BenchError:
                raise
            except (Exception, SystemExit) as e:
                failed(_crash(request, None, e))
            advance(1)
    return plans


def _kind(plan: Plan) -> str:
    """What runs are alike in that take as long as each other."""
    with suppress(OSError):  # of which its run will tell
        if not plan.request.overwrite and plan.target.exists():
            return DONE
    name = method_label(plan.method.name, plan.method.variant)
    return f"{name} {plan.method.overrides} {plan.request.order.count(',')}"


def _crash(request: Request, plan: Plan | None, error: BaseException) -> MethodError:
    """One sentence for what nobody foresaw, with the whole traceback in a file."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if plan and Path(frame.filename) == plan.method.file]
    where = (own or frames)[-1]
    said = str(traceback.TracebackException.from_exception(error))  # whatever its __str__ does
    text = " ".join(said.split())[:200]
    scratch = plan.scratch if plan else (request.output_dir or Path()) / "scratch"
    file = scratch / "failed" / f"{plan.stem if plan else Path(request.method).stem}.txt"
    fix = "mend it"
    with suppress(BenchError), atomic(file) as temporary:
        temporary.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        fix = f"mend it, or report it where it is ours; the whole traceback is in '{file}'"
    return MethodError(
        f"the method '{request.method}' to run to its end",
        f"{type(error).__name__}{': ' * bool(text)}{text} "
        f"({Path(where.filename).name}, line {where.lineno}, in {where.name})",
        fix,
        code=3,
    )


def _first_line(plan: Plan, why: str) -> str:
    default = f" (the default: {why})" if why else ""
    name = method_label(plan.method.name, plan.method.variant)
    settings = "".join(f", {k}={v}" for k, v in plan.settings.items())
    return (
        f"suite {plan.suite.name}{default}: {name}{settings}, {plan.backbone}, "
        f"order {plan.request.order}, seed {plan.request.seed}"
    )


def _run(plan: Plan, display: Display) -> int:
    if not plan.request.overwrite and (there := _existing(plan)) is not None:
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


def _existing(plan: Plan) -> tuple[Record, str] | None:
    """The record of this very request, and what to say of its code."""
    if not _is_there(plan.target):
        return None
    record = read_record(plan.target)
    made = record.provenance.get("asked") or {}
    keys = [k for k, v in plan.asked.items() if made.get(k) != v]
    if plan.request.device != "auto":
        from ..run.build import pick_device

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
