"""The validation part of a training split: its rule, and its images."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from split_images import image_source

from benchmark.data import rendered
from benchmark.data.held_back.parts import divide
from benchmark.data.held_back.rule import validation_rows
from benchmark.data.pixels import PixelRows
from benchmark.data.split import ImageSource, Labelled, Pairs, StoredImages
from benchmark.errors import BenchError


def ranked(name: str, rows: list[int]) -> list[int]:
    """Rows by the sha256 of version, name and place, as docs/settings.md says it."""
    digests = {i: hashlib.sha256(f"('validation', '1', '{name}', {i})".encode()) for i in rows}
    return sorted(rows, key=lambda i: digests[i].digest())


def source(colours: list[int], *, encoded: bool = False) -> ImageSource:
    """Images of one colour each, in an order of its own."""

    def open_image(i: int) -> Image.Image:
        return Image.new("RGB", (4, 4), (colours[i], 0, 0))

    def backwards():
        return ((i, lambda i=i: open_image(i)) for i in reversed(range(len(colours))))

    marks = (lambda: [f"sha {c}" for c in colours]) if encoded else None
    return ImageSource(len(colours), open_image, f"content {colours}", backwards, marks)


def colour(image: Image.Image) -> int:
    pixel = image.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return int(pixel[0])


@pytest.mark.parametrize("n", [2, 3, 5, 16, 101])
@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.99])
def test_captioned_images_are_taken_by_their_rank(n, share):
    count = min(max(1, int(share * n + 0.5)), n - 1)
    wanted = sorted(ranked("birds", list(range(n)))[:count])
    assert validation_rows("birds", range(n), share).tolist() == wanted


def test_another_name_is_another_division_and_more_rows_keep_the_ranks():
    birds, trees = (validation_rows(n, range(100), 0.25).tolist() for n in ("birds", "trees"))
    assert birds != trees
    assert birds == sorted(ranked("birds", list(range(100)))[:25])


@pytest.mark.parametrize(("shots", "held"), [(16, 4), (5, 1), (2, 1), (3, 1), (1, 0)])
def test_every_class_of_few_shots_is_on_both_sides(shots, held):
    labels = [c for c in range(7) for _ in range(shots)] + [7, 7]
    rows = validation_rows("shots", range(len(labels)), 0.25, labels)
    counts = np.bincount(np.asarray(labels)[rows], minlength=8).tolist()
    assert counts == [held] * 7 + [1]
    first = [i for i, label in enumerate(labels) if label == 3]
    assert {i for i in rows.tolist() if labels[i] == 3} == set(ranked("shots", first)[:held])


def test_rows_of_one_picture_stay_together():
    pictures = ["a", "b", "a", "c", "d", "d", "b", "a"]
    held = set(validation_rows("twins", pictures, 0.5).tolist())
    assert held
    for picture in set(pictures):
        rows = {i for i, one in enumerate(pictures) if one == picture}
        assert rows <= held or not rows & held


def test_repeated_shots_of_a_class_are_no_second_picture():
    """A class with fewer images than shots has them more than once: three are three."""
    pictures, labels = ["x", "y", "z", "x", "y", "z", "x", "q", "q"], [0] * 7 + [1] * 2
    held = validation_rows("few", pictures, 0.25, labels).tolist()
    assert len({pictures[i] for i in held}) == 1
    assert {labels[i] for i in held} == {0}  # class 1 has one picture, twice


def test_a_picture_in_two_classes_is_trained_on():
    for name in ("one", "two", "three", "four", "five"):
        held = validation_rows(name, list("abdace"), 0.5, [0, 0, 0, 1, 1, 1]).tolist()
        assert len(held) == 2
        assert not {0, 3} & set(held)


@pytest.mark.parametrize(
    ("pictures", "labels"),
    [([0], None), ([0, 0, 0], None), ([0, 1, 2], [0, 1, 2]), ([5, 5, 6], [0, 0, 1])],
)
def test_nothing_to_hold_back_is_one_sentence(pictures, labels):
    with pytest.raises(BenchError, match=r"training data of 'lone'"):
        validation_rows("lone", pictures, 0.25, labels)


def test_global_generators_have_no_part_in_it():
    np.random.seed(1)
    one = validation_rows("birds", range(50), 0.25).tolist()
    np.random.seed(2)
    assert validation_rows("birds", range(50), 0.25).tolist() == one


def test_the_parts_are_the_whole_and_have_their_own_images_and_captions():
    colours = list(range(10, 30))
    whole = Pairs("p", source(colours), tuple((f"a {c}", f"b {c}") for c in colours))
    train, held = divide(whole, 0.25)
    assert isinstance(train, Pairs)
    assert isinstance(held, Pairs)
    seen = []
    for part, size in ((train, 15), (held, 5)):
        images = image_source(part)
        assert images.size == len(part.captions) == size
        mine = [colour(images.open(i)) for i in range(size)]
        assert [texts[0] for texts in part.captions] == [f"a {c}" for c in mine]
        each = {i: colour(opened()) for i, opened in images.each()}
        assert each == dict(enumerate(mine))
        assert list(each) == sorted(each, reverse=True)  # as the source reads best
        assert mine == sorted(mine)
        seen += mine
    assert sorted(seen) == colours
    assert image_source(train).content != image_source(held).content


def test_the_marks_of_a_source_decide_and_go_with_its_parts():
    colours = [1, 2, 1, 3, 3, 4, 2, 1]
    whole = Labelled("m", source(colours, encoded=True), np.zeros(8, np.int64), ("c",), ("{}",))
    train, held = divide(whole, 0.5)
    marks = []
    for part in (train, held):
        assert part.images.encoded is not None
        marks.append(set(part.images.encoded()))
    assert not marks[0] & marks[1]
    assert marks[0] | marks[1] == {f"sha {c}" for c in colours}


def test_stored_images_are_picked_where_they_lie():
    block = np.arange(12, dtype=np.uint8).repeat(2 * 2 * 3).reshape(12, 2, 2, 3)

    def pixels(side: int) -> tuple[PixelRows, str]:
        assert side == 2
        return PixelRows.of([block], (2, 2, 3)), "sha"

    whole = Labelled(
        "s", StoredImages(12, pixels, "about"), np.repeat(np.arange(3), 4), ("a", "b", "c"), ("{}",)
    )
    keys, rows = set(), []
    for part in divide(whole, 0.25):
        assert isinstance(part, Labelled)
        assert isinstance(part.images, StoredImages)
        found, key = part.images.pixels(2)
        keys.add(key)
        mine = found[:][:, 0, 0, 0].tolist()
        assert [i // 4 for i in mine] == part.labels.tolist()
        rows += mine
    assert sorted(rows) == list(range(12))
    assert len(keys) == 2
    assert "sha" not in keys


def test_sixteen_shots_of_a_rendered_suite_leave_twelve():
    whole = rendered.render_labelled("planes", "train", 16 * rendered.classes_of("planes"), 16)
    train, held = divide(replace(whole, name="planes"), 0.25)
    assert isinstance(train, Labelled)
    assert isinstance(held, Labelled)
    assert set(np.bincount(train.labels).tolist()) == {12}
    assert set(np.bincount(held.labels).tolist()) == {4}
