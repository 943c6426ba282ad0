"""Every setting of every method says where its default is from, in a form that can be printed."""

from dataclasses import fields
from typing import Any

import pytest

from benchmark.protocol.config import Config, origins
from benchmark.run.registry import find_method, method_names

BUILT_IN = sorted(n for n, origin in method_names().items() if origin.startswith("methods/"))
LONGEST = 120  # characters of a text that stands under a setting


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_default_has_an_origin(name: str) -> None:
    config = find_method(name, []).cls.Config
    told = origins(config)
    assert told.keys() == {field.name for field in fields(config)}
    for setting, origin in told.items():
        assert origin.source or origin.why or origin.sweep, setting
        assert not origin.paper or origin.why, setting
        for text in (origin.source, origin.paper, origin.why):
            assert text == " ".join(text.split()), setting
            assert text.isascii(), setting
            assert text.isprintable(), setting
            assert len(text) <= LONGEST, setting
            assert not set(text) & set("<>`|"), setting


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_default_is_said_to_differ_from_the_value_that_it_has(name: str) -> None:
    config = find_method(name, []).cls.Config
    for setting, origin in origins(config).items():
        assert not origin.is_papers(getattr(config, setting)), setting


def test_what_methods_have_in_common_has_one_value_and_one_origin() -> None:
    """CoDyRA's settings in the methods that stand on it, and those of all regressions."""
    found: dict[str, list[Any]] = {}
    for name in ("codyra", "codyra-plus", "codyra-rail-primal", "codyra-rail-dual"):
        config: type[Config] = find_method(name, []).cls.Config
        for setting, origin in origins(config).items():
            found.setdefault(setting, []).append((getattr(config, setting), origin))
    shared = {setting: told for setting, told in found.items() if len(told) == 4}
    assert {"dense", "kappa_max", "prox", "rank", "text_rows", "targets"} <= shared.keys()
    assert {setting for setting, told in shared.items() if any(t != told[0] for t in told)} == set()
