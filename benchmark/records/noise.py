"""How much a score differs when nothing was changed: `results/<suite>/noise/*.json`. No torch.

The same run is made several times, each from nothing. On one processor all are equal bit for bit;
a GPU may add up in another order each time. A difference between two methods that is no larger is
noise, and no reason to doubt a record.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from .beside import Fields, foreign, read_beside, write_beside
from .naming import file_stem, suite_folder
from .schema import CELL

FOLDER = "noise"
FORM = 1
LEAST, MOST = 2, 100  # repeats
_MOST_BYTES = 2**20
_WHAT = "a measurement of noise"
_TEXTS = ("suite", "suite_version", "method", "variant", "settings", "backbone", "pretrained",
          "order", "task_order", "machine")  # fmt: skip
_COLUMNS = (*CELL, "n_queries", "hits", "largest", "sd")

Score = tuple[int, str, str | None, str, int | None]
"""Step, set, direction, metric and k."""


@dataclass(frozen=True)
class Noise:
    """Runs of one identity, each made from nothing.

    Attributes:
        about: the columns of a record that say what ran (suite, method, ... task_order), and
            `machine`, the name of the GPU or the processor.
        seed: of the runs.
        device: cpu or cuda.
        run: sha256 of their identity, see `records.identity`.
        date: ISO 8601. commit: of the code; None outside a checkout.
        hits: of every score, in each of the runs. n_queries: of every score.
    """

    about: Mapping[str, str]
    seed: int
    device: str
    run: str
    date: str
    commit: str | None
    hits: Mapping[Score, tuple[int, ...]]
    n_queries: Mapping[Score, int]

    @property
    def repeats(self) -> int:
        """Number of runs."""
        return len(next(iter(self.hits.values())))

    @property
    def tasks(self) -> list[str]:
        """In learned order."""
        return self.about["task_order"].split(",")

    def largest(self, score: Score) -> float:
        """Largest difference of two runs in a score, in percentage points."""
        found = self.hits[score]
        return 100 * (max(found) - min(found)) / self.n_queries[score]

    def sd(self, score: Score) -> float:
        """Standard deviation of a score over the runs (n - 1), in percentage points."""
        return 100 * stdev(self.hits[score]) / self.n_queries[score]

    def final(self) -> list[float]:
        """Of each run, the mean over the learned tasks of R@1 or accuracy at the end, in percent.

        Of image-text tasks, the mean of both directions.
        """
        last = len(self.tasks)
        parts: dict[str, list[Score]] = {}
        for score in self.hits:
            step, task, _, metric, k = score
            if step == last and task in self.tasks and metric != "route" and k in (1, None):
                parts.setdefault(task, []).append(score)
        return [
            mean(
                mean(100 * self.hits[s][run] / self.n_queries[s] for s in scores)
                for scores in parts.values()
            )
            for run in range(self.repeats)
        ] if parts else []  # fmt: skip


def noise_file(folder: Path, noise: Noise) -> Path:
    """Where it is kept: one file for a run and a machine.

    Args:
        folder: of the suite's records.
        noise: whose name it is.
    """
    about = noise.about
    stem = file_stem(
        about["method"], about["variant"], about["settings"], about["backbone"], about["order"],
        noise.seed,
    )  # fmt: skip
    machine = re.sub(r"[^A-Za-z0-9]+", "-", about["machine"])[:32].strip("-")
    return folder / FOLDER / f"{stem}--{machine or noise.device}.json"


def write_noise(folder: Path, noise: Noise) -> Path:
    """Keep it in a suite's folder of records, in place of an older one; BenchError (code 6)."""
    rows = [
        [*score, noise.n_queries[score], list(hits), noise.largest(score), noise.sd(score)]
        for score, hits in noise.hits.items()
    ]
    content = {
        **noise.about, "seed": noise.seed, "device": noise.device, "run": noise.run,
        "date": noise.date, "commit": noise.commit, "repeats": noise.repeats,
        "columns": list(_COLUMNS), "scores": rows,
    }  # fmt: skip
    path = noise_file(folder, noise)
    write_beside(path, FORM, content)
    return path


def read_noise(path: Path) -> Noise:
    """Read such a file.

    Raises:
        BenchError: no file (code 4), one that cannot be read (6), or not such a file (5).
    """
    fields = read_beside(path, FORM, _MOST_BYTES, _WHAT)
    try:
        found = _parsed(fields)
        if noise_file(path.parent.parent, found).name != path.name:
            raise ValueError("another run, or another machine, than its name says")
    except (ValueError, TypeError) as error:
        raise foreign(path, _WHAT, error) from error
    return found


def _parsed(fields: Fields) -> Noise:
    fields.only(*_TEXTS, "seed", "device", "run", "date", "commit", "repeats", "columns", "scores")
    repeats = fields.count("repeats")
    if not LEAST <= repeats <= MOST or fields.rows("columns") != list(_COLUMNS):
        raise ValueError("other columns, or another number of repeats")
    hits: dict[Score, tuple[int, ...]] = {}
    queries: dict[Score, int] = {}
    spreads: dict[Score, list[Any]] = {}
    for row in fields.rows("scores"):
        score, n, found, spread = _row(row, repeats)
        if score in hits:
            raise ValueError(f"two rows of {score}")
        hits[score], queries[score], spreads[score] = found, n, spread
    if not hits:
        raise ValueError("no scores")
    noise = Noise(
        {name: fields.text(name) for name in _TEXTS},
        fields.count("seed"),
        fields.word("device", ("cpu", "cuda")),
        fields.sha256("run"),
        fields.date("date"),
        None if fields.is_null("commit") else fields.commit("commit"),
        hits,
        queries,
    )
    for score, spread in spreads.items():
        wanted = noise.largest(score), noise.sd(score)
        if any(abs(a - b) > 1e-9 for a, b in zip(spread, wanted, strict=True)):
            raise ValueError(f"deviations that do not follow from the hits of {score}")
    return noise


def _row(row: Any, repeats: int) -> tuple[Score, int, tuple[int, ...], list[Any]]:
    fields = Fields(dict(zip(_COLUMNS, row, strict=True)))
    n, hits = fields.count("n_queries"), fields.rows("hits")
    if len(hits) != repeats or not all(type(h) is int and 0 <= h <= n for h in hits) or n < 1:
        raise ValueError("hits that are no numbers of queries")
    direction = None if fields.is_null("direction") else fields.text("direction")
    k = None if fields.is_null("k") else fields.count("k")
    score = fields.count("step"), fields.text("eval_task"), direction, fields.text("metric"), k
    return score, n, tuple(hits), [fields.points("largest"), fields.points("sd")]


def read_noises(results: Path, suite: str, version: str | None = None) -> list[Noise]:
    """All measurements of a suite, by path; raises as `read_noise`.

    Args:
        results: folder of records.
        suite: its name.
        version: of the suite; None takes all.
    """
    files = sorted((results / suite_folder(suite) / FOLDER).glob("[!.]*.json"))
    found = [noise for noise in map(read_noise, files) if noise.about["suite"] == suite]
    return [noise for noise in found if version in (None, noise.about["suite_version"])]


def noise_floor(
    results: Path, suite: str, version: str | None = None, step: int | None = None
) -> float | None:
    """Largest difference that was measured in any one score of a suite, in percentage points.

    Args:
        results: folder of records.
        suite: its name.
        version: of the suite; None takes all.
        step: number of tasks learned; 0 is the untouched backbone. None takes all stages.

    Returns:
        None where nothing was measured.

    Raises:
        BenchError: a file that is no measurement (code 5).
    """
    return max(
        (
            noise.largest(score)
            for noise in read_noises(results, suite, version)
            for score in noise.hits
            if step in (None, score[0])
        ),
        default=None,
    )


def final_floor(results: Path, suite: str, version: str | None = None) -> float | None:
    """Largest difference of the mean over tasks at the end, in points; as `noise_floor`."""
    finals = [noise.final() for noise in read_noises(results, suite, version)]
    return max((max(f) - min(f) for f in finals if f), default=None)
