"""Which setting to look at, from the pattern of what is off. Words only; no torch."""

from collections.abc import Sequence
from statistics import fmean, median

from .compare import KINDS, ComparedSet

FEWEST = 3  # sets from which on "everywhere" means something
MOST = 0.9  # share of the sets that must lie on one side to be "everywhere"
EVERYWHERE = 1.0  # points of the median; decoders and rounding move sets by less, and both ways
ACTIVATION = (
    "the weights or their activation (OpenAI's need QuickGELU, a model called ...-quickgelu), then "
    "how images are scaled, cropped and normalised, then --precision"
)
SMALLER = (
    "a smaller gallery everywhere, or weights that have seen this data: compare the images in the "
    "table with the sizes that `cl-bench data stats` shows, then --pretrained"
)
CAPTIONS = (
    "what all captions share: the column that they are read from, a prefix that is put before "
    "them, the tokenizer"
)


def advise(sets: Sequence[ComparedSet]) -> list[str]:
    """What to look at, one sentence each; empty where nothing is off.

    First what many sets share: too low or too high everywhere, or on captions alone. Then each set
    that is off beyond that.

    Args:
        sets: as `compare` gives them; those without a published score say nothing.
    """
    judged = [one for one in sets if one.gaps()]
    lines: list[str] = []
    shift = _common(judged, lines)
    for one in judged:
        moved = {kind: each.gap - shift[one.name] for kind, each in one.gaps().items()}
        found = {k: gap for k, gap in moved.items() if abs(gap) > one.gaps()[k].tolerance}
        if found:
            lines.append(_single(one, found))
    return lines


def _gap(one: ComparedSet) -> float:
    return fmean(compared.gap for compared in one.gaps().values())


def _common(judged: Sequence[ComparedSet], lines: list[str]) -> dict[str, float]:
    """Says what many sets share, and gives how much each set is off for that reason."""
    none = dict.fromkeys((one.name for one in judged), 0.0)
    captioned = [one for one in judged if not one.labelled]
    labelled = [one for one in judged if one.labelled]
    if middle := _shift(judged):
        captions_only = captioned and labelled and abs(median(map(_gap, labelled))) < EVERYWHERE
        if not captions_only:
            low = middle < 0
            where = f"too {'low' if low else 'high'} on nearly all of {len(judged)} sets"
            lines.append(
                f"{where} (median {middle:+.1f}): look at {ACTIVATION if low else SMALLER}"
            )
            return dict.fromkeys(none, middle)
    middle = _shift(captioned)
    if middle < 0 and labelled and abs(median(map(_gap, labelled))) < EVERYWHERE:
        lines.append(
            f"too low on image-caption sets alone (median {middle:+.1f} over {len(captioned)}, "
            f"labelled sets are as published): look at {CAPTIONS}"
        )
        return none | {one.name: middle for one in captioned}
    return none


def _shift(sets: Sequence[ComparedSet]) -> float:
    """The median gap where nearly all lie on one side, 0 where they do not."""
    if len(sets) < FEWEST:
        return 0.0
    gaps = [_gap(one) for one in sets]
    middle = median(gaps)
    side = sum(gap * middle > 0 for gap in gaps)
    return middle if abs(middle) >= EVERYWHERE and side >= MOST * len(gaps) else 0.0


def _single(one: ComparedSet, found: dict[str, float]) -> str:
    """What to look at for one set that is off by itself."""
    shown = ", ".join(f"{KINDS[kind]} {one.gaps()[kind].gap:+.1f}" for kind in found)
    differs = list(dict.fromkeys(d for kind in found for d in one.gaps()[kind].differs))
    known = f" (known to differ: {'; '.join(differs)})" if differs else ""
    head = f"{one.title} ({shown}){known}"
    high = fmean(found.values()) > 0
    if one.labelled:
        size = f"{one.images:,} images, {one.candidates:,} classes compete"
        first = "its prompts and class names, the order of its classes, then its test split"
        if high:
            first = "its test split and number of classes, which may be smaller, then its prompts"
        return f"{head}: look at {first} ({size})"
    size = f"{one.images:,} images, {one.candidates:,} captions"
    if len(found) == 1 and len(one.ours) == 2:
        return f"{head}, in one direction alone: look at how many captions an image has ({size})"
    if high:
        return f"{head}: look at its test split, a smaller gallery scores higher ({size})"
    return (
        f"{head}: look at the column of its captions, a prefix on them, then its test split, a "
        f"larger gallery scores lower ({size})"
    )
