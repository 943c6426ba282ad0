"""Which files are which split: as `load_dataset` itself finds it at a hub."""

import io
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.hub.splits import configurations, configured, matching


def parquet() -> bytes:
    """Any file of the kind."""
    stream = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), stream)
    return stream.getvalue()


def card(*configs: str) -> str:
    """A README with a head."""
    return "---\nlicense: mit\nconfigs:\n" + "\n".join(configs) + "\n---\n# Data\n"


NAMED = """- config_name: fr
  default: true
  data_files: [{split: train, path: ["fr/*", "more/*.parquet"]}, {split: test, path: fr2/x.parquet}]
- config_name: en
  data_dir: en"""
REPOSITORIES = {
    "shards": ("", ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet",
                    "data/extra_one-00000-of-00001.parquet", "data/readme.txt"]),
    "folders": ("", ["train/b.parquet", "train/a.parquet", "my-val/x/c.parquet", "test_2/d.parquet",
                     ".hidden/train/e.parquet", "__x__/train/f.parquet", "other/g.parquet"]),
    "names": ("", ["d/train-v2.parquet", "eval.parquet", "dev_1.parquet", "training.parquet",
                   "trainer.parquet"]),
    "one": ("", ["x/b10.parquet", "x/b9.parquet", "a.parquet", "LICENSE"]),
    "card": (card(NAMED), ["fr/a.parquet", "fr/deep/b.parquet", "fr2/x.parquet", "fr2/y.parquet",
                           "more/z.parquet", "en/train.parquet", "en/test/1.parquet",
                           "test/2.parquet"]),
    "text": (card("- config_name: default\n  data_files: '*/part-[0-9].parquet'"),
             ["a/part-1.parquet", "a/part-10.parquet", "b/part-2.parquet", "part-3.parquet"]),
    "exact": (card("- config_name: default\n  data_files: ['b.parquet', 'a.parquet']"),
              ["a.parquet", "b.parquet", "c.parquet"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REPOSITORIES)
def test_as_load_dataset_finds_them(hub: Any, tmp_path: Path, name: str) -> None:
    import datasets

    text, paths = REPOSITORIES[name]
    files = dict.fromkeys(paths, parquet()) | ({"README.md": text.encode()} if text else {})
    commit = hub.server.add(f"splits/{name}", files)
    found = configurations(text, [*files, ".gitattributes"])
    assert found
    for config in found:
        wanted = None if config.name == "default" else config.name
        theirs = datasets.load_dataset_builder(f"splits/{name}", wanted, cache_dir=str(tmp_path))
        root = f"hf://datasets/splits/{name}@{commit}/"
        expected = {
            str(split): [str(url).removeprefix(root) for url in urls]
            for split, urls in theirs.config.data_files.items()
        }
        ours = {
            split: [path for path in files if path.endswith(".parquet")]
            for split, files in config.splits.items()
        }
        assert ours == expected
        if config.preferred:
            default = datasets.load_dataset_builder(f"splits/{name}", cache_dir=str(tmp_path))
            assert default.config.data_files == theirs.config.data_files


HEADS = [
    "", "# no head", "---\nconfigs:\n---\n", "---\nconfigs: [\n---\n", card("- {}"), card("- 7"),
    card("- config_name: default\n  data_files: {a: b}"), card("- config_name: a\n  data_files: 3"),
    card("- config_name: default\n  data_files: ../*.parquet"),
    card("- config_name: default\n  data_files: /etc/*"),
    card("- config_name: default\n  data_files: ['https://example.org/a.parquet']"),
    card("- config_name: default\n  data_files: 'zip://a.parquet::b.zip'"),
    card("- config_name: default\n  data_dir: ../.."),
    card("- config_name: default\n  data_dir: /"),
    card("- &a [*a]"), "---\n" + "a: &a [x]\n" * 9 + "configs: !!python/object:os.system ls\n---\n",
]  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
def test_a_head_that_says_nothing_of_these_files(head: str) -> None:
    assert configured(head, ["etc/a.parquet", "b.zip", "a.parquet"]) == []


def test_patterns_stay_in_the_repository(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").touch()
    out = [f"{tmp_path}/*", f"file://{tmp_path}/*", "../*", "x/../*", "hf://datasets/a/b/*"]
    assert matching(out, ["a.parquet", "x/a.parquet"]) == []
    assert matching(["*[1]*.parquet", "a#?.parquet"], ["a#1.parquet", "a#2.parquet"]) == [
        "a#1.parquet", "a#2.parquet",
    ]  # fmt: skip


def test_a_folder_stands_for_all_that_is_in_it() -> None:
    paths = ["d/a.parquet", "d/e/b.parquet", "d/.c.parquet", "dd/x.parquet"]
    assert matching(["d"], paths) == matching(["./d/"], paths) == paths[:2]


def test_of_two_default_configurations_none_is() -> None:
    one, two = (f"- {{config_name: {n}, default: true, data_files: {n}*}}" for n in "ab")
    found = configured(card(one, two), ["a.parquet", "b.parquet"])
    assert [(c.name, c.preferred) for c in found] == [("a", False), ("b", False)]


def test_many_loose_files_take_no_time() -> None:
    paths = [f"train/n{i % 1000:08d}/n{i}.jpg" for i in range(50_000)]
    configurations("", ["train/a.parquet"])  # imports
    start = time.perf_counter()
    (found,) = configurations("", paths)
    assert time.perf_counter() - start < 5
    assert found.splits == {"train": sorted(paths)}
