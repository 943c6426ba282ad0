"""What a maintainer found who ran a record again: `results/<suite>/replays/<stem>.json`. No torch.

The file names the record and its evidence by their sha256, so that it says nothing of any other
file that takes their place.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..common.files import file_sha256
from .beside import foreign, read_beside, write_beside
from .evidence import evidence_file

Verdict = Literal["equal", "within tolerance", "different"]
Cells = Literal["all", "last", "canary"]
FOLDER = "replays"
FORM = 1
_MOST_BYTES = 2**14
_WHAT = "the result of a replay"


@dataclass(frozen=True)
class Replay:
    """The comparison of a record with a run of the same identity.

    Attributes:
        record, evidence: hex sha256 of the two files; evidence is None where there was none.
        verdict: see `run.again.compare`.
        cells: what was compared: all stages, the last, or the untouched backbone alone (canary).
        tolerance: allowed difference of a score, in percentage points.
        largest: of the differences that were found, in percentage points.
        compared: number of scores.
        queries: number of answers that were compared; otherwise: those among them that differ.
        date: ISO 8601. commit: of the code that ran.
        same_code: whether that has the numerics and the method of the record.
        device: cpu or cuda; machine: name of the GPU or the processor.
    """

    record: str
    evidence: str | None
    verdict: Verdict
    cells: Cells
    tolerance: float
    largest: float
    compared: int
    queries: int
    otherwise: int
    date: str
    commit: str
    same_code: bool
    device: str
    machine: str

    def confirms(self, floor: float = 0.0) -> bool:
        """Whether it makes the record a replayed one: trained again by the same code, and agreed.

        Args:
            floor: largest difference that noise makes, in points (see `records.noise`); whatever
                tolerance was asked for, a larger one confirms nothing.
        """
        trained = self.cells != "canary" and self.same_code
        return trained and self.verdict != "different" and self.largest <= floor


def replay_file(record: Path) -> Path:
    """Where the replay of a record is kept."""
    return record.parent / FOLDER / f"{record.name.removesuffix('.parquet')}.json"


def digests(record: Path) -> tuple[str, str | None]:
    """Hex sha256 of a record's file and of its evidence, None where there is none."""
    beside = evidence_file(record)
    return file_sha256(record), file_sha256(beside) if beside.is_file() else None


def write_replay(record: Path, replay: Replay) -> Path:
    """Keep it, in place of an older one; BenchError (code 6) where that cannot be written."""
    path = replay_file(record)
    write_beside(path, FORM, asdict(replay))
    return path


def read_replay(path: Path) -> Replay:
    """Read such a file.

    Raises:
        BenchError: no file (code 4), one that cannot be read (6), or not such a file (5).
    """
    fields = read_beside(path, FORM, _MOST_BYTES, _WHAT)
    try:
        fields.only(*Replay.__dataclass_fields__)
        verdict: Any = fields.word("verdict", get_args(Verdict))
        cells: Any = fields.word("cells", get_args(Cells))
        found = Replay(
            record=fields.sha256("record"),
            evidence=None if fields.is_null("evidence") else fields.sha256("evidence"),
            verdict=verdict,
            cells=cells,
            tolerance=fields.points("tolerance"),
            largest=fields.points("largest"),
            compared=fields.count("compared"),
            queries=fields.count("queries"),
            otherwise=fields.count("otherwise"),
            date=fields.date("date"),
            commit=fields.commit("commit"),
            same_code=fields.flag("same_code"),
            device=fields.word("device", ("cpu", "cuda")),
            machine=fields.text("machine"),
        )
        _check(found)
    except ValueError as error:
        raise foreign(path, _WHAT, error) from error
    return found


def _check(replay: Replay) -> None:
    if not replay.compared or replay.otherwise > replay.queries:
        raise ValueError("counts that cannot be")
    if replay.verdict == "equal" and (replay.largest or replay.otherwise):
        raise ValueError("'equal' beside a difference")
    if replay.verdict == "within tolerance" and replay.largest > replay.tolerance:
        raise ValueError("'within tolerance' beside a larger difference")


def replay_of(record: Path) -> Replay | None:
    """The replay of the very record, and evidence, that lie there; None without one.

    Raises:
        BenchError: the file is there and no such file (code 5), or cannot be read.
    """
    path = replay_file(record)
    if not path.exists():
        return None
    replay = read_replay(path)
    return replay if (replay.record, replay.evidence) == digests(record) else None
