"""Scores all sets at the stages of a run; what is finished is on disk at once."""

import torch

from .bench import Bench
from .display import Display
from .evaluate import EvalSet, Scores, evaluate, failed_rows
from .method import Encoder
from .record import Cell, score_text
from .types import Badge
from .usage import Usage
from .workspace import Workspace


class Stages:
    """The evaluation half of a run: every set after every stage.

    Args:
        bench: the sets and their features.
        uses: what the method declares.
        space: where finished scores are kept.
        display: what the user sees.
        usage: filled with what evaluation takes.
    """

    def __init__(
        self,
        bench: Bench,
        uses: frozenset[Badge],
        space: Workspace,
        display: Display,
        usage: Usage,
    ) -> None:
        self.bench, self.uses, self.space = bench, uses, space
        self.display, self.usage = display, usage

    def scored(self, step: int) -> bool:
        """Whether every set was scored at that stage."""
        return all(self.space.scores(step, which.name) for which in self.bench.evals)

    def run(self, step: int, encoder: Encoder) -> list[Cell]:
        """Scores of all sets at stage `step`; those that are on disk are taken from there.

        Args:
            step: number of finished tasks.
            encoder: in eval mode.
        """
        cells = []
        stage = f"stage {step}/{len(self.bench.order)}"
        with self.usage.phase("evaluate"), self.display.evaluating(stage, len(self.bench.evals)):
            for which in self.bench.evals:
                scores = self.space.scores(step, which.name)
                if scores is None:
                    scores = self._score(step, encoder, which)
                    self.space.keep_scores(step, which.name, scores)
                    self.space.keep_usage(self.usage.spent())
                self.display.evaluated(which.title, score_text(scores.rows))
                cells.append((step, which, scores))
        return cells

    def _score(self, step: int, encoder: Encoder, which: EvalSet) -> Scores:
        try:
            return evaluate(encoder, self.bench.feed, which, step, self.uses)
        except torch.OutOfMemoryError as e:
            status, error = "oom", str(e)
        except ValueError as e:
            status, error = "failed", str(e)
        self.display.line(f"stage {step}, {which.title}: {status} ({error})")
        return Scores(failed_rows(which, status, error), {})
