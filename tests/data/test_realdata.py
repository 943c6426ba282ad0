"""The real images and texts of ../shared/realdata load as a user's own suite."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from split_images import image_source

from benchmark.data.split import Labelled, Pairs
from benchmark.errors import BenchError
from benchmark.suites.custom import read_suite
from benchmark.suites.names import SplitName
from benchmark.suites.suite import Suite

REALDATA = Path(__file__).parents[3] / "shared" / "realdata"
pytestmark = pytest.mark.skipif(
    not REALDATA.is_dir(), reason="no ../shared/realdata beside this checkout"
)

# Folder -> (train images, test images, captions per image or classes), as in its README.
PAIRS = {
    "photos": (1100, 400, 1),
    "ai-art": (602, 300, 1),
    "exercise": (593, 280, 1),
    "aerial": (900, 300, 5),
    "emoji": (1145, 400, 1),
    "pixel-art": (1000, 400, 1),
    "charts": (164, 80, 1),
}
LABELLED = {
    "labelled-eurosat": (400, 600, 10),
    "labelled-caltech101": (1600, 800, 100),
    "labelled-clothing": (400, 347, 10),
    "labelled-mnist": (400, 600, 10),
}
PARTS: tuple[SplitName, SplitName] = ("train", "test")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """All folders as one suite, whose rows are told apart by their ids."""
    lines = ['name = "real"']
    for name in [*PAIRS, *LABELLED]:
        lines += ["[[task]]", f'name = "{name}"', 'id = "id"']
        lines += [f"{part} = '{REALDATA / name / part}.parquet'" for part in PARTS]
        if name in PAIRS:
            lines.append('captions = "captions"')
        else:
            lines += ['label = "label"', f"classnames = '{REALDATA / name / 'classnames.txt'}'"]
    file = tmp_path_factory.mktemp("real") / "suite.toml"
    file.write_text("\n".join(lines))
    return read_suite(str(file))


def test_every_folder_is_covered() -> None:
    assert {p.name for p in REALDATA.iterdir() if p.is_dir()} == {*PAIRS, *LABELLED}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs(suite: Suite, name: str) -> None:
    task = next(t for t in suite.tasks if t.name == name)
    for part, size in zip(PARTS, PAIRS[name], strict=False):
        split = task.load(part)
        assert isinstance(split, Pairs)
        assert len(split.captions) == split.images.size == size
        assert {len(captions) for captions in split.captions} == {PAIRS[name][2]}
        sizes = {image_source(split).open(i).size for i in range(0, size, 40)}
        assert all(1 <= side <= 224 for pair in sizes for side in pair)


@pytest.mark.parametrize("name", LABELLED)
def test_labelled(suite: Suite, name: str) -> None:
    task = next(t for t in suite.tasks if t.name == name)
    for part, size in zip(PARTS, LABELLED[name], strict=False):
        split = task.load(part)
        assert isinstance(split, Labelled)
        assert split.labels.shape == (size,)
        assert split.images.size == size
        assert len(split.classnames) == LABELLED[name][2]
        assert image_source(split).open(size - 1).mode == "RGB"


@pytest.mark.parametrize("name", ["exercise", "pixel-art", "charts"])
def test_published_splits_with_some_equal_images_load_without_ids(
    tmp_path: Path, name: str
) -> None:
    parts = [pq.read_table(REALDATA / name / f"{part}.parquet") for part in PARTS]
    raws = [{cell["bytes"] for cell in part.column("image").to_pylist()} for part in parts]
    assert raws[0] & raws[1]
    head = f'name = "real"\n[[task]]\nname = "{name}"\ncaptions = "captions"\n'
    files = [f"{part} = '{REALDATA / name / part}.parquet'" for part in PARTS]
    (tmp_path / "given.toml").write_text(head + "\n".join(files))
    task = read_suite(str(tmp_path / "given.toml")).tasks[0]
    assert tuple(task.load(part).images.size for part in PARTS) == PAIRS[name][:2]
    pq.write_table(pa.concat_tables(parts), tmp_path / "all.parquet")
    rule = 'data = "all.parquet"\nsplit = { test = 0.2 }\n'
    (tmp_path / "rule.toml").write_text(head + rule)
    with pytest.raises(BenchError, match="one id for all rows of a picture"):
        read_suite(str(tmp_path / "rule.toml")).tasks[0].load("train")
    (tmp_path / "ids.toml").write_text(head + rule + 'id = "id"\n')
    task = read_suite(str(tmp_path / "ids.toml")).tasks[0]
    assert sum(task.load(part).images.size for part in PARTS) == sum(PAIRS[name][:2])


def test_train_and_test_have_different_content(suite: Suite) -> None:
    contents = [image_source(task.load(part)).content for task in suite.tasks for part in PARTS]
    assert len(set(contents)) == 2 * len(suite.tasks)


def test_long_texts_are_kept_whole(suite: Suite) -> None:
    task = next(t for t in suite.tasks if t.name == "exercise")
    split = task.load("train")
    assert isinstance(split, Pairs)
    stored = pq.read_table(REALDATA / "exercise" / "train.parquet").column("captions").to_pylist()
    assert [list(captions) for captions in split.captions] == [
        [caption.strip() for caption in captions] for captions in stored
    ]
    assert max(len(captions[0].split()) for captions in split.captions) == 199
