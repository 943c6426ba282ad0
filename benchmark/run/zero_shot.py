"""Zero-shot scores of a backbone on every set of a suite, before anyone trains."""

from dataclasses import dataclass

from ..common.report import Report
from ..data.split import Labelled
from ..suites.suite import Dataset
from .build import open_ground
from .device.precision import float32_products
from .evaluate import EvalSet
from .inputs import held_out_set, read_tests, task_sets, zero_shot_rows
from .request import Plan


@dataclass(frozen=True)
class ZeroShot:
    """The untouched backbone on one test split.

    Attributes:
        title: of the dataset. held_out: whether it is no task.
        scores: t2i and i2t R@1, or acc, in percent.
        images: of the split. candidates: its captions, or the classes that compete.
        templates: prompts of a class; none for pairs.
    """

    title: str
    held_out: bool
    scores: dict[str, float]
    images: int
    candidates: int
    templates: tuple[str, ...] = ()


@float32_products(tf32=False)
def measure_sets(plan: Plan, report: Report) -> dict[str, ZeroShot]:
    """Zero-shot scores of a plan's backbone: tasks, then held-out sets unless `--evals id`.

    Raises:
        BenchError: whatever is wrong with weights, data or device.
    """
    ground = open_ground(plan, report)
    tasks = list(plan.suite.tasks)
    held_out = () if plan.request.evals == "id" else plan.suite.held_out
    total, found = len(tasks) + len(held_out), dict[str, ZeroShot]()

    def score(dataset: Dataset, which: EvalSet) -> None:
        report.line(f"{len(found) + 1}/{total} {which.title}: {len(which.data)} images")
        rows = [r for r in zero_shot_rows(ground, which) if r["k"] in (1, None)]
        scores = {str(r["direction"] or r["metric"]): 100 * float(r["value"]) for r in rows}
        split = dataset.load("test")
        prompts = split.templates if isinstance(split, Labelled) else ()
        gallery = int(rows[-1]["n_gallery"])
        found[which.name] = ZeroShot(
            which.title, which.position is None, scores, len(which.data), gallery, prompts
        )

    report.line(f"reading {len(tasks)} tasks")
    sets = task_sets(tasks, read_tests(ground, report), [d.name for d in tasks], plan.suite)
    for dataset, which in zip(tasks, sets, strict=True):
        score(dataset, which)
    for dataset in held_out:  # one at a time: they are the largest
        score(dataset, held_out_set(dataset, ground.read(dataset, "test")))
    return found
