"""Digests of the files that were made from the same records before, so that none is made again."""

import hashlib
import subprocess
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from ..common.files import ROOT
from ..common.git import git_line
from ..common.index import Index, Unplain, code_sha, folder_sha, software
from ..records.store import RANKS_SUFFIX, Record
from ..validation.findings import Standing
from ..validation.inspect import standings_and_source
from ..validation.ledger import LEDGER
from .figures.charts import Imprint, imprint_of

KIND = "tables"
# What a digit, or a pixel, of a generated file may come from beside the program.
_LIBRARIES = ("numpy", "pyarrow", "matplotlib", "fonttools", "pillow")


class Trace(NamedTuple):
    """What is kept of a generated file.

    Attributes:
        sha256: of its bytes.
        imprint: of a figure.
    """

    sha256: str
    imprint: Imprint | None


def trace_of(content: bytes) -> Trace:
    """What is kept of a file with this content."""
    return Trace(hashlib.sha256(content).hexdigest(), imprint_of(content))


Traces = Mapping[Path, Trace]


class KeptTables:
    """The generated files of a results folder, as far as they are known from an earlier call.

    They are known by all that they depend on: the content of every file of the folder, the ledger,
    the program and its methods, the libraries, the machine and the places; and, where a record
    names a commit that the ledger does not have, the state of git. Times of files say nothing.

    Args:
        results, out, leaderboard, studies: the places.
        index: where outcomes are kept.
    """

    def __init__(
        self, results: Path, out: Path, leaderboard: Path, studies: Path, index: Index
    ) -> None:
        self._results, self._studies, self._index = results, studies, index
        self._places = [*map(str, (results, out, leaderboard, studies)), str(Path.cwd())]
        self._of = self._depends_on() if index.folder is not None else None
        self._git = ""
        self._beyond = True

    def known(self) -> Traces | None:
        """What the files are, None where that is not known."""
        kept = None if self._of is None else self._index.get(KIND, self._of)
        if kept is None or kept["git"] not in (None, _git_state()):
            return None
        return {
            Path(name): Trace(sha, imprint and Imprint(*imprint))
            for name, (sha, imprint) in kept["files"].items()
        }

    def standings(self, records: Iterable[Record]) -> Mapping[Path, Standing]:
        """As `validation.inspect.standings`; notes whether they depend on git."""
        self._git = _git_state()
        found, self._beyond = standings_and_source(records, self._index)
        return found

    def keep(self, files: Mapping[Path, bytes]) -> Traces:
        """What is to be kept of files that were made; kept if nothing changed meanwhile."""
        traces = {path: trace_of(content) for path, content in files.items()}
        state = _git_state() if self._beyond else None
        settled = state in (None, self._git)
        if self._of is not None and settled and self._of == self._depends_on():
            listed = {str(path): trace for path, trace in traces.items()}
            self._index.put(KIND, self._of, {"git": state, "files": listed})
        return traces

    def _depends_on(self) -> list[str] | None:
        """None where it can't be told, so that nothing is known and nothing is kept."""
        spec = find_spec("methods")
        methods = [Path(one) for one in (spec and spec.submodule_search_locations) or ()]
        code = code_sha(*methods)
        try:
            ledger = ROOT / LEDGER
            commits = hashlib.sha256(ledger.read_bytes()).hexdigest() if ledger.exists() else ""
            records = folder_sha(self._results, (RANKS_SUFFIX,))
            points = folder_sha(self._studies) if self._studies.is_dir() else ""
        except (Unplain, OSError):
            return None
        if code is None:
            return None
        return [*self._places, records, points, commits, code, software(*_LIBRARIES)]


def _git_state() -> str:
    """All that decides which commits git knows here."""
    try:
        words = ("--show-toplevel", "--is-shallow-repository", "HEAD")
        return git_line("rev-parse", *words, at=ROOT)
    except (OSError, subprocess.SubprocessError):
        return "none"
