"""Every folder of ../shared/realdata from its bytes to a record and tables, with the tiny CLIP."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from benchmark.commands import run_all
from benchmark.listing import show_record
from benchmark.request import Request, make_plan
from benchmark.results import read_record, validate

torch.set_num_threads(1)

REALDATA = Path(__file__).parents[2] / "shared" / "realdata"
WEIGHTS = Path(__file__).parents[1] / "benchmark" / "weights" / "tiny-s.safetensors"
PAIRS = ("photos", "ai-art", "exercise", "aerial", "emoji", "pixel-art", "charts")
LABELLED = ("labelled-eurosat", "labelled-caltech101", "labelled-clothing", "labelled-mnist")
LIMIT = 12
ROWS = 40  # per file: a run decodes whole files, whatever its --limit

pytestmark = pytest.mark.skipif(
    not REALDATA.is_dir(), reason="no ../shared/realdata beside this checkout"
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first rows of every file; one labelled folder is a task, the others are held out."""
    folder = tmp_path_factory.mktemp("real")
    weights = "bundled" if WEIGHTS.is_file() else "random:0"
    lines = ['name = "real"', f'pretrained = "{weights}"', "[recipe]", "batch_size = 6"]
    for name in (*PAIRS, *LABELLED):
        (folder / name).mkdir()
        for part in ("train", "test"):
            table = pq.read_table(REALDATA / name / f"{part}.parquet")
            pq.write_table(table.slice(0, ROWS), folder / name / f"{part}.parquet")
        task = name not in LABELLED[1:]
        lines += ["[[task]]" if task else "[[held_out]]", f'name = "{name}"', 'id = "id"']
        lines += [f'{part} = "{name}/{part}.parquet"' for part in ("train", "test")]
        if name in PAIRS:
            lines.append('captions = "captions"')
        else:
            lines += ['label = "label"', f"classnames = '{REALDATA / name / 'classnames.txt'}'"]
    file = folder / "real.toml"
    file.write_text("\n".join(lines))
    return file


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ft", "dar"])
def test_from_bytes_to_a_record(toml: Path, cache: Path, tmp_path: Path, method: str) -> None:
    request = Request(
        method, suite=str(toml), limit=LIMIT, epochs=1, device="cpu", output_dir=tmp_path,
        cache_dir=cache,
    )  # fmt: skip
    assert run_all([request], "", "none") == 0
    target = make_plan(request).target
    record = read_record(target)
    frame = record.frame
    validate(frame, target)
    assert set(frame["eval_task"]) == {*PAIRS, *LABELLED}
    assert set(frame["status"]) == {"ok"}
    assert frame["n_steps"].iloc[0] == len(PAIRS) + 1
    queries = frame[(frame["direction"] == "i2t") | (frame["metric"] == "acc")]
    assert set(queries["n_queries"]) == {LIMIT}
    aerial = frame[(frame["eval_task"] == "aerial") & (frame["direction"] == "t2i")]
    assert set(aerial["n_queries"]) == {5 * LIMIT}
    losses = [epoch for task in record.provenance["losses"] for epoch in task]
    assert len(losses) == len(PAIRS) + 1
    shown = show_record(target, 1)
    assert "accuracy, rows: after each stage" in shown
    assert ("images routed" in shown) == (method == "dar")
