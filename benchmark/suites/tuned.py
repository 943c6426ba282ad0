"""What sweeps have chosen for the embedded suites, from `tuned.json` beside this file."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..common.origins import Origin

FILE = Path(__file__).with_name("tuned.json")


@cache
def _read() -> dict[str, dict[str, dict[str, Any]]]:
    found: dict[str, dict[str, dict[str, Any]]] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def tuned(suite: str) -> Mapping[str, Mapping[str, Any]]:
    """Method -> setting -> value, for `Suite.settings`."""
    return {
        method: {key: one["value"] for key, one in settings.items()}
        for method, settings in _read().get(suite, {}).items()
    }


def tuned_origins(suite: str) -> Mapping[str, Origin]:
    """Under "method.setting" where the value is from, for `Suite.origins`."""
    return {
        f"{method}.{key}": Origin(why=one.get("why", ""), sweep=one["sweep"], trials=one["trials"])
        for method, settings in _read().get(suite, {}).items()
        for key, one in settings.items()
    }


def all_tuned() -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """Suite, method, setting, and {"value", "sweep", "trials"} of all that sweeps have chosen.

    With "why" where the sweep was of another method or suite: it says of which.
    """
    for suite, methods in _read().items():
        for method, settings in methods.items():
            for key, one in settings.items():
                yield suite, method, key, one
