"""What was found to overlap in a suite, as `results/<suite>/overlap.json` keeps it. No torch."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..common.files import atomic, file_bytes
from ..errors import BenchError
from .naming import suite_folder

NAME = "overlap.json"
FORM = 1  # of the file


@dataclass(frozen=True)
class SplitSize:
    """One split that was compared.

    Attributes:
        name: of the dataset. part: train, test or reference.
        pictures: how many; flat: those among them whose contrast is too low for the hash.
        captions: how many; None for a labelled set.
        pixels_met, near_met, captions_met: of test data, how many pictures stand in training
            data too, how many further ones are near to one there, and how many captions are the
            text of one there; of training data, the same reversed.
    """

    name: str
    part: str
    pictures: int
    flat: int
    captions: int | None
    pixels_met: int
    near_met: int
    captions_met: int

    @property
    def learned(self) -> bool:
        """Whether methods may train on it."""
        return self.part != "test"

    def __str__(self) -> str:
        """`photos test`."""
        return f"{self.name} {self.part}" if self.part != self.name else self.name


@dataclass(frozen=True)
class SharedCounts:
    """What two splits share; each entry counts the left split's, then the right one's.

    Attributes:
        left, right: places among the splits, left < right.
        encoded: pictures of equal encoded bytes; None where the bytes are not known.
        pixels: pictures of equal pixels. near: further ones that are near.
        captions: captions of equal text; None where one of the two has none.
    """

    left: int
    right: int
    encoded: tuple[int, int] | None
    pixels: tuple[int, int]
    near: tuple[int, int]
    captions: tuple[int, int] | None


@dataclass(frozen=True)
class SuiteOverlap:
    """What the splits of a suite share.

    Attributes:
        suite, version: which.
        side: of the compared pictures, in pixels. method: hash, radius and library in words.
        splits: all that were compared. left_out: sets that were not there.
        pairs: those that share anything.
    """

    suite: str
    version: str
    side: int
    method: str
    splits: tuple[SplitSize, ...]
    left_out: tuple[str, ...]
    pairs: tuple[SharedCounts, ...]

    def leaks(self) -> list[SharedCounts]:
        """Pairs of which one side is trained on and the other tested on."""
        learned = [split.learned for split in self.splits]
        return [pair for pair in self.pairs if learned[pair.left] != learned[pair.right]]

    def others(self) -> list[SharedCounts]:
        """All other pairs that share anything."""
        leaks = self.leaks()
        return [pair for pair in self.pairs if pair not in leaks]

    @property
    def silent(self) -> int:
        """Number of pairs that share nothing."""
        n = len(self.splits)
        return n * (n - 1) // 2 - len(self.pairs)


def overlap_file(results: Path, suite: str) -> Path:
    """Where it is kept."""
    return results / suite_folder(suite) / NAME


def write_overlap(results: Path, found: SuiteOverlap) -> Path:
    """Keep it in place of an older one; BenchError (code 6) where that cannot be written."""
    path = overlap_file(results, found.suite)
    with atomic(path) as temporary:
        text = json.dumps({"form": FORM, **asdict(found)}, indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return path


def read_overlap(path: Path) -> SuiteOverlap:
    """Read such a file.

    Raises:
        BenchError: no file (code 4), or not one that `write_overlap` wrote (code 5).
    """
    try:
        data = json.loads(file_bytes(path))
        if data.pop("form") != FORM:
            raise ValueError
        return SuiteOverlap(**{**data, **_parts(data)})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        got = "another text"
        fix = f"run `cl-bench data stats --across {path.parent.name} --write` again"
        raise BenchError(f"counts of overlap in '{path}'", got, fix, 5) from error


def _parts(data: dict[str, Any]) -> dict[str, Any]:
    pairs = tuple(SharedCounts(**{k: _pair(v) for k, v in one.items()}) for one in data["pairs"])
    splits = tuple(SplitSize(**one) for one in data["splits"])
    if any(not 0 <= p.left < p.right < len(splits) for p in pairs):
        raise ValueError
    return {"splits": splits, "pairs": pairs, "left_out": tuple(data["left_out"])}


def _pair(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    left, right = value
    return int(left), int(right)


def read_overlaps(results: Path) -> dict[str, SuiteOverlap]:
    """Suite -> what was found; raises as `read_overlap`."""
    found = [read_overlap(path) for path in sorted(results.glob(f"*/{NAME}"))]
    return {one.suite: one for one in found}


def overlap_line(found: SuiteOverlap | None) -> str:
    """One sentence on test data in training data, without its full stop; '' if not measured."""
    if found is None:
        return ""
    tested = [split for split in found.splits if not split.learned]
    same, near = sum(s.pixels_met for s in tested), sum(s.near_met for s in tested)
    captions = sum(s.captions_met for s in tested)
    return (
        f"Of the test data, {_many(same, 'picture')} in the training data too, "
        f"{_many(near, 'further one')} nearly equal to one there, and {_many(captions, 'caption')} "
        "the text of one there"
    )


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'} {'is' if count == 1 else 'are'}"
