"""A suite of the user's own datasets, declared in a TOML file (see examples/own-suite.toml)."""

import re
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, cast, get_args

from ..backbones.known import Precision
from ..common.titles import LONGEST_TITLE, plain_title
from ..data.own.dataset import LocalTable, Located, OwnDataset
from ..data.own.files import TABLES, WRITTEN, can_be_table
from ..data.own.hub import HubPins
from ..data.own.row import ColumnNames
from ..data.split_rules import ByColumn, ByFraction, DivisionRule
from ..errors import quoted
from . import hub_keys
from .mini import RECIPE
from .names import CaptionSampling, ClassScope, Crops, Decay, is_reserved
from .suite import Dataset, Recipe, Suite, check_recipe
from .toml_keys import Keys

TEMPLATES = ("a photo of a {}.",)

_TEXTS = ("name", "version", "about", "backbone", "pretrained", "class_scope")
_SUITE = (*_TEXTS, "recipe", "settings", "task", "held_out")
_FILES = ("train", "test", "data")
_TABLES = ("train_table", "test_table", "table")
_TABLE_OF = dict(zip(_FILES, _TABLES, strict=True))
_ABOUT = ("name", "title", "licence", "citation")
_COLUMNS = ("id", "image", "captions", "label", "classnames", "templates")
_LOCAL = (*_FILES, "images", *_TABLES)
_DATASET = (*_ABOUT, *_LOCAL, *hub_keys.KEYS, "split", *_COLUMNS)
# Key -> (smallest, largest, whole number); zero epochs or a zero learning rate train nothing.
_RECIPE: dict[str, tuple[float, float, bool]] = {
    "epochs": (1, inf, True),
    "batch_size": (2, inf, True),
    "lr": (1e-12, inf, False),
    "lr_added": (1e-12, inf, False),
    "weight_decay": (0, inf, False),
    "warmup": (0, 1, False),
    "grad_clip": (0, inf, False),
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "precision": get_args(Precision),
    "decay": get_args(Decay),
    "caption_sampling": get_args(CaptionSampling),
    "crops": get_args(Crops),
}
_RECIPE_KEYS = (*_RECIPE, *_CHOICES)


def read_suite(path: str) -> Suite:
    """The suite that a TOML file declares. Tables and images are read by `Dataset.load`.

    Args:
        path: the TOML file; the paths in it are relative to its folder.

    Raises:
        BenchError: no such file, no valid TOML, an unknown or missing key, or a value out of
            range. `Dataset.load` raises it for everything that is wrong with the data.
    """
    return _read(Path(path))[0]


def suite_pins(path: str) -> HubPins:
    """What of a TOML file's suite is on the hub; raises as `read_suite`."""
    return _read(Path(path))[1]


def _read(file: Path) -> tuple[Suite, HubPins]:
    keys = Keys.of(file).only(_SUITE)
    name = _identifier(keys)
    if is_reserved(name):
        got = f"'{name}', which is kept for cl-bench itself"
        keys.bad("a name of its own", got, "choose another name")
    version = keys.text("version", "1.0")
    if not re.fullmatch(r"\d+\.\d+", version):
        keys.bad('a version like "1.0"', f"'{version}'", "write major.minor")
    tasks, held_out = keys.tables("task"), keys.tables("held_out")
    if not tasks:
        keys.bad("at least one [[task]]", "none", "add one")
    pins = HubPins(file)
    suite = Suite(
        name=name,
        version=version,
        tasks=tuple(_dataset(_named(t, "task", file), pins, False) for t in tasks),
        held_out=tuple(_dataset(_named(t, "held_out", file), pins, True) for t in held_out),
        backbone=keys.text("backbone", "tiny-s"),
        pretrained=keys.text("pretrained", "bundled"),
        recipe=_recipe(keys.table("recipe").only(_RECIPE_KEYS)),
        class_scope=_class_scope(keys, [*tasks, *held_out]),
        about=keys.text("about", f"declared by {file.name}"),
        folder=file.parent,
        settings=_settings(keys.table("settings")),
    )
    check_recipe(suite, suite.recipe)
    return suite, pins


def _identifier(keys: Keys) -> str:
    name = keys.text("name")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        keys.bad("a name of lower-case letters, digits and '-'", f"'{name}'", "change the name")
    return name


def _title(keys: Keys, name: str) -> str:
    """The head of its column, which stands in pages that anybody reads."""
    title = keys.text("title", name)
    if not plain_title(title):
        fix = f"write letters, digits, spaces and . , : + - / ( ) & ' %, {LONGEST_TITLE} at most"
        keys.bad("a title of plain characters", quoted(title), fix)
    return title


def _named(keys: Keys, kind: str, file: Path) -> Keys:
    """The same table, called by its name in errors."""
    return replace(keys, where=f"[[{kind}]] '{_identifier(keys)}' of {file.name}")


def _recipe(keys: Keys) -> Recipe:
    values: dict[str, Any] = {
        key: keys.number(key, low, high, whole=whole)
        for key, (low, high, whole) in _RECIPE.items()
        if key in keys
    }
    for key, known in _CHOICES.items():
        values[key] = keys.text(key, getattr(RECIPE, key))
        if values[key] not in known:
            names = ", ".join(f'"{one}"' for one in known)
            keys.bad(f"`{key}` of {names}", quoted(values[key]), "choose one")
    return replace(RECIPE, **values)


def _settings(keys: Keys, of_method: bool = False) -> dict[str, Any]:
    """Values for methods that have a setting of the name, which is known when one runs.

    Tables are of the methods whose names they have.
    """
    found: dict[str, Any] = {}
    for key, value in keys.raw.items():
        if isinstance(value, dict) and not of_method:
            found[key] = _settings(keys.table(key), True)
            continue
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, str | bool | int | float) for part in parts):
            keys.bad(
                f"a plain value for `{key}`", quoted(value), "write a number, a text or a list"
            )
        found[key] = tuple(value) if isinstance(value, list) else value
    return found


def _class_scope(keys: Keys, datasets: list[Keys]) -> ClassScope:
    """The scope, once the names are known to be distinct across all datasets."""
    names = [dataset.text("name") for dataset in datasets]
    for name in names:
        if names.count(name) > 1:
            keys.bad("distinct dataset names", f"'{name}' twice", "rename one of them")
    scope = keys.text("class_scope", "own")
    if scope not in ("own", "union"):
        keys.bad('`class_scope` "own" or "union"', f"'{scope}'", "choose one")
    if scope == "union" and not any("label" in dataset for dataset in datasets):
        fix = "remove `class_scope`, which is for labelled datasets"
        keys.bad("a dataset with a `label`", "captions only", fix)
    return cast(ClassScope, scope)


def _dataset(keys: Keys, pins: HubPins, held_out: bool) -> Dataset:
    keys.only(_DATASET)
    name, folder = keys.text("name"), pins.file.parent
    if ("captions" in keys) == ("label" in keys):
        got = "both" if "label" in keys else "neither"
        keys.bad("either `captions` or `label`", got, "name the column of one of them")
    labelled = "label" in keys
    for key in ("classnames", "templates"):
        if key in keys and not labelled:
            keys.bad(f"`{key}` only beside `label`", "captions", "remove it")
    on_hub = hub_keys.hub_tables(keys, _LOCAL, held_out) if "hub" in keys else {}
    local = {} if on_hub else _tables(keys, folder, held_out)
    rule = _rule(keys, ("of",) * bool(on_hub)) if "data" in {*on_hub, *local} else None
    columns = ColumnNames(
        image=keys.text("image", "image"),
        value=keys.text("label" if labelled else "captions"),
        id=keys.text("id") if "id" in keys else None,
        split=rule.column if isinstance(rule, ByColumn) else None,
    )
    tables = {part: pins.table(table, columns) for part, table in on_hub.items()} or local
    own = OwnDataset(
        name, tables, columns, rule, labelled, _classnames(keys, folder), _templates(keys)
    )
    return Dataset(
        name=name,
        title=_title(keys, name),
        load=own.split,
        training=own.training,
        licence=keys.text("licence", "not stated"),
        citation=keys.text("citation", "not stated"),
        origin=own.origin,
        kind="labelled" if labelled else "pairs",
    )


def _tables(keys: Keys, folder: Path, held_out: bool) -> dict[str, Located]:
    """The tables by part: "train" and "test", or "data" for one that is divided."""
    hub_keys.refuse_alone(keys)
    given = tuple(key for key in _FILES + _TABLES if key in keys)
    forms = [_FILES[:2], _FILES[2:], _TABLES[:2], _TABLES[2:]]
    forms += [("test",), ("test_table",)] if held_out else []
    if given not in forms:
        expected = "`train` and `test`, or `data` (or the same of tables: `train_table`, `table`)"
        got = ", ".join(f"`{key}`" for key in given) or "no file"
        keys.bad(expected, got, "name the files in one of these ways")
    tables, single = given[0] in _TABLES, given[0] in ("data", "table")
    if tables and "images" not in keys:
        keys.bad("`images` beside a table", "none", "name the folder of the image files")
    if not tables and "images" in keys:
        keys.bad("`images` only beside a table", "parquet files", "remove it")
    if single and "split" not in keys:
        keys.bad(f"a `split` for `{given[0]}`", "none", "add one, like split = { test = 0.2 }")
    if not single and "split" in keys:
        keys.bad("`split` only for one file", "separate files", "remove it")
    found = {key: folder / keys.text(key) for key in given}
    for key, file in found.items():
        text = file.suffix.lower() in TABLES
        if tables and not text:
            got = f"'{file.name}'"
            keys.bad(f"a {' or '.join(TABLES)} file for `{key}`", got, "convert it")
        if not tables and not can_be_table(file):
            named = f"name it with `{_TABLE_OF[key]}`, beside the folder of its `images`"
            fix = named if text else "convert it"
            keys.bad(f"a {WRITTEN} for `{key}`", f"'{file.name}'", fix)
    if len({file.resolve() for file in found.values()}) < len(found):
        fix = "name two files, or divide the one with a `split`"
        got = f"'{next(iter(found.values())).name}' for both"
        keys.bad("separate files for training and test", got, fix)
    images = folder / keys.text("images") if tables else None
    parts = {key: "data" if key == "table" else key.removesuffix("_table") for key in given}
    return {parts[key]: LocalTable(file, images) for key, file in found.items()}


def _rule(keys: Keys, more: tuple[str, ...]) -> DivisionRule:
    split = keys.table("split")
    if "column" not in split:
        split.only(("test", "seed", "column", *more))
        test = split.number("test", 0, 1, whole=False)
        if test in (0.0, 1.0):
            split.bad("a fraction between 0 and 1 for `test`", f"{test:g}", "leave some for both")
        return ByFraction(test, split.number("seed", 0, inf, whole=True, default=42))
    split.only(("column", "train", "test", *more))
    rule = ByColumn(
        split.text("column"), split.texts("train", ("train",)), split.texts("test", ("test",))
    )
    both = sorted(set(rule.train) & set(rule.test))
    if both:
        split.bad("values of one part each", f"'{both[0]}' in both", "remove it from one")
    return rule


def _classnames(keys: Keys, folder: Path) -> tuple[str, ...] | Path | None:
    if "classnames" not in keys:
        return None
    inline = isinstance(keys.raw["classnames"], list)
    return keys.texts("classnames", ()) if inline else folder / keys.text("classnames")


def _templates(keys: Keys) -> tuple[str, ...]:
    templates = keys.texts("templates", TEMPLATES)
    for template in templates:
        if template.count("{}") != 1 or re.search(r"[{}]", template.replace("{}", "")):
            keys.bad("templates with one {}", f"'{template}'", "put {} where the class name goes")
    return templates
