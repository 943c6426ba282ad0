"""Whether the seeds of a row had the same training images, from the records' fingerprints."""

from collections.abc import Iterable, Mapping

FIXED = (
    "All seeds train on the same images (shots): what is after ± leaves out what another draw of "
    "them would give."
)
DRAWN = "Every seed trains on images (shots) of its own: what is after ± holds this draw, too."
MIXED = (
    "Of some sets all seeds train on the same images (shots), and what is after ± leaves out what "
    "another draw of these would give."
)


def draw_note(runs: Iterable[tuple[str, int, Mapping[str, str]]]) -> str:
    """A sentence on the draw of shots; '' where no row has two seeds whose records say it.

    Args:
        runs: of few-shot suites: what their row shares, seed, and task -> fingerprint of its
            training images.
    """
    found: dict[tuple[str, str], dict[int, str]] = {}
    for row, seed, tasks in runs:
        for task, fingerprint in tasks.items():
            found.setdefault((row, task), {})[seed] = fingerprint
    differ = {len(set(seeds.values())) > 1 for seeds in found.values() if len(seeds) > 1}
    if not differ:
        return ""
    return MIXED if len(differ) > 1 else DRAWN if True in differ else FIXED
