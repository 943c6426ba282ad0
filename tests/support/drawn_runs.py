"""Runs drawn from a distribution, with captions that hang together by image. No model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.records.answers import AnswerKey, Evidence, Integers, Where
from benchmark.stats.answered import AnsweredRun

CAPTIONS = 5


@dataclass(frozen=True)
class Spread:
    """Standard deviations of what a query's success depends on, on the scale of a probit.

    Attributes:
        image: how hard an image is, for every run alike.
        method: what a method makes of an image, for all its runs alike.
        seed: how good a training was, for all images alike; an order's draw shares half of it.
        model: what one trained model makes of an image.
        caption: what one trained model makes of one query.
    """

    image: float = 1.0
    method: float = 0.0
    seed: float = 0.0
    model: float = 0.5
    caption: float = 0.5


def draw_method(
    generator: np.random.Generator,
    label: str,
    image_SN: NDArray[np.float64],
    spread: Spread,
    orders: Sequence[str] = ("forward", "reverse"),
    seeds: Sequence[int] = (42, 43, 44),
    skill: float = 0.0,
) -> Iterator[AnsweredRun]:
    """All runs of one method at the end of a sequence of tasks.

    Args:
        generator: of all draws.
        label: of the method.
        image_SN: how easy each image of each set is.
        spread: see there.
        orders: of the runs.
        seeds: of the runs.
        skill: added to all.
    """
    n_sets, n_images = image_SN.shape
    tasks = [f"set{i}" for i in range(n_sets)]
    own_SN = skill + image_SN + spread.method * generator.standard_normal(image_SN.shape)
    key = AnswerKey("pairs", np.full(n_images, CAPTIONS, np.int64))
    for seed in seeds:
        common = generator.standard_normal(n_sets)
        for order in orders:
            tasks_here = tasks if order == "forward" else tasks[::-1]
            luck_S = spread.seed * np.sqrt(0.5) * (common + generator.standard_normal(n_sets))
            model_SN = own_SN + luck_S[:, None]
            model_SN = model_SN + spread.model * generator.standard_normal(model_SN.shape)
            answers: dict[Where, Integers] = {}
            for task, model_N in zip(tasks, model_SN, strict=True):
                for way, times in (("t2i", CAPTIONS), ("i2t", 1)):
                    score_Q = np.repeat(model_N, times)
                    score_Q = score_Q + spread.caption * generator.standard_normal(len(score_Q))
                    answers[task, way, n_sets] = np.where(score_Q > 0, 0, 3)
            evidence = Evidence({task: key for task in tasks}, answers, f"{label}{order}{seed}")
            data = dict.fromkeys(tasks, "same")
            yield AnsweredRun(label, order, seed, tuple(tasks_here), evidence, data, label)


def draw_images(
    generator: np.random.Generator, spread: Spread, n_sets: int = 3, n_images: int = 100
) -> NDArray[np.float64]:
    """How easy each image (S, N) is."""
    return spread.image * generator.standard_normal((n_sets, n_images))
