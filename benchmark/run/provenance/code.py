"""Which code a number is from: its content, a number that a person raises, and its commit."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ...common.files import PACKAGE, ROOT, file_sha256, in_source_tree
from ...common.git import git_line
from ...common.index import NO_INDEX, Index
from ...common.index import code_sha as bytes_sha
from ...common.source import tree_sha
from .numerics import NUMERICS


@cache
def code_sha(index: Index = NO_INDEX) -> str:
    """`tree_sha` of the harness.

    Computed once: what runs is what was imported, not what is saved meanwhile.

    Args:
        index: keeps it by the bytes of all files, so that they are parsed once for each state.
    """
    of = [sys.version, bytes_sha()]
    if of[1] is None:
        return _parsed()[0]
    if (found := index.get("code", of)) is None:
        sha, sure = _parsed()
        found = {"sha": sha}
        if sure:
            index.put("code", of, found)
    return str(found["sha"])


@cache
def _parsed() -> tuple[str, bool]:
    """`tree_sha` of the harness, and whether nothing was saved while it was read."""
    before = bytes_sha()
    sha = tree_sha(PACKAGE)
    return sha, before is not None and bytes_sha.__wrapped__() == before


def unchanged(about: Mapping[str, Any], method_sha: str, method_file: Path) -> bool:
    """Whether a record's `numerics` and the content of its method are those of now.

    Args:
        about: the record's provenance. One without `numerics` is of 1, and has the digest of its
            method's bytes.
        method_sha: `content_sha` of the method's file.
        method_file: where the method is defined.
    """
    numerics = about.get("code", {}).get("numerics")
    made = about.get("method", {}).get("sha256")
    if numerics is not None:
        return bool(numerics == NUMERICS and made == method_sha)
    same = made in (method_sha, file_sha256(method_file)) or rewritten().get(made) == method_sha
    return same and NUMERICS == 1


@cache
def rewritten() -> Mapping[str, str]:
    """Digest of the bytes of a method's file as it was -> of the content that took its place.

    Of all methods with records from before `numerics`: their files were rewritten, and a record of
    each was made again, equal bit for bit. An edit of the method since then is another content.
    """
    found: dict[str, str] = json.loads(Path(__file__).with_name("rewritten.json").read_text())
    return found


# -- git


def git_state(file: Path) -> dict[str, Any]:
    """Commit of the harness, and what of the code is not committed.

    Args:
        file: the method's file.

    Returns:
        commit (None outside a git checkout of this project: a package that is installed inside
        another project's checkout has no part in its commits), dirty (changed or untracked paths
        of the code).
    """
    paths = [str(PACKAGE), str(ROOT / "methods")]
    if file.resolve().is_relative_to(ROOT.resolve()):
        paths.append(str(file))
    try:
        if not _in_own_checkout():
            return {"commit": None, "dirty": []}
        commit = git_line("rev-parse", "HEAD", at=ROOT)
        changed = git_line("status", "--porcelain", "--untracked-files=all", "--", *paths, at=ROOT)
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": []}
    return {"commit": commit, "dirty": [line[3:] for line in changed.splitlines()]}


def git_origin() -> str | None:
    """Host and path of the repository that was cloned; None for a folder, or no checkout."""
    try:
        if not _in_own_checkout():
            return None
        url = git_line("config", "--get", "remote.origin.url", at=ROOT)
    except (OSError, subprocess.SubprocessError):
        return None
    # https://user:token@host/path or git@host:path: what stands before the host may be a secret.
    found = re.fullmatch(r"(?:(?:https?|ssh|git)://)(?:[^/@]*@)?([^/@]+/.+)", url)
    found = found or re.fullmatch(r"(?:[\w.-]+@)([\w.-]+:[^/].*)", url)
    return found[1] if found else None


def git_dirty(file: Path) -> bool:
    """Whether a file of the checkout is changed or untracked, or git does not say."""
    try:
        return bool(
            git_line("status", "--porcelain", "--untracked-files=all", "--", str(file), at=ROOT)
        )
    except (OSError, subprocess.SubprocessError):
        return True


def _in_own_checkout() -> bool:
    if not in_source_tree(ROOT):
        return False
    if Path(git_line("rev-parse", "--show-toplevel", at=ROOT)).resolve() != ROOT.resolve():
        return False
    return bool(git_line("ls-files", "--", str(PACKAGE / "__init__.py"), at=ROOT))
