"""LaTeX without a LaTeX: what it prints, and whether its structure can compile."""

import re
from itertools import product
from pathlib import Path

import pytest
from synthetic import PAPER, PAPER_HELD_OUT, build_tables, make_rows, save, spoil

from benchmark.tables.spec import TABLES
from benchmark.tables.writers.latex import escape


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("50% of $3 & #1_a", r"50\% of \$3 \& \#1\_a"),
        ("{x}~y^2\\z", r"\{x\}\textasciitilde{}y\textasciicircum{}2\textbackslash{}z"),
        ("a<b>c|d", "a$<$b$>$c$|$d"),
        ("T→I Δ γ ± † –", r"T$\to$I $\Delta$ $\gamma$ $\pm$ $\dagger$ --"),  # noqa: RUF001
        ("`joint_x` is", r"\texttt{joint\_x} is"),
        ("Bücher", "Bücher"),
        (r"\$_{}", r"\textbackslash{}\$\_\{\}"),
    ],
)
def test_escape(text: str, wanted: str) -> None:
    assert escape(text) == wanted


# ---- Structure -----------------------------------------------------------------------------------


def balanced(text: str) -> bool:
    """Braces outside escapes open and close."""
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return False
    return depth == 0


def widths(row: str) -> int:
    """Columns that a row of a tabular fills."""
    total = 0
    for cell in re.split(r"(?<!\\)&", row):
        spans = re.findall(r"\\multicolumn\{(\d+)\}", cell)
        total += int(spans[0]) if spans else 1
    return total


def check_tabular(body: str) -> int:
    """Check one tabular's inside; returns its number of lines of data."""
    columns, _, rest = body.partition("}")
    assert set(columns) <= {"l", "r"}
    lines = rest.strip().splitlines()
    assert lines[0] == r"\toprule"
    assert lines[-1] == r"\bottomrule"
    rules = [line for line in lines if not line.endswith(r" \\")]
    assert [rule for rule in rules if not rule.startswith(r"\cmidrule")] == [
        r"\toprule", r"\midrule", r"\bottomrule",
    ]  # fmt: skip
    for rule in rules:
        for first, last in re.findall(r"\\cmidrule\(lr\)\{(\d+)-(\d+)\}", rule):
            assert 1 < int(first) <= int(last) <= len(columns)
    rows = [line.removesuffix(r"\\") for line in lines if line.endswith(r" \\")]
    assert {widths(row) for row in rows} == {len(columns)}
    data = lines[lines.index(r"\midrule") + 1 : -1]
    assert data
    # After the end of a row, a bracket would be read as its distance to the next.
    assert not any(line.startswith(("[", "*")) for line in data)
    return len(data)


def check_file(text: str) -> list[int]:
    assert balanced(text)
    for name in ("table", "tabular"):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}") > 0
    floats = text.split("\\begin{table}[htbp]\n")[1:]
    sizes = []
    for one in floats:
        assert one.rstrip().endswith(r"\end{table}")
        assert one.count(r"\caption{") == 1
        assert one.count(r"\resizebox") == (one.count("\n}\n"))
        (tabular,) = re.findall(r"\\begin\{tabular\}\{(.*?)\\end\{tabular\}", one, re.DOTALL)
        sizes.append(check_tabular(tabular))
    code = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert not re.search(r"(?<!\\)[#~^]|(?<!\\)%(?!\n)", re.sub(r"\$\^\{\d+\}\$", "", code))
    assert not re.search(r"(?<!\\)_", code)
    assert not set("→Δγ±†–") & set(code)  # noqa: RUF001
    assert len(re.findall(r"(?<!\\)\$", code)) % 2 == 0
    return sizes


HOSTILE = "100% _wild_ & {odd} #1 \\x ~^ | $5"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("latex")
    same = {"backbone": "ViT-B-16-quickgelu", "pretrained": "openai"}
    for (method, variant), seed in product((("ft", ""), ("ewc", ""), ("dar", "r8")), range(3)):
        more = {**same, "variant": variant}
        rows = make_rows("retrieval", PAPER, method, "forward", seed, PAPER_HELD_OUT, **more)
        for row in rows:
            if row["eval_task"] in ("kream", "eurosat", "coco"):
                row["eval_title"] = HOSTILE
        save(folder / "r", rows)
    odd = make_rows("my_suite", PAPER, "ewc", "reverse", 0, settings="a_b=50%")
    save(folder / "r", spoil(odd, 7, "kream", status="missing_data"), {"unofficial": [HOSTILE]})
    paths = build_tables(folder / "r", folder, folder / "board.md")
    return {path.name: path.read_text() for path in paths if path.suffix == ".tex"}


@pytest.mark.parametrize("number", [spec.number for spec in TABLES])
def test_structure(files: dict[str, str], number: int) -> None:
    assert all(size > 0 for size in check_file(files[f"table-{number}.tex"]))


def test_hostile_words_are_escaped(files: dict[str, str]) -> None:
    shown = (
        r"100\% \_wild\_ \& \{odd\} \#1 \textbackslash{}x \textasciitilde{}\textasciicircum{} "
        r"$|$ \$5"
    )
    assert f"& {shown} &" in files["table-1.tex"]
    assert f"seeds: 3, {shown}. Percent" in files["table-11.tex"]
    assert f"ewc+a\\_b=50\\%: {shown}." in files["table-8.tex"]
    assert r"ewc+a\_b=50\% $\dagger$ & " in files["table-8.tex"]
    assert r"& missing\_data &" in files["table-8.tex"]


def test_cells(files: dict[str, str]) -> None:
    line = next(x for x in files["table-3.tex"].splitlines() if x.startswith("DAR - LoRA (r=8)"))
    assert line == (
        r"DAR - LoRA (r=8) (dar.r8) [features, samples] $\ddagger$ & "
        r"47.0 $\pm$ 0.3 (0.6) [47.5$^{2}$] & "
        r"46.3 $\pm$ 0.3 (0.6) [49.3$^{2}$] \\"
    )
    assert re.search(r"\$-\$[67]\.\d", files["table-13.tex"])
    below = files["table-3.tex"].partition(r"\end{tabular}")[2].partition(r"\end{table}")[0]
    assert re.findall(r"\\footnotesize \$\^\{(\d)\}\$ (\w+):", below) == [("2", "variant")]
    assert "No records of: lora-ft, dar.rank4, dar.rank8, dar, dar.rank32." in below
    assert r"$\ddagger$ An extra row of other settings, never the best: dar.r8, beside dar" in below


def test_the_checks_can_fail(files: dict[str, str]) -> None:
    text = files["table-2.tex"]
    for before, after in (
        (" & ", " ", ), (r"\end{table}", ""), (r"\midrule", ""), ("$\\to$", "→"), ("}", ""),
    ):  # fmt: skip
        with pytest.raises((AssertionError, ValueError)):
            check_file(text.replace(before, after, 1))


def test_a_document_of_all(files: dict[str, str], tmp_path: Path) -> None:
    """No command beyond LaTeX, booktabs and graphicx."""
    known = {
        "begin", "end", "centering", "caption", "resizebox", "linewidth", "toprule", "midrule",
        "bottomrule", "cmidrule", "multicolumn", "textbf", "texttt", "par", "smallskip",
        "footnotesize", "to", "Delta", "gamma", "pm", "dagger", "ddagger", "S", "textbackslash",
        "textasciitilde", "textasciicircum",
    }  # fmt: skip
    code = "\n".join(
        line for text in files.values() for line in text.splitlines() if not line.startswith("%")
    )
    assert set(re.findall(r"\\([A-Za-z]+)", code)) == known
