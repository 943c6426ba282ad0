"""Figures: every point is its number, every word has its place, every hole is a gap."""

import ast
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from functools import cache as cache_calls
from itertools import combinations, pairwise
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image
from synthetic import (
    PAPER,
    PAPER_HELD_OUT,
    SHAPES,
    Row,
    build,
    build_tables,
    check_tables,
    held_out_score,
    make_rows,
    save,
    spoil,
)  # fmt: skip
from typer.testing import CliRunner

from benchmark.cli.main import app
from benchmark.records.store import read_records
from benchmark.tables.figures import draw as drawing
from benchmark.tables.figures.charts import (
    KINDS,
    STEPS,
    Block,
    Chart,
    Curve,
    Picture,
    Style,
    imprint_of,
    make_axis,
)
from benchmark.tables.figures.draw import draw, make_figure
from benchmark.tables.figures.figure_1 import make_figures
from benchmark.tables.figures.kept_ranks import make_rank_figures
from benchmark.tables.figures.lettering import PITCH, spread
from benchmark.tables.groups import judge
from benchmark.tables.paper.numbers import printed_in
from benchmark.tables.run_numbers import read_run

DRAWING = {
    "draw",
    "draw_analysis",
    "draw_sheet",
    "lettering",
    "page",
}  # modules that import matplotlib
PICTURES = {"street": "pairs", "stars": "labelled", "pantry": "pairs"}
ROOT = Path(__file__).parents[2]


def pictures(folder: Path) -> dict[str, Picture]:
    runs = [read_run(one) for one in judge(read_records(folder / "r"))]
    return make_figures(runs) | make_rank_figures(runs)


def figure(folder: Path, suite: str) -> Figure:
    return make_figure(pictures(folder)[f"figure-1-{suite}"])


def texts(root: Figure) -> list[Text]:
    return [text for text in root.findobj(Text) if text.get_text() and text.get_visible()]


def bold(root: Figure) -> list[str]:
    """Title, headings and titles of charts, from top to bottom and from left to right."""
    found = [text for text in texts(root) if "Bold" in str(text.get_fontproperties().get_file())]
    boxes = {text: text.get_window_extent() for text in found}
    found.sort(key=lambda text: (-round(boxes[text].y0), boxes[text].x0))
    return [text.get_text() for text in found]


def labels(root: Figure) -> list[list[str]]:
    """What is written at the ends of curves, chart by chart."""
    found: list[list[str]] = []
    for text in root.texts:
        if text.get_text() in ("tasks learned", "block"):
            found.append([])
        elif found:
            found[-1].append(text.get_text())
    return found


def stages(line: Line2D) -> list[float]:
    return list(np.asarray(line.get_xdata(), float))


def heights(line: Line2D) -> list[float]:
    return list(np.asarray(line.get_ydata(), float))


def curves(root: Figure) -> list[tuple[str, list[float]]]:
    """Colour and heights of every line without a hole, in the order drawn."""
    lines = [line for axes in root.axes for line in axes.get_lines()]
    return [(str(line.get_color()), heights(line)) for line in lines]


def bands(axes: Axes) -> list[dict[int, tuple[float, float]]]:
    """Stage -> lower and upper end, of every band."""
    found = []
    for band in axes.collections:
        assert isinstance(band, PolyCollection)
        ends: dict[int, list[float]] = {}
        for x, y in np.asarray(band.get_paths()[0].vertices, float):
            ends.setdefault(int(x), []).append(float(y))
        found.append({stage: (min(ys), max(ys)) for stage, ys in ends.items()})
    return found


def overlap(a: Bbox, b: Bbox) -> bool:
    return bool(a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1)


def check_layout(root: Figure) -> None:
    """As drawn: every text is on the page, none covers another, and so for lines and charts."""
    FigureCanvasAgg(root).draw()
    page = root.bbox
    found = texts(root)
    boxes = [text.get_window_extent() for text in found]
    for box, text in zip(boxes, found, strict=True):
        assert page.x0 <= box.x0, text
        assert page.y0 <= box.y0, text
        assert box.x1 <= page.x1, text
        assert box.y1 <= page.y1, text
    for (a, one), (b, other) in combinations(zip(boxes, found, strict=True), 2):
        assert not overlap(a, b), (one, other)
    for line in root.findobj(Line2D):
        assert isinstance(line, Line2D)
        points = line.get_transform().transform(line.get_xydata())
        assert ((points >= page.p0) & (points <= page.p1)).all()
    for a, b in combinations([axes.bbox for axes in root.axes], 2):
        assert not overlap(a, b)
    plots = [axes.bbox for axes in root.axes]
    for text in root.texts:  # labels and headings lie outside all plots
        assert not any(overlap(text.get_window_extent(), plot) for plot in plots), text


def test_points_and_bands_are_the_numbers(tmp_path: Path) -> None:
    for seed in (1, 2, 4):
        save(tmp_path / "r", make_rows("shapes", SHAPES, "ft", "forward", seed, PICTURES))
    save(tmp_path / "r", make_rows("shapes", SHAPES, "zs", "forward", 0, PICTURES))
    root = figure(tmp_path, "shapes")
    check_layout(root)
    # A single seed has none, nor has the paper.
    assert [len(bands(axes)) for axes in root.axes] == [1, 1, 1, 1, 0, 0, 0, 0]
    for chart, number in ((0, 2), (2, 0)):  # Pantry is the third set, Street the first
        lines = root.axes[chart].get_lines()
        assert len(lines) == 2
        for line in lines:
            assert stages(line) == [0, 1, 2, 3]
        found = {line.get_color(): heights(line) for line in lines}
        hits = [[held_out_score("ft", s, t, number) / 10 for s in (1, 2, 4)] for t in range(4)]
        assert found["#e69f00"] == pytest.approx([fmean(h) for h in hits])
        assert found["#7f7f7f"] == pytest.approx([50 + 2 * number] * 4)
        (band,) = bands(root.axes[chart])
        assert list(band) == [0, 1, 2, 3]
        for stage, (lower, upper) in band.items():
            mean, sd = fmean(hits[stage]), stdev(hits[stage])
            assert (lower, upper) == pytest.approx((mean - sd, mean + sd))


def test_charts_are_titled_and_the_paper_is_apart(tmp_path: Path) -> None:
    save(tmp_path / "r", make_rows("shapes", SHAPES, "ft", "forward", 0, PICTURES))
    root = figure(tmp_path, "shapes")
    assert bold(root) == [
        "Figure 1. Recall@1 on held-out image-caption sets while tasks are learned: suite shapes",
        "shapes 1.0, tiny (seed-0), forward order",
        "Pantry, image to text (R@1, %)", "Pantry, text to image (R@1, %)",
        "Street, image to text (R@1, %)", "Street, text to image (R@1, %)",
        "Paper (ViT-B/16, suite retrieval), as printed in Tables 13 and 14",
        "COCO2014, image to text (R@1, %)", "COCO2014, text to image (R@1, %)",
        "NoCaps, image to text (R@1, %)", "NoCaps, text to image (R@1, %)",
    ]  # fmt: skip
    assert root.texts[1].get_text() == (
        "Mean over seeds, band: ± one standard deviation. Stage 0: the untouched backbone. "
        "Numbers: after the last task."
    )
    found = labels(root)
    assert "Ours 43.9" in found[5]
    assert "ft 47.0" in found[2]  # street from image to text, 50.0 - 3 * 1.0


def test_the_paper_is_drawn_as_printed(tmp_path: Path) -> None:
    save(tmp_path / "r", make_rows("shapes", SHAPES, "ft", "forward", 0, PICTURES))
    root = figure(tmp_path, "shapes")
    assert len(curves(root)[4:]) == 4 * 7
    for axes, (number, direction) in zip(
        root.axes[4:], [(n, d) for n in (13, 14) for d in ("i2t", "t2i")], strict=True
    ):
        rows: dict[str, list[float]] = {}
        for cell in printed_in(number):
            if cell.direction == direction and cell.metric == "hit":
                rows.setdefault(cell.row, []).append(float(cell.value))
        assert [heights(line) for line in axes.get_lines()] == list(rows.values())


def test_the_suite_of_the_paper_shares_its_axes(tmp_path: Path) -> None:
    same = {"backbone": "ViT-B-16-quickgelu", "pretrained": "openai"}
    for method in ("ft", "dar"):
        rows = make_rows("retrieval", PAPER, method, "forward", 0, PAPER_HELD_OUT, **same)
        save(tmp_path / "r", rows)
    root = figure(tmp_path, "retrieval")
    check_layout(root)
    for ours, papers in zip(root.axes[:4], root.axes[4:], strict=True):
        assert ours.get_ylim() == papers.get_ylim()
        assert ours.get_position().height == pytest.approx(papers.get_position().height)
        ticks = [tick.get_text() for tick in ours.get_yticklabels()]
        assert ticks == [tick.get_text() for tick in papers.get_yticklabels()]
        assert [float(tick) for tick in ticks] == list(ours.get_yticks())
        for axes in (ours, papers):
            low, high = axes.get_ylim()
            assert all(low <= y <= high for line in axes.get_lines() for y in heights(line))
    colours = [colour for colour, _ in curves(root)]
    assert colours[:2] == ["#e69f00", "#d55e00"]
    assert colours.count("#e69f00") == colours.count("#d55e00") == 8


def test_a_hole_is_a_gap(tmp_path: Path) -> None:
    """No line and no band over it; the label keeps the name and drops the number of the end."""
    for seed in (0, 1):
        rows = make_rows("retrieval", PAPER, "ft", "forward", seed, PAPER_HELD_OUT)
        rows = spoil(rows, 3, "coco") if seed else rows
        save(tmp_path / "r", spoil(rows, 7, "nocaps"))
    root = figure(tmp_path, "retrieval")
    assert [len(ys) for _, ys in curves(root)[:6]] == [3, 4, 3, 4, 7, 7]
    found = [list(band) for axes in root.axes for band in bands(axes)]
    broken, short = [[0, 1, 2], [4, 5, 6, 7]], [[0, 1, 2, 3, 4, 5, 6]]
    assert found == [*broken, *broken, *short, *short]
    assert [stages(line) for line in root.axes[0].get_lines()] == broken
    assert [label for chart in labels(root) for label in chart].count("ft") == 2


def test_what_is_not_drawn(tmp_path: Path) -> None:
    """Ablations, runs apart, other orders, and suites that have nothing to draw."""
    for variant in ("", "r8", "route-text"):
        rows = make_rows("shapes", SHAPES, "dar", "forward", 0, PICTURES, variant=variant)
        save(tmp_path / "r", rows)
    apart = make_rows("shapes", SHAPES, "ewc", "forward", 0, PICTURES)
    save(tmp_path / "r", apart, {"unofficial": ["odd"]})
    save(tmp_path / "r", make_rows("shapes", SHAPES, "aaa", "reverse", 0, PICTURES))
    alone = make_rows("mine", SHAPES, "ft", "forward", 0, PICTURES)
    save(tmp_path / "r", alone, {"unofficial": ["odd"]})
    save(tmp_path / "r", make_rows("plain", SHAPES, "ft", "forward", 0))
    built = build(tmp_path / "r", tmp_path)
    drawn = [name for name in built if name.startswith("figure") and name.endswith(KINDS)]
    assert sorted(drawn) == sorted(f"figure-1-shapes.{kind}" for kind in KINDS)
    found = labels(figure(tmp_path, "shapes"))
    assert [label.split()[0] for label in found[0]] == ["dar"]
    every = [label for chart in found for label in chart]
    assert not any("route" in label or "ewc" in label or "aaa" in label for label in every)


@pytest.mark.slow
def test_many_methods_and_long_names_fit(tmp_path: Path) -> None:
    for number in range(27):
        more = {
            "variant": f"v{number}",
            "settings": "rank=8,epochs=2,weight_decay=0.05" * (number % 2),
        }
        rows = make_rows("shapes", SHAPES, "aaa", "forward", number, PICTURES, **more)
        save(tmp_path / "r", rows)
    odd = make_rows("shapes", SHAPES, "ft", "forward", 0, PICTURES, settings='a="<&>"')
    save(tmp_path / "r", odd)
    root = figure(tmp_path, "shapes")
    check_layout(root)
    assert len(curves(root)) == 4 * 28 + 28
    lines = root.axes[0].get_lines()
    assert len(lines) == 28
    looks = {(line.get_color(), str(vars(line)["_dash_pattern"])) for line in lines}
    assert len(looks) == 7 * 3  # colours and patterns; after that the labels tell them apart
    every = [label for chart in labels(root) for label in chart]
    assert any(label.startswith('ft+a="<&>"') for label in every)
    assert any(label.partition(" ")[0].endswith("…") for label in every)


def test_zero_shot_the_upper_bound_and_ours_look_as_said(tmp_path: Path) -> None:
    for method in ("zs", "joint", "dar", "ft"):
        save(tmp_path / "r", make_rows("shapes", SHAPES, method, "forward", 0, PICTURES))
    lines = {line.get_label(): line for line in figure(tmp_path, "shapes").axes[0].get_lines()}
    looks = {
        name: (line.get_color(), line.get_linewidth(), vars(line)["_dash_pattern"])
        for name, line in lines.items()
    }
    assert looks == {
        "zs": ("#7f7f7f", 1.6, (0, (2, 3))), "joint": ("#000000", 1.6, (0, (6, 3))),
        "ft": ("#e69f00", 1.6, (0, None)), "dar": ("#d55e00", 2.6, (0, None)),
    }  # fmt: skip
    assert lines["dar"].get_zorder() == max(line.get_zorder() for line in lines.values())


LEAVES = {"leaves": "labelled", "coins": "labelled"}
MODULES = ("attn.q", "attn.k", "attn.v", "attn.out_proj", "mlp.c_fc", "mlp.c_proj")
BLOCKS = {"image": 3, "text": 2}


def kept(tower: str, block: int, module: str, task: int, seed: int) -> int:
    return 2 + block + MODULES.index(module) + 2 * task + 3 * seed - 2 * (tower == "text")


def rank_reports(seed: int) -> dict[str, object]:
    sites = [(w, b, m) for w, blocks in BLOCKS.items() for b in range(blocks) for m in MODULES]
    return {
        "reports": [
            {
                "rank": 16,
                "ranks": {f"{w}.{b}.{m}": kept(w, b, m, task, seed) for w, b, m in sites},
                "null": {"mean": 8.25 + task, "std": 2.0},
            }
            for task in (0, 1)
        ]
    }


def leafy(suite: str, method: str, order: str, seed: int) -> list[Row]:
    rows = make_rows(suite, LEAVES, "ft", order, seed, {})
    return [row | {"method": method} for row in rows]


def test_kept_ranks_are_drawn_beside_the_null(tmp_path: Path) -> None:
    r = tmp_path / "r"
    for seed in (0, 1):
        save(r, leafy("leafy", "codyra", "forward", seed), rank_reports(seed))
    # Neither the other order, nor another method, nor a record without a report.
    save(r, leafy("leafy", "codyra", "reverse", 0), rank_reports(9))
    save(r, leafy("leafy", "codyra-plus", "forward", 0), rank_reports(9))
    save(r, leafy("trees", "codyra", "forward", 0), {"reports": []})
    made = build(r, tmp_path)
    assert sorted(name for name in made if name.startswith("codyra-ranks")) == sorted(
        f"codyra-ranks-leafy.{kind}" for kind in KINDS
    )
    root = make_figure(pictures(tmp_path)["codyra-ranks-leafy"])
    check_layout(root)
    assert bold(root)[1:] == [
        "leafy 1.0, tiny (seed-0), order I, codyra: of 16 ranks", "image tower", "text tower",
    ]  # fmt: skip
    assert len(curves(root)) == 2 * (1 + len(MODULES))
    assert root.axes[0].get_ylim() == root.axes[1].get_ylim()
    for axes, (tower, blocks) in zip(root.axes, BLOCKS.items(), strict=True):
        found = {line.get_label(): heights(line) for line in axes.get_lines()}
        assert found.pop("null") == pytest.approx([8.75] * blocks)
        want = {
            module: pytest.approx([
                fmean(kept(tower, b, module, task, seed) for task in (0, 1) for seed in (0, 1))
                for b in range(blocks)
            ])
            for module in MODULES
        }  # fmt: skip
        assert found == want, tower
    sd = 2.0 / 4**0.5  # of a mean over two tasks and two seeds
    for axes in root.axes:
        (band,) = bands(axes)
        for ends in band.values():
            assert ends == pytest.approx((8.75 - sd, 8.75 + sd))


HOSTILE = (
    "<script>alert(1)</script>", "$x_1$ $\\frac{1}{0}$", "two\nlines\ttab\r", "--> ]]> &amp; ()\\",
    "\x00\x1b\u202e\ud800", "\u732b\U0001f9ea", "é ü → ±", "w" * 500, "%PDF \\endobj",
)  # fmt: skip


def hostile_picture() -> Picture:
    made = [
        Curve(label, Style("#e69f00"), (float(n), n + 1.0), (None, None))
        for n, label in enumerate(HOSTILE)
    ]
    axis = make_axis(height for curve in made for height in curve.edges())
    few = Chart("few", axis, tuple(made[:1]), "block")
    first = tuple(Chart(label, axis, tuple(made), "block") for label in HOSTILE[:2])
    blocks = (Block("first", first), *(Block(label, (few,)) for label in HOSTILE))
    return Picture("".join(HOSTILE), "about", blocks)


@pytest.mark.slow
def test_any_label_is_shown_as_text() -> None:
    picture = hostile_picture()
    root = make_figure(picture)
    check_layout(root)
    shown = {label.rpartition(" ")[0] for label in labels(root)[0]}
    assert shown == {
        "<script>alert(1)</script>", r"$x_1$ $\frac{1}{0}$", r"two\nlines\ttab\r",
        "--> ]]> &amp; ()\\", r"\x00\x1b\u202e\ud800", r"\u732b\U0001f9ea", "é ü → ±",
        "w" * 35 + "…", r"%PDF \endobj",
    }  # fmt: skip
    assert not any(text.get_parse_math() for text in texts(root))
    files = draw(picture, "a mark")
    svg = ET.fromstring(files["svg"])
    assert not [node for node in svg.iter() if str(node.tag).rpartition("}")[2] == "script"]
    # Outlines have their text in a comment: two labels, a title and a heading.
    assert files["svg"].count(b"<!-- $x_1$") == 4
    for kind, file in files.items():
        assert imprint_of(file) is not None, kind


def test_many_stages_are_counted_in_steps() -> None:
    means = tuple(50.0 + n % 3 for n in range(101))
    curve = Curve("one", Style("#e69f00"), means, (1.0,) * 101)
    axis = make_axis(curve.edges())
    root = make_figure(Picture("t", "a", (Block("h", (Chart("c", axis, (curve,)),) * 2),)))
    check_layout(root)
    ticks = [tick.get_text() for tick in root.axes[0].get_xticklabels()]
    assert ticks == [str(stage) for stage in range(0, 101, 7)]
    assert list(root.axes[0].get_xticks()) == [int(tick) for tick in ticks]


# ---- Files ---------------------------------------------------------------------------------------


def two_seeds(folder: Path) -> None:
    for seed in (0, 1):
        save(folder, make_rows("shapes", SHAPES, "ft", "forward", seed, PICTURES))
    save(folder, leafy("leafy", "codyra", "forward", 0), rank_reports(0))


DRAW = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT / "tests" / "support")!r})
from synthetic import build_tables
build_tables(*map(Path, sys.argv[1:]))
"""


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    """Another order of records, other hashes, and a user who set matplotlib up in another way."""
    two_seeds(tmp_path / "one" / "r")
    here = build(tmp_path / "one" / "r", tmp_path / "one")
    for seed in (1, 0):
        save(tmp_path / "two" / "r", make_rows("shapes", SHAPES, "ft", "forward", seed, PICTURES))
    save(tmp_path / "two" / "r", leafy("leafy", "codyra", "forward", 0), rank_reports(0))
    settings = "font.size: 30\nsvg.hashsalt: other\nsvg.fonttype: none\nlines.linewidth: 9\n"
    (tmp_path / "matplotlibrc").write_text(f"{settings}pdf.fonttype: 3\nsavefig.dpi: 30\n")
    own = {"PYTHONHASHSEED": "7", "MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    where = [tmp_path / "two" / name for name in ("r", "tables", "leaderboard.md")]
    subprocess.run(
        [sys.executable, "-c", DRAW, *map(str, where)], cwd=ROOT, env=os.environ | own, check=True
    )
    drawn = [name for name in here if name.endswith(KINDS)]
    assert len(drawn) == 2 * len(KINDS)
    for name in drawn:
        assert (where[1] / name).read_bytes() == here[name].encode("latin-1"), name


def test_files_say_what_they_show_and_neither_when_nor_by_whom(tmp_path: Path) -> None:
    two_seeds(tmp_path / "r")
    where = tmp_path / "r", tmp_path / "tables", tmp_path / "leaderboard.md"
    build_tables(*where)
    for stem, picture in pictures(tmp_path).items():
        files = {kind: (where[1] / f"{stem}.{kind}").read_bytes() for kind in KINDS}
        for file in files.values():
            imprint = imprint_of(file)
            assert imprint is not None
            assert imprint.digest == picture.digest
            assert imprint.software.startswith("matplotlib ")
            assert b"generated by `make tables`; do not edit" in file
            assert not re.search(rb"20\d\d-\d\d-\d\d|D:20\d\d|matplotlib\.org", file)
        assert files["pdf"].startswith(b"%PDF-")
        for word in (b"/CreationDate", b"/Creator", b"/Producer", b"/Type3", b"/Author"):
            assert word not in files["pdf"]
        fonts = set(re.findall(rb"/BaseFont /[A-Z]+\+([\w-]+)", files["pdf"]))
        assert fonts == {b"DejaVuSans", b"DejaVuSans-Bold"}
        svg = ET.fromstring(files["svg"])
        assert picture.title in {node.text for node in svg.iter()}
        assert not re.search(rb"dc:(date|creator)", files["svg"])
        assert b"<text" not in files["svg"]  # outlines, which need no font
        with Image.open(where[1] / f"{stem}.png") as image:
            assert set(image.info) - {"dpi"} == {"Title", "Description"}
            assert image.size == tuple(np.asarray(make_figure(picture).bbox.size).astype(int))
            assert image.getpixel((0, 0)) == (255, 255, 255, 255)


def test_a_digest_changes_with_anything_that_is_shown(tmp_path: Path) -> None:
    def digest(**more: str) -> str:
        rows = make_rows(
            "shapes", SHAPES, "ft", "forward", int(more.pop("seed", "0")), PICTURES, **more
        )
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        save(folder / "r", rows)
        return pictures(folder)["figure-1-shapes"].digest

    found = [digest(), digest(seed="1"), digest(settings="rank=8"), digest(suite_version="2.0")]
    assert len(set(found)) == len(found)
    assert digest() == found[0]


@pytest.mark.slow
def test_a_picture_that_another_version_drew_is_compared_by_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "draw", cache_calls(draw))  # one picture all the time
    save(tmp_path / "r", make_rows("shapes", SHAPES, "ft", "forward", 0, PICTURES))
    where = tmp_path / "r", tmp_path / "tables", tmp_path / "leaderboard.md"
    names = ("results", "out", "leaderboard")
    options = [f"--{name}={path}" for name, path in zip(names, where, strict=True)]
    build_tables(*where)
    assert check_tables(*where) == ([], [])
    path = where[1] / "figure-1-shapes.svg"
    fresh = path.read_bytes()

    def changed(*pairs: tuple[bytes, bytes]) -> tuple[list[Path], list[Path]]:
        found = fresh
        for old, new in pairs:
            assert found.count(old) >= 1
            found = found.replace(old, new)
        path.write_bytes(found)
        return check_tables(*where)

    imprint = imprint_of(fresh)
    assert imprint is not None
    other = re.sub("matplotlib [0-9.]+", "matplotlib 3.0.1", imprint.software)
    version = (imprint.software.encode(), other.encode())
    shade, digest = (b"#e69f00", b"#e69f01"), (imprint.digest.encode(), b"0" * 64)
    assert changed(shade) == ([path], [])  # the same software draws other bytes: not what it drew
    assert changed(digest) == ([path], [])
    assert changed(version, digest) == ([path], [])  # whoever drew it: other numbers
    assert changed(version, shade) == ([], [path])
    monkeypatch.setattr("benchmark.tables.render.check_tables", check_tables)  # that trusts them
    ran = CliRunner().invoke(app, ["tables", "--check", *options])
    assert ran.exit_code == 0, ran.output
    first, second = ran.output.splitlines()
    assert first == "tables and leaderboard fit the records"
    assert second == (
        "drawn by other versions, so that only what they show was compared: figure-1-shapes.svg"
    )
    for broken in (b"", b"<svg/>"):
        path.write_bytes(broken)
        assert check_tables(*where) == ([path], [])
    path.unlink()
    assert check_tables(*where) == ([path], [])
    build_tables(*where)
    ran = CliRunner().invoke(app, ["tables", "--check", *options])
    assert ran.output == "tables and leaderboard fit the records\n"


@given(st.lists(st.floats(0, 200), min_size=1, max_size=14))
def test_labels_are_apart_in_order_and_inside(wanted: list[float]) -> None:
    wanted = sorted(wanted)
    places = spread(wanted, 0, 200)
    assert all(b - a >= PITCH - 1e-9 for a, b in pairwise(places))
    assert all(-1e-9 <= place <= 200 + 1e-9 for place in places)
    if len(wanted) == 1:
        assert places == wanted


def test_labels_with_room_stay_where_they_are_wanted() -> None:
    assert spread([10, 40, 90], 0, 100) == [10, 40, 90]
    assert spread([50, 50], 0, 100) == [50, 50 + PITCH]
    assert spread([100, 100], 0, 100) == [100 - PITCH, 100]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=9))
def test_an_axis_holds_its_values_between_round_numbers(values: list[float]) -> None:
    axis = make_axis(values)
    assert axis.low <= min(values) <= max(values) <= axis.high
    ticks = (axis.high - axis.low) / axis.step
    assert ticks == pytest.approx(round(ticks))
    assert 1 <= round(ticks) <= 8
    assert axis.step in STEPS
    assert axis.low / axis.step == pytest.approx(round(axis.low / axis.step))


# ---- Who imports matplotlib ----------------------------------------------------------------------

CALLS = """
import json, sys
from benchmark.cli.main import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["cl-bench", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (words, end.code)
    there = any(name.partition(".")[0] == "matplotlib" for name in sys.modules)
    assert there == (words[0] == "tables"), words
"""


def test_what_imports_matplotlib_is_imported_inside_one_function() -> None:
    using, importing = set(), set()
    for path in (ROOT / "benchmark").rglob("*.py"):
        for node in ast.walk(tree := ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names]
                words = {*(getattr(node, "module", None) or "").split("."), *names}
                if any(word.partition(".")[0] == "matplotlib" for word in words):
                    using.add(path.name)
                near = "figures" in words or "figures" in path.parts
                if near and words & DRAWING and node in tree.body:
                    importing.add(path.name)
    assert using == {f"{name}.py" for name in DRAWING}
    assert importing == {"draw.py", "draw_sheet.py", "draw_analysis.py"}


@pytest.mark.slow
def test_only_what_draws_imports_matplotlib(tmp_path: Path, cache: Path) -> None:
    """One process that does one thing after the other; the tables come last."""
    record = save(tmp_path / "r", make_rows("shapes", SHAPES, "ft", "forward", 0, PICTURES))
    calls = [
        ["--help"], ["ls"], ["ls", "dar"], ["show", f"{record}"],
        ["run", "--method=zs", "--suite=mini", "--limit=4", "--evals=id", "--display=none",
         f"--output-dir={tmp_path / 'out'}", f"--cache-dir={cache}"],
        ["tables", f"--out={tmp_path / 'tables'}",
         f"--leaderboard={tmp_path / 'board.md'}", f"--cache-dir={tmp_path / 'kept'}"],
    ]  # fmt: skip
    command = [sys.executable, "-c", CALLS, json.dumps(calls)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
