"""What a method's file declares, read from its source: equal to what Python makes of it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import pytest

from benchmark.protocol.invariants import Invariant
from benchmark.run.registry import find_method, method_names
from benchmark.validation.declared import method_file, read_declared
from benchmark.validation.inspect import installed_methods
from benchmark.validation.literals import Unreadable

ROOT = Path(__file__).parents[2]
BUILT_IN = [name for name, origin in method_names().items() if origin.startswith("methods/")]


@pytest.mark.parametrize("name", BUILT_IN)
def test_source_and_import_say_the_same(name: str) -> None:
    declared = installed_methods()[name]
    assert declared is not None
    method = find_method(name, [])
    assert (declared.label, declared.paper) == (method.cls.label, method.cls.paper)
    assert list(declared.variants) == list(method.cls.variants)
    for variant in ("", *declared.variants):
        asked = find_method(f"{name}.{variant}" if variant else name, [])
        config = {
            k: list(v) if isinstance(v, tuple) else v for k, v in asdict(asked.config).items()
        }
        assert declared.config(variant) == config
        assert declared.uses is not None
        assert declared.uses[variant] == sorted(asked.uses)
    assert set(declared.invariants) <= set(get_args(Invariant))
    assert set(declared.aliases) <= {"", *declared.variants}


def read(text: str, **more: str) -> Any:
    files = {"methods/x.py": text, **{f"{k.replace('__', '/')}.py": v for k, v in more.items()}}
    return read_declared(
        "methods/x.py", lambda path: files[path].encode() if path in files else None
    )


BASE = {
    "benchmark__api": "from .config import Config, MAPS\n",
    "benchmark__config": (
        "A = ('a',)\nMAPS = (*A, 'b')\nclass Config:\n    lr: float | None = None\n"
    ),
}
PLAIN = """
from benchmark.api import MAPS, Config, Method
TABLE = {"x": "task id"}

class XConfig(Config):
    n: int = -2 * 3
    maps: tuple[str, ...] = MAPS
    way: str = "y"

class X(Method[XConfig]):
    label = "X"
    variants = {"big": {"n": 4, "way": "x"}}
    invariants = {"same in every seed": {"n": (4,)}}

    @classmethod
    def badges(cls, config):
        '''Doc.'''
        return frozenset({TABLE[config.way]} if config.way in TABLE else ())
"""


def test_names_are_followed_through_files() -> None:
    found = read(PLAIN, **BASE)
    assert found.defaults == {"lr": None, "n": -6, "maps": ["a", "b"], "way": "y"}
    assert found.uses == {"": [], "big": ["task id"]}
    assert found.invariants == {"same in every seed": {"n": [4]}}


@pytest.mark.parametrize(
    "value",
    [
        "open('/etc/passwd').read()", "__import__('os').getpid()", "[n for n in range(3)]",
        "9 ** 9 ** 9", "'a' * 10 ** 9", "(lambda: 3)()", "MAPS.__class__", "unknown",
        "-" * 90 + "1", "frozenset().__class__.__base__", "f'{1}'", "1 << 10 ** 6", "LOOP",
    ],
)  # fmt: skip
def test_what_is_no_plain_value_is_not_run(value: str) -> None:
    text = PLAIN.replace("-2 * 3", value) + "\nLOOP = (LOOP,)\n"
    with pytest.raises(Unreadable):
        read(text, **BASE)


@pytest.mark.parametrize(
    "text", ["", "class X:\n    pass\n", "def (", "x = 1\x00", PLAIN + PLAIN.replace("X(", "Y(")]
)
def test_a_file_with_no_method_or_two(text: str) -> None:
    with pytest.raises(Unreadable):
        read(text, **BASE)


def test_imports_in_a_circle_end() -> None:
    more = {"benchmark__api": "from .other import MAPS, Config\n",
            "benchmark__other": "from .api import MAPS, Config\n"}  # fmt: skip
    with pytest.raises(Unreadable):
        read(PLAIN, **more)


def test_badges_that_need_more_than_settings_are_not_known() -> None:
    found = read(PLAIN.replace("return frozenset", "n = 3\n        return frozenset"), **BASE)
    assert found.uses is None
    assert found.defaults["n"] == -6


def test_a_method_is_found_by_its_file() -> None:
    assert method_file("codyra-rail-dual") == "methods/codyra_rail_dual.py"
    assert all((ROOT / method_file(name)).is_file() for name in BUILT_IN)
