"""Tables, leaderboard and terminal say the same of one run, and of a hole why it is one."""

from itertools import product
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from lanes import lanes
from synthetic import FEW, STARS, Row, make_rows, save

from benchmark.metrics import continual
from benchmark.records.store import read_record
from benchmark.tables.board.scores import Score, held_out, scores_of
from benchmark.tables.groups import judge
from benchmark.tables.matrix import score_matrix
from benchmark.tables.run_numbers import At, Metric, Outcome, RunNumbers, read_run
from benchmark.tables.terminal import final_row

TASKS = list(FEW)
STEPS = len(TASKS) + 1


def random_rows(seed: int, holes: float) -> list[Row]:
    """A labelled run with random scores, some of which failed in one of three ways."""
    rng = np.random.default_rng(seed)
    rows = make_rows("few-shot", FEW, "ft", "forward", 0)
    for row in rows:
        row.update(hits=int(rng.integers(0, 1001)))
        row.update(value=row["hits"] / 1000)
        if rng.random() < holes:
            status = str(rng.choice(["oom", "failed", "skipped"]))
            row.update(value=None, hits=None, status=status)
    return rows


def number(run: RunNumbers, metric: Metric, *parts: str, step: int | None = None) -> Outcome:
    return run.outcome(At("average" if len(parts) > 1 else parts[0], "", metric, None, step), parts)


def by_hand(run: RunNumbers, name: str, steps: range) -> Outcome:
    """The definition, step by step: the mean, or the status of the first hole."""
    found = [run.numbers[At(name, "", Metric.ACCURACY, None, step)] for step in steps]
    for value, status in found:
        if value is None:
            return None, status
    return fmean(value for value, _ in found if value is not None), "ok"


@pytest.mark.parametrize("holes", lanes([0.0, 0.15, 0.5], [0.15]))
def test_one_run_is_the_same_everywhere(tmp_path: Path, holes: float) -> None:
    seen = set()
    for seed in range(12):
        record = read_record(save(tmp_path / str(seed), random_rows(seed, holes)))
        (judged,) = judge([record])
        run, board = read_run(judged), scores_of(record, held_out(record))
        R = score_matrix(record.columns, "i2t")
        every: dict[Score, Outcome] = {
            "transfer": number(run, Metric.TRANSFER, *TASKS[1:]),
            "average": number(run, Metric.AVERAGE, *TASKS),
            "last": number(run, Metric.ACCURACY, *TASKS),
        }
        metrics = continual.mean_transfer, continual.mean_average, continual.final_average
        for (name, (value, status)), metric in zip(every.items(), metrics, strict=True):
            assert board[name] == value
            assert continual.known(metric, R) == value
            seen.add(status)
        assert board["forgetting"] == continual.known(continual.forgetting_from_learned, R)
        assert board["last_t2i"] == board["last_i2t"] == board["last"]
        shown = [*(every[name][0] for name in ("transfer", "average", "last")), board["forgetting"]]
        words = final_row(record.frame).splitlines()[-1].split()
        heads = ("Transfer", "Average", "Last", "Forgetting")
        assert words[::2] == list(heads)
        for word, value in zip(words[1::2], shown, strict=True):
            assert word == ("–" if value is None else f"{round(100 * value, 1) + 0.0:.1f}")  # noqa: RUF001
    assert seen == ({"ok"} if not holes else {"ok", "oom", "failed", "skipped"})


def test_every_set_says_why_its_number_is_missing(tmp_path: Path) -> None:
    statuses = set()
    for seed in range(20):
        record = read_record(save(tmp_path / str(seed), random_rows(seed, 0.3)))
        run = read_run(judge([record])[0])
        for place, name in enumerate(TASKS, start=1):
            before = by_hand(run, name, range(1, place)) if place > 1 else (None, "missing")
            assert number(run, Metric.TRANSFER, name) == before
            assert number(run, Metric.AVERAGE, name) == by_hand(run, name, range(1, STEPS))
            statuses.add(before[1])
        for star, metric in product(STARS, (Metric.TRANSFER, Metric.AVERAGE)):
            assert number(run, metric, star) == by_hand(run, star, range(1, STEPS))
        assert number(run, Metric.AVERAGE, "nowhere") == (None, "missing")
        means = [by_hand(run, name, range(1, STEPS)) for name in TASKS]
        holes = [status for value, status in means if value is None]
        found = number(run, Metric.AVERAGE, *TASKS)
        assert found[1] == (holes[0] if holes else "ok")
    assert statuses == {"ok", "missing", "oom", "failed", "skipped"}


def test_the_words_of_metrics_are_those_of_the_files(tmp_path: Path) -> None:
    """CSV files and the papers' numbers hold them: they may not change."""
    assert [str(metric) for metric in Metric] == [
        "hit", "acc", "delta", "transfer", "average", "kept", "trained", "read", "read_bytes",
        "extra", "train", "evaluate", "seconds",
    ]  # fmt: skip
