"""The lock file: what is known of single files, before a repository's listing is resolved."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.errors import BenchError
from benchmark.hub import lock
from benchmark.hub.client import RemoteFile
from benchmark.hub.lock import Entry, KnownFile

SHA, OTHER = "a" * 64, "b" * 64
PATH = "data/test-00000-of-00001.parquet"
FACT = KnownFile(PATH, 1_000, SHA)
PINNED = Entry("owner/name", "c" * 40, "c" * 40, known=(FACT,))


def listed(*files: RemoteFile) -> Entry:
    return replace(PINNED, files=files, known=None)


def test_known_files_survive_being_written_and_read(tmp_path) -> None:
    file = tmp_path / "lock.json"
    entries = {
        "one": PINNED,
        "two": replace(PINNED, known=(KnownFile("a", None, SHA), KnownFile("b", 3, None))),
        "three": listed(RemoteFile(PATH, 1_000, SHA)),
        "four": replace(PINNED, known=None),
    }
    lock.write(file, entries)
    assert lock.read(file) == entries
    assert f'{{"path": "{PATH}", "size": 1000, "sha256": "{SHA}"}}' in file.read_text()


def test_what_is_not_of_single_files_stands_where_it_always_did(tmp_path) -> None:
    """A program from before reads version 1, whose entries have these eight keys and no other."""
    file = tmp_path / "lock.json"
    lock.write(file, {"one": PINNED, "two": replace(PINNED, known=None)})
    plain = json.loads(file.read_text())
    assert plain["version"] == 1
    keys = {"repo", "declared", "revision", "files", "columns", "rows", "dropped", "splits"}
    assert all(set(entry) == keys for entry in plain["entries"].values())
    del plain["known"]  # as such a program writes it again
    file.write_text(json.dumps(plain))
    assert lock.read(file) == {"one": replace(PINNED, known=None), "two": plain_entry()}


def plain_entry() -> Entry:
    return replace(PINNED, known=None)


@pytest.mark.parametrize(
    "files",
    [
        (RemoteFile(PATH, 1_000, SHA), RemoteFile("data/train-0.parquet", 5, OTHER)),
        (RemoteFile(PATH, 1_000, None),),  # the hub tells no sha256
        (RemoteFile("data/test.parquet", 1_000, SHA),),  # another name, the same content
    ],
)
def test_a_listing_that_agrees_replaces_what_was_known(files) -> None:
    whole = lock.merged("name", PINNED, listed(*files))
    assert (whole.files, whole.known) == (files, None)


@pytest.mark.parametrize(
    ("file", "got"),
    [
        (RemoteFile(PATH, 999, SHA), f"{PATH} had 1000 bytes and has 999"),
        (RemoteFile(PATH, 1_000, OTHER), f"{PATH} had sha256 {SHA} and has {OTHER}"),
        (RemoteFile("x.parquet", 1_000, OTHER), f"{PATH} is not there, nor is another file"),
        (RemoteFile("x.parquet", 1_000, None), f"{PATH} is not there, nor is another file"),
    ],
)
def test_a_listing_that_differs_is_refused_with_both_values(file, got) -> None:
    with pytest.raises(BenchError) as error:
        lock.merged("name", PINNED, listed(file))
    assert error.value.got.startswith(got)
    assert error.value.code == 5
    assert "`cl-bench data lock name --relock`" in error.value.fix


def test_facts_that_lack_a_value_are_compared_by_the_other() -> None:
    size = replace(PINNED, known=(KnownFile(PATH, 1_000, None),))
    sha = replace(PINNED, known=(KnownFile(PATH, None, SHA),))
    assert lock.merged("n", size, listed(RemoteFile(PATH, 1_000, OTHER))).known is None
    assert lock.merged("n", sha, listed(RemoteFile(PATH, 7, SHA))).known is None
    with pytest.raises(BenchError, match=f"{PATH} had 1000 bytes and has 7"):
        lock.merged("n", size, listed(RemoteFile(PATH, 7, SHA)))
    with pytest.raises(BenchError, match=f"{PATH} is not there"):
        lock.merged("n", size, listed(RemoteFile("x", 1_000, SHA)))


def test_facts_are_kept_until_there_is_a_listing() -> None:
    resolved = replace(PINNED, known=None, columns={"image": "image"})
    assert lock.merged("n", PINNED, resolved) == replace(resolved, known=(FACT,))


def test_an_installed_package_tells_what_it_knows(tmp_path, monkeypatch) -> None:
    shipped, own = tmp_path / "shipped.json", tmp_path / "own.json"
    lock.write(shipped, {"one": PINNED, "two": PINNED, "three": PINNED})
    lock.write(own, {
        "one": replace(PINNED, known=None), "two": listed(RemoteFile(PATH, 1_000, SHA)),
        "four": PINNED,
    })  # fmt: skip
    monkeypatch.delenv("CL_BENCH_LOCK", raising=False)
    monkeypatch.setattr(lock, "SHIPPED", shipped)
    monkeypatch.setattr(lock, "lock_path", lambda: own)
    found = lock.read(own)
    assert {key: entry.known for key, entry in found.items()} == {
        "one": (FACT,), "two": None, "three": (FACT,), "four": (FACT,),
    }  # fmt: skip


@pytest.mark.parametrize(
    "known",
    [
        {"two": []},
        {"one": [{"path": PATH, "size": "1000", "sha256": SHA}]},
        {"one": [{"path": PATH, "size": 1_000}]},
        {"one": [{"path": 3, "size": 1_000, "sha256": None}]},
        {"one": PATH},
        [],
    ],
)
def test_a_damaged_list_of_known_files_is_one_sentence(tmp_path: Path, known) -> None:
    file = tmp_path / "lock.json"
    lock.write(file, {"one": replace(PINNED, known=None)})
    file.write_text(json.dumps({**json.loads(file.read_text()), "known": known or [1]}))
    with pytest.raises(BenchError, match="a lock file of version 1") as error:
        lock.read(file)
    assert error.value.code == 4


def test_what_the_shipped_file_knows_of_single_files(monkeypatch) -> None:
    """Sizes and hashes that public pages of the hub state."""
    monkeypatch.delenv("CL_BENCH_LOCK", raising=False)
    entries = lock.read(lock.SHIPPED)
    known = {key: entry.known for key, entry in entries.items() if entry.known}
    assert known == {
        "cifar100": (KnownFile(
            "cifar100/test-00000-of-00001.parquet", 23_772_751,
            "98776c529bb146a9c791229df74a5cf076be9b43d82dbbd334b6a7788d73dc68",
        ),),
        "dtd": (KnownFile(
            "data/test-00000-of-00001.parquet", 179_155_504,
            "3e137d5255ddd649a004f19e6b36f170572e2d6504b047f2f4fdb616180fdce3",
        ),),
        "mnist": (KnownFile(
            "mnist/train-00000-of-00001.parquet", None,
            "f2c01285a9f89399335b00ee4e8d499dc4e46db5e39c74903ce5618d895eb3bf",
        ),),
    }  # fmt: skip
