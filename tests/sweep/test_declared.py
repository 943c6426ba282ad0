"""What a sweep's file may say: everything that is tried is known, and refused, before a run."""

from pathlib import Path

import pytest

from benchmark.errors import BenchError
from benchmark.sweep.declared import Sweep, read_sweep
from benchmark.sweep.trials import Places, as_text, prove, trial_runs

HEAD = 'suite = "mini"\nmethod = "ft"\ntasks = 2\nseeds = [1, 2]\n'
GRID = "[grid]\nepochs = [1, 2]\nlr = [1e-5, 1e-4]\n"


def read(folder: Path, text: str) -> Sweep:
    file = folder / "mini-ft.toml"
    file.write_text(text)
    return read_sweep(file)


def test_a_grid_is_its_product_the_last_list_fastest(tmp_path):
    sweep = read(tmp_path, HEAD + GRID)
    assert [tuple(t.values()) for t in sweep.trials] == [
        (1, 1e-5), (1, 1e-4), (2, 1e-5), (2, 1e-4)
    ]  # fmt: skip
    assert (sweep.name, sweep.result.name, sweep.score) == ("mini-ft", "mini-ft.json", "last")
    assert (sweep.validation.tasks, sweep.validation.share, sweep.order) == (2, 0.25, "forward")


def test_trials_are_as_they_are_listed(tmp_path):
    sweep = read(tmp_path, HEAD + "[[trial]]\nlr = 1e-4\n[[trial]]\nepochs = 3\nlr = 1e-5\n")
    assert [dict(t) for t in sweep.trials] == [{"lr": 1e-4}, {"epochs": 3, "lr": 1e-5}]


def test_paths_are_from_the_folder_of_the_file(tmp_path):
    text = HEAD.replace('"mini"', '"own.toml"').replace('"ft"', '"mine.py:big"')
    sweep = read(tmp_path, 'pretrained = "w.pt"\n' + text + GRID)
    assert sweep.suite == str(tmp_path / "own.toml")
    assert sweep.method == str(tmp_path / "mine.py:big")
    assert sweep.pretrained == str(tmp_path / "w.pt")
    assert read(tmp_path, 'pretrained = "bundled"\n' + HEAD + GRID).pretrained == "bundled"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("tasks = 2", "task = 2", "known keys"),
        ("tasks = 2\n", "", "`tasks`"),
        ("tasks = 2", "tasks = 0", "`tasks`"),
        ("tasks = 2", "tasks = 2\nshare = 1.0", "between 0 and 1"),
        ("tasks = 2", "tasks = 2\nshare = 0", "between 0 and 1"),
        ("seeds = [1, 2]\n", "", "`seeds`"),
        ("[1, 2]\n[grid]", "[]\n[grid]", "`seeds`"),
        ("[1, 2]\n[grid]", "[1, 1]\n[grid]", "`seeds`"),
        ("[1, 2]\n[grid]", "[1, true]\n[grid]", "`seeds`"),
        ("[1, 2]\n[grid]", "[-1]\n[grid]", "`seeds`"),
        ("tasks = 2", 'tasks = 2\nscore = "best"', "`score` of last, average"),
        ("tasks = 2", 'tasks = 2\ntemplates = "all"', "`templates` of"),
        (GRID, "", "neither"),
        (GRID, GRID + "[[trial]]\nlr = 1e-4\n", "both"),
        (GRID, "trial = []\n", "at least one"),
        (GRID, "[[trial]]\n", "a setting in trial 1"),
        (GRID, "[grid]\n", "a grid of 1 to 1000"),
        (GRID, "[grid]\nlr = []\n", "a list of values"),
        (GRID, "[grid]\nlr = 1e-4\n", "a list of values"),
        (GRID, "[grid]\nlr = [1979-05-27]\n", "a text, number"),
        (GRID, f"[grid]\nlr = {list(range(40))}\nepochs = {list(range(40))}\n", "1600 trials"),
        (GRID, "[grid]\nlr = [\n", "valid TOML"),
    ],
)
def test_a_file_that_says_something_else_is_one_sentence(tmp_path, old, new, words):
    assert old in HEAD + GRID
    with pytest.raises(BenchError) as error:
        read(tmp_path, (HEAD + GRID).replace(old, new))
    assert words in str(error.value)


def test_a_file_that_is_no_sweep(tmp_path):
    with pytest.raises(BenchError, match=r"\.toml file of a sweep"):
        read_sweep(tmp_path / "mini-ft.json")
    with pytest.raises(BenchError, match="no file"):
        read_sweep(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("lr = [1e-5, 1e-4]", "lr = [1e-4, 0.0001]", "trials 1 and 2 with the same"),
        ("lr = [1e-5, 1e-4]", "rate = [1e-5, 1e-4]", "in trial 1 of mini-ft.toml"),
        ("lr = [1e-5, 1e-4]", "lr = [1e-4, -1.0]", "in trial 2 of mini-ft.toml"),
        ("lr = [1e-5, 1e-4]", 'lr = [1e-4, "fast"]', "in trial 2 of mini-ft.toml"),
        ("epochs = [1, 2]", "epochs = [1, 0]", "in trial 3 of mini-ft.toml"),
        ("epochs = [1, 2]", "epochs = [1.5]", "a whole number for `epochs`"),
        ("epochs = [1, 2]", "batch_size = [1]", "--batch-size of at least 2"),
        ("epochs = [1, 2]", "caption_sampling = [3]", "a text for `caption_sampling`"),
        ("epochs = [1, 2]", 'crops = ["some"]', "crops"),
        ("epochs = [1, 2]", "seed = [1]", "seed"),
        ('"mini"', '"maxi"', "a suite"),
        ('"ft"', '"fft"', "a method"),
        ("tasks = 2", "tasks = 8", "7 in the order"),
        ("tasks = 2", 'tasks = 2\norder = "measured"', "needs no test data"),
        ("tasks = 2", 'tasks = 2\norder = "photos"', "1 in the order"),
        ("tasks = 2", 'tasks = 2\ntemplates = "generic"', "a choice of prompts"),
        ("tasks = 2", 'tasks = 2\nbackbone = "tiny-xxl"', "tiny-xxl"),
    ],
)
def test_what_no_run_could_do_is_refused_before_the_first(tmp_path, old, new, words):
    assert old in HEAD + GRID
    sweep = read(tmp_path, (HEAD + GRID).replace(old, new))
    with pytest.raises(BenchError) as error:
        trial_runs(sweep, Places())
    assert words in str(error.value)


def test_a_trial_that_is_the_default_is_equal_to_one_that_says_it(tmp_path):
    """Settings are compared as they are used: mini has five epochs."""
    sweep = read(tmp_path, HEAD + "[[trial]]\nlr = 1e-4\n[[trial]]\nlr = 1e-4\nepochs = 5\n")
    with pytest.raises(BenchError, match="trials 1 and 2"):
        trial_runs(sweep, Places())


REFUSES = """
import torch
from dataclasses import dataclass
from benchmark.api import Config, Method, require

@dataclass(frozen=True)
class MineConfig(Config):
    width: int = 1

class Mine(Method[MineConfig]):
    label = "Mine"

    def __init__(self, clip, config, tools):
        super().__init__(clip, config, tools)
        require(config.width < 5, "width below 5 with this backbone", config.width)
        if config.width == 4:
            raise RuntimeError("a fault of its own")
"""


def test_what_a_method_refuses_when_it_is_built_is_told_before_the_first_run(tmp_path):
    """Its own faults are left to the run, which records them."""
    (tmp_path / "mine.py").write_text(REFUSES)
    text = HEAD.replace('"ft"', '"mine.py"')
    fine = read(tmp_path, text + "[grid]\nwidth = [1, 4]\n")
    prove(fine, trial_runs(fine, Places()))
    sweep = read(tmp_path, text + "[grid]\nwidth = [1, 4, 7]\n")
    with pytest.raises(BenchError, match=r"width below 5 .* in trial 3 of mini-ft\.toml"):
        prove(sweep, trial_runs(sweep, Places()))


def test_a_value_reaches_the_method_as_the_file_has_it(tmp_path):
    assert [as_text(v) for v in (True, 1e-7, 3, "a b", [0.5, 2])] == [
        "true", "1e-07", "3", "a b", "0.5,2"
    ]  # fmt: skip
    sweep = read(tmp_path, HEAD + "[[trial]]\nepochs = 3\nbatch_size = 8\nlr = 1e-7\n")
    (one, two) = trial_runs(sweep, Places(output_dir=tmp_path))
    assert (one.seed, two.seed) == (1, 2)
    assert one.plan.method.config.lr == 1e-7
    assert (one.plan.recipe.epochs, one.plan.recipe.batch_size) == (3, 8)
    assert one.plan.asked["validation"] == {"tasks": 2, "share": 0.25, "rule": "1"}
    assert one.plan.target.parent == tmp_path / "scratch" / "mini"


def test_every_key_of_a_file_reaches_the_runs(tmp_path):
    """What is accepted is used: a key that changed nothing would be worse than none."""
    few = HEAD.replace('"mini"', '"mini-xtail"') + "[grid]\nlr = [1e-4]\n"
    keys = {
        "order": '"reverse"', "share": "0.5", "backbone": '"tiny-b"', "pretrained": '"random:3"',
        "templates": '"generic"',
    }  # fmt: skip
    base = trial_runs(read(tmp_path, few), Places())[0].plan.asked
    for key, value in keys.items():
        changed = trial_runs(read(tmp_path, f"{key} = {value}\n{few}"), Places())[0].plan.asked
        assert changed != base, key
    assert read(tmp_path, 'score = "average"\n' + few).score == "average"
    parts = trial_runs(read(tmp_path, "share = 0.5\n" + few), Places())[0].plan.suite.tasks[0]
    sizes = [parts.load(part).images.size for part in ("train", "test")]
    assert sizes == [8 * 8, 8 * 8]  # planes: 8 classes of 16 shots
