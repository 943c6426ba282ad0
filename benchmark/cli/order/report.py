"""What `cl-bench order` prints."""

from collections.abc import Sequence

from tabulate import tabulate

from ...errors import BenchError
from ...run.request import Plan, Request, make_plan
from ...run.task_order import resolve_order
from ...tables.paper.zero_shot import OPEN_CLIP
from ..display import Display
from .advice import advise
from .compare import KINDS, OFF, OFF_LOOSE, ComparedSet, compare, copies

DATA_MISSING = 4  # exit code


def order_plan(request: Request, display: Display) -> Plan:
    """The plan of a request; where held-out sets alone are missing, the one without them.

    Raises:
        BenchError: as `make_plan`, or a choice of sets that leaves out the tasks.
    """
    if request.evals == "ood":
        expected = "--evals all, or id for the tasks alone, as tasks are what is put in order"
        raise BenchError(expected, "'ood'", "choose one of the two")
    try:
        return make_plan(request)
    except BenchError as error:
        if error.code != DATA_MISSING or request.evals == "id":
            raise
        try:
            plan = make_plan(Request(**{**vars(request), "evals": "id"}))
        except BenchError:
            raise error from None
        display.line(f"held-out sets are left out: {error}")
        return plan


def order_report(plan: Plan, display: Display) -> str:
    """Measure every set of a suite and compare.

    Args:
        plan: suite, backbone and weights; its method is not used.
        display: for the lines on the way.

    Returns:
        A table of scores and deviations, the measured order, and what is off.
    """
    from ...run import zero_shot  # torch

    for name in plan.left_out:
        display.line(f"held-out set {name} is not prepared and left out")
    return render(plan, compare(plan, zero_shot.measure_sets(plan, display)))


def render(plan: Plan, sets: Sequence[ComparedSet]) -> str:
    """The table, both orders, what differs, and what to look at."""
    tasks = [one for one in sets if not one.held_out]
    names = [task.name for task in tasks]
    key = {task.name: task.ours.get("i2t", task.ours.get("acc", 0.0)) for task in tasks}
    order, _ = resolve_order("measured", names, lambda: key)
    return "\n".join([
        f"zero-shot of {plan.backbone} ({plan.pretrained}), suite {plan.suite.name}, percent",
        _table(sets),
        _sources(plan, sets),
        f"measured order: {', '.join(order)}",
        f"forward order:  {', '.join(names)}"
        + (" (the same)" if order == names else " (--order measured runs the other)"),
        *(f"{name} is the copy {of}: no paper is beside it" for name, of in copies(plan).items()),
        *(["limited galleries: no paper is beside them"] if plan.request.limit is not None else []),
        *_differences(sets),
        *_verdict(sets),
    ])  # fmt: skip


def _sources(plan: Plan, sets: Sequence[ComparedSet]) -> str:
    seen = {
        one.published.source: None
        for each in sets
        for beside in each.published.values()
        for one in beside
    }
    if not seen:
        return f"no paper prints zero-shot scores of {plan.backbone} on these sets"
    papers = [source for source in seen if source != OPEN_CLIP]
    ours = [f"paper: {', '.join(papers)}"] if papers else []
    theirs = ["open_clip: as published in its repository"] if OPEN_CLIP in seen else []
    return "; ".join([*ours, *theirs])


def _table(sets: Sequence[ComparedSet]) -> str:
    heads = ["set", "images"]
    columns = [[one.title + (" (held out)" if one.held_out else "") for one in sets]]
    columns.append([f"{one.images}" for one in sets])
    for kind in (kind for kind in KINDS if any(kind in one.ours for one in sets)):
        heads.append(f"{KINDS[kind]}, ours")
        columns.append([f"{one.ours[kind]:.1f}" if kind in one.ours else "" for one in sets])
        if any(one.published.get(kind) for one in sets):
            heads += ["paper", "open_clip", "off by"]
            columns += [
                [_values(one, kind, False) for one in sets],
                [_values(one, kind, True) for one in sets],
                [_off_by(one, kind) for one in sets],
            ]
    return tabulate(list(zip(*columns, strict=True)), heads, disable_numparse=True)


def _off_by(one: ComparedSet, kind: str) -> str:
    judged = one.nearest(kind)
    return "-" if judged is None else f"{judged.gap:+.1f}{'*' if judged.differs else ''}"


def _values(one: ComparedSet, kind: str, open_clip: bool) -> str:
    """Published values; in brackets those of another task."""
    found: dict[str, None] = {}
    for each in one.published.get(kind, ()):
        if (each.published.source == OPEN_CLIP) == open_clip:
            value = f"{each.published.value:.1f}"
            found[value if each.comparable else f"({value})"] = None
    return " / ".join(found) or "-"


def _differences(sets: Sequence[ComparedSet]) -> list[str]:
    """What is known to differ from what is published, a line a set and source."""
    lines: dict[str, None] = {}
    for one in sets:
        for beside in one.published.values():
            for each in beside:
                if each.differs:
                    other = "" if each.comparable else " (another task, not compared)"
                    source = f"{one.title}, {each.published.source}"
                    lines[f"  {source}: {'; '.join(each.differs)}{other}"] = None
    return ["* measured otherwise there:", *lines] if lines else []


def _verdict(sets: Sequence[ComparedSet]) -> list[str]:
    judged = [each for one in sets for each in one.gaps().values()]
    if not judged:
        return []
    tolerance = f"{OFF:g} points ({OFF_LOOSE:g} where it is measured otherwise)"
    off = [
        f"{one.title} ({KINDS[kind]} {each.gap:+.1f})"
        for one in sets
        for kind, each in one.gaps().items()
        if abs(each.gap) > each.tolerance
    ]
    advice = advise(sets)
    head = f"off by more than {tolerance}: {', '.join(off)}" if off else (
        f"no set is off by more than {tolerance}"
    )  # fmt: skip
    return [head, *advice]
