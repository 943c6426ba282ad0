"""What a run is: all that its numbers depend on but code and machine, and its digest. No torch.

What cannot change a number (the device's name on the command line, the display, the cache, whether
ranks are kept) is no part of it. So asking for one of these never asks for another training.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypedDict

IDENTITY_VERSION = 1
_NO_PART = frozenset({"ranks"})  # of `asked`, in records of schema 1


class Identity(TypedDict):
    """How it was computed, and the hex sha256."""

    version: int
    sha256: str


def same_request(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `asked` that identify a run, of a record of any schema."""
    return {key: value for key, value in asked.items() if key not in _NO_PART}


def identity_of(provenance: Mapping[str, Any]) -> Identity:
    """The identity of a run from its provenance.

    sha256 of the JSON, with sorted keys and without spaces, of: `asked`; the weights' sha256; the
    fingerprints of training, test and reference data; and the tasks in learned order. Parts that
    are absent are null.
    """
    data = provenance.get("data", {})
    parts = {
        "asked": same_request(provenance.get("asked", {})),
        "weights": provenance.get("weights", {}).get("sha256"),
        **{part: data.get(part) for part in ("train", "test", "reference")},
        "tasks": provenance.get("order", {}).get("tasks"),
    }
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return {"version": IDENTITY_VERSION, "sha256": hashlib.sha256(text.encode()).hexdigest()}
