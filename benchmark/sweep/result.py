"""The result of a sweep: one JSON file beside its TOML, the same bytes when it is made again."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..common.files import atomic
from ..records.store import Record
from ..run.request import Plan
from .choice import RULE, best_of
from .declared import Sweep
from .scores import (
    MEANING,
    Behind,
    ScoredRun,
    behind_best,
    image_error,
    mean_of,
    score_run,
    seed_spread,
)
from .trials import TrialRun

FORMAT = 1
Document = dict[str, Any]


def document_of(sweep: Sweep, runs: Sequence[TrialRun], records: Sequence[Record]) -> Document:
    """All that a reader needs to judge a choice, JSON-able. No time and no folder is in it.

    Args:
        sweep: as declared.
        runs: of all trials and seeds.
        records: theirs.
    """
    scored: dict[int, list[ScoredRun]] = {}
    for run, record in zip(runs, records, strict=True):
        scored.setdefault(run.number, []).append(score_run(record, sweep.score))
    whole = {n: some for n, some in scored.items() if not any(run.error for run in some)}
    best = best_of({n: mean_of([run.score for run in some]) for n, some in whole.items()})
    behind = {} if best is None else behind_best(whole, best)
    trials = [
        _trial(number, sweep.trials[number - 1], some, behind.get(number))
        for number, some in scored.items()
    ]
    alike = [n for n in whole if n != best and not behind[n].separated]
    return {
        "format": FORMAT,
        "sweep": sweep.name,
        "toml_sha256": sweep.sha256,
        "about": sweep.about,
        **_protocol(sweep, runs[0].plan, records[0]),
        "settings_of_every_trial": _shared([run.plan for run in runs]),
        "trials": trials,
        "chosen": None
        if best is None
        else {"trial": best, "settings": dict(sweep.trials[best - 1])},
        "not_separated_from_the_chosen": alike,
    }


def _protocol(sweep: Sweep, plan: Plan, record: Record) -> Document:
    """What is the same for all runs of a sweep."""
    about = record.provenance
    data, held = about["data"], {t: len(key.value_N) for t, key in record.evidence.keys.items()}
    trained = {d.name: d.load("train").images.size for d in plan.suite.tasks}
    return {
        "suite": {"name": plan.suite.name, "version": plan.suite.version},
        "method": {
            "name": plan.method.name,
            "variant": plan.method.variant,
            "sha256": plan.method.sha,
        },
        "backbone": {
            "name": plan.backbone,
            "pretrained": plan.pretrained,
            "sha256": about["weights"]["sha256"],
        },
        "order": sweep.order,
        "tasks": {
            name: {
                "training": {"images": trained[name], "sha256": data["train"][name]},
                "validation": {"images": held[name], "sha256": data["test"][name]},
            }
            for name in about["order"]["tasks"]
        },
        "division": {"share": sweep.validation.share, "rule": plan.asked["validation"]["rule"]},
        "templates": plan.suite.templates,
        "seeds": list(sweep.seeds),
        "score": {"name": sweep.score, "meaning": MEANING[sweep.score], "unit": "percent"},
        "rule": RULE,
        "code": {key: about["code"][key] for key in ("sha256", "numerics", "commit", "dirty")},
        "machine": {"versions": about["versions"], **about["hardware"]},
    }


def _shared(plans: Sequence[Plan]) -> Document:
    """Settings of recipe and method that no trial changes."""
    every = [{"recipe": plan.recipe.asked(), "method": plan.asked["config"]} for plan in plans]
    return {
        part: {k: v for k, v in of.items() if all(one[part].get(k, ...) == v for one in every)}
        for part, of in every[0].items()
    }


def _trial(
    number: int, settings: Mapping[str, Any], runs: Sequence[ScoredRun], behind: Behind | None
) -> Document:
    failed = any(run.error for run in runs)
    scores = [run.score for run in runs if not run.error]
    return {
        "trial": number,
        "settings": dict(settings),
        "status": "failed" if failed else "ok",
        "mean": None if failed else mean_of(scores),
        "standard_deviation_over_seeds": None if failed else seed_spread(scores),
        "standard_error_of_images": None if failed else image_error(runs),
        "behind_the_chosen": None if behind is None else vars(behind),
        "runs": [_run(run) for run in runs],
    }


def _run(run: ScoredRun) -> Document:
    if run.error:
        return {"seed": run.seed, "error": run.error}
    return {"seed": run.seed, "score": run.score, "tasks": dict(run.tasks)}


def write_result(sweep: Sweep, document: Document) -> None:
    """Write the result beside the sweep's file; BenchError (code 6) where that cannot be done."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic(sweep.result) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
