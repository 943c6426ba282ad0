"""What every method promises, whoever wrote it: new files in methods/ are tested by name.

The promises are the checks of `benchmark/check`, which `cl-bench check-method` asks of any file.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from known import known

from benchmark.check.contract import KINDS, Promise, Subject, ask
from benchmark.check.promises import (
    declaration,
    elsewhere,
    hostile,
    inference,
    state,
    static,
    training,
    whole,
)
from benchmark.check.promises.every import CHECKS
from benchmark.data.batches import close, join
from benchmark.errors import BenchError
from benchmark.protocol.types import Context, Images, Texts
from benchmark.run.registry import find_method, method_names

NAMES = [name for name, origin in method_names().items() if origin.startswith("methods/")]
# What a method is not defined for, by its own word.
REFUSED = {(kind, name) for name in NAMES for kind in known(name).cls.refuses}
# Both kinds for this one; the other methods meet labelled tasks in `make test-all`, which is also
# where those run that differ from another one in little.
BOTH_KINDS = ("dar",)
ALIKE = (
    "dkr",  # Mod-X with other targets
    "lora",  # LoRA-FT on other maps, with another loss
    "lora-ft",  # DAR's adapter, and no other
    "ewc",  # FT with a penalty, and a test file of its own
    "lwf", "lwf-vr", "icarl", "zscl",  # a family with a test file of its own
    "wise-ft", "ta",  # FT, with an average of weights
    "mod-x",  # FT with one more term
    "moe-adapter", "c-clip", "l2p",  # slow; the tests of their own are many
    "codyra-plus", "codyra-rail-primal", "codyra-rail-dual",  # CoDyRA, evaluated otherwise
    "rail-dual",  # RAIL-Primal with a kernel
)  # fmt: skip
SEEDED = ("zs", "ft", "dar")  # the others draw no more than these
# What was promised from the first day; the rest of the checks run for every method in
# `make test-all`, and here for these.
QUICK = {
    c.id for c in (
        *training.FIRST, *inference.CHECKS, training.learning_shows, training.same_seed,
        state.report, state.state_comes_back, state.training_only, state.resumes_between_tasks,
    )
}  # fmt: skip
SHOWN = {
    ("dar", training.other_tasks_are_not_read.id), ("dar", state.order_free.id),
    ("ft", state.resumes_inside_a_task.id), ("lora-ft", hostile.asks_nothing_of_the_system.id),
    ("ft", elsewhere.on_a_pretended_device.id),
}  # fmt: skip
# They have tests of their own: a run of each suite, and figures that no assertion could be about.
APART = {whole.run_to_a_record.id, whole.cost_of_a_step.id, hostile.settings_matter.id}

# Settings that cost time and change no hook: smaller ones for every method that has them.
SMALL = {"router_steps": 20, "experts": 5, "hidden": 40}


def _late(one: Promise, kind: str, name: str) -> bool:
    if one.id == training.another_seed.id:
        return name not in SEEDED or kind != "pairs"
    other = kind == "labelled" and ("pairs", name) not in REFUSED
    if name in ALIKE or (other and name not in BOTH_KINDS):
        return True
    return one.id not in QUICK and not ((name, one.id) in SHOWN and kind == "pairs")


CASES = [
    pytest.param(one, kind, name, id=f"{one.id}-{kind}-{name}", marks=[pytest.mark.slow] * late)
    for one in CHECKS
    if one.id not in APART
    for kind in KINDS[: 1 if one.once else None]
    for name in NAMES
    if one.once or (kind, name) not in REFUSED
    for late in [not one.once and _late(one, kind, name)]
]


@pytest.fixture(scope="module")
def subject(lab, captioned):
    """Name -> the method with what it has learned; shared, so that no test may change it."""
    done: dict[str, Subject] = {}

    def get(name: str) -> Subject:
        if name not in done:
            found = find_method(name, [])
            small: dict[str, Any] = {k: v for k, v in SMALL.items() if hasattr(found.config, k)}
            done[name] = Subject(found, lab, captioned, small, name)
        return done[name]

    return get


@pytest.mark.parametrize(("one", "kind", "name"), CASES)
def test_every_method_keeps_every_promise(one: Promise, kind: Any, name: str, subject: Any) -> None:
    outcome = ask(one, subject(name), kind)
    assert outcome.status in ("pass", "not applicable"), f"{outcome.said} {outcome.remedy}"


def test_what_a_check_needs_is_asked_before_it() -> None:
    seen: set[str] = set()
    for one in CHECKS:
        assert seen.issuperset(one.needs), one.id
        assert one.id not in seen
        seen.add(one.id)
        assert one.promise.endswith((".", ":")), one.id
        assert one.remedy.endswith("."), one.id


def test_the_methods_of_the_retrieval_paper_are_found():
    paper = {"zs", "ft", "ewc", "mod-x", "c-clip", "l2p", "dkr", "ta", "dar", "lora-ft"}
    assert paper | {"joint"} <= set(NAMES)
    assert not {name for _, name in REFUSED} & paper
    assert {*declaration.CHECKS, *static.CHECKS} <= set(CHECKS)


every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_a_lease_ends_for_readers_that_began_before(kind, lab):
    feed = lab.feed(lab.clip())
    for read in ("epoch", "sweep"):
        task = lab.task(feed, lab.sets(kind)[0], 0, 1)
        batches = task.loader.epoch(0) if read == "epoch" else task.loader.sweep()
        next(batches)
        close(task.loader)
        with pytest.raises(BenchError, match="samples"):
            next(batches)


@every_kind
def test_joining_does_not_reopen_a_closed_lease(kind, lab):
    feed = lab.feed(lab.clip())
    old, new = (lab.task(feed, d, i, 2).loader for i, d in enumerate(lab.sets(kind)[:2]))
    close(old)
    with pytest.raises(BenchError, match="samples"):
        next(join([old, new]).epoch(0))


@every_kind
def test_a_lease_that_ends_closes_what_was_joined_from_it(kind, lab):
    feed = lab.feed(lab.clip())
    old, new = (lab.task(feed, d, i, 2).loader for i, d in enumerate(lab.sets(kind)[:2]))
    both = join([old, new])
    next(both.epoch(0))
    close(old)
    with pytest.raises(BenchError, match="samples"):
        next(both.epoch(0))


@pytest.mark.parametrize("kind", [Images, Texts])
def test_the_task_is_told_only_to_those_who_declare_it(kind):
    items = kind(torch.zeros(1, 3, 4, 4), lambda: torch.zeros(1, 2))
    with pytest.raises(BenchError, match="task id"):
        _ = items.task
    assert replace(items, _context=Context(task=0)).task == 0
