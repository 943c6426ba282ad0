"""Numbers that are made of hits equal those that `metrics.continual` makes of scores."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawn_runs import Spread, draw_images, draw_method

from benchmark.metrics import continual
from benchmark.records.answers import AnswerKey, Evidence, Integers, Where
from benchmark.stats.answered import AnsweredRun, MissingAnswer, image_covariance, measure
from benchmark.stats.resampling import resampled_ratios
from benchmark.stats.summaries import Question, Summary, of_sets, terms_of

TASKS = ("waves", "coins", "dots", "lines")
METRICS: dict[Summary, Callable[[Any], float]] = {
    "final": continual.final_average,
    "delta": continual.delta_to_zero_shot,
    "learning": continual.learning_gain,
    "forgetting": continual.forgetting_from_learned,
    "transfer": continual.mean_transfer,
    "average": continual.mean_average,
}


def made(seed: int = 1, holes: tuple[tuple[str, int], ...] = ()) -> AnsweredRun:
    """A run of three sets of captions, one of labels, and two held out; captions vary by image."""
    generator = np.random.default_rng(seed)
    keys: dict[str, AnswerKey] = {}
    answers: dict[Where, Integers] = {}
    data = np.random.default_rng(0)
    for task in (*TASKS, "stars", "moons"):
        labelled = task in ("coins", "stars")
        n = int(data.integers(20, 40))
        value_N = data.integers(0, 4, n) if labelled else data.integers(1, 6, n)
        keys[task] = AnswerKey("labelled" if labelled else "pairs", value_N)
        for step in range(5):
            if (task, step) in holes:
                continue
            if labelled:
                answers[task, None, step] = generator.integers(0, 4, n)
            else:
                answers[task, "i2t", step] = generator.integers(0, 4, n)
                answers[task, "t2i", step] = generator.integers(0, 4, int(value_N.sum()))
    return AnsweredRun("ft", "forward", seed, TASKS, Evidence(keys, answers, "x"), {}, "run")


def matrix(run: AnsweredRun, direction: str, k: int) -> np.ndarray[Any, Any]:
    """R of `metrics.continual`, from the shares of right answers."""
    columns = []
    for task in TASKS:
        way, k_here = (None, 1) if run.labelled(task) else (direction, k)
        columns.append([run.evidence.right(task, way, s, k_here).mean() for s in range(5)])
    return np.array(columns).T


@pytest.mark.parametrize("summary", METRICS)
@pytest.mark.parametrize("k", [1, 5])
def test_summaries_are_those_of_the_metrics(summary: Summary, k: int) -> None:
    run = made()
    ways = {way: METRICS[summary](matrix(run, way, k)) for way in ("t2i", "i2t")}
    for direction, expected in (*ways.items(), ("both", sum(ways.values()) / 2)):
        terms = terms_of(run, Question(summary, k, direction))  # type: ignore[arg-type]
        assert measure(run, terms).value == pytest.approx(expected, abs=1e-12)


def test_one_step_and_the_held_out_sets() -> None:
    run = made()
    two = measure(run, terms_of(run, Question("hit", 5, "i2t", step=2))).value
    shares = [run.evidence.right(t, "i2t", 2, 5).mean() for t in TASKS if t != "coins"]
    assert two == pytest.approx(np.mean(shares))
    coins = measure(run, terms_of(run, Question("acc"))).value
    assert coins == run.evidence.right("coins", None, 4).mean()
    change = {
        task: np.mean(
            [
                run.evidence.right(task, way, 4).mean() - run.evidence.right(task, way, 0).mean()
                for way in run.directions(task)
            ]
        )
        for task in ("moons", "stars")
    }
    ood = measure(run, terms_of(run, Question("ood"))).value
    assert ood == pytest.approx(np.mean(list(change.values())))


def test_sets_of_a_mean_have_it_as_their_mean() -> None:
    run = made()
    summaries: tuple[Summary, ...] = ("final", "average", "delta", "ood", "hit")
    for summary in summaries:
        question = Question(summary)
        by_set: dict[str, list[float]] = {}
        for one in of_sets(run, question):
            by_set.setdefault(one.only, []).append(measure(run, terms_of(run, one)).value)
        if summary == "hit":  # by set it shows the held-out ones too
            by_set = {task: values for task, values in by_set.items() if task in TASKS}
        whole = measure(run, terms_of(run, question)).value
        assert np.mean([np.mean(v) for v in by_set.values()]) == pytest.approx(whole, abs=1e-12)


def test_a_hole_is_no_number_where_it_counts_and_only_there() -> None:
    run = made(holes=(("dots", 2),))
    measure(run, terms_of(run, Question("final")))
    measure(run, terms_of(run, Question("delta")))
    with pytest.raises(MissingAnswer, match="'dots' at step 2"):
        measure(run, terms_of(run, Question("transfer")))
    with pytest.raises(MissingAnswer, match="'dots' at step 2"):
        measure(run, terms_of(run, Question("average")))
    with pytest.raises(MissingAnswer, match="no final of 'moons'"):
        terms_of(run, Question("final", only="moons"))


@pytest.mark.parametrize("summary", ["final", "forgetting", "average", "ood"])
def test_the_variance_is_that_of_the_cluster_bootstrap(summary: Summary) -> None:
    """Images with one to five captions: the ratio is made linear, and the draws agree."""
    run, other = made(1), made(2)
    numbers = [measure(one, terms_of(one, Question(summary))) for one in (run, other)]
    covariance = image_covariance(numbers)
    total_BR = np.zeros((20_000, 2))
    for task in numbers[0].parts:
        terms = [[t for t in one.terms if t.task == task] for one in numbers]
        sums = [one.run.sums(t) for one, own in zip(numbers, terms, strict=True) for t in own]
        sizes = [run.sizes(task, t.direction) for own in terms for t in own]
        ratio_BM = resampled_ratios(task, np.stack(sums, 1), np.stack(sizes, 1), len(total_BR))
        factors = np.zeros((len(sums), 2))
        for i, (r, t) in enumerate((r, t) for r, own in enumerate(terms) for t in own):
            factors[i, r] = t.factor
        total_BR += ratio_BM @ factors
    drawn = np.cov(total_BR.T)
    # The bootstrap has N - 1 of N of the variance of an unbiased estimate; N is 20 to 40 here.
    assert np.diag(drawn) == pytest.approx(np.diag(covariance), rel=0.09)
    assert drawn[0, 1] == pytest.approx(covariance[0, 1], abs=0.05 * drawn[0, 0])


def test_parts_sum_to_nothing() -> None:
    run = made()
    for part in measure(run, terms_of(run, Question("average"))).parts.values():
        assert abs(part.sum()) < 1e-12


def test_hits_by_image_are_those_of_its_captions() -> None:
    run = made()
    counts, right = run.evidence.keys["dots"].value_N, run.evidence.right("dots", "t2i", 3, 5)
    ends = np.cumsum(counts)
    by_hand = [right[end - count : end].sum() for end, count in zip(ends, counts, strict=True)]
    assert run.hits("dots", "t2i", 3, 5).tolist() == by_hand


def test_drawn_runs_are_runs() -> None:
    """The double of the simulations: five captions an image, two orders, three seeds."""
    generator = np.random.default_rng(1)
    spread = Spread()
    runs = list(draw_method(generator, "a", draw_images(generator, spread, 2, 10), spread))
    assert [(run.order, run.seed) for run in runs][:3] == [
        ("forward", 42), ("reverse", 42), ("forward", 43),
    ]  # fmt: skip
    assert {run.tasks for run in runs} == {("set0", "set1"), ("set1", "set0")}
