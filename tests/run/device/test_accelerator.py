"""An accelerator without one: CUDA's rules, the CPU's numbers, and how often the host waits."""

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from accelerator import accelerator
from known import known
from streams import Streams, streams

from benchmark.check.instruments.pretended import Elsewhere
from benchmark.check.instruments.waits import counted
from benchmark.check.lab import Lab
from benchmark.cli.display import Display
from benchmark.data.cache import pieces as by_pieces
from benchmark.data.device import resident
from benchmark.errors import BenchError
from benchmark.protocol.method import Method
from benchmark.records.store import Record, read_record
from benchmark.run.evaluate import EvalSet, evaluate
from benchmark.run.registry import method_names
from benchmark.run.request import Request, make_plan
from benchmark.run.runner import execute
from benchmark.run.suitable import check_kinds
from benchmark.suites.find import find_suite

PAIRS, LABELLED = "mini", "mini-xtail"
ORDERS = {PAIRS: "photos,scans", LABELLED: "planes,curios"}


def run(out: Path, cache: Path, method: str, suite: str = PAIRS, **changes: Any) -> Record:
    asked: dict[str, Any] = {
        "limit": 8, "epochs": 1, "batch_size": 4, "evals": "id", "pretrained": "random:0",
        "output_dir": out, "cache_dir": cache, "fresh": True,
    }  # fmt: skip
    request = Request(method, ORDERS[suite], suite, **asked | changes)
    plan = make_plan(request)
    execute(plan, Display(quiet=True))
    return read_record(plan.target)


def there(out: Path, cache: Path, *asked: Any, **changes: Any) -> Record:
    """The same run on the accelerator, with nothing of what the CPU's has left."""
    with accelerator():
        record = run(out / "there", cache / "there", *asked, **changes)
    assert record.provenance["hardware"]["device"] == "meta"
    return record


def same(one: Record, other: Record) -> None:
    """The very hits, and losses to the last bits that a fused kernel may round otherwise."""
    assert one.frame["hits"].tolist() == other.frame["hits"].tolist()
    assert set(other.frame["status"]) == {"ok"}


def _suited(suite: str) -> list[str]:
    """All methods that the suite suits, and every routing and merging of DAR."""
    kind = find_suite(suite).tasks[0].kind
    assert kind is not None
    found = []
    for name in method_names():
        with suppress(BenchError):
            check_kinds(known(name), {"one": kind})
            found.append(name)
    # A random route is a hash of the frozen features' bits, which are a device's own.
    return [*found, *(f"dar.{v}" for v in known("dar").cls.variants if v != "route-random")]


QUICK = {(LABELLED, "rail-primal")}  # the cheapest
RUNS = [
    pytest.param(suite, name, marks=() if (suite, name) in QUICK else pytest.mark.slow)
    for suite in (PAIRS, LABELLED)
    for name in _suited(suite)
]


@pytest.mark.parametrize(("suite", "method"), RUNS)
def test_a_run_there_ends_in_the_hits_of_the_cpu(
    suite: str, method: str, tmp_path: Path, own_cache: Path
) -> None:
    here = run(tmp_path / "here", own_cache, method, suite)
    same(here, there(tmp_path, tmp_path, method, suite))


@pytest.mark.slow
def test_training_is_shared_and_taken_up_there(tmp_path: Path) -> None:
    """Killed in its second task, it goes on; another variant takes what it has trained."""
    whole = there(tmp_path / "whole", tmp_path / "a", "dar", fresh=False)
    steps: list[int] = []

    class Killed(Display):
        def step(self, step: int, loss: float, pairs: int) -> None:
            steps.append(step)
            if len(steps) == 4:
                raise KeyboardInterrupt

    asked = Request(
        "dar", ORDERS[PAIRS], PAIRS, limit=8, epochs=1, batch_size=4, evals="id",
        pretrained="random:0", output_dir=tmp_path / "cut", cache_dir=tmp_path / "b",
    )  # fmt: skip
    with accelerator():
        plan = make_plan(asked)
        with pytest.raises(KeyboardInterrupt), mock.patch("benchmark.run.runner.SAVE_EVERY", -1):
            execute(plan, Killed(quiet=True))
        execute(plan, Display(quiet=True))
        again = read_record(plan.target)
        other = make_plan(replace(asked, method="dar.merge-none"))
        execute(other, Display(quiet=True))
    assert again.provenance["resumed"] == 1
    assert again.frame["hits"].equals(whole.frame["hits"])
    assert again.provenance["losses"] == whole.provenance["losses"]
    shared = read_record(other.target).provenance["shared"]
    assert shared[0] is not None, "the task that was trained without a break"


@pytest.mark.slow
def test_memory_that_runs_out_there_cuts_batches_and_changes_no_negatives(
    tmp_path: Path, own_cache: Path
) -> None:
    """Two batches too large for it: one in two pieces ends where one cut by hand does."""
    loss, tries = Method.loss, Counter[int]()

    def short(self: Any, batch: Any) -> Any:
        terms = loss(self, batch)
        tries[self.clip.chunks] += 1
        if self.clip.chunks == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 TiB")
        return terms

    with mock.patch.object(Method, "loss", short):
        cut = there(tmp_path, tmp_path, "ft")
        here = run(tmp_path / "here", own_cache, "ft")
    assert cut.provenance["chunks"] == here.provenance["chunks"] == [2, 2]
    assert tries[1] == 4, "once a task, on either device: then it is known"
    same(here, cut)


@pytest.mark.slow
def test_a_training_that_reads_ahead_ends_in_the_same_bits(
    lab: Lab, far: Callable[..., Lab]
) -> None:
    """Two tasks of pairs by a method with a teacher, whose rows are asked for in pieces."""
    ends = []
    for reader in (nullcontext, streams):
        with accelerator() as device, reader() as found:
            away = far(device)
            learned = away.train("zscl", away.pairs[:2], epochs=2)
            ends.append([p.detach().cpu() for p in learned.method.parameters()])
            if isinstance(found, Streams):
                assert found.copies
                assert not found.borrowed
    assert all(a.equal(b) for a, b in zip(*ends, strict=True))


@pytest.mark.slow
def test_bf16_runs_there_as_it_does_here(tmp_path: Path, own_cache: Path) -> None:
    """Its attention is another one there, which in bf16 rounds otherwise: a query may move."""
    here = run(tmp_path / "here", own_cache, "ft", precision="bf16")
    found = there(tmp_path, tmp_path, "ft", precision="bf16")
    assert found.provenance["computing"]["precision"] == "bf16"
    assert (here.frame["hits"] - found.frame["hits"]).abs().max() <= 1


FORGETFUL = """
import torch
from benchmark.api import Config, Method


class Forgetful(Method[Config]):
    label = "Forgetful"
    paper = ""

    def encode_image(self, images):
        return super().encode_image(images) + torch.zeros(1, self.clip.dim)
"""


def test_a_plugin_that_forgets_the_device_is_told_by_name(tmp_path: Path, own_cache: Path) -> None:
    file = tmp_path / "forgetful.py"
    file.write_text(FORGETFUL)
    with accelerator(), pytest.raises(BenchError) as error:
        run(tmp_path / "out", own_cache, str(file))
    said = str(error.value)
    assert "forgetful.py" in said
    assert "same device" in said
    assert "\n" not in said


# -- waits

WAITS = {"moe-adapter": 8}  # one for each layer with experts: how many items go to each
UNTRAINED = {"zs", "rail-dual", "rail-primal"}


@pytest.fixture
def far(lab: Lab) -> Callable[..., Lab]:
    """The lab on a device, with several steps in an epoch."""
    return lambda device: replace(
        lab, device=device, recipe=replace(lab.recipe, batch_size=3), start=None
    )


def waits_of_steps(lab: Lab, method: str, kind: str, tasks: int = 2) -> list[list[int]]:
    """Waits of each step of each task."""
    found: list[list[int]] = []
    with counted() as waits:
        feed = lab.feed(lab.clip())
        made = lab.method(method, feed)
        for index, data in enumerate(lab.sets(kind)[:tasks]):
            task = lab.task(feed, data, index, tasks)
            lab.before(made, task, data)
            fit, before = lab.fit(made, task, data, 0, 1), [waits.total()]
            fit.run(lambda *_, before=before: before.append(waits.total()))
            found.append([b - a for a, b in pairwise(before)])
            lab.after(made, task, data)
    return found


STEPS = [
    pytest.param(name, kind, marks=() if (name, kind) == ("ft", "pairs") else pytest.mark.slow)
    for suite, kind in ((PAIRS, "pairs"), (LABELLED, "labelled"))
    for name in _suited(suite)
    if "." not in name and name not in UNTRAINED
]


@pytest.mark.parametrize(("method", "kind"), STEPS)
def test_a_step_waits_once(method: str, kind: str, far: Callable[..., Lab]) -> None:
    """For its loss. In a task's first two steps parameters are compared, too, see `Watch`.

    The very first takes the digest of a teacher, once for its task.
    """
    with accelerator() as device:
        tasks = waits_of_steps(far(device), method, kind)
    assert any(len(steps) > 3 for steps in tasks)
    assert {n for steps in tasks for n in steps[2:]} == {WAITS.get(method, 1)}, tasks
    assert max(n for steps in tasks for n in steps[1:]) <= WAITS.get(method, 1) + 8


def test_a_task_that_fits_stays_there_and_one_that_does_not_waits_no_more(
    lab: Lab, far: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either way the same pixels, to the last bit."""
    rows = torch.tensor([3, 0, 3, 11])
    feed = lab.feed(lab.clip())
    wanted = feed.images(lab.pairs[0], rows).pixels_B3HW
    size = lab.pairs[0].pixels.nbytes
    for free, sets in ((0.0, 0), (size / resident.SHARE * 1.01, 1), (size * 100.0, 2)):
        monkeypatch.setattr(resident, "free_bytes", lambda device, free=free: int(free))
        with accelerator() as device:
            feed = far(device).feed(far(device).clip())
            for data in (lab.pairs[1], lab.pairs[0]):
                feed.images(data, rows).pixels_B3HW  # noqa: B018
            with counted() as waits:
                found = feed.images(lab.pairs[0], rows).pixels_B3HW
            assert waits.total() == 0, waits
            assert isinstance(found, Elsewhere)
            assert found.cpu().equal(wanted)
            assert len(feed.ahead.resident._sets) == min(sets, 2)
            assert feed.ahead.resident.nbytes <= size * sets


def waits_of_scoring(lab: Lab, method: str, which: EvalSet, step: int) -> Counter[str]:
    feed = lab.feed(lab.clip())
    made = lab.method(method, feed).eval()
    with counted() as waits:
        evaluate(made, feed, which, step, again=False)
    return waits


@pytest.mark.parametrize("kind", [pytest.param("pairs", marks=pytest.mark.slow), "labelled"])
def test_a_piece_of_an_evaluation_waits_for_its_rows_alone(
    kind: str, far: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The rows of all pieces come to the host at once: more pieces are no more waits."""
    found, pieces = [], []
    for number, (images, tokens) in enumerate(((7, 2**14), (2, 64))):
        monkeypatch.setattr(by_pieces, "IMAGES", images)
        monkeypatch.setattr(by_pieces, "TOKENS", tokens)
        calls = Counter[str]()
        real = by_pieces._pieces

        def noted(*args: Any, real: Any = real, calls: Counter[str] = calls) -> Any:
            for piece in real(*args):
                calls["pieces"] += 1
                yield piece

        with accelerator() as device:
            lab = replace(far(device), root=tmp_path / str(number))
            data = lab.sets(kind)[0]
            which = EvalSet("a", "A", data, 0, (data,) if kind == "labelled" else (), 0, (0,))  # type: ignore[arg-type]
            with mock.patch.object(by_pieces, "_pieces", noted):
                found.append(waits_of_scoring(lab, "ft", which, 0).total())
        pieces.append(calls["pieces"])
    assert pieces[1] > pieces[0] + 3
    assert found[1] == found[0]
