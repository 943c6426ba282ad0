"""The embedded suite as declared: sizes, captions, disjoint parts, and what its backbone knows."""

import hashlib
import json
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from split_images import image_source

from benchmark.common.digests import digest
from benchmark.data.split import Labelled, Pairs, Split
from benchmark.suites.find import find_suite
from benchmark.suites.names import SplitName

GOLDEN = Path(__file__).parents[1] / "golden" / "mini-captions.json"
SUITE = find_suite("mini")
TASKS = ("photos", "gen-art", "products", "paintings", "cartoons", "sketches", "scans")
DATASETS = {d.name: d for d in (*SUITE.tasks, *SUITE.held_out)}
PARTS: list[tuple[str, SplitName]] = [(d.name, "train") for d in SUITE.tasks]
PARTS += [(d.name, "test") for d in SUITE.tasks]
PARTS += [(d.name, "test") for d in SUITE.held_out]


@cache
def split(name: str, part: SplitName) -> Split:
    return DATASETS[name].load(part)


def pairs(name: str, part: SplitName) -> Pairs:
    found = split(name, part)
    assert isinstance(found, Pairs)
    return found


def words(name: str, part: SplitName) -> str:
    """sha256 of all that a split says: captions in order, or labels with class names."""
    found = split(name, part)
    if isinstance(found, Labelled):
        labels = [str(label) for label in found.labels.tolist()]
        return digest([*found.classnames, *found.templates, *labels])
    return digest(c for texts in found.captions for c in (str(len(texts)), *texts))


def test_seven_tasks_in_order_and_four_held_out_sets() -> None:
    assert tuple(d.name for d in SUITE.tasks) == TASKS
    kinds = [type(split(d.name, "test")) for d in SUITE.held_out]
    assert kinds.count(Pairs) >= 2
    assert kinds.count(Labelled) >= 2
    assert len(DATASETS) == len(SUITE.tasks) + len(SUITE.held_out)
    titles = [d.title for d in DATASETS.values()]
    assert len(set(titles)) == len(titles)
    assert all(d.licence and d.citation for d in DATASETS.values())
    assert (SUITE.backbone, SUITE.pretrained, SUITE.version) == ("tiny-s", "bundled", "1.1")


@pytest.mark.parametrize("name", TASKS)
def test_sizes_and_captions_of_tasks(name: str) -> None:
    train, test = pairs(name, "train"), pairs(name, "test")
    assert len(train.captions) == train.images.size >= 400
    assert len(test.captions) == test.images.size >= 200
    each = 5 if name == "photos" else 1
    assert {len(texts) for part in (train, test) for texts in part.captions} == {each}


@pytest.mark.parametrize("name", [d for d in DATASETS if isinstance(split(d, "test"), Pairs)])
def test_no_caption_twice_in_a_test_set(name: str) -> None:
    flat = [caption for texts in pairs(name, "test").captions for caption in texts]
    assert len(set(flat)) == len(flat)


@pytest.mark.parametrize("name", TASKS)
def test_train_and_test_share_no_picture(name: str) -> None:
    """A sample of the training images against all test images: rendering all takes too long."""
    train, test = image_source(pairs(name, "train")), image_source(pairs(name, "test"))
    seen = {hashlib.sha256(test.open(i).tobytes()).digest() for i in range(test.size)}
    assert len(seen) == test.size
    mine = {hashlib.sha256(train.open(i).tobytes()).digest() for i in range(0, train.size, 4)}
    assert not mine & seen
    assert len(mine) == -(-train.size // 4)


def test_the_reference_data_is_of_no_task() -> None:
    assert SUITE.reference is not None
    reference = SUITE.reference.load("train")
    assert isinstance(reference, Pairs)
    said = {texts for texts in reference.captions}
    for part in ("train", "test"):
        assert not said & set(pairs("photos", part).captions)


def test_captions_are_those_of_the_version() -> None:
    """A change here makes old records incomparable: raise the suite's version with the file."""
    golden = json.loads(GOLDEN.read_text())
    assert golden["version"] == SUITE.version
    assert golden["splits"] == {f"{name} {part}": words(name, part) for name, part in PARTS}


@pytest.mark.slow
def test_zero_shot_recall_falls_along_the_forward_order(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    from benchmark.cli.display import Display
    from benchmark.run.inputs import open_inputs
    from benchmark.run.request import Request, make_plan

    request = Request("zs", order="measured", evals="id", device="cpu",
                      cache_dir=tmp_path_factory.mktemp("cache"))  # fmt: skip
    bench = open_inputs(make_plan(request), Display(quiet=True))
    recall = [bench.measured[name] for name in TASKS]
    assert recall[0] >= 0.5, recall
    assert recall[-1] <= 0.1, recall
    assert all(before > after for before, after in pairwise(recall)), recall
    assert bench.order == TASKS
