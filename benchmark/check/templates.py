"""The text of a new method's file and of its test, by what it is to begin from. No torch.

`$Class` and the like are filled in by `scaffold`. Each kind works as it stands, and has one setting
at whose limit the method is another, known one: that is what its test checks.
"""

FINETUNE = '''"""$Label: $title.

$paper_text

Fine-tuning with a pull towards the weights at the start of the task, theta_start:

    loss = match + strength ||theta - theta_start||^2

Differs from the paper:
- (Every difference, with its reason.)

Kept between tasks: nothing. During a task, a copy of the weights.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.api import Backbone, Batch, Config, Method, Task, Tools, flat, require, setting


@dataclass(frozen=True)
class ${Class}Config(Config):
    """Settings; `paper` and `why` stand where a default is not the paper's."""

    strength: float = setting(1e-4, source="(section or table)")  # of the pull, unitless

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        require(self.strength >= 0, "strength of at least 0", self.strength)


class ${Class}(Method[${Class}Config]):
    """Fine-tuning that stays near its start.

    N is the number of trained weights, in the order of `Backbone.weights`.
    """

    label = "$Label"
$paper
    training_only = ("start_N",)

    def __init__(self, clip: Backbone, config: ${Class}Config, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        self.start_N: Tensor = nn.Buffer(torch.zeros(0))

    def before_task(self, task: Task) -> None:
        """Where the task starts."""
        self.start_N = flat(self.clip.weights()).detach()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Matching, and the pull."""
        away = (flat(self.clip.weights()) - self.start_N).square().sum()
        return super().loss(batch) | {"pull": self.config.strength * away}

    def after_task(self, task: Task) -> None:
        """What the task alone needed is dropped."""
        self.start_N = self.start_N.new_zeros(0)
'''

ADAPTER = '''"""$Label: $title.

$paper_text

One low-rank adapter on the linear maps of both towers, trained on one task after the other; the
backbone is frozen.

Differs from the paper:
- (Every difference, with its reason.)

Kept between tasks: the adapter.
"""

from dataclasses import dataclass

from torch import Tensor

from benchmark.api import (
    PROJECTIONS,
    Config,
    Images,
    LoRA,
    Method,
    ParamGroup,
    Task,
    Texts,
    check_adapter,
    encode_with,
    setting,
)


@dataclass(frozen=True)
class ${Class}Config(Config):
    """Settings; `paper` and `why` stand where a default is not the paper's."""

    rank: int = setting(8, source="(section or table)")  # of the adapter

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        check_adapter(self.rank, 2.0 * self.rank, 0.0, PROJECTIONS)


class ${Class}(Method[${Class}Config]):
    """A frozen backbone with one adapter."""

    label = "$Label"
$paper

    def before_task(self, task: Task) -> None:
        """Attach the adapter once; it changes nothing before it is trained."""
        if task.index == 0:
            rank, draws = self.config.rank, task.generator("adapter")
            self.adapter = LoRA(self.clip, PROJECTIONS, rank, 2.0 * rank, 0.0, draws)

    def trainable(self) -> list[ParamGroup]:
        """The adapter alone."""
        return [ParamGroup(list(self.adapter.parameters()))]

    def encode_image(self, images: Images) -> Tensor:
        """The backbone with the adapter."""
        return encode_with(self.clip, images, self.adapter.deltas(), self.adapter.targets)

    def encode_text(self, texts: Texts) -> Tensor:
        """The backbone with the adapter."""
        return encode_with(self.clip, texts, self.adapter.deltas(), self.adapter.targets)
'''

INFERENCE = '''"""$Label: $title.

$paper_text

Nothing is trained. The mean row of each modality over the training data of all tasks so far is
taken away from every row:

    x -> unit(x - weight mean)

Differs from the paper:
- (Every difference, with its reason.)

Kept between tasks: two sums of rows and how many they are of.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.api import (
    Backbone,
    Config,
    Images,
    Method,
    ParamGroup,
    Task,
    Texts,
    Tools,
    require,
    setting,
    unit,
)


@dataclass(frozen=True)
class ${Class}Config(Config):
    """Settings; `paper` and `why` stand where a default is not the paper's."""

    weight: float = setting(0.5, source="(section or table)")  # share of the mean, taken away

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        require(0 <= self.weight <= 1, "weight in [0, 1]", self.weight)


class ${Class}(Method[${Class}Config]):
    """The untouched backbone, with rows moved by what the tasks showed."""

    label = "$Label"
$paper

    def __init__(self, clip: Backbone, config: ${Class}Config, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        # Added in float64, so that the order of the tasks decides nothing.
        self.image_D: Tensor = nn.Buffer(torch.zeros(clip.dim, dtype=torch.float64))
        self.text_D: Tensor = nn.Buffer(torch.zeros(clip.dim, dtype=torch.float64))
        self.count_2: Tensor = nn.Buffer(torch.zeros(2, dtype=torch.float64))

    def trainable(self) -> list[ParamGroup]:
        """Nothing: no step is made."""
        return []

    def after_task(self, task: Task) -> None:
        """Add the rows of the task's images and texts, from the shared cache."""
        for batch in task.loader.sweep():
            image_BD, text_MD = batch.images.frozen().double(), batch.texts.frozen().double()
            self.image_D += image_BD.sum(dim=0)
            self.text_D += text_MD.sum(dim=0)
            self.count_2 += self.count_2.new_tensor([len(image_BD), len(text_MD)])

    def encode_image(self, images: Images) -> Tensor:
        """Frozen rows, moved."""
        return self._moved(images.frozen(), self.image_D / self.count_2[0].clamp(min=1))

    def encode_text(self, texts: Texts) -> Tensor:
        """Frozen rows, moved."""
        return self._moved(texts.frozen(), self.text_D / self.count_2[1].clamp(min=1))

    def _moved(self, row_BD: Tensor, mean_D: Tensor) -> Tensor:
        return unit(row_BD - self.config.weight * mean_D.float())
'''

_HEAD = '''"""$Label: the limit at which it is another, known method."""
$imports

METHOD = $method
$fixture

'''

_TEST_FINETUNE = '''@pytest.mark.parametrize("kind", ["pairs", "labelled"])
def test_without_the_pull_it_is_fine_tuning_bit_for_bit(lab: Lab, kind: str) -> None:
    """With a strength of 0 the losses and the weights are those of fine-tuning."""
    mine = lab.train(METHOD, lab.sets(kind)[:2], strength=0.0)
    plain = lab.train("ft", lab.sets(kind)[:2])
    assert mine.losses == plain.losses
    state = plain.method.clip.state_dict()
    assert all(v.equal(state[k]) for k, v in mine.method.clip.state_dict().items())


def test_the_pull_is_felt(lab: Lab) -> None:
    """Another strength is another training."""
    runs = [lab.train(METHOD, lab.pairs[:1], strength=s) for s in (0.0, 1.0)]
    assert runs[0].losses[-1] != runs[1].losses[-1]
'''

_TEST_ADAPTER = '''def test_an_adapter_that_does_not_learn_changes_nothing(lab: Lab) -> None:
    """At a rate of 0 the rows are the untouched backbone's."""
    still = lab.train(METHOD, lab.pairs[:2], lr=0.0, weight_decay=0.0)
    untouched = lab.train("zs", lab.pairs[:2])
    for mine, plain in zip(
        lab.embed(still.method, still.feed, lab.pairs[2]),
        lab.embed(untouched.method, untouched.feed, lab.pairs[2]),
        strict=True,
    ):
        assert_close(mine, plain, rtol=0, atol=1e-6)


def test_it_learns(lab: Lab) -> None:
    """At another rate they are not."""
    runs = [lab.train(METHOD, lab.pairs[:1], lr=lr) for lr in (0.0, 0.01)]
    rows = [lab.embed(run.method, run.feed, lab.pairs[0])[0] for run in runs]
    assert not rows[0].allclose(rows[1], atol=1e-4)
'''

_TEST_INFERENCE = '''def test_without_a_weight_it_is_the_untouched_backbone(lab: Lab) -> None:
    """With a weight of 0 the rows are the untouched backbone's."""
    still = lab.train(METHOD, lab.pairs[:2], weight=0.0)
    untouched = lab.train("zs", lab.pairs[:2])
    for mine, plain in zip(
        lab.embed(still.method, still.feed, lab.pairs[2]),
        lab.embed(untouched.method, untouched.feed, lab.pairs[2]),
        strict=True,
    ):
        assert_close(mine, plain, rtol=0, atol=1e-6)


def test_the_weight_is_felt(lab: Lab) -> None:
    """With another weight they are not."""
    runs = [lab.train(METHOD, lab.pairs[:1], weight=weight) for weight in (0.0, 0.5)]
    rows = [lab.embed(run.method, run.feed, lab.pairs[0])[0] for run in runs]
    assert not rows[0].allclose(rows[1], atol=1e-4)
'''

FIXTURE = '''

@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A tiny backbone and small renders."""
    return make_lab(tmp_path_factory.mktemp("cache"))
'''

METHODS = {"finetune": FINETUNE, "adapter": ADAPTER, "inference": INFERENCE}
TESTS = {
    "finetune": _HEAD + _TEST_FINETUNE,
    "adapter": _HEAD + _TEST_ADAPTER,
    "inference": _HEAD + _TEST_INFERENCE,
}
