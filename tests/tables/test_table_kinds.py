"""Tables 2 to 6 and 9 to 14 of a synthetic `retrieval`, with the paper beside it, and of others.

`PYTHONPATH=.:tests/support python tests/tables/test_table_kinds.py` rewrites the golden files; read
the diff before you keep it.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from lanes import lanes
from synthetic import (
    DOMAINS,
    FEW,
    PAPER,
    PAPER_HELD_OUT,
    SHAPES,
    SKILL,
    N,
    Row,
    build,
    held_out_score,
    make_rows,
    save,
    score,
    spoil,
    trusting,
)

from benchmark.records.store import read_records
from benchmark.tables.assemble import make_table
from benchmark.tables.groups import judge
from benchmark.tables.run_numbers import read_run
from benchmark.tables.spec import TABLES
from benchmark.tables.writers.markdown import render_markdown

GOLDEN = Path(__file__).parents[1] / "golden"
GOLDENS = (
    "table-2.md", "table-4.md", "table-6.md", "table-6.tex", "table-12.md", "table-12.tex",
    "table-13.md",
)  # fmt: skip
B16 = {"backbone": "ViT-B-16-quickgelu", "pretrained": "openai"}
B32: dict[str, Any] = {"backbone": "ViT-B-32-quickgelu", "pretrained": "openai"}


def run(method: str, seed: int = 0, suite: str = "retrieval", **more: str) -> list[Row]:
    return make_rows(suite, PAPER, method, "forward", seed, PAPER_HELD_OUT, **{**B16, **more})


def golden_runs() -> Iterator[list[Row]]:
    for seed in range(3):
        for backbone in (B16, B32):
            yield run("zs", seed, **backbone)
            yield run("ft", seed, **backbone)
            yield run("dar", seed, variant="r8", **backbone)
        yield run("dar", seed)
    yield run("mod-x")
    yield run("ewc")
    yield run("joint")
    yield run("dar", 5, variant="r8", pretrained="laion")
    yield run("dar", 5, variant="rank4", pretrained="laion")
    for variant in ("merge-none", "margin-0.10", "route-random", "merge-core-tsv"):
        yield run("dar", variant=variant)
    yield run("dar", variant="route-pair", uses="test pairing")
    yield run("dar", 9, variant="route-oracle", uses="task id")
    yield spoil(run("dar", variant="k3"), 7, "nocaps", status="failed")
    yield spoil(run("l2p", settings="rank=9"), 3, DOMAINS[2])


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("retrieval")
    for rows in golden_runs():
        save(folder / "results", rows)
    return build(folder / "results", folder)


@pytest.mark.parametrize("name", GOLDENS)
def test_golden(texts: dict[str, str], name: str) -> None:
    assert texts[name] == (GOLDEN / f"retrieval-{name}").read_text()


# ---- What the numbers are -----------------------------------------------------------------------


def lines_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def measured(text: str, label: str, backbone: str = "ViT-B-16-quickgelu") -> list[dict[str, str]]:
    """The lines of one row with the weights that the paper used."""
    want = ("measured", label, backbone, "openai")
    keys = ("source", "method", "backbone", "pretrained")
    return [x for x in lines_of(text) if tuple(x[key] for key in keys) == want]


def means(lines: list[dict[str, str]], **where: str) -> list[float | None]:
    found = [x for x in lines if all(x[key] == value for key, value in where.items())]
    return [float(x["mean"]) if x["mean"] else None for x in found]


def average_at_the_end(method: str, direction: str) -> float:
    """Percent, from the formula, over three seeds and seven tasks."""
    ends = [score(method, seed, 7, place, place - 1) for seed in range(3) for place in range(1, 8)]
    return 100 * (fmean(ends) + 7 * (direction == "t2i")) / N


@pytest.mark.parametrize("direction", ["t2i", "i2t"])
def test_averages_are_means_over_tasks_and_seeds(texts: dict[str, str], direction: str) -> None:
    for table in (2, 3, 4, 5, 6):
        lines = measured(texts[f"table-{table}.csv"], "dar.r8")
        found = means(lines, direction=direction, dataset="average")
        assert found == [pytest.approx(average_at_the_end("dar", direction))]
    lines = measured(texts["table-2.csv"], "ft", "ViT-B-32-quickgelu")
    assert means(lines, direction=direction) == [pytest.approx(average_at_the_end("ft", direction))]


def test_ood_is_the_mean_over_held_out_captions(texts: dict[str, str]) -> None:
    numbers = [list(PAPER_HELD_OUT).index(name) for name in ("coco", "nocaps")]
    wanted = fmean(held_out_score("dar", s, 7, n) for s in range(3) for n in numbers) / 10
    found = means(measured(texts["table-6.csv"], "dar"), dataset="ood", direction="i2t")
    assert found == [pytest.approx(wanted)]
    failed = measured(texts["table-6.csv"], "dar.k3")
    assert [(x["dataset"], x["status"]) for x in failed] == [
        ("average", "ok"), ("average", "ok"), ("ood", "failed"), ("ood", "failed")
    ]  # fmt: skip


def test_stages_and_delta(texts: dict[str, str]) -> None:
    number = list(PAPER_HELD_OUT).index("eurosat")
    lines = measured(texts["table-11.csv"], "ft")
    assert [x["step"] for x in lines] == [*map(str, range(8)), ""]
    assert [x["metric"] for x in lines] == ["acc"] * 8 + ["delta"]
    levels = [fmean(held_out_score("ft", s, t, number) for s in range(3)) / 10 for t in range(8)]
    assert means(lines) == pytest.approx([*levels, levels[7] - levels[0]])
    recall = measured(texts["table-14.csv"], "ft")
    assert [x["direction"] for x in recall] == ["i2t"] * 9 + ["t2i"] * 9


def test_domainnet_is_the_mean_of_its_domains_and_of_nothing_less(texts: dict[str, str]) -> None:
    numbers = [list(PAPER_HELD_OUT).index(name) for name in DOMAINS]
    lines = measured(texts["table-12.csv"], "mod-x")
    levels = [fmean(held_out_score("mod-x", 0, t, n) for n in numbers) / 10 for t in range(8)]
    assert means(lines) == pytest.approx([*levels, levels[7] - levels[0]])
    hole = measured(texts["table-12.csv"], "l2p+rank=9")
    assert [x["status"] for x in hole] == ["ok"] * 3 + ["oom"] + ["ok"] * 5
    assert "painting" not in texts["table-12.md"]


def test_a_hole_at_an_end_is_a_hole_in_delta(tmp_path: Path) -> None:
    for method, step in (("dar", 0), ("ft", 7), ("ewc", 3)):
        save(tmp_path / "r", spoil(run(method), step, "eurosat", status="failed"))
    lines = lines_of(build(tmp_path / "r", tmp_path)["table-11.csv"])
    ends = {x["method"]: x["status"] for x in lines if x["metric"] == "delta" and x["seeds"]}
    assert ends == {"dar": "failed", "ft": "failed", "ewc": "ok"}


def test_the_paper_is_beside_its_own_backbones_and_weights_alone(texts: dict[str, str]) -> None:
    same = ("method", "backbone", "dataset", "direction", "metric", "k", "step")
    for number in (*range(2, 7), *range(9, 15)):
        lines = lines_of(texts[f"table-{number}.csv"])
        ours = [x for x in lines if x["source"] == "measured"]
        printed = {tuple(x[k] for k in same): x for x in lines if x["source"] == "paper"}
        beside = {(x["backbone"], x["pretrained"]) for x in ours if x["paper"]}
        smaller = {("ViT-B-32-quickgelu", "openai")} if number == 2 else set()
        assert beside == {("ViT-B-16-quickgelu", "openai")} | smaller, number
        for x in ours:
            twin = printed.get(tuple(x[k] for k in same))
            if x["pretrained"] == "openai" and twin is not None:
                assert (x["paper"], x["note"]) == (twin["paper"], twin["note"])
            else:
                assert x["paper"] == ""


def table(folder: Path, number: int) -> str:
    """One table of a folder of records, and nothing else."""
    records = read_records(folder)
    runs = [read_run(one) for one in judge(records, trusting(records))]
    return render_markdown(make_table(runs, TABLES[number - 1]))


def bold_rows(text: str) -> dict[str, int]:
    """First texts of the rows of measured blocks with a bold number -> how many they have."""
    lines = [line for line in text.partition("## Printed")[0].splitlines() if "**" in line]
    return {line.split("|")[1].strip(): line.count("**") // 2 for line in lines}


def shapes(method: str, seed: int, **more: Any) -> list[Row]:
    return make_rows("shapes", SHAPES, method, "forward", seed, **({"uses": ""} | more))


def raised(rows: list[Row], task: str, hits: int) -> list[Row]:
    """The same run, with more hits on a set at every step but the first."""
    for row in rows:
        if row["eval_task"] == task and row["step"]:
            row.update(hits=row["hits"] + hits, value=(row["hits"] + hits) / N)
    return rows


def test_the_best_is_bold_among_what_contends(tmp_path: Path) -> None:
    """Neither joint nor who is told the answer may win; the stages on the way are no contest."""
    for seed in range(3):
        for method in ("zs", "joint"):
            save(tmp_path, shapes(method, seed))
        save(tmp_path, shapes("joint", seed, variant="x", uses="task id"))
        save(tmp_path, raised(shapes("ft", seed), "stars", -200))
        save(tmp_path, shapes("dar", seed, variant="r8"))
        save(tmp_path, shapes("dar", seed))
    assert bold_rows(table(tmp_path, 1)) == {"dar": 8}  # and not the extra row, which equals it
    (bold,) = [line for line in table(tmp_path, 9).splitlines() if "**" in line]
    assert bold.startswith("| dar ")  # zs, which does not move, has more
    assert bold.split("|")[-2].count("**") == bold.count("**") == 2


def test_nothing_is_bold_where_the_best_is_not_told_from_the_rest(tmp_path: Path) -> None:
    """By too few seeds, for want of evidence, or by a difference that chance makes."""
    for seed in range(3):
        for method in ("ft", "dar"):
            save(tmp_path / "three", shapes(method, seed))
            if seed < 2:
                save(tmp_path / "two", shapes(method, seed))
    assert bold_rows(table(tmp_path / "two", 1)) == {}
    assert bold_rows(table(tmp_path / "three", 1)) == {"dar": 8}
    near = SKILL["dar"] - SKILL["ewc"] - 1
    for seed in range(3):
        save(tmp_path / "three", raised(shapes("ewc", seed), "dots", near))
    text = table(tmp_path / "three", 1)
    assert bold_rows(text) == {"dar": 6}  # all but dots, where chance makes the difference
    for seed in range(3):  # far below, and yet: it has no evidence
        save(tmp_path / "three", shapes("aaa", seed), evidence=False)
    text = table(tmp_path / "three", 1)
    assert bold_rows(text) == {}
    line = next(line for line in text.splitlines() if line.startswith("| aaa"))
    assert "(" not in line  # nothing is known of its test images


# ---- Which rows, and which sets ------------------------------------------------------------------


def names(text: str) -> list[str]:
    """First cells of the lines of all measured blocks."""
    lines = text.partition("## Printed")[0].splitlines()
    found = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    return [name for name in found if name != "Method"]


def test_rows_of_backbones(tmp_path: Path) -> None:
    """The paper's four, and every method on several backbones; never a variant of an ablation."""
    for backbone in ("tiny-s", "tiny-b"):
        for method, variant in (("ft", ""), ("aaa", ""), ("dar", "r4")):
            more: dict[str, Any] = {"backbone": backbone, "variant": variant}
            save(tmp_path / "r", make_rows("shapes", SHAPES, method, "forward", 0, **more))
    for method in ("mod-x", "ewc"):
        save(tmp_path / "r", make_rows("shapes", SHAPES, method, "forward", 0, backbone="tiny-s"))
    text = build(tmp_path / "r", tmp_path)["table-2.md"]
    assert names(text) == ["FT (ft)", "Mod-X (mod-x)", "aaa"]
    heads = next(line for line in text.splitlines() if line.startswith("| Method"))
    assert [head.strip() for head in heads.split("|")[2:-1]] == [
        "tiny-s T→I", "tiny-s I→T", "tiny-b T→I", "tiny-b I→T",
    ]  # fmt: skip
    mod_x = next(line for line in text.splitlines() if line.startswith("| Mod-X"))
    assert [cell.strip() for cell in mod_x.split("|")[4:6]] == ["–", "–"]  # noqa: RUF001
    assert "The paper has no such row: aaa." in text


def test_one_method_alone_is_no_ablation(tmp_path: Path) -> None:
    def tables_with_it() -> list[int]:
        built = build(tmp_path / "r", tmp_path)
        return [number for number in range(1, 9) if "## shapes" in built[f"table-{number}.md"]]

    save(tmp_path / "r", make_rows("shapes", SHAPES, "dar", "forward", 0))
    assert tables_with_it() == [1, 7]
    route = make_rows("shapes", SHAPES, "dar", "forward", 0, variant="route-max")
    save(tmp_path / "r", route)
    assert tables_with_it() == [1, 4, 7]
    save(tmp_path / "s", route)
    only = ["Image+Text (max) (dar.route-max) [features, samples]"]
    assert names(build(tmp_path / "s", tmp_path)["table-4.md"]) == only


def headings(texts: dict[str, str], number: int) -> list[str]:
    """Names of the sets that a table has measured."""
    before = texts[f"table-{number}.md"].partition("## Printed")[0]
    return [line[4:] for line in before.splitlines() if line.startswith("### ")]


SETS: dict[str, tuple[dict[str, str], dict[int, list[str]]]] = {
    "as in the paper": (
        dict(PAPER_HELD_OUT),
        {9: ["Imagenet"], 10: ["Cifar100"], 11: ["Eurosat"], 12: ["DomainNet"],
         13: ["Coco, I→T", "Coco, T→I"], 14: ["Nocaps, I→T", "Nocaps, T→I"]},
    ),
    "the paper's sets keep their tables, others fill the free ones by name": (
        {"places": "labelled", "cifar100": "labelled", "atlas": "labelled", "nocaps": "pairs",
         "zoo": "pairs"},
        {9: ["Atlas"], 10: ["Cifar100"], 11: ["Places"], 12: [], 13: ["Zoo, I→T", "Zoo, T→I"],
         14: ["Nocaps, I→T", "Nocaps, T→I"]},
    ),
    "the last table takes what is left": (
        {**{f"set{n}": "labelled" for n in range(6)}, "b": "pairs", "a": "pairs", "c": "pairs"},
        {9: ["Set0"], 10: ["Set1"], 11: ["Set2"], 12: ["Set3", "Set4", "Set5"],
         13: ["A, I→T", "A, T→I"], 14: ["B, I→T", "B, T→I", "C, I→T", "C, T→I"]},
    ),
    "a part of a family is no family": (
        dict.fromkeys(DOMAINS[:5], "labelled"),
        {9: ["Domainnet-clipart"], 10: ["Domainnet-infograph"], 11: ["Domainnet-painting"],
         12: ["Domainnet-quickdraw", "Domainnet-real"], 13: [], 14: []},
    ),
    "none": ({}, {number: [] for number in range(9, 15)}),
}  # fmt: skip


@pytest.mark.parametrize(
    "case",
    lanes(SETS, ["the last table takes what is left", "a part of a family is no family", "none"]),
)
def test_every_held_out_set_has_a_place(tmp_path: Path, case: str) -> None:
    held_out, wanted = SETS[case]
    save(tmp_path / "r", make_rows("shapes", SHAPES, "ft", "forward", 0, held_out))
    texts = build(tmp_path / "r", tmp_path)
    assert {number: headings(texts, number) for number in wanted} == wanted
    for number, found in wanted.items():
        kind = "labelled" if number < 13 else "image-caption"
        sentence = f"shapes 1.0 has no held-out {kind} set left for this table."
        assert (sentence in texts[f"table-{number}.md"]) == (not found)
    for kind in ("pdf", "svg", "png"):
        assert (f"figure-1-shapes.{kind}" in texts) == ("pairs" in held_out.values())


def test_a_labelled_suite_has_stages_and_no_recall(tmp_path: Path) -> None:
    for method in ("ft", "dar"):
        save(tmp_path / "r", make_rows("few-shot", FEW, method, "forward", 0))
    texts = build(tmp_path / "r", tmp_path)
    assert names(texts["table-9.md"]) == ["ft", "dar [features, samples]"]
    recall = [f"table-{n}.{kind}" for n in range(1, 9) for kind in ("md", "csv", "tex")]
    assert not any("few-shot" in texts[name] for name in recall)


def test_runs_apart_have_a_mark_and_no_part_in_the_best(tmp_path: Path) -> None:
    for method in ("ft", "ewc"):
        save(tmp_path / "r", make_rows("shapes", SHAPES, method, "forward", 0), evidence=False)
    short = {"lines": "pairs", "waves": "pairs"}
    save(tmp_path / "r", make_rows("shapes", short, "aaa", "forward", 0), {"unofficial": ["odd"]})
    text = build(tmp_path / "r", tmp_path)["table-9.md"]
    assert names(text) == ["ft", "ewc", "aaa †"]
    assert "- aaa: odd; 2 of 3 tasks" in text
    line = next(line for line in text.splitlines() if line.startswith("| aaa"))
    # Two tasks: nothing after a third, and the change of its own end, which is the best, not bold.
    assert [cell.strip() for cell in line.split("|")[2:-1]] == [
        "50.0", "49.0", "48.0", "–", "-2.0",  # noqa: RUF001
    ]  # fmt: skip
    assert "**" not in text


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        for golden_rows in golden_runs():
            save(Path(name) / "r", golden_rows)
        built = build(Path(name) / "r", Path(name))
        for file in GOLDENS:
            (GOLDEN / f"retrieval-{file}").write_text(built[file])
