"""Figures 4a, 4b and 9 of the CoDyRA paper, from the files of studies."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, product
from typing import Any

from ....records.naming import suite_folder
from ....records.study.file import StudyFile
from ..charts import make_axis
from .panels import (
    COLOURS,
    MARKERS,
    Analysis,
    Cells,
    Cloud,
    Dot,
    Dots,
    Marker,
    Strip,
    Value,
    edges,
    mean_cells,
    over_seeds,
)

PLACEMENT, REMOVAL, AMPLIFICATION = "placement", "removal", "amplification"
TITLES = {
    PLACEMENT: "Where low-rank updates act, and their rank: a new task against a reference set",
    REMOVAL: "Updates of one map taken out, or kept alone: a new task against a reference set",
    AMPLIFICATION: "Amplification factor of updates, by map and block",
}
_TEST = "An analysis on test data, by which nothing was chosen. Bars: ± one standard deviation."
_TOWERS = {"image": "image tower", "text": "text tower", "both": "both towers"}
_PARTS = {"attention": "attention", "mlp": "MLP", "all": "all maps"}
_MAPS = ("attn.q", "attn.k", "attn.v", "attn.out_proj", "mlp.c_fc", "mlp.c_proj")
_SETS = ("reference", "task")


def _percent(points: Sequence[Mapping[str, Any]], name: str) -> Value:
    sets = [one["found"][name] for one in points]
    return over_seeds(100 * one["hits"] / one["n"] for one in sets)


def _dot(points: Sequence[Mapping[str, Any]], note: str = "") -> Dot:
    x, y = (_percent(points, name) for name in _SETS)
    return Dot(x, y, note)


def _cloud(study: StudyFile, title: str, kinds: Sequence[Dots]) -> Cloud:
    dots = [dot for kind in kinds for dot in kind.dots]
    task, reference = study.asked["task"], study.asked["reference"]
    sizes = {name: study.points[0]["found"][name]["n"] for name in _SETS}
    return Cloud(
        title,
        f"{reference}, the reference set: accuracy (%), n = {sizes['reference']}",
        f"{task}, the new task: accuracy (%), n = {sizes['task']}",
        make_axis(edges(dot.x for dot in dots)),
        make_axis(edges(dot.y for dot in dots)),
        tuple(kinds),
    )


def _seeds(study: StudyFile) -> int:
    return len({one["at"]["seed"] for one in study.points} - {None})


def _heading(study: StudyFile) -> str:
    count = _seeds(study)
    name, version, backbone, pretrained = study.group
    method = f", {study.asked['method']}" if "method" in study.asked else ""
    return (
        f"{name} {version}, {backbone} ({pretrained}){method}, "
        f"{count} seed{'s' * (count > 1)}, commit {str(study.made['code'].get('commit'))[:10]}"
    )


def _placement(study: StudyFile) -> Strip:
    kinds = []
    for (tower, marker), (number, part) in product(
        zip(_TOWERS, MARKERS, strict=False), enumerate(_PARTS)
    ):
        ranks = sorted({one["at"]["rank"] for one in study.at(tower=tower, part=part)})
        dots = tuple(_dot(study.at(tower=tower, part=part, rank=r), str(r)) for r in ranks)
        if dots:
            colour = COLOURS[(1, 5, 2)[number]]
            label = f"{_TOWERS[tower]}, {_PARTS[part]}"
            kinds.append(Dots(label, colour, marker, dots, joined=True, hollow=tower == "text"))
    kinds += _untouched(study.at(untouched=True))
    return Strip(_heading(study), (_cloud(study, "Numbers: ranks", kinds),), 1)


def _untouched(points: Sequence[Mapping[str, Any]]) -> list[Dots]:
    dots = (_dot(points),) if points else ()
    return [Dots("pretrained, untouched", "#222222", "P", dots)] if dots else []


def _removal(study: StudyFile) -> Strip:
    panels = []
    ends = [
        *_untouched(study.at(kept="no map")),
        *(
            Dots("all updates", "#222222", "D", (_dot(points),))
            for points in [study.at(kept="every map")] if points
        ),
    ]  # fmt: skip
    for key, title in (("removed", "All updates but those of"), ("kept", "Updates alone of")):
        kinds = list(ends)
        shapes: Sequence[tuple[str, Marker]] = (("image", "o"), ("text", "s"))
        for (tower, marker), (number, name) in product(shapes, enumerate(_MAPS)):
            if points := study.at(**{key: name, "tower": tower}):
                label, hollow = f"{tower} {name}", tower == "text"
                kinds.append(Dots(label, COLOURS[number], marker, (_dot(points),), hollow=hollow))
        panels.append(_cloud(study, title, kinds))
    return Strip(_heading(study), tuple(panels), 2)


def _amplification(study: StudyFile) -> Iterator[Strip]:
    named = dict.fromkeys(one["at"]["task"] for one in study.points)  # in the order asked for
    every = dict.fromkeys((o["at"]["task"], o["at"]["method"]) for o in study.points)
    where = sorted(every, key=lambda one: list(named).index(one[0]))
    maps: dict[tuple[str, str], list[dict[str, float | None]]] = {}
    for task, method in where:
        found = study.at(task=task, method=method)
        maps[task, method] = [
            {site: one["factor"] for site, one in point["found"]["maps"].items()}
            for point in found
        ]  # fmt: skip
    for task, group in groupby(where, key=lambda one: one[0]):
        methods = [method for _, method in group]
        panels = []
        for tower, method in product(("image", "text"), methods):
            mine = maps[task, method]
            blocks = 1 + max(int(s.split(".")[1]) for s in mine[0] if s.startswith(f"{tower}."))
            values = mean_cells(mine, _MAPS, blocks, tower)
            panels.append((tower, method, values))
        known = [v for *_, values in panels for row in values for v in row if v is not None]
        cells = tuple(
            Cells(
                f"{method}, {_TOWERS[tower]}", _MAPS, tuple(map(str, range(len(values[0])))),
                "block", values, None, 0.0, max(known, default=1.0), decimals=1,
            )
            for tower, method, values in panels
        )  # fmt: skip
        yield Strip(f"{task}, {_heading(study)}", cells, len(methods))


_ABOUT = {
    PLACEMENT: (
        "One new task learned by LoRA from the pretrained weights; classes of a set compete among "
        "themselves.", _TEST,
    ),
    REMOVAL: (
        "Updates of all maps are learned together; then the weights of one map, in all blocks of a "
        "tower, are put back. Equal points cover each other.", _TEST,
    ),
    AMPLIFICATION: (
        "||dW|| / ||U'WV||, with U and V the top r singular vectors of dW: how much an update "
        "amplifies directions that the weight hardly has.",
        "Mean over seeds. Grey: no update, or none of the weight along it, in a seed. One scale of "
        "colours for each task. Nothing was chosen by it.",
    ),
}  # fmt: skip


def make_study_figures(studies: Sequence[StudyFile]) -> dict[str, Analysis]:
    """File name without suffix -> figure, one for every study and suite that there are points of.

    A study without points has none.
    """
    figures = {}
    for study in studies:
        if study.study not in TITLES or not study.points:
            continue
        strips: list[Strip] = []
        if study.study == PLACEMENT:
            strips = [_placement(study)]
        elif study.study == REMOVAL:
            strips = [_removal(study)]
        else:
            strips = list(_amplification(study))
        about = list(_ABOUT[study.study])
        if study.study == AMPLIFICATION:
            about[0] = f"r = {study.asked['top']}. {about[0]}"
        title = f"{TITLES[study.study]}: suite {study.suite}"
        name = f"codyra-{study.study}-{suite_folder(study.suite)}"
        figures[name] = Analysis(title, tuple(about), tuple(strips))
    return figures
