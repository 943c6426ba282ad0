"""One run as matrices of stages and datasets."""

from typing import TYPE_CHECKING

import numpy as np

from ..errors import BenchError
from ..metrics.continual import ScoreMatrix
from ..records.schema import Columns

if TYPE_CHECKING:
    import pandas as pd


def select_score(
    frame: "pd.DataFrame", direction: str | None, metric: str, k: int | None
) -> "pd.DataFrame":
    """The rows of one score; arguments as in `matrix`."""
    chosen = frame["metric"] == metric
    chosen &= frame["direction"].isna() if direction is None else frame["direction"] == direction
    chosen &= frame["k"].isna() if k is None else (frame["k"] == k).fillna(False)
    return frame[chosen.astype(bool)]


def _recorded(frame: "pd.DataFrame") -> str:
    import pandas as pd

    kinds = frame[["metric", "direction", "k"]].drop_duplicates().astype(object)
    words = (
        " ".join(str(word) for word in kind if not pd.isna(word))
        for kind in kinds.itertuples(index=False)
    )
    return ", ".join(sorted(words))


def matrix(
    frame: "pd.DataFrame", direction: str | None, metric: str = "hit", k: int | None = 1
) -> "pd.DataFrame":
    """One score of one run, stage by dataset.

    Args:
        frame: the rows of one run.
        direction: i2t or t2i; None for labelled sets.
        metric: hit (Recall@K), acc (accuracy) or route, as in records.
        k: the K of Recall@K (or the index of a route); None for acc.

    Returns:
        Fractions in [0, 1], NaN where there is no value. Rows `0 zero-shot`, `1 <task>`, ...;
        columns the learned datasets that have the score, in learned order, then the held-out ones.

    Raises:
        BenchError: the run has no such score.
    """
    import pandas as pd

    rows = select_score(frame, direction, metric, k)
    if rows.empty:
        asked = " ".join(str(word) for word in (metric, direction, k) if word is not None)
        raise BenchError(
            "a score that the record has", f"'{asked}'", f"choose one of {_recorded(frame)}"
        )
    names = rows[["eval_position", "eval_task"]].drop_duplicates()
    names = names.sort_values(["eval_position", "eval_task"], na_position="last")
    table = rows.pivot(index="step", columns="eval_task", values="value")
    steps = range(int(frame["n_steps"].iloc[0]) + 1)
    table = table.reindex(index=list(steps), columns=names["eval_task"].tolist())
    learned = ["zero-shot", *frame["task_order"].iloc[0].split(",")]
    table.index = pd.Index([f"{step} {learned[step]}" for step in steps], name="stage")
    table.columns.name = None
    return table.astype("float64")


def score_matrix(columns: Columns, direction: str) -> ScoreMatrix:
    """The matrix R of `benchmark.metrics.continual` for one run.

    Args:
        columns: of the rows of one run.
        direction: i2t or t2i. A labelled task has one accuracy, which counts for both.

    Returns:
        Fractions, shape (T + 1, T), columns in learned order: Recall@1 of pairs, accuracy of
        labelled tasks, NaN where there is no value.
    """
    size = columns["n_steps"][0]
    R = np.full((size + 1, size), np.nan)
    names = ("metric", "direction", "value", "k", "step", "eval_position")
    rows = zip(*(columns[name] for name in names), strict=True)
    for metric, way, value, k, step, place in rows:
        if place and (metric == "acc" or (metric == "hit" and k == 1 and way == direction)):
            R[step, place - 1] = np.nan if value is None else value
    return R
