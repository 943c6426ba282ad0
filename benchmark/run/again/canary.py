"""The untouched backbone on all sets of a plan: what every run of it begins with."""

import torch

from ...common.report import Report
from ...protocol.method import Frozen
from ...records.store import to_frame
from ..build import open_ground
from ..device.precision import float32_products
from ..evaluate import Scores, evaluate, failed_rows, items_of
from ..inputs import open_inputs
from ..record.rows import Cell, evidence_of, rows_of, score_text
from ..request import Plan
from .compare import RunOutcome


@torch.no_grad()
@float32_products(tf32=False)
def canary(plan: Plan, report: Report) -> RunOutcome:
    """Stage 0 of a plan, with nothing trained and no method built.

    Raises:
        BenchError: whatever is wrong with weights, data, order or device.
    """
    inputs = open_inputs(plan, report, open_ground(plan, report))
    frozen, cells = Frozen(inputs.clip.scale), list[Cell]()
    with report.evaluating("the untouched backbone", len(inputs.evals)):
        for which in inputs.evals:
            try:
                with report.phase(which.title, items_of(which), "items") as advance:
                    scores = evaluate(
                        frozen, inputs.feed, which, 0, plan.method.uses, advance
                    )  # as the runner does at this stage
            except ValueError as e:
                scores = Scores(failed_rows(which, "failed", str(e)), {}, [])
            report.evaluated(which.title, score_text(scores.rows))
            cells.append((0, which, scores))
    data = {part: inputs.identity[part] for part in ("train", "test", "reference")}
    about = {
        "weights": {"sha256": inputs.clip.fingerprint},
        "data": {k: v for k, v in data.items() if v is not None},
        "order": {"tasks": list(inputs.order)},
    }
    return RunOutcome(to_frame(rows_of(plan, inputs, cells)), evidence_of(cells, ""), about)
