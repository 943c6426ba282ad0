"""What the documents name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [p for p in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")) if p.name != "CHANGELOG.md"]
ROOMS = {p.name for p in (ROOT / "benchmark").iterdir() if p.is_dir()}


def missing(page: Path) -> list[str]:
    """Files and folders that a page names in backticks or links to, and that are not there."""
    text = page.read_text()
    found = []
    for name in re.findall(r"`([\w./-]+/[\w./-]*)`", text):
        if "my_" in name:  # of the reader
            continue
        parts = name.split("/")
        if parts[0] in {"benchmark", "methods", "tests", "docs", "scripts", "examples"}:
            found += [name] * (not (ROOT / name).exists())
        elif parts[0] in ROOMS:
            found += [name] * (not (ROOT / "benchmark" / name).exists())
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        found += [link] * (not (page.parent / link).exists())
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    assert missing(page) == []


def test_a_name_that_is_not_there_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("See `run/runner.py`, `run/runer.py`, `methods/dar.py` and [this](that.md).")
    assert missing(page) == ["run/runer.py", "that.md"]
