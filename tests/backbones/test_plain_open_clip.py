"""Parts of open_clip: its own towers and no other library, beside the whole that others import."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from torch import nn

from benchmark.backbones.known import bundled, check_backbone, configs, describe
from benchmark.backbones.open_clip import build
from benchmark.backbones.plain_open_clip import part
from benchmark.backbones.plain_open_clip.undrawn import Undrawn
from benchmark.errors import BenchError

ROOT = Path(__file__).parents[2]
UNUSED: Any = torch.empty  # for a tokenizer, where no text is read


def runs(name: str) -> bool:
    try:
        check_backbone(name)
    except BenchError:
        return False
    return True


RUN = sorted(n for n in set(configs()) - set(bundled()) if runs(n))


def test_parts_are_made_from_the_files_that_are_installed() -> None:
    folder = Path(open_clip.__file__).parent
    for name in ("model", "transformer", "tokenizer", "constants", "pretrained"):
        module = part(name)
        assert Path(module.__file__) == folder / f"{name}.py"
        assert module.__name__ == f"benchmark.backbones.plain_open_clip.{name}"
    assert part("model").CLIP is not open_clip.CLIP
    assert part("model").VisionTransformer is part("transformer").VisionTransformer
    assert part("constants").OPENAI_DATASET_MEAN == open_clip.OPENAI_DATASET_MEAN


def test_towers_of_other_libraries_are_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are refused here, and nevertheless whole: no name stands for something else."""
    made = part("timm_model").TimmModel
    monkeypatch.setattr("open_clip.timm_model.TimmModel", lambda *a, **k: ("theirs", a, k))
    assert made("name", embed_dim=3) == ("theirs", ("name",), {"embed_dim": 3})
    whole, own = open_clip.utils, part("utils")
    for size in (7, (3, 4), [5, 6]):
        assert own.to_2tuple(size) == whole.to_2tuple(size)
    assert own.feature_take_indices(4, 2) == whole.feature_take_indices(4, 2)
    frozen = own.freeze_batch_norm_2d(nn.Sequential(nn.BatchNorm2d(2)))
    assert type(frozen[0]).__name__ == "FrozenBatchNorm2d"
    with pytest.raises(AttributeError):
        own.no_such_function(1)
    assert not hasattr(own, "__wrapped__")


# One layer a tower and few words: the parameters that are left have the model's own sizes.
@pytest.mark.parametrize(
    "name", [n if n == "ViT-B-16" else pytest.param(n, marks=pytest.mark.slow) for n in RUN]
)
@torch.no_grad()
def test_names_draws_and_outputs_are_those_of_create_model(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads(configs()[name].read_text())
    config["vision_cfg"]["layers"] = config["text_cfg"]["layers"] = 1
    config["text_cfg"]["vocab_size"] = 64
    file = tmp_path / "own-thin.json"
    file.write_text(json.dumps(config))
    monkeypatch.setitem(configs(), "own-thin", file)
    factory = open_clip.factory
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", {**factory._MODEL_CONFIGS, "own-thin": config})
    torch.manual_seed(4)
    theirs = open_clip.create_model("own-thin", pretrained=None).eval()
    torch.manual_seed(4)
    ours = build(describe("own-thin"), UNUSED).eval()
    own = ours.state_dict()
    assert {k: v.shape for k, v in own.items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }
    assert all(own[k].equal(v) for k, v in theirs.state_dict().items())
    pixels = torch.randn(2, 3, ours.size, ours.size)
    tokens = torch.randint(1, 62, (2, ours.context))
    tokens[:, 9:] = 0
    tokens[:, 8] = 63
    for mine, other in (
        (ours.image(pixels), theirs.encode_image(pixels, normalize=True)),
        (ours.text(tokens), theirs.encode_text(tokens, normalize=True)),
    ):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)


# -- what is built and not drawn


class Drawing(nn.Module):
    """Parameters by every way that torch's layers draw them, and one more."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.conv = nn.Linear(3, 4), nn.Conv2d(3, 4, 2)
        self.words, self.attention = nn.Embedding(5, 4), nn.MultiheadAttention(4, 2)
        self.own, self.norm = nn.Parameter(torch.randn(2, 3)), nn.LayerNorm(3)
        self.other = nn.Parameter(torch.rand(3))
        nn.init.trunc_normal_(self.linear.weight)
        nn.init.xavier_uniform_(tensor=self.conv.weight)


def test_a_structure_is_the_same_without_its_draws() -> None:
    torch.manual_seed(0)
    drawn = Drawing()
    torch.manual_seed(0)
    torch.rand(3)  # the one that is made all the same
    after_one = torch.get_rng_state()
    torch.manual_seed(0)
    with Undrawn():
        undrawn = Drawing()
    assert torch.get_rng_state().equal(after_one)
    for (name, one), (other, two) in zip(
        drawn.named_parameters(), undrawn.named_parameters(), strict=True
    ):
        assert (name, one.shape, one.dtype, one.device) == (other, two.shape, two.dtype, two.device)
        assert two.is_leaf
        assert two.requires_grad
    assert undrawn.norm.weight.equal(torch.ones(3))  # no draw
    assert undrawn.linear.bias.shape == (4,)
    torch.manual_seed(0)
    assert Drawing().own.equal(drawn.own)  # afterwards all is drawn as ever


# -- another layout, and others in the process

OTHER = {
    "__init__": "from .model import CLIP\n",
    "model": "from .hf_model import Tower\nclass CLIP(Tower):\n    kind = 'of another layout'\n",
    "hf_model": "class Tower:\n    pass\n",
    "constants": "OPENAI_DATASET_MEAN = (1,)\n",
}
LAYOUT = """
import sys
from benchmark.backbones.plain_open_clip import part
assert part("constants").OPENAI_DATASET_MEAN == (1,)
assert "open_clip" not in sys.modules
assert part("model").CLIP.kind == "of another layout"
assert part("model") is sys.modules["open_clip.model"]
try:
    part("no_such_module")
except ImportError as e:
    assert "no_such_module" in str(e)
"""


def test_of_another_layout_it_is_the_whole_package(tmp_path: Path) -> None:
    (tmp_path / "open_clip").mkdir()
    for name, text in OTHER.items():
        (tmp_path / "open_clip" / f"{name}.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", LAYOUT], cwd=ROOT, capture_output=True, text=True,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
