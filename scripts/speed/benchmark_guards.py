"""What the guards of a run cost: seconds inside them, over all seconds of the run.

    python scripts/speed/benchmark_guards.py [SUITE [METHOD [ORDER [LIMIT]]]]

One run, in which every guard is timed where it is called; so the share does not depend on how two
runs of a busy machine differ. It is printed by guard. LIMIT takes fewer images of every split; what
it prints is then an upper bound, as guards cost the same for any number of images.
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmark.cli.run import run_all
from benchmark.run import evaluate, runner, train
from benchmark.run.guards import evaluation, training
from benchmark.run.request import Request, make_plan

SPENT: defaultdict[str, float] = defaultdict(float)


def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its time booked to a name."""

    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            SPENT[name] += time.perf_counter() - start

    return call


def timed_context(
    name: str, function: Callable[..., AbstractContextManager[Any]]
) -> Callable[..., AbstractContextManager[Any]]:
    """The context manager; what happens inside it is not booked."""

    @contextmanager
    def call(*args: Any, **kwargs: Any) -> Iterator[Any]:
        start = time.perf_counter()
        context = function(*args, **kwargs)
        value = context.__enter__()
        SPENT[name] += time.perf_counter() - start
        yield value
        start = time.perf_counter()
        context.__exit__(None, None, None)
        SPENT[name] += time.perf_counter() - start

    return call


PLACES: list[tuple[Any, str, str, Callable[..., Any]]] = [
    (evaluate, "check_rows", "rows of length 1", timed),
    (evaluate, "check_finite", "scores that are finite", timed),
    (evaluate, "check_alone", "items encoded again", timed),
    (evaluate, "checked_shape", "shapes", timed),
    (evaluate, "checked_scores", "shapes", timed),
    (evaluation.Untouched, "__init__", "tensors as before the evaluation", timed),
    (evaluation.Untouched, "during", "tensors as before the evaluation", timed_context),
    (training.Watch, "training", "what is trained is declared", timed_context),
    (training.Watch, "step", "what is trained is declared", timed_context),
    (training.Constants, "check", "scale and settings", timed),
    (train, "checked_terms", "what the loss returns", timed),
    (train, "checked_groups", "what is trained is declared", timed),
    (runner, "kept", "the process as before", timed_context),
]


def main(suite: str = "mini", method: str = "ft", order: str = "forward", limit: str = "") -> None:
    """Run, and print the shares."""
    with tempfile.TemporaryDirectory() as folder:
        request = Request(
            method, order, suite, limit=int(limit) if limit else None, output_dir=Path(folder),
            fresh=True,
        )  # fmt: skip
        make_plan(request)  # imports
        patches = [
            patch.object(owner, name, how(label, getattr(owner, name)))
            for owner, name, label, how in PLACES
        ]
        for one in patches:
            one.start()
        start = time.perf_counter()
        run_all([request], "", "none")
        whole = time.perf_counter() - start
    for label, seconds in sorted(SPENT.items(), key=lambda one: -one[1]):
        sys.stdout.write(f"{label:36} {seconds:7.3f} s  {100 * seconds / whole:5.2f} %\n")
    total = sum(SPENT.values())
    sys.stdout.write(f"{'all guards of ' + method + ' on ' + suite:36} {total:7.3f} s  ")
    sys.stdout.write(f"{100 * total / whole:5.2f} % of {whole:.1f} s\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in (("suite", "mini"), ("method", "ft"), ("order", "forward"), ("limit", "")):
        parser.add_argument(name, nargs="?", default=value)
    main(**vars(parser.parse_args()))
