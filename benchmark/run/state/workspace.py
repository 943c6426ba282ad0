"""The folder of an unfinished run: its lock, scores that are done, states to go on from.

Every file says of which run it is, and has a digest: one that is damaged, or was copied from
another run or stage, counts as not there.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ...common.checked import read_sealed, write_sealed
from ...common.locks import held
from ...common.report import Say
from ...errors import BenchError
from ..evaluate import Scores
from ..provenance.usage import Usage
from . import checkpoint
from .checkpoint import DamagedCheckpoint


@dataclass(frozen=True)
class Saved:
    """A state to go on from: after `tasks` finished ones, and inside the next if `step` > 0."""

    tasks: int
    step: int
    tensors: dict[str, Tensor]
    about: dict[str, Any]


class Workspace:
    """One run's folder, named by everything that its numbers depend on.

    Args:
        folder: the run's own.
        say: shows a sentence to the user.
    """

    def __init__(self, folder: Path, say: Say) -> None:
        self.folder, self._say = folder, say
        self._bad: set[Path] = set()  # that were said

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Only one process works on a run.

        Raises:
            BenchError: another one does, or the folder cannot be made.
        """

        def busy() -> None:
            raise BenchError(
                "to be the only process of this run",
                f"another one at work in '{self.folder}'",
                "wait for it, or stop it first",
                code=6,
            )

        if not self.folder.exists() and (older := self._others()):
            self._say(
                f"a run of this name that was not finished ('{older[0].name}') had other code, "
                "data or ways to compute (--compile, --fresh, --device): this one starts anew"
            )
        with held(self.folder / "lock", busy, "give --output-dir a folder that you may write to"):
            yield

    def _others(self) -> list[Path]:
        """Unfinished runs of the same name, which something else tells apart."""
        name, found = self.folder.name, self.folder.parent
        head = name.rpartition("-")[0]
        every = sorted(found.iterdir()) if found.is_dir() else []
        return [at for at in every if at.name.rpartition("-")[0] == head and at.name != name]

    def remove(self) -> None:
        """The run is finished; its record holds everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- scores

    def scores(self, step: int, name: str) -> Scores | None:
        """Scores that were finished, or None; a damaged file counts as none, and is said."""
        found = self._read(self._cell(step, name), ("scores", step, name))
        return None if found is None else Scores(**found)

    def keep_scores(self, step: int, name: str, scores: Scores) -> None:
        """Keep the scores of one evaluation set at one stage."""
        self._write(self._cell(step, name), ("scores", step, name), asdict(scores))

    def _cell(self, step: int, name: str) -> Path:
        return self.folder / "scores" / f"{step:03d}-{name}.json"

    # -- usage

    def usage(self) -> Usage:
        """What earlier processes of this run have spent; a damaged file counts as none."""
        usage = Usage()
        usage.add(self._read(self.folder / "usage.json", ("usage",)) or {})
        return usage

    def keep_usage(self, spent: dict[str, Any]) -> None:
        """Keep what the whole run has spent until now."""
        self._write(self.folder / "usage.json", ("usage",), spent)

    def _write(self, path: Path, of: Sequence[object], value: dict[str, Any]) -> None:
        write_sealed(path, [self.folder.name, *of], value)

    def _read(self, path: Path, of: Sequence[object]) -> dict[str, Any] | None:
        try:
            return read_sealed(path, [self.folder.name, *of])
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            if path not in self._bad:
                self._say(f"{path} has other content than when it was written; it is made again")
                self._bad.add(path)
            return None

    # -- states

    def keep_task(self, tasks: int, tensors: Mapping[str, Tensor], about: dict[str, Any]) -> None:
        """Keep the state after `tasks` finished tasks, and the one before it."""
        self._keep(self._state(tasks), tensors, about)
        (self.folder / "step.safetensors").unlink(missing_ok=True)
        for old in range(1, tasks - 1):
            self._state(old).unlink(missing_ok=True)

    def keep_step(self, tensors: Mapping[str, Tensor], about: dict[str, Any]) -> None:
        """Keep a state inside a task."""
        self._keep(self.folder / "step.safetensors", tensors, about)

    def _keep(self, path: Path, tensors: Mapping[str, Tensor], about: dict[str, Any]) -> None:
        checkpoint.write(path, tensors, about | {"run": self.folder.name})

    def newest(self, total: int, scored: Callable[[int], bool]) -> Saved | None:
        """The newest state to go on from; one that is damaged is reported and passed over.

        Args:
            total: number of tasks.
            scored: whether all scores of a stage are there. A stage before the state cannot be
                scored again, so a state is of use only if those before it all are.
        """
        passed = False
        for path in [self.folder / "step.safetensors", *map(self._state, range(total, 0, -1))]:
            if not path.exists():
                continue
            try:
                tensors, about = checkpoint.read(path)
                if about.get("run") != self.folder.name:
                    raise DamagedCheckpoint(f"{path.name}: it is of another run")
            except DamagedCheckpoint as e:
                self._say(f"a saved state is damaged ({e}); going on from the one before it")
                path.unlink(missing_ok=True)
                passed = True
                continue
            tasks, step = about["tasks"], about.get("step", 0)
            if all(scored(stage) for stage in range(1, tasks + (1 if step else 0))):
                return Saved(tasks, step, tensors, about)
            self._say(f"scores before {path.name} are damaged; going on from an earlier state")
            passed = True
        if passed:
            self._say("no saved state is whole; training starts anew")
        return None

    def _state(self, tasks: int) -> Path:
        return self.folder / f"task-{tasks:03d}.safetensors"
