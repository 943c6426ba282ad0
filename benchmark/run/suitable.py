"""Whether a method is defined for what a plan has it learn: asked before anything is read."""

from collections.abc import Collection, Mapping

from ..errors import BenchError
from ..suites.find import find_suite
from ..suites.names import Kind, suite_names
from ..suites.suite import Suite
from .registry import ResolvedMethod

_OTHER = "choose another suite, --order or --method"


def check_suitable(method: ResolvedMethod, suite: Suite, tasks: Collection[str]) -> None:
    """What a suite declares of its tasks against what a method says of itself.

    Args:
        method: with its settings.
        suite: as declared; nothing of its data is read.
        tasks: names of those that are learned.

    Raises:
        BenchError: a task of a kind that the method refuses, tasks of both kinds for a method
            that learns all at once, or no reference data where it reads some.
    """
    kinds = {d.name: d.kind for d in suite.tasks if d.name in tasks and d.kind is not None}
    check_kinds(method, kinds)
    _check_reference(method, suite)


def check_kinds(method: ResolvedMethod, kinds: Mapping[str, Kind]) -> None:
    """Refuse tasks, by name and kind, that a method is not defined for; raises BenchError."""
    refused = method.cls.refused(method.config)
    for name, kind in kinds.items():
        if kind in refused:
            raise BenchError(
                f"tasks that {method.cls.label} is defined for",
                f"'{name}', of the kind '{kind}': {refused[kind]}",
                _OTHER,
            )
    # The examples of all tasks are joined, and the two kinds have no common batch.
    if len(set(kinds.values())) > 1 and "all tasks at once" in method.uses:
        first = {kind: name for name, kind in reversed(list(kinds.items()))}
        raise BenchError(
            f"tasks of one kind, which {method.cls.label} trains jointly",
            f"'{first['pairs']}' with captions and '{first['labelled']}' with labels",
            _OTHER,
        )


def _check_reference(method: ResolvedMethod, suite: Suite) -> None:
    if "reference data" not in method.uses:
        return
    if suite.reference is not None and suite.reference.kind != "labelled":
        return
    have = [name for name in suite_names() if find_suite(name).reference is not None]
    raise BenchError(
        f"a suite with image-text reference data, which {method.cls.label} distils from",
        f"'{suite.name}', which declares none",
        f"choose another --method, or --suite {', '.join(have[:-1])} or {have[-1]}",
    )
