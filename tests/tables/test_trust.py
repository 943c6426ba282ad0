"""What is ranked: nothing unvalidated, whoever writes it; and what is printed of it."""

import re
from itertools import product
from pathlib import Path

import pytest
from forger import HONEST, copied, honest
from synthetic import SHAPES, build, make_rows, save, trusting

from benchmark.cli.listing import show_record
from benchmark.records.store import Record, read_records
from benchmark.tables.groups import judge
from benchmark.tables.render import build_tables
from benchmark.tables.writers.latex import escape
from benchmark.tables.writers.markdown import cell
from benchmark.validation import inspect as inspection
from benchmark.validation.findings import Finding, Standing
from benchmark.validation.inspect import standings
from benchmark.validation.ledger import parsed_ledger

FT, FT43, ZS = "ft--forward--s42", "ft--forward--s43", "zs--forward--s42"


@pytest.fixture(autouse=True)
def ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the honest records."""
    known = parsed_ledger((HONEST / "code.json").read_text())
    monkeypatch.setattr(inspection, "read_ledger", lambda: known)


def board(results: Path) -> tuple[str, str]:
    """Ranked lines, and the others."""
    build_tables(results, results.parent / "tables", results.parent / "board.md")
    text = (results.parent / "board.md").read_text().partition("## Legend")[0]
    ranked, _, others = text.partition("Not ranked:")
    return ranked, others


def test_a_made_up_method_is_below_the_line_with_its_reason(tmp_path: Path) -> None:
    results = tmp_path / "results"
    copied(results, FT, FT43, ZS)
    for seed, order in product((42, 43, 44), ("forward", "ii")):
        forged = honest("ft--ii--s42" if order == "ii" else FT)
        forged.named("sota")
        forged.set(seed=seed)
        forged.identify()
        forged.write(results)
    ranked, others = board(results)
    assert "sota" not in ranked
    (line,) = (line for line in others.splitlines() if line.startswith("| sota"))
    assert "V05 method" in line
    assert "| evidence " in next(line for line in others.splitlines() if line.startswith("| ft"))


def test_a_forgery_stops_no_table_and_changes_no_other_line(tmp_path: Path) -> None:
    """Data, recipe and weights of its own would contradict all others, were it believed."""
    results = tmp_path / "results"
    copied(results, FT, FT43, ZS)
    before = board(results)[1].splitlines()
    for number, method in enumerate(("lwf", "lora")):
        forged = honest(FT)
        forged.named(method)
        forged.about["weights"]["sha256"] = str(number) * 64
        forged.about["data"]["train"]["digits"] = str(number) * 64
        forged.about["asked"]["recipe"]["lr"] = number
        for row in forged.at(eval_task="digits"):
            row["eval_title"] = f"<b>{number}</b>"
        forged.identify()
        forged.write(results)
    ranked, others = board(results)
    names = ("| ft", "| zs")
    kept = [[re.sub(r"[ -]+", " ", x) for x in text if x.startswith(names)]
            for text in (before, others.splitlines())]  # fmt: skip
    assert [[line.split("|")[1:9] for line in x] for x in zip(*kept, strict=True)] == [
        [line.split("|")[1:9]] * 2 for line in kept[0]
    ]
    assert len(kept[0]) == 2
    every = [p.read_text() for p in (tmp_path / "tables").glob("*.md")]
    assert not any("<b>" in text for text in (*every, ranked, others))


def test_no_evidence_no_rank(tmp_path: Path) -> None:
    for order, seed in product(("forward", "reverse"), range(3)):
        save(tmp_path / "r", make_rows("shapes", SHAPES, "ft", order, seed))
    ranked = build(tmp_path / "r", tmp_path / "one")["leaderboard.md"].partition("Not ranked")
    assert "| ft" in ranked[0]

    def nobody(records: list[Record]) -> dict[Path, Standing]:
        return {record.path: Standing("self") for record in records}

    build_tables(tmp_path / "r", tmp_path / "t", tmp_path / "board.md", nobody)  # type: ignore[arg-type]
    before, _, after = (tmp_path / "board.md").read_text().partition("Not ranked")
    assert "| ft" not in before
    assert "no evidence: below the line until it is made again" in after


def test_the_least_verified_run_of_a_line_counts(tmp_path: Path) -> None:
    paths = [save(tmp_path, make_rows("shapes", SHAPES, "ft", "forward", seed)) for seed in (0, 1)]
    records = read_records(tmp_path)
    told = {**trusting(records), paths[0]: Standing("replayed")}
    assert {one.tier for one in judge(records, told)} == {"evidence", "replayed"}
    wrong = Finding("V04", "error", paths[1], "", "a", "b", "c")
    told[paths[1]] = Standing("evidence", (wrong, wrong))
    found = {one.record.path: one for one in judge(records, told)}
    assert found[paths[1]].why == "V04 code"
    assert found[paths[0]].why == ""


def test_an_honest_record_stands_by_its_evidence(tmp_path: Path) -> None:
    copied(tmp_path, FT, ZS)
    assert {one.tier for one in standings(read_records(tmp_path)).values()} == {"evidence"}
    for path in tmp_path.glob("*/*.evidence"):
        path.unlink()
    assert {one.tier for one in standings(read_records(tmp_path)).values()} == {"self"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a | b", "a \\| b"),
        ("<script>", "&lt;script&gt;"),
        ("[x](https://e.org)", "[x]\\(https:&#47;&#47;e.org)"),
        ("WWW.e.org", "www&#46;e.org"),
        ("**bold**", "\\*\\*bold\\*\\*"),
        ("a\n# b", "a\\n# b"),
        ("\x1b[31m\u202e", "\\x1b[31m\\u202e"),
        ("dar [task id] 53.8 ± 0.3, T→I", "dar [task id] 53.8 ± 0.3, T→I"),
    ],
)
def test_markdown_shows_any_text_and_no_more(text: str, shown: str) -> None:
    assert cell(text) == shown


def test_latex_and_the_terminal_show_control_characters(tmp_path: Path) -> None:
    assert "\n" not in escape("a\n\\input{x}")
    forged = honest(FT)
    for row in forged.at(eval_task="digits"):
        row["eval_title"] = "\x1b[2JDigits\r"
    forged.about["unofficial"] = ["\x07 bell"]
    text = show_record(forged.write(tmp_path), 1)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    assert "\\x1b[2JDigits" in text


def test_a_spreadsheet_reads_no_formula(tmp_path: Path) -> None:
    save(tmp_path / "r", make_rows("shapes", SHAPES, "ft", "forward", 0, pretrained="=cmd()"))
    text = build(tmp_path / "r", tmp_path / "o")["table-1.csv"]
    assert "'=cmd()" in text
    assert not re.search(r"(^|,)[=@]", text, re.MULTILINE)
