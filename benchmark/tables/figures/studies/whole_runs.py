"""Figures 7 and 8 of the CoDyRA paper: where updates act, their rank, and how they are pruned.

From the records of whole runs, those that `cl-bench study insertion` and `pruning` ask for and any
others of the same kind.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from ....records.naming import overrides, suite_folder
from ...run_numbers import At, Metric, RunNumbers
from ...spec import PRUNED, backbone_key
from ..charts import make_axis
from .panels import COLOURS, MARKERS, Analysis, Cloud, Dot, Dots, Strip, Value, edges, over_seeds

INSERTION, PRUNING = "codyra-insertion", "codyra-pruning"
TITLES = {
    INSERTION: "CoDyRA: where updates act, and their initial rank",
    PRUNING: "CoDyRA: the largest threshold, and the share of dense steps",
}
KEYS = {INSERTION: ("rank", "targets"), PRUNING: ("kappa_max", "dense")}
_TEST = "An analysis on test data, by which nothing was chosen. Bars: ± one standard deviation."
_ABOUT = {
    INSERTION: ("Means over tasks, order I. Numbers: initial ranks.", _TEST),
    PRUNING: (
        "Means over tasks, order I. Numbers: the setting that is varied; all else as the method "
        "has it on the suite.", _TEST,
    ),
}  # fmt: skip


class Line(NamedTuple):
    """One setting of a study, and its numbers in percent over seeds."""

    kind: str
    value: str
    seeds: int
    transfer: Value
    average: Value
    last: Value


def changed(settings: str) -> dict[str, str]:
    """Setting -> value, of a record's overrides."""
    return dict(one.strip().split("=", 1) for one in overrides(settings))


def is_study_row(method: str, variant: str, settings: str) -> bool:
    """Whether a run is one of a study, and no row among the methods."""
    keys = changed(settings).keys()
    known = [set(KEYS[INSERTION]), {"kappa_max"}, {"dense"}]
    return method == PRUNED and not variant and bool(keys) and any(keys <= one for one in known)


def place_of(targets: str) -> str:
    """The maps of `--hp targets` in words: "image tower, all maps"."""
    named = set(targets.split(","))
    towers = {t.partition(".")[0] for t in named}
    tower = f"{towers.pop()} tower" if towers in ({"image"}, {"text"}) else "both towers"
    bare = {t.removeprefix("image.").removeprefix("text.") for t in named}
    attention = {"attn.q", "attn.k", "attn.v", "attn.out_proj"}
    for words, maps in (("attention", attention), ("MLP", {"mlp.c_fc", "mlp.c_proj"})):
        if bare == maps:
            return f"{tower}, {words}"
    whole = len(bare) == 6
    return f"{tower}, all maps" if whole else f"{tower}, {', '.join(sorted(bare))}"


def _means(runs: Sequence[RunNumbers]) -> tuple[Value, Value, Value] | None:
    """Transfer, Average and Last over tasks; None over a hole."""
    found = []
    for metric in (Metric.TRANSFER, Metric.AVERAGE, Metric.ACCURACY):
        values = []
        for run in runs:
            names = [n for n, one in run.sets.items() if one.position > (metric == Metric.TRANSFER)]
            value, _ = run.outcome(
                At("", "", metric, None, None)._replace(dataset="average"), names
            )
            if value is None:
                return None
            values.append(100 * value)
        found.append(over_seeds(values))
    return found[0], found[1], found[2]


def _settings(run: RunNumbers) -> Mapping[str, str]:
    """All settings of a run that its record tells, in words."""
    config = run.asked.get("config", {})
    return {k: ",".join(v) if isinstance(v, list) else str(v) for k, v in config.items()}


def lines_of(figure: str, runs: Sequence[RunNumbers]) -> list[Line]:
    """The settings of a study that there are runs of, in order; the plain method is one of each.

    Args:
        figure: `INSERTION` or `PRUNING`.
        runs: of one group, compared with others, forward.
    """
    lines: dict[tuple[str, str], list[RunNumbers]] = {}
    for run in runs:
        if run.method != PRUNED or run.variant or not run.worlds & {"own", "union"}:
            continue
        keys, told = changed(run.settings).keys(), _settings(run)
        if figure == INSERTION and keys <= {"rank", "targets"} <= told.keys():
            lines.setdefault((place_of(told["targets"]), told["rank"]), []).append(run)
        for key in KEYS[PRUNING] if figure == PRUNING else ():
            if keys <= {key} and key in told:
                lines.setdefault((key, told[key]), []).append(run)
    found = [
        Line(kind, value, len(some), *means)
        for (kind, value), some in lines.items() if (means := _means(some)) is not None
    ]  # fmt: skip
    found.sort(key=lambda line: (line.kind, float(line.value)))
    kinds = [line.kind for line in found]
    return [line for line in found if figure == INSERTION or kinds.count(line.kind) > 1]


def _cloud(title: str, lines: Sequence[Line]) -> Cloud:
    kinds = []
    for number, (kind, some) in enumerate(groupby(lines, key=lambda line: line.kind)):
        dots = tuple(
            Dot(one.transfer, one.last, f"{float(one.value):.4g}", (("Average (%)", one.average),))
            for one in some
        )
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        kinds.append(Dots(kind, colour, marker, dots, joined=True))
    return Cloud(
        title, "Transfer (%)", "Last (%)", make_axis(edges(line.transfer for line in lines)),
        make_axis(edges(line.last for line in lines)), tuple(kinds),
    )  # fmt: skip


def groups_of(runs: Sequence[RunNumbers]) -> Iterator[tuple[tuple[str, ...], list[RunNumbers]]]:
    """Comparable runs of order I, by group, in the order of pages."""
    mine = [run for run in runs if run.order == "forward" and not run.why]
    mine.sort(key=lambda run: (run.group[:2], backbone_key(run.group[2]), run.group[3], run.seed))
    for group, some in groupby(mine, key=lambda run: run.group):
        yield group, list(some)


def make_run_figures(runs: Sequence[RunNumbers]) -> dict[str, Analysis]:
    """File name without suffix -> figure, for every suite with at least two settings."""
    strips: dict[tuple[str, str], list[Strip]] = {}
    for group, some in groups_of(runs):
        heading = "{} {}, {} ({}), order I".format(*group)
        for figure in TITLES:
            lines = lines_of(figure, some)
            if len(lines) < 2:
                continue
            seeds = sorted({line.seeds for line in lines})
            said = (
                f"{heading}, seeds: {' to '.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))}"
            )
            parts = [("Transfer against Last", lines)]
            if figure == PRUNING:
                parts = [(k, list(one)) for k, one in groupby(lines, key=lambda line: line.kind)]
            panels = tuple(_cloud(title, part) for title, part in parts)
            strips.setdefault((figure, group[0]), []).append(Strip(said, panels, len(panels)))
    return {
        f"{figure}-{suite_folder(suite)}": Analysis(
            f"{TITLES[figure]}: suite {suite}", _ABOUT[figure], tuple(found)
        )
        for (figure, suite), found in strips.items()
    }
