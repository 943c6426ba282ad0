"""Tables and leaderboard: golden files of synthetic suites, and the paper's numbers as data.

`python tests/test_tables.py` rewrites the golden files; read the diff before you keep it.
"""

import random
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
import pytest

from benchmark.errors import BenchError
from benchmark.results import file_stem, read_record, suite_folder, write_record
from benchmark.tables.cells import blocks
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


def save(folder: Path, rows: list[Row]) -> Path:
    r = rows[0]
    stem = file_stem(r["method"], r["variant"], r["settings"], r["backbone"], r["order"], r["seed"])
    path = folder / suite_folder(r["suite"]) / f"{stem}.parquet"
    costs = {"parameters": {"trainable": 1_234_567}, "state_bytes": [0, 4096, 12288]}
    write_record(path, rows, costs if r["method"] == "dar" else {})
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
    frame = pd.concat([read_record(p).frame for p in results.glob("*/*.parquet")])
    shuffled = frame.sample(frac=1, random_state=0)
    for spec in TABLES:
        tables = [render_table(list(blocks(rows, spec)), spec) for rows in (shuffled, frame)]
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
