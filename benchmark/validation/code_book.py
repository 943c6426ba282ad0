"""What is known of the code of commits: from the ledger, and from git where it is asked."""

from pathlib import Path

from ..common.files import ROOT
from ..common.index import NO_INDEX, Index
from .declared import Declared
from .ledger import (
    UNKNOWN,
    CommittedCode,
    Ledger,
    commit_of,
    common_commit,
    from_git,
    has_history,
    is_in,
)


class CodeBook:
    """Commits by their hash: the ledger's, else git's.

    Args:
        ledger: see `read_ledger`.
        git: whether git is asked of what the ledger does not know.
        verify: whether what the ledger says is held against git, where its history is there.
        against: a ref that a change is held against. A commit may be in its history too, and one
            that is not must have the code of the change's last or its first commit, see `outside`.
        root: the checkout.
        index: of what was read from git before.

    Attributes:
        beyond: whether more than the ledger was asked, so that what was said depends on git.
    """

    def __init__(
        self,
        ledger: Ledger,
        git: bool = True,
        verify: bool = False,
        against: str | None = None,
        root: Path = ROOT,
        index: Index = NO_INDEX,
    ) -> None:
        self.ledger, self._root, self._index = ledger, root, index
        self._git = (git or verify) and has_history(root)
        # A ref that this checkout has not is one of another, which holds the results; whether that
        # one has it is asked where the changes are listed.
        known = self._git and against is not None and commit_of(against, root) is not None
        self._against = against if known else None
        self._tips = ("HEAD",) if self._against is None else ("HEAD", self._against)
        self._ends: list[CommittedCode] | None = None
        self._verify = verify and self._git
        self._found: dict[str, CommittedCode | str] = {}
        self.beyond = False
        self._declared = dict(ledger.declared)

    def code(self, commit: str) -> CommittedCode | str:
        """The code of a commit, or why it is not known, as the end of "got ..."."""
        if commit not in self._found:
            self._found[commit] = self._look(commit)
        return self._found[commit]

    def declared(self, commit: str, method: str) -> Declared | None:
        """What a method's file at a commit declares; None where that is not known."""
        code = self.code(commit)
        if isinstance(code, str) or method not in code.methods:
            return None
        return self._declared.get(code.methods[method][2])

    def outside(self, commit: str, method: str) -> str | None:
        """The ref of `against`, where a commit is outside its history and has code of its own.

        A commit of the change that later ones take back is seen by nobody who reads the change;
        only code that it ends in, or began with, is code that somebody can read.

        Args:
            commit: one that `code` knows.
            method: of which the file counts, beside the harness.
        """
        ref, code = self._against, self.code(commit)
        if ref is None or isinstance(code, str) or is_in(commit, ref, self._root):
            return None
        if self._ends is None:
            names = commit_of("HEAD", self._root), common_commit(ref, self._root)
            ledgers = [(name, from_git(name, (name,), self._root)) for name in names if name]
            self._ends = [found.commits[name] for name, found in ledgers if found is not None]
        for end in self._ends:
            same_method = end.methods.get(method, ("",))[0] == code.methods.get(method, (None,))[0]
            same_code = code.code is not None and (end.code, end.numerics) == (
                code.code, code.numerics
            )  # fmt: skip
            if same_method and same_code:
                return None
        return ref

    def _look(self, commit: str) -> CommittedCode | str:
        known = self.ledger.commits.get(commit)
        if known is not None and not self._verify:
            return known
        self.beyond = True
        if not self._git:
            return UNKNOWN
        there = from_git(commit, self._tips, self._root, self._index)
        if there is None:
            return UNKNOWN if known is None else "a commit of the ledger that git does not have"
        found = there.commits[commit]
        if known is None:
            self._declared.update(there.declared)
            return found
        if known != found:
            return "a commit of which the ledger says something else than git"
        return known
