"""V06, V10: sets, counts, order and data of a suite, and the scores of its untouched backbone.

Both are pinned for the suites that come with the package. What is not pinned (a published suite
that nobody has pinned, a user's own, other weights) must agree among the records of a group.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...errors import quoted
from ...suites.names import PUBLISHED, is_reserved
from ..pins import PinnedSuite
from ..runs import Examined, ScoredCell
from .beside import ZERO_SHOT, Promises, promised

_AGAIN = "repeat the run with the suite's data"
_TOLERANCE, _LEAST = 0.005, 2
"""Of the queries, and in hits: what step 0 may differ by on another device than the CPU."""


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
        run.error("V06", expected, got, _AGAIN)
        return
    if (wanted := _order(run, pins)) is not None and wanted != run.tasks:
        got, fix = ",".join(run.tasks), "repeat the run in that order"
        run.error("V06", f"the order '{run.row['order']}', {','.join(wanted)}", got, fix)
        return
    if not run.changed & {"limit"}:
        for place, expected, got in _of_counts(run, pins):
            run.error("V06", expected, got, _AGAIN, place)
            return
    for expected, got in _of_data(run, pins):
        run.error("V06", expected, got, _AGAIN)
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
    if lacks := sorted(needed - there.keys()):
        yield f"the set '{lacks[0]}'", "none"
    if odd := sorted(set(run.tasks) - set(pins.tasks)):
        yield f"the tasks of {pins.suite}", quoted(odd)
    for cell in run.cells:
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
    whole = set(run.tasks) == set(pins.tasks)  # else fewer classes compete
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


def _untouched(run: Examined) -> bool:
    return comparable(run) and "precision" not in run.changed


def check_zero_shot(run: Examined, pins: PinnedSuite) -> None:
    """V10 where the weights are pinned."""
    sha = str(run.part("weights", "sha256"))
    named = pins.weights.get(f"{run.row['backbone']} {run.row['pretrained']}")
    if named is None and run.row["pretrained"] == "bundled":
        got, there = quoted(run.row["backbone"]), ", ".join(sorted(pins.weights))
        run.error("V10", f"weights that come with the package, {there}", got, "repeat the run")
        return
    if named is not None and named != sha:
        expected = f"the weights '{run.row['pretrained']}' of {run.row['backbone']}"
        run.error("V10", f"{expected}, {named[:12]}...", quoted(sha), "repeat the run")
        return
    if sha not in pins.zero_shot or not _untouched(run):
        return
    for (step, task, direction, k), cell in run.scores.items():
        if step or cell.hits is None or task not in pins.zero_shot[sha]:
            continue
        hits = pins.zero_shot[sha][task].get(direction or "acc", [])
        place = (1, 5, 10).index(k) if k in (1, 5, 10) else 0
        if place < len(hits) and not _near(cell, hits[place], run.part("hardware", "device")):
            expected = f"{hits[place]} hits of the untouched backbone"
            run.error("V10", expected, str(cell.hits), _AGAIN, cell.place())
            return


def _near(cell: ScoredCell, hits: int, *devices: object) -> bool:
    """Whether a cell has those hits; exactly, but where one is of a GPU."""
    slack = 0.0
    if "cuda" in devices:
        slack = max(_LEAST, _TOLERANCE * cell.n_queries)
    return cell.hits is not None and abs(cell.hits - hits) <= slack


# -- agreement


def check_agreement(
    runs: Sequence[Examined], pins: Mapping[str, PinnedSuite], promises: Promises
) -> None:
    """V06 and V10 of what is not pinned: the records of a group must agree.

    What most records of a group have is right, that of the zero-shot run before all others.
    """
    groups: dict[tuple[str, ...], list[Examined]] = defaultdict(list)
    for run in runs:
        if run.official and not run.unsound and not run.changed:
            groups[run.group].append(run)
    for group in groups.values():
        pin = pins_of(group[0], pins)
        found = {id(run): dict(_facts(run, pin)) for run in group}
        wrong = {}
        for what in sorted({what for facts in found.values() for what in facts}):
            having = [run for run in group if what in found[id(run)]]
            values = [found[id(run)][what] for run in having]
            own = {v for run, v in zip(having, values, strict=True) if _plain(run, promises)}
            right = _right(values, own)
            for run, value in zip(having, values, strict=True):
                if value != right and id(run) not in wrong:
                    wrong[id(run)] = (run, what, right, value)
        for run, what, right, value in wrong.values():
            expected = f"the same {what} as the records beside it, {quoted(right)}"
            run.error("V06", expected, quoted(value), _AGAIN)
        _agree_at_zero([run for run in group if id(run) not in wrong], pin, promises)


def _plain(run: Examined, promises: Promises) -> bool:
    """Whether it is a run of the untouched backbone."""
    return promised(run, promises[id(run)], ZERO_SHOT)


def _right(values: Sequence[Any], own: set[Any]) -> Any:
    """The one value of the untouched backbone's runs, or that of most runs; None for neither."""
    if len(own) == 1:
        return own.pop()
    (first, most), *others = Counter(values).most_common(2)
    return first if not others or others[0][1] < most else None


def _facts(run: Examined, pins: PinnedSuite | None) -> Iterator[tuple[str, Any]]:
    """What must agree, and its value, hashable."""
    recipe = run.part("asked", "recipe")
    transform = run.part("transform")
    if pins is None and isinstance(recipe, Mapping):
        yield "recipe", repr(sorted(recipe.items()))
    yield "weights", str(run.part("weights", "sha256"))
    if pins is None or str(transform) not in pins.data:
        for split in ("train", "test"):
            found = run.part("data", split)
            for name, value in (found if isinstance(found, Mapping) else {}).items():
                yield f"{split} data of '{name}'", value
    if pins is None:
        yield "tasks", ",".join(sorted(run.tasks))
        yield f"order '{run.row['order']}'", run.row["task_order"]
        yield "held-out sets", ",".join(sorted({c.eval_task for c in run.cells} - set(run.tasks)))
        for cell in run.scores.values():
            if cell.step == 0:
                where = f"'{cell.eval_task}' {cell.direction or ''}".strip()
                yield f"queries and gallery of {where}", (cell.n_queries, cell.n_gallery)
                shape = cell.eval_title, cell.kind, str(cell.label_space)
                yield f"title and kind of '{cell.eval_task}'", shape
        for task, key in (run.evidence.keys if run.evidence else {}).items():
            yield f"key of '{task}'", key.digest()


def _agree_at_zero(runs: list[Examined], pins: PinnedSuite | None, promises: Promises) -> None:
    """V10 of weights that are not pinned."""
    runs = [
        run
        for run in runs
        if pins is None or str(run.part("weights", "sha256")) not in pins.zero_shot
    ]
    if runs and not any(_plain(run, promises) for run in runs):
        fix = f"run zero-shot on {runs[0].row['suite']} with these weights"
        for run in runs:
            run.warn("V10", "a zero-shot run of the same weights beside it", "none", fix)
    if len(runs) < 2:
        return
    rows = {id(run): _zero_rows(run) for run in runs}
    own = {rows[id(run)] for run in runs if _plain(run, promises)}
    right = _right(list(rows.values()), own)
    first = next((run for run in runs if rows[id(run)] == right), None)
    for run in runs:
        device = run.part("hardware", "device"), first and first.part("hardware", "device")
        wanted = dict(right or ())
        cells = [cell for cell in run.scores.values() if cell.step == 0 and cell.hits is not None]
        odd = next((c for c in cells if not _agrees(c, wanted, *device)), None)
        if odd is not None:
            expected = "the zero-shot rows of the records beside it"
            run.error("V10", expected, f"{odd.hits} hits", _AGAIN, odd.place())


def _agrees(cell: ScoredCell, wanted: Mapping[Any, int], *devices: object) -> bool:
    hits = wanted.get((cell.eval_task, str(cell.direction), str(cell.k)))
    return hits is not None and _near(cell, hits, *devices)


def _zero_rows(run: Examined) -> tuple[Any, ...]:
    return tuple(
        sorted(
            ((cell.eval_task, str(cell.direction), str(cell.k)), cell.hits)
            for cell in run.scores.values()
            if cell.step == 0 and cell.hits is not None
        )
    )
