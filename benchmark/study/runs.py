"""The studies that are whole runs: which ones. Their records are those of any run.

Lu et al., Adaptive Rank, Reduced Forgetting (CoDyRA), section 4.4: Figure 7, where updates act and
their initial rank; Figure 8, the largest threshold and the share of dense steps. Analyses on test
data: nothing is chosen by them.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import product
from typing import Any

from ..errors import BenchError
from ..protocol.config import parse_setting
from ..run.request import Request, make_plan
from .points import Study, rank_settings, targets

LOCATIONS = (
    ("image", "all"), ("text", "all"), ("both", "attention"), ("both", "mlp"), ("both", "all"),
)  # fmt: skip
RANKS = (4, 16)
SHARES = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Of the method's own largest threshold."""
DENSE = (0.0, 0.3, 0.5, 0.7, 0.9)


def insertion(
    study: Study, locations: Sequence[tuple[str, str]], ranks: Sequence[int]
) -> list[Request]:
    """A run for every location and initial rank, and every seed."""
    plan = make_plan(study.request)
    settings = [
        [f"targets={targets(tower, part)}", *rank_settings(plan, rank)]
        for (tower, part), rank in product(locations, ranks)
    ]
    return _requests(study, plan.method.config, settings)


def pruning(study: Study, kappas: Sequence[float], shares: Sequence[float]) -> list[Request]:
    """A run for every largest threshold, and for every share of dense steps.

    Args:
        study: with its seeds.
        kappas: largest thresholds; none for `SHARES` of the method's own on this suite.
        shares: of dense steps.
    """
    config: Any = make_plan(study.request).method.config
    if not (hasattr(config, "kappa_max") and hasattr(config, "dense")):
        what = "a method that prunes, with kappa_max and dense"
        raise BenchError(what, f"'{study.request.method}'", "choose another --method")
    own = float(config.kappa_max)
    settings = [[f"kappa_max={kappa!r}"] for kappa in kappas or [own * s for s in SHARES]]
    settings += [[f"dense={share!r}"] for share in shares]
    return _requests(study, config, settings)


def _requests(study: Study, config: Any, settings: Sequence[Sequence[str]]) -> list[Request]:
    """Runs by their settings; what the method does anyway is not said, so that no run is twice."""
    kinds: dict[str, Any] = {
        field.name: type(getattr(config, field.name)) for field in fields(config)
    }
    kinds["targets"] = tuple[str, ...]
    found = []
    for seed, chosen in product(study.seeds, settings):
        pairs = [one.partition("=")[::2] for one in chosen]
        hp = tuple(
            f"{key}={value}" for key, value in pairs
            if parse_setting(kinds[key], key, value) != getattr(config, key)
        )  # fmt: skip
        found.append(replace(study.request, seed=seed, hp=(*study.request.hp, *hp)))
    return list(dict.fromkeys(found))
