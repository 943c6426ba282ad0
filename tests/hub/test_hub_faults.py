"""A hub in trouble: the transfer is repeated, or there is one clear sentence and no half set."""

import errno
import os

import pytest
from preparing import QUIET, fetched, files_of, hub_source, job, made, served

from benchmark.cli.data.jobs import Options
from benchmark.cli.data.prepare import prepare_all
from benchmark.data.catalog import declaration
from benchmark.data.published.preparation import plan, prepare
from benchmark.errors import BenchError

FILE = "hahminlew/kream-product-blip-captions/data/train-00001"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        pytest.param("stall", {"after": 500}, marks=pytest.mark.slow),  # others wait as long
        ("cut", {"after": 500}),
        pytest.param("reset", {"after": 500}, marks=pytest.mark.slow),
        ("short", {"after": 3}),
        ("flip", {}),
        pytest.param(429, {"only": "GET"}, marks=pytest.mark.slow),
        (500, {"only": "GET"}),
        pytest.param(503, {"only": "GET"}, marks=pytest.mark.slow),
        (503, {"only": "HEAD"}),
        pytest.param("cut", {"only": "HEAD"}, marks=pytest.mark.slow),
    ],
)
def test_passing_trouble_is_overcome(hub, place, kind, options) -> None:
    served(hub, place, "kream")
    made(place, "kream", root=place / "calm")
    hub.server.fail(kind, FILE, times=1, **options)
    made(place, "kream")
    assert files_of(place / "cache" / "data") == files_of(place / "calm" / "data")


@pytest.mark.parametrize(
    "kind", [503, "cut", *(pytest.param(k, marks=pytest.mark.slow) for k in (429, "stall"))]
)
def test_a_listing_in_trouble_is_repeated(hub, place, kind) -> None:
    served(hub, place, "kream")
    hub.server.fail(kind, "/tree/", times=1, only="api")
    made(place, "kream")


FINAL = [
    ("short", {"after": 3}, r"should be of size \d+ but has size", "HF_ENDPOINT"),
    ("flip", {}, r"sha256 .* instead of", "HF_ENDPOINT"),
    ("reset", {"after": 500}, "again and again", "HF_ENDPOINT"),
    (404, {"only": "GET"}, "404", "huggingface|127.0.0.1"),
    (404, {"only": "HEAD", "code": "EntryNotFound"}, "no such file at that revision", "see http"),
    (401, {"only": "GET"}, "401", "HF_TOKEN"),
    (403, {"only": "HEAD", "code": "GatedRepo"}, "terms of use", "HF_TOKEN"),
    (500, {"only": "GET"}, "status 500 again and again", "HF_ENDPOINT"),
    (503, {"only": "GET"}, "status 503 again and again", "HF_ENDPOINT"),
    pytest.param(429, {"only": "GET"}, "too many requests", "HF_TOKEN", marks=pytest.mark.slow),
    pytest.param(503, {"only": "HEAD"}, "status 503", "HF_ENDPOINT", marks=pytest.mark.slow),
    pytest.param("stall", {"after": 9}, "no data for 1 s", "HF_HUB_DOWNLOAD_TIMEOUT",
                 marks=pytest.mark.slow),
    pytest.param("stall", {"only": "HEAD"}, "no data for 1 s", "HF_HUB_DOWNLOAD_TIMEOUT",
                 marks=pytest.mark.slow),
    pytest.param("cut", {"after": 9}, "again and again", "HF_ENDPOINT", marks=pytest.mark.slow),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options", "got", "remedy"), FINAL)
def test_lasting_trouble_is_one_sentence_and_no_set(hub, place, kind, options, got, remedy) -> None:
    served(hub, place, "kream")
    made(place, "kream", root=place / "calm")
    hub.server.fail(kind, FILE, times=None, **options)
    with pytest.raises(BenchError, match=got) as error:
        made(place, "kream")
    text = str(error.value)
    assert error.value.code in (4, 5)
    assert any(word in text for word in remedy.split("|"))
    assert FILE.split("/", 2)[2] in text
    assert "cl-bench data prepare kream" in text or "see http" in text
    assert text.count("\n") == 0
    assert not list((place / "cache").rglob("manifest.json"))
    hub.server.calm()
    made(place, "kream")  # goes on with what was finished
    assert files_of(place / "cache" / "data") == files_of(place / "calm" / "data")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [429, 503, "stall", "cut"])
def test_a_listing_in_lasting_trouble_is_one_sentence(hub, place, kind) -> None:
    served(hub, place, "kream")
    hub.server.fail(kind, "/tree/", times=None, only="api")
    with pytest.raises(BenchError, match="cl-bench data prepare kream"):
        plan.plan(job(place, "kream"))


def test_a_repository_that_is_gone_names_its_copies(hub, place) -> None:
    served(hub, place, "flickr30k")
    hub.server.fail(404, "umaru97", times=None, code="RepoNotFound")
    with pytest.raises(BenchError, match=r"no such repository.*--source clip-benchmark/wds_flickr"):
        plan.plan(job(place, "flickr30k"))


def test_a_revision_that_is_gone(hub, place) -> None:
    served(hub, place, "sketch")
    hub.server.fail(404, "zoheb/sketch-scene", times=None, code="RevisionNotFound")
    with pytest.raises(BenchError, match=r"no such revision.*--relock"):
        plan.plan(job(place, "sketch"))


def test_a_prefix_that_no_commit_has(hub, place) -> None:
    from dataclasses import replace

    hub.want("AterMors/wikiart_recaption")
    source = replace(hub_source("wikiart"), revision="0123456")
    declared = replace(declaration("wikiart"), source=source)
    with pytest.raises(BenchError, match=r"a commit 0123456\.\.\. in the history"):
        plan.plan(job(place, "wikiart", declared=declared, source=source))


def test_a_gated_repository_needs_token_and_terms(hub, place, monkeypatch) -> None:
    declared = declaration("imagenet")
    gated = declared.fallbacks[1]
    hub.want(gated.repo)
    served(hub, place, "imagenet")
    with pytest.raises(BenchError, match=r"terms of use.*set HF_TOKEN"):
        made(place, "imagenet", source=gated)
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(BenchError, match=r"accept them at http"):
        made(place, "imagenet", source=gated)
    monkeypatch.setenv("HF_TOKEN", "hf_allowed")
    made(place, "imagenet", source=gated)


def test_offline_before_prepare_names_the_variable(hub, place, monkeypatch) -> None:
    served(hub, place, "kream")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BenchError, match=r"unset HF_HUB_OFFLINE.*cl-bench data prepare kream"):
        made(place, "kream")


@pytest.mark.slow
def test_no_hub_at_all_names_the_mirror(hub, place, monkeypatch) -> None:
    served(hub, place, "kream")
    for name in ("ENDPOINT",):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    with pytest.raises(BenchError, match=r"127.0.0.1:9.*HF_ENDPOINT.*cl-bench data prepare kream"):
        plan.plan(job(place, "kream"))


def test_one_set_in_trouble_does_not_stop_the_others(hub, place, capsys) -> None:
    served(hub, place, "kream", "sketch")
    hub.server.fail(500, FILE, times=None, only="GET")
    options = Options(side=32, yes=True)
    assert prepare_all(["kream", "sketch"], options, "plain") == 4
    said = capsys.readouterr()
    assert "Sketch: prepared" in said.out
    assert "1 of 2 sets are prepared" in said.out
    assert said.err.count("error: ") == 1


def test_a_full_disk_is_one_sentence_and_keeps_what_is_done(hub, place, monkeypatch) -> None:
    served(hub, place, "kream")
    real, count = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal count
        count += 1
        if count > 4:  # the second source file
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    planned = plan.plan(job(place, "kream"))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BenchError, match="No space left") as error:
        prepare.prepare(planned, QUIET)
    assert error.value.code == 6
    monkeypatch.setattr(os, "fsync", real)
    assert sum(note is not None for note in planned.notes()) == 1
    assert prepare.prepare(planned, QUIET).manifest["rows"] == {"train": 30}


def test_memory_that_runs_out_drops_no_image(hub, place, monkeypatch) -> None:
    served(hub, place, "kream")

    def starved(raw: bytes, where: str) -> None:
        raise BenchError("an image", "none", "x") from MemoryError()

    monkeypatch.setattr("benchmark.data.published.preparation.decode.decode", starved)
    with pytest.raises(BenchError, match="memory to decode") as error:
        made(place, "kream")
    assert error.value.code == 6
    assert not list((place / "cache").rglob("manifest.json"))


def test_too_small_a_disk_is_said_before_anything_is_fetched(hub, place, monkeypatch) -> None:
    import shutil

    served(hub, place, "kream")
    usage = shutil.disk_usage(place)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    before = len(fetched(hub))
    with pytest.raises(BenchError, match="GB free") as error:
        prepare_all(["kream"], Options(side=32, yes=True), "none")
    assert error.value.code == 6
    assert len(fetched(hub)) == before


def test_nobody_to_ask_is_an_error(hub, place) -> None:
    served(hub, place, "kream")
    with pytest.raises(BenchError, match="repeat the command with --yes"):
        prepare_all(["kream"], Options(side=32), "none")
