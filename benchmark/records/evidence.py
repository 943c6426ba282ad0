"""What every query of a run got: the evidence that its scores recompute from. No torch.

One file beside the record, with a row for every set, direction and step. It is parquet by another
name, so that `*.parquet` are the records alone. Of an image or a caption that looks for its partner
it keeps two bits, whether the first positive was within the first 1, 5 or 10; of an image that is
classified, the class that was predicted. What is right stands in the same file, once for every set,
so that nothing else is needed to recompute a score. Parquet compresses the columns; no payload is
compressed by itself, so that its length says all.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..common.files import atomic
from ..errors import BenchError
from .answers import KS, AnswerKey, Evidence, Integers, Where, levels_of
from .bounded import check_declared, column_bytes

__all__ = [
    "KS",
    "AnswerKey",
    "Evidence",
    "Integers",
    "Seal",
    "Where",
    "compact",
    "evidence_bytes",
    "evidence_file",
    "levels_of",
    "read_evidence",
    "write_evidence",
]

EVIDENCE_SCHEMA = 1
KEY_STEP = -1  # of the rows that say what is right
SUFFIX = ".evidence"
MOST_BYTES = 5 * 2**20  # of a file; `retrieval`, the largest suite, needs a fifth of it
MOST_ROWS, MOST_QUERIES = 100_000, 2**27  # of a file, and their payloads' sum when unpacked
_METADATA_KEY = b"cl_bench_evidence"

SCHEMA = pa.schema(
    [
        pa.field("eval_task", pa.string(), nullable=False),
        pa.field("direction", pa.string()),
        pa.field("step", pa.int16(), nullable=False),
        pa.field("n", pa.int32(), nullable=False),
        pa.field("payload", pa.binary(), nullable=False),
    ]
)


class Seal(TypedDict):
    """What a record says of its evidence: the schema, the file's sha256 and its length."""

    schema: int
    sha256: str
    bytes: int


def evidence_file(record: Path) -> Path:
    """Where the evidence of a record lies."""
    return record.with_name(record.name.removesuffix(".parquet") + SUFFIX)


# -- bytes


def _pack(key: AnswerKey, answer_Q: Integers, highest: int) -> bytes:
    if key.kind == "labelled":
        return answer_Q.astype(np.uint8 if highest < 256 else "<u2").tobytes()
    level_G4 = np.zeros((-(-len(answer_Q) // 4), 4), np.uint8)
    level_G4.reshape(-1)[: len(answer_Q)] = answer_Q
    packed: bytes = (level_G4 << np.array([0, 2, 4, 6], np.uint8)).sum(1, dtype=np.uint8).tobytes()
    return packed


def _unpack(kind: str, payload: bytes, n: int) -> Integers:
    """Raises ValueError where the length is not that of n answers, or spare bits are set."""
    if kind == "labelled":
        if n < 1 or len(payload) not in (n, 2 * n):
            raise ValueError(f"{len(payload)} bytes for {n} classes")
        return np.frombuffer(payload, np.uint8 if len(payload) == n else "<u2").astype(np.int64)
    if n < 1 or len(payload) != -(-n // 4):
        raise ValueError(f"{len(payload)} bytes for {n} levels")
    level_G4 = np.frombuffer(payload, np.uint8)[:, None] >> np.array([0, 2, 4, 6], np.uint8)
    level = (level_G4 & 3).reshape(-1)
    if level[n:].any():
        raise ValueError("bits behind the last level")
    return level[:n].astype(np.int64)


def _rows(evidence: Evidence) -> list[dict[str, Any]]:
    rows = []
    for task, key in evidence.keys.items():
        value_N = key.value_N
        kept = value_N.astype("<u2")
        if (kept != value_N).any():
            raise ValueError(f"values of the key of '{task}' beyond 65535")
        payload = key.kind[:1].encode() + kept.tobytes()
        rows.append(_row(task, None, KEY_STEP, len(value_N), payload))
    highest: dict[str, int] = {}  # one width for a set, whatever was predicted at a step
    for (task, _, _), answer_Q in evidence.answers.items():
        highest[task] = max(highest.get(task, 0), int(answer_Q.max()))
    for (task, direction, step), answer_Q in evidence.answers.items():
        payload = _pack(evidence.keys[task], answer_Q, highest[task])
        rows.append(_row(task, direction, step, len(answer_Q), payload))
    return rows


def _row(task: str, direction: str | None, step: int, n: int, payload: bytes) -> dict[str, Any]:
    return {"eval_task": task, "direction": direction, "step": step, "n": n, "payload": payload}


def evidence_bytes(evidence: Evidence) -> bytes:
    """The file's content; the same evidence gives the same bytes under one version of pyarrow."""
    metadata = json.dumps({"schema": EVIDENCE_SCHEMA, "run": evidence.run}, sort_keys=True)
    table = pa.Table.from_pylist(_rows(evidence), schema=SCHEMA)
    out = io.BytesIO()
    with pq.ParquetWriter(
        out, SCHEMA, compression="zstd", compression_level=19, write_page_checksum=True,
        use_dictionary=["eval_task", "direction"], write_statistics=False, store_schema=False,
    ) as writer:  # fmt: skip
        writer.write_table(table)
        writer.add_key_value_metadata({_METADATA_KEY: metadata.encode()})
    return out.getvalue()


def write_evidence(path: Path, evidence: Evidence) -> Seal:
    """Write it, in place of an older one; returns what the record has to say of it.

    Raises:
        BenchError: code 6, where the file cannot be written.
    """
    content = evidence_bytes(evidence)
    with atomic(path) as temporary:
        temporary.write_bytes(content)
    return seal_of(content)


def seal_of(content: bytes) -> Seal:
    """What a record says of a file with this content."""
    sha = hashlib.sha256(content).hexdigest()
    return {"schema": EVIDENCE_SCHEMA, "sha256": sha, "bytes": len(content)}


# -- reading


def read_evidence(path: Path, seal: Mapping[str, Any] | None = None) -> Evidence:
    """Read such a file, which may be anybody's.

    Args:
        path: the file.
        seal: what its record says of it; None takes it as it is.

    Raises:
        BenchError: no file (code 4), one that cannot be read (6), or (5) one that is another than
            the record's, is larger than any suite's, is damaged or was not written by this module.
    """
    content = _content(path)
    if seal is not None and seal_of(content) != dict(seal):
        raise _foreign(path, "another file than its record names")
    try:
        return _parsed(content)
    except BenchError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError,
            OverflowError, RecursionError, MemoryError) as error:  # fmt: skip
        raise _foreign(path, " ".join(str(error).split())[:120] or "a damaged one") from error


def compact(evidence: Evidence) -> Evidence:
    """The same, where many are held at once: a level fits a byte."""
    smallest = {
        where: np.min_scalar_type(int(a_Q.max())) for where, a_Q in evidence.answers.items()
    }
    answers = {where: a_Q.astype(smallest[where]) for where, a_Q in evidence.answers.items()}
    return Evidence(evidence.keys, answers, evidence.run)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        got = f"'{error.strerror or error}'"
        fix = "restore it from version control, or delete the record and repeat its run"
        code = 4 if isinstance(error, FileNotFoundError) else 6
        raise BenchError(f"the evidence '{path}'", got, fix, code) from error
    if len(content) > MOST_BYTES:
        raise _foreign(path, f"more than {MOST_BYTES} bytes")
    return content


def _foreign(path: Path, got: str) -> BenchError:
    fix = "restore both files from version control, or delete them and repeat the run"
    return BenchError(f"a record's evidence in '{path}'", got, fix, code=5)


def _parsed(content: bytes) -> Evidence:
    buffer = pa.BufferReader(content)
    file = pq.ParquetFile(buffer)
    check_declared(file.metadata, MOST_ROWS, 2 * MOST_QUERIES)
    if file.schema_arrow.remove_metadata() != SCHEMA:
        raise ValueError("other columns")
    about = json.loads((file.metadata.metadata or {}).get(_METADATA_KEY, b"{}"))
    if about.get("schema") != EVIDENCE_SCHEMA or not isinstance(about.get("run"), str):
        raise ValueError(f"schema {about.get('schema')!r} of evidence")
    # A value that stands once in the file may be that of many rows, each a copy when it is taken
    # out; so the columns are read as what stands there, and measured before.
    names = ["eval_task", "direction", "payload"]
    file = pq.ParquetFile(buffer, read_dictionary=names, page_checksum_verification=True)
    table = file.read(use_threads=False)
    if (
        len(table) > MOST_ROWS
        or sum(column_bytes(table[name]) for name in names) > 2 * MOST_QUERIES
    ):
        raise ValueError("more than it declares")
    columns = table.to_pydict()
    keys: dict[str, AnswerKey] = {}
    answers: dict[Where, Integers] = {}
    for task, direction, step, n, payload in zip(*columns.values(), strict=True):
        if step == KEY_STEP:
            if task in keys or direction is not None:
                raise ValueError(f"two keys of '{task}'")
            keys[task] = _key(payload, n)
            continue
        where = task, direction, step
        if task not in keys or where in answers or step < 0:
            raise ValueError(f"answers of '{task}' that have no key, or twice")
        answers[where] = _answers(keys[task], direction, payload, n)
    return Evidence(keys, answers, about["run"])


def _key(payload: bytes, n: int) -> AnswerKey:
    kind = {b"p": "pairs", b"l": "labelled"}[payload[:1]]
    if n < 1 or len(payload) != 1 + 2 * n:
        raise ValueError("a key of another length")
    value_N = np.frombuffer(payload, "<u2", offset=1).astype(np.int64)
    if kind == "pairs" and (value_N < 1).any():
        raise ValueError("an image without a caption")
    return AnswerKey("pairs" if kind == "pairs" else "labelled", value_N)


def _answers(key: AnswerKey, direction: str | None, payload: bytes, n: int) -> Integers:
    if direction not in (("t2i", "i2t") if key.kind == "pairs" else (None,)):
        raise ValueError(f"direction {direction!r} of a set of kind {key.kind}")
    if n != (int(key.value_N.sum()) if direction == "t2i" else len(key.value_N)):
        raise ValueError(f"{n} answers to another number of queries")
    return _unpack(key.kind, payload, n)
