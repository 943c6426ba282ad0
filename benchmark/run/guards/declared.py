"""What a method's class says of itself, checked once when it is found. No torch.

A hook that nobody calls, a setting that nobody can set and a badge that nobody knows would each be
a run that does something else than its author believes, without a word.
"""

import inspect
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from ...errors import BenchError, MethodError, nearest, quoted
from ...protocol.badges import Badge
from ...protocol.config import Config, field_types
from .hooks import HOOKS, check_hook, check_spelling

if TYPE_CHECKING:
    from ...protocol.method import Method

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?")
"""Names and variants of methods: they are parts of file names, of commands and of tables."""
VARIANT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9 +.,()/'-]*[A-Za-z0-9+.)])?")
"""Labels: printed in tables, pages and messages, so that none is markup, a link or another's."""
LONGEST = 60  # characters of a name, a variant or a label
_MARKUP = re.compile(r"[<>|`\[\]\x00-\x1f\x7f-\x9f\u2028\u2029]")
_KINDS = ("pairs", "labelled")


def check_name(name: str, fix: str) -> None:
    """Refuse a method's name that could not stand in a file name or in a table as it is."""
    if len(name) > LONGEST or not NAME.fullmatch(name):
        raise MethodError(
            f"a method's name of at most {LONGEST} letters A to Z, digits, - and _",
            quoted(name),
            fix,
        )


def check_declared(cls: "type[Method[Any]]") -> None:
    """Refuse a class whose declarations are not those of the protocol.

    Raises:
        MethodError: a label, variant, badge, Config, hook or other attribute that is none; the
            sentence says what it should be.
    """
    check_texts(cls)
    _check_config(cls)
    _check_attributes(cls)
    _check_variants(cls)
    own = _own(cls)
    for name in own:
        check_spelling(name, cls)
        if name in HOOKS:
            check_hook(cls, name)


def check_answers(cls: "type[Method[Any]]", config: Config) -> None:
    """Refuse what the class says of itself with these settings, by `badges` and `refused`.

    Raises:
        MethodError: it is no set of badges, or no mapping of kinds to reasons.
    """
    _check_badges(cls, cls.badges(config), f"{cls.__name__}.badges")
    refused = cls.refused(config)
    _check_refuses(cls, refused, f"{cls.__name__}.refused")
    if set(refused) == set(_KINDS):
        raise _wrong(
            "a method that is defined for pairs or for labelled tasks",
            "one that refuses both",
            f"leave one out of what {cls.__name__} refuses",
        )


def _wrong(expected: str, got: str, fix: str) -> MethodError:
    return MethodError(expected, got, fix)


def _own(cls: type) -> dict[str, Any]:
    """What the class and those between it and `Method` define, nearest first."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if base.__module__.startswith("benchmark.protocol."):
            break
        found = {**vars(base), **found}
    return found


# -- texts


def check_texts(cls: type) -> None:
    """Refuse a label or a paper that could not stand in tables, pages and messages as it is.

    Raises:
        MethodError: the class attribute `label` or `paper` is such a one.
    """
    label = inspect.getattr_static(cls, "label")
    if not isinstance(label, str) or len(label) > LONGEST or not LABEL.fullmatch(label):
        raise _wrong(
            f"a `label` of {cls.__name__} of at most {LONGEST} letters A to Z, digits, spaces and "
            "+ - . , ( ) / '",
            quoted(label) + _odd_letter(label),
            "give the name that tables show",
        )
    if "www." in label.lower():  # which a page would make a link
        raise _wrong(f"a `label` of {cls.__name__} that is no address", quoted(label), "shorten it")
    paper = inspect.getattr_static(cls, "paper")
    if not isinstance(paper, str) or len(paper) > 300 or _MARKUP.search(paper):
        raise _wrong(
            f"a `paper` of {cls.__name__} on one line, of at most 300 characters without "
            "< > | ` [ ]",
            quoted(paper),
            "give authors, title, place and year",
        )


def _odd_letter(label: object) -> str:
    """A letter of another script by its name: it may look as one of the alphabet does."""
    odd = [c for c in label if not c.isascii()] if isinstance(label, str) else []
    return f" with {unicodedata.name(odd[0], 'a character without a name')}" if odd else ""


# -- settings


def _check_config(cls: "type[Method[Any]]") -> None:
    config = cls.Config
    fix = "write @dataclass(frozen=True) above it"
    if not (isinstance(config, type) and issubclass(config, Config)):
        raise _wrong(
            f"the Config of {cls.__name__} to be a class that extends Config",
            quoted(config),
            "write `class MyConfig(Config):` and @dataclass(frozen=True) above it",
        )
    annotated = inspect.get_annotations(config)
    if "__dataclass_params__" not in vars(config) and (annotated or _settings(config)):
        raise _wrong(
            f"{config.__name__} to be a frozen dataclass",
            "a class with annotations alone, whose settings nobody could set or see"
            if annotated
            else f"a plain class, whose {_settings(config)[0]} nobody could set or see",
            fix,
        )
    if not getattr(config, "__dataclass_params__").frozen:  # noqa: B009 - no type checker knows it
        raise _wrong(f"{config.__name__} to be a frozen dataclass", "one that can be changed", fix)
    for name in field_types(config):
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise _wrong(
                f"settings of {config.__name__} named by letters, digits and _, a letter first",
                quoted(name),
                "rename it",
            )


def _settings(config: type) -> list[str]:
    """Plain values of a class that look like settings of it."""
    plain = (bool, int, float, str, tuple, type(None))
    return [n for n, v in vars(config).items() if not n.startswith("_") and isinstance(v, plain)]


def _check_variants(cls: "type[Method[Any]]") -> None:
    variants = inspect.getattr_static(cls, "variants")
    if not isinstance(variants, Mapping):
        raise _wrong(
            f"`variants` of {cls.__name__} as a mapping, tag to settings",
            quoted(variants),
            'write it as {"tag": {"setting": value}}',
        )
    types = field_types(cls.Config)
    for tag, changes in variants.items():
        if not isinstance(tag, str) or len(tag) > LONGEST or not VARIANT.fullmatch(tag):
            raise _wrong(
                f"variants of {cls.__name__} named by letters A to Z, digits, - _ and .",
                quoted(tag),
                "rename it",
            )
        if not isinstance(changes, Mapping):
            raise _wrong(
                f"the variant '{tag}' of {cls.__name__} as a mapping, setting to value",
                quoted(changes),
                'write it as {"setting": value}',
            )
        for key in changes:
            if key not in types:
                raise _wrong(
                    f"settings of {cls.Config.__name__} in the variant '{tag}'",
                    quoted(key),
                    nearest(str(key), types),
                )
        try:
            replace(cls.Config(), **changes)
        except BenchError as e:
            raise MethodError(e.expected, e.got, f"{e.fix} in the variant '{tag}'") from e


# -- other attributes


def _check_attributes(cls: "type[Method[Any]]") -> None:
    _check_badges(cls, inspect.getattr_static(cls, "uses"), f"`uses` of {cls.__name__}")
    _check_refuses(cls, inspect.getattr_static(cls, "refuses"), f"`refuses` of {cls.__name__}")
    only = inspect.getattr_static(cls, "training_only")
    if not isinstance(only, tuple | list) or not all(isinstance(name, str) for name in only):
        raise _wrong(
            f"`training_only` of {cls.__name__} as a tuple of names",
            quoted(only),
            'write it as ("name",), with a comma'
            if isinstance(only, str)
            else 'write it as ("name", "name")',
        )
    budgets = inspect.getattr_static(cls, "budgets")
    if type(budgets) is not int or budgets != 1:
        raise _wrong(
            f"`budgets` of {cls.__name__} of 1",
            quoted(budgets),
            "leave it out; a method that learns several tasks at once sets it in before_task",
        )
    at_once = inspect.getattr_static(cls, "at_once")
    if type(at_once) is not int or at_once < 1:
        raise _wrong(
            f"`at_once` of {cls.__name__}, a number of items, of at least 1",
            quoted(at_once),
            "leave it out, unless the encoders have their rows from items.cached()",
        )


def _check_badges(cls: type, uses: object, place: str) -> None:
    known = get_args(Badge)
    if not isinstance(uses, frozenset | set):
        raise _wrong(
            f"{place} as a frozenset of badges ({', '.join(known)})",
            quoted(uses),
            f'write it as frozenset({{"{known[0]}"}}), or frozenset() for none',
        )
    for badge in uses:
        if badge not in known:
            raise _wrong(
                f"{place} of {', '.join(known)}", quoted(badge), nearest(str(badge), known)
            )


def _check_refuses(cls: type, refuses: object, place: str) -> None:
    fix = 'write it as {"pairs": "why the method is not defined for them"}'
    if not isinstance(refuses, Mapping):
        raise _wrong(f"{place} as a mapping, kind of task to reason", quoted(refuses), fix)
    for kind, reason in refuses.items():
        if kind not in _KINDS:
            raise _wrong(f"{place} with kinds of {', '.join(_KINDS)}", quoted(kind), fix)
        if not isinstance(reason, str) or not reason.strip() or _MARKUP.search(reason):
            raise _wrong(f"{place} with a reason on one line for '{kind}'", quoted(reason), fix)
