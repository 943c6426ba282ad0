"""`data prepare` against the local hub: whole or nothing, the same bytes, nothing twice."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lanes import lanes
from preparing import (
    SIDE,
    coop_folder,
    fetched,
    files_of,
    hub_source,
    made,
    served,
    stored_images,
)
from tiny_lock import write_lock

from benchmark.cli.data.jobs import Options
from benchmark.cli.data.prepare import prepare_all
from benchmark.common.locks import held
from benchmark.data.cache.decoded import fit
from benchmark.data.catalog import CATALOG, declaration
from benchmark.data.images import decode
from benchmark.data.published.declare import Folder, Fraction, Shots, Source, class_table
from benchmark.data.published.intact import checked_pixels
from benchmark.data.published.load import load_split, rows_of
from benchmark.data.published.splits import few_shot, manifest_sha, pick
from benchmark.data.published.store import read_store, stores
from benchmark.data.published.verify import damage
from benchmark.data.split import Labelled, Pairs, StoredImages
from benchmark.data.split_rules import random_split
from benchmark.errors import BenchError
from benchmark.hub import lock

HUB = [d for d in CATALOG.values() if isinstance(d.source, Source)]
QUICK = {
    "caltech101",
    "cifar100",
    "domainnet",
    "flickr30k",
    "imagenet",
    "lexica-sd",
    "mnist",
    "nocaps",
}


@pytest.mark.parametrize(
    "declared", lanes(HUB, [d for d in HUB if d.name in QUICK]), ids=lambda d: d.name
)
def test_every_declaration_prepares_verifies_and_loads(hub, place, declared) -> None:
    served(hub, place, declared.name)
    store = made(place, declared.name)
    facts = hub.facts[declared.source.repo]
    assert store.manifest["revision"] in (facts.revision, *facts.before)
    assert store.manifest["revision"].startswith(declared.source.revision)
    assert len(store.manifest["dropped"]) == len(facts.undecodable)
    assert list(damage(store, declared, lambda _: None)) == []
    names = next(iter(class_table(declared.classes)), None) if declared.classes else None
    for name, rule in declared.splits.items():
        split = load_split(place / "cache", declared, rule, names, ("a {}.",))
        pixels, _ = stored_images(split).pixels(SIDE)
        assert len(pixels) == split.images.size == store.manifest["splits"][name]["rows"] > 0
        assert pixels[:].shape[1:] == (SIDE, SIDE, 3)
    served_before = len(hub.server.downloads())
    assert made(place, declared.name).manifest == store.manifest
    assert len(hub.server.downloads()) == served_before


FALLBACKS = [(d, s) for d in HUB for s in d.fallbacks]
QUICK_FALLBACKS = {
    "ILSVRC/imagenet-1k", "HuggingFaceM4/NoCaps", "clip-benchmark/wds_flickr30k",
    "djghosh/wds_imagenet1k_test", "mteb/mnist",
}  # fmt: skip


@pytest.mark.parametrize(
    ("declared", "source"),
    lanes(FALLBACKS, [(d, s) for d, s in FALLBACKS if s.repo in QUICK_FALLBACKS]),
    ids=[s.repo for _, s in FALLBACKS],
)
def test_fallbacks_prepare_from_their_own_layout(hub, place, declared, source, monkeypatch) -> None:
    if source.gated:
        monkeypatch.setenv("HF_TOKEN", "hf_allowed")
    hub.want(source.repo)
    write_lock(place / "hub.lock.json", hub.facts)
    store = made(place, declared.name, source=source)
    assert store.manifest["source"] == source.repo
    key = f"{declared.name}@{source.repo}"
    assert lock.read(place / "hub.lock.json")[key].rows == store.manifest["rows"]


def test_captions_labels_and_pixels_are_those_of_the_repository(hub, place) -> None:
    served(hub, place, "flickr30k", "eurosat")
    made(place, "flickr30k")
    made(place, "eurosat")
    flickr, eurosat = declaration("flickr30k"), declaration("eurosat")
    pairs = load_split(place / "cache", flickr, flickr.splits["test"])
    assert isinstance(pairs, Pairs)
    published = hub.facts[hub_source("flickr30k").repo].values["test"]
    assert [list(own) for own in pairs.captions] == [[c.strip() for c in own] for own in published]
    split = load_split(place / "cache", eurosat, eurosat.splits["test"], "ood", ("{}",))
    assert isinstance(split, Labelled)
    assert split.labels.tolist() == hub.facts[hub_source("eurosat").repo].values["test"]
    assert split.classnames[0] == "annual crop land"


def labels_of(hub, place, name, names):
    """The test labels of a store, those that were published, and the names for prompts."""
    served(hub, place, name)
    made(place, name)
    declared = declaration(name)
    split = load_split(place / "cache", declared, declared.splits["test"], names, ("{}",))
    assert isinstance(split, Labelled)
    published = hub.facts[hub_source(name).repo].values["test"]
    return split.labels.tolist(), published, split.classnames


def test_aircraft_are_classed_by_their_variation_and_not_by_family(hub, place) -> None:
    labels, published, classnames = labels_of(hub, place, "aircraft", "xtail")
    assert labels == published
    assert len(set(labels)) == len(classnames) == 100
    for column, got in (("label", "'A300'"), ("manufacturer", "'ATR'")):
        source = replace(hub_source("aircraft"), value=(column,))
        declared = replace(declaration("aircraft"), source=source)
        with pytest.raises(BenchError, match=f"class names of 'aircraft' in .*, got {got}"):
            made(place, "aircraft", declared=declared, source=source, root=place / column)


def test_the_publishers_spelling_of_a_class_is_read_and_ours_prompted(hub, place) -> None:
    labels, published, classnames = labels_of(hub, place, "cifar100", "ood")
    assert labels == published
    assert (len(classnames), classnames[26]) == (100, "crab")


def test_an_outdated_revision_with_other_columns_is_refused(hub, place) -> None:
    served(hub, place, "domainnet")
    declared = declaration("domainnet")
    source = hub_source("domainnet")
    facts = hub.facts[source.repo]
    assert source.revision == facts.revision
    source = replace(source, revision=facts.before[0])
    declared = replace(declared, source=source)
    lock.write(place / "hub.lock.json", {})
    said = (
        r"a column 'label' in data/test-\S+, got columns 'category', 'domain', 'image', 'y'; "
        "the published data are not what the declaration says"
    )
    with pytest.raises(BenchError, match=said) as error:
        made(place, "domainnet", declared=declared, source=source)
    assert error.value.code == 5
    assert not list((place / "cache").rglob("manifest.json"))


def test_a_file_that_is_not_the_known_one_is_refused_before_it_is_fetched(hub, place) -> None:
    """The shipped facts of cifar100 against a repository that has another test file."""
    served(hub, place, "cifar100")
    file = place / "hub.lock.json"
    entries = lock.read(file)
    known = lock.read(lock.SHIPPED)["cifar100"].known
    assert known is not None
    lock.write(file, {**entries, "cifar100": replace(entries["cifar100"], known=known)})
    before = len(fetched(hub))
    said = r"test-00000-of-00001.parquet had 23772751 bytes and has \d+; .* had sha256 98776c.* and"
    with pytest.raises(BenchError, match=said) as error:
        made(place, "cifar100")
    assert error.value.code == 5
    assert len(fetched(hub)) == before
    assert lock.read(file)["cifar100"].known == known


def test_odd_images_are_decoded_as_everywhere(hub, place) -> None:
    """EXIF, transparency, palettes, CMYK, grey and 16-bit grey: pixels against plain decoding."""
    import pyarrow.parquet as pq
    from huggingface_hub import hf_hub_download

    odd = 0
    for name in ("rocov2", "sketch", "kream"):
        served(hub, place, name)
        store = made(place, name)
        source, rows = hub_source(name), rows_of(store)
        pixels, _ = checked_pixels(store, rows, np.arange(len(rows)))
        for i, note in enumerate(store.notes):
            path = hf_hub_download(
                source.repo,
                note.file,
                repo_type="dataset",
                revision=store.manifest["revision"],
                cache_dir=place / "hub",  # `prepare` takes what is in the common one
            )
            table = pq.read_table(path, columns=["image"]).column(0).to_pylist()
            mine = np.flatnonzero(rows.file_N == i)
            for place_in, row in zip(mine, np.asarray(rows.column("row"))[mine], strict=True):
                raw = table[row]["bytes"]
                np.testing.assert_array_equal(pixels[int(place_in)], fit(decode(raw, "x"), SIDE))
        odd += len(hub.facts[source.repo].odd)
    assert odd >= 3


def test_undecodable_rows_are_dropped_before_the_split_and_listed(hub, place) -> None:
    served(hub, place, "lexica-sd", "wikiart")
    for name in ("lexica-sd", "wikiart"):
        store, declared = made(place, name), declaration(name)
        ((split, row),) = hub.facts[hub_source(name).repo].undecodable
        (dropped,) = store.manifest["dropped"]
        first = sum(n.total for n in store.notes if n.file < dropped["file"])
        assert (dropped["part"], first + dropped["row"]) == (split, row)
        n = store.manifest["rows"][split] - 1
        order = np.random.default_rng(42).permutation(n)  # datasets' train_test_split
        test = order[: -(-n // 5)]
        assert pick(rows_of(store), declared.splits["test"], declared).tolist() == test.tolist()


def test_the_split_is_that_of_the_datasets_library(hub, place) -> None:
    import datasets

    served(hub, place, "kream", "sketch")
    for name in ("kream", "sketch"):
        store, declared = made(place, name), declaration(name)
        rule = declared.splits["test"]
        assert isinstance(rule, Fraction)
        rows = rows_of(store)
        theirs = datasets.Dataset.from_dict({"i": list(range(len(rows)))}).train_test_split(
            test_size=rule.test, seed=rule.seed
        )
        for side in ("train", "test"):
            ours = pick(rows, declared.splits[side], declared).tolist()
            assert ours == theirs[side]["i"]


def test_training_and_test_rows_are_apart(hub, place) -> None:
    served(hub, place, "kream", "flickr30k", "dtd")
    for name in ("kream", "flickr30k", "dtd"):
        store, declared = made(place, name), declaration(name)
        rows = rows_of(store)
        found = [set(pick(rows, declared.splits[s], declared).tolist()) for s in ("train", "test")]
        assert not found[0] & found[1]
        assert len(found[0] | found[1]) == len(rows)


# -- few-shot manifests


def shots_of(place, name, protocol="xtail", k=2, seed=42):
    declared = declaration(name)
    store = read_store(next((place / "cache" / "data" / name).glob("*-*")))
    assert store is not None
    rows = rows_of(store)
    rule = Shots(protocol, ("train",), k, seed)
    found = pick(rows, rule, declared)
    files = [n.file for n in store.notes]
    return found, np.asarray(rows.column("label"))[found], manifest_sha(rows, files, found, rule)


def test_few_shot_manifests_depend_on_protocol_dataset_seed_and_shots_alone(hub, place) -> None:
    served(hub, place, "dtd", "eurosat")
    made(place, "dtd")
    alone = shots_of(place, "dtd")
    made(place, "eurosat")
    again = shots_of(place, "dtd")
    np.testing.assert_array_equal(alone[0], again[0])
    assert alone[2] == again[2]
    assert np.bincount(alone[1]).tolist() == [2] * 47
    others = [shots_of(place, "dtd", **c) for c in ({"seed": 1}, {"protocol": "mtil"}, {"k": 3})]
    assert len({alone[2], *(o[2] for o in others)}) == 4
    assert set(alone[0]) <= set(others[2][0])  # two shots are among three


def test_few_shot_choice_is_a_fixed_function() -> None:
    """Golden: the choice may never change, on no machine and with no library version."""
    labels = np.repeat(np.arange(3), 6)
    rule, declared = Shots("xtail", ("train",), 2, 42), declaration("eurosat")
    assert few_shot(labels, rule, declared).tolist() == GOLDEN
    few = few_shot(np.array([0, 0, 1]), replace(rule, k=3), declared)
    assert sorted(few[:3].tolist())[0::2] == [0, 1]  # both images of class 0, one of them twice
    assert few[3:].tolist() == [2, 2, 2]


GOLDEN = [4, 1, 9, 7, 15, 16]


# -- the same bytes, whatever happens


def test_manifest_and_bytes_do_not_depend_on_order_or_attempts(hub, place) -> None:
    served(hub, place, "kream", "flickr30k")
    for name in ("kream", "flickr30k"):
        made(place, name)
    first = files_of(place / "cache" / "data")
    other = place / "other"
    for name in ("flickr30k", "kream"):
        made(place, name, root=other)
    assert files_of(other / "data") == first


def _cli(place, *words, **env):
    return subprocess.Popen(
        [sys.executable, "-m", "benchmark", "data", *words, "--display", "plain"],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_killed_prepare_goes_on_to_the_same_bytes(hub, place) -> None:
    served(hub, place, "flickr30k")
    made(place, "flickr30k", root=place / "whole")
    want = files_of(place / "whole" / "data")
    hub.server.rate = 40_000  # bytes a second: five files of 20 kB
    words = ("prepare", "flickr30k", "--yes", "--side", str(SIDE))
    folder, seen = place / "cache" / "data", 0
    for _ in range(2):
        process = _cli(place, *words)
        deadline = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < deadline:
            done = len(list(folder.rglob("0*.json")))
            if done > seen:
                seen = done
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)
        if list(folder.rglob("manifest.json")):
            break
    hub.server.rate = None
    process = _cli(place, *words)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert files_of(folder) == want
    assert not list((place / "cache" / "raw").rglob("*.parquet"))


@pytest.mark.slow
def test_two_processes_at_once_do_no_harm(hub, place) -> None:
    served(hub, place, "flickr30k")
    made(place, "flickr30k", root=place / "whole")
    hub.server.rate = 150_000
    words = ("prepare", "flickr30k", "--yes", "--side", str(SIDE))
    both = [_cli(place, *words) for _ in range(2)]
    outs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outs
    assert files_of(place / "cache" / "data") == files_of(place / "whole" / "data")


def test_a_second_side_keeps_the_first(hub, place) -> None:
    served(hub, place, "kream")
    first = made(place, "kream", keep_raw=True)
    before = len(hub.server.downloads())
    second = made(place, "kream", side=48)
    assert len(hub.server.downloads()) == before  # raw files were kept
    assert first.manifest["splits"] == second.manifest["splits"]
    split = load_split(place / "cache", declaration("kream"), declaration("kream").splits["test"])
    assert isinstance(split.images, StoredImages)
    assert split.images.pixels(48)[0].shape[1:] == (48, 48, 3)
    assert split.images.pixels(SIDE)[0].shape[1:] == (SIDE, SIDE, 3)
    with pytest.raises(BenchError, match=r"at 64 px.*data prepare kream --side 64"):
        split.images.pixels(64)


def test_files_in_the_hubs_own_cache_are_used_and_left_there(hub, place) -> None:
    from huggingface_hub import snapshot_download

    served(hub, place, "sketch")
    source = hub_source("sketch")
    folder = snapshot_download(source.repo, repo_type="dataset", revision=source.revision)
    before, there = len(hub.server.downloads()), files_of(Path(folder))
    made(place, "sketch")
    assert len(hub.server.downloads()) == before
    assert files_of(Path(folder)) == there


# -- offline, and damage


def test_offline_after_prepare(hub, place, monkeypatch) -> None:
    served(hub, place, "kream")
    made(place, "kream")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.server.requests.clear()
    assert prepare_all(["kream"], Options(side=SIDE, yes=True), "none") == 0
    split = load_split(place / "cache", declaration("kream"), declaration("kream").splits["test"])
    assert len(stored_images(split).pixels(SIDE)[0]) == split.images.size
    assert hub.server.requests == []


@pytest.mark.parametrize("kind", ["u8", "parquet", "json"])
def test_a_flipped_byte_is_found(hub, place, kind) -> None:
    served(hub, place, "sketch")
    store = made(place, "sketch")
    file = store.folder / f"00000.{kind}"
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(bytes(raw))
    found = list(damage(store, declaration("sketch"), lambda _: None))
    assert len(found) == 1
    assert str(file) in found[0]


def test_a_changed_manifest_is_found(hub, place) -> None:
    served(hub, place, "sketch")
    store = made(place, "sketch")
    path = store.folder / "manifest.json"
    text = path.read_text()
    for at in range(0, len(text), 7):
        if not text[at].isspace():
            path.write_text(text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :])
            assert read_store(store.folder) is None, text[at - 20 : at + 20]
    path.write_text(text)
    assert read_store(store.folder) == store


def test_a_copy_of_a_store_is_not_one(hub, place) -> None:
    import shutil

    served(hub, place, "sketch")
    store = made(place, "sketch")
    for name in ("my-backup", f"{'0' * 12}-32"):
        shutil.copytree(store.folder, store.folder.with_name(name))
    assert [s.folder for s in stores(place / "cache", declaration("sketch"))] == [store.folder]


def test_a_truncated_cache_is_no_store(hub, place) -> None:
    served(hub, place, "sketch")
    store = made(place, "sketch")
    file = store.folder / "00000.u8"
    file.write_bytes(file.read_bytes()[:-1])
    assert read_store(store.folder) is None
    again = made(place, "sketch")  # the note of that file is whole, its pixels are not
    assert list(damage(again, declaration("sketch"), lambda _: None)) == []


# -- the lock file


def locked(place, name):
    return lock.read(place / "hub.lock.json")[name]


def test_the_lock_is_filled_on_the_first_run_and_stays(hub, place) -> None:
    served(hub, place, "kream")
    assert locked(place, "kream").revision is None
    made(place, "kream")
    entry = locked(place, "kream")
    assert entry.revision == hub_source("kream").revision
    assert all(f.sha256 and len(f.sha256) == 64 for f in entry.files)
    assert entry.splits["test"]["rows"] == 15
    text = (place / "hub.lock.json").read_text()
    made(place, "kream", root=place / "elsewhere")
    assert (place / "hub.lock.json").read_text() == text
    assert str(place) not in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"revision": "0" * 40}, "revision was 0000"),
        ({"declared": "main"}, "declared was main and is 54f0"),
        ({"repo": "someone/else"}, "repo was someone/else and is hahminlew"),
        ({"rows": {"train": 31}}, "30 rows of part 'train' instead of 31"),
        ({"columns": {"image": "image", "value": "caption"}}, "'value': 'caption'"),
        ({"dropped": {"train": 2}}, "dropped of 'train' were 2 and are 0"),
        ({"splits": {"test": {"rows": 15, "sha256": "ab" * 32}}}, "splits of 'test' were 15 rows"),
    ],
)
def test_a_difference_from_the_lock_is_spelled_out(hub, place, change, said) -> None:
    served(hub, place, "kream")
    made(place, "kream")
    path = place / "hub.lock.json"
    entries = lock.read(path)
    entries["kream"] = replace(entries["kream"], **change)
    lock.write(path, entries)
    with pytest.raises(BenchError) as error:
        made(place, "kream", root=place / "again")
    assert error.value.code in (4, 5)
    assert said in str(error.value)
    assert not list((place / "again").rglob("manifest.json"))


def test_other_files_at_the_locked_revision_are_refused(hub, place) -> None:
    served(hub, place, "kream")
    made(place, "kream")
    path, entries = place / "hub.lock.json", lock.read(place / "hub.lock.json")
    assert entries["kream"].files is not None
    first, *others = entries["kream"].files
    entries["kream"] = replace(entries["kream"], files=(replace(first, sha256="ab" * 32), *others))
    lock.write(path, entries)
    with pytest.raises(BenchError, match=r"sha256 .* instead of abababab"):
        made(place, "kream", root=place / "again")


def test_declared_rows_count_where_the_lock_has_none(hub, place) -> None:
    hub.want(hub_source("kream").repo)
    with pytest.raises(BenchError, match=r"declared, got 30 rows of part 'train' instead of 14904"):
        made(place, "kream")
    assert not list((place / "cache").rglob("manifest.json"))


def test_unsure_rows_are_noted_instead_of_refused(hub, place) -> None:
    hub.want(hub_source("lexica-sd").repo)
    for declared_rows, fine in ((37, True), (36, True), (80, False)):
        source = replace(declaration("lexica-sd").source, rows={"train": declared_rows})
        declared = replace(declaration("lexica-sd"), source=source)
        lock.write(place / "hub.lock.json", {})
        root = place / str(declared_rows)
        if fine:
            made(place, "lexica-sd", declared=declared, source=source, root=root)
            assert locked(place, "lexica-sd").rows == {"train": 36}
            continue
        with pytest.raises(BenchError, match="36 rows of part 'train' instead of 80"):
            made(place, "lexica-sd", declared=declared, source=source, root=root)


def test_a_missing_column_is_refused_with_those_that_are_there(hub, place) -> None:
    served(hub, place, "kream")
    source = replace(hub_source("kream"), value=("caption",))
    declared = replace(declaration("kream"), source=source)
    with pytest.raises(BenchError, match=r"a column 'caption' in .*columns 'image', 'text'"):
        made(place, "kream", declared=declared, source=source)


def test_alternative_columns_are_taken_in_order_and_noted(hub, place) -> None:
    served(hub, place, "lexica-sd")
    made(place, "lexica-sd")
    assert locked(place, "lexica-sd").columns["value"] in hub_source("lexica-sd").value


def test_a_lost_lock_entry_is_filled_from_the_store(hub, place) -> None:
    served(hub, place, "sketch")
    made(place, "sketch")
    whole = locked(place, "sketch")
    bare = replace(whole, revision=None, files=None, columns=None, dropped=None, splits=None)
    lock.write(place / "hub.lock.json", {"sketch": bare})
    assert prepare_all(["sketch"], Options(side=SIDE, yes=True), "none") == 0
    assert locked(place, "sketch") == whole


def test_relock_keeps_what_it_cannot_replace(hub, place, monkeypatch) -> None:
    from benchmark.cli.data.lock import lock_all

    served(hub, place, "sketch")
    made(place, "sketch")
    before = (place / "hub.lock.json").read_text()
    hub.server.fail(404, "zoheb/sketch-scene", times=None, code="RepoNotFound")
    assert lock_all(["sketch"], True, None, None) == 4
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BenchError, match="unset HF_HUB_OFFLINE"):
        lock_all(["sketch"], True, None, None)
    assert (place / "hub.lock.json").read_text() == before


def test_two_configurations_of_one_dataset_are_refused(hub, place) -> None:
    served(hub, place, "kream")
    source = replace(hub_source("kream"), repo="someone/two", revision="main", rows={"train": 2})
    files = {f"{c}/train-0.parquet": b"x" for c in ("a", "b")}
    hub.server.add("someone/two", files)
    declared = replace(declaration("kream"), name="two", source=source)
    with pytest.raises(BenchError, match=r"part 'train' of someone/two in one folder, got a, b"):
        made(place, "kream", declared=declared, source=source)


def test_removal_waits_for_nobody(hub, place) -> None:
    from benchmark.cli.data.reports import remove
    from benchmark.data.published.preparation.plan import guard_of

    served(hub, place, "sketch")
    store = made(place, "sketch")
    with (
        held(guard_of(place / "cache", "sketch"), lambda: None),
        pytest.raises(BenchError, match="nobody to prepare sketch"),
    ):
        remove(["sketch"], None)
    assert read_store(store.folder) is not None
    remove(["sketch"], None)
    assert not store.folder.exists()


def test_relock_takes_the_present_state(hub, place, capsys) -> None:
    from benchmark.cli.data.lock import lock_all

    served(hub, place, "sketch")
    path, entries = place / "hub.lock.json", lock.read(place / "hub.lock.json")
    entries["sketch"] = replace(entries["sketch"], repo="someone/else")
    lock.write(path, entries)
    assert lock_all(["sketch"], False, None, None) == 5
    assert "repo was someone/else" in capsys.readouterr().err
    assert lock_all(["sketch"], True, None, None) == 0
    assert locked(place, "sketch").repo == "zoheb/sketch-scene"


ENTRY = {"repo": "a/b", "declared": "main"}


@pytest.mark.parametrize(
    "text",
    [
        '{"version": 7}',
        "[]",
        "{",
        *(
            json.dumps({"version": 1, "entries": {"sketch": {**ENTRY, **change}}})
            for change in (
                {"rows": [1]}, {"rows": {"train": "x"}}, {"revision": 5}, {"repo": None},
                {"columns": ["image"]}, {"files": [{"path": "a", "size": "1", "sha256": None}]},
                {"splits": {"test": {"rows": 1}}}, {"unknown": 1},
            )
        ),
    ],
)  # fmt: skip
def test_a_damaged_lock_file_is_one_sentence(place, text) -> None:
    (place / "hub.lock.json").write_text(text)
    with pytest.raises(BenchError, match="a lock file of version 1"):
        lock.read(place / "hub.lock.json")


def _tar(members: dict[str, bytes]) -> bytes:
    import io
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, raw in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    return out.getvalue()


def test_webdataset_samples_are_grouped_by_the_name_of_the_file(tmp_path) -> None:
    from benchmark.data.published.preparation.reader import SourceFile, read_rows

    source = declaration("coco").source
    assert isinstance(source, Source)
    path = tmp_path / "0.tar"
    path.write_bytes(_tar({
        "./v1.0/1.jpg": b"a", "./v1.0/1.txt": b"\xef\xbb\xbfone\n\n two \n",
        "2.txt": b"three", "2.JPG": b"b",
    }))  # fmt: skip
    rows, _ = read_rows(SourceFile(path, "0.tar", source, "test", None))
    found = [(r.row, r.key, r.image, r.captions) for r in rows]
    assert found == [(0, "v1.0/1", b"a", ("one", "two")), (1, "2", b"b", ("three",))]
    path.write_bytes(_tar({"1.jpg": b"a", "1.txt": b"x", "./1.jpg": b"b"}))
    rows, _ = read_rows(SourceFile(path, "0.tar", source, "test", None))
    with pytest.raises(BenchError, match="two samples of that name"):
        list(rows)


# -- files that the user gives


def test_coop_lists_of_a_given_folder(place) -> None:
    source = replace(declaration("eurosat-coop").source, rows={"train": 20, "val": 20, "test": 20})
    declared = replace(declaration("eurosat-coop"), source=source)
    folder = coop_folder(place)
    store = made(place, "eurosat-coop", declared=declared, source=source, given=folder)
    assert store.manifest["rows"] == {"train": 20, "val": 20, "test": 20}
    split = load_split(place / "cache", declared, declared.splits["test"], "xtail", ("{}",))
    assert isinstance(split, Labelled)
    assert split.labels.tolist() == [label for label in range(10) for _ in range(2)]
    assert split.classnames[0].startswith("Annual Crop Land")


@pytest.mark.parametrize("n", [1, 2, 3, 100, 8_677, 27_000])
def test_a_random_split_is_torchs(n) -> None:
    """What ZSCL asks torch for, on 8,677 and 27,000 images; of 108,754 see the slow lane."""
    train, test = random_split(n, 0.8, 42)
    own = torch.Generator().manual_seed(42)
    assert [*train, *test] == torch.randperm(n, generator=own).tolist()
    assert len(train) == int(0.8 * n)


@pytest.mark.slow
def test_the_sizes_of_zscl_are_those_of_its_paper() -> None:
    sizes = {"caltech101": 1_736, "eurosat": 5_400, "sun397": 21_751}
    for name, test in sizes.items():
        source = declaration(f"{name}-zscl").source
        assert source.rows["test"] == test
        total = sum(source.rows.values())
        own = torch.Generator().manual_seed(42)
        parts = random_split(total, 0.8, 42)
        assert np.concatenate(parts).tolist() == torch.randperm(total, generator=own).tolist()
        assert [len(part) for part in parts] == list(source.rows.values())


def zscl_folder(root: Path, per_class: int) -> Path:
    """EuroSAT as torchvision unpacks it, with files beside the images; the numbers as published."""
    from PIL import Image

    for label, name in enumerate(class_table("eurosat")["source"]):
        folder = root / "zscl" / "eurosat" / "2750" / name
        folder.mkdir(parents=True)
        (folder / "Thumbs.db").write_bytes(b"no image")
        for i in reversed(range(per_class)):  # not in the order in which they are listed
            Image.new("RGB", (8, 9), (label * 20, i * 9, 40)).save(folder / f"{name}_{i + 1}.jpg")
    return root / "zscl"


def test_zscl_divides_torchvisions_folders(place) -> None:
    """The reference is torch's own random_split of torchvision's own listing."""
    from torch.utils.data import random_split as torchs
    from torchvision.datasets import ImageFolder

    folder = zscl_folder(place, 12)
    source = replace(declaration("eurosat-zscl").source, rows={"train": 96, "test": 24})
    declared = replace(declaration("eurosat-zscl"), source=source)
    store = made(place, "eurosat-zscl", declared=declared, source=source, given=folder)
    assert store.manifest["rows"] == {"train": 96, "test": 24}
    images = ImageFolder(str(folder / "eurosat" / "2750"))
    halves = torchs(images, [96, 24], generator=torch.Generator().manual_seed(42))
    rows = rows_of(store)
    for part, half in zip(("train", "test"), halves, strict=True):
        want = sorted(images.samples[i][0] for i in half.indices)
        mine = zip(rows.column("key"), rows.column("part"), strict=True)
        got = [str(folder / "eurosat" / "2750" / key) for key, own in mine if own == part]
        assert sorted(got) == want
        split = load_split(place / "cache", declared, declared.splits[part], "mtil", ("{}",))
        assert isinstance(split, Labelled)
        classes = [Path(images.samples[i][0]).parent.name for i in half.indices]
        assert sorted(class_table("eurosat")["source"][i] for i in split.labels) == sorted(classes)


def test_a_folder_of_classes_that_is_not_whole_is_not_divided(place) -> None:
    """One image more or less gives every other image another part."""
    folder = zscl_folder(place, 12)
    source = replace(declaration("eurosat-zscl").source, rows={"train": 96, "test": 24})
    declared = replace(declaration("eurosat-zscl"), source=source)
    next((folder / "eurosat" / "2750").rglob("*_7.jpg")).unlink()
    with pytest.raises(BenchError, match=r"120 images in .*2750.*119"):
        made(place, "eurosat-zscl", declared=declared, source=source, given=folder)
    with pytest.raises(BenchError, match=r"'eurosat/2750' in .*no such file"):
        made(place, "eurosat-zscl", given=place)
    with pytest.raises(BenchError, match=r"no hub holds \(eurosat/2750\).*--from FOLDER"):
        made(place, "eurosat-zscl")


def test_folders_that_are_no_class_are_left_out(place) -> None:
    from PIL import Image

    root = place / "zscl" / "caltech101" / "101_ObjectCategories"
    for name in ("BACKGROUND_Google", "Faces_easy", "accordion", "Motorbikes"):
        (root / name).mkdir(parents=True)
        for i in range(5):
            Image.new("RGB", (8, 9), (i * 9, 0, 40)).save(root / name / f"image_{i + 1:04d}.jpg")
    source = replace(declaration("caltech101-zscl").source, rows={"train": 12, "test": 3})
    declared = replace(declaration("caltech101-zscl"), source=source)
    store = made(place, "caltech101-zscl", declared=declared, source=source, given=place / "zscl")
    keys = rows_of(store).column("key")
    # Python's order of the names, as torchvision's: capitals first.
    assert [key.split("/")[0] for key in keys[::5]] == ["Faces_easy", "Motorbikes", "accordion"]
    split = load_split(place / "cache", declared, declared.splits["test"], "mtil", ("{}",))
    assert isinstance(split, Labelled)
    known = {"centered face", "motorbike", "accordion"}
    assert {split.classnames[i] for i in split.labels} <= known


def test_given_files_that_are_not_there_are_named(place) -> None:
    with pytest.raises(BenchError, match=r"--from FOLDER"):
        made(place, "eurosat-coop")
    with pytest.raises(BenchError, match=r"'eurosat/2750' in .*no such file"):
        made(place, "eurosat-coop", given=place)


def test_places365_checks_what_its_publisher_states(place) -> None:
    (place / "val_256.tar").write_bytes(b"no tar")
    (place / "places365_val.txt").write_text("a.jpg 0\n")
    source = declaration("places365").source
    assert isinstance(source, Folder)
    with pytest.raises(BenchError, match=f"md5 {source.md5['val_256.tar']}"):
        made(place, "places365", given=place)


def test_places365_from_an_archive(place) -> None:
    import io
    import tarfile

    from PIL import Image

    names = [f"Places365_val_{i:08d}.jpg" for i in range(4)]
    with tarfile.open(place / "val_256.tar", "w") as archive:
        for i, name in enumerate(names):
            out = io.BytesIO()
            Image.new("RGB", (9, 9), (i * 50, 0, 0)).save(out, "JPEG")
            info = tarfile.TarInfo(f"val_256/{name}")
            info.size = len(out.getvalue())
            archive.addfile(info, io.BytesIO(out.getvalue()))
    lines = "".join(f"{name} {label}\n" for name, label in zip(names, (3, 0, 364, 3), strict=True))
    (place / "places365_val.txt").write_text(lines)
    declared = declaration("places365")
    assert isinstance(declared.source, Folder)
    source = replace(declared.source, md5={}, rows={"validation": 4})
    declared = replace(declared, source=source)
    made(place, "places365", declared=declared, source=source, given=place)
    split = load_split(place / "cache", declared, declared.splits["test"], "ood", ("{}",))
    assert isinstance(split, Labelled)
    assert split.labels.tolist() == [3, 0, 364, 3]
