"""Why what a command makes is not official, wherever it is kept."""

import os
from collections.abc import Mapping
from typing import Any

from ...hub.lock import lock_path
from ..provenance.code import git_dirty
from ..registry import ResolvedMethod, is_built_in


def code_reasons(method: ResolvedMethod, git: Mapping[str, Any], published: bool) -> list[str]:
    """What of the lock file and of the code nobody else can have; empty for nothing.

    Args:
        method: whatever it was called by, its code must be in the commit that provenance names.
        git: see `git_state`.
        published: whether data of the hub are read.
    """
    reasons = []
    if os.environ.get("CL_BENCH_LOCK"):
        reasons.append("the data are locked by CL_BENCH_LOCK, not by the repository's lock file")
    elif published and git["commit"] is not None and git_dirty(lock_path()):
        reasons.append(f"{lock_path().name} is not committed")
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
