"""Methods from a file, from an entry point, and every way in which they can be wrong."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from lanes import lanes

from benchmark.cli.listing import listing
from benchmark.cli.run import run_all
from benchmark.common.source import content_sha
from benchmark.errors import BenchError
from benchmark.records.store import read_record
from benchmark.run.registry import find_method, method_names
from benchmark.run.request import Request, make_plan

BUILT_IN = {"dar", "ft", "joint", "lora-ft", "zs"}
PLUGIN = '''
"""A method of somebody else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from benchmark.api import Batch, Config, Method


@dataclass(frozen=True)
class MineConfig(Config):
    strength: float = 1.0
    flag: bool = False
    name: str = "x"
    parts: tuple[str, ...] = ("a", "b")
    most: int | None = None
    sizes: tuple[int, ...] = ()
    way: Literal["up", "down"] | None = None
    level: Literal[1, 2] = 1
    other: dict[str, int] = field(default_factory=dict)


class Mine(Method[MineConfig]):
    label = "Mine"
    variants = {"weak": {"strength": 0.5}}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return super().loss(batch) | {
            "mine": self.config.strength * sum(p.pow(2).sum() for p in self.clip.weights())
        }
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    file = tmp_path / "my_method.py"
    file.write_text(PLUGIN)
    return file


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **entries: str) -> None:
    """A distribution with entry points, as an installer would leave it on the path."""
    info = folder / f"{folder.name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {folder.name}\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[cl_bench.methods]", *lines]))
    monkeypatch.syspath_prepend(str(folder))


def settings(asked: str, hp: list[str] | None = None) -> Any:
    """What `--hp` makes of a method's Config, which has fields that only the method knows."""
    return find_method(asked, hp or []).config


def refused(asked: str, *words: str, hp: tuple[str, ...] = ()) -> BenchError:
    with pytest.raises(BenchError) as error:
        find_method(asked, list(hp))
    missed = [word for word in words if word not in str(error.value)]
    assert not missed, f"{missed} not in: {error.value}"
    return error.value


# ---- Built in ----------------------------------------------------------------------------------


def test_built_in_methods_are_found_by_their_file_names() -> None:
    names = method_names()
    assert names.keys() >= BUILT_IN
    assert names["lora-ft"] == "methods/lora_ft.py"
    for name in BUILT_IN:
        found = find_method(name, [])
        assert (found.name, found.variant, found.origin) == (name, "", "methods")
        assert (found.overrides, len(found.sha)) == ({}, 64)


def test_every_variant_of_every_method_gives_a_config() -> None:
    for name in BUILT_IN:
        for variant in find_method(name, []).cls.variants:
            found = find_method(f"{name}.{variant}", [])
            assert found.variant == variant
            assert found.config != find_method(name, []).config


def test_hp_beats_the_variant_which_beats_the_default() -> None:
    assert settings("dar").rank == 16
    assert settings("dar.r8").rank == 8
    found = find_method("dar.r8", ["rank=4", "lr=1e-4"])
    config: Any = found.config
    assert (config.rank, config.alpha, config.lr) == (4, 16.0, 1e-4)
    assert found.overrides == {"lr": "0.0001", "rank": "4"}


def test_overrides_name_what_differs_and_only_that() -> None:
    assert find_method("dar", ["rank=16", "targets=mlp.c_fc, mlp.c_proj"]).overrides == {
        "targets": "mlp.c_fc,mlp.c_proj"
    }
    assert find_method("dar.r8", ["rank=16"]).overrides == {"rank": "16"}
    same = [find_method("ft", [item]).overrides for item in ("lr=1e-4", "lr=0.0001", "lr=.1e-3")]
    assert same == [{"lr": "0.0001"}] * 3


def test_unknown_names_show_near_ones() -> None:
    refused("lora-tf", "'lora-tf'", "did you mean 'lora-ft'", "cl-bench ls")
    refused("xyzzy", "choose one of", "'c-clip'", "'dar'")
    refused("dar.r9", "a variant of dar", "'r9'", "did you mean 'r8'")
    refused("ft.r8", "a variant of ft (none)", "use --method ft")
    refused("", "a method")


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("rnak=4", "did you mean 'rank'"),
        ("rank", "give it a value, such as --hp rank=16"),
        ("rank=", "type int"),
        ("rank=4.5", "type int"),
        ("rank=four", "type int"),
        ("lr=nan", "type float"),
        ("lr=inf", "type float"),
        ("lr=", "type float"),
        ("margin=none", "type float"),
        ("routing=imgae", "did you mean 'image'"),
        ("merge=core-iso", "did you mean 'core-iso-c'"),
        ("top_k=0", "top_k of at least 1"),
        ("temperature=0", "temperature above 0"),
        ("margin=-1", "margin of at least 0"),
    ],
)
def test_bad_settings(item: str, words: str) -> None:
    if item.startswith("routing"):
        refused("dar", "'imgae'", hp=(item,))
    refused("dar", words, hp=(item,))


# ---- A file ------------------------------------------------------------------------------------


def test_a_file_by_path(plugin: Path) -> None:
    found = find_method(str(plugin), [])
    assert (found.name, found.origin, found.file) == ("my-method", "path", plugin)
    assert settings(f"{plugin}:weak").strength == 0.5
    refused(f"{plugin}:waek", "did you mean 'weak'")


def test_settings_of_every_type(plugin: Path) -> None:
    hp = ["strength=2", "flag=True", "name=a=b", "parts=u, v", "most=3", "lr=none"]
    config = settings(str(plugin), hp)
    assert (config.strength, config.flag, config.name) == (2.0, True, "a=b")
    assert (config.parts, config.most, config.lr) == (("u", "v"), 3, None)
    assert settings(str(plugin), ["most=None"]).most is None
    more = settings(str(plugin), ["sizes=3, 4", "way=down", "level=2"])
    assert (more.sizes, more.way, more.level) == ((3, 4), "down", 2)
    assert settings(str(plugin), ["way=none"]).way is None
    refused(str(plugin), "way in up, down", "'dwon'", "did you mean 'down'", hp=("way=dwon",))
    refused(str(plugin), "level in 1, 2", "'3'", "choose one", hp=("level=3",))
    refused(str(plugin), "that --hp can give", "make it a variant", hp=("other=a",))
    for item in ("flag=yes", "most=x", "strength=-inf", "sizes=3,x"):
        value = "sizes=x" if item.startswith("sizes") else item
        refused(str(plugin), "a value of type", value, hp=(item,))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ('{"flag": 1}', "flag of type bool, got 1"),
        ('{"most": True}', "most of type int | None, got True"),
        ('{"way": "left"}', "way in up, down, got 'left'"),
    ],
)
def test_a_variant_with_a_value_of_another_type(plugin: Path, changes: str, words: str) -> None:
    plugin.write_text(PLUGIN.replace('{"strength": 0.5}', changes))
    refused(f"{plugin}:weak", words)


def test_the_older_form_of_a_method_still_runs(plugin: Path) -> None:
    older = "class Mine(Method):\n    Config = MineConfig"
    plugin.write_text(PLUGIN.replace("class Mine(Method[MineConfig]):", older))
    assert settings(str(plugin), ["strength=2"]).strength == 2.0


def test_a_file_runs_and_goes_to_scratch(plugin: Path, tmp_path: Path, own_cache: Path) -> None:
    request = Request(
        method=str(plugin), order="photos", pretrained="random:0", limit=8, epochs=1, evals="id",
        hp=("strength=0.25",), output_dir=tmp_path / "out", cache_dir=own_cache,
    )  # fmt: skip
    plan = make_plan(request)
    assert plan.target.name.startswith("my-method+strength=0.25+")
    assert run_all([request], "", "none") == 0
    about = read_record(plan.target).provenance
    assert "the method is a file outside methods/" in about["unofficial"]
    assert about["method"]["label"] == "Mine"
    assert about["method"]["origin"] == "path"
    assert about["losses"][0][0]["mine"] > 0
    plugin.write_text(PLUGIN.replace("pow(2)", "abs()"))
    assert make_plan(request).method.sha != plan.method.sha


def test_what_a_file_imports_of_its_authors_is_part_of_its_code(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module beside it and what that imports; no comment of theirs, and no installed package."""
    folder = tmp_path / "lab"
    folder.mkdir()
    near, far = folder / "near_to_mine.py", folder / "far_from_mine.py"
    monkeypatch.syspath_prepend(str(folder))

    def sha(one: str = "A = 1\n", other: str = "B = 1\n", line: str = "") -> str:
        near.write_text(f"import far_from_mine\n{one}")
        far.write_text(other)
        plugin.write_text(PLUGIN + line)
        for name in (near.stem, far.stem):
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return find_method(str(plugin), []).sha

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    alone = sha()
    assert alone == content_sha(plugin)
    named = {"": alone}
    for line in ("from near_to_mine import A\n", "import near_to_mine\n"):
        named[line] = sha(line=line)
        assert sha(one="A = 1  # one\n", line=line) == named[line]
        changed = {sha(one="A = 2\n", line=line), sha(other="B = 2\n", line=line)}
        assert len(changed | {named[line]}) == 3
    assert len(set(named.values())) == 3


def test_the_code_of_a_method_of_the_harness_is_its_file() -> None:
    for name in ("dar", "codyra-plus"):
        found = find_method(name, [])
        assert found.sha == content_sha(found.file)


def test_a_missing_file(tmp_path: Path) -> None:
    refused(str(tmp_path / "none.py"), "a method file", "no file", "correct --method")


WRONG = {
    "nothing": ("x = 1\n", "one subclass of Method", "none"),
    "imported only": ("from benchmark.api import Method\n", "one subclass of Method", "none"),
    "two": (PLUGIN + "class Other(Method):\n    label = 'o'\n", "Mine, Other", "one method"),
    "syntax": ("class Mine(:\n", "a method file that imports", "SyntaxError"),
    "import": ("import nothing_of_this_name\n", "ModuleNotFoundError", "mend"),
    "raises": ("raise RuntimeError('at import')\n", "RuntimeError: at import", "mend"),
    "label": (PLUGIN.replace('label = "Mine"', "pass"), "`label` in Mine", "its name in tables"),
    "empty": ("", "one subclass of Method", "none"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files(tmp_path: Path, case: str) -> None:
    text, *words = WRONG[case]
    file = tmp_path / "wrong.py"
    file.write_text(text)
    refused(str(file), *words)


# ---- Entry points ------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_entry_point(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "theirs"
    install(package, monkeypatch, theirs="theirs_method:Mine")
    (package / "theirs_method.py").write_text(PLUGIN)
    assert method_names()["theirs"] == "entry point theirs_method:Mine"
    assert "theirs_method" not in sys.modules  # listing imports nothing
    found = find_method("theirs.weak", ["parts=z"])
    assert (found.name, found.variant, found.origin) == ("theirs", "weak", "entry point")
    assert found.file == package / "theirs_method.py"
    config: Any = found.config
    assert config.parts == ("z",)
    refused("their", "did you mean 'theirs'")
    request = Request(
        method="theirs", order="photos", pretrained="random:0", limit=8, epochs=1, evals="id",
        output_dir=tmp_path / "out", cache_dir=own_cache,
    )  # fmt: skip
    assert run_all([request], "", "none") == 0
    assert read_record(make_plan(request).target).provenance["method"]["origin"] == "entry point"


def test_an_entry_point_with_a_built_in_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "clash", monkeypatch, dar="elsewhere:DAR")
    refused("dar", "one method named 'dar'", "methods/dar.py", "elsewhere:DAR", "rename")
    assert find_method("ft", []).name == "ft"
    assert "  ft " in listing()


def test_two_entry_points_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "second"):
        install(tmp_path / name, monkeypatch, twice=f"{name}_method:Mine")
        (tmp_path / name / f"{name}_method.py").write_text(PLUGIN)
    refused("twice", "first_method", "second_method")


def test_a_broken_plugin_breaks_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "bad", monkeypatch, broken="broken_method:Mine", gone="not_there:Mine")
    (tmp_path / "bad" / "broken_method.py").write_text("raise RuntimeError('at import')")
    assert "broken" in listing()
    refused("broken", "the entry point 'broken'", "RuntimeError: at import", "mend or uninstall")
    refused("gone", "the entry point 'gone'", "ModuleNotFoundError", "mend or uninstall")
    assert find_method("zs", []).name == "zs"


FAILS = {
    "a hook raises": "def after_task(self, task):\n        return {}['missing']",
    "a hook exits": "def loss(self, batch):\n        raise SystemExit(0)",
    "badges raise": "@classmethod\n    def badges(cls, config):\n        raise OSError",
    "it cannot be made": "def __init__(self, *all):\n        raise ValueError",
    "it exits when it is read": "import sys; sys.exit(4)",
}


@pytest.mark.parametrize("way", lanes(FAILS, ["a hook raises", "it exits when it is read"]))
def test_a_method_that_fails_is_one_failed_run(
    way: str, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever its own code does: one sentence, a code that is not 0, and the next run goes on."""
    file = tmp_path / "broken.py"
    file.write_text(
        f'"""X."""\nfrom benchmark.api import Method\n\n\nclass Broken(Method):\n'
        f"    label = 'X'\n    {FAILS[way]}\n"
    )

    def asked(method: str) -> Request:
        return Request(
            method, order="photos", limit=16, epochs=1, evals="id", output_dir=tmp_path / "out",
            cache_dir=cache,
        )  # fmt: skip

    with pytest.raises(BenchError, match="1 of 2 runs that failed") as two:
        run_all([asked(str(file)), asked("zs")], "", "plain")
    assert two.value.code != 0
    assert capsys.readouterr().out.count("this run has failed: expected") == 1
    assert len(list((tmp_path / "out" / "scratch" / "mini").glob("zs*.parquet"))) == 1
    with pytest.raises(BenchError, match=r"expected .*, got .*; mend") as alone:
        run_all([asked(str(file))], "", "none")
    assert alone.value.code == two.value.code
    assert alone.value.__cause__ is alone.value.__context__ is None


def test_a_failed_run_names_the_line_and_keeps_the_traceback(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text(
        '"""X."""\nfrom benchmark.api import Method\n\n\nclass Broken(Method):\n    label = "X"\n'
        "    def after_task(self, task):\n        return {}['missing']\n"
    )
    request = Request(
        str(file), order="photos", limit=16, epochs=1, evals="id", output_dir=tmp_path / "out",
        cache_dir=cache,
    )  # fmt: skip
    where = r"raised in after_task in task 1 of 1, photos, after step 1 of 1 \(broken.py, line 8, "
    with pytest.raises(BenchError, match=rf"KeyError: 'missing', {where}"):
        run_all([request], "", "none")
    (kept,) = (tmp_path / "out" / "scratch" / "failed").glob("*.txt")
    assert "Traceback (most recent call last)" in kept.read_text()


def test_a_mistake_in_the_request_stops_all_before_the_first_run(
    tmp_path: Path, cache: Path
) -> None:
    asked = [
        Request(name, order="photos", limit=16, output_dir=tmp_path / "out", cache_dir=cache)
        for name in ("zs", "dat")
    ]
    with pytest.raises(BenchError, match="did you mean 'dar'"):
        run_all(asked, "", "none")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("above", ["", "@dataclass(frozen=True)\n"])
def test_settings_without_a_dataclass_are_refused(above: str, tmp_path: Path) -> None:
    """They would be nobody's: not of `--hp`, not of the record."""
    file = tmp_path / "mine.py"
    file.write_text(
        '"""X."""\nfrom dataclasses import dataclass\n\n'
        "from benchmark.api import Config, Method\n\n\n"
        f"{above}class MineConfig(Config):\n    strength: float = 1.0\n\n\n"
        "class Mine(Method[MineConfig]):\n    label = 'X'\n"
    )
    if above:
        assert find_method(str(file), ["strength=2"]).overrides == {"strength": "2.0"}
        return
    for hp in ([], ["strength=2"]):
        with pytest.raises(
            BenchError, match=r"a frozen dataclass.*write @dataclass\(frozen=True\)"
        ):
            find_method(str(file), hp)
