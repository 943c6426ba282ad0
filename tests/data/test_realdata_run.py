"""Every folder of ../shared/realdata, with every method, from bytes to a record; the tiny CLIP."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from benchmark.backbones.load import load
from benchmark.cli.listing import show_record
from benchmark.cli.run import run_all
from benchmark.data.tensors import PairTensors, load_split
from benchmark.errors import BenchError
from benchmark.protocol.types import Context
from benchmark.records.schema import validate
from benchmark.records.store import read_record
from benchmark.run.registry import find_method, method_names
from benchmark.run.request import Request, make_plan
from benchmark.suites.custom import read_suite

torch.set_num_threads(1)

REALDATA = Path(__file__).parents[3] / "shared" / "realdata"
WEIGHTS = Path(__file__).parents[2] / "benchmark" / "backbones" / "shipped" / "tiny-s.safetensors"
METHODS = [name for name, origin in method_names().items() if origin.startswith("methods/")]
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


def _run(request: Request) -> tuple[Request, int]:
    """All tasks, or those of one kind for a method that refuses to mix them."""
    orders = (request.order, ",".join(PAIRS), LABELLED[0])
    for order in orders:
        ask = replace(request, order=order)
        try:
            assert run_all([ask], "", "none") == 0
        except BenchError as error:
            if error.code == 2 and "kind" in str(error) and order != orders[-1]:
                continue
            raise
        return ask, len(PAIRS) + 1 if order == request.order else order.count(",") + 1
    raise AssertionError("unreachable")


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_from_bytes_to_a_record(toml: Path, cache: Path, tmp_path: Path, method: str) -> None:
    ask = Request(
        method, suite=str(toml), limit=LIMIT, epochs=1, device="cpu", output_dir=tmp_path,
        cache_dir=cache,
    )  # fmt: skip
    if "reference data" in find_method(method, []).cls.uses:
        with pytest.raises(BenchError, match="declares none; choose another --method"):
            run_all([ask], "", "none")
        return
    request, tasks = _run(ask)
    target = make_plan(request).target
    record = read_record(target)
    frame = record.frame
    validate(frame, target)
    learned = {*PAIRS, LABELLED[0]} if tasks == len(PAIRS) + 1 else {*request.order.split(",")}
    assert set(frame["eval_task"]) == learned | {*LABELLED[1:]}
    assert set(frame["status"]) == {"ok"}
    assert frame["n_steps"].iloc[0] == tasks
    assert frame["value"].between(0, 1).all()
    assert (frame["hits"] <= frame["n_queries"]).all()
    queries = frame[(frame["direction"] == "i2t") | (frame["metric"] == "acc")]
    assert set(queries["n_queries"]) == {LIMIT}
    aerial = frame[(frame["eval_task"] == "aerial") & (frame["direction"] == "t2i")]
    assert set(aerial["n_queries"]) == ({5 * LIMIT} if "aerial" in learned else set())
    trained = record.provenance["parameters"]["trainable"]
    losses = record.provenance["losses"]
    assert [len(epochs) > 0 for epochs in losses] == [count > 0 for count in trained]
    values = [v for epochs in losses for terms in epochs for v in terms.values()]
    assert np.isfinite(values).all()
    shown = show_record(target, 1)
    routed = bool((frame["metric"] == "route").any())
    assert "accuracy, rows: after each stage" in shown
    assert ("images routed" in shown) == routed
    assert routed or method != "dar"


@pytest.fixture(scope="module")
def real_lab(lab: Any, toml: Path) -> Any:
    """The lab of the other tests, with pictures and texts of three folders."""
    clip = load("tiny-s", "bundled" if WEIGHTS.is_file() else "random:0")
    tasks = {task.name: task for task in read_suite(str(toml)).tasks}

    def read(name: str, part: Any) -> Any:
        split = tasks[name].load(part)
        return load_split(split, clip.size, clip.tokenize, lab.root, ROWS if part == "test" else 14)

    real = replace(
        lab, start=clip, pairs=(read("photos", "train"), read("exercise", "train")),
        labelled=(read(LABELLED[0], "train"),), reference=read("emoji", "train"),
    )  # fmt: skip
    return real, read("exercise", "test")


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@torch.no_grad()
def test_real_images_and_texts_do_not_depend_on_their_batch(real_lab: Any, method: str) -> None:
    """Texts from a few tokens to more than the context; alone, together, and in another order."""
    lab, held_out = real_lab
    refused = find_method(method, []).cls.refuses
    with torch.enable_grad():
        run = lab.train(method, lab.labelled if "pairs" in refused else lab.pairs)
    told = Context(task=0 if "task id" in run.method.uses else None)
    for data in (lab.pairs[0], held_out):
        whole = _rows(run, data, torch.arange(len(data)), told)
        one = [_rows(run, data, torch.tensor([i]), told) for i in range(len(data))]
        mixed = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
        again = _rows(run, data, mixed, told)
        for rows, alone, other in zip(whole, zip(*one, strict=True), again, strict=True):
            assert_close(rows, torch.cat(alone), rtol=0, atol=1e-5)
            assert_close(rows[mixed], other, rtol=0, atol=1e-5)
            assert float((rows @ rows.T).fill_diagonal_(0).min()) < 0.99
    data = lab.labelled[0]
    score = run.method.classifier(run.feed.classes((data,), context=told))
    images = [run.feed.images(data, torch.tensor([i]), told) for i in range(len(data))]
    whole = score(run.feed.images(data, torch.arange(len(data)), told))
    assert_close(whole, torch.cat([score(one) for one in images]), rtol=0, atol=1e-3)
    ends = lab.start.end_of_text(held_out.tokens_ML)
    assert (int(ends.min()), int(ends.max())) < (40, 76)
    assert int(ends.max()) == 76, "no text is longer than the context: this proves less"


def _rows(run: Any, data: PairTensors, rows: Tensor, told: Context) -> tuple[Tensor, Tensor]:
    texts = run.feed.texts(data.tokens_ML, data.text_key, rows, told)
    return (
        run.method.encode_image(run.feed.images(data, rows, told)),
        run.method.encode_text(texts),
    )
