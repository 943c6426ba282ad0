"""From a run's cells to tidy rows, and to what every query got."""

from typing import Any

import numpy as np

from ...data.tensors import PairTensors
from ...records.evidence import AnswerKey, Evidence, Integers, Where, levels_of
from ..evaluate import EvalSet, Row, Scores
from ..inputs import Inputs
from ..request import Plan

Cell = tuple[int, EvalSet, Scores]


def score_text(rows: list[Row]) -> str:
    """The main score of a set, for the live view: I2T R@1 or accuracy in percent."""
    for row in rows:
        if row["value"] is not None and (row["direction"], row["k"]) in (("i2t", 1), (None, None)):
            return f"{100 * row['value']:.1f}"
    return "failed"


def rows_of(plan: Plan, inputs: Inputs, cells: list[Cell]) -> list[Row]:
    """Every cell's rows with the columns of the record (see `records.schema.SCHEMA`)."""
    settings = ",".join(f"{k}={v}" for k, v in plan.settings.items())
    common = {
        "suite": plan.suite.name,
        "suite_version": plan.suite.version,
        "method": plan.method.name,
        "variant": plan.method.variant,
        "settings": settings,
        "backbone": plan.backbone,
        "pretrained": plan.pretrained,
        "order": plan.request.order,
        "task_order": ",".join(inputs.order),
        "seed": plan.request.seed,
        "n_steps": len(inputs.order),
        "uses": ",".join(sorted(plan.method.uses)),
        "source": "measured",
    }
    rows = []
    for step, which, scores in cells:
        place = {
            "step": step,
            "step_task": inputs.order[step - 1] if step else None,
            "eval_task": which.name,
            "eval_title": which.title,
            "eval_position": None if which.position is None else which.position + 1,
            "role": _role(step, which.position),
            "kind": "labelled" if which.scope else "pairs",
            "label_space": which.label_space,
        }
        for row in scores.rows:
            rows.append({**common, **place, "status": "ok", "error": None, **row})
    return rows


def _role(step: int, position: int | None) -> str:
    if position is None:
        return "ood"
    learned = position + 1
    return "future" if learned > step else "current" if learned == step else "seen"


def ranks_of(cells: list[Cell]) -> list[dict[str, Any]]:
    """Rank of the first positive (0 = first) of every query, or of an image's right class."""
    return [
        {"step": step, "eval_task": which.name, "direction": direction, "query": q, "rank": rank}
        for step, which, scores in cells
        for direction, ranks in scores.ranks.items()
        for q, rank in enumerate(ranks)
    ]


def evidence_of(cells: list[Cell], run: str) -> Evidence:
    """What every query got, at every stage that was scored.

    Args:
        cells: of all stages.
        run: sha256 of the run's identity.
    """
    keys: dict[str, AnswerKey] = {}
    answers: dict[Where, Integers] = {}
    for step, which, scores in cells:
        pairs = isinstance(which.data, PairTensors)
        keys[which.name] = AnswerKey("pairs" if pairs else "labelled", which.right_N().numpy())
        if scores.guesses:
            answers[which.name, None, step] = np.array(scores.guesses)
        elif pairs:
            for direction, ranks in scores.ranks.items():
                answers[which.name, direction, step] = levels_of(ranks)
    # A set's stages stand together: what does not change from one to the next takes no room.
    return Evidence(keys, dict(sorted(answers.items(), key=lambda item: _place(item[0]))), run)


def _place(where: Where) -> tuple[str, str, int]:
    return where[0], where[1] or "", where[2]
