"""A corpus of forged records: each is caught, by the check that is meant for it and no other.

The forger is assumed to know everything that is written here: what can be made consistent again
(values, the evidence, its seal, the identity) is, unless a forgery is about that very thing.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from forger import Forgery, codes, copied, found, honest, rekeyed

from benchmark.records.answers import AnswerKey
from benchmark.suites.find import find_suite
from benchmark.suites.suite import settings_for

FT, FT43, II = "ft--forward--s42", "ft--forward--s43", "ft--ii--s42"
ZS, ZS43 = "zs--forward--s42", "zs--forward--s43"
Change = Callable[[Forgery], Any]
FORGERIES: dict[str, "Case"] = {}


@dataclass(frozen=True)
class Case:
    """A forgery.

    Attributes:
        change: what is done. codes: what is found. of: the honest record that it begins with.
        beside: honest records in the same folder. warning: whether it is a warning alone.
    """

    change: Change
    codes: frozenset[str]
    of: str = FT
    beside: tuple[str, ...] = ()
    severity: str = "error"


def forgery(
    *expected: str, of: str = FT, beside: tuple[str, ...] = (), severity: str = "error"
) -> Callable[[Change], Change]:
    def register(change: Change) -> Change:
        name = change.__name__.strip("_")
        FORGERIES[name] = Case(change, frozenset(expected), of, beside, severity)
        return change

    return register


def better(forged: Forgery, share: float = 0.15) -> None:
    """More hits at every step but the first, and all that follows from it."""

    def change(where: tuple[Any, ...], answer_Q: Any) -> Any:
        assert forged.evidence is not None
        if where[2]:
            rng = np.random.default_rng(where[2])
            key_N = forged.evidence.keys[where[0]].value_N
            return np.where(rng.random(len(answer_Q)) < share, key_N, answer_Q)
        return answer_Q

    forged.answer(change)
    forged.count()
    forged.identify()


# -- another method


@forgery("V05")
def made_up_method_that_leads(forged: Forgery) -> None:
    forged.named("sota")
    better(forged)


@forgery("V05")
def made_up_variant(forged: Forgery) -> None:
    forged.named("ft", "better")
    forged.identify()


@forgery("V04")
def another_methods_name_and_its_own_digest(forged: Forgery) -> None:
    forged.named("lwf")
    forged.about["method"] |= {"label": "LwF"}
    better(forged)


@forgery("V05")
def another_label(forged: Forgery) -> None:
    forged.about["method"]["label"] = "FT, improved"


@forgery("V12", beside=(FT,))
def one_run_under_two_names(forged: Forgery) -> None:
    """Every digest is the other method's; only the numbers are this one's."""
    forged.named("lora-ft")
    take_over(forged, "lora-ft")
    forged.identify()


@forgery("V17")
def an_upper_bound_without_its_badge(forged: Forgery) -> None:
    forged.named("joint")
    take_over(forged, "joint")
    better(forged)


@forgery("V17")
def a_badge_that_the_method_has_not(forged: Forgery) -> None:
    forged.set(uses="reference data")


def take_over(forged: Forgery, method: str) -> None:
    """What provenance says of a method is that of another, at the same commit."""
    from forger import book

    books, commit = book(), forged.about["code"]["commit"]
    code, declared = books.code(commit), books.declared(commit, method)
    assert not isinstance(code, str)
    assert declared is not None
    forged.about["method"] |= {
        "label": declared.label, "paper": declared.paper, "sha256": code.methods[method][0]
    }  # fmt: skip
    given = settings_for(find_suite(forged.rows[0]["suite"]).settings, method)
    forged.about["asked"]["config"] = declared.config("", given)
    forged.about["asked"]["suite_settings"] = {
        k: v for k, v in given.items() if k in declared.defaults
    }


# -- other code


@forgery("V04")
def a_commit_that_is_not_there(forged: Forgery) -> None:
    forged.about["code"]["commit"] = "5" * 40


@forgery("V04")
def a_commit_of_zeros(forged: Forgery) -> None:
    forged.about["code"]["commit"] = "0" * 40


@forgery("V04")
def no_commit(forged: Forgery) -> None:
    forged.about["code"]["commit"] = None


@forgery("V04")
def a_commit_that_is_an_option_of_git(forged: Forgery) -> None:
    forged.about["code"]["commit"] = "--help"


@forgery("V04")
def no_code_at_all(forged: Forgery) -> None:
    del forged.about["code"]


@forgery("V04")
def another_methods_digest(forged: Forgery) -> None:
    forged.about["method"]["sha256"] = honest(ZS).about["method"]["sha256"]


@forgery("V04")
def another_harness(forged: Forgery) -> None:
    forged.about["code"]["sha256"] = "a" * 64


@forgery("V04")
def changes_beside_the_commit(forged: Forgery) -> None:
    forged.about["code"]["dirty"] = ["benchmark/run/evaluate.py"]


@forgery("V04")
def unofficial_reasons_emptied(forged: Forgery) -> None:
    forged.about["method"]["origin"] = "path"
    forged.about["unofficial"] = []


@forgery("V04")
def made_before_its_commit(forged: Forgery) -> None:
    forged.about["created"] = "2020-01-01T00:00:00+00:00"


@forgery("V04")
def other_numerics(forged: Forgery) -> None:
    forged.about["code"]["numerics"] = 99


@forgery("V03", "V04", "V06", "V10")
def no_provenance(forged: Forgery) -> None:
    forged.about.clear()
    forged.evidence, forged.sealed = None, False
    for row in forged.rows:
        row["schema_version"] = 1


# -- another run than it says


@forgery("V03")
def a_setting_that_is_not_named(forged: Forgery) -> None:
    forged.about["asked"]["config"]["lr"] = 0.5
    forged.identify()


@forgery("V03")
def a_longer_training_that_is_not_named(forged: Forgery) -> None:
    forged.about["asked"]["recipe"]["steps"] = 8000
    forged.identify()


@forgery("V03")
def a_setting_that_is_named_and_was_not_asked_for(forged: Forgery) -> None:
    forged.set(settings="lr=0.5")


@forgery("V03")
def a_limit_without_a_word(forged: Forgery) -> None:
    forged.about["asked"]["limit"] = 16
    forged.identify()


@forgery("V03", "V09")
def what_was_asked_for_changed_alone(forged: Forgery) -> None:
    forged.about["asked"]["precision"] = "bf16"
    forged.set(settings="precision=bf16")


@forgery("V03")
def an_identity_of_its_own(forged: Forgery) -> None:
    forged.about["identity"]["sha256"] = "c" * 64


@forgery("V03")
def a_seed_in_the_rows_alone(forged: Forgery) -> None:
    for row in forged.rows:
        row["seed"] = 7


@forgery("V03")
def weights_of_another_backbone(forged: Forgery) -> None:
    forged.about["weights"]["backbone"] = "tiny-b"


# -- another suite


@forgery("V06")
def an_older_version(forged: Forgery) -> None:
    forged.set(suite_version="0.9")
    forged.identify()


@forgery("V06")
def a_suite_of_a_name_that_is_kept(forged: Forgery) -> None:
    forged.set(suite="mini-xtail2")
    forged.identify()


@forgery("V06", "V10")
def fewer_queries(forged: Forgery) -> None:
    """The worst half of one set is left out, from the evidence too."""
    assert forged.evidence is not None
    task = "digits"
    key = forged.evidence.keys[task]
    keep = slice(0, len(key.value_N) // 2)
    forged.evidence = rekeyed(forged.evidence, task, AnswerKey("labelled", key.value_N[keep]))
    forged.answer(lambda where, a: a[keep] if where[0] == task else a)
    forged.count()


@forgery("V06", "V09")
def a_smaller_gallery(forged: Forgery) -> None:
    for row in forged.at(eval_task="digits"):
        row["n_gallery"] = 10


@forgery("V06")
def another_key(forged: Forgery) -> None:
    """What was predicted is called right."""
    assert forged.evidence is not None
    task, last = "digits", int(forged.rows[0]["n_steps"])
    first, final = (forged.evidence.answers[task, None, step] for step in (0, last))
    key_N = forged.evidence.keys[task].value_N
    # Step 0 keeps its number of hits, so that the zero-shot rows tell nothing.
    fixed = np.where(
        (first == key_N) | (final != first), np.where(first == key_N, key_N, final), key_N
    )
    forged.evidence = rekeyed(forged.evidence, task, AnswerKey("labelled", fixed))
    was = int((first == key_N).sum())
    forged.answer(
        lambda where, a: exactly(a, fixed, was) if where[0] == task and not where[2] else a
    )
    forged.count()


def exactly(answer_Q: Any, key_Q: Any, hits: int) -> Any:
    """The same answers with so many of them right."""
    right = np.flatnonzero(answer_Q == key_Q)
    answer_Q[right[hits:]] = (key_Q[right[hits:]] + 1) % 69
    wrong = np.flatnonzero(answer_Q != key_Q)
    lacking = hits - int((answer_Q == key_Q).sum())
    answer_Q[wrong[:lacking]] = key_Q[wrong[:lacking]]
    return answer_Q


@forgery("V06")
def an_order_by_another_name(forged: Forgery) -> None:
    forged.set(order="reverse")
    forged.identify()


@forgery("V06")
def other_training_data(forged: Forgery) -> None:
    forged.about["data"]["train"]["digits"] = "d" * 64
    forged.identify()


@forgery("V06")
def no_fingerprints(forged: Forgery) -> None:
    forged.about["data"] = {"left_out": []}
    forged.identify()


@forgery("V06")
def another_title(forged: Forgery) -> None:
    for row in forged.at(eval_task="digits"):
        row["eval_title"] = "MNIST"


@forgery("V06")
def a_set_that_is_left_out(forged: Forgery) -> None:
    assert forged.evidence is not None
    forged.rows = [row for row in forged.rows if row["eval_task"] != "land"]
    keys, answers = forged.evidence.keys, forged.evidence.answers
    forged.evidence = replace(
        forged.evidence,
        keys={task: key for task, key in keys.items() if task != "land"},
        answers={where: found for where, found in answers.items() if where[0] != "land"},
    )
    del forged.about["data"]["test"]["land"]
    forged.identify()


# -- rows that are not there


@forgery("V07")
def a_failed_cell_that_is_dropped(forged: Forgery) -> None:
    cell = forged.at(step=4, eval_task="dishes")[0]
    forged.rows.remove(cell)


@forgery("V07")
def a_cell_twice(forged: Forgery) -> None:
    forged.rows.append(dict(forged.at(step=8, eval_task="dishes")[0]))


@forgery("V07")
def the_last_step_is_left_out(forged: Forgery) -> None:
    forged.rows = [row for row in forged.rows if row["step"] < 8]


# -- numbers that cannot be


@forgery("V08")
def a_value_that_is_not_its_hits(forged: Forgery) -> None:
    forged.at(step=8, eval_task="dishes")[0]["value"] = 0.99


@forgery("V08")
def more_hits_than_queries(forged: Forgery) -> None:
    forged.at(step=8, eval_task="dishes")[0].update(hits=1000, value=1000 / 160)


@forgery("V08")
def no_number(forged: Forgery) -> None:
    forged.at(step=8, eval_task="dishes")[0]["value"] = float("nan")


@forgery("V08")
def infinite(forged: Forgery) -> None:
    forged.at(step=8, eval_task="dishes")[0]["value"] = float("inf")


@forgery("V08")
def routes_that_are_not_all(forged: Forgery) -> None:
    row = forged.at(step=8, eval_task="dishes")[0]
    route = {"metric": "route", "direction": "image", "k": 0, "hits": 3, "n_queries": 160}
    forged.rows.append(row | route | {"n_gallery": 0, "value": 3 / 160})


# -- evidence


@forgery("V09")
def hits_that_the_evidence_does_not_have(forged: Forgery) -> None:
    row = forged.at(step=8, eval_task="dishes")[0]
    row.update(hits=row["hits"] + 5, value=(row["hits"] + 5) / row["n_queries"])


@forgery("V09")
def evidence_of_another_run(forged: Forgery) -> None:
    forged.evidence = honest(FT43).evidence


@forgery("V09")
def evidence_of_another_run_that_names_this_one(forged: Forgery) -> None:
    forged.evidence = honest(FT43).evidence
    forged.identify()


@forgery("V09")
def evidence_that_is_not_sealed(forged: Forgery) -> None:
    forged.sealed = False
    forged.answer(lambda where, a: np.roll(a, 1))


@forgery("V09")
def answers_of_a_class_that_does_not_exist(forged: Forgery) -> None:
    forged.answer(lambda where, a: np.where(a == a.max(), 200, a) if where[2] == 8 else a)
    forged.count()


@forgery("V09")
def evidence_cut_short(forged: Forgery) -> None:
    forged.beside = lambda content: content[:-40]


@forgery("V09")
def evidence_with_a_bit_flipped(forged: Forgery) -> None:
    forged.beside = lambda content: content[:600] + bytes([content[600] ^ 4]) + content[601:]


@forgery("V09")
def no_evidence_and_no_word(forged: Forgery) -> None:
    forged.evidence = None
    forged.about["evidence"] = None


@forgery("V09")
def evidence_that_has_gone(forged: Forgery) -> None:
    forged.evidence = None


@forgery("V09")
def a_failed_cell_with_answers(forged: Forgery) -> None:
    row = forged.at(step=4, eval_task="dishes")[0]
    row.update(hits=None, value=None, status="oom", error="CUDA out of memory")


@forgery("V09", severity="warning")
def an_older_schema_that_needs_none(forged: Forgery) -> None:
    """It passes, and is ranked nowhere."""
    forged.evidence = None
    forged.about["evidence"] = None
    for row in forged.rows:
        row["schema_version"] = 1
    del forged.about["identity"]


# -- the untouched backbone


@forgery("V10")
def other_zero_shot_rows(forged: Forgery) -> None:
    forged.answer(lambda where, a: a if where[2] else np.roll(a, 1))
    forged.count()


@forgery("V10")
def other_weights_by_the_same_name(forged: Forgery) -> None:
    forged.about["weights"]["sha256"] = "e" * 64
    forged.identify()


@forgery("V11", of=ZS)
def zero_shot_that_moves(forged: Forgery) -> None:
    better(forged)


# -- copies


@forgery("V13", beside=(FT,))
def a_seed_copied(forged: Forgery) -> None:
    forged.set(seed=44)
    forged.about["command"] = ["run", "--method", "ft", "--seed", "44"]
    forged.identify()


@forgery("V13", beside=(FT,))
def a_seed_copied_and_dated_later(forged: Forgery) -> None:
    forged.set(seed=41)
    forged.about["created"] = "2031-01-01T00:00:00+00:00"
    forged.identify()


# -- warnings


@forgery("V14", of=FT, severity="warning")
def trained_and_not_moved(forged: Forgery) -> None:
    assert forged.evidence is not None
    first = {task: forged.evidence.answers[task, None, 0] for task in forged.evidence.keys}
    forged.answer(lambda where, _: first[where[0]].copy())
    forged.count()


@forgery("V14", of=FT, beside=(FT, FT43, ZS), severity="warning")
def a_seed_copied_with_a_few_answers_changed_at_the_end(forged: Forgery) -> None:
    """And many before it."""
    reseed(forged, 44)
    last = forged.rows[0]["n_steps"]
    flipped(forged, lambda step: 0.002 if step == last else 0.2)


# -- near copies: the forger changes a few answers, at random


def reseed(forged: Forgery, seed: int) -> None:
    forged.set(seed=seed)
    forged.about["command"] = ["run", "--method", "ft", "--seed", str(seed)]


def flipped(forged: Forgery, share: Callable[[int], float]) -> None:
    """Other classes for a share of the answers of each step, and all that follows from it."""
    rng = np.random.default_rng(5)

    def change(where: tuple[Any, ...], answer_Q: Any) -> Any:
        chosen_Q = rng.random(len(answer_Q)) < (share(where[2]) if where[2] else 0.0)
        assert forged.evidence is not None
        most = forged.evidence.keys[where[0]].value_N.max()
        return np.where(chosen_Q, np.where(answer_Q == 0, most, answer_Q - 1), answer_Q)

    forged.answer(change)
    forged.count()
    forged.identify()


@forgery("V13", beside=(FT, FT43))
def a_seed_copied_with_one_answer_in_a_thousand_changed(forged: Forgery) -> None:
    reseed(forged, 44)
    flipped(forged, lambda step: 0.001)


@forgery("V13", beside=(FT,))
def a_seed_copied_without_a_cell_of_it(forged: Forgery) -> None:
    """A cell that failed makes no other run."""
    reseed(forged, 44)
    row = forged.at(step=8, eval_task="dishes")[0]
    row.update(hits=None, value=None, status="oom", error="CUDA out of memory")
    forged.answer(lambda where, a: a)
    assert forged.evidence is not None
    kept = {w: a for w, a in forged.evidence.answers.items() if (w[0], w[2]) != ("dishes", 8)}
    forged.evidence = replace(forged.evidence, answers=kept)
    forged.identify()


@forgery("V12", beside=(FT,))
def another_methods_run_with_a_few_answers_changed(forged: Forgery) -> None:
    forged.named("lora-ft")
    take_over(forged, "lora-ft")
    flipped(forged, lambda step: 0.0003)


def reorder(forged: Forgery, tasks: list[str], order: str) -> None:
    """The same numbers, said to be of another order of tasks."""
    forged.set(order=order, task_order=",".join(tasks))
    forged.about["order"]["tasks"] = tasks
    for row in forged.rows:
        step, task = row["step"], row["eval_task"]
        at = tasks.index(task) + 1 if task in tasks else None
        role = "ood" if at is None else "seen" if at < step else "future" if at > step else ""
        row.update(
            eval_position=at, role=role or "current", step_task=tasks[step - 1] if step else None
        )
    forged.identify()


@forgery("V13", beside=(FT,))
def an_order_renamed(forged: Forgery) -> None:
    reorder(forged, honest(II).rows[0]["task_order"].split(","), "ii")


@forgery("V13", beside=(FT,))
def an_order_renamed_and_a_few_answers_changed(forged: Forgery) -> None:
    reorder(forged, honest(II).rows[0]["task_order"].split(","), "ii")
    flipped(forged, lambda step: 0.001)


# -- form


@forgery("V15")
def printed_numbers(forged: Forgery) -> None:
    for row in forged.rows:
        row["source"] = "paper"


@forgery("V17")
def a_huge_report(forged: Forgery) -> None:
    forged.about["reports"] = [{"note": "x" * 20_000}]


@forgery("V01")
def a_schema_of_the_future(forged: Forgery) -> None:
    for row in forged.rows:
        row["schema_version"] = 9


@forgery("V01")
def another_suites_folder(forged: Forgery) -> None:
    forged.folder = "mini"


@forgery("V01")
def another_runs_name(forged: Forgery) -> None:
    forged.stem = "dar--tiny-s--forward--s42"


@forgery("V01")
def a_column_twice(forged: Forgery) -> None:
    forged.table = lambda table: table.append_column("value", table["value"])


@forgery("V01")
def a_column_of_its_own(forged: Forgery) -> None:
    forged.table = lambda table: table.append_column("rank", table["seed"])


@forgery("V01")
def text_that_is_no_utf8(forged: Forgery) -> None:
    raw = pa.array([b"\xff\xfe"] * len(forged.rows)).view(pa.string())
    at = [row for row in forged.rows[0]].index("eval_title")
    forged.table = lambda table: table.set_column(at, table.schema.field(at), raw)


@forgery("V01")
def half_of_the_file(forged: Forgery) -> None:
    forged.content = lambda content: content[: len(content) // 2]


@forgery("V01")
def flipped_bytes(forged: Forgery) -> None:
    forged.content = lambda content: (
        content[:2000] + bytes(b ^ 255 for b in content[2000:2400]) + content[2400:]
    )


@forgery("V01")
def a_title_that_is_markup(forged: Forgery) -> None:
    for row in forged.at(eval_task="digits"):
        row["eval_title"] = "<img src=x onerror=alert(1)>"


@forgery("V01")
def a_title_that_is_a_link(forged: Forgery) -> None:
    for row in forged.at(eval_task="digits"):
        row["eval_title"] = "[Digits](https://example.org)"


@forgery("V01")
def a_title_of_two_cells(forged: Forgery) -> None:
    for row in forged.at(eval_task="digits"):
        row["eval_title"] = "Digits | 99.9"


@forgery("V01")
def a_title_that_colours_the_screen(forged: Forgery) -> None:
    for row in forged.at(eval_task="digits"):
        row["eval_title"] = "\x1b[31mDigits\x1b[2J"


@forgery("V01")
def a_title_that_runs_backwards(forged: Forgery) -> None:
    for row in forged.at(eval_task="digits"):
        row["eval_title"] = "Digits\u202e99"


@forgery("V01")
def a_label_that_is_markup(forged: Forgery) -> None:
    forged.about["method"]["label"] = "FT</td><script>"


@forgery("V01")
def a_method_with_a_line_end(forged: Forgery) -> None:
    forged.named("ft\n# Heading")
    forged.identify()


@forgery("V01", "V02")
def a_suite_outside_the_folder(forged: Forgery) -> None:
    forged.set(suite="../../elsewhere")
    forged.folder = "..-..-elsewhere"


@forgery("V02")
def a_name_of_other_characters(forged: Forgery) -> None:
    forged.stem = "ft--tiny-s--forward--s42 (1)"


@forgery("V02")
def a_record_of_a_megabyte(forged: Forgery) -> None:
    forged.about["losses"] = os.urandom(400_000).hex()


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_caught_by_its_check_alone(name: str, tmp_path: Path) -> None:
    case = FORGERIES[name]
    copied(tmp_path, *case.beside)
    forged = honest(case.of)
    case.change(forged)
    path = forged.write(tmp_path)
    findings = found(tmp_path)
    its = {path, path.parent, path.with_suffix(".evidence")}
    of_it = [one for one in findings if one.path in its]
    assert codes(of_it, case.severity) == case.codes, [one.line() for one in of_it]
    others = [one for one in findings if one.path not in its]
    assert others == [], [one.line() for one in others]
    if case.severity == "warning":
        assert codes(of_it) == set()
    assert all("\n" not in one.line() and one.line().isprintable() for one in findings)


def test_there_are_enough_forgeries_and_each_check_of_a_record_has_some() -> None:
    assert len(FORGERIES) >= 40
    tested = {code for case in FORGERIES.values() for code in case.codes}
    assert tested == {f"V{n:02}" for n in range(1, 18)} - {"V16"}  # of a change, see test_history


@pytest.mark.parametrize("name", [FT, FT43, II, ZS, ZS43])
def test_an_honest_record_passes_taken_apart_and_put_together(name: str, tmp_path: Path) -> None:
    """What the forger's tools write is not caught for being written by them."""
    forged = honest(name)
    forged.count()
    forged.identify()
    forged.write(tmp_path)
    assert found(tmp_path) == []


def test_honest_records_pass_together(tmp_path: Path) -> None:
    copied(tmp_path, FT, FT43, II, ZS, ZS43)
    assert found(tmp_path) == []


def own(name: str, results: Path, change: Callable[[Forgery], Any] = lambda _: None) -> Path:
    """A record of a suite that nobody has pinned."""
    forged = honest(name)
    forged.set(suite="birds", suite_version="1.0")
    forged.identify()
    change(forged)
    return forged.write(results)


def test_records_of_a_suite_without_pins_agree(tmp_path: Path) -> None:
    for name in (FT, FT43, ZS):
        own(name, tmp_path)
    assert found(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda f: f.about["data"]["test"].update(digits="d" * 64), "V06"),
        (lambda f: f.about["weights"].update(sha256="d" * 64), "V06"),
        (lambda f: f.about["asked"]["recipe"].update(steps=9000), "V06"),
        (fewer_queries, "V06"),
        (other_zero_shot_rows, "V10"),
    ],
)
def test_one_that_differs_from_the_records_beside_it(
    change: Callable[[Forgery], Any], code: str, tmp_path: Path
) -> None:
    """The zero-shot run is right, and where that says nothing, what most have."""
    for name in (ZS, FT43):
        own(name, tmp_path)

    def whole(forged: Forgery) -> None:
        change(forged)
        forged.identify()

    path = own(FT, tmp_path, whole)
    findings = found(tmp_path)
    assert codes(findings) == {code}, [one.line() for one in findings]
    assert {one.path for one in findings} == {path}


def test_weights_that_nobody_scored_untouched_are_said(tmp_path: Path) -> None:
    for name in (FT, FT43):
        own(name, tmp_path)
    findings = found(tmp_path)
    assert codes(findings) == set()
    assert codes(findings, "warning") == {"V10"}


def test_the_eldest_of_equal_runs_is_believed(tmp_path: Path) -> None:
    """A copy takes no rank from the run that it copies, whatever it is called."""
    copied(tmp_path, FT)
    forged = honest(FT)
    one_run_under_two_names(forged)
    forged.about["created"] = "2031-01-01T00:00:00+00:00"
    path = forged.write(tmp_path)
    assert {one.path for one in found(tmp_path)} == {path}


def test_more_right_answers_alone_contradict_nothing_and_are_replayed_for(tmp_path: Path) -> None:
    """What evidence cannot show: invented answers that are consistent in all files."""
    forged = honest(FT)
    better(forged, share=0.01)
    forged.write(tmp_path)
    assert found(tmp_path) == []
