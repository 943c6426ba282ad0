"""A backend of torch's compiler that needs no compiler, and counts."""

from typing import Any


class Counted:
    """A backend that computes by the graph as it is."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: Any, inputs: object) -> Any:
        self.count += 1
        return graph.forward
