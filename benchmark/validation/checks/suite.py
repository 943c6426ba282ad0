"""V06, V10: sets, counts, order and data of a suite, and the scores of its untouched backbone.

Both are pinned for the suites that come with the package. What is not pinned (a published suite
that nobody has pinned, a user's own, other weights) must agree among the records of a group.
"""

from collections.abc import Iterator, Mapping

from ...errors import quoted
from ...suites.names import PUBLISHED, is_reserved
from ..pins import PinnedSuite
from ..runs import Examined, ScoredCell

AGAIN = "repeat the run with the suite's data"
_TOLERANCE, _LEAST = 0.005, 2
"""Of the queries, and in hits: what step 0 may differ by where machines round differently."""


def check_name(run: Examined, pins: Mapping[str, PinnedSuite]) -> None:
    """V06: the names that are kept for cl-bench's own suites are those of its own suites."""
    suite = run.row["suite"]
    if suite not in pins and suite not in PUBLISHED and is_reserved(suite):
        expected = f"a suite of cl-bench ({', '.join(sorted(pins))}) or a name of its own"
        run.error("V06", expected, quoted(suite), "rename the suite, and repeat the run")


def pins_of(run: Examined, pins: Mapping[str, PinnedSuite]) -> PinnedSuite | None:
    """The pins of a run's suite."""
    return pins.get(run.row["suite"])


def check_suite(run: Examined, pins: PinnedSuite) -> None:
    """V06 of a pinned suite."""
    if run.row["suite_version"] != pins.version:
        got = quoted(run.row["suite_version"])
        run.error("V06", f"version {pins.version} of {pins.suite}", got, "repeat the run")
        return
    for expected, got in _of_sets(run, pins):
        run.error("V06", expected, got, AGAIN)
        return
    if (wanted := _order(run, pins)) is not None and wanted != run.tasks:
        got, fix = ",".join(run.tasks), "repeat the run in that order"
        run.error("V06", f"the order '{run.row['order']}', {','.join(wanted)}", got, fix)
        return
    if not run.changed & {"limit"}:
        for place, expected, got in _of_counts(run, pins):
            run.error("V06", expected, got, AGAIN, place)
            return
    for expected, got in _of_data(run, pins):
        run.error("V06", expected, got, AGAIN)
        return


def _of_sets(run: Examined, pins: PinnedSuite) -> Iterator[tuple[str, str]]:
    there = {cell.eval_task: cell for cell in run.cells}
    if odd := sorted(there.keys() - pins.sets.keys()):
        yield f"the sets of {pins.suite}", quoted(odd)
    needed = {name for name, one in pins.sets.items() if not one.optional}
    if run.part("asked", "evals") != "all":
        needed = set()
    if len(run.tasks) < len(pins.tasks) and not run.official:  # an order that leaves tasks out
        needed -= set(pins.tasks) - set(run.tasks)
    needed -= set(pins.tasks) - set(_complete(run, pins))
    if lacks := sorted(needed - there.keys()):
        yield f"the set '{lacks[0]}'", "none"
    if odd := sorted(set(run.tasks) - set(pins.tasks)):
        yield f"the tasks of {pins.suite}", quoted(odd)
    shapes = {(c.eval_task, c.eval_title, c.kind, c.label_space): c for c in run.cells}
    for cell in shapes.values():
        one = pins.sets.get(cell.eval_task)
        if one is None:
            continue
        for name, wanted, got in (
            ("title", one.title, cell.eval_title),
            ("kind", one.kind, cell.kind),
            ("label space", one.label_space, cell.label_space),
        ):
            if wanted != got:
                yield f"the {name} of {cell.eval_task}, '{wanted}'", quoted(got)


def _complete(run: Examined, pins: PinnedSuite) -> list[str]:
    """The tasks of a complete run: all, or the one of a suite whose tasks are learned alone."""
    return list(pins.orders.get(run.row["order"], pins.tasks))


def _order(run: Examined, pins: PinnedSuite) -> list[str] | None:
    """The tasks that an order stands for; None where that cannot be told."""
    name, forward = run.row["order"], pins.tasks
    if name in pins.orders:
        return list(pins.orders[name])
    if name == "reverse":
        return forward[::-1]
    if name == "measured":
        scores = {
            cell.eval_task: cell.hits / cell.n_queries
            for (step, _, direction, k), cell in run.scores.items()
            if step == 0 and (direction, k) in ((None, None), ("i2t", 1)) and cell.hits is not None
        }
        return sorted(forward, key=lambda task: -scores.get(task, 0.0))
    kind, _, seed = name.partition(":")
    if kind == "random":
        import numpy as np

        if not (seed.isascii() and seed.isdigit() and len(seed) <= 18):
            return []
        places = np.random.default_rng(int(seed)).permutation(len(forward))
        return [forward[place] for place in places]
    return [part.strip() for part in name.split(",")]


def _of_counts(run: Examined, pins: PinnedSuite) -> Iterator[tuple[str, str, str]]:
    whole = set(run.tasks) == set(_complete(run, pins))  # else fewer classes compete
    for cell in run.scores.values():
        wanted = pins.sets[cell.eval_task].counts(cell.direction)
        both = cell.n_queries, cell.n_gallery
        if not whole and cell.label_space == "union":
            wanted, both = wanted[:1], both[:1]  # type: ignore[assignment]
        if both != wanted:
            expected = f"{' and '.join(map(str, wanted))} (queries, gallery)"
            yield cell.place(), expected, " and ".join(map(str, both))
    for task, key in (run.evidence.keys if run.evidence else {}).items():
        one = pins.sets.get(task)
        if one is not None and whole and (key.kind, key.digest()) != (one.kind, one.key):
            yield task, f"the key of {task} that is pinned, {one.key[:12]}...", key.digest()[:12]


def _of_data(run: Examined, pins: PinnedSuite) -> Iterator[tuple[str, str]]:
    data = run.part("data")
    if not isinstance(data, Mapping):
        yield "fingerprints of the data", "none"
        return
    splits = {"train": set(run.tasks), "test": {cell.eval_task for cell in run.cells}}
    for split, names in splits.items():
        given = data.get(split)
        if not isinstance(given, Mapping) or given.keys() != names:
            yield f"fingerprints of all {split} data", quoted(given)
            return
    known = pins.data.get(str(run.part("transform")))
    if known is None and str(run.part("weights", "sha256")) in pins.zero_shot:
        # Its backbone's images are pinned; by another word it would have other ones.
        yield f"a transform of {pins.suite}, {', '.join(pins.data)}", quoted(run.part("transform"))
    if known is None or not comparable(run):
        return
    for split, names in splits.items():
        for name in sorted(names):
            if data[split][name] != known[split].get(name):
                wanted = str(known[split].get(name))[:12]
                yield f"the {split} data of {name}, {wanted}...", quoted(data[split][name])
    if "reference" in data and data["reference"] != known.get("reference"):
        yield "the suite's reference data", quoted(data["reference"])


def comparable(run: Examined) -> bool:
    """Whether its data are those that everybody has, by its own word."""
    free = {"limit", "templates"}
    return not run.changed & free and not any(key.startswith("source.") for key in run.changed)


# -- zero-shot rows


def untouched(run: Examined) -> bool:
    """Whether its step 0 is that of everybody, by its own word."""
    return comparable(run) and "precision" not in run.changed


def check_zero_shot(run: Examined, pins: PinnedSuite) -> None:
    """V10 where the weights are pinned."""
    sha = str(run.part("weights", "sha256"))
    named = pins.weights.get(f"{run.row['backbone']} {run.row['pretrained']}")
    if named is None and str(run.row["pretrained"]).startswith("bundled"):
        got, there = quoted(run.row["backbone"]), ", ".join(sorted(pins.weights))
        run.error("V10", f"weights that come with the package, {there}", got, "repeat the run")
        return
    if named is not None and named != sha:
        expected = f"the weights '{run.row['pretrained']}' of {run.row['backbone']}"
        run.error("V10", f"{expected}, {named[:12]}...", quoted(sha), "repeat the run")
        return
    if sha not in pins.zero_shot or not untouched(run):
        return
    for (step, task, direction, k), cell in run.scores.items():
        if step or cell.hits is None or task not in pins.zero_shot[sha]:
            continue
        hits = pins.zero_shot[sha][task].get(direction or "acc", [])
        place = (1, 5, 10).index(k) if k in (1, 5, 10) else 0
        if place < len(hits) and not near(cell, hits[place], *rounding(run)):
            expected = f"{hits[place]} hits of the untouched backbone"
            run.error("V10", expected, str(cell.hits), AGAIN, cell.place())
            return


def rounding(run: Examined) -> tuple[object, object]:
    """What its last bits depend on: its device, and the precision of its towers."""
    return run.part("hardware", "device"), run.part("asked", "precision")


def near(cell: ScoredCell, hits: int, *told: object) -> bool:
    """Whether a cell has those hits; exactly, but where one is of a GPU, or of bfloat16.

    Args:
        cell: a score.
        hits: what it should have.
        told: devices and precisions of all runs that are compared.
    """
    slack = 0.0
    if not {"cuda", "bf16"}.isdisjoint(str(one) for one in told):
        slack = max(_LEAST, _TOLERANCE * cell.n_queries)
    return cell.hits is not None and abs(cell.hits - hits) <= slack
