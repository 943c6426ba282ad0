"""One run as matrices, and its summary for the terminal."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from tabulate import tabulate

from ..metrics.continual import (
    final_average,
    forgetting_from_learned,
    known,
    mean_average,
    mean_transfer,
)
from ..records.naming import method_label
from ..records.schema import columns_of
from .cells import MISSING, distinct
from .matrix import score_matrix, select_score
from .spec import DIRECTIONS

if TYPE_CHECKING:
    import pandas as pd


def _percent(value: float, sign: str = "") -> str:
    # Adding 0.0 turns -0.0 into 0.0.
    return MISSING if np.isnan(value) else f"{round(100 * value, 1) + 0.0:{sign}.1f}"


def _text_table(lines: Iterable[Sequence[str]], heads: Sequence[str]) -> str:
    align = ("left", *["right"] * (len(heads) - 1))
    return tabulate(lines, heads, tablefmt="simple", disable_numparse=True, colalign=align)


def render_matrix(table: "pd.DataFrame", head: str = "stage") -> str:
    """A matrix of `matrix` as text, in percent with one decimal; a dash where there is no value."""
    lines = [
        [str(stage), *(_percent(value) for value in row)]
        for stage, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return _text_table(lines, [head, *table.columns])


def _ending(frame: "pd.DataFrame", head: str, direction: str | None) -> str:
    """Three rows: the method at the end, the untouched backbone, the change."""
    metric, k = ("acc", None) if direction is None else ("hit", 1)
    kind = "labelled" if direction is None else "pairs"
    learned = frame[frame["eval_position"].notna() & (frame["kind"] == kind)]
    titles = learned.sort_values("eval_position").drop_duplicates("eval_task")
    rows = select_score(learned, direction, metric, k).set_index("eval_task")
    end = int(frame["n_steps"].iloc[0])
    first, final = (rows[rows["step"] == step].reindex(titles["eval_task"]) for step in (0, end))
    start, values = (part["value"].to_numpy(dtype=np.float64) for part in (first, final))
    shown = [
        status if isinstance(status, str) and status != "ok" else _percent(value)
        for value, status in zip(values, final["status"], strict=True)
    ]
    change = values - start
    one = frame.iloc[0]
    lines = [
        [method_label(one["method"], one["variant"], one["settings"]), *shown,
         _percent(values.mean())],
        ["zero-shot", *map(_percent, start), _percent(start.mean())],
        ["change", *(_percent(x, "+") for x in change), _percent(change.mean(), "+")],
    ]  # fmt: skip
    heads = distinct(dict(zip(titles["eval_task"], titles["eval_title"], strict=True)))
    return _text_table(lines, [head, *heads.values(), "Avg."])


SUMMARY = {
    "Transfer": mean_transfer,
    "Average": mean_average,
    "Last": final_average,
    "Forgetting": forgetting_from_learned,
}


def _summary(frame: "pd.DataFrame") -> str:
    R, words = score_matrix(columns_of(frame), "i2t"), []
    for name, metric in SUMMARY.items():
        value = known(metric, R)
        words.append(f"{name} {MISSING if value is None else _percent(value)}")
    return "   ".join(words)


def final_row(frame: "pd.DataFrame") -> str:
    """What a finished run achieved, for the terminal: the row of Table 1 beside zero-shot.

    Args:
        frame: the rows of one run.

    Returns:
        Recall@1 in percent, text to image and image to text, of the learned pairs datasets; and
        the accuracy of the labelled ones, with Transfer, Average, Last and Forgetting when all
        are labelled.
    """
    learned = frame[frame["eval_position"].notna()]
    kinds = set(learned["kind"])
    parts = []
    if "pairs" in kinds:
        parts += [_ending(frame, f"{arrow} R@1", direction) for direction, arrow in DIRECTIONS]
    if "labelled" in kinds:
        parts.append(_ending(frame, "Accuracy", None))
    if kinds == {"labelled"}:
        parts.append(_summary(frame))
    return "\n\n".join(parts)
