"""What the cells of a table are, in the paragraph above it."""

from ..spec import FAMILIES, TITLES, UPPER_BOUND, ZERO_SHOT, TableSpec

_PERCENT = (
    "Percent, mean ± standard deviation over seeds (standard error from the draw of the test "
    "images)."
)
_BADGES = (
    "Brackets beside a method: what it used beyond its own weights; beside a number: what the "
    "paper prints."
)
_BOLD = (
    "is bold where a paired test of the same images and seeds tells it from every other one (5 %, "
    "Holm)"
)
_BEST = (
    f"The best of a column {_BOLD}; `{UPPER_BOUND}`, which learns all tasks at once, takes no "
    "part, nor do rows that are told the task, the test pairing or the test batch."
)
_BEST_KNOWN = (
    f"The best of a column {_BOLD}; `{UPPER_BOUND}`, which learns all tasks at once, takes no "
    "part, nor do rows that are told the test pairing or the test batch. The task is known to all."
)
_STAGES = (
    "Stage 0 is the untouched backbone, stage t comes after t tasks, Δ is the last stage minus "
    f"stage 0. The best Δ {_BOLD}; `{UPPER_BOUND}`, which learns all tasks at once at the last "
    f"stage, takes no part, nor does `{ZERO_SHOT}`, which does not move."
)
_BEST_VARIANT = (
    f"The best of a column {_BOLD}; rows that are told the task, the test pairing or the test "
    "batch take no part."
)
_OVER_STEPS = (
    "Transfer: a set's accuracy, mean over the steps before it is learned (the first set has "
    "none). Average: mean over all steps. Last: at the end."
)
_COLUMNS = {
    "margin": "ID: mean over the learned sets. OOD: mean over the held-out image-caption sets.",
    "lifelong": _OVER_STEPS,
    "summary": f"{_OVER_STEPS} Means over sets.",
    "cost": (
        "Mean over seeds. Trained: most parameters that a task trains. Added: parameters and "
        "stored values that predictions may read at the end beside one copy of the model (of "
        "routers, those of both modalities), without models that a method rebuilds from them and "
        "holds in memory; a dash: of a record that is older than this count. Kept: all "
        "that is there at the end beside it, for the next task too. Memory: the most that the "
        "process (on a GPU: its tensors) held. Time: seconds in training; they depend on the "
        "machine, and on what else ran there. Brackets beside a method: what it used beyond its "
        "own weights; beside a number: what the paper's project page prints, None for nothing."
    ),
    "tuning": (
        "Each task is learned alone, from the pretrained model. Parameters: of those that the task "
        "trains, the ones that its update leaves."
    ),
}


def about(spec: TableSpec) -> str:
    """The paragraph above a table."""
    if spec.columns == "cost":
        return _COLUMNS["cost"]
    family = FAMILIES.get(spec.held_out)
    best = _BEST_KNOWN if spec.world == "own" else _BEST
    best = _BEST_VARIANT if spec.rows == "named" and spec.paper == "dar" else best
    parts = [_PERCENT, _STAGES if spec.columns == "stages" else best]
    parts += [_COLUMNS[spec.columns]] if spec.columns in _COLUMNS else []
    if family is not None:
        parts.append(f"{TITLES[spec.held_out]}: mean over its {len(family.members)} domains.")
    return " ".join([*parts, _BADGES])
