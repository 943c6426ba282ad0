"""What makes two requests the same, and which records are not official."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmark.backbones.load import load
from benchmark.cli.run import run_all
from benchmark.errors import BenchError
from benchmark.run.build import frozen_features
from benchmark.run.registry import find_method
from benchmark.run.request import Request, make_plan

TOML = """
name = "pets"
version = "1.0"
class_scope = "own"
[[task]]
name = "animals"
images = "."
train_table = "train.jsonl"
test_table = "train.jsonl"
image = "file"
label = "label"
classnames = ["cat", "dog"]
templates = ["a photo of a {}."]
"""


@pytest.fixture
def toml(tmp_path):
    rows = []
    for i in range(4):
        Image.new("RGB", (60, 60), (60 * i, 10, 10)).save(tmp_path / f"{i}.png")
        rows.append(json.dumps({"file": f"{i}.png", "label": i % 2}))
    (tmp_path / "train.jsonl").write_text("\n".join(rows[:2]))
    (tmp_path / "test.jsonl").write_text("\n".join(rows[2:]))
    path = tmp_path / "pets.toml"
    path.write_text(TOML.replace('test_table = "train', 'test_table = "test'))
    return path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('class_scope = "own"', 'class_scope = "union"'),
        ('["cat", "dog"]', '["horse", "boat"]'),
        ("a photo of a {}.", "a sketch of a {}."),
    ],
)
def test_an_edited_suite_is_another_request(toml, old, new):
    request = Request("zs", suite=str(toml))
    before = make_plan(request)
    assert make_plan(request).asked == before.asked
    text = toml.read_text()
    assert old in text
    toml.write_text(text.replace(old, new))
    tomllib.loads(toml.read_text())
    assert make_plan(request).asked != before.asked


def test_a_weights_file_is_known_by_its_content(tmp_path):
    one, two = tmp_path / "w.pt", tmp_path / "far" / "w.pt"
    two.parent.mkdir()
    one.write_bytes(b"one")
    two.write_bytes(b"one")
    first = make_plan(Request("zs", pretrained=str(one)))
    assert make_plan(Request("zs", pretrained=str(two))).asked == first.asked
    assert first.pretrained.startswith("w.pt@")
    assert str(tmp_path) not in json.dumps(first.asked)
    one.write_bytes(b"other")
    assert make_plan(Request("zs", pretrained=str(one))).target != first.target
    with pytest.raises(BenchError, match="--pretrained") as error:
        make_plan(Request("zs", pretrained=str(tmp_path / "none.pt")))
    assert error.value.code == 4


def test_a_run_over_some_tasks_is_not_official():
    part = make_plan(Request("zs", order="photos,gen-art"))
    assert any("leaves 5 of the suite" in reason for reason in part.unofficial)
    names = [d.name for d in part.suite.tasks]
    for order in ("forward", "measured", "random:3", ",".join(names[::-1])):
        assert not any("leaves" in r for r in make_plan(Request("zs", order=order)).unofficial)


@pytest.mark.slow
def test_a_record_of_another_device_answers_no_request_for_one(tmp_path, cache, capsys):
    base = {"method": "zs", "pretrained": "random:0", "limit": 8, "output_dir": tmp_path}
    run_all([Request(**base, cache_dir=cache)], "", "none")
    for device, words in (("nonsense", "a device of this machine"), ("cuda:99", "a device")):
        with pytest.raises(BenchError, match=words):
            run_all([Request(**base, cache_dir=cache, device=device)], "", "none")
    assert run_all([Request(**base, cache_dir=cache, device="cpu")], "", "plain") == 0
    assert "already finished" in capsys.readouterr().out


def test_a_folder_that_is_taken_for_ours_gives_no_official_record(tmp_path, monkeypatch):
    """`methods` may come from another place than the harness, whose commit says nothing of it."""
    clean = {"commit": "0" * 40, "dirty": []}
    monkeypatch.setattr("benchmark.run.request.git_state", lambda _: clean)
    assert make_plan(Request("zs")).unofficial == ()
    found = replace(find_method("zs", []), file=tmp_path / "methods" / "zs.py")
    monkeypatch.setattr("benchmark.run.request.find_method", lambda *_: found)
    assert make_plan(Request("zs")).unofficial == ("the method is a file outside methods/",)


def test_a_setting_is_given_once():
    with pytest.raises(BenchError, match="'rank' twice"):
        find_method("dar", ["rank=4", "rank=8"])


@pytest.mark.parametrize("asked", ["m.py.txt", "random.py.variant"])
def test_a_path_that_does_not_end_in_py_is_a_name(asked):
    with pytest.raises(BenchError, match="a method"):
        find_method(asked, [])


def test_frozen_features_are_known_by_all_that_they_come_from(tmp_path):
    clip, plan = load("tiny-s", "random:0"), make_plan(Request("zs", pretrained="random:0"))
    cpu = torch.device("cpu")
    before = frozen_features(plan, clip, cpu, tmp_path).store._about
    clip.mean = (0.5, 0.5, 0.5)
    assert frozen_features(plan, clip, cpu, tmp_path).store._about != before
    clip.mean = load("tiny-s", "random:0").mean
    assert frozen_features(plan, clip, cpu, tmp_path).store._about == before
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert frozen_features(plan, clip, cpu, tmp_path).store._about != before
    finally:
        torch.set_num_threads(threads)


def test_a_name_that_is_too_long_for_the_disk_is_one_sentence(tmp_path):
    request = Request("zs", output_dir=Path(tmp_path / ("x" * 300)))
    with pytest.raises(BenchError, match="--output-dir") as error:
        run_all([request], "", "none")
    assert error.value.code == 6
