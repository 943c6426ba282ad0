"""V12, V13: two runs are near each other by the share of moved answers that differ."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forger import honest

from benchmark.records.answers import AnswerKey, Evidence
from benchmark.records.store import read_record
from benchmark.validation.checks import beside
from benchmark.validation.runs import Examined

N = 300


def run_of(path: Path, answers: dict[Any, Any]) -> Examined:
    keys = {task: AnswerKey("labelled", np.arange(N)) for task, _, _ in answers}
    return Examined(read_record(path), Evidence(keys, answers, ""))


def differing(one: Examined, other: Examined) -> int | None:
    """The same from its definition: place by place, with nothing computed before."""
    assert one.evidence is not None
    assert other.evidence is not None
    mine, theirs = one.evidence.answers, other.evidence.answers

    def moved(answers: Any) -> dict[Any, int]:
        return {
            where: int(sum(x != y for x, y in zip(answers[where], answers[first], strict=True)))
            for where in answers
            if where[2] and (first := (where[0], where[1], 0)) in answers
            and len(answers[first]) == len(answers[where])
        }  # fmt: skip

    a, b = moved(mine), moved(theirs)
    both = a.keys() & b.keys()
    least = min(sum(counts[where] for where in both) for counts in (a, b))
    if least < 200 or any(len(mine[where]) != len(theirs[where]) for where in both):
        return None
    count = int(sum((mine[where] != theirs[where]).sum() for where in both))
    same = one.row["seed"] == other.row["seed"] and one.tasks == other.tasks
    return count if count <= least * (0.005 if same else 0.05) else None


@pytest.mark.parametrize("size", [7, 2048])
def test_near_is_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(beside, "_PIECE", size)
    names = ("ft--forward--s42", "ft--forward--s43", "ft--ii--s42")
    paths = [honest(name).write(tmp_path) for name in names]
    rng = np.random.default_rng(0)
    found = []
    for trial in range(60):
        first = {("a", None, 0): rng.integers(0, 9, N), ("b", None, 0): rng.integers(0, 9, N)}
        answers = dict(first)
        for step in (1, 2):
            for task in "ab":
                answer_Q = first[task, None, 0].copy()
                change = rng.random(N) < rng.choice([0.02, 0.3, 0.9])
                answer_Q[change] = (answer_Q[change] + 1) % 9
                answers[task, None, step] = answer_Q
        other = {where: answer_Q.copy() for where, answer_Q in answers.items()}
        for where in other:
            places = rng.integers(0, N, rng.choice([0, 1, 5, 12, 40]))
            other[where][places] = (other[where][places] + 2) % 9
        if trial % 4 == 0:
            del other["a", None, 1]
        if trial % 7 == 0:
            other["b", None, 2] = other["b", None, 2][:-1]
        one, two = (run_of(paths[i], x) for i, x in ((0, answers), (trial % 3, other)))
        wanted = differing(one, two)
        assert beside._near(beside._Moved(one), beside._Moved(two)) == wanted
        found.append(wanted is not None)
    assert 5 < sum(found) < 55
