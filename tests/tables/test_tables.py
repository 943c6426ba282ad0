"""Tables and leaderboard: golden files of synthetic suites, and the paper's numbers as data.

`PYTHONPATH=.:tests/support python tests/tables/test_tables.py` rewrites the golden files; read the
diff before you keep it.
"""

import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from synthetic import (
    FEW,
    PAPER,
    SHAPES,
    Row,
    build,
    build_tables,
    check_tables,
    make_rows,
    save,
    spoil,
)

from benchmark.errors import BenchError
from benchmark.records.schema import columns_of
from benchmark.records.store import read_record, read_records
from benchmark.tables.assemble import make_table
from benchmark.tables.figures.charts import KINDS
from benchmark.tables.groups import judge
from benchmark.tables.matrix import score_matrix
from benchmark.tables.render import final_row, matrix, render_matrix
from benchmark.tables.run_numbers import read_run
from benchmark.tables.spec import TABLES
from benchmark.tables.writers.markdown import render_markdown

GOLDEN = Path(__file__).parents[1] / "golden"
GOLDENS = ("table-1.md", "table-7.md", "table-8.md", "leaderboard.md")


def golden_runs() -> Iterator[list[Row]]:
    orders = ("forward", "reverse")
    for method, order, seed in product(("ft", "dar"), orders, range(3)):
        yield make_rows("shapes", SHAPES, method, order, seed)
    for order, seed in product(orders, range(3)):
        yield make_rows("shapes", SHAPES, "zs", order, seed)
    for order in orders:
        yield make_rows("few-shot", FEW, "zs", order, 0)
    for method, order, seed in product(("ewc", "joint"), orders, range(3)):
        yield make_rows("few-shot", FEW, method, order, seed)
    yield make_rows("shapes", SHAPES, "joint", "forward", 0)
    for seed in range(3):
        yield make_rows("shapes", SHAPES, "aaa", "forward", seed, settings="rank=8,epochs=2")
        broken = make_rows("shapes", SHAPES, "dar", "forward", seed, variant="r8")
        yield spoil(broken, 3, "lines")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for rows in golden_runs():
        save(folder, rows)
    return folder


@pytest.fixture(scope="module")
def texts(results: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return build(results, tmp_path_factory.mktemp("out"))


@pytest.mark.parametrize("name", GOLDENS)
def test_golden(texts: dict[str, str], name: str) -> None:
    assert texts[name] == (GOLDEN / name).read_text()


def test_same_records_in_another_place_and_order_give_the_same_bytes(
    texts: dict[str, str], tmp_path: Path
) -> None:
    runs = list(golden_runs())
    random.Random(1).shuffle(runs)
    for rows in runs:
        save(tmp_path / "elsewhere", rows)
    assert build(tmp_path / "elsewhere", tmp_path / "out") == texts


def test_row_order_does_not_matter(results: Path) -> None:
    records = read_records(results)
    shuffled = [
        replace(r, columns=columns_of(r.frame.sample(frac=1, random_state=0)))
        for r in records[::-1]
    ]
    runs, others = ([read_run(one) for one in judge(rs)] for rs in (shuffled, records))
    for spec in TABLES:
        one, other = (render_markdown(make_table(found, spec)) for found in (runs, others))
        assert one == other


def test_csv_agrees_with_the_formula(texts: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(texts["table-1.csv"])
    table = pd.read_csv(tmp_path / "t.csv", keep_default_na=False)
    ours = table[(table["method"] == "ft") & (table["suite"] == "shapes")]
    ours = ours[ours["direction"] == "i2t"].set_index("dataset")
    # Seeds 0, 1, 2 add 0, 0.3, 0.6 points: mean 0.3, sd 0.3.
    assert float(str(ours.loc["dots", "mean"])) == pytest.approx(40 + 15 - 4 + 0.3)
    assert float(str(ours.loc["average", "mean"])) == pytest.approx((51 + 47 + 43) / 3 + 0.3)
    assert float(str(ours.loc["average", "sd"])) == pytest.approx(0.3)
    failed = table[(table["method"] == "dar.r8") & (table["dataset"] == "average")]
    assert failed[["status", "mean"]].to_numpy().tolist() == [["oom", ""]] * 2


def test_the_paper_stands_beside_ours_only_where_comparable(tmp_path: Path) -> None:
    same: dict[str, Any] = {"backbone": "ViT-B-16-quickgelu", "pretrained": "openai"}
    for seed in range(2):
        save(tmp_path, make_rows("retrieval", PAPER, "dar", "forward", seed, **same))
    save(tmp_path, make_rows("retrieval", PAPER, "ft", "forward", 0))
    save(tmp_path, make_rows("mini", PAPER, "dar", "forward", 0, **same))
    text = build(tmp_path, tmp_path / "out")["table-1.md"]
    blocks = {block.split(",")[0]: block for block in text.split("\n## ")}
    assert [block for block in blocks if "mini" in block] == ["mini 1.0"]
    assert "paper" not in blocks["mini 1.0"]
    assert "(paper 46.7[^4])" in text
    assert "58.8 ± 0.2 (1.6) (paper 80.0)" in text  # 1.6 = sqrt(0.588 * 0.412 / 1,000)
    assert text.count("(paper ") == 16


def test_no_records(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    texts = build(tmp_path / "results", tmp_path / "out")
    assert "No records yet" in texts["leaderboard.md"]
    assert "Printed in the paper" in texts["table-8.md"]
    with pytest.raises(BenchError, match="a folder of results"):
        build(tmp_path / "absent", tmp_path / "out")


def test_check_names_the_stale_files(tmp_path: Path) -> None:
    results, out, board = tmp_path / "results", tmp_path / "tables", tmp_path / "leaderboard.md"
    save(results, make_rows("shapes", SHAPES, "dar", "forward", 0))
    assert len(check_tables(results, out, board).stale) == 3 * (14 + 7) + len(
        ["index", "overlap", "leaderboard"]
    ) + len(KINDS) * len(["learning-shapes", "stages-shapes-1"])
    assert not out.exists()
    build_tables(results, out, board)
    assert check_tables(results, out, board) == ([], [])
    board.write_text(board.read_text().replace("dar", "mine"))
    (out / "table-7.csv").unlink()
    assert check_tables(results, out, board) == ([out / "table-7.csv", board], [])


def test_only_generated_figures_of_suites_without_records_are_removed(tmp_path: Path) -> None:
    where = tmp_path / "results", tmp_path / "tables", tmp_path / "leaderboard.md"
    pictures = {"street": "pairs"}
    path = save(where[0], make_rows("shapes", SHAPES, "dar", "forward", 0, pictures))
    build_tables(*where)
    figures = [where[1] / f"figure-1-shapes.{kind}" for kind in KINDS]
    own = [where[1] / f"figure-1-mine.{kind}" for kind in KINDS]
    assert all(figure.is_file() for figure in figures)
    for mine in own:
        mine.write_text("<svg/>")
    assert check_tables(*where) == ([], [])
    path.unlink()
    assert set(figures) <= set(check_tables(*where).stale)
    assert not set(own) & set(check_tables(*where).stale)
    build_tables(*where)
    assert not any(figure.exists() for figure in figures)
    assert all(mine.exists() for mine in own)


def test_the_index_links_every_kind_of_a_figure(tmp_path: Path) -> None:
    save(tmp_path / "r", make_rows("shapes", SHAPES, "dar", "forward", 0, {"street": "pairs"}))
    texts = build(tmp_path / "r", tmp_path / "out")
    line = next(line for line in texts["README.md"].splitlines() if line.startswith("| Figure 1"))
    assert [cell.strip() for cell in line.split("|")[3:5]] == [
        "shapes", ", ".join(f"[{kind}](figure-1-shapes.{kind})" for kind in ("pdf", "svg", "png"))
    ]  # fmt: skip
    links = re.findall(r"\]\(([\w.-]+)\)", texts["README.md"])
    assert set(links) == set(texts) - {"README.md", "leaderboard.md"}


def rows_shown(text: str) -> list[str]:
    """First cells of the measured lines of a markdown table."""
    lines = text.partition("## Printed")[0].splitlines()
    names = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    return [name for name in names if name != "Method"]


def test_variants_of_dar_are_in_the_ablations_alone(tmp_path: Path) -> None:
    for variant in ("", "r8", "rank4", "route-pair", "margin-0.00", "nowhere"):
        for order in ("forward", "reverse"):
            save(tmp_path / "r", make_rows("shapes", SHAPES, "dar", order, 0, variant=variant))
    save(tmp_path / "r", make_rows("shapes", SHAPES, "dar", "forward", 0, settings="rank=9"))
    save(tmp_path / "r", make_rows("shapes", SHAPES, "aaa", "forward", 0, variant="big"))
    texts = build(tmp_path / "r", tmp_path / "out")
    used = "[features, samples]"
    both = [f"dar {used}", f"dar.r8 {used}"]
    for name in ("table-1.md", "table-7.md"):
        shown = [both[0], f"dar+rank=9 {used}", f"{both[1]} ‡", "aaa.big"]
        assert rows_shown(texts[name]) == shown
    assert rows_shown(texts["table-8.md"]) == [both[0], f"{both[1]} ‡"]
    assert rows_shown(texts["table-3.md"]) == [
        f"DAR - LoRA (r=4) (dar.rank4) {used}",
        f"DAR - LoRA (r=16) (dar) {used}",
        f"DAR - LoRA (r=8) (dar.r8) {used} ‡",
    ]
    board, _, variants = texts["leaderboard.md"].partition("Variants of `dar`")
    variants = variants.partition("| Set ")[0]
    lines = [line.split("|") for line in variants.splitlines() if line.startswith("| dar")]
    assert {line[1].strip().split()[0]: line[-2].strip() for line in lines} == {
        "dar.margin-0.00": "Table 6", "dar.nowhere": "no table", "dar.rank4": "Table 3",
        "dar.route-pair": "Table 4", "dar.r8": "Tables 3, 4, 5, 6",
    }  # fmt: skip
    assert not any(
        f"dar.{name}" in board for name in ("rank4", "r8", "route-pair", "margin", "nowhere")
    )
    assert all(f"{name} {used}" in board for name in ("dar", "dar+rank=9"))


def test_a_variant_takes_no_rank_from_a_method(tmp_path: Path) -> None:
    fill(tmp_path / "r", "ft")
    for order, seed in product(("forward", "reverse"), range(3)):
        put(tmp_path / "r", "dar", about(), seed, order=order, variant="route-oracle")
    spoilt = make_rows("shapes", SHAPES, "dar", "forward", 3, variant="merge-none")
    save(tmp_path / "r", spoil(spoilt, 1, "dots"), about())
    text = build(tmp_path / "r", tmp_path / "out")["leaderboard.md"]
    assert "|      1 | ft" in text
    assert "|      2 |" not in text
    assert "| Tables 5, 6; a failed cell |" in text


def test_labelled_suites_have_no_recall(texts: dict[str, str]) -> None:
    for number in range(1, 9):
        assert "few-shot" not in texts[f"table-{number}.md"]
        assert "few-shot" not in texts[f"table-{number}.tex"]
    assert "## few-shot 1.0, tiny (seed-0), forward order, seeds: 1 to 3" in texts["table-9.md"]
    assert "few-shot 1.0 has no held-out image-caption set left" in texts["table-14.md"]
    index = texts["README.md"].partition("## CoDyRA")[0].splitlines()
    listed = {line.split("|")[1].strip(): line for line in index if line.startswith("| Table")}
    assert len(listed) == 15
    assert "shapes 1.0" in listed["Table 1"]
    assert "few-shot" not in listed["Table 1"]
    assert "few-shot 1.0, shapes 1.0" in listed["Table 9"]
    assert "none yet" in listed["Table 13"]


def test_a_damaged_record_stops_the_tables(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "r")
    victim = sorted((tmp_path / "r").glob("*/*.parquet"))[3]
    victim.write_bytes(victim.read_bytes()[:-9])
    with pytest.raises(BenchError, match=victim.name.replace("+", r"\+")):
        build(tmp_path / "r", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def frame_of(folder: Path, **run: Any) -> pd.DataFrame:
    return read_record(save(folder, make_rows(**run))).frame


def test_matrix(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, suite="shapes", tasks=SHAPES, method="ft", order="reverse", seed=1)
    table = matrix(frame, "i2t", "hit", 1)
    assert list(table.index) == ["0 zero-shot", "1 waves", "2 lines", "3 dots"]
    assert list(table.columns) == ["waves", "lines", "dots"]
    assert table.loc["1 waves", "waves"] == pytest.approx(0.433)
    assert list(matrix(frame, None, "acc", None).columns) == ["stars"]
    assert "43.3" in render_matrix(table)
    assert score_matrix(columns_of(frame), "i2t").tolist() == table.to_numpy().tolist()
    with pytest.raises(BenchError, match="choose one of acc, hit i2t 1, hit i2t 10"):
        matrix(frame, "i2t", "hit", 3)


def test_final_row(tmp_path: Path) -> None:
    run = {"method": "ft", "order": "forward", "seed": 0}
    lines = final_row(frame_of(tmp_path, suite="shapes", tasks=SHAPES, **run)).splitlines()
    assert lines[0].split() == ["T→I", "R@1", "Dots", "Lines", "Waves", "Avg."]
    assert lines[2].split() == ["ft", "51.7", "47.7", "43.7", "47.7"]
    assert lines[3].split() == ["zero-shot", "40.7", "34.7", "28.7", "34.7"]
    assert lines[4].split() == ["change", "+11.0", "+13.0", "+15.0", "+13.0"]
    assert lines[6].split()[0] == "I→T"
    labelled = final_row(frame_of(tmp_path, suite="few", tasks=FEW, **run)).splitlines()
    assert labelled[2].split() == ["ft", "51.0", "47.0", "43.0", "47.0"]
    # Transfer: coins after 1 step 33.5; birds after 1 and 2 steps 27.5, 27.0.
    assert labelled[-1].split()[:2] == ["Transfer", f"{(33.5 + 27.25) / 2:.1f}"]
    # Forgetting: leaves lost twice two points since they were learned, coins once.
    assert labelled[-1].split()[-4:] == ["Last", "47.0", "Forgetting", "3.0"]


def test_final_row_of_a_run_with_a_hole(tmp_path: Path) -> None:
    rows = make_rows("shapes", SHAPES, "ft", "forward", 0)
    for row in rows:
        if row["step"] == 3 and row["eval_task"] == "dots":
            row.update(status="failed", value=None, hits=None)
    line = final_row(read_record(save(tmp_path, rows)).frame).splitlines()[2]
    assert line.split() == ["ft", "failed", "47.7", "43.7", "–"]  # noqa: RUF001


# ---- What may be compared ------------------------------------------------------------------------

RECIPE = {"epochs": 5, "batch_size": 32, "lr": 1e-4}


def about(**changes: Any) -> dict[str, Any]:
    """A provenance in which each part may be another."""
    recipe, config = changes.get("recipe", RECIPE), changes.get("config", {"margin": 0.1})
    return {
        "asked": {"recipe": recipe, "config": config},
        "data": {
            "train": changes.get("train", {"dots": "d1", "lines": "l1"}),
            "test": changes.get("test", {"dots": "D1", "stars": "S1"}),
            "reference": changes.get("reference", "r1"),
        },
        "weights": {"sha256": changes.get("weights", "w1")},
        "unofficial": changes.get("unofficial", []),
    }


def put(folder: Path, method: str, provenance: dict[str, Any], seed: int = 0, **more: Any) -> Path:
    tasks, order = more.pop("tasks", SHAPES), more.pop("order", "forward")
    return save(folder, make_rows("shapes", tasks, method, order, seed, **more), provenance)


def fill(folder: Path, method: str, **changes: Any) -> None:
    """All that a rank needs."""
    for order, seed in product(("forward", "reverse"), range(3)):
        put(folder, method, about(**changes), seed, order=order)


def board(folder: Path) -> tuple[list[str], list[str]]:
    """Ranked and unranked lines, method first."""
    text = build(folder, folder.parent / "out")["leaderboard.md"].partition("## Legend")[0]
    ranked, _, others = text.partition("| Set ")[0].partition("Not ranked:")
    found = []
    for part, method in ((ranked, 2), (others, 1)):
        lines = [line.split("|") for line in part.splitlines() if line.startswith("|")][2:]
        cells = [[cell.strip() for cell in line] for line in lines]
        found.append([" ".join([line[method], *line[-7:-1]]) for line in cells])
    return found[0], found[1]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"recipe": RECIPE | {"epochs": 9}}, r"recipe \(epochs\)"),
        ({"train": {"dots": "d2"}}, "training data of 'dots'"),
        ({"test": {"stars": "S2"}}, "test data of 'stars'"),
        ({"reference": "r2"}, "reference data"),
        ({"weights": "w2"}, "weights"),
    ],
)
def test_a_contradiction_between_records_stops_the_tables(
    tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    one = put(tmp_path / "r", "ft", about())
    other = put(tmp_path / "r", "dar", about(**changes))
    with pytest.raises(BenchError, match=f"the same {what} in .*raise the suite's") as caught:
        build(tmp_path / "r", tmp_path / "out")
    assert caught.value.code == 5
    assert str(one) in str(caught.value)
    assert str(other) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_another_default_or_sequence_is_not_pooled(tmp_path: Path) -> None:
    put(tmp_path / "a", "ft", about(config={"margin": 0.1}))
    put(tmp_path / "a", "dar", about(config={"margin": 0.2}))  # another method's own setting
    build(tmp_path / "a", tmp_path / "out")
    put(tmp_path / "a", "ft", about(config={"margin": 0.2}), 1)
    with pytest.raises(BenchError, match="setting 'margin' of ft"):
        build(tmp_path / "a", tmp_path / "out")
    put(tmp_path / "b", "ft", about())
    put(tmp_path / "b", "ft", about(), 1, tasks=dict(reversed(SHAPES.items())))
    with pytest.raises(BenchError, match="forward order of dots, lines, waves"):
        build(tmp_path / "b", tmp_path / "out")


def test_what_a_record_says_or_does_not_hold_is_no_contradiction(tmp_path: Path) -> None:
    fill(tmp_path / "r", "ft")
    put(tmp_path / "r", "ft", about(recipe=RECIPE | {"epochs": 2}), settings="epochs=2")
    put(tmp_path / "r", "dar", {})
    put(tmp_path / "r", "zs", about(train={"waves": "other"}, recipe={}))
    put(tmp_path / "r", "ewc", about(weights="w2"), pretrained="seed-1")
    put(tmp_path / "r", "aaa", about(recipe=RECIPE | {"lr": 1}), suite_version="2.0")
    build(tmp_path / "r", tmp_path / "out")
    wrong = about(recipe=RECIPE | {"epochs": 2, "lr": 1.0})
    put(tmp_path / "r", "dar", wrong, settings="epochs=2")
    with pytest.raises(BenchError, match=r"recipe \(lr\)"):
        build(tmp_path / "r", tmp_path / "out")


def test_unofficial_records_are_shown_apart(tmp_path: Path) -> None:
    fill(tmp_path / "r", "ft")
    dirty = about(unofficial=["the code | is not committed"], weights="w2")
    for order in ("forward", "reverse"):
        put(tmp_path / "r", "ft", dirty, 7, order=order)
        for seed in range(3):
            put(tmp_path / "r", "dar", dirty, seed, order=order)
    ranked, others = board(tmp_path / "r")
    assert [line.split()[0] for line in ranked] == ["ft"]
    assert "forward x3, reverse x3" in ranked[0]
    text = (tmp_path / "out" / "leaderboard.md").read_text()
    assert text.count("the code \\| is not committed |") == 2
    assert sorted(line.split()[0] for line in others) == ["dar", "ft"]
    table = (tmp_path / "out" / "tables" / "table-1.md").read_text()
    mine = table.partition("## Printed")[0]
    lines = [line for line in mine.splitlines() if line.startswith("|")][2:]
    names = [line.split("|")[1].strip() for line in lines]
    assert names == ["ft", "ft †", "dar [features, samples] †"]
    assert "**" not in mine  # one compared row is the best of nothing
    assert "- dar [features, samples]: the code \\| is not committed" in mine
    rows = pd.read_csv(tmp_path / "out" / "tables" / "table-1.csv", keep_default_na=False)
    rows = rows[rows["source"] == "measured"]
    counts = zip(rows["method"], rows["why_not"] != "", rows["seeds"].astype(int), strict=True)
    assert set(counts) == {("dar", True, 3), ("ft", False, 3), ("ft", True, 1)}


def test_an_unofficial_record_of_more_tasks_changes_no_rank(tmp_path: Path) -> None:
    fill(tmp_path / "r", "ft")
    more = SHAPES | {"moons": "pairs"}
    put(tmp_path / "r", "dar", about(unofficial=["dirty"]), tasks=more)
    assert len(board(tmp_path / "r")[0]) == 1
    table = (tmp_path / "out" / "tables" / "table-1.md").read_text().partition("## Printed")[0]
    assert "Moons" not in table
    assert "–" not in table  # noqa: RUF001 - every average is there


def test_fewer_tasks_are_never_pooled_with_all(tmp_path: Path) -> None:
    fill(tmp_path / "r", "ft")
    two = {"lines": "pairs", "waves": "pairs"}
    put(tmp_path / "r", "ft", about(), 7, tasks=two)
    put(tmp_path / "r", "ewc", about(), order="random:1")
    put(tmp_path / "r", "ewc", about(), order="lines,waves", tasks=two)
    ranked, others = board(tmp_path / "r")
    assert [line.split()[0] for line in ranked] == ["ft"]
    assert "forward x3, reverse x3" in ranked[0]
    assert [" ".join(line.split()[:2]) for line in sorted(others)] == [
        "ewc lines,waves", "ewc random:1", "ft forward",
    ]  # fmt: skip
    assert [line.endswith("2 of 3 tasks") for line in sorted(others)] == [True, False, True]
    table = (tmp_path / "out" / "tables" / "table-1.md").read_text()
    full, part = [line for line in table.splitlines() if line.startswith("| ft ")]
    assert "–" not in full  # noqa: RUF001
    assert part.split("|")[5].strip() == "–"  # noqa: RUF001 - no average over the missing task
    assert "- ft: 2 of 3 tasks" in table
    heads = next(line for line in table.splitlines() if line.startswith("| Method"))
    assert heads.index("Dots") < heads.index("Lines") < heads.index("Waves")


def test_a_failed_cell_at_any_step_has_no_rank(tmp_path: Path) -> None:
    fill(tmp_path / "r", "ft")
    fill(tmp_path / "r", "dar")
    rows = make_rows("shapes", SHAPES, "dar", "reverse", 2)
    for row in rows:
        if row["step"] == 1 and row["eval_task"] == "stars":
            row.update(status="oom", value=None, hits=None)
    save(tmp_path / "r", rows, about())
    ranked, others = board(tmp_path / "r")
    assert [line.split()[0] for line in ranked] == ["ft"]
    assert len(others) == 1
    assert others[0].endswith("a failed cell")


def test_equal_titles_are_told_apart(tmp_path: Path) -> None:
    rows = make_rows("shapes", SHAPES, "ft", "forward", 0)
    for row in rows:
        row["eval_title"] = "Shapes" if row["eval_task"] != "waves" else "Waves"
    frame = read_record(save(tmp_path / "r", rows)).frame
    heads = final_row(frame).splitlines()[0]
    assert heads.split("  ")[-1].strip() == "Avg."
    assert all(name in heads for name in ("Shapes (dots)", "Shapes (lines)", " Waves "))
    table = build(tmp_path / "r", tmp_path / "out")["table-1.md"]
    assert "I→T Shapes (dots)" in table
    assert "Waves (" not in table


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        for golden_rows in golden_runs():
            save(Path(name) / "r", golden_rows)
        built = build(Path(name) / "r", Path(name) / "o")
        for file in GOLDENS:
            (GOLDEN / file).write_text(built[file])
