"""Files that were once read with rows, labels or captions changed without a word."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmark.data.own.apart import copies
from benchmark.data.split import Labelled, Pairs
from benchmark.errors import BenchError
from benchmark.suites.custom import read_suite

TASK = 'name = "own"\n[[task]]\nname = "a"\n'
PARQUET = 'train = "train.parquet"\ntest = "test.parquet"\n'


def png(grey: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (grey,) * 3).save(stream, "PNG")
    return stream.getvalue()


def table(path: Path, first: int, names: list[str] | None = None, **columns: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    n = len(next(iter(columns.values())))
    made = pa.table({"image": [png(first + i) for i in range(n)], **columns})
    if names is not None:
        features = {"l": {"names": names, "_type": "ClassLabel"}}
        meta = {"huggingface": json.dumps({"info": {"features": features}})}
        made = made.replace_schema_metadata(meta)
    pq.write_table(made, path)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Any]:
    def read(text: str) -> Any:
        (tmp_path / "s.toml").write_text(TASK + text)
        task = read_suite(str(tmp_path / "s.toml")).tasks[0]
        return task.load("train"), task.load("test")

    return read


# -- class numbers


def test_class_numbers_mean_what_the_files_say(load: Callable[..., Any], tmp_path: Path) -> None:
    toml = PARQUET + 'label = "l"\n'
    for name, first in (("train", 0), ("test", 2)):
        table(tmp_path / f"{name}.parquet", first, ["ant", "zebra"], l=[0, 1])
    assert load(toml + 'classnames = ["Ant", "a zebra"]\n')[0].classnames == ("Ant", "a zebra")
    with pytest.raises(BenchError, match="'ant' as class 1 in `classnames` and as class 0"):
        load(toml + 'classnames = ["zebra", "ant"]\n')
    table(tmp_path / "test.parquet", 2, ["zebra", "ant"], l=[0, 1])
    for names in ("", 'classnames = ["ant", "zebra"]\n'):
        with pytest.raises(BenchError, match="class names differ"):
            load(toml + names)


def test_parts_of_one_table_number_their_classes_alike(
    load: Callable[..., Any], tmp_path: Path
) -> None:
    table(tmp_path / "train" / "0.parquet", 0, ["ant", "zebra"], l=[0, 1])
    table(tmp_path / "train" / "1.parquet", 2, ["zebra", "ant"], l=[0, 1])
    table(tmp_path / "test.parquet", 4, ["ant", "zebra"], l=[0, 1])
    with pytest.raises(BenchError, match=r"class names of column 'l' in .*1\.parquet"):
        load('train = "train"\ntest = "test.parquet"\nlabel = "l"\n')


@pytest.mark.parametrize("names", [["rock\u2019n", "rock'n"], ["a & b", "a &amp; b"]])
def test_classes_that_clip_cleans_to_one_are_refused(
    load: Callable[..., Any], tmp_path: Path, names: list[str]
) -> None:
    for name, first in (("train", 0), ("test", 2)):
        table(tmp_path / f"{name}.parquet", first, l=[0, 1])
    with pytest.raises(BenchError, match="equal to CLIP"):
        load(PARQUET + f'label = "l"\nclassnames = {json.dumps(names)}\n')


@pytest.mark.parametrize("labels", [["cat", "3.5"], ["1.0", "2.5"]])
def test_names_that_look_like_numbers_beside_others_are_names(
    load: Callable[..., Any], tmp_path: Path, labels: list[str]
) -> None:
    for name, first in (("train", 0), ("test", 2)):
        table(tmp_path / f"{name}.parquet", first, l=labels)
    found, _ = load(PARQUET + 'label = "l"\n')
    assert isinstance(found, Labelled)
    assert found.classnames == tuple(sorted(labels))


# -- tars


def members(count: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for i in range(count):
            for kind, data in (("png", png(i)), ("txt", b"x")):
                info = tarfile.TarInfo(f"{i}.{kind}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


BLOCK = tarfile.BLOCKSIZE
HARMS: dict[str, Callable[[bytes], bytes]] = {
    "cut between members": lambda raw: raw[: 8 * BLOCK],
    "cut in a header": lambda raw: raw[: 8 * BLOCK + 100],
    "a header of noise": lambda raw: raw[: 8 * BLOCK] + b"\x55" * BLOCK + raw[9 * BLOCK :],
    "two joined": lambda raw: raw + raw,
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_tar_is_read_to_its_end_or_refused(
    load: Callable[..., Any], tmp_path: Path, harm: str
) -> None:
    whole = members(6)
    (tmp_path / "test.tar").write_bytes(members(1))
    (tmp_path / "train.tar").write_bytes(HARMS[harm](whole))
    with pytest.raises(BenchError, match=r"a readable tar .*train\.tar"):
        load('train = "train.tar"\ntest = "test.tar"\ncaptions = "txt"\n')


def test_a_sample_without_its_image_says_so(load: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("train", "test"):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as archive:
            for member, data in (("1.png", png(1)), ("2.png", png(2)), ("1.txt", b"x")):
                info = tarfile.TarInfo(member)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    with pytest.raises(BenchError, match="tar --sort=name"):
        load('train = "train.tar"\ntest = "test.tar"\ncaptions = "txt"\n')


# -- folders


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["cat/img/0.png", "dog/img/1.png"], "two folders 'img'"),
        (["0.png", "1.png"], "images in no folder"),
        (["cat/0.png", "dog/more/1.png"], "several depths"),
        (["cat/0.png", "dog/1.jpg_large"], "one by its content"),
        (["cat/0.png", "dog/1"], "one by its content"),
    ],
)
def test_no_class_of_an_image_folder_is_lost_or_joined(
    load: Callable[..., Any], tmp_path: Path, files: list[str], said: str
) -> None:
    for i, name in enumerate((*(f"train/{f}" for f in files), "test/cat/9.png")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i))
    with pytest.raises(BenchError, match=said):
        load('train = "train"\ntest = "test"\nlabel = "label"\n')


def test_class_folders_may_be_links_and_have_any_name(
    load: Callable[..., Any], tmp_path: Path
) -> None:
    for i, name in enumerate(("train/a::b", "elsewhere/dog", "test/a::b")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x.png").write_bytes(png(i))
    (tmp_path / "train" / "dog").symlink_to(tmp_path / "elsewhere" / "dog")
    (tmp_path / "train" / "dog" / "loop").symlink_to(tmp_path / "train")
    train, _ = load('train = "train"\ntest = "test"\nlabel = "label"\n')
    assert (train.classnames, train.labels.tolist()) == (("a::b", "dog"), [0, 1])


def test_files_that_a_log_has_removed_are_not_read(
    load: Callable[..., Any], tmp_path: Path
) -> None:
    table(tmp_path / "train" / "part-0.parquet", 0, c=["x", "y"])
    table(tmp_path / "test.parquet", 2, c=["x", "y"])
    table(tmp_path / "train" / "_old.parquet", 4, c=["x", "y"])
    toml = 'train = "train"\ntest = "test.parquet"\ncaptions = "c"\n'
    assert load(toml)[0].images.size == 2
    (tmp_path / "train" / "_delta_log").mkdir()
    with pytest.raises(BenchError, match="_delta_log"):
        load(toml)


def test_a_null_of_hive_is_no_class(load: Callable[..., Any], tmp_path: Path) -> None:
    for name, first in (("train", 0), ("test", 2)):
        for i, label in enumerate(("cat", "__HIVE_DEFAULT_PARTITION__")):
            folder = tmp_path / name / f"l={label}"
            folder.mkdir(parents=True)
            table(folder / "p.parquet", first + i, c=["x"])
    with pytest.raises(BenchError, match="an integer or a class name as label"):
        load('train = "train"\ntest = "test"\nlabel = "l"\n')


def test_a_wider_type_in_a_later_part_is_read(load: Callable[..., Any], tmp_path: Path) -> None:
    table(tmp_path / "train" / "0.parquet", 0, k=pa.array([1, 2], pa.int8()), c=["x", "y"])
    table(tmp_path / "train" / "1.parquet", 2, k=pa.array([300, 301], pa.int64()), c=["x", "y"])
    table(tmp_path / "test.parquet", 4, k=[9, 10], c=["x", "y"])
    train, _ = load('train = "train"\ntest = "test.parquet"\ncaptions = "c"\nid = "k"\n')
    assert train.images.size == 4


# -- quotes and copies


def test_a_quote_in_a_text_swallows_no_rows(load: Callable[..., Any], tmp_path: Path) -> None:
    for i in range(6):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    lines = ["image\tc", '0.png\t"To be', "1.png\tx", "2.png\ty", '3.png\ta screen of 14"']
    (tmp_path / "t.tsv").write_text("\n".join(lines) + "\n")
    (tmp_path / "u.tsv").write_text("image\tc\n4.png\tx\n")
    toml = 'images = "."\ntrain_table = "t.tsv"\ntest_table = "u.tsv"\ncaptions = "c"\n'
    with pytest.raises(BenchError, match="a cell with more rows in it"):
        load(toml)
    (tmp_path / "t.tsv").write_text('image\tc\n0.png\t"two\nlines"\n1.png\tx\n')
    assert load(toml)[0].captions == (("two\nlines",), ("x",))


def test_pictures_on_both_sides_are_counted_and_refused_where_all_are(
    load: Callable[..., Any], tmp_path: Path
) -> None:
    toml = PARQUET + 'captions = "c"\nid = "k"\n'
    table(tmp_path / "train.parquet", 0, c=["x", "y"], k=["a", "b"])
    table(tmp_path / "test.parquet", 1, c=["x", "y"], k=["c", "d"])
    train, test = load(toml)
    assert copies("a", train, test) == ["a: 1 of 2 test pictures are training pictures too"]
    table(tmp_path / "test.parquet", 0, c=["x", "y"], k=["c", "d"])
    train, test = load(toml)
    assert isinstance(train, Pairs)
    with pytest.raises(BenchError, match="all 2 test pictures"):
        copies("a", train, test)


def test_patterns_that_overlap_are_refused(load: Callable[..., Any], tmp_path: Path) -> None:
    for i in range(4):
        table(tmp_path / f"p-{i}.parquet", 2 * i, c=["x", "y"])
    with pytest.raises(BenchError, match=r"p-2\.parquet in both"):
        load('train = "p-[0-2].parquet"\ntest = "p-[23].parquet"\ncaptions = "c"\n')
