"""Pictures and captions in more than one split: hashes, the near search, and the counts."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
from clouds import SIDE, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from split_images import image_source

from benchmark.data.cache.decoded import fit
from benchmark.data.overlap import hashes, near
from benchmark.data.overlap.count import ComparedSplit, Met, Shared, count_shared
from benchmark.data.overlap.hashes import FLAT, Hashed, hash_pictures
from benchmark.data.overlap.near import RADIUS, candidates, near_sets
from benchmark.data.overlap.texts import same_text
from benchmark.data.pixels import PixelRows
from benchmark.data.rendered import render_labelled
from benchmark.errors import BenchError


def nothing(_: int) -> None:
    pass


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def hashed(*images: Image.Image) -> Hashed:
    pixels = np.stack([fit(image.convert("RGB"), SIDE) for image in images])
    return hash_pictures(PixelRows.of([pixels], pixels.shape[1:]), nothing)


def split(
    *images: Image.Image, learned: bool, captions: tuple[str, ...] | None = None, encoded=None
) -> ComparedSplit:
    texts = None if captions is None else tuple(map(same_text, captions))
    return ComparedSplit(hashed(*images), encoded, texts, learned)


# -- hashes


def apart(a: Hashed, b: Hashed) -> int:
    return int(np.bitwise_count(a.code_N4[0] ^ b.code_N4[0]).sum())


def test_the_hash_is_that_of_the_library() -> None:
    """Bit for bit, in another order: distances are ImageHash's own."""
    import imagehash

    images = [picture(1), as_jpeg(picture(1), 20), picture(2)]
    ours = [hashed(image) for image in images]
    theirs = [imagehash.phash(image, hash_size=16) for image in images]
    for a in range(3):
        for b in range(3):
            assert apart(ours[a], ours[b]) == theirs[a] - theirs[b]


@pytest.mark.parametrize("seed", range(5))
def test_stored_again_or_scaled_is_near_and_mirrored_is_not(seed: int) -> None:
    image = picture(seed)
    there = hashed(image)
    for edited in (as_jpeg(image, 60), image.resize((60, 60)), image.resize((200, 200))):
        mine = hashed(edited)
        assert mine.pixels_N != there.pixels_N
        assert apart(mine, there) <= RADIUS
    for other in (ImageOps.mirror(image), ImageOps.flip(image), picture(seed + 100)):
        assert apart(hashed(other), there) > RADIUS


def test_flat_pictures_are_told() -> None:
    noise = np.random.default_rng(0).integers(120, 124, (SIDE, SIDE, 3), dtype=np.uint8)
    grey = Image.new("RGB", (SIDE, SIDE), "white")
    found = hashed(grey, Image.fromarray(noise), picture(3))
    assert found.flat_N.tolist() == [True, True, False]
    ramp = np.tile(np.linspace(0, 4 * FLAT, SIDE), (SIDE, 1))  # its deviation is 4 FLAT / sqrt(12)
    assert not hashed(Image.fromarray(ramp.astype(np.uint8))).flat_N[0]
    assert hashed(Image.fromarray((ramp * 0.8).astype(np.uint8))).flat_N[0]


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "imagehash", None)
    with pytest.raises(BenchError, match=r"pip install 'cl-bench\[overlap\]'") as caught:
        hashes.library()
    assert "\n" not in str(caught.value)


# -- the search


def brute_force(codes: np.ndarray, sets: list[int]) -> list[int]:
    """All pairs, in plain integers."""
    values = [int.from_bytes(code.tobytes(), "little") for code in codes]
    return [
        mine | sum_of(sets[j] for j, b in enumerate(values) if (a ^ b).bit_count() <= RADIUS)
        for a, mine in zip(values, sets, strict=True)
    ]


def sum_of(masks: Iterator[int]) -> int:
    found = 0
    for mask in masks:
        found |= mask
    return found


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 5))
def test_the_search_finds_what_all_pairs_would(seed: int, count: int, chunk: int) -> None:
    """Around few centres, at distances on both sides of the radius; read in pieces of any size."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2, (3, 256), dtype=np.uint8)
    bits = centres[rng.integers(0, 3, count)]
    for row in bits:
        row[rng.choice(256, rng.integers(0, RADIUS + 2), replace=False)] ^= 1
    codes = np.unique(np.packbits(bits, axis=1), axis=0).view(np.uint64)
    masks = rng.integers(1, 2**7, len(codes)).astype(np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near, "PAIRS", chunk)
        done: list[int] = []
        found = near_sets(codes, masks[:, None], done.append)
    assert found[:, 0].tolist() == brute_force(codes, masks.tolist())
    assert sum(done) == candidates(codes)


@pytest.mark.parametrize(("distance", "is_near"), [(RADIUS, True), (RADIUS + 1, False)])
def test_the_radius_is_exact_however_the_bits_are_spread(distance: int, is_near: bool) -> None:
    """One differing bit in each word is the worst case; no word is equal from 16 on."""
    bits = np.zeros((2, 256), np.uint8)
    bits[1, [16 * k for k in range(distance)]] = 1
    codes = np.packbits(bits, axis=1).view(np.uint64)
    found = near_sets(codes, np.array([[1], [2]], np.uint64), nothing)
    assert found[:, 0].tolist() == ([3, 3] if is_near else [1, 2])


@pytest.mark.slow
def test_the_search_scales_to_half_a_million() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2**64, (500_000, 4), dtype=np.uint64)
    codes[-100:] = codes[:100]
    codes[-100:, 0] ^= np.uint64(2**RADIUS - 1)
    sets = np.ones((len(codes), 1), np.uint64)
    sets[-100:] = 2
    found = near_sets(codes, sets, nothing)[:, 0]
    assert np.flatnonzero(found == 3).tolist() == [*range(100), *range(499_900, 500_000)]


# -- the counts


def test_known_overlaps_are_counted_exactly() -> None:
    a, b, c, d = (picture(seed) for seed in range(10, 14))
    white = Image.new("RGB", (SIDE, SIDE), "white")
    train = split(
        a, b, c, white, learned=True, captions=("A dog.", "a  cat", "R&amp;D", "new", "new")
    )
    test = split(
        a, as_jpeg(b, 50), ImageOps.mirror(c), d, learned=False,
        captions=("a dog.", "A CAT", "r&d", "old"),
    )  # fmt: skip
    held_out = split(white, as_jpeg(a, 70), a, learned=False)
    found = count_shared([train, test, held_out], nothing)
    assert found.pairs == (
        # the same: a; near: b; the mirrored c is neither
        Shared(0, 1, None, (1, 1), (1, 1), (3, 3)),
        # the same: a and white, which is flat; near: the JPEG of a, and nothing new in train
        Shared(0, 2, None, (2, 2), (0, 1), None),
        Shared(1, 2, None, (1, 1), (0, 1), None),
    )
    assert found.met == (Met(2, 1, 3), Met(1, 1, 3), Met(2, 1, 0))


def test_repeated_pictures_count_as_often_as_they_are_there() -> None:
    a = picture(20)
    found = count_shared(
        [split(a, a, a, learned=True), split(a, picture(21), learned=False)], nothing
    )
    assert found.pairs == (Shared(0, 1, None, (3, 1), (0, 0), None),)


def test_equal_bytes_are_counted_where_both_sides_know_them() -> None:
    a, b = picture(30), picture(31)
    known = split(a, b, learned=True, encoded=("x", "y"))
    other = split(b, a, learned=False, encoded=("y", "z"))  # a was encoded anew, without loss
    assert count_shared([known, other], nothing).pairs[0].encoded == (1, 1)
    unknown = split(b, learned=False)
    assert count_shared([known, unknown], nothing).pairs[0].encoded is None


def test_flat_pictures_are_near_to_nothing() -> None:
    """Their bits are noise: two of one colour would be near by chance, or not."""
    a, b = (Image.new("RGB", (SIDE, SIDE), (v,) * 3) for v in (200, 201))
    assert count_shared([split(a, learned=True), split(b, learned=False)], nothing).pairs == ()


def test_more_sets_than_a_word_has_bits() -> None:
    a = picture(40)
    splits = [split(picture(50 + i), learned=True) for i in range(69)]
    splits += [split(a, learned=True), split(as_jpeg(a, 60), learned=False)]
    assert count_shared(splits, nothing).pairs == (
        Shared(69, 70, None, (0, 0), (1, 1), None),
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "A  Dog \n runs",
        "caf&eacute; &amp;amp; bar",
        "it&#39;s",
        "\u00a0x ",
        "schÃ¶n",
        "İSTANBUL",
        "",
    ],
)
def test_captions_are_compared_as_the_tokenizer_reads_them(text: str) -> None:
    from open_clip.tokenizer import get_clean_fn

    assert same_text(text) == get_clean_fn("lower")(text)


# -- what is claimed of the threshold


@pytest.mark.slow
def test_pictures_of_different_domains_are_never_near() -> None:
    """Digits, textures, scenes and machines: 60 of each, 21,600 pairs of different domains."""
    splits = []
    for name in ("digits", "textures", "scenes", "motors"):
        source = image_source(render_labelled(name, "test", 60, 0))
        splits.append(split(*(source.open(i) for i in range(60)), learned=False))
    assert count_shared(splits, nothing).pairs == ()
    assert all(not one.pictures.flat_N.all() for one in splits)  # something was compared
