"""Errors that a user can mend, and nothing else."""

from collections.abc import Iterable
from difflib import get_close_matches


class BenchError(Exception):
    """A mistake that the user can mend: one sentence and an exit code, never a traceback.

    Args:
        expected: what was expected, as a noun phrase ("a column 'caption'").
        got: what was found instead ("columns 'id', 'text'").
        fix: what to do, as an imperative clause ("name the column in the suite file").
        code: process exit code: 2 usage, 3 partial result, 4 data missing, 5 invalid record,
            6 resource (disk, memory, permission).
    """

    def __init__(self, expected: str, got: str, fix: str, code: int = 2) -> None:
        super().__init__(f"expected {expected}, got {got}; {fix}.")
        self.expected, self.got, self.fix, self.code = expected, got, fix, code


class MethodError(BenchError):
    """A method's own code failed: one failed run, which stops no other run of the same call."""


def nearest(word: str, known: Iterable[str], all_shown: int = 12) -> str:
    """'did you mean ...' for an unknown name: near names first, else the whole list.

    Args:
        word: the unknown name.
        known: the names that exist.
        all_shown: at most this many names are listed when none is near.
    """
    names = sorted(known)
    near = get_close_matches(word, names, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(f"'{n}'" for n in near)
    listed = ", ".join(f"'{n}'" for n in names[:all_shown])
    return f"choose one of {listed}" + (" ..." if len(names) > all_shown else "")
