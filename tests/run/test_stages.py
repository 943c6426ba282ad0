"""What a stage does when memory runs out."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmark.check.lab import Lab
from benchmark.cli.display import Display
from benchmark.data.device import resident
from benchmark.run import stages
from benchmark.run.evaluate import EvalSet, evaluate
from benchmark.run.stages import Stages


@pytest.mark.parametrize(
    ("there", "short", "calls", "statuses"),
    [(True, 1, 2, {"ok"}), (True, 2, 2, {"oom"}), (False, 1, 1, {"oom"})],
)
def test_training_images_on_the_device_are_given_up_before_a_set_fails(
    there: bool, short: int, calls: int, statuses: set[str], lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(resident, "free_bytes", lambda device: 2**40 * there)
    feed, data = lab.feed(lab.clip()), lab.pairs[0]
    next(lab.task(feed, lab.pairs[1], 0, 1).loader.epoch(0)).images.pixels_B3HW  # noqa: B018
    asked: list[int] = []
    said: list[str] = []

    def scored(*args: Any, **kwargs: Any) -> Any:
        asked.append(feed.ahead.resident.nbytes)
        if len(asked) <= short:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 TiB")
        return evaluate(*args, **kwargs)

    class Told(Display):
        def line(self, text: str) -> None:
            said.append(text)

    monkeypatch.setattr(stages, "evaluate", scored)
    inputs: Any = SimpleNamespace(feed=feed, evals=(), order=("a",))
    nobody: Any = None
    one = Stages(inputs, frozenset(), nobody, Told(quiet=True), nobody, nobody)
    which = EvalSet("a", "A", data, 0, (), 0, (0,))
    with one.memory.stage():
        scores = one._score(0, lab.method("ft", feed).eval(), which)
    assert asked == [lab.pairs[1].pixels.nbytes * there, 0][:calls]
    assert {row.get("status", "ok") for row in scores.rows} == statuses
    assert sum("given up" in line for line in said) == there
    assert sum("oom" in line for line in said) == (statuses == {"oom"})
