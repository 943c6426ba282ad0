"""The doubles of the hub are what they say, and every set is right from any variation of them."""

import hashlib
import re
import zlib
from dataclasses import replace
from pathlib import Path

import hub_repos
import numpy as np
import pytest
from hub_doubles.files import make_files
from hub_doubles.variations import SPELLINGS, vary
from lanes import lanes
from preparing import made

from benchmark.data.catalog import CATALOG
from benchmark.data.published.declare import Source, class_table
from benchmark.data.published.load import rows_of
from benchmark.hub import lock

SOURCES = [
    (declared, source)
    for declared in CATALOG.values()
    for source in (declared.source, *declared.fallbacks)
    if isinstance(source, Source)
]
IDS = [source.repo for _, source in SOURCES]
# Where a split of the repository has another name than the part that it is here.
SPLITS = {
    ("ethz/food101", "test"): "validation",
    ("mteb/food101", "test"): "validation",
    ("clip-benchmark/wds_imagenet1k", "validation"): "test",
    ("djghosh/wds_imagenet1k_test", "validation"): "test",
}
# The publisher's own name of a class, where ours differs by more than case and signs.
RENAMED = {"cra": "crab"}


def test_every_repository_of_the_catalog_has_a_double_and_a_page_that_says_where_it_was_read() -> (
    None
):
    assert sorted(hub_repos.SPECS) == sorted(IDS)
    page = (Path(hub_repos.__file__).parent / "hub_doubles" / "README.md").read_text()
    told = re.findall(r"^\| `([^`]+/[^`]+)` \| (.+) \| (.+) \|$", page, re.MULTILINE)
    assert sorted(repo for repo, _, _ in told) == sorted(IDS)


@pytest.mark.parametrize("declared", CATALOG.values(), ids=lambda d: d.name)
def test_a_pinned_double_has_the_declared_commit(declared) -> None:
    for source in (declared.source, *declared.fallbacks):
        if isinstance(source, Source):
            spec = hub_repos.SPECS[source.repo]()
            there = (spec.revision, spec.data)
            pinned = re.fullmatch("[0-9a-f]+", source.revision)
            assert source.revision in there if pinned else source.revision == spec.ref


CARDS = [
    name
    for name, make in hub_repos.SPECS.items()
    if (spec := make()).files.endswith(".parquet") and spec.ref == "main"
]  # tars and the hub's own conversions have none


@pytest.mark.slow
@pytest.mark.parametrize("name", CARDS)
def test_datasets_reads_a_double_as_its_card_says(name, tmp_path) -> None:
    """An independent reader: splits, columns, types and labels."""
    import datasets

    spec = hub_repos.SPECS[name]()
    files, rows = make_files(name, spec, 0)
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    found = datasets.load_dataset(str(tmp_path), cache_dir=str(tmp_path / "c"), streaming=True)
    assert list(found) == list(rows)
    features = datasets.load_dataset_builder(str(tmp_path)).info.features
    assert features is not None
    assert list(features) == list(spec.columns)
    image = next(c for c, column in spec.columns.items() if column.kind == "image")
    label = next((c for c, column in spec.columns.items() if column.label), None)
    for split, mine in rows.items():
        theirs = list(found[split].cast_column(image, datasets.Image(decode=False)))
        assert [row[image]["bytes"] for row in theirs] == [row.image for row in mine]
        if label is not None:
            names = features[label].names
            assert [names[row[label]] for row in theirs] == [spec.classes[r.label] for r in mine]


# -- variations


@pytest.fixture(autouse=True)
def _accepted(monkeypatch) -> None:
    """The terms of what is gated."""
    monkeypatch.setenv("HF_TOKEN", "hf_allowed")


def simple(name: str) -> str:
    """Letters and digits; not the product's own way of comparing names."""
    plain = "".join(c for c in name.lower() if c.isalnum())
    return RENAMED.get(plain, plain)


def classes_of(declared) -> list[str]:
    names = class_table(declared.classes)["source"]
    if declared.classes == "sun397":
        names = tuple(name[3:] for name in names)  # "/a/abbey"
    return [simple(name) for name in names]


def check(hub, place, declared, source, seed: int, spelling: str | None = None) -> None:
    """A set prepared from a variation has the rows, captions and classes that were published."""
    rng = np.random.default_rng((seed, zlib.crc32(source.repo.encode())))
    spec = vary(hub_repos.SPECS[source.repo](), rng, spelling)
    if source.by_number:  # its names are not looked at, so that their order may not change
        was = hub_repos.SPECS[source.repo]()
        columns = {n: was.columns.get(n, c) for n, c in spec.columns.items()}
        spec = replace(spec, columns=columns, classes=was.classes, canonical=was.canonical)
    commit = hashlib.sha1(f"{source.repo}/{seed}".encode()).hexdigest()
    spec = replace(spec, revision=commit, ref=f"refs/pr/{seed + 1}", script={})
    facts = hub_repos.add(hub.server, source.repo, spec, seed)
    mine = replace(source, revision=facts.revision)
    parts = {
        part: facts.groups["test"].count(part) if source.part_column
        else facts.rows[split_of(source, part, facts)]
        for part in source.parts
    }  # fmt: skip
    lock.write(place / "hub.lock.json", {
        declared.name: lock.Entry(source.repo, facts.revision, facts.revision, rows=parts)
    })  # fmt: skip
    changed = replace(declared, source=mine, fallbacks=())
    store = made(place, declared.name, declared=changed, source=mine)
    rows = rows_of(store)
    part_N, label_N, captions_N, group_N = (
        rows.column(name) for name in ("part", "label", "captions", "group")
    )
    for part in source.parts:
        split = "test" if source.part_column else split_of(source, part, facts)
        here = [i for i, name in enumerate(part_N) if name == part]
        every = range(facts.rows[split])
        if source.part_column:
            kept = [i for i in every if facts.groups[split][i] == part]
        else:
            kept = [i for i in every if (split, i) not in facts.undecodable]
        assert len(here) == len(kept)
        if declared.classes is None:
            published = [[c.strip() for c in facts.values[split][i]] for i in kept]
            assert [list(captions_N[i]) for i in here] == published
        else:
            names = classes_of(declared)
            assert [names[label_N[i]] for i in here] == [
                simple(facts.names[split][i]) for i in kept
            ]
        if source.group is not None:
            assert [group_N[i] for i in here] == [facts.groups[split][i] for i in kept]


def split_of(source: Source, part: str, facts: hub_repos.Facts) -> str:
    split = SPLITS.get((source.repo, part), part)
    return split if split in facts.rows else "val"


QUICK = {
    "AterMors/wikiart_recaption", "ILSVRC/imagenet-1k", "Janak12/FlintstonesSV_Plus_Plus",
    "HuggingFaceM4/NoCaps", "clip-benchmark/wds_imagenet1k", "clip-benchmark/wds_mscoco_captions",
    "djghosh/wds_imagenet1k_test", "eltorio/ROCOv2-radiology", "lmms-lab/NoCaps",
    "nlphuji/flickr30k", "timm/oxford-iiit-pet", "uoft-cs/cifar100", "wltjr1007/DomainNet",
    "yuwan0/lexica-stable-diffusion-v1-5", "zoheb/sketch-scene",
}  # fmt: skip


@pytest.mark.parametrize(
    ("declared", "source"), lanes(SOURCES, [s for s in SOURCES if s[1].repo in QUICK]), ids=IDS
)
def test_every_set_is_right_from_another_variation_of_its_repository(
    hub, place, declared, source
) -> None:
    check(hub, place, declared, source, 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 7))
@pytest.mark.parametrize(("declared", "source"), SOURCES, ids=IDS)
def test_every_set_is_right_from_many_variations(hub, place, declared, source, seed) -> None:
    check(hub, place, declared, source, seed)


LABELLED = [(d, s) for d, s in SOURCES if d.classes and not s.by_number and s.value != ("cls",)]


@pytest.mark.slow
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(("declared", "source"), LABELLED, ids=[s.repo for _, s in LABELLED])
def test_every_spelling_of_class_names(hub, place, declared, source, spelling) -> None:
    check(hub, place, declared, source, 100 + list(SPELLINGS).index(spelling), spelling)
