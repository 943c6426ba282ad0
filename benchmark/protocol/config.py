"""A method's settings, and the one way in which their values are checked. No torch."""

from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from math import inf, isfinite
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..common.origins import Origin
from ..common.origins import setting as setting
from ..errors import BenchError, nearest, quoted


@dataclass(frozen=True)
class Config:
    """Fields that every method has; a method's Config is a frozen dataclass that extends it.

    A field may be an int, float, bool, str, a `Literal` of several values, a tuple of one of these
    with any length, or one of these or None. A value of another type, and one that a `Literal` does
    not list, is refused here, whether it comes from `--hp`, from a variant or from a call.

    Attributes:
        lr: peak learning rate; None takes the suite's, which has one for pretrained weights and
            one for parameters that the method adds.
        weight_decay: AdamW's decoupled weight decay; None takes the suite's.
        decay: what it falls on, "matrices" (and arrays of more dimensions) or "all", which has
            gains and biases too; None takes the suite's.
    """

    lr: float | None = setting(None, source="the suite's recipe")
    weight_decay: float | None = setting(None, source="the suite's recipe")
    decay: Literal["matrices", "all"] | None = setting(None, source="the suite's recipe")

    def __post_init__(self) -> None:
        """A Config that checks values of its own calls this first, and then `require`."""
        for name, kind in field_types(type(self)).items():
            require_type(name, getattr(self, name), kind)
        require(
            0 <= (self.lr or 0) < inf and 0 <= (self.weight_decay or 0) < inf,
            "lr and weight_decay of at least 0",
            f"{self.lr} and {self.weight_decay}",
        )


def origins(config: type[Config]) -> Mapping[str, Origin]:
    """Setting -> where its default is from, of the settings that say it."""
    found = {f.name: f.metadata.get("origin") for f in fields(config) if f.default is not MISSING}
    return {name: origin for name, origin in found.items() if isinstance(origin, Origin)}


def require(holds: bool, expected: str, got: object, fix: str = "correct --hp") -> None:
    """Refuse settings that would run and mean nothing.

    Args:
        holds: whether they mean something.
        expected: what was expected, as a noun phrase that names them ("rank of at least 1").
        got: their values.
        fix: what to do, as an imperative clause.

    Raises:
        BenchError: it does not hold; the sentence has all three.
    """
    if not holds:
        raise BenchError(expected, str(got), fix)


def require_choice(name: str, value: object, choices: Collection[object]) -> None:
    """Refuse a value that is none of the choices, and say which one may have been meant."""
    if value not in choices:
        names = [str(choice) for choice in choices]
        near = nearest(str(value), names)
        fix = near if near.startswith("did you mean") else "choose one"
        raise BenchError(f"{name} in {', '.join(names)}", f"'{value}'", fix)


def require_type(name: str, value: object, kind: Any) -> None:
    """Refuse a value that is not of a field's type; a type that `Config` does not name passes."""
    if not _fits(value, kind):
        if choices := literals(kind):
            require_choice(name, value, choices)
        raise BenchError(f"{name} of type {type_name(kind)}", quoted(value), "correct its value")


def require_no_step(config: Config) -> None:
    """Refuse an optimiser's settings in a method that makes no training step."""
    require(
        config.lr is None and config.weight_decay is None and config.decay is None,
        "no lr, no weight_decay and no decay, as this method makes no training step",
        f"lr={config.lr}, weight_decay={config.weight_decay} and decay={config.decay}",
        "leave them out",
    )


def field_types(config: type[Config]) -> Mapping[str, Any]:
    """Setting -> type, of a Config class; a plugin may have postponed annotations."""
    hints = get_type_hints(config)
    return {field.name: hints[field.name] for field in fields(config)}


def literals(kind: Any) -> tuple[object, ...]:
    """The values of a closed choice, `Literal[...]` or that or None; empty for another type."""
    parts = [kind, *get_args(kind)]
    return next((get_args(part) for part in parts if get_origin(part) is Literal), ())


def type_name(kind: Any) -> str:
    """A type as it is written in code."""
    return kind.__name__ if isinstance(kind, type) else str(kind)


def named_config(cls: type, root: type) -> type[Config] | None:
    """The Config class in the brackets of a base, for a type variable its bound; None without one.

    Args:
        cls: a subclass of `root`.
        root: the generic class whose brackets hold a Config class.

    Raises:
        BenchError: something else is in the brackets.
    """
    for base in cls.__dict__.get("__orig_bases__", ()):
        origin = get_origin(base)
        if not (isinstance(origin, type) and issubclass(origin, root)):
            continue
        for given in get_args(base):
            found = getattr(given, "__bound__", given)
            if isinstance(found, type) and issubclass(found, Config):
                return found
            if found is not Any:
                raise BenchError(
                    f"a Config class in {origin.__name__}[...] of {cls.__name__}",
                    f"{found!r}",
                    "define it above the method, as a frozen dataclass that extends Config",
                )
    return None


def _fits(value: object, kind: Any) -> bool:
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in args)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in args)
    if origin is tuple and args[1:] == (...,):
        return isinstance(value, tuple) and all(_fits(one, args[0]) for one in value)
    if kind is float:
        return type(value) is int or isinstance(value, float)
    if kind is int:  # a bool is one, by Python's word
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind) if kind in (bool, str, type(None)) else True


def parse_setting(kind: Any, key: str, text: str) -> Any:
    """Text -> the field's type, one of those that `Config` names."""
    options = get_args(kind) if type(None) in get_args(kind) else (kind,)
    if type(None) in options and text.lower() == "none":
        return None
    if choices := literals(kind):
        by_text = {str(choice): choice for choice in choices}
        require_choice(key, text, by_text)
        return by_text[text]
    kind = next(o for o in options if o is not type(None))
    if get_origin(kind) is tuple:
        parts = (part.strip() for part in text.split(","))
        return tuple(parse_setting(get_args(kind)[0], key, part) for part in parts if part)
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind is float and not isfinite(float(text)):
            raise ValueError
        if kind in (int, float, str):
            return kind(text)
    except (KeyError, ValueError):
        raise BenchError(
            f"a value of type {type_name(kind)}", f"'{key}={text}'", "correct --hp"
        ) from None
    raise BenchError(
        f"a setting that --hp can give (see Config in {Config.__module__})",
        f"'{key}' of type {type_name(kind)}",
        "make it a variant",
    )


def parse_changes(config: Config, name: str, hp: Collection[str]) -> dict[str, Any]:
    """Setting -> value, of texts "key=value"; those of the method `name` with this config.

    Raises:
        BenchError: an unknown key, one twice, or a value of another type.
    """
    types = field_types(type(config))
    changes: dict[str, Any] = {}
    for item in hp:
        key, equals, text = item.partition("=")
        if not equals or key not in types:
            raise BenchError(
                f"--hp key=value with a setting of {name} ({', '.join(types)})",
                f"'{item}'",
                f"give it a value, such as --hp {key}={getattr(config, key)}"
                if key in types
                else nearest(key, types),
            )
        if key in changes:
            raise BenchError("each key once in --hp", f"'{key}' twice", "remove one of them")
        changes[key] = parse_setting(types[key], key, text)
    return changes
