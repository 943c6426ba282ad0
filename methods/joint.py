"""Joint training on all tasks at once: a bound, not a continual method.

Nothing is trained until the last task; then the pretrained model is fine-tuned once on the
examples of all tasks, for the suite's number of epochs, or for the steps of all tasks together
where the suite gives each a number of steps. So its rows before the last stage are the zero-shot
model's. Not in the DAR paper.

By default a batch has the examples of one task, as every other method's has, and the batches of
all tasks come in random order: the other examples of a batch are what a contrastive loss learns
from, and in a batch of all tasks most of them can be told apart by their domain alone.
`joint.mixed` mixes the examples of all tasks in proportion to their size, as Mod-X's official joint
script does by concatenating datasets; in labelled suites the classes of all tasks then compete in
every batch.

It is called an upper bound where no method is above it, and that is for the tables to say: one
model for all tasks can be worse than an adapter for each.
"""

from dataclasses import dataclass
from typing import Literal

from benchmark.api import Backbone, Config, Loader, Method, ParamGroup, Task, Tools, setting


@dataclass(frozen=True)
class JointConfig(Config):
    """No paper's: what batches are made of."""

    batches: Literal["task", "mixed"] = setting(
        "task", paper="mixed (Mod-X's joint script)",
        why="in a mixed batch the negatives are of other domains, and easy",
    )  # fmt: skip


class Joint(Method[JointConfig]):
    """Fine-tuning on the union of all tasks."""

    label = "Joint"
    paper = "Ni et al., Mod-X, ICML 2023, trains the same reference"
    uses = frozenset({"samples", "all tasks at once"})
    variants = {"mixed": {"batches": "mixed"}}

    def __init__(self, clip: Backbone, config: JointConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        self.tasks: list[Task] = []

    def before_task(self, task: Task) -> None:
        """Keep the task's data for the end."""
        self.tasks.append(task)
        self.budgets = len(self.tasks)

    def loader(self, task: Task) -> Loader:
        """All tasks' examples."""
        mixed = self.config.batches == "mixed"
        return self.tools.join([t.loader for t in self.tasks], mixed)

    def trainable(self) -> list[ParamGroup]:
        """Nothing before the last task."""
        return super().trainable() if self.tasks[-1].index == self.tasks[-1].total - 1 else []
