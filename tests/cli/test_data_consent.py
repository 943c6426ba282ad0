"""What a preparation costs, and whether it may begin: numbers and sentences, without a terminal."""

from dataclasses import replace
from pathlib import Path

import pytest
from preparing import hub_source

from benchmark.cli.data.consent import Cost, SetCost, agreed, check_room, cost_of, described
from benchmark.cli.display import Display
from benchmark.data.catalog import declaration
from benchmark.data.published.preparation.plan import Job, Planned
from benchmark.errors import BenchError
from benchmark.hub.client import RemoteFile
from benchmark.hub.lock import Entry

GB = 10**9
SET = SetCost(declaration("kream"), 3 * GB, 2 * GB, 1000, 0, GB)


class Said(Display):
    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def _planned(root: Path, keep_raw: bool = False) -> Planned:
    declared = declaration("kream")
    files = tuple(RemoteFile(f"{i}.parquet", (i + 1) * 100, None) for i in range(3))
    job = Job(declared, declared.source, 10, root, keep_raw=keep_raw)
    entry = Entry(hub_source("kream").repo, "main", rows={"train": 40})
    return Planned(job, "0" * 40, files, root / "store", entry)


def test_the_cost_is_what_is_left(tmp_path: Path) -> None:
    cost = cost_of([_planned(tmp_path)], {"model/tag": 5})
    assert (cost.download, cost.keep, cost.peak) == (100 + 200 + 300 + 5, 40 * 10 * 10 * 3, 600)
    kept = cost_of([_planned(tmp_path, keep_raw=True)], {})
    assert (kept.download, kept.keep) == (600, 40 * 300 + 600)
    assert cost_of([], {}).peak == 0


def test_what_is_said_before_anything_is_fetched() -> None:
    cost = Cost((SET,), {"ViT-B-16/openai": GB // 2})
    table, total, *notes = described(cost, Path("cache"), 70 * GB)
    assert [line.split()[:3] for line in table.splitlines()[2:3]] == [["kream", "3", "2"]]
    assert "weights, in the hub's own cache" in table
    assert total == (
        "in all 3.5 GB to download, 2 GB to keep in cache; 70.0 GB are free"
    )  # fmt: skip
    assert notes == [f"  kream: {note}" for note in SET.declared.notes]


def test_room_is_for_what_stays_and_for_two_files_on_the_way() -> None:
    cost = Cost((SET, replace(SET, raw=GB)), {"m/t": 100 * GB})
    assert cost.keep + cost.peak == 7 * GB
    check_room(cost, Path("cache"), 7 * GB)
    with pytest.raises(BenchError, match=r"7\.0 GB free in cache") as error:
        check_room(cost, Path("cache"), 7 * GB - 1)
    assert error.value.code == 6


def test_yes_agrees_and_nobody_to_ask_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, cost = Said(), Cost((), {"m/t": 1})
    assert agreed(cost, tmp_path / "not" / "there", yes=True, display=said)
    assert len(said.lines) == 2
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with pytest.raises(BenchError, match="--yes, or somebody to ask"):
        agreed(cost, tmp_path, yes=False, display=said)
