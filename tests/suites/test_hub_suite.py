"""Datasets of a user's suite that are on the hub: which files, pinned, offline, and every error."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from split_images import image_source
from typer.testing import CliRunner

from benchmark.cli.data import own as cli_own
from benchmark.cli.main import app
from benchmark.data.own import hub as own_hub
from benchmark.data.split import Labelled, Pairs
from benchmark.errors import BenchError
from benchmark.suites.custom import read_suite, suite_pins
from benchmark.suites.suite import Suite

HEAD = 'name = "own"\n'
PAIRS = 'captions = "text"\n'
EXPORT = "refs/convert/parquet"


def png(grey: int) -> bytes:
    """A 4 x 4 picture of one grey value."""
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (grey,) * 3).save(stream, "PNG")
    return stream.getvalue()


def parquet(greys: list[int], names: list[str] | None = None, **columns: Any) -> bytes:
    """A parquet file as `datasets` writes it: struct images and, with `names`, a ClassLabel."""
    texts = [f"grey {g}" for g in greys]
    cells = [{"bytes": png(g), "path": f"{g}.png"} for g in greys]
    table = pa.table({"image": cells, "text": texts, **columns})
    if names is not None:
        kind = {"label": {"names": names, "_type": "ClassLabel"}}
        about = json.dumps({"info": {"features": kind}})
        table = table.replace_schema_metadata({"huggingface": about})
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


def tar(greys: list[int]) -> bytes:
    """A webdataset shard."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for grey in greys:
            for ending, raw in (("png", png(grey)), ("txt", f"grey {grey}".encode())):
                info = tarfile.TarInfo(f"{grey:05d}.{ending}")
                info.size = len(raw)
                archive.addfile(info, io.BytesIO(raw))
    return stream.getvalue()


def greys(split: Pairs | Labelled) -> list[int]:
    """The grey values of a split's images, in order."""
    source = image_source(split)
    return [int(np.asarray(source.open(i))[0, 0, 0]) for i in range(source.size)]


class Desk:
    """A folder with a suite file, a hub cache of its own, and the hub."""

    def __init__(self, folder: Path, server: Any, cache: Path) -> None:
        self.folder, self.server, self.cache = folder, server, cache
        self.file, self.lock = folder / "own.toml", folder / "own.lock.json"

    def add(self, repo: str, files: dict[str, bytes], **options: Any) -> str:
        """A commit of a repository."""
        return str(self.server.add(repo, files, **options))

    def write(self, *tables: str) -> Path:
        """The suite file, of [[task]] and [[held_out]] tables."""
        self.file.write_text(HEAD + "".join(tables))
        return self.file

    def suite(self, *tables: str) -> Suite:
        """The suite, as a new process reads it."""
        return read_suite(str(self.write(*tables)))

    def requests(self) -> int:
        """How many since the last call."""
        found = len(self.server.requests)
        self.server.requests.clear()
        return found

    def entries(self) -> dict[str, Any]:
        """Of the lock file."""
        return dict(json.loads(self.lock.read_text())["entries"])

    def run(self, *words: str) -> Any:
        """A command of `cl-bench`; an error is text in the output."""
        found = CliRunner().invoke(app, words)
        if isinstance(found.exception, BenchError):
            return found.exception.code, f"{found.output}{found.exception}"
        return found.exit_code, found.output


@pytest.fixture
def desk(hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Nothing pinned, nothing cached."""
    cache = tmp_path / "hub-cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    folder = tmp_path / "suite"
    folder.mkdir()
    yield Desk(folder, hub.server, cache)
    for kind, name in list(hub.server._repos):
        if name.startswith("me/"):
            hub.server.forget(name, kind=kind)


def task(repo: str, *lines: str, name: str = "a") -> str:
    """A [[task]] of a repository."""
    return "\n".join(["[[task]]", f'name = "{name}"', f'hub = "{repo}"', *lines, PAIRS])


def held(repo: str, *lines: str, name: str = "h") -> str:
    """A [[held_out]] set of a repository."""
    return task(repo, *lines, name=name).replace("[[task]]", "[[held_out]]")


def refused(call: Callable[[], object], expected: str, got: str, fix: str, code: int = 2) -> None:
    """Whether the sentence's three parts hold the words."""
    with pytest.raises(BenchError) as error:
        call()
    parts = (error.value.expected, error.value.got, error.value.fix)
    missed = [w for w, p in zip((expected, got, fix), parts, strict=True) if w not in p]
    assert not missed, f"{missed} not in: {error.value}"
    assert error.value.code == code


TWO = {
    "data/train-00000-of-00002.parquet": parquet([0, 1]),
    "data/train-00001-of-00002.parquet": parquet([2]),
    "data/test-00000-of-00001.parquet": parquet([3, 4]),
}


# ---- Which files -------------------------------------------------------------------------------


def test_the_splits_called_train_and_test_are_taken(desk: Desk) -> None:
    desk.add("me/two", TWO)
    found = desk.suite(task("me/two")).tasks[0]
    train, test = found.load("train"), found.load("test")
    assert (greys(train), greys(test)) == ([0, 1, 2], [3, 4])
    assert isinstance(train, Pairs)
    assert train.captions == (("grey 0",), ("grey 1",), ("grey 2",))
    assert found.licence == "not stated"


CARD = b"""---
license: cc-by-4.0
configs:
- config_name: words
  data_files:
  - {split: train, path: "w/*.parquet"}
- config_name: pictures
  default: true
  data_files:
  - {split: train, path: [p/one.parquet, p/two.parquet]}
  - {split: dev, path: "p/last*"}
- config_name: folder
  data_dir: f
---
# A repository
"""
CONFIGURED = {
    "README.md": CARD,
    "w/a.parquet": parquet([90]),
    "p/one.parquet": parquet([0]),
    "p/two.parquet": parquet([1]),
    "p/last-1.parquet": parquet([2]),
    "p/unlisted.parquet": parquet([91]),
    "f/train.parquet": parquet([5]),
    "f/test.parquet": parquet([6]),
}
NAMED = 'split = { train = "train", test = "dev" }'
FORMS = [
    (CONFIGURED, [NAMED], [0, 1], [2]),
    (CONFIGURED, ['config = "folder"'], [5], [6]),
    (CONFIGURED, ['split = { train = ["train", "dev"], test = "train" }'], None, None),
    (CONFIGURED, ['files = { train = "p/[to]*.parquet", test = "p/last-1.parquet" }'], [0, 1], [2]),
    (CONFIGURED, ['files = ["f/*.parquet"]', "split = { test = 0.5 }"], [5], [6]),
    (CONFIGURED, ['config = "folder"', 'split = { of = ["test", "train"], test = 0.5 }'], [6], [5]),
    ({"x/train.parquet": parquet([1]), "x/val.parquet": parquet([2])},
     ['split = { train = "train", test = "validation" }'], [1], [2]),
    ({"all.parquet": parquet([1, 2, 3], fold=["x", "y", "z"])},
     ['split = { column = "fold", train = ["y", "x"], test = ["z"] }'], [1, 2], [3]),
    ({**TWO, "data/extra-00000-of-00001.parquet": parquet([9])},
     ['split = { column = "text", train = ["grey 2"], test = ["grey 0"] }'], [2], [0]),
    ({"train/0.tar": tar([1, 2]), "train/1.tar": tar([3]), "test/0.tar": tar([4]), "LICENSE": b"x"},
     ['image = "png"', "# captions below"], [1, 2, 3], [4]),
]  # fmt: skip


@pytest.mark.parametrize(("files", "lines", "train", "test"), FORMS)
def test_forms(
    desk: Desk,
    files: dict[str, bytes],
    lines: list[str],
    train: list[int] | None,
    test: list[int] | None,
) -> None:
    desk.add("me/forms", files)
    text = task("me/forms", *lines)
    if "train/0.tar" in files:
        text = text.replace('"text"', '"txt"')
    if train is None:
        refused(lambda: desk.suite(text), "separate splits", "'train' for both", "name two")
        return
    found = desk.suite(text).tasks[0]
    got = greys(found.load("train")), greys(found.load("test"))
    if "test = 0.5" in lines[-1]:  # which of the two is tested is the generator's choice
        assert sorted(got[0] + got[1]) == sorted(train + (test or []))
    else:
        assert got == (train, test)


@pytest.mark.parametrize(
    ("lines", "test"),
    [
        ([], [3, 4]),
        (['split = "train"'], [0, 1, 2]),
        (['split = ["test", "train"]'], [3, 4, 0, 1, 2]),
        (['split = { test = "train" }'], [0, 1, 2]),
        (['files = "**/test-*.parquet"'], [3, 4]),
        (['files = { test = "data/train-00001*" }'], [2]),
    ],
)
def test_forms_of_held_out_sets(desk: Desk, lines: list[str], test: list[int]) -> None:
    desk.add("me/two", TWO)
    found = desk.suite(task("me/two"), held("me/two", *lines)).held_out[0]
    assert greys(found.load("test")) == test


def test_names_of_classes_are_those_of_the_files(desk: Desk) -> None:
    names = ["ape", "bee"]
    desk.add("me/l", {"train.parquet": parquet([0, 1], names, label=[1, 0]),
                      "test.parquet": parquet([2], names, label=[1])})  # fmt: skip
    text = task("me/l").replace(PAIRS, 'label = "label"\n')
    split = desk.suite(text).tasks[0].load("test")
    assert isinstance(split, Labelled)
    assert (split.classnames, split.labels.tolist()) == (("ape", "bee"), [1])


def test_the_hubs_own_copy_of_a_repository(desk: Desk) -> None:
    """Its folders are configurations, never one table; a copy that is cut off says so."""
    desk.add("me/script", {"script.py": b"x", "data.zip": b"x" * 2000})
    refused(
        lambda: desk.suite(task("me/script")).tasks[0].load("test"),
        "parquet files or webdataset tars in", "1 .zip",
        "by a script, which is not run here; take the hub's own copy where it has one, revision = "
        f'"{EXPORT}"',
    )  # fmt: skip
    copies = {
        "en/train/0000.parquet": parquet([1]),
        "en/test/0000.parquet": parquet([2]),
        "fr/train/0000.parquet": parquet([3]),
        "fr/partial-test/0000.parquet": parquet([4]),
        ".gitattributes": b"",
    }
    desk.add("me/script", copies, ref=EXPORT)
    line = f'revision = "{EXPORT}"'
    load = lambda *lines: desk.suite(task("me/script", line, *lines)).tasks[0].load("train")  # noqa: E731
    refused(lambda: load(), "one configuration of me/script", "'en', 'fr'", 'config = "en"')
    refused(lambda: load('config = "fr"'), "whole split 'test'", "first gigabytes", "me/script")
    assert greys(load('config = "en"')) == [1]


NO_FILES = [
    ({"a.csv": b"x", "b.csv": b"y"}, [], "in split 'train'", "2 .csv", "refs/convert/parquet"),
    ({"train/a.jpg": b"x", "train/metadata.parquet": parquet([1]), "test/a.jpg": b"x"},
     ["# loose images"], "in split 'train'", "1 .jpg, 1 .parquet", "refs/convert/parquet"),
    ({"README.md": b"# hi"}, [], "parquet files or webdataset tars", "an empty rep", "download"),
    (TWO, ['split = { train = "train", test = "dev" }'], "a split 'dev'", "'test', 'train'",
     "'test'"),
    ({"train.parquet": parquet([1])}, [], "a split 'test' of me/none", "only a split 'train'",
     "split = { test = 0.2 }"),
    ({"train.parquet": parquet([1]), "dev.parquet": parquet([2])}, [], "a split 'test'",
     "'train', 'validation'", 'split = { train = "train", test = "validation" }'),
    ({"dev.parquet": parquet([1]), "test.parquet": parquet([2])}, ["split = { test = 0.5 }"],
     "'train' of me/none, or only one", "'test', 'validation'", 'of = "validation"'),
    (CONFIGURED, ['config = "pics"'], "a configuration 'pics'", "'words'", "'pictures'"),
    (CONFIGURED, ['files = { train = "p/*.parquet", test = "p/last*" }'], "separate files",
     "'p/last-1.parquet' for both", "name two"),
    (CONFIGURED, ['files = { train = "q/*.parquet", test = "p/last*" }'],
     "files like 'q/*.parquet'", "others, like", "correct `files`"),
    (CONFIGURED, ['files = { train = "README.md", test = "p/last*" }'], "parquet files or",
     "'README.md'", "name those alone"),
    ({"train/a.tar": tar([1]), "train/b.parquet": parquet([1]), "test/c.tar": tar([2])}, [],
     "either parquet files or tars", "train/", "`files`"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "lines", "expected", "got", "fix"), NO_FILES)
def test_files_that_are_not_there(
    desk: Desk, files: dict[str, bytes], lines: list[str], expected: str, got: str, fix: str
) -> None:
    desk.add("me/none", files)
    code = 4 if "q/*" in "".join(lines) else 2
    found = desk.suite(task("me/none", *lines))
    refused(lambda: found.tasks[0].load("test"), expected, got, fix, code)
    assert not desk.lock.exists()


HELD_FILES = [
    ('hub = "me/x"\ntrain = "a.parquet"', "either `hub` or files of your own", "`train`"),
    ('hub = "me/x"\nimages = "d"', "either `hub` or files of your own", "`images`"),
    ('hub = "https://huggingface.co/datasets/me/x"', "an id of the hub", "huggingface.co"),
    ('hub = "me/x/y"', "an id of the hub", "me/x/y"),
    ('hub = "me/x"\nsplit = "train"', "a split for training and one for tests", "'train'"),
    ('hub = "me/x"\nsplit = { test = "t" }', "`train` and `test`", "no `train`"),
    ('hub = "me/x"\nsplit = { test = 1.5 }', "from 0 to 1", "1.5"),
    ('hub = "me/x"\nsplit = { test = 0.5, off = "a" }', "known keys", "'off'"),
    ('hub = "me/x"\nfiles = "a.parquet"', "a `split` that divides `files`", "none"),
    ('hub = "me/x"\nfiles = "a.parquet"\nsplit = { train = "a", test = "b" }', "divides", "names"),
    ('hub = "me/x"\nfiles = "a"\nsplit = { of = "a", test = 0.5 }', "no `of`", "both"),
    (
        'hub = "me/x"\nfiles = "a"\nconfig = "a"\nsplit = { test = 0.5 }',
        "only with splits",
        "files",
    ),
    ('hub = "me/x"\nfiles = "../a"\nsplit = { test = 0.5 }', "within the repository", "../a"),
    ('hub = "me/x"\nfiles = "hf://a"\nsplit = { test = 0.5 }', "within the repository", "hf://a"),
    ('hub = "me/x"\nfiles = { train = "a" }', "`train` and `test`", "no `test`"),
    (
        'hub = "me/x"\nfiles = { train = "a", test = "b" }\nsplit = { test = 0.5 }',
        "only for",
        "two",
    ),
    ('train = "a.parquet"\ntest = "b.parquet"\nrevision = "main"', "only beside `hub`", "your own"),
    ('data = "a.parquet"\nsplit = { of = "train", test = 0.5 }', "known keys", "'of'"),
]


@pytest.mark.parametrize(("lines", "expected", "got"), HELD_FILES)
def test_what_a_suite_file_may_not_say(desk: Desk, lines: str, expected: str, got: str) -> None:
    text = f'[[task]]\nname = "a"\n{lines}\n{PAIRS}'
    refused(lambda: desk.suite(text), expected, got, "")
    assert desk.requests() == 0


# ---- Pinned ------------------------------------------------------------------------------------


def test_what_was_pinned_is_read_ever_after(desk: Desk, capsys: Any) -> None:
    first = desk.add("me/two", TWO)
    text = task("me/two")
    before = desk.suite(text).tasks[0]
    assert greys(before.load("test")) == [3, 4]
    assert before.origin() == f"me/two@{first}"
    assert first in capsys.readouterr().err
    entry = desk.entries()["a/test"]
    assert (entry["repo"], entry["declared"], entry["revision"]) == (
        "me/two", "main, split 'test'", first,
    )  # fmt: skip
    assert [set(file) for file in entry["files"]] == [{"path", "size", "sha256"}]
    assert all(len(file["sha256"]) == 64 for file in entry["files"])
    second = desk.add("me/two", {**TWO, "data/test-00000-of-00001.parquet": parquet([8])})
    desk.requests()
    after = desk.suite(text).tasks[0]
    assert greys(after.load("test")) == [3, 4]
    assert image_source(after.load("test")).content == image_source(before.load("test")).content
    assert desk.requests() == 0
    code, said = desk.run("data", "lock", str(desk.file))
    assert code == 0
    assert f"main is {second[:12]} by now; {first[:12]} is pinned" in said
    assert desk.run("data", "lock", str(desk.file), "--relock")[0] == 0
    assert greys(desk.suite(text).tasks[0].load("test")) == [8]


def test_a_set_that_is_added_later_is_of_the_pinned_commit(desk: Desk) -> None:
    first = desk.add("me/two", TWO)
    desk.suite(task("me/two")).tasks[0].load("test")
    desk.add("me/two", {"data/test-00000-of-00001.parquet": parquet([8])})
    later = desk.suite(task("me/two"), held("me/two", 'split = "train"')).held_out[0]
    assert (later.origin(), greys(later.load("test"))) == (f"me/two@{first}", [0, 1, 2])


@pytest.mark.parametrize(
    ("lines", "got"),
    [
        (['revision = "v1"'], "was \"main, split 'train'\" and is \"v1, split 'train'\""),
        ([NAMED], "was \"main, split 'test'\" and is \"main, split 'dev'\""),
        (['config = "default"'], "is \"main, config 'default', split 'train'\""),
    ],
)
def test_another_declaration_is_refused(desk: Desk, lines: list[str], got: str) -> None:
    commit = desk.add("me/two", TWO)
    desk.add("me/two", TWO, ref="refs/tags/v1", revision=commit)
    desk.suite(task("me/two")).tasks[0].load("test")
    changed = desk.suite(task("me/two", *lines)).tasks[0]
    fix = f"cl-bench data lock {desk.file} --relock"
    refused(lambda: changed.load("test"), "as it is pinned in own.lock.json", got, fix, 5)


def test_another_repository_is_refused(desk: Desk) -> None:
    desk.add("me/two", TWO)
    desk.add("me/three", TWO)
    desk.suite(task("me/two")).tasks[0].load("test")
    changed = desk.suite(task("me/three")).tasks[0]
    refused(lambda: changed.load("test"), "as it is pinned", "'me/two' and is 'me/three'", "", 5)


@pytest.mark.parametrize(
    ("revision", "given"),
    [("main", "main"), ("v1", "v1"), ("a" * 40, "a" * 40), ("a" * 40, "aaaaaaaa")],
)
def test_revisions(desk: Desk, revision: str, given: str) -> None:
    desk.add("me/two", TWO, revision="a" * 40, refs={"refs/tags/v1": "a" * 40})
    found = desk.suite(task("me/two", f'revision = "{given}"')).tasks[0]
    assert found.origin() == f"me/two@{'a' * 40}"


@pytest.mark.parametrize("key", ["revision", "path", "none", "moved"])
def test_a_forged_lock_file_is_refused(desk: Desk, key: str) -> None:
    desk.add("me/two", TWO, revision="a" * 40)
    text = task("me/two", 'revision = "aaaaaaa"')
    desk.suite(text).tasks[0].load("test")
    whole = json.loads(desk.lock.read_text())
    entry = whole["entries"]["a/test"]
    if key == "revision":
        entry["revision"] = "main"
    elif key == "moved":
        entry["revision"] = "b" * 40
    elif key == "path":
        entry["files"][0]["path"] = "../../secret.parquet"
    else:
        entry["files"] = []
    desk.lock.write_text(json.dumps(whole))
    found = desk.suite(text).tasks[0]
    refused(lambda: found.load("test"), "as it is pinned", "", "remove 'a/test'", 5)


def test_a_rewritten_history_needs_nothing_that_is_cached_and_else_says_so(desk: Desk) -> None:
    first = desk.add("me/two", TWO)
    desk.suite(task("me/two")).tasks[0].load("test")
    desk.server.forget("me/two")
    desk.add("me/two", {**TWO, "data/test-00000-of-00001.parquet": parquet([8])})
    assert greys(desk.suite(task("me/two")).tasks[0].load("test")) == [3, 4]
    for file in desk.cache.rglob("test-*.parquet"):
        file.unlink()
    again = desk.suite(task("me/two")).tasks[0]
    relock = f"cl-bench data lock {desk.file} --relock"
    refused(lambda: again.load("test"), "me/two", "no such revision", relock, 4)
    assert desk.entries()["a/test"]["revision"] == first


def test_a_folder_that_cannot_be_written(desk: Desk, monkeypatch: Any) -> None:
    desk.add("me/two", TWO)
    found = desk.suite(task("me/two")).tasks[0]

    def no(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.touch", no)  # whoever runs the tests may write anywhere
    refused(lambda: found.load("test"), "to write in", "Permission", "copy the suite file", 6)


# ---- From the cache ----------------------------------------------------------------------------


def test_offline_after_the_first_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.add("me/two", TWO)
    text = task("me/two"), held("me/two", 'split = "train"')
    expected = greys(desk.suite(*text).tasks[0].load("train"))
    desk.requests()
    for name, value in (("HF_HUB_OFFLINE", True), ("ENDPOINT", "http://127.0.0.1:9")):
        with monkeypatch.context() as patch:
            patch.setattr(f"huggingface_hub.constants.{name}", value)
            suite = desk.suite(*text)
            assert greys(suite.tasks[0].load("train")) == expected
            assert greys(suite.held_out[0].load("test")) == expected
            assert desk.run("data", "prepare", str(desk.file))[0] == 0
            assert desk.run("data", "verify", str(desk.file))[0] == 0
            assert "1 of 1 files" in desk.run("data", "status", str(desk.file))[1]
    assert desk.requests() == 0


def test_offline_before_the_first_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.add("me/two", TWO)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    found = desk.suite(task("me/two")).tasks[0]
    fix = f"unset HF_HUB_OFFLINE, then run `cl-bench data prepare {desk.file}`"
    refused(lambda: found.load("test"), "what 'a/train' is", "no entry", fix, 4)


@pytest.mark.parametrize("offline", [False, True])
def test_a_damaged_file_is_fetched_again_or_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    desk.add("me/two", TWO)
    desk.suite(task("me/two")).tasks[0].load("test")
    (file,) = desk.cache.rglob("test-*.parquet")
    good = file.read_bytes()
    file.resolve().write_bytes(parquet([3, 5]))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    assert desk.run("data", "verify", str(desk.file))[0] == 5
    again = desk.suite(task("me/two")).tasks[0]
    if offline:
        refused(lambda: again.load("test"), "test-00000", "other bytes", "unset HF_HUB_OFFLINE", 4)
    else:
        assert greys(again.load("test")) == [3, 4]
        assert file.read_bytes() == good


def test_gigabytes_are_not_fetched_by_a_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.add("me/big", TWO)
    for module in (own_hub, cli_own):
        monkeypatch.setattr(module, "AT_ONCE", 100)
    found = desk.suite(task("me/big")).tasks[0]
    fix = f"run `cl-bench data prepare {desk.file}`"
    refused(lambda: found.load("test"), "in the hub's cache", "3 files", fix, 4)
    assert not list(desk.cache.rglob("*.parquet"))
    code, said = desk.run("data", "prepare", str(desk.file))
    assert (code, "--yes" in said, "me/big@" in said) == (2, True, True)
    code, said = desk.run("data", "prepare", str(desk.file), "--yes")
    assert code == 0, said
    assert greys(desk.suite(task("me/big")).tasks[0].load("test")) == [3, 4]
    for path, size in ((f.path, f.sent) for f in desk.server.downloads() if f.repo == "me/big"):
        assert size == len(TWO[path])


def test_a_wrong_column_is_said_before_anything_is_fetched(desk: Desk) -> None:
    rng = np.random.default_rng(0)
    large = {"train.parquet": parquet([0, 1], noise=[rng.bytes(500_000) for _ in range(2)]),
             "test.parquet": parquet([2])}  # fmt: skip
    desk.add("me/columns", large)
    desk.write(task("me/columns").replace('"text"', '"txet"'))
    for verb in ("lock", "prepare"):
        code, said = desk.run("data", verb, str(desk.file), *["--yes"] * (verb == "prepare"))
        assert (code, "'txet' in me/columns:train.parquet" in said) == (2, True)
        assert "did you mean 'text'" in said
    assert not list(desk.cache.rglob("*.parquet"))
    assert sum(d.sent for d in desk.server.downloads() if d.repo == "me/columns") < 400_000


def test_small_files_without_a_digest_get_one(desk: Desk) -> None:
    """The hub tells none of files that are no LFS objects; what was fetched first counts."""
    import gzip

    files = {f"{part}.tgz": gzip.compress(tar([i])) for i, part in enumerate(("train", "test"))}
    desk.add("me/small", files)
    text = task("me/small", 'files = { train = "train.tgz", test = "test.tgz" }')
    text = text.replace('"text"', '"txt"')
    assert greys(desk.suite(text).tasks[0].load("test")) == [1]
    assert all(len(f["sha256"]) == 64 for e in desk.entries().values() for f in e["files"])
    (file,) = desk.cache.rglob("test.tgz")
    raw = bytearray(file.read_bytes())
    raw[-9] ^= 1
    file.resolve().write_bytes(raw)
    assert desk.run("data", "verify", str(desk.file))[0] == 5
    assert greys(desk.suite(text).tasks[0].load("test")) == [1]


def test_columns_in_the_names_of_folders(desk: Desk) -> None:
    files = {"train/label=ape/0.parquet": parquet([0]), "train/label=bee/0.parquet": parquet([1]),
             "held/label=bee/0.parquet": parquet([7])}  # fmt: skip
    desk.add("me/hive", files)
    line = 'files = { train = "train/**/*.parquet", test = "held/**" }'
    text = task("me/hive", line).replace(PAIRS, 'label = "label"\n')
    split = desk.suite(text).tasks[0].load("test")
    assert isinstance(split, Labelled)
    assert (split.classnames, split.labels.tolist(), greys(split)) == (("ape", "bee"), [1], [7])


def test_processes_that_pin_at_once_agree(desk: Desk) -> None:
    from concurrent.futures import ThreadPoolExecutor

    desk.add("me/two", TWO)
    desk.write(task("me/two"))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: suite_pins(str(desk.file)).plan(), range(4)))
    assert all([each.commit for each in plan] == [found[0][0].commit] * 2 for plan in found)
    assert sum("/tree/" in path for _, path in desk.server.requests) == 1


def test_options_for_published_sets_are_refused_beside_a_suite_file(desk: Desk) -> None:
    desk.write(task("me/two"))
    for words in (["--side", "64"], ["--cache-dir", "x"], ["--keep-raw"]):
        code, said = desk.run("data", "prepare", str(desk.file), *words)
        assert (code, words[0] in said) == (2, True)
    assert desk.run("data", "prepare", str(desk.file), "kream")[0] == 2
    (desk.folder / "plain.toml").write_text(
        HEAD + '[[task]]\nname = "a"\ntrain = "a.parquet"\ntest = "b.parquet"\n' + PAIRS
    )
    code, said = desk.run("data", "lock", str(desk.folder / "plain.toml"))
    assert (code, "no dataset with `hub`" in said) == (2, True)


# ---- Sentences of the hub, and of rows ---------------------------------------------------------


def test_a_repository_that_is_private_gated_or_none(desk: Desk, monkeypatch: Any) -> None:
    again = f"cl-bench data prepare {desk.file}"
    found = desk.suite(task("me/nowhere")).tasks[0]
    refused(lambda: found.load("test"), "me/nowhere", "no such repository, or a private", again, 4)
    desk.add("me/gated", TWO, gated=True)
    found = desk.suite(task("me/gated")).tasks[0]
    refused(lambda: found.load("test"), "me/gated", "terms of use", again, 4)
    monkeypatch.setenv("HF_TOKEN", "hf_allowed")
    assert greys(desk.suite(task("me/gated")).tasks[0].load("test")) == [3, 4]


def test_no_such_revision(desk: Desk) -> None:
    desk.add("me/two", TWO)
    for revision, got in (("v2", "no such revision"), ("0123456", "1 commits")):
        load = desk.suite(task("me/two", f'revision = "{revision}"')).tasks[0].load
        refused(partial(load, "test"), revision, got, "commits/main", 4)


def test_rows_are_called_by_their_repository(desk: Desk) -> None:
    bad = parquet([1, 2], text2=["a", None])
    desk.add("me/rows", {"train.parquet": parquet([0], text2=["b"]), "test.parquet": bad})
    found = desk.suite(task("me/rows").replace('"text"', '"text2"')).tasks[0]
    refused(lambda: found.load("test"), "in me/rows:test.parquet row 1", "None", "")
    cells = pa.table({"image": [{"bytes": None, "path": "/etc/hosts"}], "text": ["x"]})
    stream = io.BytesIO()
    pq.write_table(cells, stream)
    desk.add("me/paths", {"train.parquet": parquet([0]), "test.parquet": stream.getvalue()})
    found = desk.suite(task("me/paths", name="b")).tasks[0]
    refused(lambda: found.load("test"), "me/paths:test.parquet row 0", "a path, '/etc/hosts'", "")
    desk.add("me/broken", {"train.parquet": parquet([0]), "test.parquet": b"PAR1 no"})
    found = desk.suite(task("me/broken", name="c")).tasks[0]
    refused(lambda: found.load("test"), "me/broken:test.parquet", "", "the authors of me/broken")


def test_pictures_on_both_sides_are_refused_with_a_remedy_for_the_hub(desk: Desk) -> None:
    desk.add("me/same", {"train.parquet": parquet([0, 1]), "test.parquet": parquet([1])})
    load = desk.suite(task("me/same")).tasks[0].load
    refused(partial(load, "test"), "separate training and test", "me/same:test", "other splits")


# ---- The whole way -----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_from_the_suite_file_to_the_record(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.records.store import read_record

    commit = desk.add("me/two", TWO)
    monkeypatch.chdir(desk.folder)
    desk.write(task("me/two"), held("me/two", 'split = "train"'))
    words = ["run", "-m", "zs", "--suite", "own.toml", "--output-dir", str(tmp_path / "out"),
             "--cache-dir", str(tmp_path / "cache")]  # fmt: skip
    code, said = desk.run(*words)
    assert code == 0, said
    (record,) = (tmp_path / "out").rglob("*.parquet")
    sources = read_record(record).provenance["sources"]
    assert {s["data"] for s in sources.values()} == {f"me/two@{commit}"}
    desk.requests()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "moved"))
    desk.cache.rename(tmp_path / "moved")
    assert "already" in desk.run(*words)[1]  # the same content, wherever the cache lies
    assert desk.requests() == 0
