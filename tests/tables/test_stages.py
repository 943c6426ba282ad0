"""Matrices and curves: every number is the formula's, and every word has its place."""

from itertools import product
from pathlib import Path
from statistics import fmean, stdev

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from synthetic import FEW, SHAPES, SKILL, N, held_out_score, make_rows, save, score, spoil

from benchmark.records.store import read_records
from benchmark.tables.figures.stages.draw_sheet import make_sheet
from benchmark.tables.figures.stages.learning import make_curves, make_matrices
from benchmark.tables.figures.stages.sheets import Heat, Sheet, Small, ceiling
from benchmark.tables.groups import judge
from benchmark.tables.run_numbers import RunNumbers, read_run

SETS = {"street": "pairs", "stars": "labelled"}


def runs(folder: Path) -> list[RunNumbers]:
    return [read_run(one) for one in judge(read_records(folder))]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[RunNumbers]:
    folder = tmp_path_factory.mktemp("stages")
    for method, seed in product(("ft", "zs", "joint"), range(2)):
        save(folder, make_rows("shapes", SHAPES, method, "forward", seed, SETS))
        save(folder, make_rows("few", FEW, method, "forward", seed, {}))
    save(folder, make_rows("shapes", SHAPES, "dar", "forward", 0, SETS, variant="k3"))
    save(folder, make_rows("shapes", SHAPES, "aaa", "reverse", 0, SETS))
    save(folder, make_rows("shapes", SHAPES, "ewc", "forward", 0, SETS), {"unofficial": ["odd"]})
    broken = make_rows("shapes", SHAPES, "mod-x", "forward", 0, SETS)
    save(folder, spoil(broken, 2, "dots"))
    return runs(folder)


def percent(hits: float, pairs: bool = True) -> float:
    """Of both directions: from text to image there are 7 hits more."""
    return 100 * (hits + 3.5 * pairs) / N


def panel(sheet: Sheet, title: str, band: int = 0) -> Heat | Small:
    panels: tuple[Heat | Small, ...] = sheet.bands[band].panels
    return next(one for one in panels if one.title == title)


def test_a_matrix_has_every_stage_and_set(found: list[RunNumbers]) -> None:
    heat = panel(make_matrices(found)["stages-shapes-1"], "ft")
    assert isinstance(heat, Heat)
    assert heat.rows == ("0 untouched", "1 Dots", "2 Lines", "3 Waves")
    assert heat.columns == ("Dots", "Lines", "Waves", "Stars", "Street")
    assert (heat.apart, heat.marked) == (3, frozenset({(1, 0), (2, 1), (3, 2)}))
    for step, place in product(range(4), range(3)):
        want = fmean(percent(score("ft", seed, step, place + 1, place)) for seed in range(2))
        assert heat.values[step][place] == pytest.approx(want)
    for column, (name, number) in enumerate((("stars", 1), ("street", 0)), start=3):
        hits = [held_out_score("ft", seed, 3, number) for seed in range(2)]
        want = fmean(percent(one, SETS[name] == "pairs") for one in hits)
        assert heat.values[3][column] == pytest.approx(want)


def test_who_is_drawn_and_in_which_order(found: list[RunNumbers]) -> None:
    """No ablation, no other order, nothing apart; the untouched model first."""
    (band,) = make_matrices(found)["stages-shapes-1"].bands
    assert [one.title for one in band.panels] == ["zs", "mod-x", "ft", "joint"]
    assert set(make_matrices(found)) == {"stages-shapes-1", "stages-few-1"}


def test_a_hole_is_no_number_and_spoils_what_needs_it(found: list[RunNumbers]) -> None:
    heat = panel(make_matrices(found)["stages-shapes-1"], "mod-x")
    assert isinstance(heat, Heat)
    assert heat.values[2][0] is None
    assert heat.values[2][1] is not None
    small = panel(make_curves(found)["learning-shapes"], "mod-x")
    assert isinstance(small, Small)
    assert [mean is None for mean in small.curve.means] == [True, False, True, False]


@pytest.mark.parametrize("suite", ["shapes", "few"])
def test_curves_are_means_over_learned_tasks(found: list[RunNumbers], suite: str) -> None:
    sheet, pairs = make_curves(found)[f"learning-{suite}"], suite == "shapes"
    level, change = (panel(sheet, "ft", band) for band in range(2))
    assert isinstance(level, Small)
    assert isinstance(change, Small)

    def at(seed: int, step: int, place: int) -> float:
        return percent(score("ft", seed, step, place + 1, place), pairs)

    for stage in range(1, 4):
        learned = range(stage)
        means = [fmean(at(seed, stage, place) for place in learned) for seed in range(2)]
        assert level.curve.means[stage] == pytest.approx(fmean(means))
        assert level.curve.sds[stage] == pytest.approx(stdev(means))
        lost = [at(s, stage, p) - at(s, p + 1, p) for s in range(2) for p in learned]
        assert change.curve.means[stage] == pytest.approx(fmean(lost))
        start = fmean(percent(score("zs", 0, 0, 1, place), pairs) for place in learned)
        assert level.line is not None
        assert level.line.means[stage] == pytest.approx(start)
    assert level.curve.means[0] is None
    assert change.line is None


def test_joint_learns_at_the_end(found: list[RunNumbers]) -> None:
    heat = panel(make_matrices(found)["stages-shapes-1"], "joint")
    assert isinstance(heat, Heat)
    assert not heat.marked
    sheet = make_curves(found)["learning-shapes"]
    small = panel(sheet, "joint")
    assert isinstance(small, Small)
    assert [mean is None for mean in small.curve.means] == [True, True, True, False]
    assert "joint" not in [one.title for one in sheet.bands[1].panels]


def test_the_same_records_show_the_same(found: list[RunNumbers]) -> None:
    for make in (make_matrices, make_curves):
        one, other = make(found), make(found[::-1])
        assert {name: sheet.digest for name, sheet in one.items()} == {
            name: sheet.digest for name, sheet in other.items()
        }
    heats = make_matrices(found)["stages-shapes-1"]
    assert heats.digest != make_matrices(found)["stages-few-1"].digest


def test_the_scale_ends_at_a_round_number() -> None:
    assert [ceiling(x) for x in ([], [None], [3.0], [40.0], [40.1], [100.0])] == [
        10.0, 10.0, 10.0, 40.0, 50.0, 100.0
    ]  # fmt: skip


def check_words(sheet: Sheet) -> int:
    """Every text is on the page and covers no other; how many there are."""
    figure = make_sheet(sheet)
    FigureCanvasAgg(figure).draw()
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    boxes = sorted((text.get_window_extent() for text in texts), key=lambda box: box.x0)
    page = figure.bbox
    for number, a in enumerate(boxes):
        assert page.x0 <= a.x0 < a.x1 <= page.x1
        assert page.y0 <= a.y0 < a.y1 <= page.y1
        for b in boxes[number + 1 :]:
            if b.x0 >= a.x1:
                break
            # Lines of a row of a matrix are close: a point of leading may be shared.
            assert min(a.y1, b.y1) - max(a.y0, b.y0) < 2
    return len(texts)


def test_every_word_of_a_sheet_has_its_place(found: list[RunNumbers]) -> None:
    assert check_words(make_matrices(found)["stages-shapes-1"]) > 4 * 9
    assert check_words(make_curves(found)["learning-shapes"]) > 30


@pytest.mark.slow
def test_thirty_methods_with_long_names_are_legible(tmp_path: Path) -> None:
    for number in range(28):
        name = f"a-method-of-a-long-name-{number}"
        rows = make_rows("shapes", SHAPES, list(SKILL)[number % 8], "forward", 0, SETS)
        save(tmp_path, [row | {"method": name} for row in rows], evidence=False)
    for method in ("zs", "ft"):
        save(tmp_path, make_rows("shapes", SHAPES, method, "forward", 0, SETS), evidence=False)
    every = runs(tmp_path)
    matrices = make_matrices(every)
    assert [len(one.bands[0].panels) for one in matrices.values()] == [12, 12, 6]
    assert check_words(matrices["stages-shapes-3"]) > 6 * 9
    assert check_words(make_curves(every)["learning-shapes"]) > 30
