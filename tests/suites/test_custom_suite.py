"""A user's own datasets: what a TOML file may say, how tables are read, and every error."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from split_images import image_source

from benchmark.data.files import stream
from benchmark.data.images import decode
from benchmark.data.split import Labelled, Pairs
from benchmark.data.split_rules import ByFraction, by_fraction
from benchmark.errors import BenchError
from benchmark.suites import custom
from benchmark.suites.custom import read_suite
from benchmark.suites.find import find_suite
from benchmark.suites.mini import RECIPE
from benchmark.suites.names import SplitName
from benchmark.suites.suite import Suite

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-suite.toml"
HEAD = 'name = "own"\n'
TASK = HEAD + '[[task]]\nname = "a"\n'
FILES = 'train = "train.parquet"\ntest = "test.parquet"\n'
PAIRS = TASK + FILES + 'captions = "captions"\n'
DATA = TASK + 'data = "all.parquet"\ncaptions = "captions"\n'
LABELS = TASK + FILES + 'label = "label"\n'
TABLE = TASK + 'images = "imgs"\ntable = "t.csv"\ncaptions = "caption"\n'
HALF = "split = { test = 0.5 }\n"


def encoded(image: Image.Image | int, form: str = "PNG", **options: Any) -> bytes:
    """An image, or a 4 x 4 one of a grey value, as the bytes of a file."""
    image = Image.new("RGB", (4, 4), (image,) * 3) if isinstance(image, int) else image
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def grey(split: Pairs | Labelled, i: int) -> int:
    """The first channel's top left value of image i."""
    image = image_source(split).open(i)
    assert image.mode == "RGB"
    return int(np.asarray(image)[0, 0, 0])


def write(path: Path, greys: list[int], **columns: list[Any]) -> None:
    """A parquet file of encoded grey images with further columns."""
    cells = [{"bytes": encoded(value), "path": None} for value in greys]
    pq.write_table(pa.table({"image": cells, **columns}), path)


@pytest.fixture
def suite(folder: Path) -> Callable[[str], Suite]:
    """Writes a TOML into the test's folder and reads it."""

    def read(text: str) -> Suite:
        (folder / "suite.toml").write_text(text)
        return read_suite(str(folder / "suite.toml"))

    return read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with train, test and all.parquet, and imgs/0.png ... 5.png."""
    base = tmp_path / "d"
    base.mkdir()
    write(base / "train.parquet", [0, 1], captions=[["a"], ["b"]], label=["cat", "ant"])
    write(base / "test.parquet", [2, 3], captions=[["c"], ["d"]], label=["ant", "cat"])
    names = [[f"x{i}"] for i in range(10)]
    parts = ["train"] * 4 + ["test"] * 4 + ["val", None]
    write(base / "all.parquet", list(range(10)), captions=names, part=parts)
    (base / "imgs").mkdir()
    for i in range(6):
        (base / "imgs" / f"{i}.png").write_bytes(encoded(i))
    return base


def says(error: pytest.ExceptionInfo[BenchError], expected: str, got: str, fix: str) -> bool:
    """Whether each of the three parts of the sentence holds the words."""
    parts = (error.value.expected, error.value.got, error.value.fix)
    missed = [w for w, p in zip((expected, got, fix), parts, strict=True) if w not in p]
    assert not missed, f"{missed} not in: {error.value}"
    return True


# ---- The TOML ----------------------------------------------------------------------------------


def test_the_example_parses_and_names_every_known_key() -> None:
    suite = find_suite(str(EXAMPLE))
    names = [task.name for task in suite.tasks]
    own = ["photos", "products", "sketches", "diagrams", "satellite"]
    assert names == [*own, "birds", "trees"]
    assert [held.name for held in suite.held_out] == ["shapes", "stones"]
    assert (suite.recipe.epochs, suite.recipe.lr) == (4, RECIPE.lr)
    text = EXAMPLE.read_text()
    assert all(f"{key} = " in text for key in custom._RECIPE_KEYS)
    assert all(
        f"{k} = " in text or k in {"recipe", "settings", "task", "held_out"} for k in custom._SUITE
    )
    assert all(f"{key} = " in text for key in custom._DATASET)


def test_defaults(suite: Callable[[str], Suite]) -> None:
    own = suite(PAIRS)
    assert (own.version, own.backbone, own.pretrained) == ("1.0", "tiny-s", "bundled")
    assert (own.class_scope, own.recipe, own.held_out) == ("own", RECIPE, ())
    task = own.tasks[0]
    assert (task.title, task.licence, task.citation) == ("a", "not stated", "not stated")


def test_a_weights_file_is_relative_to_the_toml(
    suite: Callable[[str], Suite], folder: Path
) -> None:
    (folder / "w.safetensors").write_bytes(b"")
    own = suite('pretrained = "w.safetensors"\n' + PAIRS)
    assert (own.pretrained, own.weights) == ("w.safetensors", str(folder / "w.safetensors"))
    assert own.folder == folder


def test_what_is_recorded_of_the_weights_does_not_depend_on_where_one_is(
    suite: Callable[[str], Suite],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    suite('pretrained = "w.pt"\n' + PAIRS)
    (folder / "w.pt").write_bytes(b"its own")
    (tmp_path / "w.pt").write_bytes(b"of the same name where the user is")
    found = []
    for place, name in ((folder, "suite.toml"), (tmp_path, "d/suite.toml")):
        monkeypatch.chdir(place)
        own = read_suite(name)
        found.append((own.pretrained, Path(own.weights).read_bytes()))
    assert found == [("w.pt", b"its own")] * 2
    (folder / "w.pt").unlink()
    assert Path(read_suite("d/suite.toml").weights) == Path("d/w.pt")


@pytest.mark.parametrize("tag", ["openai", "random:3", "bundled"])
def test_a_tag_is_no_file(suite: Callable[[str], Suite], folder: Path, tag: str) -> None:
    (folder / tag).write_bytes(b"")
    own = suite(f'pretrained = "{tag}"\n' + PAIRS)
    assert own.pretrained == own.weights == tag
    assert find_suite("mini").weights == "bundled"


@pytest.mark.parametrize("name", ["scratch", "retrieval", "xtail", "mtil", "mini", "mini-2"])
def test_names_of_other_records_are_reserved(suite: Callable[[str], Suite], name: str) -> None:
    with pytest.raises(BenchError) as error:
        suite(PAIRS.replace("own", name))
    assert says(error, "a name of its own", f"'{name}'", "another name")
    assert suite(PAIRS.replace("own", f"my-{name}")).name == f"my-{name}"


TOML_ERRORS = {
    "syntax": ("name = \n", "valid TOML in suite.toml", "line 1", "mend"),
    "top-key": ("bacbone = 'x'\n" + PAIRS, "known keys in suite.toml", "'bacbone'", "'backbone'"),
    "task-key": (PAIRS + "tittle = 'x'\n", "known keys in [[task]] 'a'", "'tittle'", "'title'"),
    "recipe-key": (PAIRS + "[recipe]\nepoch = 3\n", "`recipe` of suite.toml", "'epoch'", "epochs"),
    "split-key": (DATA + "split = { tset = 0.1, test = 0.2 }\n", "`split`", "'tset'", "'test'"),
    "no-name": ("version = '1.0'\n", "a key `name` in suite.toml", "only version", "add it"),
    "name": (PAIRS.replace("own", "Own suite"), "lower-case", "'Own suite'", "change the name"),
    "embedded": (PAIRS.replace("own", "mini"), "name of its own", "'mini'", "another name"),
    "version": ("version = '1'\n" + PAIRS, 'version like "1.0"', "'1'", "major.minor"),
    "number": ("backbone = 3\n" + PAIRS, "text for `backbone`", "3", "in quotes"),
    "no-task": (HEAD, "at least one [[task]]", "none", "add one"),
    "one-bracket": (PAIRS.replace("[[task]]", "[task]"), "[[task]] tables", "single", "two"),
    "twice": (PAIRS + PAIRS.removeprefix(HEAD), "distinct dataset names", "'a' twice", "rename"),
    "held-twice": (
        PAIRS + PAIRS.removeprefix(HEAD).replace("task", "held_out"),
        "distinct dataset names",
        "'a' twice",
        "rename",
    ),
    "scope": ("class_scope = 'all'\n" + LABELS, '"own" or "union"', "'all'", "choose one"),
    "scope-idle": ("class_scope = 'union'\n" + PAIRS, "`label`", "captions only", "class_scope"),
    "both": (PAIRS + "label = 'l'\n", "either `captions` or `label`", "both", "one of them"),
    "neither": (TASK + FILES, "either `captions` or `label`", "neither", "one of them"),
    "templates": (PAIRS + "templates = ['{}']\n", "only beside `label`", "captions", "remove it"),
    "no-slot": (LABELS + "templates = ['a cat']\n", "with one {}", "'a cat'", "put {}"),
    "slots": (LABELS + "templates = ['{} {}']\n", "with one {}", "'{} {}'", "put {}"),
    "no-file": (TASK + "captions = 'c'\n", "`train` and `test`, or `data`", "no file", "name the"),
    "no-test": (PAIRS.replace("test =", "title ="), "`train` and `test`", "`train`", "name the"),
    "no-images": (
        TABLE.replace("images", "title"),
        "`images` beside a table",
        "none",
        "the folder",
    ),
    "images": (PAIRS + "images = 'x'\n", "only beside a table", "parquet files", "remove"),
    "no-split": (DATA, "a `split` for `data`", "none", "test = 0.2"),
    "split-of-two": (PAIRS + HALF, "`split` only for one file", "separate files", "remove"),
    "ending": (
        PAIRS.replace("train.parquet", "train.zip"),
        ".parquet file for `train`",
        "'train.zip'",
        "convert",
    ),
    "same-file": (
        PAIRS.replace("test.parquet", "../d/train.parquet"),
        "separate files for training and test in [[task]] 'a'",
        "'train.parquet' for both",
        "a `split`",
    ),
    "same-table": (
        TABLE.replace("table =", 'train_table = "t.csv"\ntest_table ='),
        "separate files",
        "'t.csv' for both",
        "a `split`",
    ),
    "half-character": (
        LABELS + 'templates = ["a {} \\ud83d"]\n',
        "valid TOML",
        "scalar value",
        "mend",
    ),
    "fraction-1": (DATA + "split = { test = 1.0 }\n", "between 0 and 1", "1", "leave some"),
    "fraction-2": (DATA + "split = { test = 1.5 }\n", "from 0 to 1", "1.5", "`test`"),
    "fraction-none": (DATA + "split = { seed = 1 }\n", "number from 0 to 1", "none", "`test`"),
    "seed": (DATA + "split = { test = 0.5, seed = 1.5 }\n", "whole number >= 0", "1.5", "`seed`"),
    "fold-twice": (
        DATA + "split = { column = 'c', train = ['x'], test = ['x'] }\n",
        "values of one part each",
        "'x' in both",
        "remove it",
    ),
    "epochs": (PAIRS + "[recipe]\nepochs = 0\n", "number >= 1 for `epochs`", "0", "`epochs`"),
    "bool": (PAIRS + "[recipe]\nepochs = true\n", "number >= 1 for `epochs`", "True", "`epochs`"),
    "nan": (PAIRS + "[recipe]\nlr = nan\n", "for `lr`", "nan", "`lr`"),
    "warmup": (PAIRS + "[recipe]\nwarmup = 2\n", "from 0 to 1 for `warmup`", "2", "`warmup`"),
}


@pytest.mark.parametrize("case", TOML_ERRORS)
def test_mistakes_in_the_toml(suite: Callable[[str], Suite], case: str) -> None:
    text, expected, got, fix = TOML_ERRORS[case]
    with pytest.raises(BenchError) as error:
        suite(text)
    assert says(error, expected, got, fix)


def test_a_missing_toml(tmp_path: Path) -> None:
    with pytest.raises(BenchError) as error:
        read_suite(str(tmp_path / "none.toml"))
    assert says(error, "none.toml", "no file", "correct the path")
    assert error.value.code == 4


# ---- Reading tables ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["struct", "binary", "path", "struct-path"])
def test_parquet_image_columns(suite: Callable[[str], Suite], folder: Path, kind: str) -> None:
    raw = [encoded(i) for i in (3, 5)]
    cells: dict[str, list[Any]] = {
        "struct": [{"bytes": r, "path": "same.png"} for r in raw],
        "binary": list(raw),
        "path": ["imgs/3.png", "imgs/5.png"],
        "struct-path": [{"bytes": raw[0], "path": None}, {"bytes": None, "path": "imgs/5.png"}],
    }
    table = pa.table({"image": cells[kind], "captions": ["  one ", "two\n"]})
    pq.write_table(table, folder / "train.parquet")
    split = suite(PAIRS).tasks[0].load("train")
    assert isinstance(split, Pairs)
    assert split.captions == (("one",), ("two",))
    assert (split.images.size, grey(split, 1), grey(split, 0)) == (2, 5, 3)


def test_images_are_those_of_their_rows_in_any_order_and_decoded_in_one_pass(
    suite: Callable[[str], Suite], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "all.parquet", list(range(100)), captions=[[f"x{i}"] for i in range(100)])
    passes: list[int] = []
    read = stream.parquet_rows

    def counted(*args: Any) -> Any:
        passes.append(1)
        return read(*args)

    monkeypatch.setattr("benchmark.data.own.rows.parquet_rows", counted)
    split = suite(DATA + HALF).tasks[0].load("train")
    assert isinstance(split, Pairs)
    expected = [int(texts[0][1:]) for texts in split.captions]
    assert expected != sorted(expected)
    source = image_source(split)
    passes.clear()
    assert {i: int(np.asarray(opened())[0, 0, 0]) for i, opened in source.each()} == dict(
        enumerate(expected)
    )
    assert passes == [1]
    assert [grey(split, i) for i in (7, 3, 3, 40, 0)] == [expected[i] for i in (7, 3, 3, 40, 0)]


def test_csv_rows_of_one_image_are_grouped(suite: Callable[[str], Suite], folder: Path) -> None:
    rows = 'image,caption,n\n1.png,"a, b",0\n0.png,c,0\n\n./1.png,d,0\n'
    (folder / "t.csv").write_text("\ufeff" + rows, encoding="utf-8")
    task = suite(TABLE + HALF).tasks[0]
    train, test = task.load("train"), task.load("test")
    assert isinstance(train, Pairs)
    assert isinstance(test, Pairs)
    found = {grey(s, 0): s.captions[0] for s in (train, test)}
    assert found == {1: ("a, b", "d"), 0: ("c",)}


def test_jsonl_with_lists_and_two_tables(suite: Callable[[str], Suite], folder: Path) -> None:
    rows = [{"image": "2.png", "caption": ["a", "b"]}, {"image": "4.png", "caption": "line\u2028c"}]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "a.jsonl").write_text(text, encoding="utf-8")
    (folder / "b.jsonl").write_text('{"image": "1.png", "caption": "x", "more": 1}\n')
    toml = TABLE.replace("table = ", 'train_table = "a.jsonl"\ntest_table = ')
    split = suite(toml.replace("t.csv", "b.jsonl")).tasks[0].load("train")
    assert isinstance(split, Pairs)
    assert split.captions == (("a", "b"), ("line\u2028c",))
    assert grey(split, 1) == 4


def test_rows_of_one_id_stay_on_one_side(suite: Callable[[str], Suite], folder: Path) -> None:
    ids = [i // 2 for i in range(20)]
    texts = [f"{i}-{n}" for n, i in enumerate(ids)]
    write(folder / "all.parquet", ids, captions=texts, key=ids)
    task = suite(DATA + 'id = "key"\n' + HALF).tasks[0]
    splits = [task.load("train"), task.load("test")]
    assert [s.images.size for s in splits] == [5, 5]
    for split in splits:
        assert isinstance(split, Pairs)
        for i, captions in enumerate(split.captions):
            assert [c.split("-")[0] for c in captions] == [str(grey(split, i))] * 2


@pytest.mark.parametrize("column", [False, True])
def test_bytes_that_carry_a_path_are_grouped(
    suite: Callable[[str], Suite], folder: Path, column: bool
) -> None:
    """As `datasets` writes captions: one row each, the picture and its file name repeated."""
    images = [i // 2 for i in range(20)]
    cells = [{"bytes": encoded(i), "path": f"{i % 5}.png"} for i in images]  # names of two folders
    texts = [f"{i}-{n}" for n, i in enumerate(images)]
    parts = ["train" if i < 5 else "test" for i in images]
    table = pa.table({"image": cells, "captions": texts, "part": parts})
    pq.write_table(table, folder / "all.parquet", row_group_size=3)
    task = suite(DATA + ('split = { column = "part" }\n' if column else HALF)).tasks[0]
    seen = []
    for split in (task.load("train"), task.load("test")):
        assert isinstance(split, Pairs)
        assert split.images.size == 5
        for i, captions in enumerate(split.captions):
            assert [c.split("-")[0] for c in captions] == [str(grey(split, i))] * 2
            seen.append(grey(split, i))
    assert sorted(seen) == list(range(10))


@pytest.mark.parametrize("n", [2, 3, 5, 10, 101, 1000])
@pytest.mark.parametrize(("share", "seed"), [(0.2, 42), (0.07, 0), (0.5, 7)])
def test_the_fraction_rule_is_that_of_datasets(n: int, share: float, seed: int) -> None:
    import datasets

    theirs = datasets.Dataset.from_dict({"i": range(n)}).train_test_split(share, seed=seed)
    rule = ByFraction(share, seed)
    assert by_fraction(n, rule, "test").tolist() == list(theirs["test"]["i"])
    assert by_fraction(n, rule, "train").tolist() == list(theirs["train"]["i"])


def test_the_fraction_rule_by_hand() -> None:
    order = np.random.default_rng(42).permutation(11).tolist()
    assert by_fraction(11, ByFraction(0.2, 42), "test").tolist() == order[:3]
    assert by_fraction(11, ByFraction(0.2, 42), "train").tolist() == order[3:]


def test_a_split_column(suite: Callable[[str], Suite], folder: Path) -> None:
    rule = 'split = { column = "part", train = ["train", "val"], test = ["test"] }\n'
    task = suite(DATA + rule).tasks[0]
    train, test = task.load("train"), task.load("test")
    assert isinstance(train, Pairs)
    assert train.captions == (("x0",), ("x1",), ("x2",), ("x3",), ("x8",))
    assert [grey(test, i) for i in range(test.images.size)] == [4, 5, 6, 7]


def test_string_labels_are_the_sorted_classes_of_train(
    suite: Callable[[str], Suite], folder: Path
) -> None:
    split = suite(LABELS).tasks[0].load("test")
    assert isinstance(split, Labelled)
    assert split.classnames == ("ant", "cat")
    assert split.labels.dtype == np.int64
    assert (split.labels.tolist(), split.templates) == ([0, 1], custom.TEMPLATES)


def test_csv_labels_are_of_one_kind_in_both_tables(
    suite: Callable[[str], Suite], folder: Path
) -> None:
    (folder / "a.csv").write_text("image,label\n0.png,1\n1.png,2\n2.png,dog\n")
    (folder / "b.csv").write_text("image,label\n3.png,1\n4.png,2\n")
    files = 'images = "imgs"\ntrain_table = "a.csv"\ntest_table = "b.csv"\nlabel = "label"\n'
    for names in ('classnames = ["1", "2", "dog"]\n', ""):
        task = suite(TASK + files + names).tasks[0]
        wanted: dict[SplitName, list[int]] = {"train": [0, 1, 2], "test": [0, 1]}
        for part, labels in wanted.items():
            split = task.load(part)
            assert isinstance(split, Labelled)
            assert (split.labels.tolist(), split.classnames) == (labels, ("1", "2", "dog"))
    (folder / "a.csv").write_text("image,label\n0.png,1\n1.png,2\n")
    digits = suite(TASK + files + 'classnames = ["0", "1", "2"]\n').tasks[0].load("test")
    assert isinstance(digits, Labelled)
    assert digits.labels.tolist() == [1, 2]


def test_a_csv_label_that_is_a_number_and_another_class(
    suite: Callable[[str], Suite], folder: Path
) -> None:
    (folder / "t.csv").write_text("image,caption\n0.png,1\n1.png,2\n")
    toml = TABLE.replace("captions =", "label =") + 'classnames = ["1", "2", "dog"]\n' + HALF
    with pytest.raises(BenchError) as error:
        suite(toml).tasks[0].load("train")
    assert says(error, "a class number as label in d/t.csv line 2", "'1', which", ".jsonl")


def test_class_names_with_a_byte_order_mark(suite: Callable[[str], Suite], folder: Path) -> None:
    (folder / "names.txt").write_text("cat\nant\n", encoding="utf-8-sig")
    split = suite(LABELS + 'classnames = "names.txt"\n').tasks[0].load("train")
    assert isinstance(split, Labelled)
    assert (split.classnames, split.labels.tolist()) == (("cat", "ant"), [0, 1])


def test_labels_by_number_and_by_name(suite: Callable[[str], Suite], folder: Path) -> None:
    (folder / "names.txt").write_text("zebra\ncat\nant\n")
    split = suite(LABELS + 'classnames = "names.txt"\n').tasks[0].load("train")
    assert isinstance(split, Labelled)
    assert split.labels.tolist() == [1, 2]
    (folder / "t.csv").write_text("image,caption\n0.png,2\n1.png,0\n")
    toml = TABLE.replace("captions =", "label =") + 'classnames = ["a", "b", "c"]\n' + HALF
    task = suite(toml).tasks[0]
    splits = [task.load("train"), task.load("test")]
    values = [split.labels.tolist() for split in splits if isinstance(split, Labelled)]
    assert sorted(values) == [[0], [2]]


def test_held_out_needs_only_a_test_file(suite: Callable[[str], Suite], folder: Path) -> None:
    held = '[[held_out]]\nname = "h"\ntest = "test.parquet"\nlabel = "label"\n'
    split = suite(PAIRS + held).held_out[0].load("test")
    assert isinstance(split, Labelled)
    assert split.classnames == ("ant", "cat")


def test_content_follows_the_bytes_and_the_choice(
    suite: Callable[[str], Suite], folder: Path
) -> None:
    (folder / "t.csv").write_text("image,caption\n0.png,a\n1.png,b\n")

    def content(toml: str) -> str:
        return image_source(suite(toml).tasks[0].load("train")).content

    first = content(TABLE + HALF)
    kept = (folder / "imgs" / "0.png").read_bytes(), (folder / "imgs" / "1.png").read_bytes()
    for name, raw in zip("01", kept, strict=True):
        (folder / "imgs" / f"{name}.png").write_bytes(raw)
    assert content(TABLE + HALF) == first
    assert content(TABLE + "split = { test = 0.5, seed = 1 }\n") != first
    for name in "01":
        (folder / "imgs" / f"{name}.png").write_bytes(encoded(99))
    assert content(TABLE + HALF) != first
    before = content(PAIRS)
    write(folder / "train.parquet", [7, 1], captions=[["a"], ["b"]])
    assert content(PAIRS) != before


# ---- Decoding ----------------------------------------------------------------------------------


def test_exif_orientation() -> None:
    image = Image.new("RGB", (4, 2), "black")
    image.paste((255, 255, 255), (0, 0, 2, 2))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = decode(encoded(image, exif=exif), "x")
    assert upright.size == (2, 4)
    assert np.asarray(upright)[[0, 3], 0, 0].tolist() == [255, 0]


def test_transparency_is_white() -> None:
    clear = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    clear.putpixel((1, 0), (0, 0, 255, 255))
    pixels = np.asarray(decode(encoded(clear), "x"))
    assert pixels[0].tolist() == [[255, 255, 255], [0, 0, 255]]
    assert np.asarray(decode(encoded(Image.new("LA", (1, 1), (0, 0))), "x")).tolist() == [
        [[255, 255, 255]]
    ]


@pytest.mark.parametrize("see_through", [False, True])
def test_palette(see_through: bool) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    options: dict[str, Any] = {"transparency": bytes([0, 255])} if see_through else {}
    pixels = np.asarray(decode(encoded(image, **options), "x"))[0].tolist()
    assert pixels == [[255] * 3 if see_through else [10, 20, 30], [200, 100, 50]]


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_grey_of_16_bits(form: str) -> None:
    deep = Image.fromarray(np.array([[0, 257, 32768, 65535]], np.uint16))
    assert np.asarray(decode(encoded(deep, form), "x"))[0, :, 1].tolist() == [0, 1, 128, 255]


def test_the_widest_image() -> None:
    assert decode(encoded(Image.new("RGB", (2, 200))), "x").size == (2, 200)


def test_grey_of_8_bits() -> None:
    assert np.asarray(decode(encoded(Image.new("L", (1, 1), 77)), "x")).tolist() == [[[77] * 3]]


def test_damaged_exif_does_not_spoil_an_image() -> None:
    raw = encoded(9, "JPEG", exif=b"Exif\0\0garbage")
    assert decode(raw, "x").size == (4, 4)


BAD_IMAGES = {
    "text": (b"hello", "5 bytes, no image"),
    "empty": (b"", "0 bytes, no image"),
    "truncated": (encoded(Image.effect_noise((64, 64), 90), "JPEG")[:600], "truncated"),
    "float": (encoded(Image.new("F", (1, 1), 0.5), "TIFF"), "floating-point"),
    "32-bit": (encoded(Image.new("I", (1, 1), 255), "TIFF"), "32-bit grey"),
    "thin": (encoded(Image.new("RGB", (1, 65000))), "1 x 65000 pixels, too thin"),
    "flat": (encoded(Image.new("RGB", (202, 2))), "202 x 2 pixels, too thin"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_broken_images_are_named(suite: Callable[[str], Suite], folder: Path, case: str) -> None:
    raw, got = BAD_IMAGES[case]
    table = pa.table({"image": [encoded(0), raw], "captions": ["a", "b"], "k": ["p", "q"]})
    pq.write_table(table, folder / "train.parquet")
    write(folder / "test.parquet", [1], captions=["c"], k=["r"])
    split = suite(PAIRS + 'id = "k"\n').tasks[0].load("train")
    with pytest.raises(BenchError) as error:
        image_source(split).open(1)
    assert says(error, "a whole image in d/train.parquet row 1 (id 'q')", got, "replace or remove")


@pytest.mark.parametrize("cap", [10, 5])
def test_too_many_pixels(monkeypatch: pytest.MonkeyPatch, cap: int) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", cap)
    with pytest.raises(BenchError) as error:
        decode(encoded(0), "big.png")
    assert says(error, f"at most {cap} pixels in big.png", "larger", "scale it down")


def test_a_broken_image_file_is_named(suite: Callable[[str], Suite], folder: Path) -> None:
    (folder / "t.csv").write_text("image,caption\n0.png,a\n0.png,b\n1.png,c\n")
    (folder / "imgs" / "0.png").write_bytes(b"no")
    (folder / "imgs" / "1.png").write_bytes(b"no")
    split = suite(TABLE + HALF).tasks[0].load("test")
    with pytest.raises(BenchError) as error:
        image_source(split).open(0)
    assert says(error, ".png (d/t.csv line", "2 bytes, no image", "replace or remove")


# ---- Errors in the data ------------------------------------------------------------------------

CAPTION_ERRORS: dict[str, tuple[Any, str, str, str]] = {
    "blank": (
        ["a", "  "],
        "a caption of text in d/train.parquet row 1",
        "blank",
        "write a caption",
    ),
    "null": (["a", None], "a caption of text in d/train.parquet row 1", "None", "write a caption"),
    "number": ([1, 2], "a caption of text in d/train.parquet row 0", "1", "write a caption"),
    "none": ([["a"], []], "at least one caption in d/train.parquet row 1", "empty list", "write"),
    "null-inside": ([["a", None], ["b"]], "a caption of text", "None", "write a caption"),
    "blank-inside": ([["a"], ["b", ""]], "a caption of text", "empty or blank", "write a caption"),
}


@pytest.mark.parametrize("case", CAPTION_ERRORS)
def test_bad_captions(suite: Callable[[str], Suite], folder: Path, case: str) -> None:
    captions, expected, got, fix = CAPTION_ERRORS[case]
    write(folder / "train.parquet", [0, 1], captions=captions)
    with pytest.raises(BenchError) as error:
        suite(PAIRS).tasks[0].load("train")
    assert says(error, expected, got, fix)


LABEL_ERRORS: dict[str, tuple[Any, str, str, str, str]] = {
    "range": (
        [0, 2],
        'classnames = ["a", "b"]\n',
        "a label from 0 to 1 in d/train.parquet row 1",
        "2",
        "`classnames`",
    ),
    "negative": ([-1, 1], 'classnames = ["a", "b"]\n', "a label from 0 to 1", "-1", "correct it"),
    "unknown": (["dgo", "cat"], 'classnames = ["cat", "dog"]\n', "row 0", "'dgo'", "'dog'"),
    "null": (
        ["dog", None],
        "",
        "a class name as label in d/train.parquet row 1",
        "None",
        "correct",
    ),
    "float": ([0.5, 1.5], "", "a class name as label", "0.5", "correct the label"),
    "bool": ([True, False], "", "a class name as label", "True", "correct the label"),
    "no-names": ([0, 1], "", "`classnames` of 'a'", "integer labels", "add `classnames`"),
    "same-names": (["x", "x"], 'classnames = ["x", "x"]\n', "distinct", "a name twice", "correct"),
    "no-names-file": ([0, 1], 'classnames = "n.txt"\n', "n.txt", "no file", "correct the path"),
}


@pytest.mark.parametrize("case", LABEL_ERRORS)
def test_bad_labels(suite: Callable[[str], Suite], folder: Path, case: str) -> None:
    labels, keys, expected, got, fix = LABEL_ERRORS[case]
    write(folder / "train.parquet", [0, 1], label=labels)
    with pytest.raises(BenchError) as error:
        suite(LABELS + keys).tasks[0].load("train")
    assert says(error, expected, got, fix)


def test_a_test_label_that_train_lacks(suite: Callable[[str], Suite], folder: Path) -> None:
    write(folder / "test.parquet", [2], label=["newt"])
    with pytest.raises(BenchError) as error:
        suite(LABELS).tasks[0].load("test")
    assert says(error, "a known class as label in d/test.parquet row 0", "'newt'", "`classnames`")


def test_missing_column(suite: Callable[[str], Suite], folder: Path) -> None:
    with pytest.raises(BenchError) as error:
        suite(PAIRS.replace('"captions"', '"caption"')).tasks[0].load("train")
    got = "'captions', 'image', 'label'"
    assert says(error, "one column 'caption' in d/train.parquet", got, "'captions'")


def test_image_column_of_another_type(suite: Callable[[str], Suite], folder: Path) -> None:
    pq.write_table(pa.table({"image": [1, 2], "captions": ["a", "b"]}), folder / "train.parquet")
    with pytest.raises(BenchError) as error:
        suite(PAIRS).tasks[0].load("train")
    assert says(error, "in column 'image' of d/train.parquet", "type int64", "`image`")


@pytest.mark.parametrize("cell", [None, {"bytes": None, "path": None}])
def test_a_row_without_an_image(suite: Callable[[str], Suite], folder: Path, cell: Any) -> None:
    cells = [{"bytes": encoded(0), "path": "x"}, cell]
    pq.write_table(pa.table({"image": cells, "captions": ["a", "b"]}), folder / "train.parquet")
    with pytest.raises(BenchError) as error:
        suite(PAIRS).tasks[0].load("train")
    assert says(error, "an image in column 'image' in d/train.parquet row 1", "neither", "remove")


def test_missing_and_foreign_and_cut_parquet(suite: Callable[[str], Suite], folder: Path) -> None:
    path = folder / "train.parquet"
    raw = path.read_bytes()
    path.unlink()
    with pytest.raises(BenchError) as error:
        suite(PAIRS).tasks[0].load("train")
    assert says(error, "train.parquet", "no file", "correct the path")
    assert error.value.code == 4
    for content in (b"image,captions\n", raw[:-20], b""):
        path.write_bytes(content)
        with pytest.raises(BenchError) as error:
            suite(PAIRS).tasks[0].load("train")
        assert says(error, "a readable parquet file d/train.parquet", "'", "write the file again")


def test_empty_table_and_empty_part(suite: Callable[[str], Suite], folder: Path) -> None:
    whole = pq.read_table(folder / "train.parquet")
    pq.write_table(whole.slice(0, 0), folder / "train.parquet")
    with pytest.raises(BenchError) as error:
        suite(PAIRS).tasks[0].load("train")
    assert says(error, "images in d/train.parquet", "none", "add rows")
    pq.write_table(whole.slice(0, 1), folder / "all.parquet")
    with pytest.raises(BenchError) as error:
        suite(DATA + HALF).tasks[0].load("train")
    assert says(error, "at least one image in each part", "1 image(s)", "add images")
    write(folder / "all.parquet", [1, 2], captions=["a", "b"], part=["train", "tset"])
    with pytest.raises(BenchError) as error:
        suite(DATA + 'split = { column = "part" }\n').tasks[0].load("test")
    assert says(error, "'test' among the values of column 'part'", "'train', 'tset'", "split.test")


CSV_ERRORS = {
    "no-header": ("0.png,a cat\n1.png,b\n", "a header line", "'0.png,a cat'", "column names"),
    "empty": ("", "a header line", "first line ''", "column names"),
    "column": ("image,text\n0.png,a\n", "one column 'caption'", "'image', 'text'", "suite file"),
    "fields": ("image,caption\n0.png,a, b\n", "2 fields in d/t.csv line 2", "3", "quotes"),
    "quote": ('image,caption\n0.png,"a\n', "CSV in d/t.csv", "unexpected end", "quotes"),
    "no-file": ("image,caption\nx.png,a\n", "image file in d/t.csv line 2", "'x.png'", "correct"),
    "no-path": ("image,caption\n,a\n", "an image in column 'image'", "neither", "remove the row"),
    "blank": ("image,caption\n0.png,\n1.png,a\n", "caption of text in d/t.csv line 2", "blank", ""),
    "latin": ("image,caption\n0.png,\xe9\n", "UTF-8 text in d/t.csv", "byte 20", "as UTF-8"),
}


@pytest.mark.parametrize("case", CSV_ERRORS)
def test_bad_csv(suite: Callable[[str], Suite], folder: Path, case: str) -> None:
    text, expected, got, fix = CSV_ERRORS[case]
    (folder / "t.csv").write_text(text, encoding="latin-1")
    task = suite(TABLE + HALF).tasks[0]
    with pytest.raises(BenchError) as error:
        _ = task.load("train"), task.load("test")
    assert says(error, expected, got, fix)


JSONL_ERRORS = {
    "syntax": ('{"image": 1', "JSON in d/t.jsonl line 2", "'", "mend the line"),
    "list": ("[1]", "a JSON object in d/t.jsonl line 2", "a list", "one object per line"),
    "key": ('{"image": "0.png"}', "one column 'caption' in d/t.jsonl line 2", "'image'", ""),
    "null": ('{"image": null, "caption": "a"}', "an image in", "neither", "remove the row"),
    "number": ('{"image": 3, "caption": "a"}', "an image in", "3", "remove the row"),
    "long": (
        '{"image": "%s", "caption": "a"}' % ("words " * 99),
        "an image file in d/t.jsonl line 2",
        "words",
        "correct the path",
    ),
    "half": (
        r'{"image": "1.png", "caption": ["a", "b \ud83d"]}',
        "whole characters in d/t.jsonl line 2",
        r"'\ud83d'",
        "mend the text",
    ),
    "half-path": (r'{"image": "\udc00", "caption": "a"}', "whole characters", r"'\udc00'", "mend"),
}


def test_whole_pairs_of_surrogates_are_characters(
    suite: Callable[[str], Suite], folder: Path
) -> None:
    rows = [r'{"image": "0.png", "caption": "\ud83d\ude00", "x": "\ud83d"}', '{"image": "1.png"']
    (folder / "t.jsonl").write_text(rows[0] + "\n" + rows[1] + ', "caption": "\\ud83d\\ude00"}')
    split = suite(TABLE.replace("csv", "jsonl") + HALF).tasks[0].load("train")
    assert isinstance(split, Pairs)
    assert split.captions == (("\U0001f600",),)


def test_half_a_character_as_a_label(suite: Callable[[str], Suite], folder: Path) -> None:
    (folder / "t.jsonl").write_text(r'{"image": "0.png", "caption": "\ud83d"}')
    with pytest.raises(BenchError) as error:
        suite(TABLE.replace("csv", "jsonl").replace("captions", "label") + HALF).tasks[0].load(
            "test"
        )
    assert says(error, "whole characters in d/t.jsonl line 1", r"'\ud83d'", "mend the text")


def test_text_in_a_parquet_that_is_not_utf8(suite: Callable[[str], Suite], folder: Path) -> None:
    raw = pa.array([b"a", b"\xed\xa0\xbd"])
    texts = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    table = pa.table({"image": [encoded(0), encoded(1)], "captions": texts})
    pq.write_table(table, folder / "train.parquet")
    with pytest.raises(BenchError) as error:
        suite(PAIRS).tasks[0].load("train")
    assert says(error, "a readable parquet file d/train.parquet", "utf-8", "write the file again")


@pytest.mark.parametrize("case", JSONL_ERRORS)
def test_bad_jsonl(suite: Callable[[str], Suite], folder: Path, case: str) -> None:
    line, expected, got, fix = JSONL_ERRORS[case]
    (folder / "t.jsonl").write_text('{"image": "0.png", "caption": "a"}\n' + line)
    with pytest.raises(BenchError) as error:
        suite(TABLE.replace("csv", "jsonl") + HALF).tasks[0].load("train")
    assert says(error, expected, got, fix)


def test_contradicting_rows_of_one_image(suite: Callable[[str], Suite], folder: Path) -> None:
    write(folder / "all.parquet", [1, 2], captions=["a", "b"], k=[5, 5], part=["train", "test"])
    with pytest.raises(BenchError) as error:
        suite(DATA + 'id = "k"\n' + HALF).tasks[0].load("train")
    assert says(error, "one picture per id", "row 0 (id '5') and d/all.parquet row 1", "own id")
    with pytest.raises(BenchError) as error:
        suite(DATA + 'id = "k"\nsplit = { column = "part" }\n').tasks[0].load("train")
    assert says(error, "one split value per image", "'train' in", "the same value")
    (folder / "t.csv").write_text("image,caption\n0.png,cat\n0.png,dog\n1.png,cat\n")
    with pytest.raises(BenchError) as error:
        suite(TABLE.replace("captions =", "label =") + HALF).tasks[0].load("train")
    assert says(error, "one label per image in d/t.csv line 2", "['cat', 'dog']", "one row")


def test_an_id_or_a_path_in_both_files(suite: Callable[[str], Suite], folder: Path) -> None:
    write(folder / "train.parquet", [1, 2], captions=["a", "b"], k=["p", "q"])
    write(folder / "test.parquet", [3], captions=["c"], k=["q"])
    with pytest.raises(BenchError) as error:
        suite(PAIRS + 'id = "k"\n').tasks[0].load("train")
    assert says(error, "separate training and test", "d/train.parquet row 1 (id 'q')", "remove it")
    assert suite(PAIRS).tasks[0].load("test").images.size == 1
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("image,caption\n0.png,x\n")
    toml = TABLE.replace("table =", 'train_table = "a.csv"\ntest_table =').replace("t.csv", "b.csv")
    with pytest.raises(BenchError) as error:
        suite(toml).tasks[0].load("test")
    assert says(error, "separate training and test", "d/a.csv line 2 and in d/b.csv", "remove it")


def named(path: Path, greys: list[int], names: list[str | None], **columns: list[Any]) -> None:
    """A parquet file of grey images whose bytes carry a path."""
    pairs = zip(greys, names, strict=True)
    cells = [{"bytes": encoded(value), "path": name} for value, name in pairs]
    texts = [f"text {i}" for i in range(len(greys))]
    pq.write_table(pa.table({"image": cells, "captions": texts, **columns}), path)


def test_a_file_name_in_both_files(suite: Callable[[str], Suite], folder: Path) -> None:
    """Bare names may repeat in two folders; with the same bytes it is the same file."""
    named(folder / "train.parquet", [1, 2], ["0.png", "1.png"], k=["p", "q"])
    named(folder / "test.parquet", [3, 4], ["0.png", "1.png"], k=["r", "s"])
    for toml in (PAIRS, PAIRS + 'id = "k"\n'):
        assert suite(toml).tasks[0].load("test").images.size == 2
    named(folder / "test.parquet", [3, 2], ["0.png", "1.png"], k=["r", "s"])
    for toml in (PAIRS, PAIRS + 'id = "k"\n'):
        with pytest.raises(BenchError) as error:
            suite(toml).tasks[0].load("train")
        assert says(error, "separate training and test", "d/train.parquet row 1", "remove it")


@pytest.mark.parametrize("ids", [False, True])
def test_single_equal_bytes_in_given_files_pass(
    suite: Callable[[str], Suite], folder: Path, ids: bool
) -> None:
    toml = PAIRS + ('id = "k"\n' if ids else "")
    named(folder / "train.parquet", [1, 2, 2], [None] * 3, k=["p", "q", "r"])
    named(folder / "test.parquet", [2, 3], [None] * 2, k=["s", "t"])
    assert suite(toml).tasks[0].load("test").images.size == 2


def test_a_test_file_of_nothing_but_training_images(
    suite: Callable[[str], Suite], folder: Path
) -> None:
    named(folder / "train.parquet", [1, 2, 3], [None] * 3)
    named(folder / "test.parquet", [3, 2], [None] * 2)
    with pytest.raises(BenchError) as error:
        suite(PAIRS).tasks[0].load("train")
    got = "d/train.parquet row 2 and in d/test.parquet row 0"
    assert says(error, "separate training and test images of 'a'", got, "remove it")


def test_a_path_under_two_ids(suite: Callable[[str], Suite], folder: Path) -> None:
    """COCO's `id` tells captions apart, not images."""
    rows = [{"image": f"{i // 2}.png", "caption": "a", "key": i, "part": i % 2} for i in range(6)]
    (folder / "t.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    toml = TABLE.replace("csv", "jsonl") + 'id = "key"\n'
    column = 'split = { column = "part", train = [0], test = [1] }\n'
    for split in (HALF, column):
        with pytest.raises(BenchError) as error:
            suite(toml + split).tasks[0].load("train")
        got = "d/t.jsonl line 1 (id '0') and in d/t.jsonl line 2 (id '1')"
        assert says(error, "one id for all rows of a picture", got, "give both one id")
    named(folder / "all.parquet", [1, 1, 2], ["x.png", "x.png", "y.png"], key=[0, 1, 2])
    with pytest.raises(BenchError) as error:
        suite(DATA + 'id = "key"\n' + HALF).tasks[0].load("test")
    assert says(error, "one id for all rows of a picture", "row 0 (id '0')", "give both one id")
    for name, kept in (("a.jsonl", rows[::2]), ("b.jsonl", rows[1::2])):
        (folder / name).write_text("\n".join(json.dumps(row) for row in kept))
    two = TABLE.replace("table =", 'train_table = "a.jsonl"\ntest_table =') + 'id = "key"\n'
    with pytest.raises(BenchError) as error:
        suite(two.replace("t.csv", "b.jsonl")).tasks[0].load("train")
    assert says(error, "separate training and test", "d/a.jsonl line 1 (id '0')", "remove it")


def test_copies_on_one_side_of_a_split_column(suite: Callable[[str], Suite], folder: Path) -> None:
    column = 'split = { column = "part", train = ["train", "val"] }\n'
    greys, parts = [1, 1, 1, 2], ["other", "train", "val", "test"]
    named(folder / "all.parquet", greys, [None] * 4, part=parts)
    assert suite(DATA + column).tasks[0].load("train").images.size == 2
    named(folder / "all.parquet", [*greys, 1], [None] * 5, part=[*parts, "test"])
    with pytest.raises(BenchError) as error:
        suite(DATA + column).tasks[0].load("train")
    assert says(error, "one id", "row 1 and in d/all.parquet row 4", "give both one id")


def test_equal_bytes_where_a_fraction_divides(suite: Callable[[str], Suite], folder: Path) -> None:
    named(folder / "all.parquet", [1, 2, 3, 2], [None] * 4, k=[1, 2, 3, 4], shared=[1, 2, 3, 2])
    for seed in range(6):
        with pytest.raises(BenchError) as error:
            suite(DATA + f"split = {{ test = 0.5, seed = {seed} }}\n").tasks[0].load("train")
        assert says(error, "one id", "row 1 and in d/all.parquet row 3", "give both one id")
    shared = suite(DATA + 'id = "shared"\n' + HALF).tasks[0]
    assert shared.load("train").images.size + shared.load("test").images.size == 3
    # An id, or a path, is the user's word that two equal pictures are two.
    apart = suite(DATA + 'id = "k"\n' + HALF).tasks[0]
    assert apart.load("train").images.size + apart.load("test").images.size == 4


def test_an_empty_id(suite: Callable[[str], Suite], folder: Path) -> None:
    write(folder / "train.parquet", [1, 2], captions=["a", "b"], k=["p", None])
    with pytest.raises(BenchError) as error:
        suite(PAIRS + 'id = "k"\n').tasks[0].load("train")
    assert says(error, "an id in column 'k' in d/train.parquet row 1", "empty cell", "fill it in")


def test_captions_and_crops_are_settings_of_the_recipe(suite: Callable[[str], Suite]) -> None:
    """Said in a record only where they are not the usual, and by `ls` likewise."""
    recipe = suite(PAIRS + '[recipe]\ncaption_sampling = "all"\ncrops = "random"\n').recipe
    assert (recipe.caption_sampling, recipe.crops) == ("all", "random")
    assert recipe.asked() == RECIPE.asked() | {"caption_sampling": "all", "crops": "random"}
    assert suite(PAIRS).recipe == RECIPE
    for key, known in (("caption_sampling", '"random", "all"'), ("crops", '"none", "random"')):
        with pytest.raises(BenchError, match=f"`{key}` of {known} in"):
            suite(PAIRS + f'[recipe]\n{key} = "some"\n')


def test_labels_have_no_captions_to_sample(suite: Callable[[str], Suite]) -> None:
    with pytest.raises(BenchError, match=r"captions where `caption_sampling` is all.*labels"):
        suite(LABELS + '[recipe]\ncaption_sampling = "all"\n')
    assert suite(LABELS + '[recipe]\ncrops = "random"\n').recipe.crops == "random"


def test_recipes_are_listed_with_what_training_sees() -> None:
    from benchmark.cli.listing import _views

    assert _views(RECIPE) == ""
    both = replace(RECIPE, caption_sampling="all", crops="random")
    assert _views(both) == ", every caption in an epoch, random crops of 0.9 to 1"
