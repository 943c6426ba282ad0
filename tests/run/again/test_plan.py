"""From a record back to the command that made it; and records that name what they must not."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli.main import app
from benchmark.common.seeds import derive
from benchmark.errors import BenchError
from benchmark.records.identity import identity_of
from benchmark.records.store import Record, write_record
from benchmark.run.again.original import Original, read_original
from benchmark.run.again.plan import Given, command, plan_again
from benchmark.run.request import Plan, Request, make_plan

COMMIT = "0123456789abcdef" * 2 + "01234567"


def saved(folder: Path, plan: Plan, **changes: Any) -> Path:
    """A record of a plan as a run would write it, with made-up scores of two labelled sets.

    Args:
        folder: where it goes.
        plan: of the run.
        changes: of what was asked for ("asked.order"), of other provenance ("method.origin"), or of
            the columns ("row.method"), by place.
    """
    asked, about = dict(plan.asked), dict[str, Any]()
    about["method"] = {"origin": plan.method.origin, "sha256": plan.method.sha}
    about["hardware"] = {"device": "cpu", "threads": 1, "cpu": "one"}
    about["code"] = {"commit": COMMIT, "numerics": 1, "sha256": "e" * 64}
    row = {
        **{k: asked[k] for k in ("suite", "suite_version", "method", "variant", "backbone",
                                 "pretrained", "order", "seed")},
        "settings": ",".join(f"{k}={v}" for k, v in plan.settings.items()), "task_order": "a",
        "n_steps": 1, "eval_task": "a", "eval_title": "A", "eval_position": 1, "kind": "labelled",
        "metric": "acc", "value": 0.5, "hits": 1, "n_queries": 2, "n_gallery": 2,
        "label_space": "own", "uses": "", "status": "ok", "source": "measured",
    }  # fmt: skip
    for place, value in changes.items():
        part, _, name = place.partition(".")
        target = {"asked": asked, "row": row}.get(part, about.setdefault(part, {}))
        target[name] = value
        if part == "asked" and name in row and type(value) is type(row[name]):
            row[name] = value
    rows = [
        {**row, "step": step, "step_task": "a" if step else None,
         "role": "current" if step else "future"}
        for step in (0, 1)
    ]  # fmt: skip
    about["asked"] = asked
    path = folder / f"{derive(repr(changes), repr(asked))}.parquet"
    write_record(path, rows, about | {"identity": identity_of(about)})
    return path


@pytest.fixture
def given(tmp_path: Path) -> Given:
    return Given(tmp_path / "again", cache_dir=tmp_path / "cache")


REQUESTS: dict[str, Request] = {
    "defaults": Request("ft"),
    "variant": Request("dar.r8", "reverse", seed=7),
    "setting": Request("dar", hp=("rank=4", "lr=1e-05")),
    "setting of a variant": Request("dar.r8", hp=("rank=16",)),
    "several": Request("codyra", "ii", "mini-xtail", hp=("targets=attn.q,mlp.c_fc", "dense=0.7")),
    "none": Request("codyra", "forward", "mini-xtail", hp=("weight_decay=none",)),
    "epochs": Request("ft", epochs=3),
    "epochs in the place of steps": Request("ft", "forward", "mini-xtail", epochs=1),
    "batch": Request("ft", batch_size=8),
    "templates": Request("ft", "forward", "mini-mtil", templates="generic"),
    "limit": Request("zs", limit=5, evals="id"),
    "held out": Request("zs", evals="ood", precision="bf16"),
    "backbone": Request("zs", backbone="tiny-b"),
    "weights": Request("zs", pretrained="random:12"),
    "draw": Request("zs", "random:5"),
    "list": Request("zs", "photos,gen-art"),
    "measured": Request("zs", "measured"),
}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Request]]:
    """What the command line makes of a line for a shell; nothing is run."""

    def parse(line: str) -> list[Request]:
        found: list[Request] = []

        def noted(requests: list[Request], *_: object) -> int:
            found.extend(requests)
            return 0

        monkeypatch.setattr("benchmark.cli.run.run_all", noted)
        environment, program, *words = shlex.split(line)
        assert (environment, program) == ("OMP_NUM_THREADS=1", "cl-bench")
        app(words, standalone_mode=False)
        return found

    return parse


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_record_leads_back_to_its_request(
    tmp_path: Path, given: Given, parsed: Callable[[str], list[Request]], kind: str
) -> None:
    made = make_plan(REQUESTS[kind])
    again = plan_again(read_original(saved(tmp_path, made)), given)
    assert (again.asked, again.settings, again.stem) == (made.asked, made.settings, made.stem)
    assert again.request.fresh
    assert again.target.is_relative_to(given.output_dir)
    (typed,) = parsed(command(again, 1))
    assert make_plan(typed).asked == made.asked
    assert typed.device == "cpu"  # whatever this machine has beside one


def test_options_stand_in_the_command_alone_where_they_are_needed(
    tmp_path: Path, given: Given
) -> None:
    again = plan_again(read_original(saved(tmp_path, make_plan(Request("ft")))), given)
    assert command(again, None) == (
        "cl-bench run --method ft --suite mini --order forward --seed 42 --device cpu"
    )


METHOD = '''"""A plugin."""
from dataclasses import dataclass
from benchmark.api import Config, Method
@dataclass(frozen=True)
class Own(Config):
    note: str = ""
class Plugin(Method[Own]):
    label = "Plugin"
    variants = {"loud": {"note": "!"}}
'''


def test_a_method_by_path_is_given_again(tmp_path: Path, given: Given) -> None:
    file = tmp_path / "a folder's" / "plugin.py"
    file.parent.mkdir()
    file.write_text(METHOD)
    named = f"{file}:loud"
    made = make_plan(Request(named, hp=("note=$(touch x); 'a' \"b\"",)))
    original = read_original(saved(tmp_path, made))
    with pytest.raises(BenchError, match="--method") as e:
        plan_again(original, given)
    assert e.value.code == 2
    again = plan_again(original, replace(given, method=named))
    assert again.asked == made.asked
    words = shlex.split(command(again, None))
    assert "note=$(touch x); 'a' \"b\"" in words
    assert named in words
    with pytest.raises(BenchError) as e:  # without the variant it is another run
        plan_again(original, replace(given, method=str(file)))
    assert e.value.code == 2
    assert "variant 'loud', here ''" in str(e.value)


def test_a_suite_by_path_is_given_again(tmp_path: Path, given: Given) -> None:
    original = read_original(
        saved(tmp_path, make_plan(Request("zs")), **{"asked.suite": "own", "asked.data": "f" * 64})
    )
    with pytest.raises(BenchError, match=r"--suite.*'own'") as e:
        plan_again(original, given)
    assert e.value.code == 2
    with pytest.raises(BenchError, match="suite 'own', here 'mini'") as e:
        plan_again(original, replace(given, suite="mini"))
    assert e.value.code == 2


HOSTILE: dict[str, dict[str, Any]] = {
    "a method that is a file": {"asked.method": "evil.py"},
    "a method's variant that makes a file's name": {"asked.variant": "evil.py"},
    "a variant with a path": {"asked.variant": "x/evil"},
    "a variant with a colon": {"asked.variant": "evil.py:x"},
    "a method that is not here": {"asked.method": "sota"},
    "a suite that is a file": {"asked.suite": "evil.toml"},
    "a suite that is an option": {"asked.suite": "--output-dir=results"},
    "weights that are a file": {"asked.pretrained": "evil.safetensors"},
    "weights by a relative way": {"asked.pretrained": "../evil"},
    "weights by an absolute way": {"asked.pretrained": "/etc/passwd"},
    "weights that were a file": {"asked.pretrained": "evil.safetensors@0123456789ab"},
    "a backbone of a hub": {"asked.backbone": "hf-hub:evil/model"},
    "a backbone by path": {"asked.backbone": "../../evil"},
    "an order that is an option": {"asked.order": "--overwrite"},
    "an order with a command": {"asked.order": "forward; touch evil"},
    "an order with an escape": {"asked.order": "forward\x1b[2J"},
    "precision": {"asked.precision": "fp32 --device cuda"},
    "evals": {"asked.evals": "$(touch evil)"},
    "templates": {"asked.templates": "generic"},  # of a suite without a choice
    "another recipe": {"asked.recipe": {"epochs": 1, "batch_size": 64, "lr": 1.0}},
    "a setting that there is not": {"asked.config": {"lr": None, "weight_decay": None, "x": 1}},
    "a setting out of range": {"asked.config": {"lr": -1.0, "weight_decay": None}},
    "no settings": {"asked.config": {}},
    "other data": {"asked.data": "evil"},
    "another version": {"asked.suite_version": "0.9"},
    "something unknown": {"asked.extra": 1},
    "negative seed": {"asked.seed": -1},
    "no limit": {"asked.limit": 0},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_that_a_record_names_is_followed(
    tmp_path: Path, given: Given, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """One sentence, and no file of the record's choice is opened, though all are there."""
    monkeypatch.chdir(tmp_path)
    for name in ("evil.py", "ft.evil.py"):
        Path(name).write_text("open('ran', 'w')\n" + METHOD)
    for name in ("evil.toml", "evil.safetensors", "evil.safetensors@0123456789ab"):
        Path(name).write_text("")
    opened: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open" and "evil" in str(arguments[0]):
            opened.append(str(arguments[0]))

    watching = True
    sys.addaudithook(watch)  # for the life of the process: there is no way to take it off
    try:
        with pytest.raises(BenchError) as e:
            plan_again(
                read_original(saved(tmp_path, make_plan(Request("ft")), **HOSTILE[kind])), given
            )
    finally:
        watching = False
    assert e.value.code in (2, 5)
    assert "--hp" not in e.value.fix
    assert not opened
    assert not Path("ran").exists()
    assert "\x1b" not in str(e.value)


def test_what_cannot_be_shown_is_no_command(tmp_path: Path, given: Given) -> None:
    """Of free text in a setting, a terminal would make more than text."""
    file = tmp_path / "plugin.py"
    file.write_text(METHOD)
    for text in ("\x1b]0;x\x07", "a\nb", "\u202etxt", "a\rb"):
        made = make_plan(Request(str(file), hp=(f"note={text}",)))
        again = plan_again(read_original(saved(tmp_path, made)), replace(given, method=str(file)))
        with pytest.raises(BenchError) as e:
            command(again, None)
        assert e.value.code == 5


INVALID: dict[str, dict[str, Any]] = {
    "two methods": {"row.method": "dar"},
    "two seeds": {"row.seed": 43},
    "a seed that is none": {"asked.seed": True},
    "a limit that is none": {"asked.limit": "5"},
    "settings that are none": {"asked.config": ["lr"]},
    "an order that is none": {"asked.order": None},
    "a batch that is none": {"asked.recipe": {"epochs": 1, "batch_size": "8"}},
    "epochs that are none": {"asked.recipe": {"epochs": [1]}},
}


@pytest.mark.parametrize("kind", INVALID)
def test_a_record_that_contradicts_itself(tmp_path: Path, given: Given, kind: str) -> None:
    path = saved(tmp_path, make_plan(Request("ft")), **INVALID[kind])
    with pytest.raises(BenchError) as e:
        plan_again(read_original(path), given)
    assert e.value.code == 5


@pytest.mark.parametrize("part", ["order", "data", "weights", "method", "code", "hardware"])
def test_provenance_of_another_type(tmp_path: Path, given: Given, part: str) -> None:
    path = saved(tmp_path, make_plan(Request("ft")))
    good = read_original(path).record
    values: tuple[Any, ...] = ([], "x", 5, None)
    for value in values:
        about = {k: v for k, v in good.provenance.items() if k != "identity"} | {part: value}
        write_record(path, _rows(good), about)
        with pytest.raises(BenchError) as e:
            plan_again(read_original(path), given)
        assert e.value.code == 5


def _rows(record: Record) -> list[dict[str, Any]]:
    plain = record.frame.astype(object).where(record.frame.notna(), None)
    rows: list[dict[str, Any]] = plain.to_dict("records")  # type: ignore[assignment]
    return rows


def test_an_identity_of_something_else(tmp_path: Path) -> None:
    path = saved(tmp_path, make_plan(Request("ft")))
    good = read_original(path).record
    wrong = good.provenance | {"identity": {"version": 1, "sha256": "0" * 64}}
    write_record(path, _rows(good), wrong)
    with pytest.raises(BenchError) as e:
        read_original(path)
    assert e.value.code == 5


def test_records_of_no_run_that_ended(tmp_path: Path) -> None:
    plan = make_plan(Request("ft"))
    for changes, words in (
        ({"row.source": "paper"}, "numbers of a paper"),
        ({"failed.error": "KeyError"}, "one that failed"),
    ):
        with pytest.raises(BenchError, match=words) as e:
            read_original(saved(tmp_path, plan, **changes))
        assert e.value.code == 2
    with pytest.raises(BenchError) as e:
        read_original(tmp_path)
    assert e.value.code == 2
    with pytest.raises(BenchError) as e:
        read_original(tmp_path / "none.parquet")
    assert e.value.code == 4


def test_the_commit_is_named_where_the_code_cannot_repeat_it(tmp_path: Path, given: Given) -> None:
    def said(**changes: Any) -> str:
        original: Original = read_original(saved(tmp_path, make_plan(Request("ft")), **changes))
        with pytest.raises(BenchError) as e:
            plan_again(original, given)
        return str(e.value)

    version = {"asked.suite_version": "0.9"}
    assert f"check out {COMMIT[:12]}" in said(**version)
    assert "check out" not in said(**version, **{"code.commit": "main; rm -r x"})
    assert "check out" not in said(**version, **{"code.commit": None})
