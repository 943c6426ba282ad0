"""JPEG: the pixels apart from what is written about them.

Pillow looks into the EXIF block and the index of further pictures (MPO) when it opens a file, and
warns of, or stops at, what it finds there. So it is shown the picture without them, and the texts
that may say the orientation are read afterwards.

Specification: ITU-T T.81, annex B; EXIF and XMP as APP1 segments, ICC and MPF as APP2.
"""

SIGNATURE = b"\xff\xd8\xff"
APP1, APP2, SCAN = 0xE1, 0xE2, 0xDA
ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"


def read_jpeg(raw: bytes) -> tuple[bytes, dict[str, bytes]]:
    """A JPEG without APP1 and APP2 segments, and Pillow's `info` of these: "exif" and "xmp".

    Args:
        raw: bytes that begin with `SIGNATURE`; where the segments cannot be followed any more,
            the rest stays as it is.
    """
    view, at = memoryview(raw), 2
    out, said = [view[:2]], dict[str, bytes]()
    while at + 4 <= len(raw) and raw[at] == 0xFF and raw[at + 1] != SCAN:
        marker = raw[at + 1]
        # 0xFF may be repeated before a marker.
        size = 1 if marker == 0xFF else 2
        if marker not in ALONE and marker != 0xFF:
            size += int.from_bytes(raw[at + 2 : at + 4])
        if at + size > len(raw):
            break
        if marker == APP1:
            body = raw[at + 4 : at + size]
            if body.startswith(EXIF):  # a long block is in several segments
                said["exif"] = said.get("exif", EXIF) + body[len(EXIF) :]
            elif body.startswith(XMP):
                said["xmp"] = body[len(XMP) :]
        elif marker != APP2:
            out.append(view[at : at + size])
        at += size
    return b"".join([*out, view[at:]]), said
