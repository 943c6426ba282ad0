"""One dataset of a user's own: its tables, the rule that divides them, and its splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

from ...errors import BenchError, folded, quoted
from ..split import Labelled, Pairs, Split
from ..split_rules import ByColumn, ByFraction, DivisionRule, by_column, by_fraction
from .apart import check_apart, check_divisible
from .files import OwnFiles, find_files
from .row import ColumnNames
from .table import Item, OwnTable, images_of, read_table
from .values import captions_of, check_class_names, label_values, labels_of, read_lines

Part = Literal["train", "test"]
Labels = dict[str, int | str]


class Located(Protocol):
    """Where a table is; its files are looked for, or fetched, when it is first read."""

    def find(self) -> OwnFiles:
        """The files; raises BenchError where there are none."""

    def origin(self) -> str | None:
        """Repository and commit on the hub, as "owner/name@commit"; None for files of one's own."""


@dataclass(frozen=True)
class LocalTable:
    """A table on this machine: a path of the suite file, and the folder of its images, if any."""

    path: Path
    images: Path | None = None

    def find(self) -> OwnFiles:
        """See `find_files`."""
        return find_files(self.path, self.images)

    def origin(self) -> None:
        """A path says nothing to others."""


@dataclass(frozen=True)
class OwnDataset:
    """What a suite file says of one dataset.

    Attributes:
        name: of the dataset, for errors.
        tables: "train" and "test" -> table, or "test" alone, or "data" for one that `rule` divides.
        columns: which are read.
        rule: how "data" is divided, None where there is none.
        labelled: whether `columns.value` is a label.
        classnames: names, or a file with one a line; None for those that the data have.
        templates: prompts of a labelled dataset.
    """

    name: str
    tables: Mapping[str, Located]
    columns: ColumnNames
    rule: DivisionRule | None
    labelled: bool
    classnames: tuple[str, ...] | Path | None
    templates: tuple[str, ...]

    def split(self, part: Part) -> Split:
        """One part, with its images undecoded. Each table is read once.

        Raises:
            BenchError: whatever is wrong with the files, or training and test images that are the
                same.
        """
        if part not in self._splits:
            self._splits[part] = self._split(part)
        return self._splits[part]

    def training(self) -> Split:
        """The training part, read as if there were no test table; raises as `split`.

        Images that are in both tables are not told.
        """
        alone = {part: table for part, table in self.tables.items() if part != "test"}
        return replace(self, tables=alone).split("train")

    def origin(self) -> str | None:
        """Where the files are from, see `Located`."""
        found = dict.fromkeys(table.origin() for table in self.tables.values())
        return ", ".join(origin for origin in found if origin is not None) or None

    @cached_property
    def _splits(self) -> dict[Part, Split]:
        return {}

    @cached_property
    def _read(self) -> dict[str, OwnTable]:
        return {}

    def _table(self, part: str) -> OwnTable:
        if part not in self._read:
            found = read_table(self.tables[part].find(), self.columns)
            if self.rule is not None:
                check_divisible(self.rule, found)
            self._read[part] = found
        return self._read[part]

    def _split(self, part: Part) -> Split:
        if {"train", "test"} <= self.tables.keys():
            check_apart(self.name, self._table("train"), self._table("test"))
        source = self._source(part)
        items = self._items(part)
        keys = [repr(self.columns), repr(self.rule), part]
        images = images_of(self._table(source), items, keys)
        if not self.labelled:
            return Pairs(self.name, images, captions_of(items))
        values, names = self._labels
        numbers = labels_of(items, values[source], names)
        return Labelled(self.name, images, numbers, names, self.templates)

    def _source(self, part: Part) -> str:
        return "data" if "data" in self.tables else part

    def _items(self, part: Part) -> list[Item]:
        """The images of one part, in order; BenchError where there is none."""
        table = self._table(self._source(part))
        n, where = len(table.items), table.files.title
        if n == 0:
            raise BenchError(f"images in {where}", "none", "add rows or name another file")
        if isinstance(self.rule, ByFraction):
            picked = by_fraction(n, self.rule, part).tolist()
        elif isinstance(self.rule, ByColumn):
            values = [item.part for item in table.items]
            picked = by_column(values, self.rule, part, where).tolist()
        else:
            return list(table.items)
        return [table.items[i] for i in picked]

    @cached_property
    def _labels(self) -> tuple[dict[str, Labels], tuple[str, ...]]:
        """The label cells of each table, and the class names."""
        names = self.classnames
        names = read_lines(names) if isinstance(names, Path) else names
        tables = [self._table(part) for part in self.tables]
        values = dict(zip(self.tables, label_values(tables, names), strict=True))
        kinds = {type(value) for found in values.values() for value in found.values()}
        if names is None:
            names = self._numbered() if int in kinds else self._called(values)
        if int in kinds:
            self._check_numbers(names)
        check_class_names(names, self.name)
        return values, names

    def _check_numbers(self, names: Sequence[str]) -> None:
        """Raises where a class number means one class in a file and another one elsewhere."""
        place = {folded(name): number for number, name in enumerate(names)}
        first: dict[int, tuple[str, str]] = {}
        for part in self.tables:
            table = self._table(part)
            for number, name in enumerate(table.source.classes or ()):
                other, there = first.setdefault(number, (name, table.files.title))
                expected = f"one order of the classes of '{self.name}'"
                if folded(other) != folded(name):
                    got = "files whose class names differ: "
                    got += f"{number} is {quoted(other)} in {there} and {quoted(name)} in "
                    fix = "write the labels of both as text, the names of their classes"
                    raise BenchError(expected, got + table.files.title, fix)
                if place.get(folded(name), number) != number:
                    got = f"{quoted(name)} as class {place[folded(name)]} in `classnames` and as "
                    got += f"class {number} in {table.files.title}"
                    fix = "remove `classnames`, or write them in the order that the file has"
                    raise BenchError(expected, got, fix)

    def _numbered(self) -> tuple[str, ...]:
        """The names that the files themselves have for class numbers."""
        found = {part: self._table(part).source.classes for part in self.tables}
        self._check_numbers(())
        named = {names for names in found.values() if names is not None}
        if len(named) == 1 and None not in found.values():
            return named.pop()
        expected, got = f"`classnames` of '{self.name}'", "integer labels without them"
        if named:
            got = "files whose own class names differ, or are not in all of them"
        fix = "add `classnames`, a file whose line n is class n, or a list"
        raise BenchError(expected, got, fix)

    def _called(self, values: Mapping[str, Labels]) -> tuple[str, ...]:
        """The sorted string labels of the training part, or of the only one."""
        part: Part = "test" if set(self.tables) == {"test"} else "train"
        labels = values[self._source(part)]
        return tuple(sorted({str(labels[item.key]) for item in self._items(part)}))
