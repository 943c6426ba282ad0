"""Figure 1: every point is its number, every word has its place, every hole is a gap."""

import re
import xml.etree.ElementTree as ET
from itertools import combinations, pairwise
from pathlib import Path
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import (
    PAPER,
    PAPER_HELD_OUT,
    SHAPES,
    Row,
    build,
    held_out_score,
    make_rows,
    save,
    spoil,
)  # fmt: skip

from benchmark.tables.figures.svg import EM, PITCH, STEPS, make_axis, spread
from benchmark.tables.paper.numbers import printed_in

PICTURES = {"street": "pairs", "stars": "labelled", "pantry": "pairs"}
NS = "{http://www.w3.org/2000/svg}"
UNIT = re.compile(r"\(R@1, %\)|^(image|text) tower$")  # what a chart's title has
Box = tuple[float, float, float, float]


def figure(folder: Path, suite: str) -> ET.Element:
    return ET.fromstring(build(folder / "r", folder)[f"figure-1-{suite}.svg"])


def texts(root: ET.Element) -> list[ET.Element]:
    return list(root.iter(f"{NS}text"))


def box(text: ET.Element) -> Box:
    """What a text covers if every letter is as wide as allowed for."""
    size, words = float(text.get("font-size", "")), text.text or ""
    width = EM * size * len(words)
    x, y = float(text.get("x", "")), float(text.get("y", ""))
    left = x - {"end": width, "middle": width / 2}.get(text.get("text-anchor", ""), 0.0)
    return left, y - 0.75 * size, left + width, y + 0.2 * size


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def curves(root: ET.Element) -> list[tuple[str, list[tuple[float, float]]]]:
    """Colour and points of every line, in the order drawn."""
    return [
        (line.get("stroke", ""), [
            (float(x), float(y))
            for x, y in (point.split(",") for point in line.get("points", "").split())
        ])
        for line in root.iter(f"{NS}polyline")
    ]  # fmt: skip


def scale(root: ET.Element, chart: int) -> tuple[float, float]:
    """Value at y = 0 and its change per pixel, from the tick labels of the n-th chart."""
    ticks: list[list[tuple[float, float]]] = []
    for text in texts(root):
        if text.get("font-weight") == "bold" and UNIT.search(text.text or ""):
            ticks.append([])
        elif text.get("text-anchor") == "end":
            ticks[-1].append((float(text.get("y", "")) - 4, float(text.text or "")))
    (y0, low), (y1, high) = ticks[chart][0], ticks[chart][-1]
    slope = (high - low) / (y1 - y0)
    return low - y0 * slope, slope


def check_layout(root: ET.Element) -> None:
    width, height = (float(number) for number in root.get("viewBox", "").split()[2:])
    assert (width, height) == (float(root.get("width", "")), float(root.get("height", "")))
    boxes = [box(text) for text in texts(root)]
    for left, top, right, bottom in boxes:
        assert left >= 0
        assert top >= 0
        assert right <= width
        assert bottom <= height
    for (a, one), (b, other) in combinations(zip(boxes, texts(root), strict=True), 2):
        assert not overlap(a, b), (one.text, other.text)
    for _, points in curves(root):
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points)


def test_points_and_bands_are_the_numbers(tmp_path: Path) -> None:
    for seed in (1, 2, 4):
        save(tmp_path / "r", make_rows("shapes", SHAPES, "ft", "forward", seed, PICTURES))
    save(tmp_path / "r", make_rows("shapes", SHAPES, "zs", "forward", 0, PICTURES))
    root = figure(tmp_path, "shapes")
    check_layout(root)
    bands = list(root.iter(f"{NS}polygon"))
    assert len(bands) == 4  # a single seed has none, nor has the paper
    for chart, number in ((0, 2), (2, 0)):  # Pantry is the third set, Street the first
        zero, slope = scale(root, chart)
        drawn = curves(root)[2 * chart : 2 * chart + 2]
        found = {colour: [zero + slope * y for _, y in points] for colour, points in drawn}
        hits = [[held_out_score("ft", s, t, number) / 10 for s in (1, 2, 4)] for t in range(4)]
        assert found["#e69f00"] == pytest.approx([fmean(h) for h in hits], abs=0.02)
        assert found["#7f7f7f"] == pytest.approx([50 + 2 * number] * 4, abs=0.02)
        heights = [float(p.split(",")[1]) for p in bands[chart].get("points", "").split()]
        upper, lower = heights[:4], heights[:3:-1]
        ends = [(fmean(h) + stdev(h), fmean(h) - stdev(h)) for h in hits]
        assert [zero + slope * y for y in upper] == pytest.approx([e[0] for e in ends], abs=0.02)
        assert [zero + slope * y for y in lower] == pytest.approx([e[1] for e in ends], abs=0.02)
        xs = [x for x, _ in drawn[0][1]]
        assert [b - a for a, b in pairwise(xs)] == pytest.approx([xs[1] - xs[0]] * 3, abs=0.11)


def test_charts_are_titled_and_the_paper_is_apart(tmp_path: Path) -> None:
    save(tmp_path / "r", make_rows("shapes", SHAPES, "ft", "forward", 0, PICTURES))
    root = figure(tmp_path, "shapes")
    bold = [text.text for text in texts(root) if text.get("font-weight") == "bold"]
    assert bold == [
        "Figure 1. Recall@1 on held-out image-caption sets while tasks are learned: suite shapes",
        "shapes 1.0, tiny (seed-0), forward order",
        "Pantry, image to text (R@1, %)", "Pantry, text to image (R@1, %)",
        "Street, image to text (R@1, %)", "Street, text to image (R@1, %)",
        "Paper (ViT-B/16, suite retrieval), as printed in Tables 13 and 14",
        "COCO2014, image to text (R@1, %)", "COCO2014, text to image (R@1, %)",
        "NoCaps, image to text (R@1, %)", "NoCaps, text to image (R@1, %)",
    ]  # fmt: skip
    labels = [text.text or "" for text in texts(root)]
    assert "Ours 43.9" in labels
    assert "ft 47.0" in labels  # street from image to text, 50.0 - 3 * 1.0


def test_the_paper_is_drawn_as_printed(tmp_path: Path) -> None:
    save(tmp_path / "r", make_rows("shapes", SHAPES, "ft", "forward", 0, PICTURES))
    root = figure(tmp_path, "shapes")
    drawn = curves(root)[4:]
    assert len(drawn) == 4 * 7
    for index, (number, direction) in enumerate(
        [(n, d) for n in (13, 14) for d in ("i2t", "t2i")], start=4
    ):
        zero, slope = scale(root, index)
        rows: dict[str, list[float]] = {}
        for cell in printed_in(number):
            if cell.direction == direction and cell.metric == "hit":
                rows.setdefault(cell.row, []).append(float(cell.value))
        found = [[zero + slope * y for _, y in points] for _, points in drawn[:7]]
        drawn = drawn[7:]
        assert found == [pytest.approx(values, abs=0.1) for values in rows.values()]


def test_the_suite_of_the_paper_shares_its_axes(tmp_path: Path) -> None:
    same = {"backbone": "ViT-B-16-quickgelu", "pretrained": "openai"}
    for method in ("ft", "dar"):
        rows = make_rows("retrieval", PAPER, method, "forward", 0, PAPER_HELD_OUT, **same)
        save(tmp_path / "r", rows)
    root = figure(tmp_path, "retrieval")
    check_layout(root)
    for chart in range(4):
        assert scale(root, chart)[1] == pytest.approx(scale(root, chart + 4)[1])
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
    assert [len(points) for _, points in curves(root)[:6]] == [3, 4, 3, 4, 7, 7]
    bands = [len(band.get("points", "").split()) for band in root.iter(f"{NS}polygon")]
    assert bands == [6, 8, 6, 8, 14, 14]
    labels = [text.text for text in texts(root)]
    assert labels.count("ft") == 2


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
    assert [name for name in built if name.endswith(".svg")] == ["figure-1-shapes.svg"]
    labels = re.findall(r">([^<]*)</text>", built["figure-1-shapes.svg"])
    first = labels[: labels.index("Pantry, text to image (R@1, %)")]
    assert [label.split()[0] for label in first if label[0].isalpha()][-2:] == ["dar", "dar.r8"]
    assert not any("route" in label or "ewc" in label or "aaa" in label for label in labels)


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
    looks = {
        (line.get("stroke"), line.get("stroke-dasharray"))
        for line in list(root.iter(f"{NS}polyline"))[:28]
    }
    assert len(looks) == 7 * 3  # colours and patterns; after that the labels tell them apart
    assert any((text.text or "").startswith('ft+a="<&>"') for text in texts(root))
    assert any((text.text or "").partition(" ")[0].endswith("…") for text in texts(root))


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
    assert [name for name in made if name.startswith("codyra-ranks")] == ["codyra-ranks-leafy.svg"]
    root = ET.fromstring(made["codyra-ranks-leafy.svg"])
    check_layout(root)
    bold = [text.text for text in texts(root) if text.get("font-weight") == "bold"]
    assert bold[1:] == [
        "leafy 1.0, tiny (seed-0), order I, codyra: of 16 ranks", "image tower", "text tower",
    ]  # fmt: skip
    drawn = curves(root)
    assert len(drawn) == 2 * (1 + len(MODULES))
    for chart, (tower, blocks) in enumerate(BLOCKS.items()):
        zero, slope = scale(root, chart)
        own = drawn[7 * chart : 7 * chart + 7]
        found = [[zero + slope * y for _, y in points] for _, points in own]
        assert pytest.approx([8.75] * blocks, abs=0.05) in found
        for module in MODULES:
            want = [
                fmean(kept(tower, b, module, task, seed) for task in (0, 1) for seed in (0, 1))
                for b in range(blocks)
            ]
            assert pytest.approx(want, abs=0.05) in found, (tower, module)
    bands = list(root.iter(f"{NS}polygon"))
    assert len(bands) == 2
    zero, slope = scale(root, 0)
    heights = [float(p.split(",")[1]) for p in bands[0].get("points", "").split()]
    sd = 2.0 / 4**0.5  # of a mean over two tasks and two seeds
    ends = [zero + slope * y for y in (min(heights), max(heights))]
    assert ends == pytest.approx([8.75 + sd, 8.75 - sd], abs=0.05)


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
