"""Joint training on all tasks at once: an upper bound, not a continual method.

Nothing is trained until the last task; then the pretrained model is fine-tuned once on the
examples of all tasks mixed, for the suite's number of epochs, or for the steps of all tasks
together where the suite gives each a number of steps. So its rows before the last stage
are the zero-shot model's. Batches are mixed across tasks in proportion to their size (Mod-X's
official joint script concatenates datasets in the same way). Not in the DAR paper.
"""

from benchmark.api import Backbone, Config, Loader, Method, ParamGroup, Task, Tools


class Joint(Method):
    """Fine-tuning on the union of all tasks."""

    label = "Joint"
    paper = "upper bound; Ni et al., Mod-X, ICML 2023, trains the same reference"
    uses = frozenset({"samples", "upper bound"})

    def __init__(self, clip: Backbone, config: Config, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        self.tasks: list[Task] = []

    def before_task(self, task: Task) -> None:
        """Keep the task's data for the end."""
        self.tasks.append(task)
        self.budgets = len(self.tasks)

    def loader(self, task: Task) -> Loader:
        """All tasks' examples, mixed."""
        return self.tools.join([t.loader for t in self.tasks])

    def trainable(self) -> list[ParamGroup]:
        """Nothing before the last task."""
        return super().trainable() if self.tasks[-1].index == self.tasks[-1].total - 1 else []
