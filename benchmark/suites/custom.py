"""A suite of the user's own datasets, declared in a TOML file (see examples/own-suite.toml)."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from math import inf
from pathlib import Path
from typing import cast

from ..data.images import short
from ..data.own.apart import check_apart, check_divisible
from ..data.own.table import ColumnNames, Item, OwnTable, images_of, read_table
from ..data.own.values import captions_of, label_values, labels_of, read_lines
from ..data.split import Labelled, Pairs, Split
from ..data.split_rules import ByColumn, ByFraction, DivisionRule, by_column, by_fraction
from ..errors import BenchError
from .mini import RECIPE
from .names import RESERVED, ClassScope, SplitName
from .suite import Dataset, Recipe, Suite
from .toml_keys import Keys

TEMPLATES = ("a photo of a {}.",)

_TEXTS = ("name", "version", "about", "backbone", "pretrained", "class_scope")
_SUITE = (*_TEXTS, "recipe", "task", "held_out")
_PARQUET = ("train", "test", "data")
_TABLES = ("train_table", "test_table", "table")
_ABOUT = ("name", "title", "licence", "citation")
_COLUMNS = ("id", "image", "captions", "label", "classnames", "templates")
_DATASET = (*_ABOUT, *_PARQUET, "images", *_TABLES, "split", *_COLUMNS)
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


@dataclass(frozen=True)
class _Local:
    """What the TOML says of one dataset; `files` maps train and test, or data, to tables."""

    name: str
    files: dict[str, Path]
    images: Path | None
    columns: ColumnNames
    rule: DivisionRule | None
    labelled: bool
    classnames: tuple[str, ...] | Path | None
    templates: tuple[str, ...]


def read_suite(path: str) -> Suite:
    """The suite that a TOML file declares. Tables and images are read by `Dataset.load`.

    Args:
        path: the TOML file; the paths in it are relative to its folder.

    Raises:
        BenchError: no such file, no valid TOML, an unknown or missing key, or a value out of
            range. `Dataset.load` raises it for everything that is wrong with the data.
    """
    file = Path(path)
    keys = Keys.of(file).only(_SUITE)
    name = _identifier(keys)
    if name in RESERVED or name.startswith("mini"):
        got = f"'{name}', which is kept for cl-bench itself"
        keys.bad("a name of its own", got, "choose another name")
    version = keys.text("version", "1.0")
    if not re.fullmatch(r"\d+\.\d+", version):
        keys.bad('a version like "1.0"', f"'{version}'", "write major.minor")
    tasks, held_out = keys.tables("task"), keys.tables("held_out")
    if not tasks:
        keys.bad("at least one [[task]]", "none", "add one")
    return Suite(
        name=name,
        version=version,
        tasks=tuple(_dataset(_named(t, "task", file), file.parent, False) for t in tasks),
        held_out=tuple(_dataset(_named(t, "held_out", file), file.parent, True) for t in held_out),
        backbone=keys.text("backbone", "tiny-s"),
        pretrained=keys.text("pretrained", "bundled"),
        recipe=_recipe(keys.table("recipe").only(_RECIPE)),
        class_scope=_class_scope(keys, [*tasks, *held_out]),
        about=keys.text("about", f"declared by {file.name}"),
        folder=file.parent,
    )


def _identifier(keys: Keys) -> str:
    name = keys.text("name")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        keys.bad("a name of lower-case letters, digits and '-'", f"'{name}'", "change the name")
    return name


def _named(keys: Keys, kind: str, file: Path) -> Keys:
    """The same table, called by its name in errors."""
    return replace(keys, where=f"[[{kind}]] '{_identifier(keys)}' of {file.name}")


def _recipe(keys: Keys) -> Recipe:
    values = {
        key: keys.number(key, low, high, whole=whole)
        for key, (low, high, whole) in _RECIPE.items()
        if key in keys
    }
    return replace(RECIPE, **values)


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


def _dataset(keys: Keys, folder: Path, held_out: bool) -> Dataset:
    keys.only(_DATASET)
    name = keys.text("name")
    if ("captions" in keys) == ("label" in keys):
        got = "both" if "label" in keys else "neither"
        keys.bad("either `captions` or `label`", got, "name the column of one of them")
    labelled = "label" in keys
    for key in ("classnames", "templates"):
        if key in keys and not labelled:
            keys.bad(f"`{key}` only beside `label`", "captions", "remove it")
    files, images = _files(keys, folder, held_out)
    rule = _rule(keys) if "data" in files else None
    columns = ColumnNames(
        image=keys.text("image", "image"),
        value=keys.text("label" if labelled else "captions"),
        id=keys.text("id") if "id" in keys else None,
        split=rule.column if isinstance(rule, ByColumn) else None,
    )
    local = _Local(
        name, files, images, columns, rule, labelled, _classnames(keys, folder), _templates(keys)
    )
    return Dataset(
        name=name,
        title=keys.text("title", name),
        load=_loader(local),
        licence=keys.text("licence", "not stated"),
        citation=keys.text("citation", "not stated"),
        kind="labelled" if labelled else "pairs",
    )


def _files(keys: Keys, folder: Path, held_out: bool) -> tuple[dict[str, Path], Path | None]:
    """The tables by part, and the folder of the images where the tables are text."""
    given = tuple(key for key in _PARQUET + _TABLES if key in keys)
    forms = [_PARQUET[:2], _PARQUET[2:], _TABLES[:2], _TABLES[2:]]
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
    endings = (".csv", ".jsonl") if tables else (".parquet",)
    files = {}
    for key in given:
        file = folder / keys.text(key)
        if file.suffix not in endings:
            keys.bad(f"a {' or '.join(endings)} file for `{key}`", f"'{file.name}'", "convert it")
        files["data" if key == "table" else key.removesuffix("_table")] = file
    if len({file.resolve() for file in files.values()}) < len(files):
        fix = "name two files, or divide the one with a `split`"
        keys.bad("separate files for training and test", f"'{file.name}' for both", fix)
    return files, folder / keys.text("images") if tables else None


def _rule(keys: Keys) -> DivisionRule:
    split = keys.table("split")
    if "column" not in split:
        split.only(("test", "seed", "column"))
        test = split.number("test", 0, 1, whole=False)
        if test in (0.0, 1.0):
            split.bad("a fraction between 0 and 1 for `test`", f"{test:g}", "leave some for both")
        return ByFraction(test, split.number("seed", 0, inf, whole=True, default=42))
    split.only(("column", "train", "test"))
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


def _loader(local: _Local) -> Callable[[SplitName], Split]:
    """`Dataset.load`: reads each table once, when one of its parts is first asked for."""

    @cache
    def table(part: str) -> OwnTable:
        file = local.files[part]
        found = read_table(file, local.columns, local.images or file.parent)
        if local.rule is not None:
            check_divisible(local.rule, found)
        return found

    @cache
    def labels() -> tuple[dict[str, dict[str, int | str]], tuple[str, ...]]:
        """The label cells of each table, and the class names."""
        names = local.classnames
        names = read_lines(names) if isinstance(names, Path) else names
        found = label_values([table(part) for part in local.files], names)
        values = dict(zip(local.files, found, strict=True))
        return values, _class_list(local, table, values, names)

    @cache
    def load(part: SplitName) -> Split:
        if {"train", "test"} <= local.files.keys():
            check_apart(local.name, table("train"), table("test"))
        source = "data" if "data" in local.files else part
        items = _items(local, table(source), part)
        rule = repr(local.rule)
        images = images_of(table(source), items, [repr(local.columns), rule, part])
        if not local.labelled:
            return Pairs(local.name, images, captions_of(items))
        values, names = labels()
        numbers = labels_of(items, values[source], names)
        return Labelled(local.name, images, numbers, names, local.templates)

    return load


def _items(local: _Local, table: OwnTable, part: SplitName) -> list[Item]:
    """The images of one part, in order; BenchError where there is none."""
    n = len(table.items)
    if n == 0:
        got = "none"
        raise BenchError(f"images in {short(table.file)}", got, "add rows or name another file")
    if isinstance(local.rule, ByFraction):
        picked = by_fraction(n, local.rule, part).tolist()
    elif isinstance(local.rule, ByColumn):
        values = [item.part for item in table.items]
        picked = by_column(values, local.rule, part, short(table.file)).tolist()
    else:
        return list(table.items)
    return [table.items[i] for i in picked]


def _class_list(
    local: _Local,
    table: Callable[[str], OwnTable],
    values: dict[str, dict[str, int | str]],
    declared: tuple[str, ...] | None,
) -> tuple[str, ...]:
    """Class names as declared, else the sorted string labels of the training part."""
    names = declared
    kinds = {type(value) for found in values.values() for value in found.values()}
    if names is None:
        if int in kinds:
            got = "integer labels without them"
            fix = "add `classnames`, a file whose line n is class n, or a list"
            raise BenchError(f"`classnames` of '{local.name}'", got, fix)
        part: SplitName = "test" if set(local.files) == {"test"} else "train"
        source = "data" if "data" in local.files else part
        labels = values[source]
        names = tuple(sorted({str(labels[i.key]) for i in _items(local, table(source), part)}))
    if not all(names) or (str in kinds and len(set(names)) < len(names)):
        got = "a blank line" if not all(names) else "a name twice"
        raise BenchError(f"distinct class names for '{local.name}'", got, "correct `classnames`")
    return names
