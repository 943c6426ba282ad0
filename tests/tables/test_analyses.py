"""Pictures and pages of the analyses: their numbers by hand, what is left out, fixed bytes."""

from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from synthetic import build, make_rows, save

from benchmark.backbones.sites import MAPS, of_towers
from benchmark.records.study.file import StudyFile, read_study, study_path, write_study
from benchmark.tables.figures.charts import Axis
from benchmark.tables.figures.draw import draw
from benchmark.tables.figures.studies.panels import (
    Analysis,
    Cells,
    Cloud,
    Dot,
    Dots,
    Strip,
    Value,
    over_seeds,
)
from benchmark.tables.figures.studies.points import make_study_figures
from benchmark.tables.figures.studies.whole_runs import is_study_row, place_of
from benchmark.tables.writers.analysis_page import render_analysis

MADE = {"code": {"commit": "c" * 40, "sha256": "s", "numerics": 3}}
GROUP = ("mini-xtail", "2.0", "tiny-s", "bundled")


def _study(name: str, asked: dict[str, Any]) -> StudyFile:
    return StudyFile(name, *GROUP, asked, dict(MADE))


def _pair(task: int, reference: int) -> dict[str, Any]:
    return {"task": {"hits": task, "n": 80}, "reference": {"hits": reference, "n": 200}}


def _placement() -> StudyFile:
    study = _study("placement", {"method": "lora", "task": "planes", "reference": "objects"})
    for seed, more in ((1, 0), (2, 8)):
        for rank, hits in ((16, 60), (1, 40)):
            at = {"tower": "image", "part": "mlp", "rank": rank, "seed": seed}
            study = study.with_point(at, _pair(hits + more, 150 - hits))
    return study.with_point({"untouched": True, "seed": None}, _pair(20, 120))


def test_a_study_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = study_path(tmp_path, "mini-xtail", "placement")
    for study in (_study("placement", {}), _placement()):
        write_study(path, study)
        assert read_study(path) == study


def test_points_are_means_over_seeds_with_their_spread() -> None:
    (figure,) = make_study_figures([_placement()]).values()
    (strip,) = figure.strips
    (cloud,) = strip.panels
    assert isinstance(cloud, Cloud)
    assert "2 seeds" in strip.heading
    assert ("n = 200" in cloud.across, "n = 80" in cloud.up) == (True, True)
    kind, untouched = cloud.kinds
    assert (kind.label, [dot.note for dot in kind.dots]) == ("image tower, MLP", ["1", "16"])
    found = [50.0, 60.0], [75.0, 85.0]
    assert [dot.y for dot in kind.dots] == [Value(fmean(p), stdev(p)) for p in found]
    assert [dot.x for dot in kind.dots] == [Value(55.0, 0.0), Value(45.0, 0.0)]
    assert untouched.dots == (Dot(Value(60.0, None), Value(25.0, None)),)
    page = render_analysis(figure, "p.png")
    assert "55.00 ± 7.07" in page
    assert "![" in page
    assert "nothing was chosen" in page


def test_removed_and_kept_alone_are_two_panels() -> None:
    study = _study("removal", {"method": "lora", "task": "planes", "reference": "objects"})
    for at, hits in (
        ({"kept": "every map"}, 60), ({"kept": "no map"}, 20),
        ({"removed": "attn.v", "tower": "image"}, 50), ({"kept": "attn.v", "tower": "image"}, 30),
        ({"removed": "attn.v", "tower": "text"}, 55),
    ):  # fmt: skip
        study = study.with_point(at | {"seed": 1}, _pair(hits, 100))
    (figure,) = make_study_figures([study]).values()
    gone, alone = figure.strips[0].panels
    assert isinstance(gone, Cloud)
    assert isinstance(alone, Cloud)
    ends = ["pretrained, untouched", "all updates"]
    assert [k.label for k in gone.kinds] == [*ends, "image attn.v", "text attn.v"]
    assert [k.label for k in alone.kinds] == [*ends, "image attn.v"]
    assert [k.dots[0].y.mean for k in alone.kinds] == [25.0, 75.0, 37.5]


def test_a_map_without_an_update_has_no_number() -> None:
    """It is a hole in the picture and a dash on the page, and in no mean over seeds."""
    study = _study("amplification", {"top": 4})
    for seed in (1, 2):
        maps = {
            f"{t}.{b}.{name}": {"factor": 2.0 * seed}
            for t in ("image", "text") for b in range(2) for name in MAPS
        }  # fmt: skip
        if seed == 2:
            maps["image.1.attn.q"] = {"factor": None}  # type: ignore[dict-item]
        at = {"method": "lora", "task": "planes", "seed": seed}
        study = study.with_point(at, {"maps": maps})
    (figure,) = make_study_figures([study]).values()
    image, text = figure.strips[0].panels
    assert isinstance(image, Cells)
    assert isinstance(text, Cells)
    assert image.values[0] == (3.0, None)
    assert {v for row in (*image.values[1:], *text.values) for v in row} == {3.0}
    assert figure.about[0].startswith("r = 4.")
    assert "nan" not in render_analysis(figure, "p.png").lower()


def test_studies_without_points_or_of_another_name_have_no_picture() -> None:
    assert make_study_figures([_study("placement", {}), _study("else", {})]) == {}


@pytest.mark.parametrize(
    ("values", "found"),
    [([3.0], Value(3.0, None)), ([1.0, 3.0], Value(2.0, 2**0.5))],
)
def test_one_seed_has_no_spread(values: list[float], found: Value) -> None:
    assert over_seeds(values) == pytest.approx(found)


def test_where_updates_act_in_words() -> None:
    assert place_of(",".join(MAPS)) == "both towers, all maps"
    assert place_of(",".join(of_towers(MAPS))) == "both towers, all maps"
    assert place_of("image.mlp.c_fc,image.mlp.c_proj") == "image tower, MLP"
    assert place_of("text.attn.v,text.mlp.c_fc") == "text tower, attn.v, mlp.c_fc"


@pytest.mark.parametrize(
    ("method", "settings", "is_one"),
    [
        ("codyra", "rank=4", True), ("codyra", "rank=4,targets=image.attn.q,image.attn.k", True),
        ("codyra", "kappa_max=0.1", True), ("codyra", "dense=0.3", True),
        ("codyra", "", False), ("codyra", "dense=0.3,kappa_max=0.1", False),
        ("codyra", "rank=4,epochs=2", False), ("lora", "rank=4", False),
    ],
)  # fmt: skip
def test_which_runs_are_those_of_a_study(method: str, settings: str, is_one: bool) -> None:
    assert is_study_row(method, "", settings) is is_one
    assert not is_study_row(method, "released", settings)


# -- from records

TASKS = {"planes": "labelled", "curios": "labelled", "textures": "labelled"}
CONFIG = {"rank": 16, "targets": list(MAPS), "kappa_max": 0.005, "dense": 0.5}


def _report(more: int) -> dict[str, Any]:
    sites = [f"{t}.{b}.{name}" for t in ("image", "text") for b in range(2) for name in MAPS]
    ranks = {site: 8 + more + (site == "image.1.attn.v") for site in sites}
    return {"rank": 16, "ranks": ranks, "null": {"mean": 8.25, "std": 1.5}}


def _save(results: Path, settings: str, seed: int, **config: Any) -> list[dict[str, Any]]:
    rows = make_rows("xtail", TASKS, "ewc", "forward", seed, {}, label_space="union")
    extra = len(settings)  # so that settings differ in their scores
    rows = [
        row | {"method": "codyra", "settings": settings, "hits": row["hits"] + extra,
               "value": (row["hits"] + extra) / row["n_queries"]}
        for row in rows
    ]  # fmt: skip
    about = {
        "asked": {"config": {**CONFIG, **config}},
        "reports": [_report(more) for more in (0, 3 * seed, 1)],
    }
    save(results, rows, about)
    return rows


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("analyses")
    for seed in (0, 1):
        _save(folder / "results", "", seed)
        _save(folder / "results", "rank=4", seed, rank=4)
    _save(folder / "results", "kappa_max=0.01", 0, kappa_max=0.01)
    write_study(study_path(folder / "studies", "mini-xtail", "placement"), _placement())
    return build(folder / "results", folder)


def test_runs_of_a_study_are_in_its_picture_and_no_rows_elsewhere(texts: dict[str, str]) -> None:
    insertion, pruning = (texts[f"codyra-{n}-xtail.md"] for n in ("insertion", "pruning"))
    lines = [line for line in insertion.splitlines() if line.startswith("| both towers, all maps")]
    assert [line.split("|")[2].strip() for line in lines] == ["4", "16"]
    assert "kappa_max" in pruning
    assert "dense" not in pruning.split("## ")[1]  # the plain run alone is no sweep of it
    for name in ("codyra-table-1.md", "codyra-table-4.md", "leaderboard.md"):
        assert "rank=4" not in texts[name], name
        assert "kappa_max=0.01" not in texts[name], name
    assert "codyra-placement-mini-xtail" in texts["README.md"]


def test_numbers_of_whole_runs_are_transfer_average_and_last(texts: dict[str, str]) -> None:
    rows = make_rows("xtail", TASKS, "ewc", "forward", 0, {}, label_space="union")
    value = {
        (r["step"], r["eval_position"]): 100 * (r["hits"] + len("kappa_max=0.01")) / r["n_queries"]
        for r in rows if r["metric"] == "acc"
    }  # fmt: skip
    steps = (1, 2, 3)
    last = fmean(value[3, j] for j in steps)
    average = fmean(fmean(value[i, j] for i in steps) for j in steps)
    transfer = fmean(fmean(value[i, j] for i in range(1, j)) for j in (2, 3))
    (line,) = [line for line in texts["codyra-pruning-xtail.md"].splitlines() if "| 0.01 " in line]
    shown = [cell.strip() for cell in line.split("|")[3:6]]
    assert shown == [f"{last:.2f}", f"{transfer:.2f}", f"{average:.2f}"]


def test_ranks_stand_by_task_with_sums(texts: dict[str, str]) -> None:
    page = texts["codyra-task-ranks-xtail.md"]
    blocks = page.split("\n## ")[1:]
    assert [block.split(":")[0] for block in blocks] == ["Planes", "Curios", "Textures"]
    for block, mean in zip(blocks, (8.0, 9.5, 9.0), strict=True):
        image = block.split("### ")[1]
        row = next(line for line in image.splitlines() if line.startswith("| attn.v"))
        shown = [cell.strip() for cell in row.split("|")[2:-1]]
        assert shown == [f"{mean:.1f}", f"{mean + 1:.1f}", f"{2 * mean + 1:.1f}"]
        assert "null 8.2 ± 1.5" in image or "null 8.3 ± 1.5" in image


def test_a_page_that_nothing_is_left_of_is_removed(tmp_path: Path) -> None:
    path = study_path(tmp_path / "studies", "mini-xtail", "placement")
    write_study(path, _placement())
    (tmp_path / "results").mkdir()
    first = build(tmp_path / "results", tmp_path)
    assert {f"codyra-placement-mini-xtail.{k}" for k in ("md", "png", "svg", "pdf")} <= first.keys()
    path.unlink()
    mine = tmp_path / "tables" / "codyra-placement-mine.md"
    mine.write_text("a page of the user's own")
    again = build(tmp_path / "results", tmp_path)
    assert not any("placement" in name for name in again)
    assert [p.name for p in (tmp_path / "tables").glob("*placement*")] == [mine.name]


def test_the_same_analysis_gives_the_same_bytes() -> None:
    axis = Axis(0.0, 10.0, 5.0)
    dots = Dots("a|b", "#0072b2", "o", (Dot(Value(1.0, 0.5), Value(2.0, None), "4"),), joined=True)
    cells = Cells("t", ("attn.q",), ("0", "1"), "block", ((3.0, None),), 2.0, 0.0, 4.0, sums=True)
    made = Analysis("t", ("one", "two"), (Strip("h", (Cloud("c", "x", "y", axis, axis, (dots,)),)),
                                          Strip("m", (cells,))))  # fmt: skip
    assert draw(made, "mark") == draw(made, "mark")
    other = Analysis("t", ("one", "three"), made.strips)
    assert other.digest != made.digest
