"""A comparison as JSON: every number in full, as fractions."""

import json
from math import sqrt
from typing import Any

from ..paired import PairedDifference
from .numbers import CountedSet, SetDifference, Versus, mcnemars, newcombes


def _difference(one: PairedDifference, alpha: float) -> dict[str, Any]:
    return {
        "a": one.a,
        "b": one.b,
        "difference": one.difference,
        "interval": one.interval(alpha),
        "p": one.p,
        "standard_error": {
            "test_images": sqrt(one.images),
            "training": sqrt(one.training) if one.df else None,
            "test_images_beyond_training": sqrt(one.known),
            "both": one.error if one.sure else None,
        },
        "degrees_of_freedom": one.df,
    }


def _counted(one: CountedSet) -> dict[str, Any]:
    return {
        "set": one.task,
        "direction": one.direction,
        "images": one.images,
        "queries": one.queries,
        "chance": one.chance,
    }


def _set(one: SetDifference, found: Versus) -> dict[str, Any]:
    wanted = found.wanted
    tests = zip(
        one.counts.items(), mcnemars(one, wanted.mid_p), newcombes(one, wanted.alpha), strict=True
    )
    return {
        **_counted(one.counted),
        **_difference(one.found, wanted.alpha),
        "interval_test_images": one.images,
        "p_corrected": one.p,
        "captions_as_independent": [
            {
                "order": order,
                "seed": seed,
                "both": counts.both,
                "only_a": counts.only_a,
                "only_b": counts.only_b,
                "neither": counts.neither,
                "mcnemar_p": p,
                "newcombe": interval,
            }
            for ((order, seed), counts), p, interval in tests
        ],
    }


def as_json(found: Versus) -> str:
    """One object; fractions, p-values and counts as they are, `null` where there is no verdict."""
    wanted, over = found.wanted, found.over_sets
    names = ("suite", "suite_version", "backbone", "pretrained")
    grid = found.found.grid
    data = {
        "schema": 1,
        **dict(zip(names, found.group, strict=True)),
        "methods": {"a": found.a, "b": found.b},
        "asked": {
            "metric": wanted.question.summary,
            "k": wanted.question.k,
            "direction": wanted.question.direction,
            "step": "last" if wanted.question.step is None else wanted.question.step,
            "alpha": wanted.alpha,
            "correction": wanted.correction if found.sets else "none",
            "tests": len(found.sets) or 1,
            "resamples": wanted.resamples,
            "mid_p": wanted.mid_p,
        },
        "paired": {"orders": grid.orders, "seeds": grid.seeds, "runs": len(grid.cells)},
        "result": _difference(found.found, wanted.alpha),
        "interval_test_images": found.images,
        "better": _better(found),
        "mean_over": [_counted(one) for one in found.counted],
        "per_set": [_set(one, found) for one in found.sets],
        "over_sets": None
        if over is None
        else {"sets": over.sets, "interval": over.interval, "p": over.p, "df": over.df},
        "left_out": found.left_out,
        "remarks": found.remarks,
    }
    return json.dumps(data, indent=2, ensure_ascii=False)


def _better(found: Versus) -> str | None:
    """Which method is better; None where that can't be told."""
    one = found.found
    if one.p is None or one.p > found.wanted.alpha or not one.difference:
        return None
    return found.a if one.difference * found.wanted.question.sign > 0 else found.b
