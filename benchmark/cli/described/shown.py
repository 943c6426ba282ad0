"""Settings as `ls NAME` prints them: their values, where they are from, what is not the paper's."""

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ...common.origins import Origin
from ...suites.suite import Recipe, Suite

DIFFERS = "*"
"""Stands before a setting whose value is not the paper's."""
WIDEST_VALUE, NARROWEST, WIDTH = 28, 60, 100  # characters; the last where there is no terminal


@dataclass(frozen=True)
class Row:
    """One setting of a method.

    Attributes:
        name, value: as printed.
        told: what is said of it, part by part.
        differs: whether the value is known not to be the paper's.
    """

    name: str
    value: str
    told: tuple[str, ...] = ()
    differs: bool = False


def setting_rows(
    settings: Mapping[str, Any], origins: Mapping[str, Origin], defaults: Mapping[str, Any],
    varied: Mapping[str, Any], given: Mapping[str, Any], suite: Suite | None, method: str,
) -> Iterator[Row]:  # fmt: skip
    """A method's settings, one after the other.

    Args:
        settings: their values in a run.
        origins: where the defaults are from.
        defaults: the values without suite and variant.
        varied: what the variant changes.
        given: what the suite gives.
        suite: in which the method is to run; None for none in particular.
        method: its name.
    """
    by_suite = suite.origins_for(method) if suite is not None else {}
    for name, value in settings.items():
        origin, of_suite = origins.get(name, Origin()), by_suite.get(name, Origin())
        by_default = f"{shown(defaults[name])} by default"
        if name in varied:
            at = f" ({origin.source})" if origin.source and not origin.paper else ""
            paper = replace(origin, why="", source="" if at else origin.source, sweep="")
            told = (f"by this variant; {by_default}{at}", *parts(paper))
            yield Row(name, shown(value), told, _differs(value, defaults[name], origin))
        elif name in given:
            told = (f"by the suite; {by_default}", *parts(of_suite))
            if of_suite.source or of_suite.paper:
                differs = _differs(value, value, of_suite)
            else:
                differs = _differs(value, defaults[name], origin)
            yield Row(name, shown(value), told, differs)
        elif value is None and suite is not None and hasattr(suite.recipe, name):
            yield _of_recipe(name, suite.recipe, origin, of_suite)
        else:
            yield Row(name, shown(value), parts(origin), _differs(value, value, origin))


def _differs(value: object, told_of: object, origin: Origin) -> bool:
    """Whether a value is not the paper's, by the origin of the value `told_of`."""
    if origin.paper:
        return not origin.is_papers(value)
    return bool(origin.source) and value != told_of


def _of_recipe(name: str, recipe: Recipe, origin: Origin, of_suite: Origin) -> Row:
    """A setting that the recipe of the suite decides."""
    values = [getattr(recipe, name)]
    if name == "lr":
        values.append(recipe.lr_added)
    said = f"{shown(values[0])}" + "".join(f", {shown(v)} for what it adds" for v in values[1:])
    told = ("the suite's recipe", *parts(of_suite))
    if not origin.paper:
        return Row(name, said, told)
    if all(origin.is_papers(value) for value in values):
        return Row(name, said, (*told, f"as the paper: {origin.paper}"))
    return Row(name, said, (*told, *parts(origin)), differs=True)


def recipe_rows(suite: Suite) -> Iterator[Row]:
    """What every method gets from a suite's recipe."""
    recipe = asdict(suite.recipe)
    recipe.pop("epochs" if suite.recipe.steps else "steps")
    for name, value in recipe.items():
        origin = suite.origins.get(name, Origin())
        yield Row(name, shown(value), parts(origin), _differs(value, value, origin))


def given_rows(suite: Suite) -> Iterator[Row]:
    """What a suite gives to settings of methods, `method.setting` where to one method alone.

    With values of the recipe where the suite says where they are from.
    """
    flat: dict[str, Any] = {
        f"recipe {key}": value
        for key, value in asdict(suite.recipe).items()
        if key in suite.origins and key not in suite.settings
    }
    for key, value in suite.settings.items():
        own = {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, Mapping) else None
        flat |= {key: value} if own is None else own
    for key, value in flat.items():
        origin = suite.origins.get(key.removeprefix("recipe "), Origin())
        yield Row(key, shown(value), parts(origin), _differs(value, value, origin))


def parts(origin: Origin) -> tuple[str, ...]:
    """Where a value is from, and the paper's where it is another."""
    told = [
        f"chosen of {origin.trials} by sweeps/{origin.sweep}.toml" if origin.sweep else "",
        "; ".join(filter(None, [origin.paper and f"the paper: {origin.paper}", origin.source])),
        f"why: {origin.why}" if origin.why else "",
    ]
    return tuple(filter(None, told))


def shown(value: Any) -> str:
    """A value as --hp takes it."""
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def terminal_width() -> int:
    """Columns to print in: the terminal's."""
    return max(NARROWEST, shutil.get_terminal_size((WIDTH, 24)).columns)


def columns(rows: list[Row], columns: int, indent: str = "", name_width: int = 0) -> list[str]:
    """Lines of three aligned columns; what is said of a value is wrapped under itself.

    Args:
        rows: what to print.
        columns: of the terminal.
        indent: before every line, and before the mark.
        name_width: least width of the names.
    """
    names = max([name_width, *(len(row.name) for row in rows)])
    values = max([0, *(len(r.value) for r in rows if len(r.value) <= WIDEST_VALUE)])
    lines = []
    for row in rows:
        head = f"{indent}{DIFFERS if row.differs else ' '} {row.name:<{names}}  "
        told_at = " " * (len(head) + values + 2)
        room = max(NARROWEST // 3, columns - len(told_at))
        wrapped = (textwrap.wrap(part, room, break_long_words=False) for part in row.told)
        told = [line for lines_of in wrapped for line in lines_of]
        if len(row.value) > values or not told:
            lines.append(head + row.value)
        else:
            lines.append(f"{head}{row.value:<{values}}  {told.pop(0)}")
        lines += [told_at + line for line in told]
    return lines
