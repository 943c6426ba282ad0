"""Files of any writer, read right or refused in one sentence: whole datasets from a suite file."""

import base64
import io
import json
import tarfile
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from split_images import image_source

from benchmark.data.split import Labelled, Pairs, Split
from benchmark.errors import BenchError
from benchmark.suites.custom import read_suite

TASK = 'name = "own"\n[[task]]\nname = "a"\n'
FILES = 'train = "train.parquet"\ntest = "test.parquet"\n'
PAIRS = FILES + 'captions = "c"\n'
LABELS = FILES + 'label = "l"\n'


def png(grey: int) -> bytes:
    """A picture that `greys` can tell from others."""
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (grey,) * 3).save(stream, "PNG")
    return stream.getvalue()


def greys(split: Split) -> list[int]:
    return [int(np.asarray(image_source(split).open(i))[0, 0, 0]) for i in range(split.images.size)]


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., tuple[Split, Split]]:
    """Both parts of the task that the rest of a suite file describes."""

    def read(text: str) -> tuple[Split, Split]:
        (tmp_path / "s.toml").write_text(TASK + text)
        task = read_suite(str(tmp_path / "s.toml")).tasks[0]
        return task.load("train"), task.load("test")

    return read


def captions(splits: tuple[Split, Split]) -> list[tuple[tuple[str, ...], ...]]:
    assert all(isinstance(s, Pairs) for s in splits)
    return [s.captions for s in splits if isinstance(s, Pairs)]


def classes(splits: tuple[Split, Split]) -> list[tuple[tuple[str, ...], list[int]]]:
    return [(s.classnames, s.labels.tolist()) for s in splits if isinstance(s, Labelled)]


def both(folder: Path, image: Callable[[list[bytes]], Any], **columns: list[Any]) -> None:
    """train.parquet with pictures 0 and 1, test.parquet with 2 and 3."""
    for name, first in (("train", 0), ("test", 2)):
        made = image([png(first), png(first + 1)])
        made = made if isinstance(made, dict) else {"image": made}
        pq.write_table(pa.table({**made, **columns}), folder / f"{name}.parquet")


CELL = pa.struct({"bytes": pa.binary(), "path": pa.string()})
IMAGES: dict[str, Callable[[list[bytes]], Any]] = {
    "binary": lambda raw: pa.array(raw, pa.binary()),
    "binary view": lambda raw: pa.array(raw, pa.binary_view()),
    "large binary": lambda raw: pa.array(raw, pa.large_binary()),
    "dictionary": lambda raw: pa.array(raw).dictionary_encode(),
    "fixed size": lambda raw: pa.array([r.ljust(99, b"\0") for r in raw], pa.binary(99)),
    "struct": lambda raw: pa.array([{"bytes": r, "path": None} for r in raw], CELL),
    "struct without path": lambda raw: pa.array([{"bytes": r} for r in raw]),
    "struct with more": lambda raw: pa.array([{"height": 4, "bytes": r, "width": 4} for r in raw]),
    "struct of a null path": lambda raw: pa.array([{"bytes": r, "path": None} for r in raw]),
    "flattened": lambda raw: {"image.bytes": raw, "image.path": ["a", "b"]},
    "flattened without path": lambda raw: {"image.bytes": raw},
    "in a list": lambda raw: pa.array([[{"bytes": r, "path": None}] for r in raw]),
    "bytes in a list": lambda raw: pa.array([[r] for r in raw]),
    "nested": lambda raw: pa.array([{"img": {"bytes": r, "path": None}, "n": 1} for r in raw]),
    "deeply nested": lambda raw: pa.array([{"a": {"b": r}, "n": 1} for r in raw]),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_images_in_every_shape_of_column(
    load: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    both(tmp_path, IMAGES[kind], c=["x", "y"])
    train, test = load(PAIRS)
    assert (greys(train), greys(test)) == ([0, 1], [2, 3])


WRONG: dict[str, tuple[Callable[[list[bytes]], Any], str]] = {
    "base64 in a struct": (
        lambda raw: pa.array([{"bytes": base64.b64encode(r).decode(), "path": "x"} for r in raw]),
        r"column 'image' of .*train\.parquet.*'bytes' is string.*base64",
    ),
    "base64": (
        lambda raw: [base64.b64encode(r * 9).decode() for r in raw],
        r"an image file in .*row 0.*base64",
    ),
    "path of numbers": (lambda raw: pa.array([{"path": 1}, {"path": 2}]), "'path' is int64"),
    "pixels": (lambda raw: pa.array([[[[0, 0, 0]]]] * 2), "type list"),
    "numbers": (lambda raw: [1, 2], "type int64"),
    "two in a struct": (
        lambda raw: pa.array([{"left": r, "right": r} for r in raw]), "type struct<left",
    ),
    "two in a list": (lambda raw: pa.array([[r, r] for r in raw]), "one image in .*list of 2"),
    "none in a list": (lambda raw: pa.array([[r][:i] for i, r in enumerate(raw)]), "list of 0"),
    "nulls": (lambda raw: pa.nulls(2), "type null"),
    "url": (lambda raw: ["https://a.example/1.png"] * 2, "download"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_image_is_refused_shortly(
    load: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    image, said = WRONG[kind]
    both(tmp_path, image, c=["x", "y"])
    with pytest.raises(BenchError, match=said) as error:
        load(PAIRS)
    assert len(str(error.value)) < 800


# -- several files


@pytest.mark.parametrize("writer", ["spark", "pattern", "folder"])
def test_parts_are_one_table_in_order(
    load: Callable[..., Any], tmp_path: Path, writer: str
) -> None:
    for name, first in (("train", 0), ("test", 100)):
        folder = tmp_path / f"{name}.parquet"
        folder.mkdir()
        for part, n in enumerate((2, 0, 3)):
            numbers = range(first + 10 * part, first + 10 * part + n)
            table = pa.table({
                "image": pa.array([png(i) for i in numbers], pa.binary()),
                "c": pa.array([f"x{i}" for i in numbers], pa.string()),
            })  # fmt: skip
            pq.write_table(table, folder / f"part-{part:05d}.parquet")
        (folder / "_SUCCESS").touch()
        (folder / ".part-00000.parquet.crc").write_bytes(b"crc")
    toml = PAIRS if writer != "pattern" else PAIRS.replace(".parquet", ".parquet/part-*.parquet")
    train, test = load(toml)
    assert greys(train) == [0, 1, 20, 21, 22]
    assert captions((train, test))[1] == tuple((f"x{i}",) for i in (100, 101, 120, 121, 122))


def test_a_column_may_be_in_the_names_of_folders(load: Callable[..., Any], tmp_path: Path) -> None:
    for name, first in (("train", 0), ("test", 2)):
        for i, label in enumerate(("a cat", "dog")):
            folder = tmp_path / name / f"l={label.replace(' ', '%20')}"
            folder.mkdir(parents=True)
            pq.write_table(pa.table({"image": [png(first + i)]}), folder / "part-0.parquet")
    found = load('train = "train"\ntest = "test"\nlabel = "l"\n')
    assert classes(found) == [(("a cat", "dog"), [0, 1])] * 2
    assert greys(found[1]) == [2, 3]


def test_parts_with_other_types_are_refused(load: Callable[..., Any], tmp_path: Path) -> None:
    both(tmp_path, IMAGES["binary"], l=["x", "y"])
    (tmp_path / "more").mkdir()
    for i, label in enumerate((["1", "2"], [1, 2])):
        pq.write_table(
            pa.table({"image": [png(4), png(5)], "l": label}), tmp_path / f"more/{i}.parquet"
        )
    with pytest.raises(BenchError, match=r"column 'l' of type string .*got type integer"):
        load(LABELS.replace("train.parquet", "more"))


def test_an_empty_or_mixed_folder_is_refused(load: Callable[..., Any], tmp_path: Path) -> None:
    both(tmp_path, IMAGES["binary"], c=["x", "y"])
    (tmp_path / "more").mkdir()
    toml = PAIRS.replace("train.parquet", "more")
    with pytest.raises(BenchError, match="nothing of these"):
        load(toml)
    (tmp_path / "more" / "data-00000-of-00001.arrow").touch()
    with pytest.raises(BenchError, match="save_to_disk"):
        load(toml)
    (tmp_path / "more" / "a.tar").touch()
    (tmp_path / "more" / "a.parquet").touch()
    with pytest.raises(BenchError, match="1 parquet files and 1 tar files"):
        load(toml)
    with pytest.raises(BenchError, match="files like"):
        load(PAIRS.replace("train.parquet", "none-*.parquet"))


# -- tars and image folders


def shard(path: Path, samples: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in samples.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_webdataset_tars(load: Callable[..., Any], tmp_path: Path) -> None:
    shard(tmp_path / "0.tar", {"1.png": png(1), "1.txt": b"one\ntwo\n", "2.PNG": png(2),
                               "2.txt": b"\xef\xbb\xbfthree"})  # fmt: skip
    shard(tmp_path / "1.tar", {"3.jpg": png(3), "3.txt": b"four"})
    shard(tmp_path / "test.tar", {"4.png": png(4), "4.txt": b"x", "4.cls": b"0"})
    toml = 'train = "[01].tar"\ntest = "test.tar"\n'
    found = load(toml + 'captions = "txt"\n')
    assert captions(found)[0] == (("one", "two"), ("three",), ("four",))
    assert greys(found[0]) == [1, 2, 3]
    with pytest.raises(BenchError, match=r"one column 'cls' in .*0\.tar"):
        load(toml + 'label = "cls"\nclassnames = ["a"]\n')


def test_labels_and_captions_in_the_json_of_a_tar(load: Callable[..., Any], tmp_path: Path) -> None:
    for name, first in (("train", 0), ("test", 2)):
        samples = {}
        for i in range(first, first + 2):
            samples[f"{i}.jpg"] = png(i)
            samples[f"{i}.json"] = json.dumps({"c": [f"x{i}"], "l": {"n": i % 2}}).encode()
            samples[f"{i}.cls"] = str(i % 2).encode()
        shard(tmp_path / f"{name}.tar", samples)
    toml = 'train = "train.tar"\ntest = "test.tar"\n'
    assert captions(load(toml + 'captions = "json.c"\n')) == [
        (("x0",), ("x1",)),
        (("x2",), ("x3",)),
    ]
    for label in ("cls", "json.l.n"):
        found = load(toml + f'label = "{label}"\nclassnames = ["a", "b"]\n')
        assert classes(found) == [(("a", "b"), [0, 1])] * 2


def test_image_folders_are_labelled_by_their_folders(
    load: Callable[..., Any], tmp_path: Path
) -> None:
    for name, first in (("train", 0), ("test", 5)):
        for i, label in enumerate(("dog", "a cat", "dog")):
            folder = tmp_path / name / label
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{first + i}.png").write_bytes(png(first + i))
        (tmp_path / name / "Thumbs.db").touch()
    found = load('train = "train"\ntest = "test"\nlabel = "label"\n')
    assert classes(found) == [(("a cat", "dog"), [0, 1, 1])] * 2
    assert greys(found[0]) == [1, 0, 2]
    with pytest.raises(BenchError, match="one column 'c' in the image folder"):
        load('train = "train"\ntest = "test"\ncaptions = "c"\n')


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_image_folders_with_a_metadata_file(
    load: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    for name, first in (("train", 0), ("test", 2)):
        folder = tmp_path / name
        folder.mkdir()
        rows = [{"file_name": f"{i}.png", "text": f"000{i}"} for i in (first, first + 1)]
        for i in (first, first + 1):
            (folder / f"{i}.png").write_bytes(png(i))
        lines = [json.dumps(row) for row in rows]
        if kind == "csv":
            lines = ["file_name,text", *(",".join(row.values()) for row in rows)]
        (folder / f"metadata.{kind}").write_text("\n".join(lines))
    found = load('train = "train"\ntest = "test"\ncaptions = "text"\n')
    assert captions(found) == [(("0000",), ("0001",)), (("0002",), ("0003",))]
    assert greys(found[1]) == [2, 3]


# -- cells


@pytest.mark.parametrize(("cell", "expected"), [
    ('["a dog", "a cat"]', ("a dog", "a cat")),
    ("['a dog', \"it's\"]", ("a dog", "it's")),
    ("('a', 'b')", ("a", "b")),
    ("[sic] a dog [laughs]", ("[sic] a dog [laughs]",)),
    ("[a dog]", ("[a dog]",)),
    ("(a dog)", ("(a dog)",)),
    ("[1]", ("[1]",)),
    (["a", " b "], ("a", "b")),
])  # fmt: skip
def test_a_list_of_captions_may_be_text(
    load: Callable[..., Any], tmp_path: Path, cell: Any, expected: tuple[str, ...]
) -> None:
    both(tmp_path, IMAGES["binary"], c=[cell, cell])
    assert captions(load(PAIRS)) == [(expected, expected)] * 2


@pytest.mark.parametrize("cell", [
    "['a dog' 'a cat']", "['a dog'\n 'a cat']", '["a", 1]', '{"raw": "a dog"}',
    '[{"raw": "a dog"}]', "[]", "['']", "&nbsp;", "\ufeff", "\u200b \u2060", "&amp;nbsp;", "\x00",
    " \t", "&#8203;",
])  # fmt: skip
def test_captions_that_are_unclear_or_say_nothing_are_refused(
    load: Callable[..., Any], tmp_path: Path, cell: str
) -> None:
    both(tmp_path, IMAGES["binary"], c=["x", cell])
    with pytest.raises(BenchError, match=r"caption.* in .*train\.parquet row 1"):
        load(PAIRS)


def test_a_caption_of_one_sign_is_a_caption(load: Callable[..., Any], tmp_path: Path) -> None:
    both(tmp_path, IMAGES["binary"], c=["?", "\U0001fae8"])  # an emoji newer than Python's tables
    assert captions(load(PAIRS))[0] == (("?",), ("\U0001fae8",))


ONES: dict[str, list[Any]] = {
    "int": [1, 2], "float": [1.0, 2.0], "text": ["1", "2"], "text of floats": ["1.0", "2.0"],
    "decimal": [Decimal(1), Decimal(2)], "spaces": [" 1", "2 "],
}  # fmt: skip


@pytest.mark.parametrize("left", ONES)
@pytest.mark.parametrize("right", ONES)
def test_ids_are_compared_as_what_they_mean(
    load: Callable[..., Any], tmp_path: Path, left: str, right: str
) -> None:
    for name, first, ids in (("train", 0, ONES[left]), ("test", 1, ONES[right][::-1])):
        table = pa.table({"image": [png(first), png(first + 1)], "c": ["x", "y"], "k": ids})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    with pytest.raises(BenchError, match="separate training and test images"):
        load(PAIRS + 'id = "k"\n')


@pytest.mark.parametrize("ids", [[1.5, 2.0], [float("nan"), 1.0], [None, "a"], ["", "a"],
                                 [b"a", b"b"], [["a"], ["b"]]])  # fmt: skip
def test_what_is_no_id_is_refused(load: Callable[..., Any], tmp_path: Path, ids: list[Any]) -> None:
    both(tmp_path, IMAGES["binary"], c=["x", "y"], k=ids)
    with pytest.raises(BenchError, match=r"an id in column 'k' in .*row 0"):
        load(PAIRS + 'id = "k"\n')


@pytest.mark.parametrize("labels", [["0.0", "1.0"], ["0", "1"], ["0.", "1e0"], ["+0", "01"]])
def test_numbers_in_a_text_table_are_class_numbers(
    load: Callable[..., Any], tmp_path: Path, labels: list[str]
) -> None:
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    for name, first in (("t", 0), ("u", 2)):
        lines = [f"{first + i}.png,{label}" for i, label in enumerate(labels)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["image,l", *lines]))
    toml = 'images = "."\ntrain_table = "t.csv"\ntest_table = "u.csv"\nlabel = "l"\n'
    with pytest.raises(BenchError, match="classnames"):
        load(toml)
    found = load(toml + 'classnames = ["cat", "dog"]\n')
    assert classes(found) == [(("cat", "dog"), [0, 1])] * 2


@pytest.mark.parametrize(("labels", "said"), [
    ([0.5, 1.0], "an integer or a class name"),
    ([float("nan"), 1.0], "an integer or a class name"),
    ([True, False], "an integer or a class name"),
    (["0.0", "1.0"], "write it as a number"),
    (["&nbsp;", "x"], "an integer or a class name"),
    (["cat", "Cat"], "differs only by case"),
    (["caf\u00e9", "cafe\u0301"], "normalisation"),
    (["a  b", "a b"], "spaces"),
])  # fmt: skip
def test_labels_that_are_none_or_look_alike_are_refused(
    load: Callable[..., Any], tmp_path: Path, labels: list[Any], said: str
) -> None:
    both(tmp_path, IMAGES["binary"], l=labels)
    with pytest.raises(BenchError, match=said):
        load(LABELS)


@pytest.mark.parametrize("names", [["cat", "cat"], ["cat", "CAT"], ["a", "&nbsp;"]])
def test_class_names_are_distinct_to_clip(
    load: Callable[..., Any], tmp_path: Path, names: list[str]
) -> None:
    both(tmp_path, IMAGES["binary"], l=[0, 1])
    with pytest.raises(BenchError, match=r"distinct class names for 'a'.*class 1"):
        load(LABELS + f"classnames = {json.dumps(names)}\n")


def test_floats_are_class_numbers_where_they_are_whole(
    load: Callable[..., Any], tmp_path: Path
) -> None:
    both(tmp_path, IMAGES["binary"], l=[1.0, 0.0])
    found = load(LABELS + 'classnames = ["cat", "dog"]\n')
    assert classes(found) == [(("cat", "dog"), [1, 0])] * 2


def test_class_names_in_the_file_need_not_be_given_again(
    load: Callable[..., Any], tmp_path: Path
) -> None:
    def write(train: list[str], test: list[str]) -> None:
        for name, first, names in (("train", 0, train), ("test", 2, test)):
            feature = {"l": {"names": names, "_type": "ClassLabel"}}
            meta = {"huggingface": json.dumps({"info": {"features": feature}})}
            table = pa.table({"image": [png(first), png(first + 1)], "l": [1, 0]}, metadata=None)
            pq.write_table(table.replace_schema_metadata(meta), tmp_path / f"{name}.parquet")

    write(["cat", "dog"], ["cat", "dog"])
    assert classes(load(LABELS)) == [(("cat", "dog"), [1, 0])] * 2
    write(["cat", "dog"], ["dog", "cat"])
    with pytest.raises(BenchError, match="class names differ"):
        load(LABELS)


# -- names of files


@pytest.mark.parametrize(("cell", "name"), [
    ("caf\u00e9/\u00fc.png", "cafe\u0301/u\u0308.png"),
    ("cafe\u0301/u\u0308.png", "caf\u00e9/\u00fc.png"),
    ("a\\b.png", "a/b.png"),
])  # fmt: skip
def test_a_file_is_found_by_another_spelling_of_its_name(
    load: Callable[..., Any], tmp_path: Path, cell: str, name: str
) -> None:
    for i, file in enumerate((name, "1.png")):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(png(i))
    (tmp_path / "t.csv").write_text(f"image,c\n{cell},x\n", encoding="utf-8")
    (tmp_path / "u.csv").write_text("image,c\n1.png,y\n")
    toml = 'images = "."\ntrain_table = "t.csv"\ntest_table = "u.csv"\ncaptions = "c"\n'
    assert greys(load(toml)[0]) == [0]
    # One picture is one picture, however its name is spelled.
    (tmp_path / "u.csv").write_text(f"image,c\n{name},y\n", encoding="utf-8")
    with pytest.raises(BenchError, match="separate training and test images"):
        load(toml)
    assert unicodedata.is_normalized("NFC", "caf\u00e9")


def test_a_name_that_is_not_there_is_not_offered_again(
    load: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "IMG_1.png").write_bytes(png(0))
    (tmp_path / "t.csv").write_text("image,c\nimg_1.png,x\n")
    (tmp_path / "u.csv").write_text("image,c\nIMG_1.png,y\n")
    toml = 'images = "."\ntrain_table = "t.csv"\ntest_table = "u.csv"\ncaptions = "c"\n'
    with pytest.raises(BenchError, match=r"'img_1.png'.*did you mean 'IMG_1.png'"):
        load(toml)
