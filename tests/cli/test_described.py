"""`ls NAME` without torch: the text that an import gives, and an import where reading is less."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmark.cli.described import method as described
from benchmark.cli.listing import describe, listing
from benchmark.common.origins import Origin
from benchmark.errors import BenchError
from benchmark.run import registry
from benchmark.run.registry import locate, method_names
from benchmark.suites.find import find_suite

ROOT = Path(__file__).parents[2]
BUILT_IN = sorted(n for n, origin in method_names().items() if origin.startswith("methods/"))
PLAIN = '''
"""A method of somebody else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from benchmark.api import PROJECTIONS, Badge, Batch, Config, Method, require

if TYPE_CHECKING:
    from pathlib import Path

RANK = 2 * 4
BADGES: Mapping[str, Badge] = {"up": "task id"}


@dataclass(frozen=True)
class Base(Config):
    """What several have."""

    lr: float | None = 1e-3
    rank: int = RANK


@dataclass(frozen=True)
class MineConfig(Base):
    strength: float = -1.5
    flag: bool = True
    sizes: tuple[int, ...] = (1, RANK)
    none: tuple[str, ...] = ()
    targets: tuple[str, ...] = PROJECTIONS
    way: Literal["up", "down"] = "down"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.rank > 0 and self._fine(), "a rank", self.rank)

    def _fine(self) -> bool:
        return all(getattr(self, name) for name in ("flag", "sizes"))


class Mine(Method[MineConfig]):
    """A method."""

    label = "Mine (2)"
    paper = "Someone, Somewhere 2026"
    uses = frozenset({"samples"})
    variants = {"up": {"way": "up", "sizes": (3,)}, "slow-1.5": {"lr": 1e-6}}

    @classmethod
    def badges(cls, config: MineConfig) -> frozenset[Badge]:
        return cls.uses | ({BADGES["up"]} if config.way in BADGES else set())

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"ce": torch.zeros(())}

    def halved(self, x: float = 1.0) -> float:
        return x / 2
'''


def later(text: str) -> Callable[[str], str]:
    return lambda source: source + text


def instead(old: str, new: str) -> Callable[[str], str]:
    def change(source: str) -> str:
        assert source.count(old) == 1, old
        return source.replace(old, new)

    return change


FIELD, POST = "    flag: bool = True\n", "        super().__post_init__()\n"
LABEL = '    label = "Mine (2)"\n'
# What reading would show in another way than an import, or as if nothing were wrong with it.
ODD = {
    "a variant more": later("\nMine.variants['more'] = {'rank': 3}\n"),
    "variants in a loop": later("\nfor n in (1, 2):\n    Mine.variants[f'r{n}'] = {'rank': n}\n"),
    "another label": later("\nMine.label = 'Other'\n"),
    "a call": later("\nprint(end='')\nsetattr(Mine, 'label', 'Other')\n"),
    "a name given twice": later("\nRANK = 5\n"),
    "a class given twice": later("\n\nclass Mine(Method):\n    label = 'Second'\n"),
    "a computed setting": instead(POST, POST + "        object.__setattr__(self, 'rank', 77)\n"),
    "one by its dictionary": instead(POST, POST + "        self.__dict__['rank'] = 77\n"),
    "one by a function": instead(POST, POST + "        vars(self)['rank'] = 77\n"),
    "an own __init__": instead(FIELD, FIELD + "    def __init__(self):\n        put(self)\n"),
    "a default from a call": instead("rank: int = RANK", "rank: int = int('5')"),
    "a factory": instead(FIELD, FIELD + "    more: tuple[int, ...] = field(default=(1,))\n"),
    "a setting of another kind": instead(FIELD, FIELD + "    more: frozenset[int] = {1}\n"),
    "no decorator": instead("@dataclass(frozen=True)\nclass MineConfig", "class MineConfig"),
    "not frozen": instead(
        "@dataclass(frozen=True)\nclass MineConfig", "@dataclass\nclass MineConfig"
    ),
    "a setting without annotation": instead(FIELD, FIELD + "    extra = 5\n"),
    "a mixin": instead(
        "class Mine(Method[MineConfig])",
        "class Mixin:\n    variants = {'m': {}}\n\n\nclass Mine(Mixin, Method[MineConfig])",
    ),
    "a decorated class": instead(
        "class Mine(", "def named(c):\n    c.label = 'Named'\n    return c\n\n\n@named\nclass Mine("
    ),
    "a label that paints": instead(LABEL, "    label = 'Mine \\x1b[31m'\n"),
    "a label that is computed": instead(LABEL, "    label = 'mine'.title()\n"),
    "a conditional label": instead(LABEL, LABEL + "    if True:\n        label = 'If'\n"),
    "a paper with markup": instead("Someone,", "<b>"),
    "no label": instead(LABEL, ""),
    "an unknown badge": instead('{"samples"}', '{"sample"}'),
    "a variant of no setting": instead('"way": "up"', '"road": "up"'),
    "a variant of a bad name": instead('"slow-1.5"', '"slow/"'),
    "a hook with a slip": instead("def halved", "def befroe_task"),
    "a hook of other arguments": instead("def loss(self, batch", "def loss(self, images"),
    "a missing library": instead("import torch\n", "import torch\nimport no_such_library\n"),
    "no such name": instead("Badge, Batch", "Badge, Batches, Batch"),
    "nothing that parses": instead("RANK = 2 * 4", "RANK = 2 *"),
    "an error at import": instead("RANK = 2 * 4", "RANK = 2 * 4 / 0"),
}


def by_import(asked: str, monkeypatch: pytest.MonkeyPatch, suite: str | None = None) -> str:
    with monkeypatch.context() as unread:
        unread.setattr(described, "_read", lambda place: None)
        return said(asked, suite)


def said(asked: str, suite: str | None = None) -> str:
    try:
        return describe(asked, suite)
    except BenchError as error:
        return str(error)


@pytest.mark.parametrize("name", BUILT_IN)
def test_methods_are_shown_as_an_import_shows_them(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = list(described.describe_method(name).variants)[:3]  # test_declared.py has them all
    for asked in (name, f"methods/{name.replace('-', '_')}.py", *(f"{name}.{v}" for v in variants)):
        assert described._read(locate(asked)) is not None
        assert describe(asked) == by_import(asked, monkeypatch)
    assert describe(name, "mini-mtil") == by_import(name, monkeypatch, "mini-mtil")


def test_a_plugin_that_says_all_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.py"
    file.write_text(PLAIN)
    for asked in (f"{file}", f"{file}:up", f"{file}:slow-1.5"):
        assert described._read(locate(asked)) is not None
        assert describe(asked) == by_import(asked, monkeypatch)
    assert "\n  sizes         3      by this variant; 1,8 by default\n" in describe(f"{file}:up")
    assert "\n  targets       attn.out_proj,mlp.c_fc,mlp.c_proj\n" in describe(f"{file}")
    assert "uses   samples, task id" in describe(f"{file}:up")


@pytest.mark.parametrize("odd", ODD)
def test_one_that_does_not_is_imported(
    odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(ODD[odd](PLAIN))
    assert described._read(locate(f"{file}")) is None
    assert said(f"{file}") == by_import(f"{file}", monkeypatch)


def test_an_unknown_variant_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(PLAIN)
    for asked in (f"{tmp_path / 'mine.py'}:upp", "dar.r9", "ft.more"):
        assert "expected a variant of" in said(asked) == by_import(asked, monkeypatch)


NO_TORCH = """
import json, sys
from benchmark.cli.main import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["cl-bench", "ls", *words.split("|")]
    try:
        main()
    except SystemExit as e:
        print("code", e.code)
    heavy = {"torch", "open_clip", "transformers", "pandas", "numpy", "datasets", "matplotlib"}
    assert not heavy & set(sys.modules), (words, heavy & set(sys.modules))
"""


def test_no_name_imports_torch(tmp_path: Path) -> None:
    """Methods, variants, files, a plugin that is installed, and what is none of these."""
    package = tmp_path / "theirs"
    info = tmp_path / "theirs-1.0.dist-info"
    for folder in (package, info):
        folder.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "mine.py").write_text(PLAIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cl_bench.methods]\ntheir-mine = theirs.mine\n")
    (tmp_path / "own.py").write_text(PLAIN)
    built_in = [*BUILT_IN, *(f"methods/{n.replace('-', '_')}.py" for n in BUILT_IN), "dar.r8"]
    there = [
        "dar|--suite|mini",
        "codyra.released|--suite|mini-xtail",
        "--suite|mtil",
        "their-mine",
        "their-mine.up",
        f"{tmp_path / 'own.py'}",
        f"{tmp_path / 'own.py'}:up",
    ]
    none = ["mini", "retrieval", "photos", "tiny-s", "ViT-B-16", "dar.r9", "no.py", "forward"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", NO_TORCH, json.dumps(built_in + there + none)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("code 0") == len(built_in + there)
    assert done.stdout.count("code 2") == len(none)


def test_an_entry_point_is_found_without_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place: Any = SimpleNamespace(module="own_package.inner.mine", value="own_package.inner.mine")
    folder = tmp_path / "own_package" / "inner"
    folder.mkdir(parents=True)
    for init in (folder.parent, folder):
        (init / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (folder / "mine.py").write_text(PLAIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_plugins", lambda: {"mine": [place]})
    assert locate("mine.up") == ("mine", "up", folder / "mine.py", "entry point")
    assert describe("mine").startswith("mine: Mine (2)\n")


SAID = """
from dataclasses import dataclass

from benchmark.api import Badge, Config, Method, setting


@dataclass(frozen=True)
class SaidConfig(Config):
    lr: float | None = setting(None, paper="3e-4 (Table 9)", why="one budget")
    weight_decay: float | None = setting(None, paper="0.1 (Table 9)", why="one budget")
    own: float = setting(2.0, source="Table 1")
    other: float = setting(3.0, paper="4", why="REASON")
    equal: bool = setting(True, paper="true (its code)", why="none is needed")
    free: float = setting(0.5, why="nobody says")
    tuned: float = setting(7.0, sweep="small", trials=12)
    silent: int = 1
    kappa_max: float = setting(0.005, source="Table 2")


class Said(Method[SaidConfig]):
    label = "Said"
    variants = {"far": {"own": 9.0, "other": 4.0}, "kappa": {"kappa_max": 0.5}}

    @classmethod
    def badges(cls, config: SaidConfig) -> frozenset[Badge]:
        return frozenset({"samples"}) if config.kappa_max > 0.005 else frozenset()
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A method that says where some of its settings are from, on a terminal of 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "said.py").write_text(SAID.replace("REASON", "word " * 40))
    return tmp_path / "said.py"


def marked(text: str) -> list[str]:
    return [line.split()[1] for line in text.splitlines() if line.startswith("* ")]


def row(text: str, name: str) -> str:
    """All lines of a setting, as one."""
    lines = iter(text.splitlines())
    found = [line for line in lines if line[2:].startswith(f"{name} ")][:1]
    rest = text.split(found[0] + "\n", 1)[1].splitlines()
    for line in rest:
        if not line.startswith("      "):
            break
        found.append(line)
    return " ".join(" ".join(found).split())


def test_what_differs_from_the_paper_is_marked_and_listed(file: Path) -> None:
    text = describe(f"{file}")
    assert marked(text) == ["lr", "weight_decay", "other"]
    assert "*: 3 settings differ from the paper (lr, weight_decay, other)\n" in text
    assert row(text, "own") == "own 2.0 Table 1"
    assert row(text, "free") == "free 0.5 why: nobody says"
    assert row(text, "tuned") == "tuned 7.0 chosen of 12 by sweeps/small.toml"
    assert row(text, "silent") == "silent 1"
    assert row(text, "decay") == "decay none the suite's recipe"
    assert row(text, "other") == f"* other 3.0 the paper: 4 why: {'word ' * 39}word"


def test_reasons_are_wrapped_under_their_setting(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns in (72, 100, 180):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = describe(f"{file}").splitlines()
        first = next(i for i, line in enumerate(lines) if line.startswith("* other"))
        at = lines[first].index("the paper")
        reason = [line for line in lines[first + 1 :] if "word" in line]
        assert len(reason) > 1
        assert all(len(line) <= columns and len(line) - len(line.lstrip()) == at for line in reason)


def test_a_variant_is_compared_with_what_the_paper_has(file: Path) -> None:
    """Its other value of `own` is not Table 1's; of `other` it has the paper's."""
    text = describe(f"{file}:far")
    assert marked(text) == ["lr", "weight_decay", "own"]
    assert row(text, "own") == "* own 9.0 by this variant; 2.0 by default (Table 1)"
    assert row(text, "other") == "other 4.0 by this variant; 3.0 by default the paper: 4"


def test_a_suite_tells_what_a_method_gets_there(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The values of its recipe, which may be the paper's, and of its settings; badges with them."""
    text = describe(f"{file}", "mini-xtail")
    recipe = find_suite("mini-xtail").recipe
    assert text == by_import(f"{file}", monkeypatch, "mini-xtail")
    assert f" {recipe.lr}, {recipe.lr_added} for what it adds" in row(text, "lr")
    assert row(text, "kappa_max").startswith("* kappa_max 0.03125 by the suite; 0.005 by default")
    assert "uses   samples\n" in text
    assert "uses   the data" in describe(f"{file}")
    assert marked(text) == ["lr", "weight_decay", "other", "kappa_max"]
    assert marked(describe(f"{file}", "mini")) == ["lr", "other"]  # its weight decay is 0.1
    for key, value in asdict(recipe).items():
        assert key == "epochs" or f"\n  {key} " in text.split("recipe of")[1], (key, value)
    kappa = describe(f"{file}:kappa", "mini-xtail")
    assert "kappa_max 0.5 by this variant" in row(kappa, "kappa_max")


def test_a_suites_own_choice_for_a_method_is_told(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep's, for one method alone; the list of suites has it too."""
    mine = find_suite("mini")
    suite = replace(
        mine,
        settings={"said": {"own": 5.0, "lr": 0.25}, "ewc": {"gamma": 0.9}},
        origins={
            "said.own": Origin(sweep="mini-said", trials=6),
            "said.lr": Origin(sweep="mini-said", trials=6),
            "ewc.gamma": Origin(sweep="mini-ewc", trials=3),
            "warmup": Origin("section 9"),
        },
    )
    monkeypatch.setattr("benchmark.cli.listing.find_suite", lambda name: suite)
    text = describe(f"{file}", "mini")
    chosen = "by the suite; {} by default chosen of 6 by sweeps/mini-said.toml"
    assert row(text, "own") == f"* own 5.0 {chosen.format('2.0')}"
    assert row(text, "lr") == f"* lr 0.25 {chosen.format('none')}"
    assert row(text, "warmup") == "warmup 0.1 section 9"
    listed = listing("mini")
    for words in ("said.own", "chosen of 6 by sweeps/mini-said.toml", "recipe warmup", "section 9"):
        assert words in listed
    assert "mini-ewc" in listed
    assert "mini-ewc" not in text


def test_suites_tell_what_they_give() -> None:
    for name, value in (("mini-xtail", "0.03125"), ("mini-mtil", "0.0625"), ("mtil", "0.7")):
        assert value in listing(name).split("given to settings of methods")[1]
    assert "given to settings" not in listing("retrieval")


def test_an_unknown_suite_is_told() -> None:
    with pytest.raises(BenchError, match="mini-xtial"):
        describe("ft", "mini-xtial")
    with pytest.raises(BenchError, match="mini-xtial"):
        listing("mini-xtial")
