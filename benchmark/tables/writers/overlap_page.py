"""The page on sets that overlap."""

from collections.abc import Mapping, Sequence

from ...records.overlap import SharedCounts, SuiteOverlap, overlap_line
from ...suites.names import EMBEDDED, PUBLISHED
from ..cells import MISSING
from .markdown import GENERATED, cell, pipes

PAGE = "overlap.md"
_INTRO = """Pictures and captions that stand in more than one split of a suite, counted by
`cl-bench data stats --across SUITE --write`. A picture is the *same* where all pixels are equal at
the suite's image side, *near* where it is not the same and the perceptual hash of the two differs
in few bits (scaled, stored as JPEG again; not cropped, turned or mirrored). Flat pictures have a
hash that says nothing and are compared by their pixels alone. Captions are the same where CLIP's
tokenizer reads the same text (HTML entities, white space, case). "12 / 9" counts those of the one
split, then those of the other. What a run makes of it is not changed: nothing is removed."""
# What is known of where pictures come from. A hash finds no photograph behind a sketch.
_SUSPECTED = {
    "retrieval": (
        "FS-COCO's sketches (`sketch`) were drawn after photographs of COCO, and may show some of "
        "those held out in COCO2014; no hash finds a photograph behind a sketch. The photographs "
        "of Flickr30K, COCO2014 and NoCaps are all from Flickr, so that some may be in two of them."
    ),
    "xtail": "SUN397 and the held-out Places365 were gathered by web search for the same scenes.",
    "mtil": "SUN397 and the held-out Places365 were gathered by web search for the same scenes.",
}
_SUSPECTED |= {"xtail-coop": _SUSPECTED["xtail"], "mtil-zscl": _SUSPECTED["mtil"]}
_RENDERED = (
    "Its pictures are rendered, and no scene is in two roles: a near picture here is of another "
    "scene that looks almost alike."
)
_HEADS = ("One", "Other", "Same bytes", "Same picture", "Near", "Same caption")


def render_overlap_page(overlaps: Mapping[str, SuiteOverlap]) -> str:
    """A section a suite: those that come with the package, then others that were measured.

    Args:
        overlaps: suite -> what was found.
    """
    names = [*EMBEDDED, *PUBLISHED]
    names += sorted(name for name in overlaps if name not in names)
    sections = [_section(name, overlaps.get(name)) for name in names]
    return f"{GENERATED}\n# Sets that overlap\n\n{_INTRO}\n\n" + "\n\n".join(sections) + "\n"


def _section(name: str, found: SuiteOverlap | None) -> str:
    suspect = f" {_SUSPECTED[name]}" if name in _SUSPECTED else ""
    if found is None:
        return (
            f"## {name}\n\nNot measured by the project yet, which has not prepared its data: "
            f"`cl-bench data stats --across {name} --write` measures it.{suspect}"
        )
    pictures = sum(split.pictures for split in found.splits)
    flat = sum(split.flat for split in found.splits)
    parts = [
        f"## {found.suite} {found.version}",
        f"{len(found.splits)} splits, {pictures} pictures at {found.side} px, {flat} of them flat; "
        f"near: {found.method}.{' ' + _RENDERED if name in EMBEDDED else ''}{suspect}",
        f"{overlap_line(found)}.",
        *([f"Not prepared and left out: {', '.join(found.left_out)}."] if found.left_out else []),
        *_grid("Training data in test data", found, found.leaks()),
        *_grid("Other splits", found, found.others()),
        f"{found.silent} pairs of splits share nothing.",
    ]
    return "\n\n".join(parts)


def _grid(title: str, found: SuiteOverlap, pairs: Sequence[SharedCounts]) -> list[str]:
    if not pairs:
        return [f"{title}: none."]
    lines = [
        [
            cell(str(found.splits[pair.left])),
            cell(str(found.splits[pair.right])),
            *map(_shown, (pair.encoded, pair.pixels, pair.near, pair.captions)),
        ]
        for pair in pairs
    ]
    return [f"{title}:", pipes(_HEADS, lines, _HEADS[:2])]


def _shown(counts: tuple[int, int] | None) -> str:
    return MISSING if counts is None else f"{counts[0]} / {counts[1]}"
