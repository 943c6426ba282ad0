"""The hooks that a method's class defines: their names, and how they are called. No torch."""

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ...errors import MethodError

if TYPE_CHECKING:
    from ...protocol.method import Method

_CLASS_HOOKS = ("badges", "refused")
# What a hook takes beside the method (or its class) itself.
HOOKS: dict[str, tuple[str, ...]] = {
    "__init__": ("clip", "config", "tools"),
    "before_task": ("task",),
    "loader": ("task",),
    "trainable": (),
    "features": ("batch",),
    "loss": ("batch",),
    "training_key": (),
    "after_step": ("step", "total"),
    "after_task": ("task",),
    "report": (),
    "encode_image": ("images",),
    "encode_text": ("texts",),
    "classifier": ("classes",),
    "badges": ("config",),
    "refused": ("config",),
    "train": ("mode",),
}
_ATTRIBUTES = (
    "Config", "variants", "label", "paper", "uses", "refuses", "training_only", "budgets",
    "at_once",
)  # fmt: skip
# By these the harness saves, restores and checks a method; another one would be believed.
_NOT_FOR_METHODS = frozenset({
    "__class__", "__getattr__", "__getattribute__", "__setattr__", "_apply", "apply", "buffers",
    "children", "cpu", "cuda", "eval", "get_buffer", "get_parameter", "get_submodule",
    "load_state_dict", "modules", "named_buffers", "named_children", "named_modules",
    "named_parameters", "parameters", "register_buffer", "register_module", "register_parameter",
    "requires_grad_", "state_dict", "to", "zero_grad",
})  # fmt: skip


def check_spelling(name: str, cls: "type[Method[Any]]") -> None:
    """Refuse a public name that is a hook's or an attribute's but for a slip."""
    if name in _NOT_FOR_METHODS:
        raise MethodError(
            f"{cls.__name__} to leave `{name}` to torch, as runs save, restore and check by it",
            "a method that defines its own",
            "remove it",
        )
    from ...protocol.method import Method

    if name.startswith("_") or hasattr(Method, name) or name in _ATTRIBUTES:
        return
    if meant := _meant(name):
        raise MethodError(
            f"names of {cls.__name__} that are not mistaken for the protocol's",
            f"'{name}', which nobody calls or reads",
            f"did you mean '{meant}'? If not, begin it with _",
        )


def odd_name(name: str) -> bool:
    """Whether `check_spelling` may refuse a name; it is said without torch."""
    return name in _NOT_FOR_METHODS or (not name.startswith("_") and bool(_meant(name)))


def _meant(name: str) -> str:
    """The name of the protocol that another one is but for a slip; '' for none."""
    known = {_letters(word): word for word in (*HOOKS, *_ATTRIBUTES) if word != "__init__"}
    if (letters := _letters(name)) in known:
        return known[letters]
    by_parts = {tuple(sorted(word.split("_"))): word for word in HOOKS if "_" in word}
    if word := by_parts.get(tuple(sorted(name.split("_")))):
        return word
    slip = {word for word in known if _slips(letters, word) <= (2 if len(word) > 8 else 1)}
    # Short words have neighbours that are words of their own, as `losses`, `used` and `brain` are.
    slip = {
        w for w in slip if len(w) > 5 or (sorted(letters) == sorted(w) or len(letters) < len(w))
    }
    best = get_close_matches(letters, slip, n=1, cutoff=0.0)
    return known[best[0]] if best else ""


def _letters(name: str) -> str:
    return name.replace("_", "").casefold()


def _slips(one: str, other: str) -> int:
    """Letters to add, drop, replace or swap with the next one (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        last, before, row = before, row, [i]
        for j, b in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]


def check_hook(cls: "type[Method[Any]]", name: str) -> None:
    """Refuse what the harness could not call as it does, or what would not run when called."""
    found, takes = inspect.getattr_static(cls, name), HOOKS[name]
    first = "cls" if name in _CLASS_HOOKS else "self"
    form = f"{name}({', '.join((first, *takes))})"
    above = "@classmethod " if name in _CLASS_HOOKS else ""
    fix = f"write it as `{above}def {form}:`"
    if name in _CLASS_HOOKS and isinstance(found, classmethod):
        found = found.__func__
    elif name in _CLASS_HOOKS or not callable(found) or isinstance(found, staticmethod | type):
        raise MethodError(
            f"{cls.__name__}.{form} as a {'class method' if above else 'method'}",
            f"a {type(found).__name__}",
            fix,
        )
    plain = inspect.unwrap(found)
    if _is_lazy(plain):
        raise MethodError(
            f"{cls.__name__}.{form} to do its work when it is called",
            "a generator or a coroutine, of which nothing runs",
            "return a value in the place of `yield`, and leave out `async`",
        )
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # of compiled code, which shows none
        return
    try:
        signature.bind(*(first, *takes))
    except TypeError as e:
        raise MethodError(f"{cls.__name__}.{form}", f"{name}{signature} ({e})", fix) from None


def _is_lazy(function: Callable[..., Any]) -> bool:
    tests = (inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    return any(test(function) for test in tests)
