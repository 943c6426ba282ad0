"""Batches of crops: new ones at every step, the same whenever asked for, and never in the store."""

from dataclasses import replace

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from benchmark.backbones.backbone import unit
from benchmark.common.report import SILENT
from benchmark.data import rendered
from benchmark.data.batches import join, make_loader
from benchmark.data.crops.boxes import DRAWS
from benchmark.data.split import StoredImages
from benchmark.data.tensors import load_split
from benchmark.errors import BenchError
from benchmark.protocol.items import OwnTower
from benchmark.run.train import Fit


def _load(lab, name="objects", n=14, **more):
    clip = lab.clip()
    split = rendered.render_labelled(name, "train", n, 0)
    return load_split(split, clip.size, clip.tokenize, lab.root, report=SILENT, crops=True, **more)


@pytest.fixture(scope="module")
def data(lab):
    return _load(lab)


def _epoch(loader, epoch=0, start=0):
    return [(b.images.pixels_B3HW, b.target_B) for b in loader.epoch(epoch, start)]


def test_a_batch_has_crops_of_the_images_of_the_plain_batch(lab, data):
    """Each is a box of 0.9 to 1 of its own image, which torchvision cuts out the same."""
    feed = lab.feed(lab.clip())
    plain = make_loader(feed, replace(data, wide=None), (0, "x"), 5)
    cropped = make_loader(feed, data, (0, "x"), 5)
    mean, std = (torch.tensor(v)[:, None, None] for v in (feed.clip.mean, feed.clip.std))
    side, whole = feed.clip.size, range(40, feed.clip.size + 1)
    boxes = [
        (top, left, h, w)
        for h in whole
        for w in whole
        if h * w > 0.89 * side**2
        for top in range(side - h + 1)
        for left in range(side - w + 1)
    ]
    seen = set()
    for (image_B3HW, target), (crop_B3HW, own) in zip(_epoch(plain), _epoch(cropped), strict=True):
        assert own.equal(target)
        image_B3HW, crop_B3HW = image_B3HW * std + mean, crop_B3HW * std + mean
        best_B, box_B = torch.ones(len(own)), [boxes[0]] * len(own)
        for box in boxes:
            found = F.resized_crop(
                image_B3HW, *box, [side, side], InterpolationMode.BICUBIC, antialias=True
            )
            off_B = (found.clamp(0, 1) - crop_B3HW).abs().amax(dim=(1, 2, 3))
            better = (off_B < best_B).tolist()
            box_B = [box if now else had for now, had in zip(better, box_B, strict=True)]
            best_B = torch.minimum(best_B, off_B)
        assert best_B.max() < 1e-4
        seen.update(box_B)
    assert len(seen) > 8


def test_crops_are_a_function_of_seed_epoch_and_step(lab, data):
    feed = lab.feed(lab.clip())
    loader = make_loader(feed, data, (0, "x"), 4)
    torch.manual_seed(0)
    first = _epoch(loader, 3)
    torch.manual_seed(1)
    again = make_loader(feed, data, (0, "x"), 4)
    for start in range(len(first) + 1):
        for (a, _), (b, _) in zip(_epoch(again, 3, start), first[start:], strict=True):
            assert a.equal(b)
    batch = next(loader.epoch(3))
    rows = torch.tensor([2, 0])
    part = batch.images[rows].pixels_B3HW
    torch.testing.assert_close(part, batch.images.pixels_B3HW[rows], rtol=0, atol=1e-5)
    assert not first[0][0].equal(_epoch(make_loader(feed, data, (1, "x"), 4), 3)[0][0])


def test_no_two_steps_have_the_same_crop(lab):
    data = _load(lab, n=1)
    loader = make_loader(lab.feed(lab.clip()), data, (0,), 2)
    crops = torch.cat([p for epoch in range(30) for p, _ in _epoch(loader, epoch)])
    assert len(crops.flatten(1).unique(dim=0)) > 20


def test_all_that_is_asked_of_a_crop_is_of_the_crop(lab, data):
    """Frozen rows and those of a teacher: official scripts give it the same pixels, too."""
    feed = lab.feed(lab.clip())
    teacher = lab.clip()
    with torch.no_grad():
        for p in teacher.parameters():
            p.add_(0.01)
            p.requires_grad_(False)
    teacher.eval()
    batch = next(make_loader(feed, data, (0, "x"), 6).epoch(0))
    with torch.no_grad():
        pixels = batch.images.pixels_B3HW
        want, old = lab.clip().eval().image(pixels), teacher.image(pixels)
        assert torch.allclose(batch.images.frozen(), want, atol=1e-5)
        assert torch.allclose(batch.images.cached(teacher, OwnTower(teacher)), old, atol=1e-5)
        part = torch.tensor([3, 1])
        assert torch.allclose(batch.images[part].frozen(), want[part], atol=1e-5)
        plain = make_loader(feed, replace(data, wide=None), (0, "x"), 6)
        known = next(plain.epoch(0)).images.frozen()
        assert torch.allclose(unit(known), known, atol=1e-5)
        assert not torch.allclose(known, want, atol=1e-4), "a crop has another row than its image"


def test_a_sweep_and_what_is_kept_are_of_the_view_that_is_tested(lab, data):
    feed = lab.feed(lab.clip())
    loader = make_loader(feed, data, (0, "x"), 6)
    for batch in loader.epoch(0):
        batch.images.frozen()
        batch.images.cached(feed.clip, OwnTower(feed.clip))
    swept = list(loader.sweep())
    plain = replace(data, wide=None)
    want = feed.images(plain, torch.arange(len(data)))
    assert torch.cat([b.images.pixels_B3HW for b in swept]).equal(want.pixels_B3HW)
    fresh = lab.feed(lab.clip()).frozen
    known = fresh.images(data.pixels, data.pixel_key)
    assert torch.cat([b.images.frozen() for b in swept]).equal(known)


def test_joined_loaders_crop_every_set(lab, data):
    feed, other = lab.feed(lab.clip()), _load(lab, "land")
    parts = [make_loader(feed, d, (0, i), 5) for i, d in enumerate((data, other))]
    one, two = join(parts), join(parts[::-1])
    for (a, x), (b, y) in zip(_epoch(one, 1), _epoch(two, 1), strict=True):
        assert a.equal(b)
        assert x.equal(y)
    plain = join([make_loader(feed, replace(d, wide=None), (0, i), 5)
                  for i, d in enumerate((data, other))])  # fmt: skip
    whole: list[bool] = []
    for (a, x), (b, y) in zip(_epoch(one, 1), _epoch(plain, 1), strict=True):
        assert x.equal(y)
        whole += (a == b).flatten(1).all(dim=1).tolist()
    assert sum(whole) < len(whole) / 2  # where no try fits a square picture, the box is all of it


def test_memory_that_runs_out_changes_no_crop(lab, data, monkeypatch):
    """A step that is made again with more chunks sees the same pixels."""
    recipe = replace(lab.recipe, epochs=1)
    losses: list[float] = []
    for fails in (False, True):
        feed = lab.feed(lab.clip())
        task = lab.task(feed, data, 0, 1)
        method = lab.method("ft", feed)
        method.before_task(task)
        fit = Fit(method, task, recipe, (0,))
        seen: list[torch.Tensor] = []
        loss = method.loss
        left = [1] if fails else []

        def once(batch, loss=loss, left=left, seen=seen):
            seen.append(batch.images.pixels_B3HW.clone())
            if left:
                left.pop()
                raise torch.OutOfMemoryError("no room")
            return loss(batch)

        monkeypatch.setattr(method, "loss", once)
        fit.run(lambda progress, value, images: losses.append(value))
        if fails:
            assert seen[0].equal(seen[1])
    half = len(losses) // 2
    torch.testing.assert_close(losses[:half], losses[half:], rtol=1e-4, atol=1e-5)


def test_limits_take_the_same_images(lab):
    few = _load(lab, n=14, limit=4)
    assert len(few) == 4
    assert few.wide is not None
    whole = _load(lab)
    assert whole.wide is not None
    rows = [0, 3, 7, 10]
    assert (few.wide.pixels[:] == whole.wide.pixels[rows]).all()
    assert few.wide.size_N2.equal(whole.wide.size_N2[rows])
    assert few.wide.digest != whole.wide.digest
    assert whole.fingerprint == replace(whole, wide=None).fingerprint
    uniform = torch.zeros(2, DRAWS, dtype=torch.float64)
    box = few.wide.boxes(torch.tensor([0, 1]), uniform)
    assert box.equal(whole.wide.boxes(torch.tensor([0, 3]), uniform))


def test_what_lies_in_the_cache_is_made_again_where_it_is_damaged(lab, tmp_path):
    clip = lab.clip()
    split = rendered.render_labelled("objects", "train", 3, 0)

    def load():
        return load_split(split, clip.size, clip.tokenize, tmp_path, crops=True).wide

    first = load()
    for folder, which in (("sizes", "*.npy"), ("pixels", "*.npy")):
        for path in (tmp_path / folder).glob(which):
            raw = bytearray(path.read_bytes())
            raw[-1] ^= 1
            path.write_bytes(bytes(raw))
        again = load()
        assert (again.pixels[:] == first.pixels[:]).all()
        assert again.size_N2.equal(first.size_N2)


def test_images_that_are_there_in_one_view_alone_cannot_be_cropped(lab):
    split = rendered.render_labelled("objects", "train", 3, 0)
    clip = lab.clip()
    ready = load_split(split, clip.size, clip.tokenize, lab.root)
    stored = StoredImages(3, lambda side: (ready.pixels, ready.pixel_key), "owner/name@abc")
    with pytest.raises(BenchError, match=r"whole images.*owner/name@abc.*--crops"):
        load_split(replace(split, images=stored), clip.size, clip.tokenize, lab.root, crops=True)
