"""A call survives its runs: the next one gives its own numbers, and a record tells of failures."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lanes import lanes

from benchmark.cli.run import run_all
from benchmark.errors import BenchError
from benchmark.records.evidence import evidence_file, read_evidence
from benchmark.records.store import Record, failure_of, read_record
from benchmark.run.request import Request, make_plan

ROOT = Path(__file__).parents[3]
HEAD = """
import os, random, signal, sys, tempfile
import torch
from torch import nn
from benchmark.api import BenchError, Method


class Mine(Method):
    label = "Mine"
"""
Ask = Callable[..., Request]
Plugin = Callable[[str], str]


@pytest.fixture
def ask(tmp_path: Path, cache: Path) -> Ask:
    def build(method: str, **changes: Any) -> Request:
        base: dict[str, Any] = {
            "order": "photos", "limit": 8, "epochs": 1, "batch_size": 4, "evals": "id",
            "device": "cpu",
        }  # fmt: skip
        return Request(method, **base | changes, output_dir=tmp_path / "out", cache_dir=cache)

    return build


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    def write(body: str) -> str:
        file = tmp_path / "mine.py"
        file.write_text(f"{HEAD}    {body}\n")
        return str(file)

    return write


def record_of(request: Request) -> Record:
    return read_record(make_plan(request).target)


def told(request: Request) -> BenchError:
    with pytest.raises(BenchError) as error:
        run_all([request], "", "none")
    return error.value


# ---- One failed run ----------------------------------------------------------------------------

RAISED = {
    "an exit": ("def loss(self, batch): sys.exit(0)", "loss", "SystemExit: 0"),
    "an interrupt": ("def loss(self, batch): raise KeyboardInterrupt", "loss", "Keyboard"),
    "what nothing catches": (
        "def after_step(self, step, total): raise type('Stop', (BaseException,), {})('x')",
        "after_step", "Stop: x",
    ),
    "no end of calls": (
        "def before_task(self, task): self.before_task(task)", "before_task", "Recursion",
    ),
    "no memory": ("def trainable(self): bytearray(2**62)", "trainable", "MemoryError"),
    "before it is made": (
        "def __init__(self, *a): raise ValueError('no')", "__init__", "ValueError: no",
    ),
    "in its report": ("def report(self): return {}['a']", "report", "KeyError"),
    "while it is scored": (
        "def encode_text(self, texts):\n        if not self.training: raise ValueError('mine')\n"
        "        return super().encode_text(texts)", "encode_text", "ValueError: mine",
    ),
    "an error of ours": (
        "def after_task(self, task): raise BenchError('a', 'b', 'c', code=0)", "after_task",
        "got b",
    ),
    "an error that cannot be told": (
        "def after_task(self, task):\n        class Odd(BenchError):\n"
        "            def __init__(self): pass\n            def __str__(self): raise RuntimeError\n"
        "        raise Odd", "after_task", "got Odd",
    ),
}  # fmt: skip
QUICK = ("an exit", "an error of ours")


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[pytest.mark.slow] * (c not in QUICK)) for c in RAISED]
)
def test_it_is_a_sentence_a_record_and_no_end(
    case: str, ask: Ask, plugin: Plugin, tmp_path: Path
) -> None:
    body, hook, words = RAISED[case]
    bad, good = ask(plugin(body)), ask("zs")
    with pytest.raises(BenchError, match="1 of 2 runs that failed") as error:
        run_all([bad, good], "", "none")
    assert error.value.code == 3
    assert words in str(error.value)
    assert f"in {hook} " in str(error.value)
    assert set(record_of(good).frame["status"]) == {"ok"}
    record = record_of(bad)
    failed = record.provenance["failed"]
    assert failed["hook"] == hook
    assert str(tmp_path) not in failed["error"]
    frame = record.frame
    assert set(frame.loc[frame["step"] == 1, "status"]) == {"failed"}
    assert set(frame.loc[frame["step"] == 1, "error"]) == {failed["error"]}
    reached = hook != "__init__"
    assert (set(frame.loc[frame["step"] == 0, "status"]) == {"ok"}) == reached
    evidence = read_evidence(evidence_file(record.path), record.provenance["evidence"])
    assert {step for _, _, step in evidence.answers} == ({0} if reached else set())
    if "whole traceback is in" in str(error.value):
        (kept,) = (tmp_path / "out" / "scratch" / "failed").glob("mine*.txt")
        assert "Traceback (most recent call last)" in kept.read_text()


def test_a_run_that_diverged_leaves_a_record_and_is_tried_again(
    ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    request = ask("ft", hp=("lr=1e30",))
    assert "a finite loss" in str(told(request))
    failed = record_of(request).provenance["failed"]
    assert (failed["task"], failed["hook"]) == ("photos", "loss")
    assert "a finite loss" in failed["error"]
    with pytest.raises(BenchError, match="a finite loss"):
        run_all([request], "", "plain")
    assert "an earlier try has failed, so it is run again" in capsys.readouterr().out


def test_a_finished_record_stays_where_another_try_fails(ask: Ask, plugin: Plugin) -> None:
    request = ask(plugin("def trainable(self): return []"))
    assert run_all([request], "", "none") == 0
    finished = make_plan(request).target.read_bytes()
    plugin("def trainable(self): raise ValueError")
    told(request)
    assert make_plan(request).target.read_bytes() == finished


def test_a_failed_record_is_replaced_by_the_next_try(ask: Ask, plugin: Plugin) -> None:
    request = ask(plugin("def trainable(self): raise ValueError"))
    told(request)
    assert failure_of(make_plan(request).target) is not None
    plugin("def trainable(self): return []")
    assert run_all([request], "", "none") == 0
    assert failure_of(make_plan(request).target) is None
    assert set(record_of(request).frame["status"]) == {"ok"}


@pytest.mark.parametrize("body", ["sys.exit(0)", "raise KeyboardInterrupt", "raise GeneratorExit"])
def test_a_file_that_ends_the_import(body: str, ask: Ask, plugin: Plugin) -> None:
    error = told(ask(plugin(body)))
    assert error.code == 2
    assert "a method file that imports" in str(error)
    assert "the whole traceback is in" in str(error)


# ---- The process is as it was ------------------------------------------------------------------

FAULTS = {
    "torch's default dtype": "torch.set_default_dtype(torch.float64)",
    "torch's number of threads": "torch.set_num_threads(torch.get_num_threads() + 1)",
    "deterministic": "torch.use_deterministic_algorithms(True)",
    "hooks on all modules": "nn.modules.module.register_module_forward_hook(lambda *a: None)",
    "functions of torch": "import benchmark.run.evaluate as e; e.hits = lambda r, k: len(r)",
    "Frozen": "from benchmark.protocol.method import Frozen; Frozen.encode_image = None",
}
PUT_BACK = {
    "the current folder": "os.chdir('/')",
    "folder": "os.chdir(tempfile.mkdtemp()); os.rmdir(os.getcwd())",
    "environment variables": "os.environ.clear()",
    "signal handlers": "signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
    "timers": "signal.signal(signal.SIGALRM, lambda *a: os._exit(9)); signal.alarm(600)",
    "standard streams": "sys.stdout = None",
    "the recursion limit": "sys.setrecursionlimit(500)",
    "the mask of new files": "os.umask(0o077)",
    "places of imports": "sys.path.insert(0, '/nowhere')",
}


def surroundings() -> list[Any]:
    return [
        torch.get_default_dtype(), torch.get_num_threads(), Path.cwd(), dict(os.environ),
        torch.are_deterministic_algorithms_enabled(), signal.getsignal(signal.SIGUSR1),
        signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL), sys.stdout,
        sys.getrecursionlimit(), list(sys.path),
        dict(torch.nn.modules.module._global_forward_hooks),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", FAULTS)
def test_what_numbers_depend_on_is_a_fault_and_put_back(
    what: str, ask: Ask, plugin: Plugin
) -> None:
    clean = ask("zs")
    run_all([clean], "", "none")
    wanted = record_of(clean).frame["value"].tolist()
    before = surroundings()
    assert what in str(told(ask(plugin(f"def after_task(self, task):\n        {FAULTS[what]}"))))
    assert surroundings() == before
    run_all([ask("zs", overwrite=True)], "", "none")
    assert record_of(clean).frame["value"].tolist() == wanted


@pytest.mark.slow
@pytest.mark.parametrize("what", PUT_BACK)
def test_what_a_call_depends_on_is_put_back_and_said(
    what: str, ask: Ask, plugin: Plugin, capsys: pytest.CaptureFixture[str]
) -> None:
    before = surroundings()
    request = ask(plugin(f"def after_task(self, task):\n        {PUT_BACK[what]}"))
    assert run_all([request], "", "plain") == 0
    assert surroundings() == before
    (said,) = (x for x in capsys.readouterr().out.splitlines() if "of the method has changed" in x)
    assert what in said
    assert said.endswith("it is put back")
    assert record_of(request).path.is_file()


@pytest.mark.slow
def test_honest_methods_change_nothing(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    requests = [ask(name) for name in ("zs", "ft", "dar", "ewc", "lora-ft", "l2p")]
    assert run_all(requests, "", "plain") == 0
    assert "of the method has changed" not in capsys.readouterr().out


# ---- Real streams ------------------------------------------------------------------------------

SHELL = {
    "full": "> /dev/full",
    "closed": ">&-",
    "gone": "| head -c 1 > /dev/null; exit ${PIPESTATUS[0]}",
    "ascii": "> /dev/null",
    "closed by a method": "> /dev/null",
}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("how", SHELL)
def test_no_state_of_standard_output_costs_a_run(
    how: str, plugin: Plugin, tmp_path: Path, cache: Path
) -> None:
    acts = "sys.stdout.close(); os.close(1)" if how == "closed by a method" else "pass"
    mine, out = plugin(f"def before_task(self, task):\n        {acts}"), tmp_path / "out"
    command = (
        f"{sys.executable} -m benchmark run -m {mine} -m zs --order photos --limit 8 --epochs 1 "
        f"--evals id --cache-dir {cache} --output-dir {out} {SHELL[how]}"
    )
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, timeout=300, check=False, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert len(list(out.rglob("*.parquet"))) == 2


# ---- What only looks like a request's mistake ----------------------------------------------------

MISTAKES = {
    "no method": "",
    "two methods": HEAD + "    pass\n\n\nclass Other(Method):\n    label = 'O'\n",
    "no label": HEAD.replace('label = "Mine"', "pass"),
    "a default of another type": (
        "from dataclasses import dataclass\nfrom benchmark.api import Config, Method\n\n\n"
        "@dataclass(frozen=True)\nclass Its(Config):\n    rank: int = 'a'\n\n\n"
        "class Mine(Method[Its]):\n    label = 'Mine'\n"
    ),
    "a refusal at its import": (
        "from benchmark.api import BenchError\nraise BenchError('a', 'b', 'c')\n"
    ),
    "threads at its import": "torch.set_num_threads(3)\n".join(HEAD.split("\n\n\n", 1)),
}


@pytest.mark.parametrize(
    "case", lanes(MISTAKES, ["no method", "a refusal at its import", "threads at its import"])
)
def test_a_file_that_is_no_method_ends_one_run_alone(case: str, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(MISTAKES[case])
    bad, good = ask(str(tmp_path / "bad.py")), ask("zs")
    with pytest.raises(BenchError, match="1 of 2 runs that failed"):
        run_all([bad, good], "", "none")
    assert failure_of(make_plan(good).target) is None
    assert not list((tmp_path / "out").rglob("bad--*.parquet"))


@pytest.mark.parametrize("hook", ["before_task", "after_task"])
def test_an_optimiser_of_a_hook_over_the_backbone_is_refused(
    hook: str, ask: Ask, plugin: Plugin
) -> None:
    """Its steps would train what the record says is not trained."""
    body = f"""
    def trainable(self): return []

    def {hook}(self, task):
        weights = [w.requires_grad_() for w in self.clip.weights()]
        optimizer = torch.optim.SGD(weights, lr=0.1)
        with torch.enable_grad():
            sum((w * w).sum() for w in weights).backward()
        optimizer.step()
"""
    error = told(ask(plugin(body)))
    assert "a step of SGD over its parameters" in str(error)
    assert hook in str(error)


def test_an_operation_of_a_tensor_that_was_inherited_is_put_back(ask: Ask, plugin: Plugin) -> None:
    body = """
    def trainable(self): return []

    def before_task(self, task):
        torch.Tensor.__matmul__ = lambda a, b: a.new_zeros(len(a), b.shape[1])
"""
    error = told(ask(plugin(body)))
    assert "__matmul__" in str(error)
    assert "__matmul__" not in vars(torch.Tensor)
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).sum() == 8
