"""Scores all sets at the stages of a run; what is finished is on disk at once."""

from contextlib import nullcontext

import torch

from ..backbones.content import forget_all
from ..common.report import Report
from ..protocol.badges import Badge
from ..protocol.method import Encoder, Method
from .evaluate import EvalSet, Scores, evaluate, failed_rows, items_of
from .guards.crash import RunPlace
from .guards.evaluation import Untouched
from .guards.rows import Undefined
from .inputs import Inputs
from .provenance.usage import Usage
from .record.rows import Cell, score_text
from .scoring.memory import Memory
from .state.workspace import Workspace


class Stages:
    """The evaluation half of a run: every set after every stage.

    Args:
        inputs: the sets and their features.
        uses: what the method declares.
        space: where finished scores are kept.
        report: what the user sees.
        usage: filled with what evaluation takes.
        place: is told where the run is.
        committed: see `evaluate`.
    """

    def __init__(
        self,
        inputs: Inputs,
        uses: frozenset[Badge],
        space: Workspace,
        report: Report,
        usage: Usage,
        place: RunPlace,
        committed: bool = True,
    ) -> None:
        self.inputs, self.uses, self.space = inputs, uses, space
        self.committed = committed
        self.report, self.usage, self.place = report, usage, place
        self.memory = Memory()

    def scored(self, step: int) -> bool:
        """Whether every set was scored at that stage."""
        return all(self.space.scores(step, which.name) for which in self.inputs.evals)

    def run(self, step: int, encoder: Encoder) -> list[Cell]:
        """Scores of all sets at stage `step`; those that are on disk are taken from there.

        Args:
            step: number of finished tasks.
            encoder: in eval mode.
        """
        cells = []
        self.place.stage, self.place.hook = step, "encode_image"
        watch = Untouched(encoder) if isinstance(encoder, Method) else None
        stage = f"stage {step}/{len(self.inputs.order)}"
        count = len(self.inputs.evals)
        forget_all()  # a hook may have written, or stepped by an optimiser, without a trace
        evaluating = self.report.evaluating(stage, count)
        with self.usage.phase("evaluate"), evaluating, self.memory.stage():
            for which in self.inputs.evals:
                scores = self.space.scores(step, which.name)
                self.place.scored = which.name
                if scores is None:
                    with nullcontext() if watch is None else watch.during(which.title):
                        scores = self._score(step, encoder, which)
                    self.space.keep_scores(step, which.name, scores)
                    self.space.keep_usage(self.usage.spent())
                self.report.evaluated(which.title, score_text(scores.rows))
                cells.append((step, which, scores))
        self.place.stage = self.place.scored = None
        return cells

    def reached(self) -> list[Cell]:
        """Every cell that is on disk."""
        every = ((step, which) for step in range(len(self.inputs.order) + 1)
                 for which in self.inputs.evals)  # fmt: skip
        found = ((step, which, self.space.scores(step, which.name)) for step, which in every)
        return [(step, which, scores) for step, which, scores in found if scores is not None]

    def _score(self, step: int, encoder: Encoder, which: EvalSet) -> Scores:
        while True:
            try:
                with self.report.phase(which.title, items_of(which), "items") as advance:
                    return evaluate(
                        encoder,
                        self.inputs.feed,
                        which,
                        step,
                        self.uses,
                        advance,
                        memory=self.memory,
                        committed=self.committed,
                    )
            except torch.OutOfMemoryError as e:
                status, error = "oom", str(e)
            except Undefined as e:
                status, error = "failed", str(e)
            if status == "failed" or not self.inputs.feed.make_room(self.report.line):
                break
            torch.cuda.empty_cache()
        self.report.line(f"stage {step}, {which.title}: {status} ({error})")
        return Scores(failed_rows(which, status, error), {}, [])
