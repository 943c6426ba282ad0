"""A comparison in words: blocks that are written as plain text or as markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

from tabulate import tabulate

from ...errors import visible
from ..paired import LEAST_SEEDS
from ..summaries import Question
from .numbers import CountedSet, Interval, SetDifference, Versus, mcnemars, newcombes

MISSING = "–"  # noqa: RUF001 - an en dash is what a table wants here
_SHORT = {"t2i": "T→I", "i2t": "I→T", None: ""}
_SUMMARIES = {
    "hit": "Recall@{k}",
    "acc": "accuracy",
    "final": "{score} at the end",
    "delta": "{score} at the end minus that of the untouched backbone",
    "learning": "{score} just after learning minus that of the untouched backbone",
    "forgetting": "{score} just after learning minus that at the end (less is better)",
    "transfer": "{score} before a set is learned, mean over these steps",
    "average": "{score}, mean over all steps",
    "ood": "{score} at the end minus that of the untouched backbone, held-out sets",
}
_MARKUP = {"|": "\\|", "<": "&lt;", ">": "&gt;", "](": "]\\(", "://": ":&#47;&#47;"}
_WAYS = {"t2i": "text to image", "i2t": "image to text", "both": "mean of both directions"}


@dataclass(frozen=True)
class Passage:
    """A part of a report: lines of text, or a table below a heading.

    Attributes:
        text: sentences, one a line.
        heads: of the table's columns; none where there is no table.
        lines: of the table; the first column is text, the others are numbers.
    """

    text: tuple[str, ...]
    heads: tuple[str, ...] = ()
    lines: tuple[tuple[str, ...], ...] = ()


def percent(value: float | None, sign: str = "", digits: int = 2) -> str:
    """A fraction in percent; a dash for none."""
    if value is None:
        return MISSING
    return f"{round(100 * value, digits) + 0.0:{sign}.{digits}f}"  # adding 0.0 turns -0.0 into 0.0


def shown_p(p: float | None) -> str:
    """A p-value with two digits that count; a dash for none."""
    if p is None:
        return MISSING
    return "<0.0001" if p < 1e-4 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def shown_interval(interval: Interval | None) -> str:
    """`[+1.20, +3.40]` in points; a dash for none."""
    if interval is None:
        return MISSING
    return f"[{percent(interval[0], '+')}, {percent(interval[1], '+')}]"


def what(question: Question, labelled: bool, mixed: bool = False) -> str:
    """Which number is compared."""
    score = "accuracy" if labelled else f"Recall@{question.k}"
    score = f"{score} (accuracy of labelled sets)" if mixed and not labelled else score
    text = _SUMMARIES[question.summary].format(k=question.k, score=score)
    if question.summary in ("hit", "acc"):
        text += " at the end" if question.step is None else f" after {question.step} tasks"
    return text if labelled else f"{text}, {_WAYS[question.direction]}"


def _many(count: int, noun: str, several: str = "") -> str:
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def blocks(found: Versus) -> Iterator[Passage]:
    """The parts of a report, most important first."""
    suite, version, backbone, pretrained = found.group
    title = f"{found.a} against {found.b}: {suite} {version}, {backbone} ({pretrained})"
    yield Passage((title, *_about(found)))
    one = found.found
    level = f"{100 * (1 - found.wanted.alpha):g} %"
    interval = found.interval if one.sure else found.images
    of_images = "" if one.sure else ", images alone"
    yield Passage(
        ("Percent, and points of difference.",),
        (found.a, found.b, "difference", f"{level} interval{of_images}", "p"),
        ((percent(one.a), percent(one.b), percent(one.difference, "+"),
          shown_interval(interval), shown_p(one.p)),),
    )  # fmt: skip
    yield Passage((_verdict(found),))
    yield _causes(found, level)
    if found.over_sets is not None:
        over = found.over_sets
        yield Passage((
            f"Another question: if the {over.sets} sets were draws of all sets that there could be "
            f"(they are fixed above), the interval would be {shown_interval(over.interval)}, "
            f"p = {shown_p(over.p)} ({_many(over.df, 'degree')} of freedom).",
        ))  # fmt: skip
    if found.sets:
        yield from _set_blocks(found, level)
    else:
        yield _counted(found.counted)
    if found.left_out:
        yield Passage(("Left out:", *(f"- {one}" for one in found.left_out)))
    if found.remarks:
        yield Passage(found.remarks)


def _about(found: Versus) -> Iterator[str]:
    kinds = {one.direction is None for one in found.counted}
    tasks = {one.task for one in found.counted}
    number = what(found.wanted.question, kinds == {True}, len(kinds) > 1)
    yield f"{number[0].upper()}{number[1:]}; mean over {_many(len(tasks), 'set')}."
    grid = found.found.grid
    images = sum({one.task: one.images for one in found.counted}.values())
    queries = sum(one.queries for one in found.counted)
    yield (
        f"Paired: {_many(len(grid.cells), 'run')} of each ({_list('order', grid.orders)}; "
        f"{_list('seed', grid.seeds)}), query by query: {_many(images, 'test image')}, "
        f"{_many(queries, 'query', 'queries')} a run."
    )


def _list(noun: str, items: Sequence[object]) -> str:
    return f"{noun}{'s' * (len(items) > 1)} {', '.join(map(str, items))}"


def _verdict(found: Versus) -> str:
    one = found.found
    if one.p is None:
        n = len(one.grid.seeds)
        runs = {1: "one training run", 2: "two training runs"}[n]
        return (
            f"No verdict: {runs} of each{' an order' if len(one.grid.orders) > 1 else ''}, where "
            f"{LEAST_SEEDS} seeds are needed to know what another training would give."
        )
    tests = "one test, no correction"
    alpha = f"{100 * found.wanted.alpha:g} %"
    if one.p > found.wanted.alpha:
        return f"Not told apart at {alpha} ({tests})."
    ahead = one.difference * found.wanted.question.sign > 0
    return f"{found.a if ahead else found.b} is better, at {alpha} ({tests})."


def _causes(found: Versus, level: str) -> Passage:
    one, n = found.found, len(found.found.grid.seeds)
    shown: list[tuple[str, str, str]] = [
        ("test images", percent(sqrt(one.images)), shown_interval(found.images))
    ]
    text = [
        "Where the uncertainty comes from. Test images: the trained models given, interval by the "
        f"cluster bootstrap over images ({found.wanted.resamples:,} resamples; all captions of an "
        "image are drawn together)."
    ]
    if one.sure:
        shown.append(("training", percent(sqrt(one.training)), MISSING))
        shown.append(("both", percent(one.error), shown_interval(found.interval)))
        text.append(
            f"Training: {n} seeds, each the mean over its orders, {one.df} degrees of freedom "
            "(Student's t). Both: what the seeds' spread has of test images is not counted twice."
        )
    heads = ("cause", "standard error", f"{level} interval")
    return Passage(tuple(text), heads, tuple(shown))


def _counted(counted: Sequence[CountedSet]) -> Passage:
    lines = [
        (_name(one), f"{one.images:,}", f"{one.queries:,}", percent(one.chance)) for one in counted
    ]
    heads = ("set", "images", "queries", "chance")
    return Passage(("What it is a mean over; chance is the score of blind answers.",), heads,
                 tuple(lines))  # fmt: skip


def _name(one: CountedSet) -> str:
    return f"{one.task} {_SHORT[one.direction]}".strip()


def _set_blocks(found: Versus, level: str) -> Iterator[Passage]:
    sure = found.found.sure
    wanted = found.wanted
    names = {"holm": "Holm's", "bh": "Benjamini and Hochberg's", "none": "no"}
    text = [f"Set by set, {len(found.sets)} tests, {names[wanted.correction]} correction."]
    heads = ["set", "images", "queries", "chance", found.a, found.b, "difference"]
    heads += [f"{level} interval", "p", "p, corrected"] if sure else [f"{level} interval, images"]
    if not sure:
        text = ["Set by set; intervals are over test images alone (cluster bootstrap)."]
    lines = [tuple(_line(one, sure, wanted.alpha)) for one in found.sets]
    yield Passage(tuple(text), tuple(heads), tuple(lines))
    if any(one.counts for one in found.sets):
        yield _independent(found, level)


def _line(one: SetDifference, sure: bool, alpha: float) -> Iterator[str]:
    counted, diff = one.counted, one.found
    yield from (_name(counted), f"{counted.images:,}", f"{counted.queries:,}")
    yield from (percent(counted.chance), percent(diff.a), percent(diff.b))
    yield percent(diff.difference, "+")
    if sure:
        yield from (shown_interval(diff.interval(alpha)), shown_p(diff.p), shown_p(one.p))
    else:
        yield shown_interval(one.images)


def _independent(found: Versus, level: str) -> Passage:
    """McNemar and Newcombe for every pair of runs."""
    mid = ", mid-p" if found.wanted.mid_p else ""
    text = (
        "Captions taken as independent, which those of one image are not: McNemar's exact test"
        f"{mid} and Newcombe's interval of single pairs of trained models, without correction. "
        "They say nothing of another training.",
    )
    lines = []
    for one in found.sets:
        tests = zip(
            one.counts.items(), mcnemars(one, found.wanted.mid_p),
            newcombes(one, found.wanted.alpha), strict=True,
        )  # fmt: skip
        for ((order, seed), counts), p, interval in tests:
            lines.append(
                (_name(one.counted), f"{order} {seed}", str(counts.only_a), str(counts.only_b),
                 percent(counts.difference, "+"), shown_interval(interval), shown_p(p))
            )  # fmt: skip
    heads = ("set", "run", f"only {found.a}", f"only {found.b}", "difference", f"{level} interval",
             "McNemar p")  # fmt: skip
    return Passage(text, heads, tuple(lines))


def render(parts: Sequence[Passage], markdown: bool) -> str:
    """A report as plain text, or as markdown."""
    shown = []
    for number, part in enumerate(parts):
        lines = [_safe(line, markdown) for line in part.text]
        if markdown:
            mark = "### " if number == 0 else ""
            body = [line if line.startswith("- ") else f"{line}  " for line in lines[1:]]
            lines = [f"{mark}{lines[0]}", *([""] if mark else []), *body]
        shown.append("\n".join(lines).rstrip())
        if part.heads:
            shown.append(_table(part, markdown))
    return "\n\n".join(shown)


def _table(part: Passage, markdown: bool) -> str:
    texts = {"set", "cause", "run", "method"}
    align = ["left" if head in texts else "right" for head in part.heads]
    safe = [[_safe(text, markdown) for text in line] for line in part.lines]
    heads = [_safe(head, markdown) for head in part.heads]
    return tabulate(
        safe, heads, tablefmt="pipe" if markdown else "simple", disable_numparse=True,
        colalign=align,
    )  # fmt: skip


def _safe(text: str, markdown: bool) -> str:
    """A text on one line that changes nothing around it: labels may be anybody's words."""
    shown = visible(text)
    for mark, safe in _MARKUP.items() if markdown else ():
        shown = shown.replace(mark, safe)
    return shown
