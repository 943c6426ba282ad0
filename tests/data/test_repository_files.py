"""Which files of a repository are of which part: its README's configuration, else patterns."""

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from preparing import QUIET, fetched, job, made

from benchmark.data.catalog import declaration
from benchmark.data.published.declare import Declaration, Source, Whole
from benchmark.data.published.preparation.plan import Planned, plan
from benchmark.data.published.preparation.preflight import preflight
from benchmark.errors import BenchError
from benchmark.hub import lock
from benchmark.hub.splits import configured

REPO = "someone/files"
PARTS = {"train": ("**/train-*.parquet",), "test": ("**/test-*.parquet",)}


def head(*lines: str) -> bytes:
    return "\n".join(["---", "configs:", *lines, "---", "# A set"]).encode()


def default(**paths: str) -> bytes:
    """A README's head, as the hub's documentation of `data_files` shows it."""
    lines = ["- config_name: default", "  data_files:"]
    for split, path in paths.items():
        lines += [f"  - split: {split}", f"    path: {path}"]
    return head(*lines)


def planned(
    hub: Any, place: Path, files: Mapping[str, bytes], parts: Any = None, **more: Any
) -> Planned:
    hub.server.add(REPO, files)
    parts = parts or PARTS
    source = Source(REPO, "main", parts, dict.fromkeys(parts, 1), **more)
    splits = {part: Whole((part,)) for part in parts}
    declared = replace(declaration("kream"), source=source, splits=splits)
    return plan(job(place, "kream", declared=declared, source=source))


def of(files: str, *names: str) -> dict[str, bytes]:
    return {name: f"{files}{i}".encode() for i, name in enumerate(names)}


DATA = of("x", "data/a1.parquet", "data/b2.parquet", "data/c3.parquet")


@pytest.mark.parametrize(
    ("card", "train", "test"),
    [
        (default(train="data/a1.parquet", test="data/b2.parquet"), ["a1"], ["b2"]),
        (default(train='["data/a1.parquet", "data/c3.parquet"]', test="data/b*"),
         ["a1", "c3"], ["b2"]),
        (default(train="data/[ac]*.parquet", test="data/b2.parquet", other="data/*"),
         ["a1", "c3"], ["b2"]),
        (head("- config_name: default", "  data_dir: data", "  data_files:", "  - split: train",
              "    path: a1.parquet", "  - split: test", "    path: '*2.parquet'"), ["a1"], ["b2"]),
        (head("- config_name: x", "  data_files:", "  - split: training", "    path: data/a*",
              "  - split: test", "    path: data/b2.parquet"), ["a1"], ["b2"]),
    ],
)  # fmt: skip
def test_names_that_only_the_readme_explains(hub, place, card, train, test) -> None:
    found = planned(hub, place, {**DATA, "README.md": card})
    parts = {"train": train, "test": test}
    assert found.parts == {f"data/{n}.parquet": p for p, names in parts.items() for n in names}
    assert [f.path for f in found.files] == sorted(found.parts)


def test_a_folder_is_all_that_is_in_it(hub, place) -> None:
    files = of("x", "one/0.parquet", "one/1.parquet", "two/0.parquet", "two/notes.txt")
    card = default(train="one", test="two/")
    found = planned(hub, place, {**files, "README.md": card})
    assert found.parts == {
        "one/0.parquet": "train", "one/1.parquet": "train", "two/0.parquet": "test",
    }  # fmt: skip


def test_the_readme_counts_before_the_patterns(hub, place) -> None:
    """A shard of an earlier upload that matches the pattern, but that the README leaves out."""
    files = of("x", "data/train-0.parquet", "data/train-9.parquet", "data/test-0.parquet")
    card = default(train="data/train-0.parquet", test="data/test-*")
    found = planned(hub, place, {**files, "README.md": card})
    assert [f.path for f in found.files] == ["data/test-0.parquet", "data/train-0.parquet"]


@pytest.mark.parametrize(
    "card",
    [
        b"# no head", b"---\nconfigs: [\n---\n", b"---\nconfigs: 3\n---\n",
        b"---\nconfigs:\n- data_files: x\n---\n", head("- config_name: a", "  drop: true"),
        default(other="data/*"), default(train="gone/*", test="gone/*"), b"\xff\xfe---\nconfigs:",
        head("- config_name: a", "  data_files:", "  - 3"),
    ],
)  # fmt: skip
def test_a_readme_that_says_nothing_leaves_it_to_the_patterns(hub, place, card) -> None:
    files = of("x", "data/train-0.parquet", "data/test-0.parquet")
    found = planned(hub, place, {**files, "README.md": card})
    assert found.parts == {"data/train-0.parquet": "train", "data/test-0.parquet": "test"}


@pytest.mark.parametrize(
    ("pattern", "splits", "taken"),
    [
        ("**/validation-*.parquet", {"validation": "data/b*", "test": "data/c*"}, "b2"),
        ("**/validation-*.parquet", {"val": "data/b*", "test": "data/c*"}, "b2"),
        ("**/val*-*.parquet", {"validation": "data/b*"}, "b2"),
        ("**/dev-*.parquet", {"validation": "data/b*"}, "b2"),
        ("test/*.parquet", {"test": "data/c*", "validation": "data/b*"}, "c3"),
        ("**/part-*.parquet", {"test": "data/c*"}, "c3"),
    ],
)
def test_the_split_of_a_part_is_what_its_pattern_begins_with(
    hub, place, pattern, splits, taken
) -> None:
    parts = {"train": ("**/train-*.parquet",), "test": (pattern,)}
    card = default(train="data/a*", **splits)
    found = planned(hub, place, {**DATA, "README.md": card}, parts)
    assert found.parts == {"data/a1.parquet": "train", f"data/{taken}.parquet": "test"}


def two(*more: str) -> bytes:
    lines = []
    for name in ("a", "b"):
        lines += [f"- config_name: {name}", "  data_files:"]
        for split in ("train", "test"):
            lines += [f"  - split: {split}", f"    path: {name}/{split}*"]
        lines += [f"  {line}" for line in more if name == "b"]
    return head(*lines)


TWO = of("x", *(f"{c}/{s}{i}.parquet" for c in "ab" for s in ("train", "test") for i in (0, 1)))


def test_of_two_configurations_the_preferred_or_declared_one(hub, place) -> None:
    with pytest.raises(BenchError, match=r"one configuration of someone/files .*, got 'a', 'b'"):
        planned(hub, place, {**TWO, "README.md": two()})
    first = planned(hub, place, {**TWO, "README.md": two("default: true")})
    assert {f.path[0] for f in first.files} == {"b"}
    lock.write(place / "hub.lock.json", {})
    parts = {"train": ("a/train*.parquet",), "test": ("a/test*.parquet",)}
    chosen = planned(hub, place, {**TWO, "README.md": two("default: true")}, parts)
    assert {f.path[0] for f in chosen.files} == {"a"}


def test_a_readme_that_contradicts_the_declaration_is_refused(hub, place) -> None:
    files = of("x", "data/train-0.parquet", "data/test-0.parquet", "data/q.parquet")
    card = default(train="data/test-0.parquet", test="data/q.parquet")
    with pytest.raises(BenchError, match=r"'data/test-0.parquet' of .* part 'train' by its README"):
        planned(hub, place, {**files, "README.md": card})


def test_a_part_in_two_folders_is_refused_by_any_way(hub, place) -> None:
    files = of("x", "a/1.parquet", "b/1.parquet", "c/1.parquet")
    card = default(train='["a/*", "b/*"]', test="c/*")
    with pytest.raises(BenchError, match="part 'train' of someone/files in one folder, got a, b"):
        planned(hub, place, {**files, "README.md": card})


def test_a_file_in_two_parts_is_refused(hub, place) -> None:
    parts = {"train": ("data/*1.parquet",), "test": ("data/a*.parquet",)}
    with pytest.raises(BenchError, match="each file of someone/files in one part"):
        planned(hub, place, DATA, parts)


def table(text: str) -> bytes:
    from PIL import Image

    out, picture = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (8, 8), (90, 20, 50)).save(picture, "PNG")
    cells = [{"bytes": picture.getvalue(), "path": "a.png"}]
    pq.write_table(pa.table({"image": cells, "text": [text]}), out)
    return out.getvalue()


def readme_only(hub: Any, place: Path) -> Declaration:
    files = {f"data/{name}.parquet": table(name) for name in ("a1", "b2", "c3")}
    card = default(train="data/a1.parquet", test="data/b2.parquet", rest="data/c3.parquet")
    found = planned(hub, place, {**files, "README.md": card})
    return found.job.declared


def test_they_are_prepared_and_no_other_split_is_fetched(hub, place, monkeypatch) -> None:
    declared = readme_only(hub, place)
    before = len(fetched(hub))
    store = made(place, "kream", declared=declared, source=declared.source)
    assert store.manifest["rows"] == {"train": 1, "test": 1}
    assert sorted(fetched(hub)[before:]) == ["data/a1.parquet", "data/b2.parquet"]
    again = made(place, "kream", declared=declared, source=declared.source)
    assert again.manifest == store.manifest
    assert len(fetched(hub)) == before + 2
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert made(place, "kream", declared=declared, source=declared.source) == store


def test_the_files_of_the_lock_have_the_parts_of_the_readme_on_every_machine(hub, place) -> None:
    declared = readme_only(hub, place)
    locked = plan(job(place, "kream", declared=declared, source=declared.source))
    assert locked.parts == {"data/a1.parquet": "train", "data/b2.parquet": "test"}
    (seen,) = preflight([locked], QUIET)
    assert seen.rows == {"train": 1, "test": 1}


def test_configurations_are_those_that_the_datasets_library_reads() -> None:
    """Against `datasets`' own reading of the same head and the same files."""
    from datasets.data_files import sanitize_patterns
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard

    card = default(train='["data/a*", "data/c3.parquet"]', test="data/b2.parquet").decode()
    theirs = MetadataConfigs.from_dataset_card_data(DatasetCard(card).data)
    (ours,) = configured(card, sorted(DATA))
    assert (ours.name, ours.preferred) == (next(iter(theirs)), True)
    assert list(ours.splits) == list(sanitize_patterns(theirs["default"]["data_files"]))
    assert ours.splits["train"] == ["data/a1.parquet", "data/c3.parquet"]
