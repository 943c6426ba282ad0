"""`cl-bench data stats --across`: from a suite to counts, their file, and the pages on it."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clouds import picture
from PIL import Image
from preparing import served
from synthetic import build_tables, check_tables
from typer.testing import CliRunner, Result

from benchmark.backbones.known import image_side
from benchmark.cli.data.jobs import Options
from benchmark.cli.data.prepare import prepare_all
from benchmark.cli.main import app
from benchmark.errors import BenchError
from benchmark.records.overlap import (
    SharedCounts,
    SplitSize,
    SuiteOverlap,
    overlap_file,
    overlap_line,
    read_overlap,
    read_overlaps,
    write_overlap,
)
from benchmark.suites import published
from benchmark.suites.find import find_suite
from benchmark.suites.names import EMBEDDED, PUBLISHED
from benchmark.tables.writers.overlap_page import render_overlap_page

ROOT = Path(__file__).parents[2]
TOML = """name = "own"
[[task]]
name = "a"
train = "a-train.parquet"
test = "a-test.parquet"
captions = "captions"
[[held_out]]
name = "b"
test = "b-test.parquet"
captions = "captions"
"""


def across(*words: Any) -> Result:
    return CliRunner().invoke(app, ["data", "stats", "--across", *map(str, words)])


def refused(*words: Any) -> BenchError:
    done = across(*words)
    assert isinstance(done.exception, BenchError), done.output
    assert "\n" not in str(done.exception)
    return done.exception


def png(image: Image.Image) -> bytes:
    return stored(image, "PNG")


def stored(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def table(path: Path, *rows: tuple[bytes, str]) -> None:
    images = [{"bytes": raw, "path": None} for raw, _ in rows]
    pq.write_table(pa.table({"image": images, "captions": [text for _, text in rows]}), path)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two sets: one picture of equal bytes, one stored as JPEG at another size, one mirrored."""
    monkeypatch.chdir(tmp_path)
    a, b, c, d = (picture(seed) for seed in range(4))
    (tmp_path / "own.toml").write_text(TOML)
    table(tmp_path / "a-train.parquet", (png(a), "A dog"), (png(b), "one"), (png(c), "two"))
    table(tmp_path / "a-test.parquet", (png(d), "three"), (png(picture(9)), "ONE"))
    table(
        tmp_path / "b-test.parquet",
        (png(a), "a  DOG"),
        (stored(b.resize((160, 160)), "JPEG", quality=70), "four"),
        (png(c.transpose(Image.Transpose.FLIP_LEFT_RIGHT)), "five"),
    )
    return tmp_path


def test_an_own_suite(own: Path) -> None:
    words = ("own.toml", "--cache-dir", own / "cache", "--display", "none")
    done = across(*words, "--write")
    assert done.exit_code == 0, done.output
    found = read_overlap(own / "results" / "own" / "overlap.json")
    assert found.pairs == (
        SharedCounts(0, 1, None, (0, 0), (0, 0), (1, 1)),
        SharedCounts(0, 2, None, (1, 1), (1, 1), (1, 1)),
    )
    assert [(str(s), s.pictures, s.captions) for s in found.splits] == [
        ("a train", 3, 3), ("a test", 2, 2), ("b test", 3, 3),
    ]  # fmt: skip
    assert found.silent == 1
    assert "other splits: none" in done.output
    written = (own / "results" / "own" / "overlap.json").read_bytes()
    again = across(*words, "--write")
    assert again.output == done.output
    assert (own / "results" / "own" / "overlap.json").read_bytes() == written
    quiet = across(*words)  # nothing is written unless it is asked for
    assert quiet.output == done.output[: len(quiet.output) - 1] + "\n"


def test_mistakes_are_one_sentence(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "did you mean 'mini'" in refused("mino").fix
    assert refused("nothing.toml").code == 4
    unprepared = refused("retrieval", "--cache-dir", own / "cache")
    assert unprepared.code == 4
    assert "cl-bench data prepare retrieval" in unprepared.fix
    assert refused("mini", "flickr30k").got == "'flickr30k' beside it"
    assert refused("mini", "--side", 4).got == "4"
    alone = CliRunner().invoke(app, ["data", "stats", "--write"])
    assert "--across beside --write" in str(alone.exception)
    monkeypatch.setitem(__import__("sys").modules, "imagehash", None)
    missing = refused("own.toml", "--cache-dir", own / "cache")
    assert "pip install 'cl-bench[overlap]'" in missing.fix


def test_published_sets_know_their_bytes(hub, place, tmp_path, monkeypatch) -> None:
    """The pictures of one set twice, as task and as held-out set under another name."""
    monkeypatch.chdir(tmp_path)
    served(hub, place, "mnist", "sketch")
    side = image_side("tiny-s")
    assert prepare_all(["mnist", "sketch"], Options(side=side, yes=True), "none") == 0
    retrieval, mtil = published.retrieval, published.mtil

    def cut(at):
        tasks = tuple(d for d in retrieval(at).tasks if d.name == "sketch")
        digits = tuple(d for d in mtil(at).tasks if d.name == "mnist")
        twin = replace(digits[0], name="twin")
        places = tuple(d for d in mtil(at).held_out if d.name == "places365")
        return replace(retrieval(at), tasks=tasks + digits, held_out=(twin, *places))

    monkeypatch.setitem(published.BUILDERS, "retrieval", cut)
    done = across("retrieval", "--side", side, "--display", "none", "--write")
    assert done.exit_code == 0, done.output
    found = read_overlap(tmp_path / "results" / "retrieval" / "overlap.json")
    names = [str(split) for split in found.splits]
    assert names == ["sketch train", "sketch test", "mnist train", "mnist test", "twin test"]
    assert found.left_out == ("places365",)
    assert "not prepared and left out: places365" in done.output
    n = found.splits[4].pictures
    (twins,) = (p for p in found.pairs if (p.left, p.right) == (3, 4))
    assert (twins.encoded, twins.pixels, twins.near) == ((n, n), (n, n), (0, 0))
    assert twins.captions is None
    assert twins in found.others()
    unprepared = refused("retrieval", "--side", side + 8)
    assert f"{side + 8} px" in str(unprepared)


# -- the file and the pages


SPLITS = (
    SplitSize("a", "train", 9, 1, None, 2, 3, 0),
    SplitSize("a", "test", 8, 0, None, 1, 2, 0),
    SplitSize("reference", "reference", 7, 0, 70, 0, 0, 4),
    SplitSize("b", "test", 6, 0, 60, 0, 0, 5),
)
PAIRS = (
    SharedCounts(0, 1, None, (2, 1), (3, 2), None),
    SharedCounts(0, 2, None, (1, 1), (0, 0), None),
    SharedCounts(2, 3, (0, 0), (0, 0), (0, 0), (4, 5)),
)
FOUND = SuiteOverlap("mini", "1.0", 48, "hash", SPLITS, (), PAIRS)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_overlap(write_overlap(tmp_path, FOUND)) == FOUND
    assert read_overlaps(tmp_path) == {"mini": FOUND}
    assert [p.left for p in FOUND.leaks()] == [0, 2]
    assert len(FOUND.others()) == 1
    assert FOUND.silent == 3


@pytest.mark.parametrize(
    "change",
    [
        {"form": 2}, {"form": None}, {"pairs": [{"left": 0}]}, {"splits": 3}, {"extra": 1},
        {"pairs": [{"left": 1, "right": 0, "encoded": None, "pixels": [1, 1], "near": [0, 0],
                    "captions": None}]},
        {"pairs": [{"left": 0, "right": 1, "encoded": None, "pixels": [1], "near": [0, 0],
                    "captions": None}]},
    ],
)  # fmt: skip
def test_another_text_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write_overlap(tmp_path, FOUND)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BenchError, match="cl-bench data stats --across mini --write") as caught:
        read_overlap(path)
    assert caught.value.code == 5
    path.write_bytes(b"\xff{")
    with pytest.raises(BenchError):
        read_overlaps(tmp_path)


def test_a_line_counts_test_data_once() -> None:
    assert overlap_line(FOUND) == (
        "Of the test data, 1 picture is in the training data too, 2 further ones are nearly equal "
        "to one there, and 5 captions are the text of one there"
    )


def test_the_page_has_every_suite_of_the_package_and_says_what_was_not_measured() -> None:
    text = render_overlap_page({"mini": FOUND, "zoo": replace(FOUND, suite="zoo")})
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads == [
        "## mini 1.0", *(f"## {name}" for name in (*EMBEDDED[1:], *PUBLISHED)), "## zoo 1.0",
    ]  # fmt: skip
    assert text.count("Not measured by the project yet") == len(EMBEDDED[1:] + PUBLISHED)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["a train", "a test", "–", "2 / 1", "3 / 2", "–"] in rows  # noqa: RUF001 - a table's dash
    assert ["reference", "b test", "0 / 0", "0 / 0", "0 / 0", "4 / 5"] in rows
    assert "FS-COCO" in text


def test_tables_follow_the_file_and_no_more(tmp_path: Path) -> None:
    results, out, board = tmp_path / "results", tmp_path / "tables", tmp_path / "leaderboard.md"
    write_overlap(results, FOUND)
    build_tables(results, out, board)
    assert check_tables(results, out, board).stale == []
    write_overlap(results, replace(FOUND, pairs=()))
    assert [path.name for path in check_tables(results, out, board).stale] == ["overlap.md"]


def test_the_leaderboard_and_ls_say_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "leaderboard.md").read_text()
    listed = CliRunner().invoke(app, ["ls"]).output
    for name in (one for one in EMBEDDED if not find_suite(one).alone):  # no ranks, no section
        line = overlap_line(read_overlap(overlap_file(ROOT / "results", name)))
        if any((ROOT / "results" / name).glob("*.parquet")):  # else the board has no section of it
            assert f"{line} ([sets that overlap](tables/overlap.md))." in text
        assert line[1:] in listed
    assert "not measured here: cl-bench data stats --across retrieval" in listed


@pytest.mark.slow
@pytest.mark.parametrize("name", EMBEDDED)
def test_what_is_committed_is_what_the_suite_has(
    name: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert across(name, "--cache-dir", cache, "--display", "none", "--write").exit_code == 0
    mine = read_overlap(overlap_file(tmp_path / "results", name))
    theirs = read_overlap(overlap_file(ROOT / "results", name))
    assert replace(mine, method="") == replace(theirs, method="")
