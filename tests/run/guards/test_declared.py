"""What is refused when a method is found: whatever would run and do nothing, or be misread."""

from pathlib import Path

import pytest

from benchmark.errors import BenchError
from benchmark.run.registry import find_method, is_built_in, method_names

HEAD = '''"""A method of somebody else."""
from dataclasses import dataclass

from torch import nn
from benchmark.api import Config, Method

{above}
class Mine(Method{brackets}):
    label = "Mine"
    {body}
'''

WRONG: dict[str, tuple[str, str]] = {
    # hooks
    "a letter lost": ("def after_tsk(self, task): ...", "'after_tsk'.*did you mean 'after_task'"),
    "one too many": ("def encode_images(self, x): ...", "did you mean 'encode_image'"),
    "two swapped": ("def befroe_task(self, task): ...", "did you mean 'before_task'"),
    "camel case": ("def afterStep(self, a, b): ...", "did you mean 'after_step'"),
    "words in another order": ("def task_after(self, task): ...", "did you mean 'after_task'"),
    "an attribute": ("training_onyl = ('a',)", "did you mean 'training_only'"),
    "too few arguments": ("def after_step(self, step): ...", r"after_step\(self, step, total\)"),
    "no self": ("def before_task(): ...", r"before_task\(self, task\)"),
    "one more": ("def loss(self, batch, epoch): ...", r"loss\(self, batch\).*missing"),
    "static": ("@staticmethod\n    def loss(batch): ...", "as a method, got a staticmethod"),
    "no class method": ("def badges(self, config): ...", "@classmethod def badges"),
    "a value": ("loss = 3", "as a method, got a int"),
    "a generator": ("def before_task(self, task): yield", "of which nothing runs"),
    "a coroutine": ("async def after_task(self, task): ...", "of which nothing runs"),
    "torch's own": ("def state_dict(self, *a, **k): return {}", "leave `state_dict` to torch"),
    # badges and the rest
    "an unknown badge": ("uses = frozenset({'sample'})", "did you mean 'samples'"),
    "a badge as text": ("uses = 'samples'", "as a frozenset of badges"),
    "badges by settings": (
        "@classmethod\n    def badges(cls, config): return {'x'}", r"Mine.badges of samples",
    ),
    "an unknown kind": ("refuses = {'pair': 'no'}", "kinds of pairs, labelled, got 'pair'"),
    "no reason": ("refuses = {'pairs': ''}", "with a reason"),
    "refused as a list": ("refuses = ['pairs']", "as a mapping"),
    "both kinds": ("refuses = {'pairs': 'a', 'labelled': 'b'}", "one that refuses both"),
    "a name as text": ("training_only = 'head'", "with a comma"),
    "more budget": ("budgets = 5", "`budgets` of Mine of 1, got 5"),
    # variants
    "an unknown setting": ("variants = {'a': {'rnk': 1}}", "'rnk'.*choose one of 'decay'"),
    "a value of another type": ("variants = {'a': {'lr': 'x'}}", "lr of type .*variant 'a'"),
    "a value out of range": ("variants = {'a': {'lr': -1.0}}", "lr and weight_decay .*'a'"),
    "markup in a variant": ("variants = {'<a>': {'lr': 1.0}}", "named by letters"),
    "a path in a variant": ("variants = {'../a': {'lr': 1.0}}", "named by letters"),
    "variants as a list": ("variants = ['a']", "as a mapping, tag to settings"),
    "a variant as a list": ("variants = {'a': ['lr']}", "as a mapping, setting to value"),
    # texts
    "a label that is none": ("label = 3", "`label` of Mine"),
    "an empty label": ("label = ''", "`label` of Mine"),
    "a long label": ("label = 'a' * 61", "at most 60"),
    "markup": ("label = '<b>x</b>'", "got '<b>x</b>'"),
    "a link": ("label = '[x](y)'", "`label` of Mine"),
    "a cell's end": ("label = 'a | b'", "`label` of Mine"),
    "a line's end": ("label = 'a\\nb'", "`label` of Mine"),
    "an address": ("label = 'www.x.org'", "no address"),
    "another's looks": ("label = 'D\\u0410R'", "CYRILLIC CAPITAL LETTER A"),
    "a paper of two lines": ("paper = 'a\\nb'", "`paper` of Mine on one line"),
    # settings
    "a Config that is none": ("Config = dict", "a class that extends Config"),
    "an instance": ("Config = Config()", "a class that extends Config"),
}  # fmt: skip


def write(folder: Path, body: str = "", above: str = "", brackets: str = "") -> Path:
    file = folder / "mine.py"
    file.write_text(HEAD.format(body=body or "...", above=above, brackets=brackets))
    return file


@pytest.mark.parametrize("case", WRONG)
def test_a_declaration_that_is_none_is_one_sentence(case: str, tmp_path: Path) -> None:
    body, words = WRONG[case]
    with pytest.raises(BenchError, match=words) as error:
        find_method(str(write(tmp_path, body)), [])
    assert str(error.value).startswith("expected ")
    assert error.value.code == 2


@pytest.mark.parametrize(
    "body",
    [
        "def losses(self): ...", "def encode(self, x): ...", "def features_of(self, x): ...",
        "def _after_tsk(self, task): ...", "scale_of = 3", "def forward(self, x): ...",
        "def train_step(self): ...", "def encode_items(self, x): ...", "used = ()",
        "def before_task(self, task, *more): ...", "def after_step(self, step, total, n=1): ...",
    ],
)  # fmt: skip
def test_names_and_forms_of_ones_own_are_free(body: str, tmp_path: Path) -> None:
    assert find_method(str(write(tmp_path, body)), []).cls.label == "Mine"


@pytest.mark.parametrize(
    ("above", "words"),
    [
        ("class C(Config):\n    strength: float = 1.0\n", "write @dataclass"),
        ("class C(Config):\n    strength = 1.0\n", "whose strength nobody could set"),
        ("@dataclass\nclass C(Config):\n    strength: float = 1.0\n", "@dataclass.frozen=True"),
        ("@dataclass\nclass C:\n    strength: float = 1.0\n", "a Config class in Method|extends"),
    ],
)
def test_settings_are_a_frozen_dataclass(above: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=words):
        find_method(str(write(tmp_path, above=above, brackets="[C]")), [])


@pytest.mark.parametrize("name", ["a|b", "<x>", "a b", "m\u00e9thode", "x" * 61, "-a"])
def test_a_file_is_named_as_a_record_can_be(name: str, tmp_path: Path) -> None:
    file = write(tmp_path).rename(tmp_path / f"{name}.py")
    with pytest.raises(BenchError, match=r"a method's name .*rename the file"):
        find_method(str(file), [])


@pytest.mark.parametrize("name", [n for n, o in method_names().items() if o.startswith("methods")])
def test_every_method_here_declares_what_it_should(name: str) -> None:
    found = find_method(name, [])
    assert is_built_in(found)
    assert len({find_method(f"{name}.{tag}", []).config for tag in found.cls.variants}) == len(
        found.cls.variants
    )


def test_a_link_under_another_name_is_no_method_of_ours(tmp_path: Path) -> None:
    ours = find_method("ft", []).file
    (tmp_path / "sota.py").symlink_to(ours)
    (tmp_path / "ft.py").symlink_to(ours)
    assert not is_built_in(find_method(str(tmp_path / "sota.py"), []))
    assert is_built_in(find_method(str(tmp_path / "ft.py"), []))
    assert is_built_in(find_method(str(ours), []))


def test_a_file_says_itself_nothing_of_where_it_lies(tmp_path: Path) -> None:
    """The class of a file that claims to be one of ours is known by the file that was read."""
    ours = find_method("ft", []).file
    file = write(tmp_path, above=f"__file__ = {str(ours)!r}")
    file = file.rename(tmp_path / "ft.py")
    found = find_method(str(file), [])
    assert found.file == file
    assert not is_built_in(found)


def test_an_entry_point_to_one_of_ours_is_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "x-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: x\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cl_bench.methods]\nsota = methods.ft:FT\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = find_method("sota", [])
    assert found.origin == "entry point"
    assert not is_built_in(found)
