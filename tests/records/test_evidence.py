"""Evidence: what it keeps, what follows from it, and files that are not what they should be."""

import hashlib
import io
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from benchmark.errors import BenchError
from benchmark.metrics.accuracy import rank_of, top1
from benchmark.metrics.retrieval import first_positive_rank, hits
from benchmark.records import evidence as module
from benchmark.records.answers import AnswerKey, Evidence, levels_of
from benchmark.records.evidence import (
    evidence_bytes,
    evidence_file,
    read_evidence,
    seal_of,
    write_evidence,
)
from benchmark.records.identity import identity_of

Rows = list[dict[str, Any]]


def some(seed: int = 0, images: int = 23, steps: int = 3) -> Evidence:
    """Pairs with 1 to 4 captions an image, and two labelled sets, one of many classes."""
    draw = np.random.default_rng(seed)
    keys = {
        "photos": AnswerKey("pairs", draw.integers(1, 5, images)),
        "digits": AnswerKey("labelled", draw.integers(0, 10, images)),
        "birds": AnswerKey("labelled", draw.integers(0, 4000, images)),
    }
    answers: dict[tuple[str, str | None, int], np.ndarray[Any, Any]] = {}
    for step in range(steps):
        answers["photos", "t2i", step] = draw.integers(0, 4, int(keys["photos"].value_N.sum()))
        answers["photos", "i2t", step] = draw.integers(0, 4, images)
        answers["digits", None, step] = draw.integers(0, 10, images)
        answers["birds", None, step] = draw.integers(0, 4000, images)
    return Evidence(keys, answers, "ab" * 32)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    for images in (1, 2, 3, 4, 5, 300):
        there = some(images, images)
        seal = write_evidence(tmp_path / "a.evidence", there)
        content = (tmp_path / "a.evidence").read_bytes()
        assert seal == {
            "schema": 1, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content),
        }  # fmt: skip
        back = read_evidence(tmp_path / "a.evidence", seal)
        assert back.run == there.run
        assert list(back.answers) == list(there.answers)
        assert back.keys.keys() == there.keys.keys()
        for name, key in there.keys.items():
            assert back.keys[name].kind == key.kind
            np.testing.assert_array_equal(back.keys[name].value_N, key.value_N)
            assert back.keys[name].digest() == key.digest()
        for where, answer_Q in there.answers.items():
            np.testing.assert_array_equal(back.answers[where], answer_Q)


def test_the_hits_of_ranks_with_ties_follow_from_their_levels() -> None:
    generator = torch.Generator().manual_seed(7)
    for _ in range(20):
        images, captions = 30, 3
        draw = [torch.randint(-1, 2, (n, 3), generator=generator) for n in (images, 90)]
        image_ND, text_MD = (torch.nn.functional.normalize(x + 0.01, dim=1) for x in draw)
        owner_M1 = torch.arange(images).repeat_interleave(captions)[:, None]
        rank_M = first_positive_rank(text_MD, image_ND, owner_M1)
        key = AnswerKey("pairs", np.full(images, captions))
        found = Evidence({"a": key}, {("a", "t2i", 0): levels_of(rank_M.numpy())}, "").hits()
        for k in (1, 5, 10):
            assert found["a", "t2i", 0, "hit", k] == (hits(rank_M, k), 90)


def test_classes_that_are_right_follow_from_predictions() -> None:
    generator = torch.Generator().manual_seed(7)
    score_BC = torch.randint(0, 3, (200, 7), generator=generator).float()  # with many ties
    label_B = torch.randint(0, 7, (200,), generator=generator)
    guess_B, rank_B = top1(score_BC), rank_of(score_BC, label_B)
    assert ((rank_B == 0) == (guess_B == label_B)).all()
    for scores, label, rank in zip(
        score_BC.tolist(), label_B.tolist(), rank_B.tolist(), strict=True
    ):
        order = sorted(range(7), key=lambda c, s=scores: (-s[c], c))  # type: ignore[misc]
        assert order.index(label) == rank
    key = AnswerKey("labelled", label_B.numpy())
    found = Evidence({"a": key}, {("a", None, 2): guess_B.numpy()}, "")
    assert found.hits() == {("a", None, 2, "acc", None): (int((rank_B == 0).sum()), 200)}
    assert found.right("a", None, 2).sum() == (rank_B == 0).sum()


def test_the_captions_of_an_image_are_one_group() -> None:
    key = AnswerKey("pairs", np.array([2, 1, 3]))
    assert key.groups("t2i").tolist() == [0, 0, 1, 2, 2, 2]
    assert key.groups("i2t").tolist() == [0, 1, 2]
    there = Evidence({"a": key}, {("a", "t2i", 1): np.array([0, 1, 2, 3, 0, 1])}, "")
    assert there.right("a", "t2i", 1).tolist() == [True, False, False, False, True, False]
    assert there.right("a", "t2i", 1, 5).tolist() == [True, True, False, False, True, True]
    with pytest.raises(ValueError, match="not in tuple"):
        there.right("a", "t2i", 1, 3)


def test_levels_at_their_limits() -> None:
    assert levels_of([0, 1, 4, 5, 9, 10, 1000]).tolist() == [0, 1, 1, 2, 2, 3, 3]


# -- files that are not what they should be


def refused(tmp_path: Path, content: bytes, match: str = "evidence", **given: Any) -> None:
    path = tmp_path / "x.evidence"
    path.write_bytes(content)
    with pytest.raises(BenchError, match=match) as error:
        read_evidence(path, **given)
    assert error.value.code == 5
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_every_flipped_or_missing_byte_is_seen(tmp_path: Path) -> None:
    content = evidence_bytes(some())
    seal = seal_of(content)
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        refused(tmp_path, bytes(changed), "another file than its record", seal=seal)
        refused(tmp_path, content[:place], "another file than its record", seal=seal)


def test_damage_without_a_seal_ends_in_a_sentence(tmp_path: Path) -> None:
    content = evidence_bytes(some())
    path = tmp_path / "x.evidence"
    for place in range(0, len(content), 5):
        for changed in (content[:place], content[:place] + b"\xff" + content[place + 1 :]):
            path.write_bytes(changed)
            with suppress(BenchError):  # and nothing else
                read_evidence(path)


def rewritten(change: Callable[[Rows], None], metadata: dict[str, Any] | None = None) -> bytes:
    """A file with other rows, written by parquet's own means."""
    rows = pq.ParquetFile(io.BytesIO(evidence_bytes(some()))).read().to_pylist()
    change(rows)
    out = io.BytesIO()
    about = json.dumps({"schema": 1, "run": "x"} if metadata is None else metadata)
    with pq.ParquetWriter(out, module.SCHEMA, store_schema=False) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema=module.SCHEMA))
        writer.add_key_value_metadata({b"cl_bench_evidence": about.encode()})
    return out.getvalue()


def _set(place: int, **changes: Any) -> Callable[[Rows], None]:
    return lambda rows: rows[place].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda rows: rows.append(rows[3]), id="answers twice"),
        pytest.param(lambda rows: rows.append(rows[0]), id="a key twice"),
        pytest.param(lambda rows: rows.pop(0), id="no key"),
        pytest.param(_set(3, direction="image"), id="unknown direction"),
        pytest.param(_set(3, direction=None), id="pairs without a direction"),
        pytest.param(_set(3, step=-2), id="a step before the first"),
        pytest.param(_set(3, n=24), id="another number of queries"),
        pytest.param(_set(3, n=-1), id="a negative number"),
        pytest.param(_set(3, n=2**31 - 1), id="a huge number"),
        pytest.param(_set(3, payload=b""), id="no payload"),
        pytest.param(_set(4, payload=b"\xff" * 6), id="bits behind the last level"),
        pytest.param(_set(0, payload=b"q" + b"\1\0" * 23), id="an unknown kind"),
        pytest.param(_set(0, payload=b"p" + b"\0\0" * 23), id="an image without captions"),
        pytest.param(_set(0, payload=b"p" + b"\1\0" * 22), id="a shorter key"),
    ],
)
def test_rows_that_no_run_writes(change: Callable[[Rows], None], tmp_path: Path) -> None:
    refused(tmp_path, rewritten(change))


def test_the_unchanged_rows_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(rewritten(lambda rows: None))
    assert read_evidence(tmp_path / "x.parquet").run == "x"


@pytest.mark.parametrize("about", [{}, {"schema": 2, "run": "x"}, {"schema": 1}, {"run": "x"}])
def test_another_schema(about: dict[str, Any], tmp_path: Path) -> None:
    refused(tmp_path, rewritten(lambda rows: None, about), "schema")


def test_other_columns_and_other_files(tmp_path: Path) -> None:
    out = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), out)
    refused(tmp_path, out.getvalue(), "other columns")
    refused(tmp_path, b"not parquet at all")
    refused(tmp_path, b"")
    refused(tmp_path, b"PAR1" * 2**21, "more than 5242880 bytes")
    with pytest.raises(BenchError) as error:
        read_evidence(tmp_path / "absent.parquet")
    assert error.value.code == 4
    with pytest.raises(BenchError) as error:
        read_evidence(tmp_path)
    assert error.value.code == 6


@pytest.mark.parametrize("dictionary", [pytest.param(False, marks=pytest.mark.slow), ["payload"]])
def test_a_small_file_that_unpacks_to_gigabytes_is_not_unpacked(
    dictionary: Any, tmp_path: Path
) -> None:
    """Twelve payloads of 32 MiB; or one, which stands once and is that of a thousand rows."""
    n = 1000 if dictionary else 12
    once = pa.array([bytes(2**25)], pa.binary())
    payload = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), once)
    columns = [["a"] * n, [None] * n, range(n), [1] * n]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, module.SCHEMA, strict=False)]
    arrays.append(payload if dictionary else payload.dictionary_decode())
    kinds = [pa.field(f.name, a.type, nullable=f.nullable)
             for f, a in zip(module.SCHEMA, arrays, strict=True)]  # fmt: skip
    table = pa.Table.from_arrays(arrays, schema=pa.schema(kinds))
    out = io.BytesIO()
    with pq.ParquetWriter(
        out, table.schema, compression="zstd", use_dictionary=dictionary, store_schema=False,
        dictionary_pagesize_limit=2**27, write_statistics=False,
    ) as writer:  # fmt: skip
        writer.write_table(table)
        writer.add_key_value_metadata({b"cl_bench_evidence": b'{"schema": 1, "run": "x"}'})
    assert len(out.getvalue()) < 2**18
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(tmp_path, out.getvalue(), "unpack to more|more than it declares")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * (1 if sys.platform == "darwin" else 1024) < 2**28


def test_where_it_lies() -> None:
    assert evidence_file(Path("r/ft--a.b--s1.parquet")).name == "ft--a.b--s1.evidence"


# -- identity


def test_the_identity_is_the_digest_of_what_a_number_depends_on() -> None:
    about: dict[str, Any] = {
        "asked": {"suite": "mini", "seed": 1}, "weights": {"sha256": "w", "origin": "o"},
        "data": {"train": {"a": "1"}, "test": {"a": "2"}, "left_out": []},
        "order": {"tasks": ["a"], "measured": {}}, "options": {"ranks": True}, "seconds": {"t": 1},
    }  # fmt: skip
    text = (
        '{"asked":{"seed":1,"suite":"mini"},"reference":null,"tasks":["a"],"test":{"a":"2"},'
        '"train":{"a":"1"},"weights":"w"}'
    )
    assert identity_of(about) == {
        "version": 1, "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }  # fmt: skip
    same: dict[str, Any]
    for same in ({"options": {}}, {"seconds": {}}, {"asked": about["asked"] | {"ranks": True}}):
        assert identity_of(about | same) == identity_of(about)
    for other in ({"asked": {"suite": "mini", "seed": 2}}, {"weights": {"sha256": "v"}},
                  {"data": {"train": {"a": "3"}}}, {"order": {"tasks": ["b"]}}):  # fmt: skip
        assert identity_of(about | other) != identity_of(about)
