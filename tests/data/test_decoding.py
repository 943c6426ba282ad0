"""Pictures of every depth and kind: the right RGB, computed here from the samples, or a sentence.

The files are put together by hand (tests/support/made_by_hand.py), and what they must look like is
their samples over the greatest one, times 255, on white.
"""

import io
import struct
import threading
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_by_hand import Samples, chunk, png, tiff
from PIL import Image, PngImagePlugin

from benchmark.data.images import decode
from benchmark.errors import BenchError

Floats = npt.NDArray[np.float64]
HEIGHT, WIDTH = 9, 11
MB = 2**20


def drawn(channels: int, depth: int, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2**depth, (HEIGHT, WIDTH, channels), dtype=np.int64)


def white(samples: Samples, depth: int, alpha: Samples | None = None) -> Floats:
    """(H, W, 3): what grey (H, W, 1) or RGB samples look like on white."""
    shown: Floats = samples / (2**depth - 1) * 255 * np.ones(3)
    share = 1 if alpha is None else alpha / (2**depth - 1)
    return shown * share + 255 * (1 - share)


def differ(raw: bytes, want: Floats | Samples) -> float:
    """The greatest difference of the decoded picture."""
    got = np.asarray(decode(raw, "x"))
    assert got.shape == want.shape
    assert got.dtype == np.uint8
    return float(np.abs(got - want).max())


def turned(a: Any, orientation: int) -> Any:
    """What a viewer makes of stored rows and columns (TIFF 6.0, tag 274)."""
    flip = a if orientation in (1, 3, 6, 8) else a[:, ::-1]
    return np.rot90(flip, {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: -1, 7: -1, 8: 1}[orientation])


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


# ---- PNG ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_png_of_grey(depth: int, interlaced: bool) -> None:
    grey = drawn(1, depth)
    want = white(grey, depth)
    assert differ(png(grey, depth, interlaced=interlaced), want) <= 0.5
    key = int(grey[4, 4, 0])
    clear = np.where(grey == key, 255.0, want)
    # Bits beyond the depth do not count.
    for stored in {key, key | (0x4200 if depth < 16 else 0)}:
        raw = png(grey, depth, chunk(b"tRNS", struct.pack(">H", stored)), interlaced=interlaced)
        assert differ(raw, clear) <= 0.5
    if depth >= 8:
        both = drawn(2, depth)
        want = white(both[..., :1], depth, both[..., 1:])
        assert differ(png(both, depth, interlaced=interlaced), want) <= 2


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
def test_png_of_colours(depth: int, interlaced: bool) -> None:
    rgb = drawn(3, depth)
    rgb[1, 1] = rgb[0, 0]
    rgb[2, 2] = rgb[0, 0] ^ np.array([1, 0, 0])  # another colour, by its lowest bit
    want = white(rgb, depth)
    assert differ(png(rgb, depth, interlaced=interlaced, pieces=5), want) < 1
    key = chunk(b"tRNS", struct.pack(">3H", *rgb[0, 0]))
    clear = np.where((rgb == rgb[0, 0]).all(2, keepdims=True), 255.0, want)
    assert (clear == 255).all(2).sum() == 2
    assert differ(png(rgb, depth, key, interlaced=interlaced), clear) < 1
    rgba = drawn(4, depth)
    want = white(rgba[..., :3], depth, rgba[..., 3:])
    assert differ(png(rgba, depth, interlaced=interlaced), want) < 2


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_png_of_a_palette(depth: int) -> None:
    rng = np.random.default_rng(depth)
    count = min(2**depth, 20)
    colours, alphas = rng.integers(0, 256, (count, 3)), rng.integers(0, 256, count - 1)
    index = rng.integers(0, count, (HEIGHT, WIDTH, 1))
    table = chunk(b"PLTE", colours.astype(np.uint8).tobytes())
    assert differ(png(index, depth, table, palette=True), colours[index[..., 0]]) == 0
    trns = chunk(b"tRNS", alphas.astype(np.uint8).tobytes())  # those not named are opaque
    shares = np.append(alphas, 255)[index]
    want = white(colours[index[..., 0]], 8, shares)
    assert differ(png(index, depth, table + trns, palette=True), want) <= 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_picture_is_the_same_with_8_and_with_16_bits(channels: int) -> None:
    samples = drawn(channels, 8)
    flat, deep = (decode(raw, "x") for raw in (png(samples), png(samples * 257, 16)))
    assert np.array_equal(np.asarray(flat), np.asarray(deep))
    if channels in (1, 3):
        keys = samples[3, 3].tolist()
        short, long = (
            chunk(b"tRNS", struct.pack(f">{channels}H", *(k * by for k in keys))) for by in (1, 257)
        )
        flat, deep = decode(png(samples, 8, short), "x"), decode(png(samples * 257, 16, long), "x")
        assert np.array_equal(np.asarray(flat), np.asarray(deep))
        assert np.asarray(flat)[3, 3].tolist() == [255] * 3


def xmp(orientation: int, blank: int = 0) -> bytes:
    return b'<rdf tiff:Orientation="%d"/>' % orientation + b" " * blank


EXIF = Image.Exif()
EXIF[0x0112] = 6
TIFF_6 = EXIF.tobytes()[6:]
BESIDE = {
    "profile": chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(3 * MB))),
    "profile of another method": chunk(b"iCCP", b"p\0\1x"),
    "text": chunk(b"tEXt", b"c\0" + b"x" * (3 * MB)),
    "packed text": chunk(b"zTXt", b"c\0\0" + zlib.compress(b"x" * (3 * MB))),
    "packed text of another method": chunk(b"zTXt", b"c\0\7xx"),
    "international text": chunk(b"iTXt", b"c\0\1\0\0\0" + zlib.compress(b"x" * (3 * MB))),
    "text in broken UTF-8": chunk(b"iTXt", b"c\0\0\0\xff\0\xff\0\xff"),
    "EXIF": chunk(b"eXIf", b"x" * (3 * MB)),
    "checksum of the profile": chunk(b"iCCP", b"p\0\0x", checksum=5),
    "checksum of EXIF": chunk(b"eXIf", TIFF_6, checksum=5),
    "gamma": chunk(b"gAMA", b""),
    "primaries": chunk(b"cHRM", b"xx"),
    "size": chunk(b"pHYs", b""),
    "no frames": chunk(b"acTL", bytes(8)),
    "frames out of order": chunk(b"acTL", struct.pack(">II", 2, 0))
    + chunk(b"fcTL", struct.pack(">5I2H2B", 5, WIDTH, HEIGHT, 0, 0, 1, 1, 0, 0)),
    "a frame outside": chunk(b"acTL", struct.pack(">II", 2, 0))
    + chunk(b"fcTL", struct.pack(">5I2H2B", 0, WIDTH, HEIGHT, 9, 9, 1, 1, 0, 0)),
    "of someone's own": chunk(b"prVt", b"anything"),
    "many": chunk(b"tEXt", b"c\0x") * 5000,
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_stands_beside_the_pixels_does_not_spoil_a_png(name: str) -> None:
    rgb = drawn(3, 8)
    assert differ(png(rgb, 8, BESIDE[name]), rgb) == 0
    assert differ(png(rgb, 8, b"", BESIDE[name]), rgb) == 0


@pytest.mark.parametrize(
    "said",
    [
        chunk(b"eXIf", TIFF_6),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(
            f"\nexif\n{len(TIFF_6) + 6:8}\n{(b'Exif' + bytes(2) + TIFF_6).hex()}\n".encode())),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6)),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp(6, 3 * MB))),
    ],
    ids=["EXIF", "raw profile", "XMP", "packed XMP of 3 MB"],
)  # fmt: skip
def test_a_png_is_upright_whatever_says_so(said: bytes) -> None:
    rgb = drawn(3, 8)
    assert differ(png(rgb, 8, said), turned(rgb, 6)) == 0
    assert differ(png(rgb, 8, b"", BESIDE["profile"] + said), turned(rgb, 6)) == 0


@pytest.mark.slow
def test_a_text_beyond_all_that_pillow_takes_does_not_spoil_a_png() -> None:
    rgb = drawn(3, 8)
    text = chunk(b"tEXt", b"c\0" + b"x" * (65 * MB))
    assert differ(png(rgb, 8, text, text), rgb) == 0


def test_a_text_that_unpacks_without_end_takes_no_memory() -> None:
    """An orientation is looked for in a text of at most 8 MB."""
    import tracemalloc

    pack = zlib.compressobj(1)
    packed = b"".join(pack.compress(b" " * (8 * MB)) for _ in range(8)) + pack.flush()
    bomb = chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed)
    raw = png(drawn(3, 8), 8, bomb * 3)
    tracemalloc.start()
    decode(raw, "x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * MB


def test_no_setting_of_pillow_is_touched_while_others_decode() -> None:
    before = (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY)
    rgb, seen = drawn(3, 8), list[tuple[float, int]]()
    raw = png(rgb, 8, BESIDE["profile"])

    def work() -> None:
        seen.extend((differ(raw, rgb), PngImagePlugin.MAX_TEXT_CHUNK) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [(0.0, before[0])] * 80
    assert before == (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY)


def test_an_animated_png_is_its_first_picture() -> None:
    rgb = drawn(3, 8)
    head = chunk(b"acTL", struct.pack(">II", 2, 0))
    first = chunk(b"fcTL", struct.pack(">5I2H2B", 0, WIDTH, HEIGHT, 0, 0, 1, 1, 1, 1))
    black = zlib.compress((b"\0" * (1 + 3 * WIDTH)) * HEIGHT)
    second = chunk(b"fcTL", struct.pack(">5I2H2B", 1, WIDTH, HEIGHT, 0, 0, 1, 1, 0, 0))
    second += chunk(b"fdAT", struct.pack(">I", 2) + black)
    assert differ(png(rgb, 8, head + first, second), rgb) == 0
    assert differ(png(rgb, 8, head, second), rgb) == 0


WHOLE = png(drawn(3, 8), 8)
HEAD = WHOLE[: 8 + 25]
PALETTE = png(drawn(1, 8), 8, palette=True)
BROKEN_PNG = {
    "header only": (HEAD, "cut off before its pixels"),
    "in the header": (WHOLE[:20], "cut off before its pixels"),
    "in the pixels": (WHOLE[:120], "truncated"),
    "a flipped bit": (WHOLE[:150] + bytes([WHOLE[150] ^ 4]) + WHOLE[151:], "IDAT does not fit"),
    "a bit of the size": (WHOLE[:19] + bytes([WHOLE[19] ^ 4]) + WHOLE[20:], "IHDR does not fit"),
    "no palette": (PALETTE, "without a palette"),
    "transparency": (png(drawn(1, 8), 8, chunk(b"tRNS", b"\1")), "tRNS of 1 bytes"),
    "its checksum": (png(drawn(1, 8), 8, chunk(b"tRNS", b"\0\1", 7)), "tRNS does not fit"),
    "of iOS": (png(drawn(1, 8), 8, chunk(b"CgBI", b"\0\0\0\1")), "chunk CgBI, which no standard"),
    "two headers": (png(drawn(1, 8), 8, HEAD[8:]), "its only header"),
    "a depth that is none": (
        WHOLE[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 4, 2, 0, 0, 0)),
        "4 bits of colour type 2",
    ),
}


@pytest.mark.parametrize("name", BROKEN_PNG)
def test_what_is_wrong_with_a_png_is_said(name: str) -> None:
    raw, got = BROKEN_PNG[name]
    with pytest.raises(BenchError) as error:
        decode(raw, "a.png")
    assert "a whole image in a.png" in error.value.expected
    assert got in error.value.got
    assert len(str(error.value)) < 300


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_png_with_a_changed_byte_is_the_same_picture_or_refused(at: int, by: int) -> None:
    raw = WHOLE[:at] + bytes([WHOLE[at] ^ by]) + WHOLE[at + 1 :]
    try:
        pixels = np.asarray(decode(raw, "x"))
    except BenchError:
        return
    assert np.array_equal(pixels, drawn(3, 8))


def test_bytes_behind_a_png_are_of_no_account() -> None:
    assert differ(WHOLE + b"junk" * 99, drawn(3, 8)) == 0
    assert differ(WHOLE[:-12], drawn(3, 8)) == 0  # all pixels, and no end


# ---- TIFF --------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 4, 8, 12, 16])
def test_tiff_of_grey(depth: int) -> None:
    grey = drawn(1, depth)
    assert differ(tiff(grey, depth, 1), white(grey, depth)) <= 0.5
    if depth in (8, 16):
        assert differ(tiff(grey, depth, 1, order=">"), white(grey, depth)) <= 0.5
    if depth != 12:
        assert differ(tiff(grey, depth, 0), 255 - white(grey, depth)) <= 0.5  # white is zero


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("depth", [8, 16])
def test_tiff_of_colours(depth: int, order: str, planar: bool) -> None:
    rgb, rgba, top = drawn(3, depth), drawn(4, depth), 2**depth - 1
    form: dict[str, Any] = {"order": order, "planar": planar}
    assert differ(tiff(rgb, depth, **form), white(rgb, depth)) < 1
    want = white(rgba[..., :3], depth, rgba[..., 3:])
    assert differ(tiff(rgba, depth, extra=[2], **form), want) < 2
    if not planar:
        assert differ(tiff(rgba, depth, extra=[0], **form), white(rgba[..., :3], depth)) < 1
        before = rgba.copy()
        before[..., :3] = before[..., :3] * before[..., 3:] // top
        assert differ(tiff(before, depth, extra=[1], **form), want) < 3
        ink = (1 - rgba[..., :3] / top) * (1 - rgba[..., 3:] / top) * 255
        assert differ(tiff(rgba, depth, 5, **form), ink) < 2


def test_tiff_of_grey_with_alpha() -> None:
    both = drawn(2, 8)
    want = white(both[..., :1], 8, both[..., 1:])
    assert differ(tiff(both, 8, 1, extra=[2]), want) <= 1
    both[..., 0] = both[..., 0] * both[..., 1] // 255
    assert differ(tiff(both, 8, 1, extra=[1]), want) <= 2  # grey times alpha


@pytest.mark.parametrize("by", [257, 256, 1])
def test_tiff_of_a_palette(by: int) -> None:
    """Colours of 16 bits, or of 8, as some writers leave them (libtiff takes them so, too)."""
    index, colours = drawn(1, 8), np.random.default_rng(5).integers(0, 256, (256, 3))
    table = struct.pack("<768H", *(colours.T * by).reshape(-1))
    assert differ(tiff(index, 8, 3, tags=[(320, 3, table)]), colours[index[..., 0]]) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_is_upright_at_every_depth(orientation: int) -> None:
    said = [(274, 3, struct.pack("<H", orientation))]
    for depth, channels, photometric in ((8, 3, 2), (16, 3, 2), (8, 1, 1), (16, 1, 1)):
        samples = drawn(channels, depth)
        raw = tiff(samples, depth, photometric, tags=said)
        assert differ(raw, turned(white(samples, depth), orientation)) < 1


@pytest.mark.parametrize(("kind", "raw"), [(1, xmp(6)), (2, xmp(6)), (7, xmp(6)), (3, b"ab" * 9)])
def test_xmp_of_any_type_does_not_spoil_a_tiff(kind: int, raw: bytes) -> None:
    rgb = drawn(3, 8)
    assert differ(tiff(rgb, tags=[(700, kind, raw)]), rgb if kind == 3 else turned(rgb, 6)) == 0


def test_of_several_pages_the_first_is_taken() -> None:
    rgb = drawn(3, 8)
    assert differ(tiff(rgb, pages=3), rgb) == 0


@pytest.mark.parametrize(
    ("raw", "got"),
    [
        (tiff(drawn(1, 16), 16, 1, sample_format=2), "signed"),
        (tiff(drawn(1, 8), 8, 1, sample_format=2), "signed"),
        (tiff(drawn(1, 31), 32, 1), "32-bit grey"),
        (tiff(drawn(1, 30), 32, 1, sample_format=3), "floating-point"),
        (tiff(drawn(4, 16), 16, 5, planar=True), "one after the other"),
        (tiff(drawn(2, 16), 16, 1, extra=[2]), "TIFF"),
        (tiff(drawn(3, 8), 8, 8), "LAB"),
    ],
)
def test_tiff_that_would_be_read_wrongly_is_refused(raw: bytes, got: str) -> None:
    with pytest.raises(BenchError) as error:
        decode(raw, "x")
    assert got in error.value.got
    assert "convert it" in error.value.fix


# ---- Others ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_format_is_upright(form: str, orientation: int) -> None:
    columns, rows = np.meshgrid(np.arange(24) * 5, np.arange(16) * 8)
    smooth = np.stack([rows, columns, (rows + columns) // 2], axis=2).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {
        "WEBP": {"lossless": True},
        "JPEG": {"quality": 100, "subsampling": 0},
    }
    raw = saved(Image.fromarray(smooth), form, exif=exif, **options.get(form, {}))
    assert differ(raw, turned(smooth.astype(np.int64), orientation)) <= (6 if form == "JPEG" else 0)


def test_jpeg_of_inks_is_not_inverted() -> None:
    """Adobe's programs, and Pillow with them, store CMYK upside down and say so."""
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:, :8] = [0, 255, 255, 0]  # red
    raw = saved(Image.frombytes("CMYK", (16, 16), inks.tobytes()), "JPEG", quality=95)
    assert b"Adobe" in raw
    pixels = np.asarray(decode(raw, "x")).astype(int)
    assert np.abs(pixels[:, :8] - [255, 0, 0]).max() < 12
    assert np.abs(pixels[:, 8:] - 255).max() < 12


@pytest.mark.parametrize("spoil", [b"\xff" * 40, b"MM\0*" + b"\xff" * 36, bytes(40)])
def test_a_spoilt_list_of_further_pictures_does_not_spoil_the_first(spoil: bytes) -> None:
    """An MPO, as phones and 3D cameras write it, is a JPEG with an index of others behind it."""
    image = Image.new("RGB", (16, 16), (200, 100, 50))
    raw = saved(image, "MPO", save_all=True, append_images=[Image.new("RGB", (16, 16))])
    at = raw.index(b"MPF\0") + 4
    for one in (raw, raw[:at] + spoil + raw[at + 40 :], raw + b"more"):
        assert np.abs(np.asarray(decode(one, "x")).astype(int) - [200, 100, 50]).max() <= 3


@given(st.lists(st.tuples(st.integers(0, len(TIFF_6) + 5), st.integers(0, 255)), max_size=4))
def test_a_spoilt_exif_block_does_not_spoil_a_jpeg(changes: list[tuple[int, int]]) -> None:
    image = Image.new("RGB", (16, 8), (200, 100, 50))
    raw = bytearray(saved(image, "JPEG", exif=EXIF))
    at = raw.index(b"Exif")
    for place, value in changes:
        raw[at + place] = value
    assert sorted(decode(bytes(raw), "x").size) == [8, 16]


@pytest.mark.parametrize("animated", [False, True])
def test_gif_is_on_white(animated: bool) -> None:
    colours = np.array([[10, 20, 30], [200, 0, 0], [0, 200, 0]])
    index = np.arange(64).reshape(8, 8) % 3
    image = Image.fromarray(index.astype(np.uint8), "L")
    image = Image.frombytes("P", (8, 8), image.tobytes())
    image.putpalette(colours.reshape(-1).tolist())
    more: dict[str, Any] = {"save_all": True, "append_images": [image.rotate(90)], "disposal": 2}
    raw = saved(image, "GIF", transparency=1, **(more if animated else {}))
    colours[1] = 255
    assert differ(raw, colours[index]) == 0


@pytest.mark.parametrize("animated", [False, True])
def test_webp_is_on_white(animated: bool) -> None:
    rgba = drawn(4, 8)
    image = Image.fromarray(rgba.astype(np.uint8))
    more: dict[str, Any] = {"save_all": True, "append_images": [image.rotate(180)]}
    raw = saved(image, "WEBP", lossless=True, exact=True, **(more if animated else {}))
    assert differ(raw, white(rgba[..., :3], 8, rgba[..., 3:])) <= 1


def pnm(kind: str, top: int, values: Samples) -> bytes:
    head = f"{kind} {values.shape[1]} {values.shape[0]} {top}\n".encode()
    return head + values.astype(">u2" if top > 255 else "u1").tobytes()


@pytest.mark.parametrize("top", [1, 100, 255, 1023, 65535])
def test_pgm_and_ppm_are_scaled_by_their_greatest_value(top: int) -> None:
    for kind, channels in (("P5", 1), ("P6", 3)):
        values = drawn(channels, 16) % (top + 1)
        assert differ(pnm(kind, top, values), values / top * 255 * np.ones(3)) <= 1


def test_jpeg_2000_of_16_bits() -> None:
    grey = drawn(1, 16)
    raw = saved(Image.fromarray(grey[..., 0].astype(np.uint16)), "JPEG2000")
    assert differ(raw, white(grey, 16)) <= 0.5


HEIC = struct.pack(">I", 24) + b"ftypheic" + bytes(12) + b"x" * 99


@pytest.mark.parametrize(
    ("raw", "got", "fix"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-lfs", "git lfs pull"),
        (b"<!DOCTYPE html><html>no such page", "HTML", "fetch the file itself"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "error message", "again"),
        (bytes(5000), "nothing but zeros", "fetch it again"),
        (HEIC, "HEIC", "convert it to PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG", "convert it to PNG"),
        (b"%PDF-1.7\n", "PDF", "convert it to PNG"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "10 bytes, ", "replace or remove"),
        (b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAA", "base64", "decode the text"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "bytes, ", "replace or remove"),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(raw: bytes, got: str, fix: str) -> None:
    with pytest.raises(BenchError) as error:
        decode(raw, "x")
    assert got in error.value.got
    assert fix in error.value.fix


@pytest.mark.parametrize("cut", [4, 30, 0.5, 0.9])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000", "PPM"])
def test_a_picture_that_is_cut_off_is_refused(form: str, cut: float) -> None:
    image = Image.effect_noise((40, 40), 90).convert("RGB")
    raw = saved(image, form)
    with pytest.raises(BenchError) as error:
        decode(raw[: int(cut if cut > 1 else cut * len(raw))], "x")
    assert len(str(error.value)) < 300


def test_a_colour_profile_changes_no_pixel() -> None:
    """As in torchvision: profiles are not applied."""
    rgb = drawn(3, 8)
    image = Image.fromarray(rgb.astype(np.uint8))
    for form in ("PNG", "TIFF"):
        assert differ(saved(image, form, icc_profile=bytes(3 * MB)), rgb) == 0
