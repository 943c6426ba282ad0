"""The look-up of a suite by its name, or by the path of a file that declares one."""

from pathlib import Path
from typing import get_args

from ..errors import BenchError, nearest
from .names import EMBEDDED, PUBLISHED, Templates, suite_names
from .suite import Suite


def find_suite(
    name: str,
    cache: Path | None = None,
    side: int | None = None,
    templates: Templates | None = None,
) -> Suite:
    """The suite of that name, or the one declared by a TOML file.

    Args:
        name: a suite's name, or a path that ends in `.toml`.
        cache: the folder where prepared data lie; None for the default one.
        side: image side of the run, for suites of prepared data; None reads whichever is there.
        templates: set of prompts; None for the suite's own.

    Raises:
        BenchError: no such suite or file, the file does not declare a suite, or the suite does
            not offer that choice of prompts.
    """
    _check_templates(templates)
    found = _find(name, cache, side, templates)
    if templates is not None and found.templates is None:
        raise BenchError(
            "--templates beside a suite with a choice of prompts",
            f"'{found.name}', which has none",
            "remove --templates or choose one of the labelled few-shot suites",
        )
    return found


def _check_templates(templates: str | None) -> None:
    known = get_args(Templates)
    if templates is not None and templates not in known:
        got = f"'{templates}'"
        raise BenchError(f"--templates of {', '.join(known)}", got, nearest(templates, known))


def _find(name: str, cache: Path | None, side: int | None, templates: Templates | None) -> Suite:
    if name.endswith(".toml"):
        from .custom import read_suite

        return read_suite(name)
    if name == "mini":
        from .mini import mini

        return mini()
    if name in EMBEDDED:
        from .mini_few_shot import FEW_SHOT

        return FEW_SHOT[name](templates)
    if name in PUBLISHED:
        from . import published

        return published.BUILDERS[name](published.Location(cache, side, templates))
    raise BenchError(
        f"a suite ({', '.join(suite_names())}) or a path to a .toml file",
        f"'{name}'",
        nearest(name, suite_names()),
    )
