"""Group 1: what the class says of itself and of its settings."""

import ast
import json
from dataclasses import FrozenInstanceError, asdict, fields, replace
from typing import get_args

from ...protocol.badges import Badge
from ...protocol.config import Config
from ...protocol.method import Method
from ...suites.names import Kind
from ..contract import KINDS, Broken, NotApplicable, Subject, check


@check("declaration", "Extend `Method` itself; what two methods share is a function.", once=True)
def direct_subclass(subject: Subject, kind: Kind) -> None:
    """A method extends `Method` and nothing else."""
    bases = subject.found.cls.__bases__
    if bases != (Method,):
        raise Broken(f"{subject.found.cls.__name__} extends {', '.join(b.__name__ for b in bases)}")


@check("declaration", "Give `label` its name in tables, and `paper` whom to cite.", once=True)
def label(subject: Subject, kind: Kind) -> str | None:
    """It has a name for tables, and says whom to cite."""
    cls = subject.found.cls
    if not isinstance(cls.label, str) or not cls.label.strip():
        raise Broken(f"a label of {cls.label!r}")
    if not isinstance(cls.paper, str):
        raise Broken(f"a paper of {cls.paper!r}")
    return None if cls.paper else "no paper is named"


@check("declaration", f"Choose among {', '.join(get_args(Badge))}.", once=True)
def badges(subject: Subject, kind: Kind) -> str | None:
    """What it uses beyond the current task's data is declared in known words."""
    for config in _configs(subject):
        if odd := set(subject.found.cls.badges(config)) - set(get_args(Badge)):
            raise Broken(f"the badges {', '.join(sorted(map(repr, odd)))}")
    return ", ".join(sorted(subject.found.uses)) or None


@check(
    "declaration", "Name a kind, 'pairs' or 'labelled', with the reason; leave one out.", once=True
)
def refusals(subject: Subject, kind: Kind) -> str | None:
    """A kind of task that it is not defined for is refused with a reason, and one kind is left."""
    refused = subject.found.cls.refused(subject.found.config)
    if set(refused) - set(KINDS):
        raise Broken(f"refusals of {', '.join(map(repr, refused))}")
    if set(refused) == set(KINDS):
        raise Broken("both kinds are refused")
    if empty := [k for k, reason in refused.items() if not str(reason).strip()]:
        raise Broken(f"no reason for '{empty[0]}'")
    return "; ".join(f"no {k}: {reason}" for k, reason in refused.items()) or None


@check(
    "declaration",
    "Write @dataclass(frozen=True) above the Config, of numbers, texts, bools and tuples of them.",
    once=True,
)
def config(subject: Subject, kind: Kind) -> None:
    """Its settings are frozen, can be hashed, and come back from JSON as they were."""
    for one in _configs(subject):
        if hash(one) != hash(replace(one)):
            raise Broken("two equal Configs with different hashes")
        back = json.loads(json.dumps(asdict(one)))
        for f in fields(one):
            value = getattr(one, f.name)
            if back[f.name] != (list(value) if isinstance(value, tuple) else value):
                raise Broken(f"'{f.name}' of {value!r} comes back as {back[f.name]!r}")
        try:
            one.lr = one.lr  # type: ignore[misc]
        except FrozenInstanceError:
            continue
        raise Broken(f"a value of {type(one).__name__} can be changed")


@check("declaration", "Remove the variant that changes nothing.", once=True)
def variants(subject: Subject, kind: Kind) -> str | None:
    """Every variant differs from the default and from the others."""
    tags = ["the default", *(f"'{tag}'" for tag in subject.found.cls.variants)]
    seen: dict[Config, str] = {}
    for tag, one in zip(tags, _configs(subject), strict=True):
        if one in seen:
            raise Broken(f"{tag} equals {seen[one]}")
        seen[one] = tag
    return None


@check(
    "declaration",
    "Use the setting, or remove it: a run with another value would be the same run.",
    once=True,
)
def settings_are_read(subject: Subject, kind: Kind) -> None:
    """Every setting of its own is read somewhere in its file."""
    found = subject.found
    own = {f.name for f in fields(found.config)} - {f.name for f in fields(Config)}
    if not own:
        raise NotApplicable("it has no settings of its own")
    tree = ast.parse(found.file.read_text(encoding="utf-8"))
    read = _names_read(tree, type(found.config).__name__)
    if read is None:
        raise NotApplicable("the file hands its settings on as a whole")
    if idle := sorted(own - read):
        raise Broken(f"nothing in {found.file.name} reads {', '.join(map(repr, idle))}")


def _configs(subject: Subject) -> list[Config]:
    """Of the default and of every variant."""
    cls = subject.found.cls
    return [cls.Config(), *(replace(cls.Config(), **changes) for changes in cls.variants.values())]


def _names_read(tree: ast.Module, settings: str) -> set[str] | None:
    """Attributes and words that a file reads, outside the class of that name.

    None where the whole of the settings goes somewhere, so that nobody can tell by the text.
    """
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name == settings
        for inner in ast.walk(node)
    }
    read: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in inside:
            continue
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            read.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            read.add(node.value)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "asdict", "astuple", "vars", "getattr", "fields",
        ):  # fmt: skip
            return None
    return read


CHECKS = (direct_subclass, label, badges, refusals, config, variants, settings_are_read)
