"""The paper's numbers as data: complete, each in one place, and checked against each other."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmark.backbones.known import configs
from benchmark.cli.main import app
from benchmark.errors import BenchError
from benchmark.run.registry import find_method
from benchmark.tables.paper import lint as linting
from benchmark.tables.paper.lint import lint, lint_report
from benchmark.tables.paper.numbers import (
    Printed,
    named_rows,
    printed_in,
    read_paper,
    tables_naming,
)
from benchmark.tables.spec import EXTRA_ROWS, METHOD_ORDER, PAPERS, TABLES, is_ablation

# Rows x columns of numbers, counted in the paper.
SIZES = {
    1: 8 * 16, 2: 4 * 6, 3: 6 * 2, 4: 7 * 2, 5: 6 * 2, 6: 7 * 4, 7: 9 * 16, 8: 9 * 16,
    **dict.fromkeys((9, 10, 11, 12), 7 * 9), 13: 14 * 9, 14: 14 * 9,
}  # fmt: skip
KINDS = {
    "average", "delta", "direction", "margin", "order", "run", "stage 0", "text", "variant",
    "zero-shot",
}  # fmt: skip


def test_every_number_is_there_once() -> None:
    assert {n: len(printed_in(n)) for n in range(1, 15)} == SIZES
    assert len(read_paper()) == sum(SIZES.values()) == 1010
    places = Counter((c.table, c.label, c.backbone, c.place) for c in read_paper())
    assert set(places.values()) == {1}
    for spec in TABLES:
        cells = printed_in(spec.number)
        assert {(c.k, c.order) for c in cells} == {(spec.k, spec.order)}
        # A row of the paper is one row of ours.
        pairs = {(c.row, c.label) for c in cells}
        assert len(pairs) == len({row for row, _ in pairs}) == len({label for _, label in pairs})


def test_every_number_has_its_form() -> None:
    for cell in read_paper():
        assert (cell.metric == "acc") == (cell.k is None and cell.metric != "delta")
        assert (cell.direction == "") == (cell.k is None)
        assert (cell.step is None) == (cell.metric == "delta")
        assert cell.value[0] in ("+-" if cell.metric == "delta" else "0123456789")
        assert 0 <= abs(float(cell.value)) <= 100
        assert not cell.erratum or cell.erratum.partition(":")[0] in KINDS
        assert cell.method in (*METHOD_ORDER, "lora-ft")
        assert cell.backbone in configs()


@pytest.mark.parametrize(
    ("table", "row", "dataset", "direction", "step", "value"),
    [  # one from a corner of every table, read by eye
        (2, "DAR", "average", "i2t", 7, "53.7"),
        (3, "LoRA-FT (r=16)", "average", "t2i", 7, "36.0"),
        (4, "Random", "average", "i2t", 7, "32.7"),
        (5, "Avg (uniform)", "average", "i2t", 7, "48.2"),
        (6, "4, 0.05", "ood", "i2t", 7, "71.7"),
        (9, "Ours", "imagenet", "", None, "-3.7"),
        (10, "Fine-tuning", "cifar100", "", None, "+3"),
        (11, "EWC", "eurosat", "", 5, "47.4"),
        (12, "Merging-TA", "domainnet", "", 7, "56.2"),
        (13, "Fine-tuning", "coco", "t2i", 7, "41.6"),
        (13, "EWC", "coco", "t2i", 0, "33.2"),
        (13, "Ours", "coco", "i2t", None, "+9.2"),
        (14, "Fine-tuning", "nocaps", "t2i", 0, "46.7"),
        (14, "Ours", "nocaps", "t2i", None, "+13.3"),
    ],
)
def test_samples(
    table: int, row: str, dataset: str, direction: str, step: int | None, value: str
) -> None:
    where = (row, dataset, direction, step)
    found = [c.value for c in printed_in(table) if (c.row, c.dataset, c.direction, c.step) == where]
    assert value in found[-1:]


def test_rows_of_ours() -> None:
    labels = {spec.number: list(named_rows(spec)) for spec in TABLES}
    assert labels[2] == ["ft", "mod-x", "c-clip", "dar", "dar.r8"]
    ranks = [f"dar.rank{rank}" for rank in (4, 8, 32)]
    assert labels[3] == ["ft", "lora-ft", *ranks[:2], "dar", ranks[2], "dar.r8"]
    assert labels[4][-4:] == ["dar", "dar.route-modality", "dar.route-pair", "dar.r8"]
    assert labels[5][5:7] == ["dar", "dar.merge-core-iso-c"]
    assert labels[6][3] == "dar"
    assert {labels[number][-1] for number in range(2, 7)} == {"dar.r8"}  # of another setting
    assert labels[9] == ["ft", "ewc", "mod-x", "c-clip", "l2p", "ta", "dar"]
    assert tables_naming("dar.merge-none") == [5, 6]
    assert tables_naming("dar.reuse") == []
    variants = {label for n in (3, 4, 5, 6) for label in labels[n] if "." in label}
    assert all(is_ablation(*variant.split(".", 1)) for variant in variants)


def test_the_rows_of_an_ablation_change_one_thing() -> None:
    """Beside an extra row, all of a block have one rank and dropout; of Table 3, one dropout."""
    method = find_method("dar", [])
    for spec in TABLES[2:6]:
        ours = [label for label in named_rows(spec) if label.split(".")[0] == "dar"]
        ours = [label for label in ours if label not in EXTRA_ROWS]
        configs: list[Any] = [find_method(label, []).config for label in ours]
        keys = ("dropout",) if spec.number == 3 else ("rank", "alpha", "dropout", "lr")
        for key in keys:
            assert {getattr(one, key) for one in configs} == {getattr(method.config, key)}, key
        if spec.number == 3:
            ranks = [int(one.rank) for one in configs]
            assert ranks == [4, 8, 16, 32]
            assert [one.alpha for one in configs] == [2 * rank for rank in ranks]


def test_every_variant_that_a_table_names_exists() -> None:
    known = {f"dar.{name}" for name in find_method("dar", []).cls.variants}
    assert {label for spec in TABLES for label in named_rows(spec) if "." in label} <= known


# ---- What does not add up ----------------------------------------------------------------------


def place(cell: Printed) -> tuple[int, str, str, str, str]:
    what = "delta" if cell.metric == "delta" else f"{cell.step}"
    return cell.table, cell.label, cell.dataset, cell.direction, what


ZERO_SHOT = [
    (table, "zs", dataset, direction, "7")
    for table in (1, 8)
    for dataset, direction in (
        ("lexica-sd", "t2i"), ("wikiart", "t2i"), ("kream", "t2i"), ("sketch", "t2i"),
        ("average", "t2i"), ("lexica-sd", "i2t"), ("average", "i2t"),
    )
]  # fmt: skip
KNOWN = {
    *ZERO_SHOT,
    (8, "mod-x", "average", "i2t", "7"),
    (10, "dar", "cifar100", "", "0"),
    (11, "l2p", "eurosat", "", "delta"),
    (11, "dar", "eurosat", "", "delta"),
    (14, "l2p", "nocaps", "i2t", "delta"),
    # r = 16 in Tables 1, 3 and 4: three values from text to image; two of three agree the other way
    *((table, "dar", "average", "t2i", "7") for table in (1, 3, 4)),
    (1, "dar", "average", "i2t", "7"),
}


def test_lint_finds_what_is_known_and_no_more() -> None:
    found = lint(read_paper())
    assert {place(finding.cell) for finding in found} == KNOWN
    assert len(found) == len(KNOWN)
    assert all(finding.cell.erratum for finding in found)


def test_marks_of_averages_deltas_and_stages_are_all_found() -> None:
    """An erratum that says what lint can see is one that lint sees."""
    seen = {place(finding.cell) for finding in lint(read_paper())}
    for cell in read_paper():
        kind = cell.erratum.partition(":")[0]
        if kind in ("average", "stage 0", "zero-shot"):
            assert place(cell) in seen, cell
        if kind == "delta":
            # Table 10 counts its change from the misprinted stage 0: consistent, and wrong.
            assert place(cell) in seen or place(cell) == (10, "dar", "cifar100", "", "delta")


def test_numbers_that_the_text_lost_are_what_the_stages_give() -> None:
    lost = [cell for cell in read_paper() if "lost in the text" in cell.erratum]
    assert [(place(cell), cell.value) for cell in lost] == [
        ((13, "ft", "coco", "t2i", "delta"), "+8.4"),
        ((14, "ft", "nocaps", "t2i", "delta"), "+9.9"),
    ]


def change(
    table: int, label: str, dataset: str, direction: str, what: str, value: str
) -> list[Printed]:
    """The paper with another value in one place."""
    where = (table, label, dataset, direction, what)
    cells = [replace(c, value=value) if place(c) == where else c for c in read_paper()]
    assert sum(c != old for c, old in zip(cells, read_paper(), strict=True)) == 1
    return cells


def new_places(cells: list[Printed]) -> set[tuple[int, str, str, str, str]]:
    return {place(finding.cell) for finding in lint(cells)} - KNOWN


# Table 1, EWC from text to image: the columns sum to 268.5, the mean is 38.357 within 0.05.
@pytest.mark.parametrize(
    ("value", "wrong"),
    [("38.3", False), ("38.30", True), ("38.31", False), ("38.2", True), ("38.5", True)],
)
def test_an_average_is_wrong_where_no_rounding_gives_it(value: str, wrong: bool) -> None:
    where = (1, "ewc", "average", "t2i", "7")
    assert new_places(change(*where, value)) == ({where} if wrong else set())


# Table 9, C-CLIP: 67.6 - 68.1 = -0.5, each within 0.05.
@pytest.mark.parametrize(
    ("value", "wrong"),
    [("-0.4", False), ("-0.6", False), ("-0.7", True), ("-0.3", True), ("-1", False), ("0", False),
     ("+1", True), ("-0.50", False), ("-0.61", True)],
)  # fmt: skip
def test_a_change_is_wrong_where_no_rounding_gives_it(value: str, wrong: bool) -> None:
    where = (9, "c-clip", "imagenet", "", "delta")
    assert new_places(change(*where, value)) == ({where} if wrong else set())


def test_repeats() -> None:
    """Stage 0 of one row, and an average that another table repeats."""
    stage = (12, "ewc", "domainnet", "", "0")
    assert new_places(change(*stage, "56.9")) == {stage}
    # One of the three prints of FT's average is the odd one out; with two prints, both are.
    assert new_places(change(3, "ft", "average", "i2t", "7", "38.8")) == {
        (3, "ft", "average", "i2t", "7")
    }
    assert new_places(change(5, "dar.merge-none", "average", "i2t", "7", "48.5")) == {
        (5, "dar.merge-none", "average", "i2t", "7"), (6, "dar.merge-none", "average", "i2t", "7"),
    }  # fmt: skip


def test_report(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = CliRunner().invoke(app, ["tables", "--lint"])
    assert shown.exit_code == 0
    other = CliRunner().invoke(app, ["tables", "--lint", "--results", "elsewhere"])
    assert isinstance(other.exception, BenchError), "what would be ignored is refused"
    lines = shown.output.splitlines()
    own = [line for line in lines if not line.startswith("CoDyRA ")]
    assert len(own) == len(KNOWN) + 1
    others = len(lines) - len(own)
    total = sum(len(read_paper(paper)) for paper in PAPERS)
    assert lines[-1] == f"{len(KNOWN) + others} of {total} printed numbers do not fit"
    misprint = "Table 8, Mod-X, Avg. I→T stage 7: printed 9.6, its cells give 39.54 [average: "
    assert [line for line in lines if line.startswith(misprint)]
    cells = [replace(c, erratum="") if c.value == "9.6" else c for c in read_paper()]
    monkeypatch.setattr(linting, "read_paper", lambda paper: tuple(cells))
    with pytest.raises(BenchError, match=r"none on 'Table 8, Mod-X.*no erratum") as caught:
        lint_report()
    assert caught.value.code == 5


def test_lint_and_check_are_two_calls() -> None:
    refused = CliRunner().invoke(app, ["tables", "--lint", "--check"])
    assert isinstance(refused.exception, BenchError)
