"""Whether training and test images can be told apart: no picture may be on both sides."""

from ...errors import BenchError
from ..split import Pairs, Split
from ..split_rules import ByColumn, DivisionRule
from .table import Item, OwnTable


def check_apart(name: str, train: OwnTable, test: OwnTable) -> None:
    """Raises where both files hold one id or one image file, or the test file nothing new.

    Single pictures of equal bytes and without an id are let pass: published splits have some.
    """
    both = {f.resolve() for f in train.files.paths} & {f.resolve() for f in test.files.paths}
    if both and train.files.kind in ("parquet", "tar"):
        raise BenchError(
            f"separate training and test files of '{name}'",
            f"{test.files.called(min(both))} in both",
            "leave it out of one of them",
        )
    there = {mark: item.where for item in train.items for mark in item.marks}
    known = [(item, m) for item in test.items for m in item.marks if m in there]
    named = [(item, mark) for item, mark in known if item.named]
    for item, mark in named or known:
        if named or len(known) == len(test.items):
            got = f"one image in {there[mark]} and in {item.where}"
            expected = f"separate training and test images of '{name}'"
            fix = "remove it from one of the files"
            if test.files.repo is not None:
                fix = "name other splits or `files` of it, or divide one with a `split`"
            raise BenchError(expected, got, fix)


def check_divisible(rule: DivisionRule, table: OwnTable) -> None:
    """Raises where a rule could put one picture on both sides because its rows are not one image.

    A split column says where each row belongs, so that copies on one side do no harm.
    """
    seen: dict[str, tuple[Item, str]] = {}
    for item in table.items:
        side = "any"
        if isinstance(rule, ByColumn):
            if item.part not in rule.train + rule.test:
                continue
            side = "train" if item.part in rule.train else "test"
        for mark in item.marks:
            first, there = seen.setdefault(mark, (item, side))
            if first is not item and (side == "any" or side != there):
                got = f"one picture in {first.where} and in {item.where}"
                fix = "give both one id in a column that `id` names, or remove one"
                if table.files.repo is not None:
                    fix = "name a column that has one value for both with `id`, or name two splits"
                raise BenchError("one id for all rows of a picture that is split", got, fix)


def copies(name: str, train: Split | None, test: Split) -> list[str]:
    """A sentence for each way in which equal pictures may change what the numbers mean.

    Published splits have some of them, so that they are no error; near copies are found by
    `cl-bench data stats --across`.

    Args:
        name: of the dataset.
        train: its training part; None for a held-out dataset.
        test: its test part.

    Raises:
        BenchError: all pictures of the test part are in the training part.
    """
    shown = _digests(test)
    n, said = len(shown), list[str]()
    known = set() if train is None else set(_digests(train))
    both = sum(picture in known for picture in shown)
    if both == n and n:
        raise BenchError(
            f"separate training and test images of '{name}'",
            f"the bytes of all {n} test pictures among the training ones, under other names",
            "name other files, or remove them from one side",
        )
    if both:
        said.append(f"{name}: {both} of {n} test pictures are training pictures too")
    if isinstance(test, Pairs) and (again := n - len(set(shown))):
        said.append(
            f"{name}: {again} of {n} test pictures are there before, and each counts as a wrong "
            "answer for the other; rows are one image where an `id` says so"
        )
    return said


def _digests(split: Split) -> list[str]:
    found = split.images.encoded
    return [] if found is None else list(found())
