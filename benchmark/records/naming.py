"""Names of records, and of their rows in tables."""

import hashlib
import re

_LONGEST_STEM = 200
ALL_AT_ONCE = "all tasks at once"
"""The badge of a method that learns them so."""
_RENAMED = {"upper bound": ALL_AT_ONCE}  # badges of older records


def overrides(settings: str) -> list[str]:
    """The single settings of a record's `settings`: `rank=4`, `epochs=2`.

    Args:
        settings: as recorded, `rank=4,epochs=2`; a comma inside a value is kept.
    """
    return re.split(r",(?=\s*\w[\w.-]*=)", settings) if settings else []


def method_label(method: str, variant: str = "", settings: str = "") -> str:
    """The name of a row in tables: `dar`, `dar.r8`, `dar.r8+rank=4+epochs=2`.

    Args:
        method: method name.
        variant: variant name, '' for none.
        settings: see `overrides`.
    """
    return "+".join([f"{method}.{variant}" if variant else method, *overrides(settings)])


def badges_of(uses: str) -> frozenset[str]:
    """The badges of a record, as they are called now.

    Args:
        uses: as recorded, comma separated.
    """
    return frozenset(_RENAMED.get(badge, badge) for badge in uses.split(",") if badge)


def _clean(part: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+=,-]", "-", part)


def file_stem(
    method: str, variant: str, settings: str, backbone: str, order: str, seed: int
) -> str:
    """File name of a record without `.parquet`: `<label>--<backbone>--<order>--s<seed>`.

    Characters outside `[A-Za-z0-9._+=,-]` become '-'. File systems stop at 255 bytes, so a longer
    stem (many overrides, a long task list) is cut and ends in a hash of the whole.
    """
    parts = (method_label(method, variant, settings), backbone, order, f"s{seed}")
    stem = "--".join(_clean(part) for part in parts)
    if len(stem) <= _LONGEST_STEM:
        return stem
    return f"{stem[: _LONGEST_STEM - 17]}-{hashlib.sha256(stem.encode()).hexdigest()[:16]}"


def suite_folder(suite: str) -> str:
    """The folder of a suite's records under results/."""
    return _clean(suite)
