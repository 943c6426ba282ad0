"""Which code a commit holds: from the ledger in the tree, else from git.

A verdict must not depend on git: a shallow clone, an archive and a checkout give the same tables.
So `results/code.json` says of every commit that a committed record names what its code was. Of a
commit that it does not know, git is asked; and where the whole history is there, `validate` holds
the ledger itself against it.
"""

import ast
import hashlib
import json
import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from ..common.digests import digest
from ..common.files import ROOT, atomic
from ..common.git import git, git_line
from ..common.index import NO_INDEX, Index, code_sha, software
from ..common.source import bytes_sha, files_sha
from ..errors import BenchError
from .declared import Declared, read_declared
from .literals import Unreadable

LEDGER = Path("results") / "code.json"
FORM = 1
_DIGESTS = ("benchmark/common/source.py", "benchmark/run/provenance/code.py")
_NUMERICS = "benchmark/run/provenance/numerics.py"
UNKNOWN = "a commit that neither the ledger nor git knows"


@dataclass(frozen=True)
class CommittedCode:
    """The code of one commit.

    Attributes:
        date: when it was committed, as seconds since 1970.
        code: `tree_sha` of the harness; None of commits that named their code by another digest.
        numerics: the integer of that name; None where there was none yet.
        methods: method -> its file's content and bytes by their sha256, and the key of what it
            declares in the ledger, '' where that is unreadable.
    """

    date: int
    code: str | None
    numerics: int | None
    methods: Mapping[str, tuple[str, str, str]]


@dataclass(frozen=True)
class Ledger:
    """What is known of commits.

    Attributes:
        commits: full hash -> its code.
        declared: digest of itself -> what a method declares.
    """

    commits: Mapping[str, CommittedCode] = field(default_factory=dict)
    declared: Mapping[str, Declared] = field(default_factory=dict)

    def text(self) -> str:
        """The file that holds it."""
        data = {
            "form": FORM,
            "commits": {name: asdict(self.commits[name]) for name in sorted(self.commits)},
            "declared": {key: asdict(self.declared[key]) for key in sorted(self.declared)},
        }
        return json.dumps(data, indent=1, ensure_ascii=False) + "\n"

    def merged(self, other: "Ledger") -> "Ledger":
        """What either knows."""
        return Ledger({**self.commits, **other.commits}, {**self.declared, **other.declared})


def parsed_ledger(text: str) -> Ledger:
    """Read what `Ledger.text` wrote; ValueError, KeyError or TypeError for another text."""
    data = json.loads(text)
    if data["form"] != FORM:
        raise ValueError("another form")
    commits = {
        name: CommittedCode(**{**one, "methods": {m: tuple(d) for m, d in one["methods"].items()}})
        for name, one in data["commits"].items()
    }
    found = {key: Declared(**one) for key, one in data["declared"].items()}
    if any(key != _key(one) for key, one in found.items()):
        raise ValueError("a declaration that is another")
    return Ledger(commits, found)


def _key(declared: Declared) -> str:
    return digest([json.dumps(asdict(declared), sort_keys=True)])[:16]


_NO_LEDGER = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


def read_ledger(root: Path = ROOT) -> Ledger:
    """The ledger of a checkout, an empty one where there is none.

    Raises:
        BenchError: code 5, for a file that is none.
    """
    path = root / LEDGER
    try:
        return parsed_ledger(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Ledger()
    except _NO_LEDGER as error:
        fix = "restore it from version control, or run `python scripts/ledger.py`"
        raise BenchError(f"a ledger of code in '{path}'", "another file", fix, 5) from error


# -- git


def has_history(root: Path = ROOT) -> bool:
    """Whether the program runs from a checkout of its own, with all of its history."""
    try:
        top = Path(git_line("rev-parse", "--show-toplevel", at=root)).resolve()
        shallow = git_line("rev-parse", "--is-shallow-repository", at=root)
    except (OSError, subprocess.SubprocessError):
        return False
    return top == root.resolve() and shallow == "false"


def from_git(
    commit: str,
    tips: Collection[str] = ("HEAD",),
    root: Path = ROOT,
    index: Index = NO_INDEX,
) -> Ledger | None:
    """The code of a commit, read from git: nothing is checked out, imported or run.

    Args:
        commit: 40 hex digits.
        tips: it must be in the history of one of them.
        root: the checkout.
        index: of what was read before: a commit's name is a digest of all that it holds. Whether
            it is in the history is asked each time.

    Returns:
        What there is to know of it; None where git has no such commit in that history.
    """
    try:
        if not any(is_in(commit, tip, root) for tip in tips):
            return None
        of = [commit, code_sha(), software()]
        kept = None if of[1] is None else index.get("commits", of)
        if kept is not None:
            return parsed_ledger(kept["ledger"])
        date = int(git_line("show", "-s", "--format=%ct", commit, at=root))
        files = _files(commit, root)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    found = _of_files(commit, date, files)
    if of[1] is not None:
        index.put("commits", of, {"ledger": found.text()})
    return found


def _of_files(commit: str, date: int, files: Mapping[PurePosixPath, bytes]) -> Ledger:
    sources = {str(path): raw for path, raw in files.items()}
    package: dict[PurePath, bytes] = {
        path: raw for path, raw in files.items() if path.parts[0] == "benchmark"
    }
    methods: dict[str, tuple[str, str, str]] = {}
    declared: dict[str, Declared] = {}
    for path, raw in sorted(files.items()):
        if path.parts[0] == "methods" and len(path.parts) == 2 and path.stem[:1].isalpha():
            try:
                one = read_declared(str(path), sources.get)
                declared[key := _key(one)] = one
            except Unreadable:
                key = ""
            raw_sha = hashlib.sha256(raw).hexdigest()
            methods[path.stem.replace("_", "-")] = bytes_sha(raw), raw_sha, key
    left_out = _constant(sources, _DIGESTS, "NO_NUMBER")
    numerics = _constant(sources, (_NUMERICS,), "NUMERICS")
    code = None if numerics is None or left_out is None else files_sha(package, left_out)
    return Ledger({commit: CommittedCode(date, code, numerics, methods)}, declared)


def is_in(commit: str, tip: str, root: Path) -> bool:
    """Whether a commit is in the history of another."""
    try:
        git("merge-base", "--is-ancestor", commit, tip, at=root)
    except subprocess.CalledProcessError:
        return False
    return True


def commit_of(ref: str, root: Path) -> str | None:
    """The full hash of what a ref names; None where there is no such commit."""
    try:
        return git_line("rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}", at=root)
    except (OSError, subprocess.SubprocessError):
        return None


def common_commit(ref: str, root: Path) -> str | None:
    """The last commit that HEAD shares with a ref; None where there is none."""
    try:
        return git_line("merge-base", ref, "HEAD", at=root)
    except (OSError, subprocess.SubprocessError):
        return None


def _files(commit: str, root: Path) -> dict[PurePosixPath, bytes]:
    """Path -> content of the commit's Python files."""
    listed = git("ls-tree", "-r", "-z", commit, "--", "benchmark", "methods", at=root)
    entries = [line.split("\t") for line in listed.decode().split("\0") if line]
    blobs = {
        path: about.split()[2]
        for about, path in entries
        if path.endswith(".py") and about.split()[0] in ("100644", "100755")
    }
    out = git("cat-file", "--batch", at=root, given="\n".join(blobs.values()).encode() + b"\n")
    found, at = {}, 0
    for path in blobs:
        end = out.index(b"\n", at)
        size = int(out[at:end].split()[-1])
        found[PurePosixPath(path)] = out[end + 1 : end + 1 + size]
        at = end + 2 + size
    return found


def _constant(sources: Mapping[str, bytes], places: Collection[str], name: str) -> Any:
    """A plain constant of the first of these files that has it, None where none has."""
    for path in places:
        if path not in sources:
            continue
        for node in ast.parse(sources[path]).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
                value = node.value
                if isinstance(value, ast.Call):  # frozenset({...})
                    return frozenset(ast.literal_eval(value.args[0]))
                return ast.literal_eval(value)
    return None


def made_from_git(commits: Iterable[str]) -> Ledger:
    """What git says of these commits.

    Raises:
        BenchError: code 5, where it does not have one of them in the history of HEAD.
    """
    ledger = Ledger()
    for commit in sorted(commits):
        if (found := from_git(commit)) is None:
            fix = "make those records again from a commit of this history"
            raise BenchError("commits in the history of HEAD", f"'{commit}'", fix, 5)
        ledger = ledger.merged(found)
    return ledger


def renew_ledger(commits: Iterable[str], root: Path = ROOT) -> bool:
    """Write the ledger of exactly these commits; whether it was another before.

    Raises:
        BenchError: as `made_from_git`, or (code 6) it cannot be written.
    """
    path, text = root / LEDGER, made_from_git(commits).text()
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return True
