"""`cl-bench compare --all`: the methods of a suite with their rank intervals."""

import json
from collections.abc import Iterator
from itertools import pairwise
from math import sqrt
from pathlib import Path
from statistics import fmean, variance
from typing import Any

from ...errors import BenchError, nearest, quoted
from ...records.naming import suite_folder
from ...records.schema import validate_name
from ...records.store import Record, read_record, record_files
from ...stats.answered import Measured
from ...stats.multiple import Correction
from ...stats.paired import Cell, error_of_mean
from ...stats.report.words import Passage, percent, render, shown_interval, shown_p, what
from ...stats.summaries import Question
from ...validation.inspect import standings
from ..groups import judge
from .certainty import SectionRanks, rank_section
from .legend import SEEDS_TO_RANK
from .lines import BoardLine, BoardSection, contends, sections

_NAMES = {"holm": "Holm's", "bh": "Benjamini and Hochberg's", "none": "no"}


class _Section:
    """One section, ranked by a question."""

    def __init__(
        self, board: BoardSection, question: Question, alpha: float, correction: Correction
    ) -> None:
        self.group, self.question, self.alpha, self.correction = (
            board.group, question, alpha, correction,
        )  # fmt: skip
        self.left_out: dict[str, str] = {}
        self.numbers: dict[str, dict[Cell, Measured]] = {}
        lines = {line.label: line for line in board.lines if self._ranked(line)}
        self.ranks: SectionRanks = rank_section(
            {label: line.answers for label, line in lines.items()},
            SEEDS_TO_RANK, question, alpha, correction,
        )  # fmt: skip
        means = {label: _mean(numbers) for label, numbers in self.numbers.items()}
        self.order = sorted(means, key=lambda one: (-question.sign * means[one], one))
        self.means = means

    def _ranked(self, line: BoardLine) -> bool:
        if not contends(line):
            self.left_out[line.label] = line.unranked() or "no method that is ranked"
            return False
        numbers = line.answers.numbers(self.question)
        if not numbers:
            self.left_out[line.label] = f"no {self.question.summary}"
            return False
        self.numbers[line.label] = numbers
        return True

    def pair(self, a: str, b: str) -> dict[str, Any]:
        """One comparison: a minus b."""
        ranking = self.ranks.ranking
        turned = (a, b) not in ranking.adjusted
        one = ranking.pairs.get((b, a) if turned else (a, b))
        if one is None:
            return {"a": a, "b": b, "difference": None, "interval": None, "p": None}
        sign, interval = (-1 if turned else 1), one.interval(self.alpha)
        if interval is not None and turned:
            interval = -interval[1], -interval[0]
        return {
            "a": a, "b": b, "difference": sign * one.difference + 0.0, "interval": interval,
            "p": one.p, "p_corrected": ranking.adjusted[(b, a) if turned else (a, b)],
            "runs": len(one.grid.cells),
        }  # fmt: skip

    def blocks(self) -> Iterator[Passage]:
        """Title, the ranks, and neighbours."""
        title = "{} {}, {} ({})".format(*self.group)
        ranking, n = self.ranks.ranking, len(self.order)
        if not n:
            yield Passage((title, "No method is ranked.", *self._reasons()))
            return
        any_run = next(iter(self.numbers[self.order[0]].values()))
        labelled = {term.direction is None for term in any_run.terms}
        number = what(self.question, labelled == {True}, len(labelled) > 1)
        tests = f"{len(ranking.pairs)} comparisons, {_NAMES[self.correction]} correction"
        text = [
            title,
            f"{number[0].upper()}{number[1:]}. Rank intervals by {tests}, {100 * self.alpha:g} %.",
        ]
        if self.ranks.smallest is not None:
            text.append(
                f"Smallest difference that a single comparison finds with 80 % power, "
                f"{SEEDS_TO_RANK} seeds: {self.ranks.smallest:.1f} points."
            )
        lines = [(str(ranking.tiers[label]), label, self._score(label)) for label in self.order]
        text.append("Percent: mean ± deviation over seeds (standard error from the test images).")
        yield Passage(tuple(text), ("rank", "method", "score"), tuple(lines))
        if n > 1:
            level = f"{100 * (1 - self.alpha):g} %"
            heads = ("method", "next", "difference", f"{level} interval", "p", "p, corrected")
            shown = [self.pair(a, b) for a, b in pairwise(self.order)]
            yield Passage(("Neighbours.",), heads, tuple(_neighbour(one) for one in shown))
        if self.left_out:
            yield Passage(("Left out:", *self._reasons()))

    def _reasons(self) -> list[str]:
        return [f"- {label}: {why}" for label, why in sorted(self.left_out.items())]

    def _score(self, label: str) -> str:
        spread = _deviation(self.numbers[label])
        shown = percent(self.means[label])
        shown += "" if spread is None else f" ± {percent(spread)}"
        return f"{shown} ({percent(self._error(label))})"

    def _error(self, label: str) -> float:
        numbers = self.numbers[label]
        orders = {order for order, _ in numbers}
        weights = [
            1 / (len(orders) * sum(cell[0] == order for cell in numbers)) for order, _ in numbers
        ]
        return error_of_mean(list(numbers.values()), weights)

    def data(self) -> dict[str, Any]:
        """All of it, as JSON."""
        names = ("suite", "suite_version", "backbone", "pretrained")
        tiers = self.ranks.ranking.tiers
        return {
            **dict(zip(names, self.group, strict=True)),
            "smallest_difference_points": self.ranks.smallest,
            "methods": [
                {
                    "label": label,
                    "rank": [tiers[label].best, tiers[label].worst],
                    "mean": self.means[label],
                    "deviation_over_seeds": _deviation(self.numbers[label]),
                    "standard_error_test_images": self._error(label),
                }
                for label in self.order
            ],
            "pairs": [
                self.pair(a, b)
                for place, a in enumerate(self.order)
                for b in self.order[place + 1 :]
            ],
            "left_out": self.left_out,
        }


def _by_order(numbers: dict[Cell, Measured]) -> list[list[float]]:
    orders = sorted({order for order, _ in numbers})
    return [[one.value for (o, _), one in numbers.items() if o == order] for order in orders]


def _mean(numbers: dict[Cell, Measured]) -> float:
    return fmean(fmean(values) for values in _by_order(numbers))


def _deviation(numbers: dict[Cell, Measured]) -> float | None:
    every = _by_order(numbers)
    if min(map(len, every)) < 2:
        return None
    return sqrt(fmean(variance(values) for values in every))


def _neighbour(one: dict[str, Any]) -> tuple[str, ...]:
    return (
        one["a"], one["b"], percent(one["difference"], "+"), shown_interval(one["interval"]),
        shown_p(one["p"]), shown_p(one.get("p_corrected")),
    )  # fmt: skip


def _sections(records: list[Record]) -> Iterator[BoardSection]:
    return sections(judge(records, standings(records)))


def _records(results: Path, suite: str | None) -> list[Record]:
    if not results.is_dir():
        fix = "check the path, or run a method"
        raise BenchError("a folder of results", f"no folder '{results}'", fix, code=4)
    files = record_files(results)
    if suite is not None:
        here = [path for path in files if path.parent.name == suite_folder(suite)]
        if not here:
            fix = nearest(suite, {path.parent.name for path in files})
            raise BenchError(f"records of suite {quoted(suite)} in '{results}'", "none", fix, 4)
        files = here
    records = []
    for path in files:
        record = read_record(path)
        validate_name(record.row, path)
        records.append(record)
    return records


def tier_report(
    results: Path,
    suite: str | None,
    backbone: str | None,
    question: Question,
    alpha: float,
    correction: Correction,
    of_captions: tuple[str, ...],
    as_json: bool,
    markdown: bool,
) -> str:
    """All ranked methods of a results folder, suite by suite, with rank intervals.

    Args:
        results: holds `<suite>/<record>.parquet`.
        suite: None for all.
        backbone: None for all.
        question: what they are ranked by.
        alpha: of all tests of a section together.
        correction: for their number.
        of_captions: options that were given and mean nothing where all sets are labelled.
        as_json: rather than text.
        markdown: rather than plain text.

    Raises:
        BenchError: code 4 without such records; 5 for invalid ones, or none with evidence.
    """
    every = list(_sections(_records(results, suite)))
    found = [one for one in every if backbone in (None, one.group[2])]
    if not found:
        fix = nearest(backbone or "", {one.group[2] for one in every})
        raise BenchError(f"records on backbone {quoted(backbone)}", "none", fix, 4)
    if of_captions and not any(one.pairs for one in found):
        got = "labelled sets alone, which have one accuracy"
        raise BenchError(
            f"image-caption sets for {of_captions[0]}", got, f"leave out {of_captions[0]}"
        )
    shown = [_Section(one, question, alpha, correction) for one in found]
    if not any(one.order for one in shown):
        reasons = sorted({why for one in shown for why in one.left_out.values()})
        raise BenchError(
            f"methods to rank by '{question.summary}'", "; ".join(reasons),
            "run them in both orders with three seeds each", 5,
        )  # fmt: skip
    if as_json:
        data = {
            "schema": 1, "alpha": alpha, "correction": correction,
            "metric": question.summary, "k": question.k, "direction": question.direction,
            "sections": [one.data() for one in shown],
        }  # fmt: skip
        return json.dumps(data, indent=2, ensure_ascii=False)
    parts = (render(list(one.blocks()), markdown) for one in shown)
    return "\n\n".join(parts)
