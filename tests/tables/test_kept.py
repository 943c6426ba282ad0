"""What is known from an earlier call is what would be made, and it is known by content alone."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from forger import HONEST, copied, honest, more_right
from synthetic import FEW, SHAPES, make_rows, save

from benchmark.common.index import NO_INDEX, Index, open_index
from benchmark.errors import BenchError
from benchmark.records import store
from benchmark.records.evidence import evidence_file
from benchmark.tables import kept, render
from benchmark.tables.figures import draw as drawing
from benchmark.tables.render import Freshness
from benchmark.tables.writers.markdown import MARK
from benchmark.validation import inspect as inspection
from benchmark.validation.ledger import Ledger, parsed_ledger

FT, FT43, ZS = "ft--forward--s42", "ft--forward--s43", "zs--forward--s42"
ROOT = Path(__file__).parents[2]


class Place:
    """A folder of records, what is made from it, and how often."""

    def __init__(self, folder: Path, counts: Counter[str]) -> None:
        self.results, self.out, self.board = folder / "r", folder / "t", folder / "b.md"
        self.index, self.counts = open_index(folder / "cache"), counts

    def make(self, index: Index | None = None) -> dict[str, bytes]:
        """Name -> content of all files, made anew where that is needed."""
        self.counts.clear()
        files = render.build_tables(
            self.results, self.out, self.board, index=self.index if index is None else index
        )
        there = {*self.out.iterdir(), self.board}
        assert there == set(files)
        return {path.name: path.read_bytes() for path in files}

    def check(self) -> Freshness:
        self.counts.clear()
        return render.check_tables(self.results, self.out, self.board, index=self.index)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Honest records, their ledger, and counters of what costs time."""
    known = parsed_ledger((HONEST / "code.json").read_text())
    monkeypatch.setattr(inspection, "read_ledger", lambda: known)
    monkeypatch.setattr(kept, "code_sha", lambda *_: "this code")
    counts = Counter[str]()
    for module, name in ((store, "read_record"), (drawing, "draw")):
        counted(monkeypatch, module, name, counts)
    found = Place(tmp_path, counts)
    copied(found.results, FT, FT43, ZS)
    return found


def counted(
    monkeypatch: pytest.MonkeyPatch, module: object, name: str, counts: Counter[str]
) -> None:
    """Count the calls of a function."""
    real = getattr(module, name)

    def call(*given: object) -> object:
        counts[name] += 1
        return real(*given)

    monkeypatch.setattr(module, name, call)


def test_nothing_is_read_when_nothing_changed(place: Place) -> None:
    made = place.make()
    assert place.counts["read_record"] == 3
    assert place.check() == Freshness([], [])
    assert place.make() == made
    assert place.counts["read_record"] == 0
    assert place.make(NO_INDEX) == made
    assert place.counts["read_record"] == 3


def test_what_is_there_is_not_written_again(place: Place) -> None:
    place.make()
    os.utime(place.board, (1, 1))
    place.make()
    assert place.board.stat().st_mtime == 1


def test_forged_and_honest_records_give_the_same_files_with_an_index_and_without(
    place: Place,
) -> None:
    for number, name in enumerate(("sota", "lwf", "ft")):
        forged = honest(FT)
        forged.named(name, "better" if name == "ft" else "")
        forged.answer(more_right(0.2, number))
        forged.count()
        forged.identify()
        forged.write(place.results)
        made = place.make()
        assert place.counts["read_record"] == 4 + number
        assert place.make() == made
        assert place.counts["read_record"] == 0
        assert place.make(NO_INDEX) == made


def test_a_changed_record_is_noticed_whatever_its_size_and_time(place: Place) -> None:
    place.make()
    path = next((place.results / "mini-xtail").glob("zs--*.parquet"))
    about, whole = path.stat(), path.read_bytes()
    path.write_bytes(whole[:200] + bytes([whole[200] ^ 255]) + whole[201:])
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    with pytest.raises(BenchError, match="zs--"):
        place.check()
    path.write_bytes(whole)
    assert place.check() == Freshness([], [])
    assert place.counts["read_record"] == 0


def test_changed_evidence_and_a_removed_record_are_noticed(place: Place) -> None:
    place.make()
    evidence = evidence_file(next((place.results / "mini-xtail").glob("zs--*.parquet")))
    whole = bytearray(evidence.read_bytes())
    whole[100] ^= 255
    evidence.write_bytes(whole)
    assert place.check().stale != []
    assert place.counts["read_record"] == 3
    place.make()
    copied(place.results, ZS)
    next((place.results / "mini-xtail").glob("ft--*s43.parquet")).unlink()
    assert place.board in place.check().stale
    assert place.counts["read_record"] == 2


def test_stale_files_are_told_without_reading_a_record(place: Place) -> None:
    place.make()
    for change in ("other", "gone"):
        whole, about = place.board.read_bytes(), place.board.stat()
        if change == "gone":
            place.board.unlink()
        else:
            place.board.write_bytes(whole.replace(b"a", b"b", 1))
            os.utime(place.board, ns=(about.st_atime_ns, about.st_mtime_ns))
        assert place.check() == Freshness([place.board], [])
        assert place.counts["read_record"] == 0
        place.make()
        assert place.board.read_bytes() == whole


def test_figures_left_over_are_told_and_removed_all_the_same(place: Place) -> None:
    place.make()
    old = place.out / "figure-1-gone.svg"
    old.write_text(MARK)
    assert place.check() == Freshness([old], [])
    place.make()
    assert not old.exists()
    assert place.counts["read_record"] == 0


def test_other_code_makes_everything_anew(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.make()
    monkeypatch.setattr(kept, "code_sha", lambda *_: "other code")
    place.make()
    assert place.counts["read_record"] == 3
    monkeypatch.setattr(kept, "code_sha", lambda *_: None)  # written while the program runs
    for _ in range(2):
        place.make()
        assert place.counts["read_record"] == 3


def test_other_libraries_make_everything_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.make()
    monkeypatch.setattr(kept, "software", lambda *_: "others")
    place.make()
    assert place.counts["read_record"] == 3


def test_git_counts_where_the_ledger_lacks_a_commit(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "read_ledger", Ledger)
    state = ["one"]
    monkeypatch.setattr(kept, "_git_state", lambda: state[0])
    place.make()
    place.make()
    assert place.counts["read_record"] == 0
    state[0] = "two"
    place.make()
    assert place.counts["read_record"] == 3


def test_git_counts_for_nothing_where_the_ledger_has_every_commit(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.make()
    monkeypatch.setattr(kept, "_git_state", lambda: "another")
    place.make()
    assert place.counts["read_record"] == 0


def test_an_entry_that_was_changed_is_not_believed(place: Place) -> None:
    made = place.make()
    assert place.index.folder is not None
    (entry,) = (place.index.folder / kept.KIND).iterdir()
    said = json.loads(entry.read_text())
    said["files"][str(place.board)] = [kept.trace_of(b"forged").sha256, None]
    entry.write_text(json.dumps(said))
    place.board.write_bytes(b"forged")
    assert place.check() == Freshness([place.board], [])
    assert place.counts["read_record"] == 3
    assert place.make() == made


def test_what_changes_meanwhile_is_not_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    real = inspection.standings_and_source

    def slow(*given: object) -> object:
        (place.results / "mini-xtail" / "overlap.json").write_text("{")
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(render, "read_overlaps", lambda _: {})
    monkeypatch.setattr(kept, "standings_and_source", slow)
    place.make()
    (place.results / "mini-xtail" / "overlap.json").unlink()
    place.check()
    assert place.counts["read_record"] == 3


def test_another_word_on_the_records_is_asked_each_time(place: Place) -> None:
    """The index knows nothing of who says how far records are verified."""
    place.make()
    for _ in range(2):
        place.counts.clear()
        render.check_tables(place.results, place.out, place.board, lambda _: {}, index=place.index)
        assert place.counts["read_record"] == 3


@pytest.mark.slow
def test_a_picture_is_drawn_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark.tables.figures import drawn

    monkeypatch.setattr(drawn, "code_sha", lambda *_: "this code")
    for seed in (0, 1):
        save(place.results, make_rows("shapes", SHAPES, "ft", "forward", seed, {"coco": "pairs"}))
    monkeypatch.setattr(kept, "standings_and_source", lambda *_: ({}, False))
    made = place.make()
    assert place.counts["draw"] == 1
    assert {"figure-1-shapes.pdf", "figure-1-shapes.svg", "figure-1-shapes.png"} <= made.keys()
    save(place.results, make_rows("few", FEW, "ft", "forward", 0))
    more = place.make()
    assert (place.counts["read_record"], place.counts["draw"]) == (6, 0)
    assert {k: v for k, v in more.items() if k.startswith("figure")} == {
        k: v for k, v in made.items() if k.startswith("figure")
    }
    monkeypatch.setattr(drawn, "software", lambda *_: "another matplotlib")
    place.make(open_index(place.index.folder))  # an empty one
    assert place.counts["draw"] == 1


@pytest.mark.slow
def test_a_second_call_imports_neither_pandas_nor_matplotlib(tmp_path: Path) -> None:
    """Nor torch; and with a cache that cannot be written all goes well, too."""
    copied(tmp_path / "r", FT)
    (tmp_path / "file").write_text("no folder")
    code = (
        "import sys\nfrom benchmark.cli.main import app\n"
        "try: app(sys.argv[1:])\nexcept SystemExit as end: assert not end.code, end\n"
        "heavy = {'pandas', 'matplotlib', 'torch'} & set(sys.modules)\n"
        "sys.stdout.write(f'imported {sorted(heavy)}')"
    )
    words = ["tables", "--results", "r", "--out", "t", "--leaderboard", "b.md", "--cache-dir"]
    for folder, more in (("cache", []), ("cache", ["--check"]), ("file", ["--check"])):
        done = subprocess.run(
            [sys.executable, "-c", code, *words, folder, *more], cwd=tmp_path, text=True,
            capture_output=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.stdout.splitlines()[-1] == "imported []"


def test_a_trace_is_of_all_bytes() -> None:
    rng = np.random.default_rng(0)
    content = rng.bytes(100)
    assert kept.trace_of(content) == kept.trace_of(bytes(content))
    assert kept.trace_of(content) != kept.trace_of(content[:-1])
    assert kept.trace_of(content).imprint is None
