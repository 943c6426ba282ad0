"""Which cases of a test every `make test` runs, and which `make test-all` alone."""

from collections.abc import Container, Iterable
from typing import Any

import pytest


def lanes(cases: Iterable[Any], quick: Container[Any]) -> list[Any]:
    """All cases for `parametrize`; those that are not `quick` are marked slow.

    Args:
        cases: a value each, or a tuple of as many as the test has names.
        quick: those that go another way through the code than the rest.
    """
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=() if case in quick else pytest.mark.slow,
        )
        for case in cases
    ]
