"""The file of a study, `studies/<suite>/<study>.json`: one line a point. No torch.

A study is an analysis on test data: nothing is chosen by it. Its points are made one after the
other and kept one by one, so that a killed call goes on where it was; all of a file were made by
the same code from the same data and weights, and asked for in the same way.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...common.files import atomic, file_bytes
from ...errors import BenchError
from ..naming import suite_folder

FORM = 1  # of the file
STUDIES = Path("studies")
Point = Mapping[str, Any]
"""Where it is (`at`: names and numbers that no other point has together) and what was found there
(`found`: numbers, None for one that does not exist, and why in words)."""


@dataclass(frozen=True)
class StudyFile:
    """All points of a study that are there.

    Attributes:
        study: its name. suite, version: which.
        backbone, pretrained: of all points.
        asked: what is the same for all points, as plain values: method, task, recipe.
        made: by what: code, method, libraries, weights and data.
        points: in the order in which they were made.
    """

    study: str
    suite: str
    version: str
    backbone: str
    pretrained: str
    asked: Mapping[str, Any]
    made: dict[str, Any]
    points: tuple[Point, ...] = ()

    @property
    def group(self) -> tuple[str, str, str, str]:
        """As a record's: what it shares with whatever it may be compared with."""
        return self.suite, self.version, self.backbone, self.pretrained

    def at(self, **wanted: Any) -> list[Point]:
        """The points whose `at` has these values."""
        return [one for one in self.points if wanted.items() <= one["at"].items()]

    def has(self, at: Mapping[str, Any]) -> bool:
        """Whether there is a point at that very place."""
        return any(one["at"] == at for one in self.points)

    def with_point(self, at: Mapping[str, Any], found: Mapping[str, Any]) -> "StudyFile":
        """The same with one more point."""
        return replace(self, points=(*self.points, {"at": dict(at), "found": dict(found)}))


def study_path(folder: Path, suite: str, study: str) -> Path:
    """Where a study of a suite is kept."""
    return folder / suite_folder(suite) / f"{study}.json"


def write_study(path: Path, study: StudyFile) -> None:
    """Keep it; BenchError (code 6) where that cannot be written."""
    about = {name: getattr(study, name) for name in study.__dataclass_fields__ if name != "points"}
    head = json.dumps({"form": FORM, **about}, indent=1, ensure_ascii=False, sort_keys=True)
    lines = ",\n  ".join(json.dumps(one, ensure_ascii=False) for one in study.points)
    with atomic(path) as temporary:
        temporary.write_text(f'{head[:-2]},\n "points": [\n  {lines}\n ]\n}}\n', encoding="utf-8")


def read_study(path: Path) -> StudyFile:
    """Read what `write_study` wrote.

    Raises:
        BenchError: no file (code 4), or another text (code 5).
    """
    try:
        data = json.loads(file_bytes(path))
        if data.pop("form") != FORM:
            raise ValueError
        found = StudyFile(**{**data, "points": tuple(data["points"])})
        for one in found.points:
            if one.keys() != {"at", "found"} or "seed" not in one["at"]:
                raise ValueError
        return found
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        fix = f"restore it from version control, or delete it and run `cl-bench study {path.stem}`"
        raise BenchError(f"the points of a study in '{path}'", "another text", fix, 5) from error


def read_studies(folder: Path) -> Iterator[StudyFile]:
    """All studies below a folder, by path; raises as `read_study`."""
    for path in sorted(folder.glob("*/*.json")):
        yield read_study(path)
