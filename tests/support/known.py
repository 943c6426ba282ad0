"""The methods that there are, each resolved once for all test files that choose among them."""

from functools import cache

from benchmark.run.registry import ResolvedMethod, find_method


@cache
def known(name: str) -> ResolvedMethod:
    """A method with its defaults."""
    return find_method(name, [])
