"""Whether a paper's test sets are ours, by how many images they have.

The papers' sizes are data (`zero_shot_facts.csv`, with sources); ours are those of the records, and
without records those that the suite's declarations expect.
"""

from collections.abc import Iterable, Sequence
from functools import cache

from ...suites.find import find_suite
from ...suites.names import PUBLISHED
from ..run_numbers import RunNumbers
from ..spec import AVERAGE, HELD_OUT, TITLES, Paper, TableSpec
from .numbers import printed_in
from .zero_shot import how_measured

# As many images as in a paper, and known to be others: see `data.catalog.zscl`.
_OTHERS = frozenset({("codyra", "mtil", "eurosat"), ("codyra", "mtil-zscl", "sun397")})
# Tables of means alone: their sets are those of another table.
_SETS_OF = {("codyra", 5): 1, ("codyra", 6): 1, **{("dar", number): 1 for number in range(2, 7)}}


def paper_images(paper: Paper, table: int, dataset: str) -> int | None:
    """Test images of a set in a table of a paper; None where that is not known."""
    table = _SETS_OF.get((paper, table), table)
    found = how_measured().get((paper, str(table), dataset))
    return found.images if found is not None else None


class TestSets:
    """The test sets of one table, the paper's and ours.

    Args:
        spec: the table.
        runs: of any suites; their records say how many images a set has.
    """

    __test__ = False  # no test of pytest's

    def __init__(self, spec: TableSpec, runs: Iterable[RunNumbers]) -> None:
        self._spec = spec
        self._recorded = {
            (run.group[0], name): one.images
            for run in runs if run.group[0] in spec.suites and not run.why
            for name, one in run.sets.items() if one.images
        }  # fmt: skip

    def printed(self, dataset: str) -> tuple[str, ...]:
        """The sets behind a printed column: one, those of a mean, or none of a whole run's."""
        if not dataset:
            return ()
        if dataset not in (AVERAGE, HELD_OUT):
            return (dataset,)
        spec = self._spec
        table = _SETS_OF.get((spec.paper, spec.number), spec.number)
        names = dict.fromkeys(cell.dataset for cell in printed_in(table, spec.paper))
        return tuple(name for name in names if name not in (AVERAGE, HELD_OUT))

    def ours(self, suite: str, dataset: str) -> int | None:
        """Test images of a set in a suite of ours."""
        return self._recorded.get((suite, dataset)) or _expected(suite).get(dataset)

    def differing(self, suite: str, datasets: Sequence[str]) -> list[str]:
        """Sets that are known to differ, in words: the paper's size and the suite's."""
        words = []
        for name in datasets:
            theirs = paper_images(self._spec.paper, self._spec.number, name)
            ours = self.ours(suite, name)
            if theirs is not None and ours is not None and theirs != ours:
                title = TITLES.get(name, name)
                words.append(f"{title} {theirs:,} in the paper, {ours:,} in {suite}")
            elif (self._spec.paper, suite, name) in _OTHERS:
                title = TITLES.get(name, name)
                words.append(f"{title} {theirs:,} in the paper, as many others in {suite}")
        return words

    def unknown(self, datasets: Sequence[str]) -> list[str]:
        """Titles of the sets whose size in the paper is not known."""
        spec = self._spec
        return [
            TITLES.get(name, name)
            for name in datasets
            if paper_images(spec.paper, spec.number, name) is None
        ]


@cache
def _expected(suite: str) -> dict[str, int]:
    if suite not in PUBLISHED:
        return {}
    found = find_suite(suite)
    return {
        one.name: one.test_images
        for one in (*found.tasks, *found.held_out)
        if one.test_images is not None
    }
