"""iCaRL's memory: which images, how many, and that no other one can be read any more."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from benchmark.cli.display import Display
from benchmark.data import rendered as mini
from benchmark.data.batches import close, join, kept_bytes
from benchmark.data.tensors import load_split
from benchmark.errors import BenchError
from benchmark.protocol.losses import matching
from benchmark.protocol.method import no_grad_after_task
from benchmark.protocol.types import Features
from benchmark.records.store import read_record
from benchmark.run.request import Request, make_plan
from benchmark.run.runner import execute
from benchmark.run.train import Fit
from benchmark.suites.suite import Dataset
from methods.icarl import herding


@pytest.fixture(scope="module")
def three(lab):
    """Three labelled tasks of unequal sizes."""
    clip = lab.clip()
    parts = (("objects", 25, 0), ("land", 7, 0), ("objects", 12, 3))
    return tuple(
        load_split(mini.render_labelled(name, "train", n, seed), clip.size, clip.tokenize, lab.root)
        for name, n, seed in parts
    )


# -- the reference


def _nearest_mean(rows, count):
    """Algorithm 4 of the paper, by plain loops over lists."""
    mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    chosen: list[int] = []
    for _ in range(count):
        best, least = -1, float("inf")
        for i, _row in enumerate(rows):
            if i in chosen:
                continue
            some = [rows[j] for j in (*chosen, i)]
            own = [sum(column) / len(some) for column in zip(*some, strict=True)]
            distance = sum((a - b) ** 2 for a, b in zip(mean, own, strict=True))
            if distance < least - 1e-15:
                best, least = i, distance
        chosen.append(best)
    return chosen


@pytest.mark.parametrize("count", [0, 1, 4, 9])
def test_herding_is_the_papers(count):
    g = torch.Generator().manual_seed(count)
    rows = F.normalize(torch.randn(9, 5, generator=g), dim=1)
    found = herding(rows, count)
    assert found.tolist() == _nearest_mean(rows.double().tolist(), count)
    assert found.dtype == torch.int64


def test_herding_of_equal_items_takes_the_first_and_none_twice():
    rows = torch.ones(5, 3)
    assert herding(rows, 5).tolist() == [0, 1, 2, 3, 4]
    apart = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    assert herding(apart, 2).tolist() == [0, 1]


# -- the memory over tasks


def _go(lab, data, **changes):
    """Yields (method, index) after every task."""
    feed = lab.feed(lab.clip())
    method = lab.method("icarl", feed, **changes)
    for index, part in enumerate(data):
        task = lab.task(feed, part, index, len(data))
        method.before_task(task)
        Fit(method, task, lab.recipe, (0,)).run(lambda *_: None)
        no_grad_after_task(method, task)
        yield method, index


@torch.no_grad()
def _right_order(clip, pixels_N3HW, data, share):
    """What the memory must take of a task, from the model at its end and plain loops."""
    features = clip.image(pixels_N3HW).double()
    ranked = []
    for c in range(len(data.names)):
        rows = (data.label_N == c).nonzero()[:, 0].tolist()
        own = _nearest_mean(features[rows].tolist(), len(rows)) if rows else []
        ranked.append([rows[i] for i in own])
    turns = [rows[k] for k in range(len(data)) for rows in ranked if k < len(rows)]
    return turns[:share]


def test_the_memory_keeps_its_budget_and_the_right_images(lab, three):
    budget = 16
    before: list[list[int]] = []
    for method, index in _go(lab, three, memory=budget):
        share = budget // (index + 1)
        kept = [rows.tolist() for rows in method.row_K.split(method.count_T.tolist())]
        assert [len(rows) for rows in kept] == [min(len(d), share) for d in three[: index + 1]]
        assert len(method.row_K) <= budget
        for old, now in zip(before, kept, strict=False):
            assert now == old[: len(now)]  # what was best stays
        data, feed = three[index], lab.feed(method.clip)
        whole = feed.images(data, torch.arange(len(data))).pixels_B3HW
        assert kept[-1] == _right_order(method.clip, whole, data, share)
        for t, rows in enumerate(kept):  # the images, bit for bit, and no others
            loader = method.tasks[t].loader
            left = torch.cat([b.images.pixels_B3HW for b in loader.sweep()])
            want = feed.images(three[t], torch.tensor(sorted(rows)))
            assert left.equal(want.pixels_B3HW)
            assert kept_bytes(loader) == len(rows) * (three[t].nbytes // len(three[t]))
        before = kept
    assert len(before) == 3
    assert [len(rows) for rows in before] == [5, 5, 5]


def test_a_batch_of_the_memory_has_its_images_and_their_classes(lab, three):
    seen = set()
    *_, (method, _) = _go(lab, three[:2], memory=6)
    method.before_task(lab.task(lab.feed(method.clip), three[2], 2, 3))
    tables = [lab.feed(method.clip).images(d, torch.arange(len(d))).pixels_B3HW for d in three[:2]]
    for seed in range(12):
        torch.manual_seed(seed)
        batch = method._remembered()
        torch.manual_seed(seed)
        assert batch.images.pixels_B3HW.equal(method._remembered().images.pixels_B3HW)
        assert len(batch.texts) == sum(len(d.names) for d in three[:2])
        for pixels, target in zip(batch.images.pixels_B3HW, batch.target_B, strict=True):
            found = [
                (t, i) for t, table in enumerate(tables) for i, x in enumerate(table)
                if x.equal(pixels)
            ]  # fmt: skip
            assert len(found) == 1
            t, i = found[0]
            prompt = three[t].prompts_CPL[three[t].label_N[i], 0]
            assert batch.texts.tokens_ML[target].equal(prompt)
            seen.add((t, i))
    split = method.row_K.split(method.count_T.tolist())
    assert seen == {(t, int(i)) for t, rows in enumerate(split) for i in rows}


def test_no_room_for_a_task_is_fine_tuning(lab, three):
    for method, index in _go(lab, three[:2], memory=1):
        assert len(method.row_K) == 1 - index
    assert [kept_bytes(task.loader) for task in method.tasks] == [0, 0]
    task = lab.task(lab.feed(method.clip), three[2], 2, 3)
    method.before_task(task)
    assert list(method.loss(next(iter(task.loader.epoch(0))))) == ["match"]


@torch.no_grad()
def test_rehearsal_is_matching_on_the_memory(lab, three):
    with torch.enable_grad():
        ((method, _),) = _go(lab, three[:1], memory=9, rehearsal_weight=0.5)
    feed = lab.feed(method.clip)
    task = lab.task(feed, three[1], 1, 2)
    method.before_task(task)
    batch = next(iter(task.loader.epoch(0)))
    torch.manual_seed(3)
    terms = method.loss(batch)
    assert list(terms) == ["match", "distill_image", "distill_text", "rehearsal"]
    torch.manual_seed(3)
    old = method._remembered()
    image, text = method.encode_image(old.images), method.encode_text(old.texts)
    features = Features(image, text, method.clip.scale, old.target_B, False)
    assert_close(terms["rehearsal"], 0.5 * matching(features, 0.2))


# -- giving up images


@pytest.mark.parametrize("kind", ["pairs", "labelled"])
def test_images_that_are_given_up_cannot_be_read(kind, lab, captioned):
    feed = lab.feed(lab.clip())
    data = captioned if kind == "pairs" else lab.labelled[0]
    whole, loader = (lab.task(feed, data, 0, 1).loader for _ in range(2))
    rows = torch.tensor([7, 2, 11, 3, 8, 5])
    all_pixels = feed.images(data, torch.arange(len(data))).pixels_B3HW
    assert kept_bytes(loader) == data.nbytes
    loader.keep(rows)
    assert (len(whole), len(loader)) == (3, 2)
    for epoch in range(3):
        read = torch.cat([b.images.pixels_B3HW for b in loader.epoch(epoch)])
        assert len(read) == 6
        found = sorted((all_pixels == x).flatten(1).all(dim=1).nonzero()[0].item() for x in read)
        assert found == sorted(rows.tolist())
    swept = list(loader.sweep())
    assert torch.cat([b.images.pixels_B3HW for b in swept]).equal(all_pixels[rows.sort().values])
    if kind == "pairs":
        tokens = [data.tokens_ML[data.first_N[i] : data.first_N[i + 1]] for i in sorted(rows)]
        assert torch.cat([b.texts.tokens_ML for b in swept]).equal(torch.cat(tokens))
        own = [b.texts.tokens_ML[j] for b in swept for j in b.target_B]
        assert all(x.equal(t[0]) for x, t in zip(own, tokens, strict=True))
        share = len(rows) * (data.pixels.nbytes // len(data))
        assert kept_bytes(loader) == share + torch.cat(tokens).nbytes
    else:
        assert torch.cat([b.target_B for b in swept]).equal(data.label_N[rows.sort().values])
    loader.keep(rows[:2])
    (batch,) = loader.sweep()
    assert batch.images.pixels_B3HW.equal(all_pixels[[2, 7]])
    for wrong in ([3], [2, 2], [99], [-1]):
        with pytest.raises(BenchError, match="distinct rows among the 2 that are left"):
            loader.keep(torch.tensor(wrong))
    close(loader)
    assert kept_bytes(loader) == 0
    with pytest.raises(BenchError, match="samples"):
        loader.keep(rows[:1])


def test_giving_up_ends_an_epoch_and_reaches_joined_loaders(lab):
    feed = lab.feed(lab.clip())
    one, two = (lab.task(feed, d, i, 2).loader for i, d in enumerate(lab.labelled))
    both, begun = join([one, two]), one.epoch(0)
    next(begun)
    assert len(both) == 6
    one.keep(torch.tensor([4, 1]))
    with pytest.raises(BenchError, match="between epochs"):
        next(begun)
    assert sum(len(b.images) for b in both.epoch(0)) == 2 + len(lab.labelled[1])
    assert sum(len(b.images) for b in both.sweep()) == 2 + len(lab.labelled[1])
    two.keep(torch.tensor([], dtype=torch.int64))
    assert [len(b.images) for b in both.epoch(0)] == [2]


# -- a run


@pytest.mark.slow
def test_a_run_counts_what_it_keeps(tmp_path):
    """Two labelled tasks through the runner: the state is the kept images and their numbers."""
    request = Request(
        "icarl", suite="mini-xtail", hp=("memory=6",), limit=10, epochs=1, batch_size=4, evals="id",
        device="cpu", pretrained="random:0", output_dir=tmp_path, cache_dir=tmp_path / "cache",
    )  # fmt: skip
    plan = make_plan(request)

    def dataset(name):
        return Dataset(name, name, lambda s: mini.render_labelled(name, s, 10, 0), "MIT", "-")

    tasks = (dataset("objects"), dataset("land"))
    plan = replace(plan, suite=replace(plan.suite, tasks=tasks, held_out=()))
    execute(plan, Display(quiet=True))
    about = read_record(plan.target).provenance
    image = 48 * 48 * 3 + 8 + 8  # pixels, label, number
    assert about["state_bytes"] == [6 * image + 8, 6 * image + 2 * 8]
    assert list(about["losses"][0][0]) == ["match"]
    assert set(about["losses"][1][0]) == {"match", "distill_image", "distill_text"}
