"""Rows of files as `datasets` streams them: every Arrow type, tars, folders, damaged files."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.data.files.stream import (
    UnreadableFile,
    parquet_rows,
    parquet_schema,
    plain,
    tar_fields,
    tar_rows,
)

RAW = [b"abc", b"def", b"abc"]
TEXT = ["x", "y", "x"]
LISTS = [["a"], ["b", "c"], []]
# As Polars (views, large lists), pandas (dictionaries) and numpy (fixed sizes) write them.
TYPES: dict[str, tuple[Any, list[Any]]] = {
    "binary": (pa.array(RAW, pa.binary()), RAW),
    "large_binary": (pa.array(RAW, pa.large_binary()), RAW),
    "binary_view": (pa.array(RAW, pa.binary_view()), RAW),
    "fixed_size_binary": (pa.array(RAW, pa.binary(3)), RAW),
    "dictionary of binary": (pa.array(RAW).dictionary_encode(), RAW),
    "string": (pa.array(TEXT, pa.string()), TEXT),
    "large_string": (pa.array(TEXT, pa.large_string()), TEXT),
    "string_view": (pa.array(TEXT, pa.string_view()), TEXT),
    "dictionary": (pa.array(TEXT).dictionary_encode(), TEXT),
    "list": (pa.array(LISTS, pa.list_(pa.string())), LISTS),
    "large_list": (pa.array(LISTS, pa.large_list(pa.large_string())), LISTS),
    "list_view": (pa.array(LISTS, pa.list_view(pa.string_view())), LISTS),
    "large_list_view": (pa.array(LISTS, pa.large_list_view(pa.string())), LISTS),
    "list of views": (pa.array(LISTS, pa.list_(pa.string_view())), LISTS),
    "fixed_size_list": (pa.array([["a", "b"]] * 3, pa.list_(pa.string(), 2)), [["a", "b"]] * 3),
    "struct of views": (
        pa.array([{"bytes": r} for r in RAW], pa.struct({"bytes": pa.binary_view()})),
        [{"bytes": r} for r in RAW],
    ),
    "nulls": (pa.nulls(3), [None] * 3),
    "int8": (pa.array([1, 2, 3], pa.int8()), [1, 2, 3]),
    "uint64": (pa.array([1, 2, 2**64 - 1], pa.uint64()), [1, 2, 2**64 - 1]),
    "double": (pa.array([1.0, 2.5, 3.0]), [1.0, 2.5, 3.0]),
    "bool": (pa.array([True, False, True]), [True, False, True]),
}


@pytest.mark.parametrize("kind", TYPES)
def test_values_are_those_that_were_written(tmp_path: Path, kind: str) -> None:
    column, values = TYPES[kind]
    path = tmp_path / "odd [1]*.parquet"  # a name is no pattern
    other = pa.array([[("a", 1)], [], []], pa.map_(pa.string(), pa.int8()))
    size = None if kind == "struct of views" else 2  # pyarrow cannot slice it
    pq.write_table(pa.table({"other": other, "c": column}), path, row_group_size=size)
    found = parquet_rows([path, path], parquet_schema(path), ["c"])
    assert list(found) == [{"c": value} for value in values * 2]


@pytest.mark.parametrize("kind", TYPES)
def test_a_plain_type_has_no_view_dictionary_or_fixed_size(kind: str) -> None:
    column, _ = TYPES[kind]
    assert plain(plain(column.type)) == plain(column.type)
    for word in ("view", "dictionary", "fixed"):
        assert word not in str(plain(column.type))


def test_rows_are_in_order_across_files_groups_and_batches(tmp_path: Path) -> None:
    sizes, files, first = (0, 1, 300, 65), [], 0
    for i, n in enumerate(sizes):
        pq.write_table(
            pa.table({"n": pa.array(range(first, first + n), pa.int64())}),
            tmp_path / f"{i}.parquet",
            row_group_size=97,
        )
        files.append(tmp_path / f"{i}.parquet")
        first += n
    found = [row["n"] for row in parquet_rows(files, parquet_schema(files[0]), ["n"])]
    assert found == list(range(sum(sizes)))


def test_dates_class_numbers_and_images_stay_what_they_are_in_the_file(tmp_path: Path) -> None:
    features = '{"info": {"features": {"l": {"names": ["x", "y"], "_type": "ClassLabel"}, '
    features += '"i": {"_type": "Image"}}}}'
    images = pa.array([{"bytes": b"no image", "path": None}])
    table = pa.table({"l": pa.array([1]), "i": images})
    table = table.replace_schema_metadata({"huggingface": features})
    pq.write_table(table, tmp_path / "a.parquet")
    schema = parquet_schema(tmp_path / "a.parquet")
    found = list(parquet_rows([tmp_path / "a.parquet"], schema, ["l", "i"]))
    assert found == [{"l": 1, "i": {"bytes": b"no image", "path": None}}]


def test_nothing_is_left_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    pq.write_table(pa.table({"n": [1]}), tmp_path / "a.parquet")
    assert list(
        parquet_rows([tmp_path / "a.parquet"], parquet_schema(tmp_path / "a.parquet"), ["n"])
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.parquet"]


@pytest.mark.parametrize("cut", [0, 3, 11, 300])
def test_damaged_parquet_is_unreadable(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": list(range(1000))}), path, compression="none")
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    with pytest.raises(UnreadableFile, match=r"^[^\n]+$"):
        parquet_schema(path)
    path.write_bytes(whole[:4] + b"\xff" * 900 + whole[904:])  # a footer, and noise before it
    with pytest.raises(UnreadableFile, match=r"^[^\n]+$"):
        list(parquet_rows([path], parquet_schema(path), ["n"]))


def test_a_file_that_is_not_there_is_no_damaged_one(tmp_path: Path) -> None:
    for read in (parquet_schema, tar_fields):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")


# -- tars


def tar(path: Path, members: Sequence[tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


SAMPLES = [
    ("./s/1.JPG", b"one"), ("./s/1.txt", "é\nb".encode()), ("s/v1.0/2.jpg", b"two"),
    ("s/v1.0/2.cls", b" 3\n"), ("._3.jpg", b"macOS"), ("3.png", b"three"),
    ("3.json", b'{"caption": "c", "n": 1}'),
]  # fmt: skip


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_samples_of_tars(tmp_path: Path, mode: str) -> None:
    path = tar(tmp_path / "a.tar", SAMPLES, mode)
    assert tar_fields(path) == ("JPG", "txt", "jpg", "cls", "png", "json")
    kinds = {"JPG": pa.binary(), "jpg": pa.binary(), "txt": pa.string(), "cls": pa.int64()}
    found = list(tar_rows([path], {**kinds, "json": pa.string()}))
    assert [
        {kind: value for kind, value in sample.items() if value is not None} for sample in found
    ] == [
        {"__key__": "s/1", "JPG": b"one", "txt": "é\nb"},
        {"__key__": "s/v1.0/2", "jpg": b"two", "cls": 3},
        {"__key__": "3", "json": {"caption": "c", "n": 1}},
    ]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("a.cls", b"cat")], "cat"),
        ([("a.txt", b"x"), ("a.txt", b"y")], "Duplicate field 'txt'"),
        ([("a.txt", b"\xe9")], "utf-8"),
        ([("a.json", b"{")], "property name"),
    ],
)
def test_damaged_samples_are_unreadable(
    tmp_path: Path, members: list[tuple[str, bytes]], said: str
) -> None:
    path = tar(tmp_path / "a.tar", members)
    kinds = {"cls": pa.int64(), "txt": pa.string(), "json": pa.string()}
    with pytest.raises(UnreadableFile, match=said):
        list(tar_rows([path], kinds))


def test_a_tar_that_is_cut_off_is_unreadable(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", [("a.jpg", b"x" * 5000), ("b.jpg", b"y" * 5000)])
    path.write_bytes(path.read_bytes()[:7000])
    with pytest.raises(UnreadableFile):
        list(tar_rows([path], {"jpg": pa.binary()}))
    path.write_bytes(b"<html>" * 300)
    with pytest.raises(UnreadableFile):
        tar_fields(path)
