"""The tables of the CoDyRA paper: its numbers, and ours by the metrics' own definitions.

`PYTHONPATH=.:tests/support python tests/tables/test_few_shot_tables.py` rewrites the golden files;
read the diff before you keep it.
"""

import csv
import io
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import (
    SHAPES,
    STARS,
    N,
    Row,
    build,
    held_out_score,
    make_rows,
    save,
    score,
    spoil,
)

from benchmark.errors import BenchError
from benchmark.metrics import continual
from benchmark.run.registry import find_method
from benchmark.suites.published import MTIL, PEFT, XTAIL
from benchmark.tables.cells import MISSING
from benchmark.tables.paper.lint import lint
from benchmark.tables.paper.numbers import Printed, named_rows, printed_in, read_paper
from benchmark.tables.paper.test_sets import TestSets
from benchmark.tables.spec import FEW_SHOT_TABLES, TITLES

GOLDEN = Path(__file__).parents[1] / "golden"
GOLDENS = (
    "codyra-table-1.md", "codyra-table-3.md", "codyra-table-4.md", "codyra-table-7.md",
    "codyra-table-7.tex",
)  # fmt: skip
B16: dict[str, Any] = {"backbone": "ViT-B-16-quickgelu", "pretrained": "openai"}
MORE = 260  # hits that every set has more, as there are more sets than the formula is made for
HELD_OUT = dict.fromkeys(("cifar100", "places365", "imagenet"), "labelled")


def run(
    suite: str, method: str, seed: int = 0, order: str = "forward",
    learned: tuple[str, ...] = (), **more: Any,
) -> list[Row]:  # fmt: skip
    named = learned[::-1] or (XTAIL if suite == "xtail" else MTIL)  # reversed by `make_rows`
    tasks = dict.fromkeys(named, "labelled")
    space = "union" if suite == "xtail" else "own"
    about = {**B16, "label_space": space, **more}
    held_out = {name: kind for name, kind in HELD_OUT.items() if name not in tasks}
    rows = make_rows(suite, tasks, method, order, seed, held_out, **about)
    return [row | {"hits": row["hits"] + MORE, "value": (row["hits"] + MORE) / N} for row in rows]


def costs(trained: int, kept: int | None = None) -> dict[str, Any]:
    reports = [] if kept is None else [{"parameters_kept": kept}, {"parameters_kept": 1}]
    return {
        "parameters": {
            "trainable": [9, trained] if kept else [trained, 9],
            "inference": [2, trained // 5],
        },
        "reports": reports,
        "inference_bytes": [3, 2**21],
        "state_bytes": [5, 3 * 2**20],
        "peak_memory": {
            "train": {"process_mib": 700, "gpu_mib": trained // 10**6},
            "evaluate": {"process_mib": 500},
        },
        "seconds": {"train": 7.0, "evaluate": 99.0},
        "shared": [None, 0.5],
        "hardware": {"cpu": "a processor" if trained else "another one", "threads": 1},
    }


# Skills of the synthetic methods, under the names of the paper's.
ALIAS = {
    "ft": "lora", "ewc": "codyra", "dar": "codyra-plus", "l2p": "rail-primal", "aaa": "joint",
    "mod-x": "rail-dual",
}  # fmt: skip


def few(suite: str, method: str, seed: int = 0, **more: Any) -> list[Row]:
    rows = run(suite, method, seed, **{"uses": "", **more})
    return [row | {"method": ALIAS[method]} for row in rows]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("few")
    results = folder / "results"
    for suite in ("xtail", "mtil"):
        save(results, run(suite, "zs"), costs(0))
        for seed in range(2):
            save(results, few(suite, "ewc", seed), costs(4_423_680, 2_270_000 + 9000 * seed))
        save(results, few(suite, "ft"), costs(4_423_680))
        save(results, few(suite, "l2p"), costs(0))
        save(results, few(suite, "aaa", uses="samples,upper bound"), costs(100))
        told = few(suite, "dar", variant="route-oracle", uses="task id")
        save(results, told, costs(4_423_680, 2_270_000))
    for name in PEFT:
        save(results, run("peft", "zs", order=name, learned=(name,)), costs(0))
        for seed, method in product(range(2), ("ewc", "ft")):
            rows = few("peft", method, seed, order=name, learned=(name,))
            save(results, rows, costs(4_423_680, 2_270_000 + 9000 * seed))
    save(results, few("xtail", "mod-x", uses="features"), costs(0))
    save(results, spoil(few("xtail", "dar"), 3, "dtd", status="oom"), costs(5))
    return build(results, folder)


@pytest.mark.parametrize("name", GOLDENS)
def test_golden(texts: dict[str, str], name: str) -> None:
    assert texts[name] == (GOLDEN / name).read_text()


def lines_of(text: str, **wanted: str) -> list[dict[str, str]]:
    lines = list(csv.DictReader(io.StringIO(text)))
    return [line for line in lines if wanted.items() <= line.items()]


# ---- What the numbers are -----------------------------------------------------------------------


def matrix(method: str, tasks: tuple[str, ...], seed: int) -> np.ndarray:
    steps, places = range(len(tasks) + 1), range(len(tasks))
    hits = [[score(method, seed, t, j + 1, j) + MORE for j in places] for t in steps]
    return np.array(hits) / N


@pytest.mark.parametrize(("number", "suite", "tasks"), [(1, "xtail", XTAIL), (2, "mtil", MTIL)])
@pytest.mark.parametrize("method", ["zs", "ewc", "ft", "l2p", "aaa"])
def test_transfer_average_and_last_are_those_of_the_metrics(
    texts: dict[str, str], number: int, suite: str, tasks: tuple[str, ...], method: str
) -> None:
    found = lines_of(
        texts[f"codyra-table-{number}.csv"],
        source="measured", suite=suite, method=ALIAS.get(method, method),
    )  # fmt: skip
    got = {(line["metric"], line["dataset"]): line["mean"] for line in found}
    scores = [matrix(method, tasks, seed) for seed in range(2 if method == "ewc" else 1)]
    metrics = {"transfer": continual.transfer, "average": continual.average, "acc": continual.last}
    assert set(got) == {(m, name) for m in metrics for name in (*tasks, "average")}
    for metric, measure in metrics.items():
        want = 100 * np.mean([measure(R) for R in scores], axis=0)
        names = tasks[1:] if metric == "transfer" else tasks
        for name, value in zip((*names, "average"), (*want, want.mean()), strict=True):
            assert float(got[metric, name]) == pytest.approx(value, abs=1e-5), (metric, name)
    assert got["transfer", tasks[0]] == ""


# Accuracies of ZSCL on MTIL, order I, in percent, a row a stage: mtil/results/t3_7.npy of its
# official code (Thunderbeee/ZSCL), without CIFAR10. The paper's Table 1 has their means.
ZSCL = GOLDEN / "zscl-mtil.csv"
UNIT = 10**6  # test images of a set, so that percents of six digits are counts


def report(matrix: np.ndarray, folder: Path, method: str = "zscl") -> dict[tuple[str, str], str]:
    """Cells of Table 2 that a run gives whose accuracies on MTIL are these, stage 0 first."""
    rows = run("mtil", "zs")
    for row in rows:
        hits = 0
        if row["role"] != "ood":
            percent = matrix[row["step"], MTIL.index(row["eval_task"])]
            hits = round(percent * UNIT / 100)
        row.update(method=method, hits=hits, n_queries=UNIT, value=hits / UNIT)
    save(folder / "results", rows, costs(1))
    found = lines_of(build(folder / "results", folder)["codyra-table-2.csv"], source="measured")
    return {(line["metric"], line["dataset"]): line["mean"] for line in found}


def means(found: dict[tuple[str, str], str]) -> list[str]:
    return [f"{float(found[m, 'average']):.1f}" for m in ("transfer", "average", "acc")]


def test_the_published_matrix_of_zscl_gives_its_published_means(tmp_path: Path) -> None:
    matrix = np.loadtxt(ZSCL, delimiter=",", skiprows=1)
    assert ZSCL.read_text().splitlines()[0] == ",".join(MTIL)
    # Stage 0 is no part of the three: another one gives the same.
    for stage_0 in (np.zeros(11), np.full(11, 100.0)):
        found = report(np.vstack([stage_0, matrix]), tmp_path / str(stage_0[0]))
        assert means(found) == ["68.1", "75.4", "83.6"]


def test_constant_rows_of_zero_shot_give_the_printed_means(tmp_path: Path) -> None:
    printed = [c for c in printed_in(2, "codyra") if (c.method, c.metric) == ("zs", "acc")]
    value = {cell.dataset: float(cell.value) for cell in printed}
    found = report(np.tile([value[name] for name in MTIL], (12, 1)), tmp_path, "zs")
    assert means(found) == ["69.4", "65.3", "65.3"]
    for name in MTIL:
        assert float(found["average", name]) == pytest.approx(value[name])


def test_a_true_zero_is_a_score_like_any_other(tmp_path: Path) -> None:
    """The last set is at 0 before it is learned: a mask of what is not 0 would leave it out."""
    matrix = np.loadtxt(ZSCL, delimiter=",", skiprows=1)
    matrix[:10, -1] = 0.0
    found = report(np.vstack([matrix[0], matrix]), tmp_path)
    assert float(found["transfer", MTIL[-1]]) == 0.0
    assert float(found["average", MTIL[-1]]) == pytest.approx(matrix[10, -1] / 11, abs=1e-4)
    others = [matrix[:j, j].mean() for j in range(1, 10)]
    assert float(found["transfer", "average"]) == pytest.approx(sum(others) / 10, abs=1e-4)


def test_a_rank_needs_both_orders_of_the_protocol(tmp_path: Path) -> None:
    """Order II where the suite has one; there, reverse counts for nothing."""
    for order, method in (("ii", "ewc"), ("reverse", "ft")):
        for seed in range(3):
            rows = few("xtail", method, seed)
            save(tmp_path / "r", rows, costs(1))
            save(tmp_path / "r", [row | {"order": order} for row in rows], costs(1))
    ranked, _, others = build(tmp_path / "r", tmp_path)["leaderboard.md"].partition("Not ranked:")
    line = next(line for line in ranked.splitlines() if "codyra" in line)
    assert line.split("|")[1].strip() == "1"
    assert "forward x3, ii x3" in line
    line = next(line for line in others.splitlines() if "lora" in line)
    assert line.split("|")[-2].strip() == "no ii order"
    assert "forward x3, reverse x3" in line


def standing(folder: Path, method: str) -> list[str]:
    """The cells of a method's line, and whether it has a rank."""
    board = build(folder / "r", folder)["leaderboard.md"]
    ranked, _, _ = board.partition("Not ranked:")
    line = next(line for line in board.splitlines() if line.startswith("|") and method in line)
    return [cell.strip() for cell in line.split("|")[1:-1]] + ["ranked" * (line in ranked)]


@pytest.mark.parametrize(("suite", "why"), [("xtail", "told the task id"), ("mtil", "")])
def test_what_is_told_the_task_has_no_rank_where_others_are_not(
    tmp_path: Path, suite: str, why: str
) -> None:
    for order, seed in product(("forward", "ii"), range(3)):
        rows = few(suite, "dar", seed, variant="route-oracle", uses="task id")
        save(tmp_path / "r", [row | {"order": order} for row in rows], costs(1))
    cells = standing(tmp_path, "codyra-plus.route-oracle")
    assert cells[-2:] == ([why, ""] if why else [cells[-2], "ranked"])


def test_labelled_held_out_sets_tell_no_task_of_pairs(tmp_path: Path) -> None:
    """Each is scored among its own classes, which says nothing about the tasks."""
    more = {"variant": "route-oracle", "uses": "task id"}
    for order, seed in product(("forward", "reverse"), range(3)):
        rows = make_rows("shapes", SHAPES, "dar", order, seed, STARS, **more)
        save(tmp_path / "r", [row | {"method": "codyra-plus"} for row in rows], costs(1))
    assert standing(tmp_path, "codyra-plus.route-oracle")[-2:] == ["told the task id", ""]


def test_a_change_on_held_out_sets_is_of_the_same_sets(tmp_path: Path) -> None:
    """Places365 is optional: a run without it has no mean that another's could stand beside."""
    save(tmp_path / "r", few("xtail", "ewc", 0), costs(1))
    one, two = (few("xtail", "ft", seed) for seed in (0, 1))
    save(tmp_path / "r", [row for row in one if row["eval_task"] != "places365"], costs(1))
    save(tmp_path / "r", two, costs(1))
    assert standing(tmp_path, "| codyra ")[7] not in (MISSING, "")
    assert standing(tmp_path, "| lora ")[7] == MISSING


def test_records_of_other_prompts_stand_beside_the_default_ones(tmp_path: Path) -> None:
    """Prompts are part of a set's fingerprint: one that differs without a word is an error."""
    rows = few("xtail", "ft")
    for settings in ("", "templates=generic"):
        made = costs(1) | {
            "data": {"train": {"dtd": "a" + settings}, "test": {"dtd": "b" + settings}}
        }
        save(tmp_path / "r", [row | {"settings": settings} for row in rows], made)
    text = build(tmp_path / "r", tmp_path)["codyra-table-1.csv"]
    found = lines_of(text, source="measured", dataset="average", metric="acc")
    assert {line["method"] for line in found} == {"lora", "lora+templates=generic"}
    other = costs(1) | {"data": {"train": {"dtd": "c"}, "test": {}}}
    save(tmp_path / "r", [row | {"seed": 1} for row in rows], other)
    with pytest.raises(BenchError, match="the same training data of 'dtd'"):
        build(tmp_path / "r", tmp_path)


def test_means_of_table_5_are_those_of_table_1(texts: dict[str, str]) -> None:
    five = lines_of(texts["codyra-table-5.csv"], source="measured")
    assert {line["method"] for line in five} == {"rail-primal", "rail-dual"}
    one = lines_of(texts["codyra-table-1.csv"], source="measured", dataset="average")
    means = {(line["method"], line["metric"]): line["mean"] for line in one}
    assert len(five) == 6
    assert all(means[line["method"], line["metric"]] == line["mean"] for line in five)


@pytest.mark.parametrize(("pretrained", "beside"), [("itm-coco", True), ("random:0", False)])
def test_table_6_is_of_one_backbone(
    tmp_path: Path, pretrained: str, beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs on BLIP alone, and the paper's numbers beside those of published weights."""
    monkeypatch.setattr(TestSets, "differing", lambda *_: [])  # as on CoOp's splits
    results = tmp_path / "results"
    for about in (B16, {"backbone": "blip-base", "pretrained": pretrained}):
        for method in ("zs", "l2p", "ewc"):
            rows = run("xtail", method, uses="", **about)
            save(results, [row | {"method": ALIAS.get(method, method)} for row in rows], costs(0))
    texts = build(results, tmp_path)
    found = lines_of(texts["codyra-table-6.csv"], source="measured")
    assert len(found) == 3 * 3
    assert {(line["backbone"], line["pretrained"]) for line in found} == {("blip-base", pretrained)}
    measured, printed = texts["codyra-table-6.md"].split("\n## ")[1:]
    assert measured.startswith(f"xtail 1.0, blip-base ({pretrained}), forward order")
    for number in ("51.03", "46.45", "62.21", "76.36"):
        assert (f"(paper {number}" in measured) == beside
    assert printed.startswith("Printed in the CoDyRA paper: xtail, blip-base, forward order")
    assert "names neither the weights" in printed
    assert printed.index("Transfer |") < printed.index("Average |") < printed.index("Last |")


def test_held_out_sets_are_means_over_steps(texts: dict[str, str]) -> None:
    found = lines_of(texts["codyra-table-4.csv"], source="measured", method="lora")
    got = {line["dataset"]: float(line["mean"]) for line in found}
    want = {
        name: 100 * np.mean([(held_out_score("ft", 0, t, n) + MORE) / N for t in range(1, 11)])
        for n, name in enumerate(HELD_OUT)
    }
    assert got == pytest.approx({**want, "ood": np.mean(list(want.values()))}, abs=1e-5)


@pytest.mark.parametrize("name", PEFT)
def test_what_is_left_of_a_task_that_is_learned_alone(name: str, texts: dict[str, str]) -> None:
    table = texts["codyra-table-7.csv"]
    found = lines_of(table, source="measured", metric="kept", dataset=name)
    assert {line["method"]: line["mean"] for line in found} == {
        "zs": "", "lora": "2.274500", "codyra": "2.274500",
    }  # fmt: skip
    found = lines_of(table, source="measured", metric="acc", dataset=name)
    assert {(line["suite"], line["order"], line["step"]) for line in found} == {("peft", "", "1")}
    accuracy = {line["method"]: float(line["mean"]) for line in found}
    wanted = np.mean([100 * (score("ft", seed, 1, 1, 0) + MORE) / N for seed in range(2)])
    assert accuracy["lora"] == pytest.approx(wanted, abs=1e-5)


def test_a_task_alone_stands_beside_the_papers_number_of_it(texts: dict[str, str]) -> None:
    """A block for each; no run of a sequence, and no suite whose tasks are one, is among them."""
    text = texts["codyra-table-7.md"]
    for title, printed in (("Stanford-cars", "81.61)"), ("Caltech101", "97.20)")):
        assert text.count(f"{title} alone") == 1
        block = text.partition(f"{title} alone")[2].partition("\n## ")[0].replace("**", "")
        (line,) = [line for line in block.splitlines() if line.startswith("| CoDyRA (codyra) ")]
        assert f"(paper {printed}" in line
    assert "forward" not in text
    assert {line["suite"] for line in lines_of(texts["codyra-table-7.csv"], source="measured")} == {
        "peft"
    }


def test_costs(texts: dict[str, str]) -> None:
    found = lines_of(texts["codyra-table-3.csv"], source="measured", suite="xtail", method="codyra")
    assert {line["metric"]: float(line["mean"]) for line in found} == {
        "trained": 4.42368, "read": 0.884736, "read_bytes": 2, "extra": 3, "train": 4,
        "evaluate": 500, "seconds": 7.5,
    }  # fmt: skip
    said = "Times are of several machines, and not to be compared: zs: another one, 1 threads; "
    assert said in texts["codyra-table-3.md"]
    assert "project page of the CoDyRA paper" in texts["codyra-table-3.md"]
    assert "(paper 4.4M)" in texts["codyra-table-3.md"]
    assert "**" not in texts["codyra-table-3.md"]


def test_a_hole_is_in_no_mean(texts: dict[str, str]) -> None:
    found = lines_of(
        texts["codyra-table-1.csv"], method="codyra-plus", source="measured", metric="average"
    )
    status = {line["dataset"]: line["status"] for line in found}
    assert (status["dtd"], status["average"], status["mnist"]) == ("oom", "oom", "ok")


# ---- Which rows are where ------------------------------------------------------------------------


def test_a_run_is_in_the_tables_of_its_own_world(texts: dict[str, str]) -> None:
    suites = {
        spec.stem: {
            line["suite"] for line in lines_of(texts[f"{spec.stem}.csv"], source="measured")
        }
        for spec in FEW_SHOT_TABLES
    }
    one, two = {"xtail"}, {"mtil"}
    assert list(suites.values()) == [one, two, one | two, one, one, set(), {"peft"}]
    for number in range(1, 9):
        assert not lines_of(texts[f"table-{number}.csv"], source="measured"), number


def test_who_is_told_the_task_is_best_only_where_all_are(tmp_path: Path) -> None:
    for suite, seed in product(("xtail", "mtil"), range(3)):
        save(tmp_path / "r", few(suite, "ft", seed))
        save(tmp_path / "r", few(suite, "ewc", seed))
        save(tmp_path / "r", few(suite, "dar", seed, variant="route-oracle", uses="task id"))
    texts = build(tmp_path / "r", tmp_path)

    def rows(name: str) -> list[str]:
        lines = texts[name].split("### Last")[1].partition("\n## ")[0].splitlines()
        return [line.split("|")[1].strip() for line in lines if "**" in line]

    assert rows("codyra-table-1.md") == ["codyra"]
    assert rows("codyra-table-2.md") == ["codyra-plus.route-oracle [task id]"]


# ---- The paper -----------------------------------------------------------------------------------

SIZES = {1: 90 + 88 + 99, 2: 99 + 96 + 108, 3: 12, 4: 16, 5: 12, 6: 8, 7: 15}


def test_every_printed_number_is_there_once() -> None:
    assert {
        spec.number: len(printed_in(spec.number, "codyra")) for spec in FEW_SHOT_TABLES
    } == SIZES
    cells = read_paper("codyra")
    assert len(cells) == sum(SIZES.values())
    assert set(Counter((c.table, c.label, c.place) for c in cells).values()) == {1}
    assert all(find_method(label, []).cls.label for label in {cell.label for cell in cells})
    for cell in cells:
        assert cell.dataset in TITLES if cell.table != 3 else not cell.dataset
        if cell.table == 3 and cell.value in ("None", "N/A"):
            continue
        assert cell.value.endswith("M") == (cell.metric in ("kept", "trained", "read"))
        assert 0 < float(cell.value.removesuffix("M")) < 130


@pytest.mark.parametrize(
    ("table", "row", "dataset", "metric", "value"),
    [  # read by eye
        (1, "Zero-shot", "aircraft", "acc", "23.5"),
        (1, "LwF", "caltech101", "transfer", "66.6"),
        (1, "CoDyRA+", "average", "acc", "80.9"),
        (1, "CoDyRA", "average", "average", "71.3"),
        (1, "MoE-Adapter", "sun397", "acc", "74.2"),
        (2, "LwF-VR", "cifar100", "transfer", "62.5"),
        (2, "Zero-shot", "average", "acc", "65.3"),
        (2, "CoDyRA+", "sun397", "acc", "73.0"),
        (2, "ZSCL", "aircraft", "average", "28.2"),
        (3, "MoE-Adapters", "", "trained", "59.8M"),
        (3, "MoE-Adapters", "", "read", "13.35M"),
        (3, "CoDyRA", "", "read", "None"),
        (4, "CoDyRA", "ood", "average", "58.00"),
        (5, "CoDyRA + RAIL-Dual", "average", "acc", "83.6"),
        (6, "Zero-shot", "average", "acc", "46.45"),
        (6, "CoDyRA", "average", "average", "63.60"),
        (7, "CoDyRA", "stanford-cars", "kept", "3.75M"),
    ],
)
def test_samples(table: int, row: str, dataset: str, metric: str, value: str) -> None:
    where = (row, dataset, metric)
    cells = printed_in(table, "codyra")
    assert [c.value for c in cells if (c.row, c.dataset, c.metric) == where] == [value]


def where(cell: Printed) -> tuple[int, str, str, str]:
    return cell.table, cell.method, cell.dataset, cell.metric


KNOWN = {
    (2, "zs", "mnist", "acc"), (2, "zs", "mnist", "transfer"),
    (2, "codyra", "average", "transfer"), (2, "codyra-plus", "average", "transfer"),
}  # fmt: skip


def test_lint_finds_what_is_known_and_no_more() -> None:
    found = lint(read_paper("codyra"))
    assert {where(finding.cell) for finding in found} == KNOWN
    assert all(finding.cell.erratum for finding in found)
    marked = {where(cell) for cell in read_paper("codyra") if cell.erratum}
    # What no recomputation shows: a copied row, a mean within rounding, and RAIL's zero-shot.
    lwf = {(1, "lwf", name, "acc") for name in (*XTAIL, "average")}
    prompts = {
        (1, row, "average", m)
        for row in ("zs", "rail-primal")
        for m in ("transfer", "average", "acc")
    } - {(1, "zs", "average", "average")}
    kept = {(7, "codyra", name, "kept") for name in ("caltech101", "stanford-cars", "oxford-pets")}
    assert marked == {
        *KNOWN, *lwf, *prompts, *kept,
        (2, "wise-ft", "average", "acc"), (2, "rail-primal", "mnist", "transfer"),
        (6, "zs", "average", "acc"), (6, "zs", "average", "transfer"),
    }  # fmt: skip


def test_lwfs_last_row_is_icarls() -> None:
    rows = {
        name: [c.value for c in printed_in(1, "codyra") if (c.method, c.metric) == (name, "acc")]
        for name in ("lwf", "icarl")
    }
    assert rows["lwf"] == rows["icarl"]
    assert len(rows["lwf"]) == 11


def test_the_second_row_of_codyra_is_perfect_retention() -> None:
    """Average_j = (j Transfer_j + (T - j) Last_j) / T for CoDyRA+, within what rounding allows."""
    for table, names in ((1, XTAIL), (2, MTIL)):
        cells = [c for c in printed_in(table, "codyra") if c.method == "codyra-plus"]
        value = {(str(c.metric), c.dataset): float(c.value) for c in cells}
        total = len(names)
        for j, name in enumerate(names):
            before = j * value["transfer", name] if j else 0.0
            want = (before + (total - j) * value["acc", name]) / total
            assert value["average", name] == pytest.approx(want, abs=0.1)


def test_rows_of_ours() -> None:
    labels = {spec.number: list(named_rows(spec)) for spec in FEW_SHOT_TABLES}
    coupled = ["codyra-rail-primal", "codyra-rail-dual"]
    assert labels[5][:4] == ["rail-primal", coupled[0], "rail-dual", coupled[1]]
    assert labels[5][4:] == [f"{name}.rebuilt" for name in coupled]
    assert labels[6] == ["zs", "rail-primal", "codyra"]
    assert labels[7] == ["zs", "lora", "codyra"]
    assert labels[2][-2:] == ["codyra", "codyra-plus.route-oracle"]


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:

        class Factory:
            def mktemp(self, _: str) -> Path:
                return Path(name)

        fixture: Any = texts
        made = fixture.__wrapped__(Factory())
    for golden in GOLDENS:
        (GOLDEN / golden).write_text(made[golden])
