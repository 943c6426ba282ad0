"""The process that runs a method's code for `session`, which it tells of each outcome.

It may hang, be killed or end itself at any line of the method's: whatever was told before stays,
and another process goes on behind the check that was being asked.
"""

import faulthandler
import json
import os
import resource
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn, TextIO

import torch

from ..errors import BenchError, MethodError
from ..run.registry import ResolvedMethod, find_method
from ..suites.names import Kind
from .contract import KINDS, SUITES, Subject, walk
from .lab import make_captioned, make_lab
from .outcome import FOUND, FOUND_REMEDY, Outcome, Pending
from .promises.every import CHECKS

CHEAPER = {"router_steps": 20, "experts": 5, "hidden": 40}
"""Settings that cost time and change no hook: smaller where a method has them as numbers."""


class Told:
    """Sends what happens, a JSON object a line.

    Args:
        pipe: to the other process.
    """

    def __init__(self, pipe: TextIO) -> None:
        self._pipe = pipe

    def __call__(self, word: str, value: Any) -> None:
        """Send a word with its value."""
        self._pipe.write(json.dumps({word: value}) + "\n")
        self._pipe.flush()


def main(request: str, pipe: int) -> None:
    """Ask all checks that are not done yet.

    Args:
        request: JSON, see `session.Session`.
        pipe: a file descriptor.
    """
    asked: dict[str, Any] = json.loads(request)
    tell = Told(os.fdopen(pipe, "w", encoding="utf-8"))
    _guard()
    torch.set_num_threads(1)  # tiny products: more threads only wait for each other
    done = [Outcome(**one) for one in asked["done"]]
    checks = [what for what in CHECKS if asked["full"] or not what.full]
    tell("jobs", [asdict(job) for job in (FOUND, *(c.job(asked["kind"]) for c in checks))])
    tell("start", asdict(FOUND))
    started = time.monotonic()
    try:
        found = find_method(asked["method"], asked["hp"])
    except KeyboardInterrupt:
        raise
    except BaseException as e:
        tell("outcome", asdict(_not_found(e, asked["method"])))
        tell("end", True)
        return
    about = {"label": str(found.cls.label), "file": str(found.file), "sha": found.sha}
    tell("found", about | {"uses": sorted(map(str, found.uses))})
    if not any(one.check == FOUND.check for one in done):
        tell("outcome", asdict(replace(FOUND.outcome("pass"), seconds=time.monotonic() - started)))
    subject = _subject(asked, found)
    subject.lab.place.tell = lambda words: tell("place", words)

    def begin(job: Pending) -> None:
        tell("start", asdict(job))

    for outcome in walk(subject, asked["kind"], checks, done, begin):
        tell("outcome", asdict(outcome))
    tell("end", True)


def _subject(asked: dict[str, Any], found: ResolvedMethod) -> Subject:
    lab = make_lab(Path(asked["folder"]) / "cache")
    named = {item.partition("=")[0] for item in asked["hp"]}
    config = vars(found.config)
    small = {
        k: v for k, v in CHEAPER.items()
        if k not in named and type(config.get(k)) is int and config[k] > v
    }  # fmt: skip
    suites: tuple[Kind, ...] = tuple(k for k in KINDS if SUITES[k] in asked["suites"])
    return Subject(
        found, lab, make_captioned(lab), small, asked["method"], tuple(asked["hp"]), suites,
        asked["full"],
    )  # fmt: skip


def _not_found(error: BaseException, asked: str) -> Outcome:
    """A file that does not import, or is no method: its last line, and one sentence."""
    raised = error.__cause__ is not None and not isinstance(error.__cause__, BenchError)
    if isinstance(error, BenchError) and not (isinstance(error, MethodError) and raised):
        fix = f"{error.fix[:1].upper()}{error.fix[1:]}."
        return FOUND.outcome("fail", f"expected {error.expected}, got {error.got}", fix)
    cause = error.__cause__ or error
    text = str(error.got) if isinstance(error, MethodError) else f"{type(error).__name__}: {error}"
    file = Path(asked.partition(":")[0])
    frames = [f for f in traceback.extract_tb(cause.__traceback__) if _is(f.filename, file)]
    where = f" ({file.name}:{frames[-1].lineno}, in {frames[-1].name})" if frames else ""
    if isinstance(cause, SyntaxError) and cause.lineno:
        where = f" ({Path(str(cause.filename)).name}:{cause.lineno})"
    return FOUND.outcome("fail", " ".join(text.split())[:400] + where, FOUND_REMEDY)


def _is(name: str, file: Path) -> bool:
    if file.suffix == ".py":
        return Path(name) == file or (file.exists() and Path(name).resolve() == file.resolve())
    return f"{os.sep}methods{os.sep}" in name or "site-packages" in name


def _guard() -> None:
    """Where this process ends or hangs is written down; the rest of the machine is spared."""
    faulthandler.enable(sys.stderr)
    faulthandler.register(signal.SIGUSR1, sys.stderr)
    end = os._exit

    def told(code: int) -> NoReturn:
        faulthandler.dump_traceback(sys.stderr)
        sys.stderr.flush()
        end(code)

    os._exit = told  # type: ignore[assignment]
    with suppress(OSError):  # where the kernel must end a process, it is this one
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if not torch.cuda.is_available():  # whose driver reserves more than there is
        with suppress(OSError, ValueError):
            pages, size = os.sysconf("SC_AVPHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            most = int(0.9 * pages * size) + 2**31
            resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
