"""Whole images of few shots: those of the source, whenever and however often they are prepared."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from preparing import (
    QUIET,
    SIDE,
    coop_folder,
    fetched,
    files_of,
    job,
    made,
    served,
    stored_images,
)

from benchmark.cli.data.consent import cost_of, described
from benchmark.cli.data.jobs import Options, jobs_of
from benchmark.cli.data.names import wanted
from benchmark.cli.data.prepare import prepare_all
from benchmark.cli.data.reports import status
from benchmark.data.catalog import declaration
from benchmark.data.crops.wide import wide_images
from benchmark.data.held_back.parts import divide
from benchmark.data.images import decode
from benchmark.data.published.declare import Shots
from benchmark.data.published.load import load_split
from benchmark.data.published.preparation import prepare, wide
from benchmark.data.published.preparation.plan import plan
from benchmark.data.published.store import Store, look
from benchmark.data.published.verify import damage
from benchmark.data.split import ImageSource, Labelled
from benchmark.errors import BenchError
from benchmark.suites.ready import cropped_shots

ONE = Shots("mtil", ("train",), 1, 42)
TWO = Shots("xtail", ("train", "validation"), 2, 42)
BOTH = (ONE, replace(TWO, parts=("train",)))  # of sets without validation images
NAMES = ("wide.json", "wide.parquet", "wide.u8")


def shots(place: Path, name: str, rule: Shots, **changes) -> Labelled:
    """A training split, as a suite of such shots loads it."""
    declared = changes.get("declared", declaration(name))
    split = load_split(place / "cache", declared, rule, "mtil", ("{}",))
    assert isinstance(split, Labelled)
    return split


def taken(split: Labelled, root: Path):
    """What crops of a split are taken from."""
    return wide_images(stored_images(split), SIDE, root)


def published_images(place: Path, store: Store) -> dict[str, bytes]:
    """The encoded images of a set's repository, by their sha256."""
    from hashlib import sha256

    from huggingface_hub import hf_hub_download

    found = {}
    for note in store.notes:
        path = hf_hub_download(
            store.manifest["source"],
            note.file,
            repo_type="dataset",
            revision=store.manifest["revision"],
            cache_dir=place / "hub",  # `prepare` takes what is in the common one
        )
        for row in pq.read_table(path, columns=["image"]).column(0).to_pylist():
            found[sha256(row["bytes"]).hexdigest()] = row["bytes"]
    return found


def opened_of(raw: list[bytes], i: int) -> Image.Image:
    """One of some encoded images."""
    return decode(raw[i], "it")


@pytest.mark.parametrize("name", [pytest.param("flowers102", marks=pytest.mark.slow), "mnist"])
def test_crops_are_taken_from_what_the_images_themselves_give(hub, place, name) -> None:
    """The same pixels and sizes as if the images had never been prepared."""
    served(hub, place, name)
    second = TWO if name == "flowers102" else BOTH[1]
    store = made(place, name, crops=(ONE, second))
    raw = published_images(place, store)
    for rule in (ONE, second):
        split = shots(place, name, rule)
        assert split.images.encoded is not None
        mine = [raw[sha] for sha in split.images.encoded()]
        opened = partial(opened_of, mine)
        source = ImageSource(len(mine), opened, f"{name} {rule}")
        want, found = wide_images(source, SIDE, place / "own"), taken(split, place / "cache")
        np.testing.assert_array_equal(found.pixels[:], want.pixels[:])
        assert found.size_N2.equal(want.size_N2)
        assert len(found.size_N2) == split.images.size
    assert len({found.digest, taken(shots(place, name, ONE), place).digest}) == 2
    train, held = (stored_images(part) for part in divide(split, 0.5))
    assert train.size + held.size == len(mine)
    assert held.encoded is not None
    assert held.wide is not None
    every = stored_images(split).encoded
    assert every is not None
    rows = [every().index(sha) for sha in held.encoded()]
    np.testing.assert_array_equal(held.wide(SIDE)[0][:], want.pixels[rows])
    assert torch.from_numpy(held.wide(SIDE)[2]).equal(want.size_N2[rows])


def test_only_shots_are_kept_and_the_view_that_is_tested_stays_as_it_is(hub, place) -> None:
    served(hub, place, "flowers102")
    made(place, "flowers102", root=place / "plain")
    before = files_of(place / "plain" / "data")
    store = made(place, "flowers102", crops=(ONE,))
    after = files_of(place / "cache" / "data")
    assert {k: v for k, v in after.items() if Path(k).name not in NAMES} == before
    table = pq.read_table(store.folder / "wide.parquet")
    assert 0 < len(table) <= 102 < sum(store.manifest["rows"].values())
    with pytest.raises(BenchError, match=r"view alone that is tested.*data prepare flowers102"):
        taken(shots(place, "flowers102", TWO), place)
    assert not list((place / "cache" / "raw").rglob("*.parquet"))


class Killed(BaseException):
    """Nothing in the program expects it."""


@pytest.mark.parametrize("at", ["_fitted", "file_sha256", "write_note", "_finish"])
def test_what_was_killed_goes_on_to_the_same_bytes_and_fetches_nothing_twice(
    hub, place, at, monkeypatch
) -> None:
    served(hub, place, "mnist")
    made(place, "mnist", root=place / "whole", crops=BOTH)
    want = files_of(place / "whole" / "data")
    before = len(fetched(hub))
    calls: list[int] = []
    module = prepare if at == "_finish" else wide
    real = getattr(module, at)

    def dies(*words):
        calls.append(1)
        if len(calls) == 7 or at != "_fitted":
            raise Killed
        return real(*words)

    with monkeypatch.context() as patch:
        patch.setattr(module, at, dies)
        with pytest.raises(Killed):
            made(place, "mnist", crops=BOTH)
    assert files_of(place / "cache" / "data") != want
    folder = next((place / "cache" / "data" / "mnist").glob("*-32"))
    (folder / ".part-x.u8").write_bytes(b"x")  # a process that is killed leaves one
    made(place, "mnist", crops=BOTH)
    assert files_of(place / "cache" / "data") == want
    new = fetched(hub)[before:]
    assert len(new) == len(set(new)) > 0
    assert not list((place / "cache" / "raw").rglob("*.parquet"))


def test_a_set_of_before_gets_its_shots_and_only_their_files_are_fetched(hub, place) -> None:
    served(hub, place, "mnist")
    made(place, "mnist", root=place / "whole", crops=BOTH)
    store = made(place, "mnist")
    split = shots(place, "mnist", ONE)
    train = [n for n in store.notes if "train" in n.file]
    size = sum(n.size for n in train)
    with pytest.raises(BenchError) as error:
        taken(split, place)
    assert "data prepare mnist --side 32" in str(error.value)
    assert f"fetches for that {size / 1e6:.2g} MB again" in str(error.value)
    assert error.value.code == 4
    before = len(fetched(hub))
    planned = plan(job(place, "mnist", crops=(ONE,)))
    (cost,) = cost_of([planned], {}).sets
    assert (cost.download, cost.again, cost.held) == (size, size, size)
    said = "\n".join(described(cost_of([planned], {}), place, 10**9))
    assert "whole images of few shots" in said
    assert "are fetched again" in said
    prepare.prepare(planned, QUIET)
    assert sorted(Path(p).name for p in fetched(hub)[before:]) == sorted(
        Path(n.file).name for n in train
    )
    assert len(taken(split, place).pixels) == split.images.size
    before = len(fetched(hub))
    made(place, "mnist", crops=(ONE,))
    assert fetched(hub)[before:] == []
    made(place, "mnist", crops=BOTH)
    assert files_of(place / "cache" / "data") == files_of(place / "whole" / "data")


def test_what_a_fresh_set_takes_is_said_before(hub, place) -> None:
    served(hub, place, "flowers102")
    planned = plan(job(place, "flowers102", crops=(ONE, TWO)))
    (cost,) = cost_of([planned], {}).sets
    (plain,) = cost_of([plan(job(place, "flowers102"))], {}).sets
    assert cost.download == plain.download == sum(f.size for f in planned.files)
    assert cost.pixels - plain.pixels == cost.wide == 3 * 102 * 36**2 * 3  # ceil(32 / 0.9)
    assert (plain.wide, plain.again, plain.held, cost.again) == (0, 0, 0, 0)
    assert cost.held == sum(f.size for f in planned.files if "test" not in f.path)
    whole = cost_of([planned], {})
    assert whole.peak == cost_of([plan(job(place, "flowers102"))], {}).peak + cost.held
    store = prepare.prepare(planned, QUIET)
    assert (store.folder / "wide.u8").stat().st_size <= cost.wide
    assert cost_of([planned], {}).keep == 0
    (store.folder / "00000.u8").write_bytes(bytes((store.folder / "00000.u8").stat().st_size))
    (cost,) = cost_of([planned], {}).sets
    assert (cost.download, cost.wide, cost.again, cost.held) == (planned.files[0].size, 0, 0, 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_byte_is_found_told_and_mended(hub, place, name, capsys) -> None:
    served(hub, place, "mnist")
    options = Options(side=SIDE, yes=True)
    assert prepare_all(["mnist"], options, "none") == 0
    store = look(next((place / "cache" / "data" / "mnist").glob("*-32")))
    assert isinstance(store, Store)
    want, split = files_of(store.folder), shots(place, "mnist", cropped_shots("mnist")[0])
    path = store.folder / name
    raw = bytearray(path.read_bytes())
    at = 0 if name == "wide.u8" else len(raw) // 2  # in an image of the split
    raw[at] ^= 1
    path.write_bytes(bytes(raw))
    found = list(damage(store, declaration("mnist"), lambda _: None))
    assert len(found) == 1
    assert str(path) in found[0]
    with pytest.raises(BenchError, match=r"as it was prepared.*data prepare mnist") as error:
        taken(split, place)
    assert error.value.code == 5
    assert len(stored_images(split).pixels(SIDE)[0]) == split.images.size
    before = len(fetched(hub))
    assert prepare_all(["mnist"], options, "plain") == 0
    assert "it is made again" in capsys.readouterr().out
    assert files_of(store.folder) == want
    assert all("train" in path for path in fetched(hub)[before:])


def test_what_is_missing_or_of_another_set_is_not_taken(hub, place) -> None:
    served(hub, place, "mnist")
    store = made(place, "mnist", crops=(ONE,))
    split, note = shots(place, "mnist", ONE), store.folder / "wide.json"
    held = json.loads(note.read_text())
    for key, value in (("tables", "0" * 64), ("count", 3), ("rules", [repr(TWO)])):
        note.write_text(json.dumps({**held, key: value}))
        with pytest.raises(BenchError, match=f"{note}.*other content"):
            taken(split, place)
    note.write_text(json.dumps(held))
    whole = (store.folder / "wide.u8").read_bytes()
    (store.folder / "wide.u8").write_bytes(whole[:-1])
    with pytest.raises(BenchError, match="another number of bytes"):
        taken(split, place)
    (store.folder / "wide.u8").unlink()
    with pytest.raises(BenchError, match=r"wide\.u8.*no file"):
        taken(split, place)
    made(place, "mnist", crops=(ONE,))
    assert (store.folder / "wide.u8").read_bytes() == whole


def test_shots_of_files_that_the_user_gives(place) -> None:
    """In CoOp's layout; images that changed since are refused, and what was there stays."""
    source = replace(declaration("eurosat-coop").source, rows={"train": 20, "val": 20, "test": 20})
    declared = replace(declaration("eurosat-coop"), source=source)
    given = coop_folder(place)
    changes = {"declared": declared, "source": source, "given": given}
    made(place, "eurosat-coop", **changes)
    split = shots(place, "eurosat-coop", ONE, declared=declared)
    with pytest.raises(BenchError, match="data prepare eurosat-coop --from FOLDER --side 32"):
        taken(split, place)
    store = made(place, "eurosat-coop", crops=(ONE,), **changes)
    found, label = taken(split, place), split.labels.tolist()
    assert found.size_N2.tolist() == [[8, 9]] * 10
    red = found.pixels[:][:, :9, :8, 0].reshape(10, -1).mean(axis=1)
    assert np.abs(red - 20 * np.asarray(label)).max() < 4  # as the folder's images were drawn
    before = files_of(store.folder)
    for path in (given / "eurosat" / "2750").rglob("*_train*.jpg"):
        path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(BenchError, match=r"as they were prepared.*another image in row"):
        made(place, "eurosat-coop", crops=(replace(ONE, k=2),), **changes)
    assert files_of(store.folder) == before


# -- which sets, and suites on them


def test_shots_of_all_suites_that_crop_are_prepared_and_of_no_other() -> None:
    drawn = {(s.protocol, s.k, s.parts) for s in cropped_shots("caltech101")}
    assert drawn == {("xtail", 16, ("train",)), ("mtil", 5, ("train",)), ("peft", 16, ("train",))}
    assert {s.k for s in cropped_shots("flowers102")} == {5, 16}
    assert [s.protocol for s in cropped_shots("cifar100")] == ["mtil"]
    assert cropped_shots("flickr30k") == cropped_shots("imagenet") == ()
    cropping = {
        words: {j.declared.name for j in jobs_of(wanted(words), Options()) if j.crops}
        for words in (("retrieval",), ("mtil",), ("retrieval", "peft"), ("cifar100", "coco"))
    }
    assert cropping[("retrieval",)] == set()
    assert len(cropping[("mtil",)]) == 11
    assert cropping[("retrieval", "peft")] == {"caltech101", "stanford-cars", "oxford-pets"}
    assert cropping[("cifar100", "coco")] == {"cifar100"}


def test_status_says_which_sets_have_them(hub, place) -> None:
    served(hub, place, "mnist", "sketch")
    made(place, "sketch")
    made(place, "mnist")
    assert "prepared, no crops" in status(["mnist"], None)
    made(place, "mnist", crops=cropped_shots("mnist"))
    assert "prepared, with crops" in status(["mnist"], None)
    assert "crops" not in status(["sketch"], None)
