"""Suites of published data, from the local hub to records and reports."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from preparing import QUIET, served
from tiny_lock import write_lock
from typer.testing import CliRunner

from benchmark.backbones.known import SHIPPED, image_side
from benchmark.cli.data.jobs import Options
from benchmark.cli.data.prepare import prepare_all
from benchmark.cli.main import app
from benchmark.cli.order.report import order_report
from benchmark.cli.run import run_all
from benchmark.data.batches import make_loader
from benchmark.data.catalog import CATALOG, declaration
from benchmark.data.crops.room import room, wide_id
from benchmark.data.published.declare import Source
from benchmark.data.published.store import manifest_digest
from benchmark.data.split import Labelled
from benchmark.errors import BenchError
from benchmark.hub import lock
from benchmark.hub.client import COMMIT, RemoteFile
from benchmark.records.store import read_record
from benchmark.run.build import open_ground
from benchmark.run.request import Request, make_plan
from benchmark.run.zero_shot import ZeroShot, measure_sets
from benchmark.suites.find import find_suite
from benchmark.suites.ready import default_suite, missing
from benchmark.suites.suite import Suite

TINY = image_side("tiny-s")
SETS = ("flickr30k", "sketch", "eurosat", "mnist", "cifar100", "flowers102")


@pytest.fixture(scope="module")
def small(hub_server, tmp_path_factory):
    """Six sets prepared for tiny-s, and their lock file."""
    root = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CL_BENCH_CACHE", str(root / "cache"))
        patch.setenv("CL_BENCH_LOCK", str(root / "hub.lock.json"))
        served(hub_server, root, *SETS)
        assert prepare_all(SETS, Options(side=TINY, yes=True), "none") == 0
    return root


@pytest.fixture
def there(small, monkeypatch):
    """That folder, for reading."""
    monkeypatch.setenv("CL_BENCH_CACHE", str(small / "cache"))
    monkeypatch.setenv("CL_BENCH_LOCK", str(small / "hub.lock.json"))
    return small


@pytest.fixture
def changed(small, tmp_path, monkeypatch):
    """A copy, for spoiling."""
    shutil.copytree(small, tmp_path / "copy")
    monkeypatch.setenv("CL_BENCH_CACHE", str(tmp_path / "copy" / "cache"))
    monkeypatch.setenv("CL_BENCH_LOCK", str(tmp_path / "copy" / "hub.lock.json"))
    return tmp_path / "copy"


def request(tmp_path, suite, order, method="ft", **changes):
    options = {
        "backbone": "tiny-s", "pretrained": "bundled", "epochs": 1, "batch_size": 8,
        "evals": "id", "output_dir": tmp_path / "out", **changes,
    }  # fmt: skip
    return Request(method, order, suite, **options)


def run(tmp_path, suite, order, **changes):
    asked = request(tmp_path, suite, order, **changes)
    assert run_all([asked], "", "none") == 0
    return read_record(make_plan(asked).target)


@pytest.mark.slow
def test_retrieval_from_the_hub_to_a_record(there, tmp_path, capsys) -> None:
    record = run(tmp_path, "retrieval", "sketch,flickr30k")
    frame, about = record.frame, record.provenance
    rows = frame[(frame["eval_task"] == "flickr30k") & (frame["metric"] == "hit")]
    assert set(rows.loc[rows["direction"] == "t2i", "n_queries"]) == {60}  # five captions each
    assert set(rows.loc[rows["direction"] == "i2t", "n_queries"]) == {12}
    assert set(frame["step"]) == {0, 1, 2}
    facts = about["sources"]["flickr30k"]
    assert facts["data"] == "umaru97/flickr30k_train_val_test@d775c63452e9"
    assert "Flickr" in facts["licence"]
    assert any("CL_BENCH_LOCK" in reason for reason in about["unofficial"])
    run_all([request(tmp_path, "retrieval", "sketch,flickr30k")], "", "plain")
    assert "already finished" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["u8", "parquet", "manifest"])
def test_a_run_over_a_damaged_set_is_refused(changed, tmp_path, kind, capsys) -> None:
    name = "manifest.json" if kind == "manifest" else f"00000.{kind}"
    (path,) = (changed / "cache" / "data" / "sketch").glob(f"*/{name}")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 :] = bytes(b ^ 90 for b in raw[len(raw) // 2 :])
    path.write_bytes(raw)
    asked = request(tmp_path, "retrieval", "sketch", method="zs")
    try:
        code, said = run_all([asked], "", "none"), ""
    except BenchError as error:
        code, said = error.code, str(error)
    assert code == 5
    shown = capsys.readouterr()
    assert str(path) in said + shown.out + shown.err
    assert not list((tmp_path / "out").rglob("*.parquet"))
    assert "Traceback" not in said + shown.out + shown.err


def test_other_data_do_not_answer_for_a_record(changed, tmp_path) -> None:
    run(tmp_path, "retrieval", "sketch", method="zs")
    path = changed / "hub.lock.json"
    entries = lock.read(path)
    entries["sketch"] = replace(entries["sketch"], splits=None)
    lock.write(path, entries)
    manifest = next((changed / "cache" / "data" / "sketch").glob("*/manifest.json"))
    held = json.loads(manifest.read_text())
    held["splits"]["test"]["sha256"] = "ab" * 32
    del held["sha256"]
    manifest.write_text(json.dumps({**held, "sha256": manifest_digest(held)}))
    with pytest.raises(BenchError, match="another data"):
        run(tmp_path, "retrieval", "sketch", method="zs")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suite", "k", "classes"),
    [pytest.param("xtail", 16, {20}, marks=pytest.mark.slow), ("mtil", 5, {10})],
)
def test_few_shot_suites_from_the_hub_to_a_record(there, tmp_path, suite, k, classes) -> None:
    tasks = {d.name: d for d in find_suite(suite, there / "cache").tasks}
    for name in ("eurosat", "mnist"):
        train = tasks[name].load("train")
        assert isinstance(train, Labelled)
        assert np.bincount(train.labels).tolist() == [k] * 10
    record = run(tmp_path, suite, "mnist,eurosat")
    assert record.provenance["data"]["crops"] == wide_id(TINY)
    frame = record.frame
    acc = frame[frame["metric"] == "acc"]
    assert set(acc["n_gallery"]) == classes  # union of the two tasks' classes, or the own ones
    assert len(acc) == 3 * 2


def test_a_run_on_prepared_shots_trains_on_crops_of_the_whole_images(there, tmp_path) -> None:
    plan = make_plan(request(tmp_path, "mtil", "mnist,eurosat"))
    ground = open_ground(plan, QUIET)
    task = next(d for d in plan.suite.tasks if d.name == "eurosat")
    data = ground.read(task, "train")
    assert data.wide is not None
    assert data.wide.pixels.shape == (50, room(TINY), room(TINY), 3)
    assert ground.read(task, "test").wide is None
    plain = replace(plan, recipe=replace(plan.recipe, crops="none"))
    assert open_ground(plain, QUIET).read(task, "train").wide is None
    loader = make_loader(ground.feed, data, (0, "x"), 50)
    seen, again = (next(loader.epoch(i)).images.pixels_B3HW for i in (0, 1))
    assert not any(a.equal(b) for a in seen for b in again), "each crop is drawn anew"


def test_a_set_without_whole_images_is_refused_before_anything_is_read(changed, tmp_path) -> None:
    for name in ("mnist", "eurosat"):
        next((changed / "cache" / "data" / name).glob("*/wide.json")).unlink()
    with pytest.raises(BenchError, match=r"0 of 2 sets with them \(not eurosat, mnist\)") as one:
        make_plan(request(tmp_path, "mtil", "mnist,eurosat"))
    said = str(one.value)
    assert f"`cl-bench data prepare mtil --side {TINY}`" in said
    assert "again, which were removed once decoded, or train without crops by --crops none" in said
    assert one.value.code == 4
    with pytest.raises(BenchError, match="data prepare eurosat --side"):
        make_plan(request(tmp_path, "mtil", "eurosat"))
    plan = make_plan(request(tmp_path, "mtil", "mnist,eurosat", crops="none"))
    assert "crops=none" in plan.stem
    path = next((changed / "cache" / "data" / "cifar100").glob("*/wide.json"))
    path.write_text(path.read_text().replace("a", "b"))
    with pytest.raises(BenchError, match=r"wide\.json.*as it was prepared.*prepare cifar100"):
        make_plan(request(tmp_path, "mtil", "cifar100"))


def test_sets_that_are_no_few_shots_cannot_be_cropped(there, tmp_path) -> None:
    with pytest.raises(BenchError, match=r"whole images of .* to be cropped.*leave --crops"):
        make_plan(request(tmp_path, "retrieval", "sketch", crops="random"))


def test_sixteen_flowers_come_from_training_and_validation(there) -> None:
    tasks = {d.name: d for d in find_suite("xtail", there / "cache").tasks}
    load = tasks["flowers102"].load
    assert isinstance(load, partial)
    rule = load.keywords["rules"]["train"]
    assert rule.parts == ("train", "validation")
    mtil = {d.name: d for d in find_suite("mtil", there / "cache").tasks}
    other = mtil["flowers102"].load
    assert isinstance(other, partial)
    assert other.keywords["rules"]["train"].parts == ("train",)
    train = load("train")
    assert isinstance(train, Labelled)
    assert len(train.labels) == 16 * 102


def test_a_held_out_set_is_prompted_with_its_own_templates(there) -> None:
    (cifar,) = [
        d for d in find_suite("retrieval", there / "cache").held_out if d.name == "cifar100"
    ]
    split = cifar.load("test")
    assert isinstance(split, Labelled)
    assert (len(split.classnames), len(split.templates)) == (100, 18)
    (hold_out,) = [d for d in find_suite("xtail", there / "cache").held_out if d.name == "cifar100"]
    split = hold_out.load("test")
    assert isinstance(split, Labelled)
    assert split.templates == ("a photo of a {}.",)


def test_what_is_missing_is_named_with_the_command(there, tmp_path) -> None:
    with pytest.raises(BenchError) as error:
        make_plan(request(tmp_path, "retrieval", "forward"))
    assert error.value.code == 4
    assert "2 of 7 sets" in str(error.value)
    assert f"`cl-bench data prepare retrieval --side {TINY}`" in str(error.value)
    with pytest.raises(BenchError, match=r"at 224 px.*`cl-bench data prepare retrieval`"):
        make_plan(request(tmp_path, "retrieval", "sketch", backbone=None, pretrained="random:0"))
    empty = tmp_path / "nothing"
    with pytest.raises(BenchError, match="0 of 12 sets"):  # Places365 may be absent
        make_plan(request(tmp_path, "xtail", "forward", evals="all", cache_dir=empty))


@pytest.mark.slow
def test_an_optional_set_is_left_out_and_said(there, tmp_path, monkeypatch, capsys) -> None:
    import benchmark.suites.published as published

    whole = published.xtail
    names = ("eurosat", "mnist")

    def cut(at: published.Location) -> Suite:
        suite = whole(at)
        held_out = tuple(d for d in suite.held_out if d.name in ("places365", "cifar100"))
        return replace(
            suite, tasks=tuple(d for d in suite.tasks if d.name in names), held_out=held_out
        )

    monkeypatch.setitem(published.BUILDERS, "xtail", cut)
    plan = make_plan(request(tmp_path, "xtail", "forward", method="zs", evals="all"))
    assert plan.left_out == ("places365",)
    assert [d.name for d in plan.suite.held_out] == ["cifar100"]
    run_all([plan.request], "", "plain")
    assert "held-out set places365 is not prepared and left out" in capsys.readouterr().out
    assert read_record(plan.target).provenance["data"]["left_out"] == ["places365"]


@pytest.mark.slow
def test_a_copy_of_a_dataset_is_a_setting_of_the_record(hub, place, tmp_path) -> None:
    source = declaration("flickr30k").fallbacks[0]
    hub.want(source.repo)
    write_lock(place / "hub.lock.json", hub.facts)
    options = Options(side=TINY, yes=True, source=source.repo)
    assert prepare_all(["flickr30k"], options, "none") == 0
    plan = make_plan(request(tmp_path, "retrieval", "flickr30k"))
    assert plan.settings["source.flickr30k"] == source.repo
    # The declared source at another image side changes nothing about it.
    served(hub, place, "flickr30k")
    assert prepare_all(["flickr30k"], Options(side=32, yes=True), "none") == 0
    record = run(tmp_path, "retrieval", "flickr30k", method="zs")
    assert "source.flickr30k=clip-benchmark" in record.frame["settings"].iloc[0]
    suite = replace(_only(plan.suite, "flickr30k"), held_out=())
    report = order_report(replace(plan, suite=suite), QUIET)
    assert f"flickr30k is the copy {source.repo}" in report


def test_the_default_suite_follows_what_is_prepared(there, tmp_path) -> None:
    name, why = default_suite(tmp_path / "nothing", None)
    assert name == "mini"
    assert "`cl-bench data prepare retrieval`" in why
    name, why = default_suite(None, "tiny-s")
    assert (name, why.split(" of retrieval")[0]) == ("mini", "9 of 13 sets")


def test_the_default_suite_is_retrieval_where_all_of_it_is_there(there, monkeypatch) -> None:
    monkeypatch.setattr("benchmark.suites.ready.missing", lambda *_: [])
    name, why = default_suite(None, "tiny-s")
    assert name == "retrieval"
    assert "--suite mini" in why


def test_prepared_for_another_side_is_missing(there) -> None:
    tasks = [d for d in find_suite("retrieval").tasks if d.name == "sketch"]
    assert missing(tasks, there / "cache", TINY) == []
    assert missing(tasks, there / "cache", 224) == tasks


def _only(suite, *names):
    return replace(suite, tasks=tuple(d for d in suite.tasks if d.name in names))


def test_an_uncommitted_lock_file_is_a_reason(there, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("CL_BENCH_LOCK")
    monkeypatch.setattr("benchmark.hub.lock.lock_path", lambda: there / "hub.lock.json")
    monkeypatch.setattr("benchmark.run.asked.official.git_dirty", lambda _: True)
    plan = make_plan(request(tmp_path, "retrieval", "sketch", method="zs"))
    assert any(reason.endswith("is not committed") for reason in plan.unofficial)


# -- order


def test_measured_scores_are_those_of_the_record(there, tmp_path) -> None:
    plan = make_plan(request(tmp_path, "retrieval", "sketch,flickr30k", method="zs"))
    suite = _only(plan.suite, "sketch", "flickr30k")
    scores = measure_sets(replace(plan, suite=replace(suite, held_out=())), QUIET)
    frame = run(tmp_path, "retrieval", "sketch,flickr30k", method="zs").frame
    for name in ("sketch", "flickr30k"):
        for direction in ("t2i", "i2t"):
            row = frame[
                (frame["eval_task"] == name) & (frame["direction"] == direction)
                & (frame["k"] == 1) & (frame["step"] == 0)
            ]  # fmt: skip
            assert scores[name].scores[direction] == pytest.approx(100 * row["value"].item())


def _scored(title, t2i, i2t, images):
    return ZeroShot(title, False, {"t2i": t2i, "i2t": i2t}, images, 5 * images)


def test_a_report_says_what_is_off(there, tmp_path, monkeypatch) -> None:
    plan = make_plan(request(tmp_path, "retrieval", "sketch,flickr30k", method="zs"))
    plan = replace(plan, backbone="ViT-B-16-quickgelu", pretrained="openai")
    names = [d.name for d in plan.suite.tasks]
    found = {name: _scored(name, 50.0, 50.0, 9) for name in names}
    found["flickr30k"] = _scored("Flickr30K", 62.2, 82.2, 1000)
    found["wikiart"] = _scored("WikiArt", 20.7, 21.0, 16289)
    monkeypatch.setattr("benchmark.run.zero_shot.measure_sets", lambda *_: found)
    report = order_report(plan, QUIET)
    off = next(line for line in report.splitlines() if line.startswith("off by more"))
    assert "Flickr30K" not in off
    assert "WikiArt" not in off  # Table 8 prints 20.6, Table 1 prints 22.6
    assert "kream (T→I R@1 +28.0)" in off
    assert "22.6 / 20.6" in report
    assert "measured order: flickr30k" in report


def test_no_paper_is_beside_other_weights(there, tmp_path, monkeypatch) -> None:
    plan = make_plan(request(tmp_path, "retrieval", "sketch", method="zs"))
    plan = replace(plan, backbone="ViT-B-16-quickgelu", pretrained="laion2b")
    found = {d.name: _scored(d.name, 50.0, 50.0, 9) for d in plan.suite.tasks}
    monkeypatch.setattr("benchmark.run.zero_shot.measure_sets", lambda *_: found)
    assert "no paper prints" in order_report(plan, QUIET)


# -- weights


@pytest.fixture
def weights(hub, place, monkeypatch):
    """tiny-s as published weights on the local hub, under the tag "local"."""
    import open_clip.pretrained as registry

    monkeypatch.setattr(registry, "_PRETRAINED", {
        **registry._PRETRAINED,
        "tiny-s": {"local": {"hf_hub": "someone/tiny-s/", "quick_gelu": True,
                             "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}},
    })  # fmt: skip
    raw = (SHIPPED / "tiny-s.safetensors").read_bytes()
    files = {"open_clip_model.safetensors": raw, "README.md": b"tiny"}
    commit = hub.server.add("someone/tiny-s", files, kind="model")
    yield commit
    hub.server.forget("someone/tiny-s", kind="model")
    shutil.rmtree(_hub_cache() / "models--someone--tiny-s", ignore_errors=True)


def _hub_cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def test_weights_are_pinned_fingerprinted_and_read_offline(
    hub, place, weights, monkeypatch
) -> None:
    from benchmark.backbones.load import load

    first = load("tiny-s", "local")
    assert first.fingerprint == load("tiny-s", "bundled").fingerprint
    assert first.origin == f"someone/tiny-s@{weights}/open_clip_model.safetensors"
    assert first.mean == (0.5, 0.5, 0.5)
    entry = lock.read(place / "hub.lock.json")["weights someone/tiny-s"]
    assert entry.revision == weights
    assert entry.files is not None
    assert len(entry.files[0].sha256 or "") == 64
    hub.server.add("someone/tiny-s", {"open_clip_model.safetensors": b"new" * 999}, kind="model")
    hub.server.requests.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert load("tiny-s", "local").fingerprint == first.fingerprint
    assert hub.server.requests == []


def test_damaged_weights_in_the_cache_are_fetched_again(hub, place, weights, monkeypatch) -> None:
    from benchmark.backbones.load import load

    first = load("tiny-s", "local")
    blob = next((_hub_cache() / "models--someone--tiny-s" / "blobs").iterdir())
    raw = bytearray(blob.read_bytes())
    raw[-1] ^= 1
    blob.write_bytes(bytes(raw))
    assert load("tiny-s", "local").fingerprint == first.fingerprint
    blob = next((_hub_cache() / "models--someone--tiny-s" / "blobs").iterdir())
    blob.write_bytes(bytes(raw))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BenchError, match=r"unset HF_HUB_OFFLINE and repeat.*tiny-s/local"):
        load("tiny-s", "local")


@pytest.mark.parametrize("file", ["", "vocab.txt"])
def test_damaged_weights_that_no_lock_file_knows_are_refused_offline(
    hub, place, weights, monkeypatch, file
) -> None:
    """Another program has fetched them: the hub's cache names them by their digest."""
    from huggingface_hub import snapshot_download

    from benchmark.hub.weights import hub_weights

    hub.server.add(
        "someone/tiny-s",
        {"open_clip_model.safetensors": (SHIPPED / "tiny-s.safetensors").read_bytes(),
         "vocab.txt": b"one word"},
        kind="model",
    )  # fmt: skip
    snapshot_download("someone/tiny-s")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    path, _ = hub_weights("someone/tiny-s", file, "the command")
    lock.write(place / "hub.lock.json", {})
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.resolve().write_bytes(bytes(raw))
    with pytest.raises(BenchError, match="unset HF_HUB_OFFLINE and repeat `the command`"):
        hub_weights("someone/tiny-s", file, "the command")
    assert not path.exists()


def test_weights_without_a_hub_name_the_command(place, weights, monkeypatch) -> None:
    from benchmark.backbones.load import load

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BenchError, match=r"HF_HUB_OFFLINE.*cl-bench data prepare tiny-s/local"):
        load("tiny-s", "local")


def test_prepare_fetches_weights_by_name(hub, place, weights, capsys) -> None:
    with pytest.raises(BenchError, match="repeat the command with --yes"):  # they are downloads too
        prepare_all(["tiny-s/local"], Options(), "none")
    assert prepare_all(["tiny-s/local"], Options(yes=True), "plain") == 0
    assert "0.00404" in capsys.readouterr().out
    assert prepare_all(["tiny-s/local"], Options(), "none") == 0  # nothing to ask for
    assert lock.read(place / "hub.lock.json")["weights someone/tiny-s"].revision == weights


# -- reports


def say(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["data", *words], catch_exceptions=True)
    if isinstance(result.exception, BenchError):
        assert result.exception.code == code
        return str(result.exception)
    assert result.exit_code == code, result.output
    return result.output


def test_status_stats_licenses_verify_and_rm(changed) -> None:
    status = say("status", "sketch", "wikiart")
    assert "test 5, train 20" in status
    assert "AterMors/wikiart_recaption" in status
    stats = [line.split() for line in say("stats", "flickr30k", "eurosat").splitlines()[2:]]
    assert [row[:5] for row in stats[:2]] == [
        ["flickr30k", "train", "24", "120", "5"], ["flickr30k", "test", "12", "60", "5"],
    ]  # fmt: skip
    assert stats[3] == ["eurosat", "test", "30", "0", "0", "10", "3-3"]
    licences = say("licenses")
    assert all(name in licences for name in CATALOG)
    assert "0 troubles" in say("verify", "--display", "plain")
    next((changed / "cache" / "data" / "sketch").glob("*/00000.u8")).write_bytes(b"x")
    assert "1 troubles" in say("verify", "sketch", code=5)
    assert "removed" in say("rm", "sketch")
    assert not (changed / "cache" / "data" / "sketch").exists()
    assert "prepared set" in say("stats", "sketch", code=4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("prepare", "flicker30k"), "did you mean 'flickr30k'"),
        (("prepare", "sketch", "--side", "3"), "at least 8 pixels"),
        (("prepare", "sketch", "--backbone", "ViT-Q"), "open_clip model name"),
        (("prepare", "sketch", "kream", "--source", "x/y"), "one dataset beside --source"),
        (("prepare", "flickr30k", "--source", "x/y"), "a source of flickr30k"),
        (("prepare", "sketch", "--from", "."), "--from beside data that come from the hub"),
        (("rm", "nothing"), "a suite, a dataset"),
        (("verify", "ViT-B-16/openai"), "datasets or suites"),
        (("prepare", "sketch", "--pretrained", "x"), "a suite beside --pretrained"),
        (("prepare", "sketch", "--side", "32", "--backbone", "ViT-Q"), "open_clip model name"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(place, words, said) -> None:
    assert said in say(*words, code=2)


def test_the_repository_has_a_lock_entry_for_every_source(monkeypatch) -> None:
    monkeypatch.delenv("CL_BENCH_LOCK", raising=False)
    entries = lock.read(lock.lock_path())
    assert lock.lock_path().name == "hub.lock.json"
    expected = {"weights timm/vit_base_patch16_clip_224.openai"}
    for declared in CATALOG.values():
        for source in (declared.source, *declared.fallbacks):
            if not isinstance(source, Source):
                continue
            key = declared.name
            key += "" if source is declared.source else f"@{source.repo}"
            expected.add(key)
            assert (entries[key].repo, entries[key].declared) == (source.repo, source.revision)
            if COMMIT.fullmatch(source.revision):
                assert entries[key].revision == source.revision
    assert expected <= set(entries)
    # The one published file that is known in full before anybody fetched it here.
    assert entries["domainnet"].files == (
        RemoteFile(
            "data/test-00000-of-00001.parquet",
            5_597_563_518,
            "7eb34c7c9c020f265db6c4b2405c873f4bda0259cd06b43aa31df45a17a55409",
        ),
    )


@pytest.mark.slow
def test_the_real_architecture_on_a_handful_of_items(hub, place, tmp_path) -> None:
    served(hub, place, "flickr30k", "sketch")
    assert prepare_all(["flickr30k", "sketch"], Options(yes=True), "none") == 0
    record = run(
        tmp_path, "retrieval", "flickr30k,sketch", method="dar", backbone=None,
        pretrained="random:0", limit=6, batch_size=3,
    )  # fmt: skip
    assert set(record.frame["status"]) == {"ok"}
    assert record.provenance["weights"]["backbone"] == "ViT-B-16-quickgelu"
