"""The numbers of a picture of an analysis, as markdown."""

from ..cells import MISSING
from ..figures.studies.panels import Analysis, Cells, Cloud, Value
from .markdown import GENERATED, cell, pipes


def _shown(value: Value) -> str:
    return f"{value.mean:.2f}" + ("" if value.sd is None else f" ± {value.sd:.2f}")


def _cloud(cloud: Cloud) -> str:
    extra = list(dict.fromkeys(name for kind in cloud.kinds for dot in kind.dots
                               for name, _ in dot.more))  # fmt: skip
    heads = ["What", "Point", cloud.up, cloud.across, *extra]
    lines = []
    for kind in cloud.kinds:
        for dot in kind.dots:
            more = dict(dot.more)
            others = [_shown(more[name]) if name in more else MISSING for name in extra]
            lines.append([
                cell(kind.label + (" (other machine)" if kind.apart else "")), cell(dot.note),
                _shown(dot.y), _shown(dot.x), *others,
            ])  # fmt: skip
    return pipes(heads, lines, heads[:2])


def _cells(cells: Cells) -> str:
    heads = [cells.below, *cells.columns, *(["sum"] if cells.sums else [])]
    lines = []
    for name, values in zip(cells.rows, cells.values, strict=True):
        shown = [MISSING if v is None else f"{v:.{max(cells.decimals, 1)}f}" for v in values]
        known = [v for v in values if v is not None]
        lines.append([cell(name), *shown, *([f"{sum(known):.1f}"] if cells.sums else [])])
    return pipes(heads, lines, heads[:1])


def render_analysis(analysis: Analysis, picture: str) -> str:
    """A page: the picture, and below it all numbers that it shows.

    Args:
        analysis: the picture.
        picture: name of its file.
    """
    parts = [
        f"{GENERATED}\n# {cell(analysis.title)}",
        " ".join(map(cell, analysis.about)),
        f"![{cell(analysis.title)}]({picture})",
    ]
    for strip in analysis.strips:
        parts.append(f"## {cell(strip.heading)}")
        for panel in strip.panels:
            parts.append(f"### {cell(panel.title)}")
            parts.append(_cells(panel) if isinstance(panel, Cells) else _cloud(panel))
    return "\n\n".join(parts) + "\n"
