"""Tables and leaderboard: golden files of synthetic suites, and the paper's numbers as data.

`python tests/test_tables.py` rewrites the golden files; read the diff before you keep it.
"""

import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
import pytest

from benchmark.errors import BenchError
from benchmark.results import file_stem, read_record, read_records, suite_folder, write_record
from benchmark.tables.cells import blocks
from benchmark.tables.groups import judge
from benchmark.tables.render import (
    build_tables,
    check_tables,
    final_row,
    matrix,
    render_matrix,
    render_table,
)
from benchmark.tables.runs import score_matrix
from benchmark.tables.spec import TABLES, printed_in, read_paper

GOLDEN = Path(__file__).with_name("golden")
Row = dict[str, Any]
N = 1000
SHAPES = {"dots": "pairs", "lines": "pairs", "waves": "pairs"}
FEW = {"leaves": "labelled", "coins": "labelled", "birds": "labelled"}
PAPER = dict.fromkeys(
    ("flickr30k", "lexica-sd", "wikiart", "kream", "flintstones", "sketch", "rocov2"), "pairs"
)
SKILL = {"zs": 0, "ft": 150, "ewc": 200, "dar": 300, "joint": 400, "aaa": 100}


def score(method: str, seed: int, step: int, place: int, task_number: int) -> int:
    """Hits of N at k = 1: zero-shot skill, a gain once learned, a loss with every later step."""
    start = 400 - 60 * task_number
    if method == "zs" or step == 0:
        return start
    if step < place:
        return start - 5 * step
    return start + SKILL[method] - 20 * (step - place) + 3 * seed


def one(task: str, kind: str, hits: int, direction: str | None, k: int | None, **more: Any) -> Row:
    return {
        "eval_task": task, "eval_title": task.capitalize(), "kind": kind, "direction": direction,
        "metric": "hit" if k else "acc", "k": k, "hits": hits, "n_queries": N, "n_gallery": N,
        "value": hits / N, "label_space": None if k else "own", "status": "ok",
        "source": "measured", **more,
    }  # fmt: skip


def make_rows(
    suite: str, tasks: dict[str, str], method: str, order: str, seed: int, **more: Any
) -> list[Row]:
    """A whole run from closed formulas, with the held-out labelled set 'stars'."""
    learned = list(tasks) if order == "forward" else list(tasks)[::-1]
    run = {
        "suite": suite, "suite_version": "1.0", "method": method, "variant": "", "settings": "",
        "backbone": "tiny", "pretrained": "seed-0", "order": order, "n_steps": len(tasks),
        "task_order": ",".join(learned), "seed": seed,
        "uses": "features,samples" if method == "dar" else "", **more,
    }  # fmt: skip
    rows = []
    for step in range(len(tasks) + 1):
        now = run | {"step": step, "step_task": learned[step - 1] if step else None}
        held_out = 500 - (0 if method == "zs" else 10 * step)
        rows.append(one("stars", "labelled", held_out, None, None, **now, role="ood"))
        for number, (task, kind) in enumerate(tasks.items()):
            place = learned.index(task) + 1
            role = "current" if place == step else "seen" if place < step else "future"
            here = now | {"eval_position": place, "role": role}
            hits = score(method, seed, step, place, number)
            if kind == "labelled":
                rows.append(one(task, kind, hits, None, None, **here))
            for direction, k in product(("i2t", "t2i"), (1, 5, 10) if kind == "pairs" else ()):
                gain = {1: 0, 5: 90, 10: 180}[k] + 7 * (direction == "t2i")
                rows.append(one(task, kind, hits + gain, direction, k, **here))
    return rows


def save(folder: Path, rows: list[Row], about: dict[str, Any] | None = None) -> Path:
    r = rows[0]
    stem = file_stem(r["method"], r["variant"], r["settings"], r["backbone"], r["order"], r["seed"])
    path = folder / suite_folder(r["suite"]) / f"{stem}.parquet"
    costs = {"parameters": {"trainable": 1_234_567}, "state_bytes": [0, 4096, 12288]}
    write_record(path, rows, about or (costs if r["method"] == "dar" else {}))
    return path


def golden_runs() -> Iterator[list[Row]]:
    orders = ("forward", "reverse")
    for method, order, seed in product(("ft", "dar"), orders, range(3)):
        yield make_rows("shapes", SHAPES, method, order, seed)
    for order in orders:
        yield make_rows("shapes", SHAPES, "zs", order, 0)
        yield make_rows("few-shot", FEW, "zs", order, 0)
    for method, order, seed in product(("ewc", "joint"), orders, range(3)):
        yield make_rows("few-shot", FEW, method, order, seed)
    yield make_rows("shapes", SHAPES, "joint", "forward", 0)
    yield make_rows("shapes", SHAPES, "aaa", "forward", 0, settings="rank=8,epochs=2")
    broken = make_rows("shapes", SHAPES, "dar", "forward", 0, variant="r8")
    for row in broken:
        if row["step"] == 3 and row["eval_task"] == "lines":
            row.update(status="oom", value=None, hits=None)
    yield broken


def build(folder: Path, out: Path) -> dict[str, str]:
    paths = build_tables(folder, out / "tables", out / "leaderboard.md")
    return {path.name: path.read_text() for path in paths}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for rows in golden_runs():
        save(folder, rows)
    return folder


@pytest.fixture(scope="module")
def texts(results: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return build(results, tmp_path_factory.mktemp("out"))


@pytest.mark.parametrize("name", ["table-1.md", "table-7.md", "table-8.md", "leaderboard.md"])
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
    shuffled = [replace(r, frame=r.frame.sample(frac=1, random_state=0)) for r in records[::-1]]
    for spec in TABLES:
        tables = [render_table(list(blocks(judge(rs), spec)), spec) for rs in (shuffled, records)]
        assert tables[0] == tables[1]


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
    same = {"backbone": "ViT-B-16-quickgelu", "pretrained": "openai"}
    for seed in range(2):
        save(tmp_path, make_rows("retrieval", PAPER, "dar", "forward", seed, **same))
    save(tmp_path, make_rows("retrieval", PAPER, "ft", "forward", 0))
    save(tmp_path, make_rows("mini", PAPER, "dar", "forward", 0, **same))
    text = build(tmp_path, tmp_path / "out")["table-1.md"]
    blocks = {block.split(",")[0]: block for block in text.split("\n## ")}
    assert [block for block in blocks if "mini" in block] == ["mini 1.0"]
    assert "paper" not in blocks["mini 1.0"]
    assert "(paper 46.7[^4])" in text
    assert "± 0.2 (paper 80.0)" in text
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
    assert len(check_tables(results, out, board)) == 7
    assert not out.exists()
    build_tables(results, out, board)
    assert check_tables(results, out, board) == []
    board.write_text(board.read_text().replace("dar", "mine"))
    (out / "table-7.csv").unlink()
    assert check_tables(results, out, board) == [out / "table-7.csv", board]


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
    assert score_matrix(frame, "i2t").tolist() == table.to_numpy().tolist()
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
    assert labelled[-1].split()[-2:] == ["Last", "47.0"]


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
    ranked, _, others = text.partition("Not ranked:")
    found = []
    for part, method in ((ranked, 2), (others, 1)):
        lines = [line.split("|") for line in part.splitlines() if line.startswith("|")][2:]
        cells = [[cell.strip() for cell in line] for line in lines]
        found.append([" ".join([line[method], *line[-5:-1]]) for line in cells])
    return found[0], found[1]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"recipe": RECIPE | {"epochs": 9}}, r"recipe \(epochs\)"),
        ({"train": {"dots": "d2"}}, "training data of 'dots'"),
        ({"test": {"stars": "S2"}}, "test data of 'stars'"),
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
    assert "- dar [features, samples]: the code | is not committed" in mine
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


def test_paper_counts() -> None:
    assert [len(printed_in(n)) for n in (1, 7, 8)] == [128, 144, 144]
    assert len(read_paper()) == 416
    places = {(c.table, c.label, c.direction, c.dataset) for c in read_paper()}
    assert len(places) == 416
    for spec in TABLES:
        assert {(c.k, c.order) for c in printed_in(spec.number)} == {(spec.k, spec.order)}


def test_printed_averages_are_right_unless_marked() -> None:
    rows: dict[tuple[int, str, str], dict[str, str]] = {}
    marked = set()
    for cell in read_paper():
        place = (cell.table, cell.method, cell.direction)
        rows.setdefault(place, {})[cell.dataset] = cell.value
        if cell.erratum.startswith("average:"):
            marked.add(place)
    wrong = set()
    for place, row in rows.items():
        average = float(row.pop("average"))
        assert len(row) == 7
        # Columns and average are both rounded to 0.05.
        if abs(fmean(map(float, row.values())) - average) > 0.05 + 0.05:
            wrong.add(place)
    assert wrong == marked == {(8, "mod-x", "i2t")}


def test_zero_shot_cells_that_differ_between_tables_are_marked() -> None:
    cells = {(c.table, c.direction, c.dataset): c for c in read_paper() if c.method == "zs"}
    for (table, direction, dataset), cell in cells.items():
        if table == 7:
            continue
        twin = cells[9 - table, direction, dataset]
        assert cell.erratum.startswith("zero-shot:") == (cell.value != twin.value)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        for golden_rows in golden_runs():
            save(Path(name) / "r", golden_rows)
        for file, text in build(Path(name) / "r", Path(name) / "o").items():
            if file.endswith(".md"):
                (GOLDEN / file).write_text(text)
