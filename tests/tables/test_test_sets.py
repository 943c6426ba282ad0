"""A paper's number stands beside ours only where both tests have as many images."""

import csv
import io
from pathlib import Path

import pytest
from synthetic import Row, build, make_rows, save

from benchmark.suites.find import find_suite
from benchmark.tables.paper import zero_shot as facts
from benchmark.tables.paper.test_sets import TestSets, paper_images
from benchmark.tables.spec import FEW_SHOT_TABLES, TABLES

# methods-classification of the field: CoOp's test lists, and the hub's splits of the same sets.
COOP = {
    "aircraft": 3333, "caltech101": 2465, "dtd": 1692, "eurosat": 8100, "flowers102": 2463,
    "food101": 30300, "mnist": 10000, "oxford-pets": 3669, "stanford-cars": 8041, "sun397": 19850,
}  # fmt: skip
HUB = {**COOP, "caltech101": 6084, "dtd": 1880, "eurosat": 5400, "flowers102": 6149,
       "food101": 25250}  # fmt: skip
OTHER = {name for name in COOP if COOP[name] != HUB[name]}


def rows(suite: str, sizes: dict[str, int]) -> list[Row]:
    more = {"backbone": "ViT-B-16-quickgelu", "pretrained": "openai", "label_space": "union"}
    tasks = dict.fromkeys(list(sizes)[::-1], "labelled")
    made = make_rows(suite, tasks, "zs", "forward", 0, {}, uses="", **more)
    for row in made:
        size = sizes[row["eval_task"]]
        row.update(hits=size // 2, n_queries=size, value=(size // 2) / size)
    return made


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("sizes")
    for suite, sizes in (("xtail", HUB), ("xtail-coop", COOP)):
        save(folder / "r", rows(suite, sizes), evidence=False)
    return build(folder / "r", folder)


def lines(text: str, **wanted: str) -> list[dict[str, str]]:
    return [x for x in csv.DictReader(io.StringIO(text)) if wanted.items() <= x.items()]


def test_only_the_sets_of_one_size_are_compared(texts: dict[str, str]) -> None:
    table = texts["codyra-table-1.csv"]
    for suite, beside in (("xtail", set(COOP) - OTHER), ("xtail-coop", {*COOP, "average"})):
        found = lines(table, source="measured", suite=suite, metric="acc")
        assert {x["dataset"] for x in found if x["paper"]} == beside


def test_a_mark_and_both_sizes_in_every_format(texts: dict[str, str]) -> None:
    printed = lines(texts["codyra-table-1.csv"], source="paper", metric="acc", method="codyra")
    assert {x["dataset"] for x in printed if "other test images" in x["note"]} == {
        *OTHER, "average"
    }  # fmt: skip
    (caltech,) = (x["note"] for x in printed if x["dataset"] == "caltech101")
    assert "Caltech101 2,465 in the paper, 6,084 in xtail" in caltech
    assert "xtail-coop" not in caltech
    for kind, mark in (("md", "Caltech101 §"), ("tex", r"Caltech101 \S{}")):
        text = texts[f"codyra-table-1.{kind}"]
        assert mark in text
        assert "Food 30,300 in the paper, 25,250 in xtail" in text
        assert "MNIST §" not in text
    assert "average" not in {x["dataset"] for x in lines(texts["codyra-table-5.csv"], suite="xtail")
                             if x["source"] == "measured" and x["paper"]}  # fmt: skip


def test_without_records_the_declared_sizes_count() -> None:
    spec = FEW_SHOT_TABLES[0]
    sets = TestSets(spec, [])
    for suite, sizes in (("xtail", HUB), ("xtail-coop", COOP)):
        assert {name: sets.ours(suite, name) for name in COOP} == sizes
        assert {name for name in COOP if sets.differing(suite, [name])} == (
            OTHER if suite == "xtail" else set()
        )
    assert sets.ours("mini", "photos") is None
    declared = {d.name: d.test_images for d in find_suite("retrieval").datasets}
    assert declared["coco"] == 5000
    assert declared["domainnet-real"] is None  # of all domains together the rows are declared


def test_sizes_that_nobody_knows_are_said_to_be_unknown(texts: dict[str, str]) -> None:
    assert paper_images("dar", 1, "flickr30k") is None
    assert "How many test images the paper has is not known of: Flickr," in texts["table-1.md"]
    assert not TestSets(TABLES[0], []).differing("retrieval", ["flickr30k"])


@pytest.mark.parametrize(("dataset", "images"), [("caltech101", 1736), ("sun397", 21751)])
def test_mtil_is_zscl_s(dataset: str, images: int) -> None:
    assert paper_images("codyra", 2, dataset) == images
    (words,) = TestSets(FEW_SHOT_TABLES[1], []).differing("mtil", [dataset])
    assert f"{images:,} in the paper" in words


def test_every_known_size_has_a_source() -> None:
    path = Path(facts.__file__).with_name("zero_shot_facts.csv")
    with path.open(newline="", encoding="utf-8") as file:
        known = [row for row in csv.DictReader(file) if row["images"]]
    assert known
    assert all(row["source"] and int(row["images"]) > 0 for row in known)
