"""Why a record may not land in results/."""

from collections.abc import Mapping
from typing import Any

from ..registry import ResolvedMethod, is_built_in


def of_code(method: ResolvedMethod, git: Mapping[str, Any]) -> list[str]:
    """What of the code that a run is made by nobody else can have; empty for nothing.

    Args:
        method: whatever it was called by, its code must be in the commit that the record names.
        git: see `git_state`.
    """
    reasons = []
    if not is_built_in(method):
        reasons.append(
            "the method is an entry point"
            if method.origin == "entry point"
            else "the method is a file outside methods/"
        )
    if git["commit"] is None:
        reasons.append("the code is not in a git checkout")
    elif git["dirty"]:
        reasons.append(f"the code is not committed ({git['dirty'][0]} ...)")
    return reasons
