"""Records with evidence of runs that no model made, for what reads them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmark.records.evidence import evidence_file, write_evidence
from benchmark.records.naming import file_stem, suite_folder
from benchmark.records.store import write_record
from benchmark.stats.answered import AnsweredRun


def rows_of_run(run: AnsweredRun, suite: str = "lab", **more: Any) -> list[dict[str, Any]]:
    """The rows of a record that the answers of a run give; a failed cell is one without answers."""
    n_steps, rows = len(run.tasks), []
    hits, keys = run.evidence.hits(), run.evidence.keys
    first = {
        "suite": suite, "suite_version": "1.0", "method": run.label, "variant": "", "settings": "",
        "backbone": "tiny", "pretrained": "seed-0", "order": run.order, "n_steps": n_steps,
        "task_order": ",".join(run.tasks), "seed": run.seed, "uses": "", "source": "measured",
        **more,
    }  # fmt: skip
    for step in range(n_steps + 1):
        for task, key in keys.items():
            place = run.tasks.index(task) + 1 if task in run.tasks else None
            ways: tuple[tuple[str | None, str, tuple[int | None, ...]], ...]
            ways = ((None, "acc", (None,)),)
            if key.kind == "pairs":
                ways = tuple((way, "hit", (1, 5, 10)) for way in ("i2t", "t2i"))
            for way, metric, ks in ways:
                for k in ks:
                    cell = hits.get((task, way, step, metric, k))
                    n = cell[1] if cell else len(key.groups(way))
                    images, captions = len(key.value_N), int(key.value_N.sum())
                    gallery = images if way == "t2i" else captions if way else 1 + max(key.value_N)
                    role = "ood" if place is None else "current" if place == step else (
                        "seen" if place < step else "future"
                    )  # fmt: skip
                    rows.append({
                        **first, "step": step, "step_task": run.tasks[step - 1] if step else None,
                        "eval_task": task, "eval_title": task.capitalize(), "eval_position": place,
                        "role": role, "kind": key.kind, "direction": way, "metric": metric, "k": k,
                        "hits": cell[0] if cell else None, "value": cell[0] / n if cell else None,
                        "n_queries": n, "n_gallery": int(gallery),
                        "label_space": "own" if key.kind == "labelled" else None,
                        "status": "ok" if cell else "failed",
                        "error": None if cell else "it failed",
                    })  # fmt: skip
    return rows


def save_runs(folder: Path, runs: Iterable[AnsweredRun], suite: str = "lab", **more: Any) -> None:
    """Write each with its evidence, as a run of `cl-bench` leaves them."""
    for run in runs:
        rows = rows_of_run(run, suite, **more)
        r = rows[0]
        stem = file_stem(
            r["method"], r["variant"], r["settings"], r["backbone"], run.order, run.seed
        )
        path = folder / suite_folder(suite) / f"{stem}.parquet"
        seal = write_evidence(evidence_file(path), run.evidence)
        write_record(path, rows, {"evidence": dict(seal), "data": {"test": dict(run.data)}})
