"""Declarations and class tables are consistent, before any hub is asked."""

import math
import re
from functools import partial
from itertools import chain
from typing import Any, cast

import pytest

from benchmark.data.catalog import CATALOG, declaration
from benchmark.data.catalog import templates as prompts
from benchmark.data.published.classes import match_classes
from benchmark.data.published.declare import (
    Folder,
    Fraction,
    Shots,
    Source,
    Whole,
    class_table,
    published_names,
)
from benchmark.data.published.store import identity
from benchmark.errors import BenchError
from benchmark.hub.client import COMMIT, matches
from benchmark.suites.find import find_suite
from benchmark.suites.names import Templates
from benchmark.suites.published import MTIL, MTIL_II, RETRIEVAL, XTAIL
from benchmark.suites.suite import Dataset

SOURCES = [(d, s) for d in CATALOG.values() for s in (d.source, *d.fallbacks)]
HUB = [(d, s) for d, s in SOURCES if isinstance(s, Source)]
OPEN = {  # whose full commit no public page has shown: the lock file has it after the first use
    "umaru97/flickr30k_train_val_test": "d775c63",
    "yuwan0/lexica-stable-diffusion-v1-5": "ae9d37e",
    "AterMors/wikiart_recaption": "eec5b3a",
    "Janak12/FlintstonesSV_Plus_Plus": "1fa338d",
    "eltorio/ROCOv2-radiology": "80ffeef",
    "nlphuji/flickr30k": "refs/convert/parquet",
    "HuggingFaceM4/NoCaps": "refs/convert/parquet",
}
SIZES = {
    "aircraft": 100, "caltech101": 102, "cifar100": 100, "dtd": 47, "eurosat": 10,
    "flowers102": 102, "food101": 101, "mnist": 10, "oxford-pets": 37, "stanford-cars": 196,
    "sun397": 397, "domainnet": 345, "places365": 365, "imagenet": 1000,
}  # fmt: skip


def loading(dataset: Dataset) -> dict[str, Any]:
    """What the rows of a published dataset are asked for with."""
    assert isinstance(dataset.load, partial)
    return dataset.load.keywords


@pytest.mark.parametrize(("declared", "source"), SOURCES)
def test_a_declaration_is_complete(declared, source) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", declared.name)
    assert declared.licence
    assert declared.citation
    assert (declared.classes is not None) == (declared.kind == "labelled")
    assert set(source.rows) == set(source.parts)
    assert all(n > 0 for n in source.rows.values())
    for rule in declared.splits.values():
        parts = (rule.part,) if isinstance(rule, Fraction) else rule.parts
        assert set(parts) <= set(declared.source.parts)
    if isinstance(source, Source):
        assert COMMIT.fullmatch(source.revision) or source.repo in OPEN
        assert source.repo.count("/") == 1


def test_what_is_not_pinned_in_full_is_known_by_name() -> None:
    found = {s.repo: s.revision for _, s in HUB if not COMMIT.fullmatch(s.revision)}
    assert found == OPEN


@pytest.mark.parametrize(
    ("name", "source", "rows"),
    [
        ("caltech101", 0, {"train": 3_060, "test": 6_084}),
        ("cifar100", 1, {"train": 50_000, "test": 10_000}),
        ("dtd", 1, {"train": 3_760, "test": 1_880}),
        ("eurosat", 1, {"train": 16_200, "test": 5_400}),
        ("food101", 1, {"train": 75_750, "test": 25_250}),
        ("mnist", 1, {"train": 60_000, "test": 10_000}),
        ("oxford-pets", 1, {"train": 3_680, "test": 3_669}),
        ("aircraft", 1, {"train": 3_334, "test": 3_333}),
    ],
)
def test_rows_of_the_copies_that_mteb_counted(name, source, rows) -> None:
    """`descriptive_stats` of embeddings-benchmark/mteb 2.26.24, of the pinned commits."""
    declared = declaration(name)
    of = (declared.source, *declared.fallbacks)[source]
    assert isinstance(of, Source)
    assert of.repo.startswith("mteb/")
    assert dict(of.rows) == rows
    assert "rows" not in of.unsure


def test_no_repository_is_declared_twice() -> None:
    repos = [(d.name, s.repo) for d, s in HUB]
    assert len(set(repos)) == len(repos)


def test_unknown_names_are_refused_with_a_near_one() -> None:
    with pytest.raises(BenchError, match="did you mean 'wikiart'"):
        declaration("wikiarts")


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_class_tables_have_the_known_sizes(name, size) -> None:
    table = class_table(name)
    assert len(table["source"]) == size
    for column, names in table.items():
        kept = [n for n in names if n]
        if name not in ("imagenet", "places365"):  # OpenAI's names, and MoRAM's, repeat
            assert len(set(kept)) == len(kept), column
        assert all(n == n.strip() for n in names)


def test_the_protocols_have_the_published_numbers_of_classes() -> None:
    xtail = [sum(map(bool, class_table(n)["xtail"])) for n in XTAIL]
    mtil = [sum(map(bool, class_table(n)["mtil"])) for n in MTIL]
    assert (len(XTAIL), sum(xtail)) == (10, 1_100)
    assert (len(MTIL), sum(mtil)) == (11, 1_201)


def test_imagenet_is_what_open_clip_has() -> None:
    import open_clip

    assert list(class_table("imagenet")["ood"]) == list(open_clip.IMAGENET_CLASSNAMES)
    theirs = [template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES]
    assert list(prompts.IMAGENET) == theirs


def test_templates_have_one_hole_and_the_published_counts() -> None:
    every = chain(
        prompts.IMAGENET, prompts.GENERIC, *prompts.XTAIL.values(), *prompts.MTIL.values(),
        *prompts.OOD.values(), *(t for s in prompts.SETS.values() for t in s.values()),
    )  # fmt: skip
    assert all(t.count("{}") == 1 and "{" not in t.replace("{}", "") for t in every)
    assert [len(prompts.MTIL[n]) for n in MTIL] == [2, 34, 18, 8, 3, 1, 1, 1, 1, 9, 2]
    assert set(prompts.XTAIL) == set(XTAIL)


def test_the_four_sets_of_templates() -> None:
    assert {kind: set(found) == set(MTIL) for kind, found in prompts.SETS.items()} == {
        "generic": True, "per-dataset": True, "first": True, "ensemble": True,
    }  # fmt: skip
    for suite, default in (("xtail", "per-dataset"), ("xtail-coop", "per-dataset"),
                           ("mtil", "first")):  # fmt: skip
        assert find_suite(suite).templates == default
        for chosen in (None, *prompts.SETS):
            found = find_suite(suite, templates=cast("Templates | None", chosen))
            own = prompts.SETS[chosen or default]
            assert {t.name: loading(t)["templates"] for t in found.tasks} == {
                t.name: own[t.name] for t in found.tasks
            }
            assert {loading(t)["templates"] for t in found.held_out} == {prompts.GENERIC}
    assert prompts.SETS["per-dataset"]["dtd"] == ("{} texture.",)
    assert prompts.SETS["ensemble"]["dtd"][0] == "a photo of a {} texture."
    assert prompts.SETS["first"]["stanford-cars"] == ("a photo of a {}, a type of car.",)
    assert {len(t) for t in prompts.SETS["per-dataset"].values()} == {1}


@pytest.mark.parametrize("name", SIZES)
def test_published_spellings_find_their_class(name) -> None:
    source = class_table(name)["source"]
    spelled = [n.upper().replace("_", " ").replace("-", " ") for n in source]
    assert match_classes(spelled, name, "here") == list(range(len(source)))


def test_other_orders_and_spellings_of_copies() -> None:
    assert match_classes(["Sea or Lake", "annual crop land"], "eurosat", "x") == [9, 0]
    cars = class_table("stanford-cars")["source"]
    year_first = [" ".join([n.split()[-1], *n.split()[:-1]]) for n in cars]
    assert match_classes(year_first[::-1], "stanford-cars", "x") == list(range(196))[::-1]
    sun = class_table("sun397")["source"]
    plain = [n[3:].replace("/", " ").replace("_", " ") for n in sun]
    assert match_classes(plain, "sun397", "x") == list(range(397))
    assert match_classes(["7 - seven"], "mnist", "x") == [7]


def test_unicode_forms_and_signs_are_no_other_class(own_table) -> None:
    name = own_table("source", "Café_wall", "wall", "Straße")
    wide = "".join(chr(ord(c) + 0xFEE0) for c in "CAFE_WALL")
    for spelled in ("café wall", "cafe\u0301 wall", wide, "Cafe-Wall", "wall, cafe"):
        assert match_classes([spelled], name, "x") == [0]
    assert match_classes(["STRASSE", "Wall"], name, "x") == [2, 1]


def test_a_folder_of_an_initial_is_left_out_only_where_the_whole_name_is_none() -> None:
    planes = class_table("aircraft")["source"]
    for spelled in ("F/A-18", "FA-18", "f a 18", "F_A_18", "f/a/18"):
        assert match_classes([spelled], "aircraft", "x") == [planes.index("F/A-18")]
    for spelled in ("F-16A/B", "F-16AB", "f_16a_b"):
        assert match_classes([spelled], "aircraft", "x") == [planes.index("F-16A/B")]
    sun = class_table("sun397")["source"]
    for spelled in ("/c/church/indoor", "c/church/indoor", "Church Indoor", "indoor_church"):
        assert match_classes([spelled], "sun397", "x") == [sun.index("/c/church/indoor")]


def test_other_spellings_that_are_published() -> None:
    """CLIP_benchmark's en_classnames.json, and digits written out."""
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    assert match_classes(words, "mnist", "x") == list(range(10))
    assert match_classes(["pink and yellow dahlia", "air plant"], "flowers102", "x") == [59, 92]
    assert match_classes(["background"], "caltech101", "x") == [4]


def test_a_spelling_of_two_classes_is_neither_and_no_prompt_decides(own_table) -> None:
    name = own_table("source,ood", "C-47,x", "C47,y", "bus,c 4-7")
    assert match_classes(["C47", "C-47"], name, "x") == [1, 0]  # as it stands
    assert match_classes(["c 47"], name, "x") == [0]  # its words
    with pytest.raises(BenchError, match=f"class names of '{name}' in x, got 'c4-7'"):
        match_classes(["c4-7"], name, "x")


def test_a_class_that_is_none_or_twice_is_refused() -> None:
    with pytest.raises(BenchError, match=r"class names of 'dtd' in here, got 'bandana'"):
        match_classes(["banded", "bandana"], "dtd", "here")
    with pytest.raises(BenchError, match="distinct classes"):
        match_classes(["banded", "BANDED"], "dtd", "here")


@pytest.mark.parametrize("name", SIZES)
def test_the_publishers_own_spellings_find_their_class(name) -> None:
    own, ours = published_names(name), class_table(name)["source"]
    assert len(own) == len(ours)
    spelled = [theirs or name for theirs, name in zip(own, ours, strict=True)]
    assert match_classes(spelled, name, "here") == list(range(len(ours)))


def test_the_crab_of_cifar100_is_published_as_cra() -> None:
    assert {i: n for i, n in enumerate(published_names("cifar100")) if n} == {26: "cra"}
    assert match_classes(["cra"], "cifar100", "x") == match_classes(["crab"], "cifar100", "x")
    with pytest.raises(BenchError, match="distinct classes of 'cifar100' in x, got 'cra' twice"):
        match_classes(["cra", "crab"], "cifar100", "x")


@pytest.fixture
def own_table(tmp_path, monkeypatch):
    """Writes a class table; tables are read once, so that every one needs its own name."""
    monkeypatch.setattr("benchmark.data.published.declare.CLASSES", tmp_path)

    def write(*lines: str) -> str:
        name = f"own-{hash((tmp_path, lines))}"
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
        return name

    return write


def test_published_spellings_are_no_names_for_prompts_and_empty_ones_match_nothing(
    own_table,
) -> None:
    name = own_table("source,published,ood", "crab,Cra,crab", "ray,,", "eel, ,an eel", "cod,kod,x")
    assert class_table(name) == {
        "source": ("crab", "ray", "eel", "cod"), "ood": ("crab", "", "an eel", "x"),
    }  # fmt: skip
    assert published_names(name) == ("Cra", "", "", "kod")
    assert match_classes(["KOD", "cra", "ray", "eel"], name, "x") == [3, 0, 1, 2]
    for empty in ("", " ", "-"):
        with pytest.raises(BenchError, match=f"class names of '{name}' in x, got '{empty}'"):
            match_classes([empty], name, "x")
    early = own_table("source,ood,published", "crab,crab,cra", "ray,ray")
    assert published_names(early) == ("cra", "")
    assert published_names(own_table("source,ood", "crab,crab", "ray,ray")) == ("", "")


def test_a_published_spelling_weighs_more_than_a_name_for_prompts(own_table) -> None:
    name = own_table("source,published,ood", "bank,,shore", "coast,shore,coast")
    assert match_classes(["shore", "bank"], name, "x") == [1, 0]


@pytest.mark.parametrize(
    ("lines", "got"),
    [
        (("crab,cra", "ray,cra"), "'cra' for 'crab' and for 'ray'"),
        (("crab,cra", "ray,C-R-A"), "'C-R-A' for 'crab' and for 'ray'"),
        (("crab,big fish", "ray,fish big"), "'fish big' for 'crab' and for 'ray'"),
        (("crab,ray", "ray,"), "'ray' for 'ray' and for 'crab'"),
    ],
)
def test_a_published_spelling_that_two_classes_claim_is_refused(own_table, lines, got) -> None:
    name = own_table("source,published", *lines)
    with pytest.raises(BenchError, match="for each published spelling") as error:
        match_classes(["crab"], name, "x")
    assert error.value.got == got


def test_published_spellings_do_not_change_what_a_store_is() -> None:
    """Golden, from before the column was there."""
    declared = declaration("cifar100")
    assert [identity(declared, s)[:16] for s in (declared.source, *declared.fallbacks)] == [
        "1afd7b83f34d862d", "80b68882f27c7b74",
    ]  # fmt: skip


def test_globs() -> None:
    assert matches("data/train-0.parquet", "**/train-*.parquet")
    assert matches("train-0.parquet", "**/train-*.parquet")
    assert not matches("data/retrain-0.parquet", "**/train-*.parquet")
    assert not matches("test/0.tar", "train/*.tar")


def test_parts_of_a_source_do_not_share_a_file() -> None:
    for declared, source in HUB:
        if source.part_column is None:
            patterns = [p for ps in source.parts.values() for p in ps]
            assert len(set(patterns)) == len(patterns), declared.name


def test_suites_of_published_data() -> None:
    retrieval, xtail, mtil = (find_suite(n) for n in ("retrieval", "xtail", "mtil"))
    assert tuple(d.name for d in retrieval.tasks) == RETRIEVAL
    held_out = [d.name for d in retrieval.held_out]
    assert [n for n in held_out if not n.startswith("domainnet-")] == [
        "imagenet", "cifar100", "eurosat", "coco", "nocaps",
    ]  # fmt: skip
    assert sum(n.startswith("domainnet-") for n in held_out) == 6
    assert (xtail.class_scope, mtil.class_scope) == ("union", "own")
    assert xtail.recipe.steps == mtil.recipe.steps == 500
    assert [d.name for d in xtail.held_out if d.optional] == ["places365"]
    assert "cifar100" in {d.name for d in mtil.tasks} - {d.name for d in mtil.held_out}
    zscl = find_suite("mtil-zscl")
    assert [d.name for d in zscl.tasks] == [d.name for d in mtil.tasks]
    own = {d.needs for d in zscl.tasks} - {d.needs for d in mtil.tasks}
    assert own == {"caltech101-zscl", "eurosat-zscl", "sun397-zscl"}
    assert (zscl.recipe, zscl.templates, zscl.order_ii) == (mtil.recipe, mtil.templates, MTIL_II)
    coop = find_suite("xtail-coop")
    assert [d.name for d in coop.tasks] == [d.name for d in xtail.tasks]
    assert {d.needs for d in coop.tasks} & {d.needs for d in xtail.tasks} == {"aircraft", "mnist"}


def test_inferred_sizes_of_the_report() -> None:
    """The counts that the divided sets must have, from the reference's arithmetic."""
    for name, test in (("wikiart", 16_289), ("kream", 7_452), ("sketch", 2_000)):
        declared = declaration(name)
        rule = declared.splits["test"]
        assert isinstance(rule, Fraction)
        assert rule.seed == 42
        assert math.ceil(rule.test * declared.source.rows["train"]) == test


def test_rules_are_of_known_kinds() -> None:
    kinds = {type(rule) for d in CATALOG.values() for rule in d.splits.values()}
    assert kinds == {Whole, Fraction}
    few = [loading(t)["rules"]["train"] for t in find_suite("xtail").tasks]
    assert {type(rule) for rule in few} == {Shots}
    assert {rule.k for rule in few} == {16}


def test_given_files_say_where_they_are() -> None:
    given = [d.source for d in CATALOG.values() if isinstance(d.source, Folder)]
    assert len(given) == 12
    assert all(s.url.startswith("http") for s in given)
