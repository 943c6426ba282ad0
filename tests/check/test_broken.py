"""Methods that are broken on purpose: each is found by the check that is named for it, alone."""

import re
from pathlib import Path
from typing import Any

import pytest

from benchmark.check.contract import Subject, walk
from benchmark.check.outcome import Outcome
from benchmark.check.promises import whole
from benchmark.check.promises.every import CHECKS
from benchmark.run.registry import find_method

HEAD = '''"""A method."""

{imports}

import torch
from torch import Tensor, nn

from benchmark.api import Backbone, Batch, Classes, Config, Images, LoRA, Method, ParamGroup
from benchmark.api import Task, Texts, Tools, flat, unit

{before}


class Mine(Method{config}):
    label = "Mine"
    paper = "Nobody, 2026"

{body}
'''
ROWS = """
def encode_image(self, images: Images) -> Tensor:
    x = self.clip.image(images.pixels_B3HW)
    return {0}

def encode_text(self, texts: Texts) -> Tensor:
    x = self.clip.text(texts.tokens_ML)
    return {0}
"""
AFTER = """
def after_task(self, task: Task) -> None:
    {0}
"""
# What it does -> (the check that finds it, words of what it says, the code).
BROKEN: dict[str, tuple[str, str, dict[str, str]]] = {
    "centres rows over the test batch": (
        "batch-invariance", "one at a time deviate by up to",
        {"body": ROWS.format("unit(x - x.mean(dim=0) if len(x) > 1 else x)")},
    ),
    "is normalised by what else is there": (
        "batch-invariance", "deviate",
        {"body": ROWS.format("unit(x + 1e-3 * x.amax(dim=0))")},
    ),
    "draws from torch's generator at test": (
        "no-global-generator", "generator of torch",
        {"body": ROWS.format("unit(x + 1e-3 * torch.randn_like(x))")},
    ),
    "draws from Python's generator at test": (
        "no-global-generator", "generator of random",
        {"imports": "import random", "body": ROWS.format("unit(x + 1e-9 * random.random())")},
    ),
    "keeps the pixels of a task": (
        "keeps-no-pixels", "batches of pixels are alive",
        {"body": """
def loss(self, batch: Batch) -> dict[str, Tensor]:
    self.seen = [*getattr(self, "seen", []), batch.images]
    return super().loss(batch)
"""},
    ),
    "imports pickle": ("imports", ":3: `pickle`, which is for p", {"imports": "import pickle"}),
    "imports a library": ("imports", "`numpy`", {"imports": "import numpy"}),
    "imports the harness": (
        "imports", "`benchmark.run.runner`", {"imports": "from benchmark.run.runner import Run"},
    ),
    "walks over all objects": (
        "imports", "`gc`, which is for other objects", {"imports": "import gc"},
    ),
    "saves with torch": (
        "calls", "`torch.save`", {"body": AFTER.format("if task.index > 9: torch.save({}, 'x')")},
    ),
    "opens a file": (
        "calls", "`open(...)`", {"body": AFTER.format("if task.index > 9: open('x')")},
    ),
    "reads another function's variables": (
        "calls", "_getframe",
        {"imports": "import sys", "body": AFTER.format("if task.index > 9: sys._getframe(1)")},
    ),
    "lists a folder behind another module's back": (
        "asks-nothing-of-the-system", "lists the folder",
        {"imports": "import random", "body": AFTER.format("random._os.listdir('/')")},
    ),
    "changes logit_scale": (
        "logit-scale", "exp(logit_scale) of",
        {"body": AFTER.format("self.clip.logit_scale.add_(0.1)")},
    ),
    "trains logit_scale": (
        "logit-scale", "exp(logit_scale) of",
        {"body": """
def trainable(self) -> list[ParamGroup]:
    return [ParamGroup(list(self.clip.parameters()))]
"""},
    ),
    "has a setting that nothing reads": (
        "settings-are-read", "reads 'strength'",
        {"config": "[MineConfig]", "before": """
from dataclasses import dataclass

@dataclass(frozen=True)
class MineConfig(Config):
    strength: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.strength > 0
"""},
    ),
    "trains what it does not name": (
        "only-trainable-moves", "is not trainable",
        {"body": """
def trainable(self) -> list[ParamGroup]:
    return [ParamGroup(self.clip.weights()[:4])]

def after_step(self, step: int, total: int) -> None:
    self.clip.weights()[-1].add_(0.01)
"""},
    ),
    "reads another task's data": (
        "other-tasks-are-not-read", "a loss of",
        {"before": "OLD = []", "body": """
def before_task(self, task: Task) -> None:
    if task.index == 0:
        OLD.clear()
    OLD.append(task.loader.sets[0])

def loss(self, batch: Batch) -> dict[str, Tensor]:
    mean = float(OLD[-2].pixels[:].mean()) if len(OLD) > 1 else 0.0
    return {k: v * (1 + mean) for k, v in super().loss(batch).items()}
"""},
    ),
    "opens a lease again": (
        "leases-end", "of task 1 still gives batches",
        {"body": """
def before_task(self, task: Task) -> None:
    if task.index:
        self.old.leases[0].closed = False
    self.old = task.loader
"""},
    ),
    "gives rows of any length": (
        "rows-have-length-1", "lengths of images from", {"body": ROWS.format("3 * x")},
    ),
    "gives float64": (
        "rows-are-float32", "torch.float64", {"body": ROWS.format("x.double()")},
    ),
    "loses what predictions need": (
        "state-comes-back", "rows that differ",
        {"body": AFTER.format("self.turn = 1.0 + task.index") + ROWS.format(
            "unit(x + getattr(self, 'turn', 0.0) * x.roll(1, dims=1))"
        )},
    ),
    "loses what training needs": (
        "resumes-between-tasks", "losses of",
        {"body": AFTER.format("self.known = 1 + getattr(self, 'known', 0)") + """
def loss(self, batch: Batch) -> dict[str, Tensor]:
    return {k: v / (1 + getattr(self, "known", 0)) for k, v in super().loss(batch).items()}
"""},
    ),
    "counts steps where no step is saved": (
        "resumes-inside-a-task", "losses of",
        {"body": """
def before_task(self, task: Task) -> None:
    self.count = 0

def after_step(self, step: int, total: int) -> None:
    self.count += 1

def loss(self, batch: Batch) -> dict[str, Tensor]:
    return {k: v / (1 + self.count) for k, v in super().loss(batch).items()}
"""},
    ),
    "counts its calls out of sight": (
        "repeatable", "rows of images that differ",
        {"imports": "import itertools", "before": "CALLS = itertools.count()",
         "body": ROWS.format("unit(x + 1e-4 * next(CALLS) * x.roll(1, dims=1))")},
    ),
    "counts its calls": (
        "evaluation-leaves-no-trace", "`calls`",
        {"body": """
def encode_image(self, images: Images) -> Tensor:
    self.calls = 1 + getattr(self, "calls", 0)
    return super().encode_image(images)
"""},
    ),
    "learns at test": (
        "evaluation-leaves-no-trace", "`mean_D`",
        {"body": """
def __init__(self, clip: Backbone, config: Config, tools: Tools) -> None:
    super().__init__(clip, config, tools)
    self.mean_D: Tensor = nn.Buffer(torch.zeros(clip.dim), persistent=False)

def encode_image(self, images: Images) -> Tensor:
    row_BD = super().encode_image(images)
    self.mean_D = self.mean_D.lerp(row_BD.mean(dim=0), 0.1)
    return row_BD
"""},
    ),
    "raises in a hook": (
        "trains", "ZeroDivisionError: division by zero, in `after_task` of task 1 (mine.py:",
        {"body": AFTER.format("1 / 0")},
    ),
    "raises at a step": (
        "trains", "ValueError: no, in `loss` of task 2, step 2 (mine.py:",
        {"body": """
def loss(self, batch: Batch) -> dict[str, Tensor]:
    self.steps = 1 + getattr(self, "steps", 0)
    if self.steps == 5:
        raise ValueError("no")
    return super().loss(batch)
"""},
    ),
    "ends the program": (
        "trains", "SystemExit: 0, in `before_task` of task 1 (mine.py:",
        {"imports": "import sys", "body": """
def before_task(self, task: Task) -> None:
    sys.exit(0)
"""},
    ),
    "has a loss that is not finite": (
        "trains", "expected a finite loss",
        {"body": """
def loss(self, batch: Batch) -> dict[str, Tensor]:
    return {"match": super().loss(batch)["match"] / 0}
"""},
    ),
    "forgets the device": (
        "on-a-pretended-device", "(5,) on the CPU beside () on the device, in mul",
        {"body": """
def loss(self, batch: Batch) -> dict[str, Tensor]:
    terms = super().loss(batch)
    weight_B = torch.ones(len(batch.images))
    return {"match": (terms["match"] * weight_B).mean()}
"""},
    ),
    "draws on the device from a generator of the CPU": (
        "on-a-pretended-device", "in before_task",
        {"body": """
def before_task(self, task: Task) -> None:
    weight = self.clip.weights()[0]
    self.noise = nn.Buffer(torch.randn(
        weight.shape, generator=task.generator("noise"), device=weight.device
    ))
"""},
    ),
    "changes torch's default type": (
        "torch-stays-as-it-is", "default dtype: torch.float32, then torch.float64",
        {"body": AFTER.format("torch.set_default_dtype(torch.float64)")},
    ),
    "turns gradients off": (
        "torch-stays-as-it-is", "`before_task` of task 1: gradients",
        {"body": """
def before_task(self, task: Task) -> None:
    torch.set_grad_enabled(False)
"""},
    ),
    "draws what no seed repeats": (
        "same-seed", "a loss of",
        {"imports": "import random", "body": """
def loss(self, batch: Batch) -> dict[str, Tensor]:
    return {k: v * (1 + random.SystemRandom().random()) for k, v in super().loss(batch).items()}
"""},
    ),
    "extends another method": (
        "direct-subclass", "extends Base",
        {"before": "class Base(Method):\n    pass\nBase.__module__ = 'elsewhere'",
         "config": "__BASE__"},
    ),
    "reads at test what it says is of training": (
        "training-only", "rows that differ",
        {"body": """
training_only = ("turn",)

def __init__(self, clip: Backbone, config: Config, tools: Tools) -> None:
    super().__init__(clip, config, tools)
    self.turn: Tensor = nn.Buffer(torch.ones(1))
""" + ROWS.format("unit(x + 0.1 * self.turn * x.roll(1, dims=1))")},
    ),
    "says that its tasks are independent": (
        "order-free", "losses are others when it comes first",
        {"body": """
def training_key(self) -> dict[str, object]:
    return {}
"""},
    ),
    "scores classes by their place": (
        "class-order", "in another order deviate",
        {"body": """
def classifier(self, classes: Classes):
    score = super().classifier(classes)
    bias_C = torch.arange(len(classes), device=classes.owner_M.device) / 100
    return lambda images: score(images) + bias_C
"""},
    ),
    "reports what no record can hold": (
        "report", "nan at report.x",
        {"body": """
def report(self) -> dict[str, object]:
    return {"x": float("nan")}
"""},
    ),
}  # fmt: skip
IN_SHORT = (
    "centres rows over the test batch", "draws from torch's generator at test", "imports pickle",
    "has a setting that nothing reads", "forgets the device", "raises at a step",
    "gives rows of any length",
)  # fmt: skip


def write(folder: Path, parts: dict[str, str]) -> Path:
    filled = {"imports": "", "before": "", "config": "", "body": "", **parts}
    filled["body"] = "\n".join(f"    {line}".rstrip() for line in filled["body"].splitlines())
    text = HEAD.format(**filled).replace("Method__BASE__", "Base")
    file = folder / "mine.py"
    file.write_text(text)
    return file


def outcomes(file: Path, lab: Any, captioned: Any, checks: Any) -> list[Outcome]:
    subject = Subject(find_method(str(file), []), lab, captioned, asked=str(file))
    return list(walk(subject, "pairs", checks))


def needed(name: str) -> list[Any]:
    """A check and all that it needs, in order."""
    ids, known = {name}, {one.id: one for one in CHECKS}
    while more := {need for one in ids for need in known[one].needs} - ids:
        ids |= more
    return [one for one in CHECKS if one.id in ids]


@pytest.mark.parametrize("what", IN_SHORT)
def test_the_named_check_finds_it(what: str, tmp_path: Path, lab: Any, captioned: Any) -> None:
    name, said, parts = BROKEN[what]
    found = outcomes(write(tmp_path, parts), lab, captioned, needed(name))
    assert {one.check: one.status for one in found} == {
        one.check: "fail" if one.check == name else "pass" for one in found
    }
    (broken,) = [one for one in found if one.check == name]
    assert said in broken.said
    assert broken.remedy


@pytest.mark.slow
@pytest.mark.parametrize("what", BROKEN)
def test_no_other_check_does(what: str, tmp_path: Path, lab: Any, captioned: Any) -> None:
    name, said, parts = BROKEN[what]
    quick = [one for one in CHECKS if not one.full and one not in whole.CHECKS]
    found = outcomes(write(tmp_path, parts), lab, captioned, quick)
    assert {one.check: one.said for one in found if one.status == "fail"}.keys() == {name}, found
    (broken,) = [one for one in found if one.check == name]
    assert said in broken.said
    if name in ("on-a-pretended-device", "trains") and "finite" not in said:
        found_line = re.search(r"mine\.py:(\d+), in \w+", broken.said)
        assert found_line
        line = (tmp_path / "mine.py").read_text().splitlines()[int(found_line[1]) - 1]
        assert line.strip() in parts["body"]


def test_a_method_that_is_not_broken_passes(tmp_path: Path, lab: Any, captioned: Any) -> None:
    """The frame of the others: what they fail by is what they add."""
    quick = [c for c in CHECKS if c.group in ("declaration", "static", "inference", "training")]
    found = outcomes(write(tmp_path, {}), lab, captioned, [one for one in quick if not one.full])
    assert {one.check for one in found if one.status not in ("pass", "not applicable")} == set()
