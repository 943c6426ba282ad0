"""Settings of a method: which class they have, and which values are refused."""

from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

import pytest

from benchmark.api import Config, Method, require, require_choice
from benchmark.errors import BenchError


@dataclass(frozen=True)
class Settings(Config):
    whole: int = 1
    real: float = 1.0
    flag: bool = False
    name: str = "x"
    names: tuple[str, ...] = ("a",)
    sizes: tuple[int, ...] = ()
    most: int | None = None
    way: Literal["up", "down"] = "up"
    level: Literal[1, 2] | None = None
    other: Any = None


@dataclass(frozen=True)
class MoreSettings(Settings):
    more: int = 2


SettingsT = TypeVar("SettingsT", bound=Settings)


class Shared(Method[SettingsT]):
    """Training that several methods share."""


class Typed(Method[Settings]):
    pass


class Plain(Method):
    pass


class Older(Method):
    Config = Settings


class Loose(Method[Any]):
    Config = Settings


class Both(Method[Settings]):
    Config = Settings


class Concrete(Shared[MoreSettings]):
    pass


class Bare(Shared):  # type: ignore[type-arg]
    pass


class Mixed(Typed, Generic[SettingsT]):
    pass


@pytest.mark.parametrize(
    ("cls", "config"),
    [
        (Method, Config), (Plain, Config), (Typed, Settings), (Older, Settings), (Loose, Settings),
        (Both, Settings), (Shared, Settings), (Bare, Settings), (Concrete, MoreSettings),
        (Mixed, Settings),
    ],
)  # fmt: skip
def test_the_class_of_the_settings_is_said_once(cls: type[Method[Any]], config: type) -> None:
    assert cls.Config is config


def test_two_config_classes_of_one_method_are_refused() -> None:
    with pytest.raises(BenchError, match="Settings in brackets and Config = MoreSettings"):

        class Two(Method[Settings]):
            Config = MoreSettings


@pytest.mark.parametrize("given", ["Settings", int])
def test_brackets_without_a_config_class_are_refused(given: Any) -> None:
    with pytest.raises(BenchError, match=r"a Config class in Method\[...\] of Wrong"):

        class Wrong(Method[given]):
            pass


@pytest.mark.parametrize(
    "values",
    [
        {"whole": 0}, {"real": 2}, {"real": 0.5, "lr": 1}, {"flag": True}, {"names": ()},
        {"sizes": (1, 2)}, {"most": 3}, {"most": None}, {"way": "down"}, {"level": 2},
        {"level": None}, {"other": object}, {"lr": None}, {"weight_decay": 0.0},
    ],
)  # fmt: skip
def test_values_of_the_fields_types(values: dict[str, Any]) -> None:
    assert vars(Settings(**values)).items() >= values.items()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"whole": True}, "whole of type int, got True"),
        ({"whole": 1.0}, "whole of type int, got 1.0"),
        ({"whole": "1"}, "whole of type int, got '1'"),
        ({"whole": None}, "whole of type int"),
        ({"real": True}, "real of type float"),
        ({"real": "0.1"}, "real of type float"),
        ({"flag": 1}, "flag of type bool"),
        ({"name": 3}, "name of type str"),
        ({"names": "ab"}, r"names of type tuple\[str, ...\]"),
        ({"names": ["a"]}, r"names of type tuple\[str, ...\]"),
        ({"names": ("a", 1)}, r"names of type tuple\[str, ...\]"),
        ({"sizes": (True,)}, r"sizes of type tuple\[int, ...\]"),
        ({"most": 1.5}, r"most of type int \| None"),
        ({"way": "dwon"}, "way in up, down, got 'dwon'; did you mean 'down'"),
        ({"way": "sideways"}, "way in up, down, got 'sideways'; choose one"),
        ({"level": 3}, "level in 1, 2, got '3'"),
        ({"level": True}, "level"),
        ({"lr": "1"}, r"lr of type float \| None"),
        ({"lr": -1.0}, "lr and weight_decay of at least 0"),
        ({"lr": float("nan")}, "lr and weight_decay of at least 0"),
        ({"weight_decay": float("inf")}, "lr and weight_decay of at least 0"),
    ],
)
def test_values_of_another_type_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(BenchError, match=words):
        Settings(**values)
    with pytest.raises(BenchError, match=words):
        replace(Settings(), **values)


def test_require_says_what_was_expected_and_got() -> None:
    require(1 > 0, "rank of at least 1", 1)
    with pytest.raises(BenchError) as error:
        require(0 > 0, "rank of at least 1", 0)
    assert str(error.value) == "expected rank of at least 1, got 0; correct --hp."
    with pytest.raises(BenchError, match="got 2; leave it out"):
        require(False, "no rank", 2, "leave it out")
    require_choice("merge", "ta", {"ta": 1})
    with pytest.raises(BenchError, match="merge in ta, ties, got 'tis'; did you mean 'ties'"):
        require_choice("merge", "tis", {"ta": 1, "ties": 2})
