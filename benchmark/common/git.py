"""Git as it is on this machine, asked about the checkout that the program runs from."""

import os
import subprocess
from pathlib import Path

from .files import ROOT

_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR")


def git(*words: str, at: Path = ROOT, given: bytes | None = None) -> bytes:
    """What a command of git prints.

    Args:
        words: after `git -C FOLDER`.
        at: the folder.
        given: its standard input.

    Raises:
        OSError, subprocess.SubprocessError: there is no git, it failed, or took half a minute.
    """
    # In a hook of another project, git would be told to look there.
    here = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    done = subprocess.run(
        ["git", "-C", str(at), *words], capture_output=True, input=given, check=True, timeout=30,
        env=here,
    )  # fmt: skip
    return done.stdout


def git_line(*words: str, at: Path = ROOT) -> str:
    """The same as text, without the last end of line; raises as `git`."""
    return git(*words, at=at).decode(errors="replace").rstrip("\n")
