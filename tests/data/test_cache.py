"""Decoded images and frozen features: computed once, whole or computed again."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

from benchmark.common.files import cache_root
from benchmark.data import rendered as mini
from benchmark.data.cache import pieces
from benchmark.data.cache.decoded import decoded, fit, transform_id
from benchmark.data.cache.frozen import FrozenFeatures, normalise
from benchmark.data.split import ImageSource, Labelled, Pairs
from benchmark.data.tensors import LabelTensors, PairTensors, load_split
from benchmark.errors import BenchError


def _image(w, h, seed=0):
    raw = np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)
    return Image.fromarray(raw)


@pytest.mark.parametrize("size", [48, 7, 224])
@pytest.mark.parametrize(
    "shape",
    [(48, 48), (47, 49), (49, 47), (301, 200), (200, 301), (5, 3), (3, 5), (48, 200), (200, 48),
     (1, 9), (333, 1), (97, 64)],
)  # fmt: skip
def test_fit_is_torchvisions_transform(shape, size):
    image = _image(*shape)
    want = CenterCrop(size)(Resize(size, InterpolationMode.BICUBIC)(image))
    got = fit(image, size)
    assert got.shape == (size, size, 3)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, np.asarray(want))


class Counted:
    """A source that counts what it decodes."""

    def __init__(self, n=5, content="content"):
        self.opened = 0
        self.source = ImageSource(n, self._open, content)

    def _open(self, i):
        self.opened += 1
        return _image(20 + i, 30, seed=i)


def test_the_second_read_decodes_nothing(tmp_path):
    counted = Counted()
    first = decoded(counted.source, 16, tmp_path)
    assert counted.opened == 5
    again = decoded(counted.source, 16, tmp_path)
    assert counted.opened == 5
    assert first.digest == again.digest
    np.testing.assert_array_equal(first.pixels, again.pixels)
    for i in range(5):
        np.testing.assert_array_equal(first.pixels[i], fit(_image(20 + i, 30, i), 16))


def test_the_key_names_content_and_transform(tmp_path):
    a = Counted()
    decoded(a.source, 16, tmp_path)
    decoded(a.source, 17, tmp_path)
    assert a.opened == 10
    b = Counted(content="other")
    assert decoded(b.source, 16, tmp_path).digest == decoded(a.source, 16, tmp_path).digest
    assert b.opened == 5
    assert len(list((tmp_path / "pixels").glob("*.npy"))) == 3
    assert transform_id(16) != transform_id(17)


def _harm(path, how):
    note = path.with_suffix(".json")
    raw = path.read_bytes()
    if how == "no note":
        note.unlink()
    elif how == "cut note":
        note.write_text(note.read_text()[:7])
    elif how == "empty note":
        note.write_text("{}")
    elif how == "no array":
        path.unlink()
    else:
        path.write_bytes(raw[: {"cut": len(raw) // 2, "header": 20, "empty": 0}[how]])


HARMS = ["cut", "header", "empty", "no note", "cut note", "empty note", "no array"]


@pytest.mark.parametrize("how", HARMS)
def test_a_damaged_pixel_cache_is_built_again(how, tmp_path):
    counted = Counted()
    want = np.array(decoded(counted.source, 16, tmp_path).pixels)
    _harm(next((tmp_path / "pixels").glob("*.npy")), how)
    again = decoded(counted.source, 16, tmp_path)
    assert counted.opened == 10
    np.testing.assert_array_equal(again.pixels, want)
    decoded(counted.source, 16, tmp_path)
    assert counted.opened == 10


def test_a_failed_decode_leaves_nothing_behind(tmp_path):
    def broken(i):
        if i == 3:
            raise BenchError("an image", "row 3", "mend it")
        return _image(9, 9)

    with pytest.raises(BenchError, match="row 3"):
        decoded(ImageSource(5, broken, "x"), 8, tmp_path)
    assert list((tmp_path / "pixels").iterdir()) == []


def test_the_folder_is_chosen_in_order(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("CL_BENCH_CACHE", raising=False)
    assert cache_root(None) == tmp_path / "xdg" / "cl-bench"
    monkeypatch.setenv("CL_BENCH_CACHE", str(tmp_path / "own"))
    assert cache_root(None) == tmp_path / "own"
    assert cache_root(tmp_path) == tmp_path


# -- splits


def _tokens(texts):
    return torch.tensor([[len(t), *map(ord, t[:3].ljust(3))] for t in texts])


def _pairs(split, root, limit=None):
    found = load_split(split, 8, _tokens, root, limit=limit)
    assert isinstance(found, PairTensors)
    return found


def test_loaded_pairs(tmp_path):
    captions = (("a", "bb"), ("c",), ("dd", "e", "ff"))
    split = Pairs("x", Counted(3).source, captions)
    data = _pairs(split, tmp_path)
    assert data.owner_M.tolist() == [0, 0, 1, 2, 2, 2]
    assert data.first_N.tolist() == [0, 2, 3, 6]
    assert data.tokens_ML.equal(_tokens(["a", "bb", "c", "dd", "e", "ff"]))
    less = _pairs(split, tmp_path, limit=2)
    assert len(less) == 2
    assert less.first_N.tolist() == [0, 2, 3]
    np.testing.assert_array_equal(less.pixels, data.pixels[:2])
    nine = Pairs("y", Counted(9).source, tuple((str(i),) for i in range(9)))
    odd = _pairs(nine, tmp_path, limit=3)
    assert odd.tokens_ML.equal(_tokens(["0", "3", "6"]))  # evenly spaced
    moved = replace(split, captions=(("a",), ("bb", "c"), ("dd", "e", "ff")))
    keys = [d.fingerprint for d in (data, less, load_split(moved, 8, _tokens, tmp_path))]
    assert len(set(keys)) == 3
    assert less.pixel_key != data.pixel_key
    assert load_split(split, 8, _tokens, tmp_path, limit=99).fingerprint == data.fingerprint


def test_loaded_labels(tmp_path):
    labels, names = np.array([1, 0, 1]), ("cat", "dog")
    split = Labelled("x", Counted(3).source, labels, names, ("a {}", "the {}"))
    data = load_split(split, 8, _tokens, tmp_path)
    assert isinstance(data, LabelTensors)
    assert data.prompts_CPL.shape == (2, 2, 4)
    assert data.prompts_CPL[1].equal(_tokens(["a dog", "the dog"]))
    assert data.label_N.tolist() == [1, 0, 1]
    other = load_split(replace(split, labels=np.array([1, 1, 1])), 8, _tokens, tmp_path)
    assert other.fingerprint != data.fingerprint
    with pytest.raises(BenchError, match="empty split"):
        load_split(replace(split, images=Counted(0).source), 8, _tokens, tmp_path)


# -- frozen features


def _frozen(lab, root, clip=None, count=None, precision="fp32"):
    clip = clip or lab.clip()

    def make():
        if count is not None:
            count.append(1)
        return clip

    return FrozenFeatures(make, (clip.name, clip.fingerprint, "cpu", precision), clip.size, root)


@pytest.fixture
def pixels(lab):
    return np.array(lab.pairs[0].pixels), lab.pairs[0].pixel_key


def test_features_are_the_backbones_and_computed_once(lab, pixels, tmp_path):
    made: list[int] = []
    data = lab.pairs[0]
    frozen = _frozen(lab, tmp_path, count=made)
    image, text = frozen.images(*pixels), frozen.texts(data.tokens_ML, data.text_key)
    clip = lab.clip()
    with torch.no_grad():
        torch.testing.assert_close(image, clip.image(normalise(pixels[0], clip)))
        torch.testing.assert_close(text, clip.text(data.tokens_ML))
    assert frozen.images(*pixels).equal(image)
    assert made == [1]
    again = _frozen(lab, tmp_path, count=made)
    assert again.images(*pixels).equal(image)
    assert again.texts(data.tokens_ML, data.text_key).equal(text)
    assert made == [1], "the second process computed them again"
    assert not image.requires_grad


def test_features_from_the_disk_lie_in_memory_as_computed_ones(lab, pixels, tmp_path):
    """The last bits of a product may depend on where its factors lie."""
    tables = [_frozen(lab, tmp_path).images(*pixels) for _ in range(8)]
    assert {table.data_ptr() % 64 for table in tables} == {0}


def test_batches_of_the_pass_do_not_show(lab, pixels, tmp_path, monkeypatch):
    whole = _frozen(lab, tmp_path / "a").images(*pixels)
    monkeypatch.setattr(pieces, "IMAGES", 3)
    parts = _frozen(lab, tmp_path / "b").images(*pixels)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)


def test_other_weights_or_precision_are_another_entry(lab, pixels, tmp_path):
    one = _frozen(lab, tmp_path).images(*pixels)
    changed = lab.clip()
    with torch.no_grad():
        changed.visual.proj.neg_()
    changed.fingerprint = "other"
    two = _frozen(lab, tmp_path, changed).images(*pixels)
    assert two.equal(-one)
    made: list[int] = []
    _frozen(lab, tmp_path, count=made, precision="bf16").images(*pixels)
    assert made == [1]
    _frozen(lab, tmp_path, count=made).images(pixels[0][:4], "key of four")
    assert made == [1, 1]


@pytest.mark.parametrize("how", [*HARMS, "flip"])
def test_a_damaged_feature_file_is_computed_again(how, lab, pixels, tmp_path):
    made: list[int] = []
    want = _frozen(lab, tmp_path, count=made).images(*pixels)
    path = next((tmp_path / "features").glob("*.npy"))
    if how == "flip":
        raw = bytearray(path.read_bytes())
        raw[-2] ^= 1
        path.write_bytes(raw)
    else:
        _harm(path, how)
    assert _frozen(lab, tmp_path, count=made).images(*pixels).equal(want)
    assert made == [1, 1]
    _frozen(lab, tmp_path, count=made).images(*pixels)
    assert made == [1, 1], "the file was not mended"


def test_a_cold_cache_leaves_the_random_state_alone(lab, pixels, tmp_path):
    """Else the dropout of a training step that reads frozen features depends on the cache."""
    from benchmark.backbones.load import load

    frozen = FrozenFeatures(lambda: load("tiny-s", "random:0"), ("x",), 48, tmp_path)
    torch.manual_seed(12345)  # not the state that loading random:0 happens to leave
    before = torch.get_rng_state()
    frozen.images(*pixels)
    assert torch.get_rng_state().equal(before)


def test_normalise_warns_of_nothing(lab):
    """Torch would warn, once in a process, of sharing a read-only memory map."""
    data, clip = lab.pairs[0], lab.clip()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            x = normalise(data.pixels[0:4], clip)
    finally:
        torch.set_warn_always(False)
    want = (torch.tensor(np.array(data.pixels[0:4])).permute(0, 3, 1, 2) / 255).double()
    mean, std = (torch.tensor(v).double()[:, None, None] for v in (clip.mean, clip.std))
    torch.testing.assert_close(x.double(), (want - mean) / std, rtol=0, atol=1e-6)


def test_class_tables_of_the_same_tokens_and_another_shape_do_not_mix(lab, tmp_path):
    """6 prompts are 2 classes of 3 or 3 classes of 2; their first prompts differ."""
    clip = lab.clip()
    feed = replace(lab.feed(clip), frozen=_frozen(lab, tmp_path))
    split = mini.render_labelled("land", "train", 6, 0)
    source = split.images

    def make(names, templates):
        labels = np.zeros(6, dtype=np.int64)
        made = Labelled("x", source, labels, names, templates)
        return load_split(made, 48, clip.tokenize, tmp_path)

    wide = make(("a", "b"), ("{} x", "{} y", "{} z"))
    narrow = make(("a x", "a y", "a z", "b x", "b y", "b z"), ("{}",))
    assert wide.prompts_CPL.flatten(0, 1).equal(narrow.prompts_CPL.flatten(0, 1))
    for data in (wide, narrow):
        prompts = feed.classes((data,), first_prompt_only=True).prompts
        assert len(prompts.frozen()) == len(prompts)
        with torch.no_grad():
            torch.testing.assert_close(
                prompts.frozen(), clip.text(prompts.tokens_ML), rtol=0, atol=1e-5
            )
