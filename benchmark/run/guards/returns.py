"""What the hooks of a method return, checked where it is used: one sentence that says what it is.

Rows that are not of unit length, a loss that is one tensor, a group that is no list: each would run
on into another number, or into an error deep inside the harness.
"""

from collections.abc import Callable, Mapping, Sequence
from inspect import isawaitable, isgenerator
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import MethodError, quoted
from ...protocol.types import Images, Loader, ParamGroup

_LOSS = (
    "loss() to return a mapping of names to tensors of one number each, such as "
    '{"match": matching(features)}'
)
_GROUPS = "trainable() to return a list of ParamGroup, each with a list of the method's parameters"


def _wrong(expected: str, got: str, fix: str) -> MethodError:
    return MethodError(expected, got, fix, code=3)


def nothing_left(hook: str, returned: object) -> None:
    """Refuse a hook without a result that left its work undone: a generator or a coroutine."""
    if isgenerator(returned) or isawaitable(returned):
        raise _wrong(
            f"{hook} to do its work when it is called",
            f"a {type(returned).__name__}, of which nothing ran",
            "leave out `yield` and `async`",
        )


# -- training


def checked_terms(terms: object) -> dict[str, Tensor]:
    """The terms of a loss.

    Raises:
        MethodError: no mapping, no term, a name that is no text, or a term that is no tensor of
            one number with a gradient.
    """
    if not isinstance(terms, Mapping):
        raise _wrong(_LOSS, _kind(terms), 'give the term a name: return {"loss": ...}')
    if not terms:
        raise _wrong(_LOSS, "an empty mapping", "return at least one term")
    for name, term in terms.items():
        if not isinstance(name, str):
            raise _wrong(_LOSS, f"the name {quoted(name)}", "name the term by a text")
        if not isinstance(term, Tensor):
            raise _wrong(
                _LOSS,
                f"{_kind(term)} as '{name}'",
                "leave it out, or make it a tensor of the graph",
            )
        if term.ndim:
            raise _wrong(
                _LOSS,
                f"one of shape {tuple(term.shape)} as '{name}'",
                "take its mean or its sum",
            )
        if not term.dtype.is_floating_point:
            raise _wrong(_LOSS, f"one of {term.dtype} as '{name}'", "compute it in floating point")
        if not term.requires_grad:
            raise _wrong(
                _LOSS,
                f"'{name}' without a gradient, from which nothing is learned",
                "leave it out, or compute it from trainable parameters, without detach and no_grad",
            )
    return dict(terms)


def checked_groups(groups: object, method: nn.Module) -> list[ParamGroup]:
    """What `trainable` returns.

    Args:
        groups: the groups.
        method: whose parameters they are.

    Raises:
        MethodError: no list of groups, a parameter that is none, is twice there, is not the
            method's or is the similarity's scale, or a value out of range.
    """
    if not isinstance(groups, list | tuple):
        fix = "return a list, which is empty where no step is made"
        raise _wrong(_GROUPS, _kind(groups), fix)
    names = {id(p): name for name, p in method.named_parameters(remove_duplicate=False)}
    seen: set[int] = set()
    for group in groups:
        if not isinstance(group, ParamGroup):
            raise _wrong(_GROUPS, f"{_kind(group)} in it", "write ParamGroup([...])")
        _check_group(group)
        for p in group.params:
            if not isinstance(p, nn.Parameter):
                raise _wrong(_GROUPS, f"{_kind(p)} among the parameters", "make it an nn.Parameter")
            if id(p) not in names:
                raise _wrong(
                    _GROUPS,
                    f"a parameter of shape {tuple(p.shape)} that is no part of the method",
                    "assign it, or its module, to an attribute of the method",
                )
            if id(p) in seen:
                raise _wrong(_GROUPS, f"'{names[id(p)]}' twice", "name every parameter once")
            seen.add(id(p))
    scale = getattr(getattr(method, "clip", None), "logit_scale", None)
    if id(scale) in seen:
        raise _wrong(
            "trainable() to leave `clip.logit_scale` out, which stays as pretrained in all methods",
            "a group with it",
            "start from self.clip.weights()",
        )
    return list(groups)


def _check_group(group: ParamGroup) -> None:
    if not isinstance(group.params, list | tuple):
        raise _wrong(_GROUPS, f"{_kind(group.params)} as its parameters", "write list(...)")
    betas, decay = group.betas, group.weight_decay
    fits = {
        "lr_scale of at least 0": _number(group.lr_scale) and group.lr_scale >= 0,
        "weight_decay of at least 0, or None": decay is None or (_number(decay) and decay >= 0),
        "two betas in [0, 1)": isinstance(betas, Sequence)
        and len(betas) == 2
        and all(_number(b) and 0 <= b < 1 for b in betas),
    }
    for expected, holds in fits.items():
        if not holds:
            name = expected.split()[0] if "betas" not in expected else "betas"
            raise _wrong(f"{_GROUPS}, {expected}", quoted(getattr(group, name)), "correct it")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def checked_loader(loader: Any, own: Loader, samples: bool) -> Loader:
    """What `loader` returns.

    Args:
        loader: its result.
        own: the task's loader.
        samples: whether the method declares that it keeps samples.

    Raises:
        MethodError: no loader, one without batches, or one with more batches than the task has for
            a method that keeps no samples: the number of steps is the suite's.
    """
    if not all(callable(getattr(loader, name, None)) for name in ("__len__", "epoch")):
        raise _wrong(
            "loader() to return a loader, with len() and epoch(index, start)",
            _kind(loader),
            "return task.loader, or what tools.join makes of several",
        )
    count, most = len(loader), len(own)
    if count < 1:
        raise _wrong("loader() with at least one batch", f"{count}", "return task.loader")
    if count > most and not samples:
        raise _wrong(
            f"loader() with at most the task's {most} batches",
            f"{count}, which would be as many steps more",
            "keep to them, or declare 'samples' in `uses`",
        )
    found: Loader = loader
    return found


def checked_budgets(budgets: object, tasks: int, samples: bool) -> int:
    """`Method.budgets` in a task.

    Args:
        budgets: its value.
        tasks: that have begun.
        samples: whether the method declares that it keeps samples.

    Raises:
        MethodError: more than one for each task that the method can train on.
    """
    most = tasks if samples else 1
    if type(budgets) is not int or not 1 <= budgets <= most:
        raise _wrong(
            f"`budgets` of 1 to {most} in task {tasks}" if most > 1 else "`budgets` of 1",
            quoted(budgets),
            "leave it at 1; a method that learns several tasks at once keeps their samples",
        )
    return budgets


def checked_key(key: object) -> Mapping[str, Any] | None:
    """What `training_key` returns; raises MethodError for what is no mapping and not None."""
    if key is None:
        return None
    if not isinstance(key, Mapping) or not all(isinstance(name, str) for name in key):
        raise _wrong(
            "training_key() to return a mapping, setting to value, or None",
            _kind(key),
            "return None where training depends on what earlier tasks left",
        )
    return key


def _kind(value: object) -> str:
    """What a value is, in words."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


# -- inference


def checked_shape(rows: object, count: int, device: torch.device, hook: str) -> Tensor:
    """Refuse what cannot be the embeddings of so many items; asks for no value of them.

    Args:
        rows: what the hook returned.
        count: of the items.
        device: where they must be.
        hook: that returned them.

    Raises:
        MethodError: no plain tensor, or one of another shape, dtype or device.
    """
    expected = f"{hook} to return one row for each of {count} items, float32, on {device}"
    found = _plain(rows, device, expected)
    if found.ndim != 2 or len(found) != count or not found.shape[1]:
        raise _wrong(expected, _kind(rows), "return one row for each item")
    if found.dtype != torch.float32:
        raise _wrong(expected, f"rows of {found.dtype}", "convert them by .float(), or use unit()")
    return found


def checked_scores(
    scores: object, count: int, classes: int, device: torch.device, hook: str
) -> Tensor:
    """Refuse what cannot be scores of so many items for so many classes; raises as above."""
    expected = f"{hook} to give scores ({count}, {classes}), float32 or float64, on {device}"
    found = _plain(scores, device, expected)
    if tuple(found.shape) != (count, classes):
        raise _wrong(expected, _kind(scores), "return one score for each item and class")
    if found.dtype not in (torch.float32, torch.float64):
        raise _wrong(expected, f"scores of {found.dtype}", "convert them by .float()")
    return found


def checked_classifier(score: object) -> Callable[[Images], object]:
    """Refuse what is no function of images."""
    if not callable(score):
        raise _wrong(
            "classifier() to return a function of images",
            _kind(score),
            "return a function that gives scores, one for each image and class",
        )
    return score


def _plain(value: object, device: torch.device, expected: str) -> Tensor:
    # A class of its own could answer every later question as it likes.
    if type(value) not in (Tensor, nn.Parameter, nn.Buffer):
        raise _wrong(expected, _kind(value), "return a plain tensor")
    assert isinstance(value, Tensor)
    if value.device != device:
        raise _wrong(expected, f"one on {value.device}", "keep it where the items are")
    return value.detach()
