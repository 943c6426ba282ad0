"""What is said of a set before its gigabytes are fetched, from the ends and beginnings of files."""

import io
import json
import struct
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from preparing import QUIET, SIDE, fetched, hub_source, job, made, served

from benchmark.cli.data.jobs import Options
from benchmark.cli.data.lock import lock_all
from benchmark.cli.data.prepare import prepare_all
from benchmark.cli.display import Display
from benchmark.data.catalog import CATALOG, declaration
from benchmark.data.published.declare import Declaration, Source, Whole, class_table
from benchmark.data.published.load import rows_of
from benchmark.data.published.preparation.plan import plan
from benchmark.data.published.preparation.preflight import Seen, preflight
from benchmark.errors import BenchError
from benchmark.hub import lock

REPO = "someone/set"
NOISE = np.random.default_rng(0)


def image(side: int = 8) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    pixels = NOISE.integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def table(columns: Mapping[str, Any], rows: int = 3, side: int = 8) -> bytes:
    """A parquet file as the library `datasets` writes it: of its features, or Arrow's types.

    A list of names is a ClassLabel; a function gives the cell of a row.
    """
    import datasets

    kinds: dict[str, Any] = {"image": datasets.Image()}
    data: dict[str, list[Any]] = {
        "image": [{"bytes": image(side), "path": f"{i}.png"} for i in range(rows)]
    }
    for name, given in columns.items():
        if isinstance(given, list):
            kinds[name] = datasets.ClassLabel(names=given)
            data[name] = [i % len(given) for i in range(rows)]
        else:
            kinds[name] = datasets.Value("string")
            data[name] = [given(i) for i in range(rows)]
    out = io.BytesIO()
    datasets.Dataset.from_dict(data, features=datasets.Features(kinds)).to_parquet(out)
    return out.getvalue()


def caption(i: int) -> str:
    return f"caption {i}"


CAPTIONED = {"text": caption}


def pairs(
    parts: Mapping[str, tuple[str, ...]], rows: Mapping[str, int], **more: Any
) -> Declaration:
    """A declaration of captioned images in `REPO`."""
    source = Source(REPO, "main", parts, rows, **more)
    splits = {part: Whole((part,)) for part in parts}
    return replace(declaration("kream"), name="kream", source=source, splits=splits)


TRAIN = {"train": ("**/train-*.parquet",)}


def look(place: Path, declared: Declaration) -> Seen:
    """What is seen of a set before anything of it is fetched."""
    planned = plan(job(place, declared.name, declared=declared, source=declared.source))
    (seen,) = preflight([planned], QUIET)
    return seen


def only(seen: Seen) -> str:
    """The one trouble."""
    assert len(seen.troubles) == 1, [str(t) for t in seen.troubles]
    return str(seen.troubles[0])


# -- the whole command


def wrong(name: str, **changes: Any) -> Declaration:
    source = replace(hub_source(name), **changes)
    return replace(declaration(name), source=source)


def test_wrong_declarations_cost_no_data_file_and_are_one_list(
    hub, place, monkeypatch, capsys
) -> None:
    served(hub, place, "aircraft", "kream", "sketch", "rocov2")
    entries = lock.read(place / "hub.lock.json")
    entries["sketch"] = replace(entries["sketch"], rows={"train": 26})
    lock.write(place / "hub.lock.json", entries)
    monkeypatch.setitem(CATALOG, "aircraft", wrong("aircraft", value=("label", "variant")))
    monkeypatch.setitem(CATALOG, "kream", wrong("kream", value=("caption",)))
    before = len(fetched(hub))
    names = ["aircraft", "kream", "sketch", "rocov2"]
    assert prepare_all(names, Options(side=SIDE, yes=True), "plain") == 5
    assert len(fetched(hub)) == before
    assert not list((place / "cache").rglob("*.parquet"))
    out, err = capsys.readouterr()
    aircraft, kream, sketch = (line for line in err.splitlines() if line.startswith("error: "))
    assert aircraft.startswith("error: aircraft: expected class names of 'aircraft' in data/test-")
    assert " more files, got " in aircraft
    assert "'label', which has 70 classes" in aircraft
    assert "'variation' has 100" in aircraft
    assert "'variation' has the classes of 'aircraft'" in aircraft
    assert kream.startswith("error: kream: expected a column 'caption' in data/train-00000")
    assert "got columns 'image', 'text'" in kream
    assert sketch.startswith("error: sketch: expected the rows of zoheb/sketch-scene that the lock")
    assert "25 rows of part 'train' instead of 26" in sketch
    assert "nothing was fetched" in out
    assert "without them: `cl-bench data prepare rocov2`" in out
    assert prepare_all(["rocov2"], Options(side=SIDE, yes=True), "none") == 0


def test_an_outdated_revision_is_refused_from_its_footer_alone(hub, place, monkeypatch, capsys):
    served(hub, place, "domainnet")
    old = hub.facts[hub_source("domainnet").repo].before[0]
    monkeypatch.setitem(CATALOG, "domainnet", wrong("domainnet", revision=old))
    lock.write(place / "hub.lock.json", {})
    before = len(fetched(hub))
    assert prepare_all(["domainnet"], Options(side=SIDE, yes=True), "none") == 5
    assert len(fetched(hub)) == before
    said = capsys.readouterr().err.splitlines()[-1]
    assert "a column 'label' in data/test-" in said
    assert "got columns 'category', 'domain', 'image', 'y'" in said
    assert "'y' has the classes of 'domainnet'" in said


def test_lock_notes_and_says_what_the_files_say(hub, place, capsys) -> None:
    served(hub, place, "aircraft", "coco")
    before = len(fetched(hub))
    assert lock_all(["aircraft", "coco"], False, None, None) == 0
    out = capsys.readouterr().out
    assert "rows: train 300, test 100, image in 'image', value in 'variation'; " in out
    assert "value in 'txt'" in out
    entries = lock.read(place / "hub.lock.json")
    assert entries["aircraft"].columns == {"image": "image", "value": "variation"}
    assert entries["aircraft"].rows == {"train": 300, "test": 100}
    assert entries["coco"].columns == {"image": "jpg", "value": "txt"}
    assert len(fetched(hub)) == before


def test_what_the_lock_notes_ahead_is_what_preparing_finds(hub, place) -> None:
    served(hub, place, "aircraft", "coco", "cifar100")
    names = ["aircraft", "coco", "cifar100"]
    assert lock_all(names, False, None, None) == 0
    before = lock.read(place / "hub.lock.json")
    for name in names:
        made(place, name)
    after = lock.read(place / "hub.lock.json")
    assert all(before[name].columns == after[name].columns for name in names)
    assert before["aircraft"].rows == after["aircraft"].rows


def test_whole_sets_and_files_on_this_machine_need_no_request(hub, place) -> None:
    from huggingface_hub import snapshot_download

    served(hub, place, "sketch", "kream")
    source = hub_source("sketch")
    snapshot_download(source.repo, repo_type="dataset", revision=source.revision)
    planned = plan(job(place, "sketch"))
    made(place, "kream")
    whole = plan(job(place, "kream"))
    hub.server.requests.clear()
    seen = preflight([planned, whole], QUIET)
    assert hub.server.requests == []
    assert [each.troubles for each in seen] == [(), ()]
    assert seen[0].rows == {"train": 25}


def test_offline_everything_goes_as_far_as_the_cache_does(hub, place, monkeypatch, capsys) -> None:
    from huggingface_hub import snapshot_download

    served(hub, place, "sketch", "flintstones")
    source = hub_source("sketch")
    assert lock_all(["sketch", "flintstones"], False, None, None) == 0
    snapshot_download(source.repo, repo_type="dataset", revision=source.revision)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.server.requests.clear()
    assert prepare_all(["sketch"], Options(side=SIDE, yes=True), "none") == 0
    assert prepare_all(["flintstones"], Options(side=SIDE, yes=True), "plain") == 4
    assert hub.server.requests == []
    said = capsys.readouterr()
    assert "is not on this machine" in said.out
    assert "unset HF_HUB_OFFLINE" in said.err


def test_a_gated_repository_is_in_the_list_and_nothing_is_fetched(hub, place, capsys) -> None:
    served(hub, place, "rocov2", "kream")
    hub.server.fail(403, "eltorio/ROCOv2-radiology/data", times=None, code="GatedRepo")
    before = len(fetched(hub))
    assert prepare_all(["rocov2", "kream"], Options(side=SIDE, yes=True), "plain") == 4
    said = capsys.readouterr()
    assert "error: rocov2: expected " in said.err
    assert "terms of use" in said.err
    assert len(fetched(hub)) == before


# -- a server that sends no parts


def test_a_server_without_ranges_is_not_made_to_send_whole_files(hub, place) -> None:
    big = bytes(1 << 24)  # more than the buffers of a connection
    hub.server.add(REPO, {"data/train-0.parquet": big})
    hub.server.ranges = False
    before = len(hub.server.downloads())
    seen = look(place, pairs(TRAIN, {"train": 40}))
    assert seen.troubles == ()
    assert "sends files as a whole only" in seen.notes[0]
    assert sum(d.sent for d in hub.server.downloads()[before:]) < len(big)


# -- files that are none


def damaged(kind: str) -> bytes:
    good = table(CAPTIONED, rows=30, side=48)
    return {
        "cut": good[: len(good) // 2],
        "footer cut": good[:-3],
        "garbage": bytes(NOISE.integers(0, 256, 5000, dtype=np.uint8)),
        "html": b"<!DOCTYPE html><html>" + b" " * 2000,
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64,
        "empty": b"",
        "vast footer": good[:-8] + struct.pack("<I", 0x7FFFFFFF) + b"PAR1",
        "negative": good[:-8] + b"\xff\xff\xff\xff" + b"PAR1",
    }[kind]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("cut", "magic bytes"), ("footer cut", "magic bytes"), ("garbage", "magic bytes"),
        ("html", "a web page"), ("pointer", "a Git LFS pointer"), ("empty", "0 bytes"),
        ("vast footer", "footer|smaller"), ("negative", "footer|smaller"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_parquet_file_is_one_sentence(hub, place, kind, said) -> None:
    hub.server.add(REPO, {"data/train-0.parquet": damaged(kind)})
    with pytest.raises(BenchError, match=said) as error:
        raise look(place, pairs(TRAIN, {"train": 3})).troubles[0]
    assert error.value.code == 5
    assert "a readable parquet file in data/train-0.parquet" in str(error.value)
    assert "write the file again" not in str(error.value)


def test_a_footer_that_is_larger_than_any_is_not_fetched(hub, place, monkeypatch) -> None:
    monkeypatch.setattr("benchmark.hub.partial.LIMIT", 1 << 18)
    wide = pa.table({f"column_{i}": [b"x" * 40] for i in range(4000)})
    out = io.BytesIO()
    pq.write_table(wide, out)
    hub.server.add(REPO, {"data/train-0.parquet": bytes(1 << 20) + out.getvalue()})
    before = len(hub.server.downloads())
    assert "to say what it holds in" in only(look(place, pairs(TRAIN, {"train": 1})))
    assert sum(d.sent for d in hub.server.downloads()[before:]) < 1 << 18


def test_a_file_of_another_size_than_is_listed(hub, place) -> None:
    hub.server.add(REPO, {"data/train-0.parquet": table(CAPTIONED, 30, 48)})
    declared = pairs(TRAIN, {"train": 30})
    planned = plan(job(place, "kream", declared=declared, source=declared.source))
    (file,) = planned.files
    planned = replace(planned, files=(replace(file, size=file.size + 1),))
    (seen,) = preflight([planned], QUIET)
    said = only(seen)
    assert f"with {file.size + 1} bytes, as is listed, got {file.size} bytes" in said
    assert "http" not in said


# -- columns


def labelled(value: tuple[str, ...], **more: Any) -> Declaration:
    parts = {"test": ("**/test-*.parquet",)}
    source = Source(REPO, "main", parts, {"test": 3}, value=value, **more)
    return replace(declaration("eurosat"), source=source, splits={"test": Whole(("test",))})


CLASSES = list(class_table("eurosat")["source"])


@pytest.mark.parametrize(
    ("columns", "value", "taken"),
    [
        ({"label": ["a", "b"], "fine": CLASSES}, ("label", "fine"), "fine"),
        ({"fine": CLASSES, "label": CLASSES[::-1]}, ("label", "fine"), "label"),
        ({"label": lambda i: CLASSES[i]}, ("label", "fine"), "label"),
        ({"label": ["0", "1"], "fine": CLASSES}, ("label", "fine"), "fine"),
        ({"label": [str(i) for i in range(10)]}, ("label",), "label"),
    ],
)
def test_of_the_declared_columns_it_is_the_one_with_the_classes(
    hub, place, columns, value, taken
) -> None:
    hub.server.add(REPO, {"data/test-0.parquet": table(columns)})
    seen = look(place, labelled(value))
    assert seen.troubles == ()
    assert (seen.planned.entry.columns or {})["value"] == taken


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"label": ["a", "b"], "fine": CLASSES, "also": CLASSES},
         "'a' .* in column 'label', which has 2 classes, 'fine' has 10, 'also' has 10;.*"
         "'also', 'fine' has the classes of 'eurosat'"),
        ({"label": ["0", "1"]}, "2 numbers for 10 classes in column 'label'"),
        ({"name": lambda i: "x"}, "a column 'label' in .*, got columns 'image', 'name'"),
    ],
)  # fmt: skip
def test_a_column_that_is_not_declared_is_named_and_not_taken(hub, place, columns, said) -> None:
    hub.server.add(REPO, {"data/test-0.parquet": table(columns)})
    with pytest.raises(BenchError, match=said):
        raise look(place, labelled(("label",))).troubles[0]


def test_columns_that_differ_between_files_are_refused(hub, place) -> None:
    files = {
        "data/train-0.parquet": table({"text": caption}),
        "data/train-1.parquet": table({"prompt": caption}),
    }
    hub.server.add(REPO, files)
    declared = pairs(TRAIN, {"train": 6}, value=("text", "prompt"))
    assert "the columns" in only(look(place, declared))


def test_an_image_column_of_another_type(hub, place) -> None:
    out = io.BytesIO()
    pq.write_table(pa.table({"image": ["a.png"], "text": ["x"]}), out)
    hub.server.add(REPO, {"data/train-0.parquet": out.getvalue()})
    said = only(look(place, pairs(TRAIN, {"train": 1})))
    assert "images in column 'image' in data/train-0.parquet, got type string" in said


@pytest.mark.parametrize("named", [True, False])
def test_a_group_that_no_row_can_have_is_refused(hub, place, named) -> None:
    domains = ["clipart", "infograph"]
    column: Any = domains if named else lambda i: domains[i % 2]
    hub.server.add(REPO, {"data/test-0.parquet": table({"label": CLASSES, "domain": column})})
    declared = labelled(("label",), group="domain")
    splits = {name: Whole(("test",), group=name) for name in (*domains, "sketch")}
    said = only(look(place, replace(declared, splits=splits)))
    assert "rows with 'sketch' in column 'domain'" in said


def of_numbers(names: list[str] | None, labels: list[int], **more: Any) -> bytes:
    """A parquet file of integer labels, with class names or without."""
    cells = [{"bytes": image(), "path": None} for _ in labels]
    made = pa.table({"image": cells, "label": labels, **more})
    if names is not None:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        made = made.replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": features}})}
        )
    out = io.BytesIO()
    pq.write_table(made, out)
    return out.getvalue()


def test_numbers_without_names_are_said_and_never_mixed_with_named_ones(hub, place) -> None:
    whole = of_numbers(None, [0, 1, 2])
    hub.server.add(REPO, {"data/test-0.parquet": whole})
    seen = look(place, labelled(("label",)))
    assert seen.troubles == ()
    assert any("numbers without names" in note for note in seen.notes)
    files = {"data/test-0.parquet": of_numbers(CLASSES, [0]),
             "data/test-1.parquet": of_numbers(None, [1, 2])}  # fmt: skip
    hub.server.add(REPO, files)
    lock.write(place / "hub.lock.json", {})
    assert "class names, as other files have them" in only(look(place, labelled(("label",))))


@pytest.mark.parametrize("order", [1, -1])
def test_class_names_of_the_readme_count_where_files_have_none(hub, place, order) -> None:
    lines = ["---", "dataset_info:", "  features:", "  - name: label", "    dtype:",
             "      class_label:", "        names:",
             *(f"          '{i}': {name}" for i, name in enumerate(CLASSES[::order])),
             "---", ""]  # fmt: skip
    card, whole = "\n".join(lines).encode(), of_numbers(None, [0, 1, 2])
    hub.server.add(REPO, {"data/test-0.parquet": whole, "README.md": card})
    seen = look(place, labelled(("label",)))
    if order == 1:
        assert seen.troubles == ()
    else:
        assert "the order of the classes of 'eurosat'" in only(seen)


def test_a_group_that_is_a_bare_number_or_another_one_is_refused(hub, place) -> None:
    splits = {name: Whole(("test",), group=name) for name in ("clipart", "sketch")}
    declared = replace(labelled(("label",), group="domain"), splits=splits)
    hub.server.add(REPO, {"data/test-0.parquet": of_numbers(CLASSES, [0, 1, 2], domain=[0, 1, 0])})
    assert "numbers with names, in column 'domain'" in only(look(place, declared))
    column = ["clipart", "sketch", "Sketch "]
    hub.server.add(REPO, {"data/test-0.parquet": of_numbers(CLASSES, [0, 1, 2], domain=column)})
    lock.write(place / "hub.lock.json", {})
    assert look(place, declared).troubles == ()
    with pytest.raises(BenchError, match=r"only 'clipart', 'sketch' as groups of rows.*'Sketch '"):
        made(place, "eurosat", declared=declared, source=declared.source)


def test_a_caption_that_looks_like_a_list_is_one_caption(hub, place) -> None:
    texts = ['("a cat", "detailed")', '["a cat", "a dog"]', "[]"]
    hub.server.add(REPO, {"data/train-0.parquet": table({"text": lambda i: texts[i]})})
    declared = pairs(TRAIN, {"train": 3})
    store = made(place, "kream", declared=declared, source=declared.source)
    assert rows_of(store).column("captions") == [[text] for text in texts]


def test_rows_near_to_an_unsure_number_are_said_and_noted(hub, place) -> None:
    hub.server.add(REPO, {"data/train-0.parquet": table(CAPTIONED, 39)})
    seen = look(place, pairs(TRAIN, {"train": 40}, unsure=frozenset({"rows"})))
    assert seen.troubles == ()
    assert "39 rows of part 'train' instead of 40" in seen.notes[0]
    assert seen.planned.entry.rows == {"train": 39}
    lock.write(place / "hub.lock.json", {})
    assert "39 rows" in only(look(place, pairs(TRAIN, {"train": 40})))


def test_rows_of_a_column_of_parts_are_enough_or_not(hub, place) -> None:
    cells = {"text": caption, "split": lambda i: ("train", "test", "val")[i % 3]}
    hub.server.add(REPO, {"data/all-0.parquet": table(cells, 30)})
    parts = {"train": ("data/*.parquet",), "test": ("data/*.parquet",)}
    fine = pairs(parts, {"train": 10, "test": 10}, part_column="split")
    assert look(place, fine).troubles == ()
    few = pairs(parts, {"train": 30, "test": 10}, part_column="split")
    lock.write(place / "hub.lock.json", {})
    assert "30 rows of all parts instead of 40" in only(look(place, few))
    assert isinstance(few.source, Source)
    other = replace(few.source, parts={"train": parts["train"], "dev": parts["test"]},
                    rows={"train": 10, "dev": 10})  # fmt: skip
    lock.write(place / "hub.lock.json", {})
    assert only(look(place, replace(few, source=other))).startswith("expected rows with ")


# -- tars


def tar(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, raw in members:
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    return out.getvalue()


TARS = {"test": ("test/*.tar",)}


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ((("1.JPG", bytes(300_000)), ("1.txt", b"x"), ("2.jpg", b"y")), None),
        ((("1.jpg", b"x"), ("1.json", b"{}"), ("2.txt", b"y")), "a kind of file 'txt'"),
        ((("1.txt", b"x"),), "a kind of file 'jpg'"),
    ],
)
def test_the_first_sample_of_a_tar_says_what_samples_are(hub, place, members, said) -> None:
    filler = tuple((f"{n}.jpg", bytes(100_000)) for n in range(10, 30))
    raw = tar(*members, *filler)
    hub.server.add(REPO, {"test/0.tar": raw, "test/1.tar": b"not looked at"})
    before = len(hub.server.downloads())
    seen = look(place, pairs(TARS, {"test": 2}, image=("jpg",), value=("txt",)))
    assert sum(d.sent for d in hub.server.downloads()[before:]) < 400_000
    if said is None:
        assert seen.troubles == ()
    else:
        assert said in only(seen)


@pytest.mark.parametrize("raw", [b"", b"<html>" + bytes(2000), bytes(NOISE.bytes(5000))])
def test_a_file_that_is_no_tar(hub, place, raw) -> None:
    hub.server.add(REPO, {"test/0.tar": raw})
    said = only(look(place, pairs(TARS, {"test": 2}, image=("jpg",), value=("txt",))))
    assert said.startswith("expected a readable tar file in test/0.tar")


# -- many at a time


def test_threads_keep_the_order_and_begin_nothing_for_nobody() -> None:
    import threading

    from benchmark.data.published.preparation.ahead import together

    begun: list[int] = []
    go = threading.Event()

    def work(n: int) -> int:
        begun.append(n)
        if n == 0:
            go.wait(5)
        if n == 2:
            raise ValueError(n)
        return n * n

    results = together(range(5), work, 3)
    first = next(results)
    go.set()
    assert first.result() == 0
    assert next(results).result() == 1
    with pytest.raises(ValueError, match="2"):
        next(results).result()
    assert [r.result() for r in results] == [9, 16]
    begun.clear()
    go.clear()
    many = together([0] * 100, work, 2)
    next(many)
    many.close()
    go.set()
    assert len(begun) <= 2


def test_sets_are_looked_at_together(hub, place) -> None:
    import time

    served(hub, place, "lexica-sd", "flickr30k", "rocov2")  # 20 files
    planned = [plan(job(place, name)) for name in ("lexica-sd", "flickr30k", "rocov2")]
    hub.server.latency = 0.05
    began = time.monotonic()
    seen = preflight(planned, Display(quiet=True))
    assert time.monotonic() - began < 20 * 2 * 0.05 * 0.75
    assert not any(each.troubles for each in seen)


def test_features_in_the_old_style_are_read(hub, place) -> None:
    """Until 2023 `push_to_hub` wrote the same metadata; a file without any has no class names."""
    names = json.dumps({"info": {"features": {"label": {"names": CLASSES, "_type": "ClassLabel"}}}})
    cells = [{"bytes": image(), "path": None}]
    plain = pa.table({"image": cells, "label": [3]})
    for meta, fine in (({"huggingface": names}, True), ({}, True)):
        out = io.BytesIO()
        pq.write_table(plain.replace_schema_metadata(meta), out)
        hub.server.add(REPO, {"data/test-0.parquet": out.getvalue()})
        declared = labelled(("label",))
        source = replace(declared.source, rows={"test": 1})
        lock.write(place / "hub.lock.json", {})
        assert (look(place, replace(declared, source=source)).troubles == ()) is fine
