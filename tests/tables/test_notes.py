"""The sentences below tables and boards follow from the records, and change with them."""

from itertools import product
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import FEW, SHAPES, N, build, make_rows, save

from benchmark.records.naming import badges_of
from benchmark.tables.board.order_effect import expected_range, seeds_alone
from benchmark.tables.notes.bounds import bound_note
from benchmark.tables.notes.draws import DRAWN, FIXED, MIXED, draw_note

RECIPE = {"epochs": 5, "batch_size": 32, "lr": 1e-4, "lr_added": 2e-3, "weight_decay": 0.1,
          "warmup": 0.1}  # fmt: skip
DAR: dict[str, Any] = {
    "rank": 16,
    "alpha": 32.0,
    "dropout": 0.1,
    "lr": None,
    "routing": "sample",
    "margin": 0.05,
}


def asked(recipe: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
    return {"asked": {"recipe": recipe or RECIPE, "config": config}}


def notes(folder: Path, name: str = "table-1.md") -> str:
    return build(folder / "r", folder)[name].partition("## Printed")[0]


def put(folder: Path, method: str, about: dict[str, Any], **more: Any) -> None:
    save(folder / "r", make_rows("shapes", SHAPES, method, "forward", 0, **more), about)


def test_the_suite_s_recipe_and_what_rows_have_of_their_own(tmp_path: Path) -> None:
    put(tmp_path, "ft", asked(lr=None))
    put(tmp_path, "ewc", asked(lr=5e-5, weight_decay=0.1))  # the suite's decay, said again
    put(tmp_path, "dar", asked(**DAR))
    put(tmp_path, "dar", asked(**{**DAR, "rank": 8, "dropout": 0.0}), variant="r8")
    text = notes(tmp_path)
    for words in (
        "5 epochs; batches of 32", "peak learning rate of 0.0001, and of 0.002",
        "weight decay 0.1 on all weights", "rise over 10% of the steps, then half a cosine",
        "one random caption an image and epoch", "no augmentation",
        "learning rate 5e-05 (ewc)", "rank 16, alpha 32, dropout 0.1 (dar)",
        "rank 8, alpha 32, dropout 0 (dar.r8)", "half as large as with pair",
        "- dar.r8, beside dar: dropout 0 and not 0.1, rank 8 and not 16",
    ):  # fmt: skip
        assert words in text, words


def test_other_records_other_words(tmp_path: Path) -> None:
    recipe = {**RECIPE, "decay": "matrices", "steps": 40, "warmup": 0.0, "precision": "bf16",
              "caption_sampling": "all", "crops": "random"}  # fmt: skip
    put(tmp_path, "ft", asked(recipe, lr=None))
    put(tmp_path, "dar", asked(recipe, **{**DAR, "routing": "image"}))
    text = notes(tmp_path)
    for words in (
        "40 steps a task", "on matrices, not on gains", "no warm-up, then half a cosine",
        "every caption of an image", "bf16", "random crops of 0.9 to 1",
    ):  # fmt: skip
        assert words in text, words
    assert "Margin and temperature" not in text


def test_records_that_say_nothing_have_no_note(tmp_path: Path) -> None:
    put(tmp_path, "ft", {})
    assert "Settings of" not in notes(tmp_path)


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ([{"a": "1", "b": "2"}, {"a": "1", "b": "2"}], FIXED),
        ([{"a": "1", "b": "2"}, {"a": "3", "b": "4"}], DRAWN),
        ([{"a": "1", "b": "2"}, {"a": "1", "b": "4"}], MIXED),
        ([{"a": "1"}], ""),
        ([{}, {}], ""),
    ],
)
def test_what_is_said_of_shots_is_what_the_fingerprints_say(
    seeds: list[dict[str, str]], said: str
) -> None:
    assert draw_note(("row", seed, tasks) for seed, tasks in enumerate(seeds)) == said
    # Another row that trains on other images says nothing of the first.
    more = [("other", 0, {"a": "9", "b": "9"})]
    assert draw_note([*(("row", s, t) for s, t in enumerate(seeds)), *more]) == said


def test_few_shot_tables_and_boards_say_it_and_others_do_not(tmp_path: Path) -> None:
    for seed in range(2):
        about = {"data": {"train": dict.fromkeys(FEW, "same")}}
        for suite, tasks in (("few", FEW), ("shapes", SHAPES)):
            save(tmp_path / "r", make_rows(suite, tasks, "ft", "forward", seed), about)
    built = build(tmp_path / "r", tmp_path)
    assert built["leaderboard.md"].count(FIXED) == 1
    assert FIXED not in built["table-1.md"]
    assert FIXED in built["codyra-table-2.md"]


# ---- Joint training --------------------------------------------------------------------------


def test_a_bound_is_one_only_where_nothing_is_above() -> None:
    assert "an upper bound: no row is above it" in bound_note("joint", 50.0, {"a": 49.9, "b": 50.0})
    assert "(not an upper bound: b is above it)" in bound_note("joint", 50.0, {"a": 51, "b": 52})
    assert "upper bound" not in bound_note("joint", 50.0, {})


@pytest.mark.parametrize("variant", ["", "mixed"])
def test_tables_and_board_say_which(tmp_path: Path, variant: str) -> None:
    """The synthetic joint is above all but the one that is raised; who is told more is no rival."""

    def put(method: str, hits: int = 0, **more: Any) -> None:
        rows = make_rows("shapes", SHAPES, method, "forward", 0, **more)
        raised = {"hits": hits, "value": hits / N} if hits else {}
        save(tmp_path / "r", [row | raised for row in rows])

    put("ft")
    put("dar")
    put("joint", variant=variant, uses="samples,upper bound")
    put("aaa", 990, uses="task id")
    label = f"joint.{variant}" if variant else "joint"
    built = build(tmp_path / "r", tmp_path)
    for name in ("table-1.md", "leaderboard.md"):
        assert f"{label}: joint training on all tasks, an upper bound: no row" in built[name], name
        assert f"{label} [all tasks at once, samples]" in built[name]
    put("ewc", 950)
    built = build(tmp_path / "r", tmp_path)
    for name in ("table-1.md", "leaderboard.md"):
        assert f"{label}: joint training on all tasks (not an upper bound: ewc" in built[name], name
        assert ", an upper bound" not in built[name]


def test_an_old_badge_is_read_as_the_new_one() -> None:
    assert badges_of("samples,upper bound") == badges_of("samples,all tasks at once")
    assert badges_of("") == frozenset()


# ---- Orders, and how settings were chosen ------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_the_expected_range_is_that_of_draws(k: int) -> None:
    draws = np.random.default_rng(0).standard_normal((400_000, k))
    assert expected_range(k) == pytest.approx(float(np.ptp(draws, axis=1).mean()), abs=0.01)


def test_the_spread_of_seeds_alone() -> None:
    assert expected_range(2) == pytest.approx(2 / sqrt(np.pi), abs=1e-6)
    # Variances 1 and 4, three seeds: the standard error of an order's mean is sqrt(2.5 / 3).
    scores = {"a": [1.0, 2.0, 3.0], "b": [0.0, 2.0, 4.0]}
    assert seeds_alone(scores) == pytest.approx(2 / sqrt(np.pi) * sqrt(2.5 / 3))
    assert seeds_alone({"a": [1.0], "b": [1.0, 2.0]}) is None


def test_orders_are_listed_with_the_worst_and_the_spread(tmp_path: Path) -> None:
    for order, seed in product(("forward", "reverse", "r1"), range(2)):
        rows = make_rows(
            "shapes", SHAPES, "ft", "reverse" if order == "reverse" else "forward", seed
        )
        for row in rows:
            row["order"] = order
            if order == "r1":
                row.update(hits=100, value=0.1)
        save(tmp_path / "r", rows)
    save(tmp_path / "r", make_rows("shapes", SHAPES, "ewc", "forward", 0))
    text = build(tmp_path / "r", tmp_path)["leaderboard.md"]
    part = text.partition("Over orders of tasks:")[2].partition("\n\n|  Set")[0].splitlines()
    head, line = (next(x for x in part if x.startswith(f"| {w}")) for w in ("Method", "ft"))
    cells = dict(zip(*([c.strip() for c in x.split("|")[1:-1]] for x in (head, line)), strict=True))
    assert cells["r1"] == cells["Worst"] == "10.0"
    best = max(float(cells["forward"]), float(cells["reverse"]))
    assert float(cells["Spread"]) == pytest.approx(best - 10.0, abs=0.06)
    assert not any(x.startswith("| ewc") for x in part[:6])  # one order says nothing of orders


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"kind": "paper", "trials": 0, "sweeps": []}, "paper's"),
        ({"kind": "default", "trials": 0, "sweeps": []}, "default"),
        ({"kind": "tuned", "trials": 7, "sweeps": ["mini-ewc"]}, "tuned (7 trials)"),
        ({"kind": "given", "trials": 0, "sweeps": []}, "given"),
        (None, "–"),  # noqa: RUF001
    ],
)
def test_the_board_says_how_settings_were_chosen(
    tmp_path: Path, told: dict[str, Any] | None, shown: str
) -> None:
    about = {} if told is None else {"settings": told}
    save(tmp_path / "r", make_rows("shapes", SHAPES, "ft", "forward", 0), about)
    text = build(tmp_path / "r", tmp_path)["leaderboard.md"]
    head, line = (
        next(x for x in text.splitlines() if x.startswith(f"| {word}")) for word in ("Method", "ft")
    )
    cells = [[cell.strip() for cell in one.split("|")] for one in (head, line)]
    assert cells[1][cells[0].index("Settings")] == shown
