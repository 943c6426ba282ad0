"""Published zero-shot scores of OpenAI's models, and what is known of how they were measured.

Three sources: Tables 1, 8 and stage 0 of Tables 9 to 14 of the DAR paper; the zero-shot rows of
Tables 1, 2, 4 and 7 of the CoDyRA paper; and the figures that open_clip publishes (`open_clip.csv`:
mlfoundations/open_clip at 89fb801, docs/openclip_results.csv and
docs/openclip_retrieval_results.csv; there the weights "openai" were run with QuickGELU whatever the
model was called, see its two equal rows of ViT-B-32).

`zero_shot_facts.csv` says how: test images, competing classes and metric of open_clip's figures are
those of mlfoundations/datacomp at 4a8df19, tasklist.yml, which that page follows; their templates
are taken to be LAION-AI/CLIP_benchmark's at 48de38c (en_zeroshot_classification_templates.json). Of
the CoDyRA paper's X-TAIL they are RAIL's and the sizes of CoOp's lists (recalled, see
`data/catalog/coop.py`), of MTIL those of ZSCL's code (Thunderbeee/ZSCL at b96e714). The DAR paper
states none of it. An empty cell is not known.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...suites.names import PUBLISHED
from ..run_numbers import Metric
from ..spec import AVERAGE, HELD_OUT, PAPERS, ZERO_SHOT
from .numbers import Printed, read_paper

OPEN_CLIP = "open_clip"
_UNSEEN = 4  # the CoDyRA paper's table of held-out sets, which MTIL and X-TAIL share
_CODYRA = ("xtail", "xtail-coop", "mtil", "mtil-zscl")


@dataclass(frozen=True)
class HowMeasured:
    """How a published score was measured; None for what is not known.

    Attributes:
        images: of the test split. classes: that compete. metric: "top-1" or "mean per class".
        templates: how many prompts a class has. first: the first of them.
    """

    images: int | None = None
    classes: int | None = None
    metric: str | None = None
    templates: int | None = None
    first: str | None = None


@dataclass(frozen=True)
class PublishedScore:
    """One zero-shot score.

    Attributes:
        source: "DAR Table 9", "CoDyRA Table 2" or "open_clip".
        dataset: of our names; a family's where it is the mean over several.
        direction: t2i, i2t, or acc.
        value: percent.
        facts: how it was measured.
    """

    source: str
    dataset: str
    direction: str
    value: float
    facts: HowMeasured


def published_zero_shot(suite: str, backbone: str) -> list[PublishedScore]:
    """What is published of the untouched model on the sets of a suite, with OpenAI's weights.

    Args:
        suite: its name; for one that does not come with the package there is nothing.
        backbone: as our models are called.
    """
    if suite not in PUBLISHED:
        return []
    found = [*_papers(suite, backbone), *_open_clip(backbone)]
    # The same number in several tables of one paper is one number, and counts where it is first.
    one: dict[tuple[object, ...], PublishedScore] = {}
    for score in found:
        key = (score.source.split()[0], score.dataset, score.direction, score.value)
        one.setdefault(key, score)
    return list(one.values())


def _papers(suite: str, backbone: str) -> Iterator[PublishedScore]:
    for paper in PAPERS:
        for cell in read_paper(paper):
            held_out = paper == "codyra" and cell.table == _UNSEEN and suite in _CODYRA
            if cell.backbone != backbone or not (suite in cell.spec.suites or held_out):
                continue
            if _is_zero_shot(cell, held_out):
                direction, table = cell.direction or "acc", str(cell.table)
                facts = how_measured().get((paper, table, cell.dataset), HowMeasured())
                value = float(cell.value)
                yield PublishedScore(
                    f"{PAPERS[paper]} Table {cell.table}", cell.dataset, direction, value, facts
                )


def _is_zero_shot(cell: Printed, held_out: bool) -> bool:
    """Whether it is a score of the untouched model on one set, and not known as a misprint."""
    wanted = {Metric.AVERAGE} if held_out else {Metric.ACCURACY, Metric.RECALL}
    untouched = cell.method == ZERO_SHOT or cell.step == 0
    return (
        untouched
        and cell.metric in wanted
        and cell.k in (1, None)
        and cell.dataset not in (AVERAGE, HELD_OUT)
        and not cell.erratum.startswith("stage 0:")
    )


def _open_clip(backbone: str) -> Iterator[PublishedScore]:
    for row in _read("open_clip.csv"):
        if row["backbone"] == backbone:
            facts = how_measured()[OPEN_CLIP, row["table"], row["dataset"]]
            direction = row["direction"] or "acc"
            yield PublishedScore(OPEN_CLIP, row["dataset"], direction, float(row["value"]), facts)


@cache
def how_measured() -> dict[tuple[str, str, str], HowMeasured]:
    """Paper (or `OPEN_CLIP`), table and dataset -> what is known of its scores."""

    def whole(text: str) -> int | None:
        return int(text) if text else None

    return {
        (row["paper"], row["table"], row["dataset"]): HowMeasured(
            whole(row["images"]),
            whole(row["classes"]),
            row["metric"] or None,
            whole(row["templates"]),
            row["first"] or None,
        )
        for row in _read("zero_shot_facts.csv")
    }


@cache
def _read(name: str) -> tuple[dict[str, str], ...]:
    with Path(__file__).with_name(name).open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))
