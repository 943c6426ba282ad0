"""What is shown while something takes long: never nothing, and no estimate without a basis."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.cli import display as shown
from benchmark.cli.display import Display, LiveDisplay, first_word, make_display
from benchmark.cli.meters import DONE, Meter, Remaining, clock_text
from benchmark.common.report import SILENT

ROOT = Path(__file__).parents[2]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Lines(Display):
    def __init__(self, quiet: bool = False) -> None:
        super().__init__(quiet)
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)
        self._spoke = time.monotonic()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second stands for ten."""
    monkeypatch.setattr(shown, "EVERY", 0.1)
    monkeypatch.setattr(shown, "LOOK", 0.01)


def wait_for(happened: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


# -- lines


def test_work_that_says_nothing_is_reported_all_the_same(quick: None) -> None:
    display = Lines()
    with display.evaluating("stage 1/2", 11), display.phase("ImageNet", 500, "items") as advance:
        display.evaluated("COCO", "50.0")
        advance(20)
        wait_for(lambda: len(display.lines) > 2)
    assert display.lines[0] == "stage 1/2  evaluating 11 sets"
    assert display.lines[1].startswith("stage 1/2  evaluating 1/11 sets  ImageNet  20/500 items  ")
    with display.phase("weights of a model"):
        count = len(display.lines)
        wait_for(lambda: len(display.lines) > count)
    assert display.lines[-1] == "weights of a model  0:00 so far"


def test_short_work_and_many_batches_are_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "LOOK", 0.001)
    display = Lines()
    for _ in range(20):
        with display.phase("short", 1000, "images") as advance:
            for _ in range(1000):
                advance(1)
    time.sleep(0.02)
    assert display.lines == []


def test_none_shows_the_end_alone(
    quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    display = make_display("none")
    with display.phase("long", 10, "images") as advance:
        display.line("a sentence")
        advance(3)
        time.sleep(0.25)
    display.result("the record")
    assert capsys.readouterr().out == "the record\n"


def test_nobody_watches_when_nothing_is_done(quick: None) -> None:
    display = Lines()
    with pytest.raises(KeyError), display.phase("outer"), display.phase("inner"):
        raise KeyError
    said = len(display.lines)
    time.sleep(0.25)
    assert len(display.lines) == said


def test_a_long_step_of_training_is_reported(quick: None) -> None:
    display = Lines()
    with display.training("task 1/2 A", 10, 2, 0):
        wait_for(lambda: display.lines)
        assert display.lines[0] == "task 1/2 A  step 0/10  0:00 so far"
        for step in range(1, 11):
            display.step(step, 0.5, 4)
    epochs = [line for line in display.lines if "epoch" in line and "step 5/10" in line]
    assert len(epochs) == 1
    assert any("epoch 2/2  step 10/10  loss 0.500" in line for line in display.lines)


def test_bars_inside_of_bars_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    display = make_display("rich")
    assert isinstance(display, LiveDisplay)
    display.remaining.kinds = ["a", "a"]
    with display.running(0), display.evaluating("stage 0/1 [/x]", 2):
        with display.bars(("one [/x]", 4, "items"), ("two", 0, "")) as (advance, _):
            advance(2)
            display.line("[/x] in between")
            display._look()
        display.evaluated("[/x]", "50.0")
        with display.training("task 1/1", 2, 1, 0):
            display.step(1, 0.5, 4)
    assert display._bar is None
    assert "[/x] in between" in capsys.readouterr().out


def test_silence_has_the_same_shape() -> None:
    with (
        SILENT.phase("x", 3, "images") as advance,
        SILENT.bars(("a", 1, "B"), ("b", 1, "B")) as two,
    ):
        advance(1)
        assert len(two) == 2
    with SILENT.training("x", 1, 1, 0), SILENT.evaluating("x", 1):
        SILENT.step(1, 0.5, 4)


def test_a_meter_says_what_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("benchmark.cli.meters.time.monotonic", clock)
    meter = Meter("images", 100, "images", started=clock.now)
    clock.now += 30
    assert meter.status() == "0/100 images  0:30 so far"  # nothing to go by
    meter.done = 25
    assert meter.status() == "25/100 images  1/s  1:30 left"
    meter.done = 100
    assert meter.status() == "100/100 images  3/s"
    sets = Meter("stage", 11, "sets", done=3)
    clock.now += 30
    assert sets.status() == "3/11 sets"  # the last one may take longer than all others
    assert clock_text(3599.6) == "1:00:00"
    assert clock_text(59) == "0:59"


# -- the time left


def learn(times: Remaining, clock: Clock, steps: int, seconds: float, rest: float) -> None:
    """A task with its evaluation: `seconds` a step, `rest` for all else."""
    times.run.training()
    for _ in range(steps):
        clock.now += seconds
        times.run.step()
    clock.now += rest
    times.run.evaluated()


def test_a_run_has_an_estimate_after_its_first_whole_task() -> None:
    clock = Clock()
    times = Remaining(clock)
    times.kinds = ["ft"]
    assert times.text() == ""
    times.begin(0)
    times.run.planned([10, 20, 40], 0)
    clock.now += 500  # stage 0 computes what later stages do not
    times.run.evaluated()
    assert times.left() is None
    learn(times, clock, 10, 2.0, 7.0)
    assert times.left() == pytest.approx(2 * 60 + 2 * 7)
    times.run.training()
    for _ in range(5):
        clock.now += 2
        times.run.step()
    assert times.left() == pytest.approx(15 * 2 + 40 * 2 + 2 * 7)
    assert times.text() == "about 2:04 left"
    learn(times, clock, 15, 2.0, 7.0)
    learn(times, clock, 40, 2.0, 7.0)
    assert times.left() == 0


def test_what_was_done_before_is_no_basis() -> None:
    clock = Clock()
    times = Remaining(clock)
    times.kinds = ["ft"]
    times.begin(0)
    times.run.planned([10, 10, 10], 1)
    times.run.evaluated()  # at once: the scores are on the disk
    times.run.evaluated()
    assert times.left() is None
    learn(times, clock, 10, 1.0, 5.0)
    assert times.left() == pytest.approx(15)


def test_no_estimate_where_all_training_may_come_at_the_end() -> None:
    clock = Clock()
    times = Remaining(clock)
    times.kinds = ["joint"]
    times.begin(0)
    times.run.planned([10, 10], 0)
    times.run.evaluated()
    learn(times, clock, 0, 0.0, 5.0)
    assert times.left() is None


def test_runs_to_come_take_what_their_likes_took() -> None:
    clock = Clock()
    times = Remaining(clock)
    times.kinds = ["ft", "ft", "dar", DONE]
    with_basis = []
    for index in range(2):
        times.begin(index)
        times.run.planned([10], 0)
        times.run.evaluated()
        with_basis.append(times.left())
        learn(times, clock, 10, 1.0, 10.0)
        if index == 0:
            assert times.text() == "run 1/4, about 0:00 of it left"  # nothing is known of dar
        times.end(whole=True)
    assert with_basis == [None, 20 + 20 + 0]
    times.begin(2)
    assert times.left() is None
    clock.now += 3
    times.end(whole=False)
    times.begin(3)
    assert times.left() is None


def test_a_run_that_takes_longer_than_the_others_has_no_estimate() -> None:
    clock = Clock()
    times = Remaining(clock)
    times.kinds = ["zs", "zs"]
    times.begin(0)
    times.run.planned([0], 0)
    clock.now += 10
    times.end(whole=True)
    times.begin(1)
    clock.now += 4
    assert times.left() == pytest.approx(6)
    clock.now += 7
    assert times.left() is None


# -- the first word


def test_the_first_word_says_what_runs() -> None:
    said = first_word("mini", ["ft", "dar"], ["forward"], [1, 2, 1])
    assert said == "suite mini; methods ft, dar; order forward; seeds 1, 2"


@pytest.mark.parametrize("words", ["'run', '-m', 'zs'", "'order'"])
def test_the_first_word_comes_before_anything_heavy_is_imported(words: str) -> None:
    code = (
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.partition('.')[0] in ('torch', 'pandas', 'numpy', 'pyarrow'):\n"
        "            import os; sys.stdout.flush(); sys.stderr.flush(); os._exit(77)\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from benchmark.cli.main import main\n"
        f"sys.argv = ['cl-bench', {words}, '--suite', 'mini']\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 77, done.stderr
    assert "mini" in done.stdout
