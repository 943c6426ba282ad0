"""Which of open_clip's models can run: told from the config alone, and true of what is built."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from lanes import lanes

from benchmark.backbones import load as backbones
from benchmark.backbones.known import bundled, check_backbone, configs, describe, image_side
from benchmark.backbones.open_clip import OpenClip, build
from benchmark.backbones.plain_open_clip import part
from benchmark.errors import BenchError
from benchmark.run.request import Request, make_plan

ROOT = Path(__file__).parents[2]
NAMED = (
    "ViT-B-32", "ViT-B-32-quickgelu", "ViT-B-16", "ViT-B-16-quickgelu", "ViT-L-14",
    "ViT-L-14-quickgelu", "ViT-L-14-336", "ViT-H-14", "ViT-bigG-14",
)  # fmt: skip
# All that run, of the 144 models of open_clip 3.3; a later release may have more of either kind.
RUNS = {
    *NAMED, "ViT-B-16-plus", "ViT-B-16-plus-240", "ViT-B-32-256", "ViT-B-32-plus-256",
    "ViT-H-14-378", "ViT-H-14-378-quickgelu", "ViT-H-14-quickgelu", "ViT-H-16", "ViT-L-14-280",
    "ViT-L-14-336-quickgelu", "ViT-L-16", "ViT-L-16-320", "ViT-M-16", "ViT-M-16-alt", "ViT-M-32",
    "ViT-M-32-alt", "ViT-S-16", "ViT-S-16-alt", "ViT-S-32", "ViT-S-32-alt", "ViT-bigG-14-quickgelu",
    "ViT-e-14", "ViT-g-14",
}  # fmt: skip
# One model of every family that does not, and what must be said of it.
REFUSED = {
    "ViT-B-16-SigLIP": r"has a bias on the sim.*tower of timm \(vit_base.*'last'.*no causal mask",
    "ViT-SO400M-14-SigLIP2": "a bias on the similarity .*, an image tower of timm",
    "RN50": "which has a ResNet as image tower; choose",
    "RN50-quickgelu": "which has a ResNet as image tower; choose",
    "convnext_base": r"an image tower of timm \(convnext_base\)",
    "EVA02-B-16": r"an image tower of timm \(eva02",
    "MobileCLIP-S1": "an image tower of timm",
    "ViTamin-B": "an image tower of timm",
    "coca_ViT-B-32": r"has a decoder that writes captions \(CoCa\), images pooled by attention",
    "coca_roberta-ViT-B-32": r"a decoder .* and a text tower of transformers \(roberta-base\)",
    "roberta-ViT-B-32": r"which has a text tower of transformers \(roberta-base\); choose",
    "nllb-clip-base": "which has a text tower of transformers",
    "ViT-H-14-CLIPA": "images pooled by 'avg' .* read at 'last' .* and no causal mask on texts; ch",
    "ViT-L-14-worldwide": "which has texts read at 'eos' instead of at the token of highest id; ch",
}


UNUSED: Any = torch.empty  # for a tokenizer, where no text is read
OWN = {n for n, file in configs().items() if "timm_model_name" not in file.read_text()}


def _refusal(name: str) -> str:
    try:
        check_backbone(name)
    except BenchError as error:
        return str(error)
    return ""


def _on_meta(name: str) -> torch.nn.Module:
    """open_clip's model without memory for its weights."""
    if name in bundled():
        open_clip.add_model_config(configs()[name])
    with torch.device("meta"):
        model: torch.nn.Module = open_clip.create_model(name, device="meta")
    return model


def test_every_model_runs_or_says_what_differs() -> None:
    names = set(configs()) - set(bundled())
    assert names == set(open_clip.list_models()) - set(bundled())
    refusals = {name: text for name in sorted(names) if (text := _refusal(name))}
    if open_clip.__version__.startswith("3.3."):
        assert names - refusals.keys() == RUNS
        assert (len(RUNS), len(refusals)) == (32, 112)
    assert RUNS & names <= names - refusals.keys()
    for name, text in refusals.items():
        assert text.startswith("expected a CLIP with two plain transformers")
        assert f"got '{name}', which has " in text
        assert text.endswith("; choose a ViT-* model such as ViT-B-16-quickgelu.")
        assert len(text) < 400


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_the_difference(name: str) -> None:
    with pytest.raises(BenchError, match=REFUSED[name]):
        check_backbone(name)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", lanes(NAMED, ["ViT-B-32-quickgelu", "ViT-L-14-336"]))
def test_the_usual_models_are_what_their_configs_say(name: str) -> None:
    model = _on_meta(name)
    keys = model.state_dict().keys()
    with torch.device("meta"):
        clip = OpenClip(name, model, UNUSED)
        ours = build(describe(name), UNUSED)
    assert list(ours.state_dict()) == list(clip.state_dict())
    assert list(clip.buffers()) == []
    assert clip.state_dict().keys() == keys
    assert clip.size == image_side(name) == (336 if name.endswith("336") else 224)
    assert clip.context == 77


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", [*sorted(OWN), *sorted(REFUSED.keys() - OWN)])
def test_config_and_model_agree(name: str) -> None:
    """Of all towers that are open_clip's own; of timm's, one of every family."""
    if "a text tower of transformers" in _refusal(name):
        pytest.skip("cannot be built without network")
    model = _on_meta(name)
    if _refusal(name):
        with pytest.raises(BenchError, match="towers differ"):
            OpenClip(name, model, UNUSED)
    else:
        OpenClip(name, model, UNUSED)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-B-32-quickgelu"])
@torch.no_grad()
def test_a_model_of_full_size_is_open_clip_s(name: str) -> None:
    torch.manual_seed(0)
    theirs = open_clip.create_model(name).eval()
    ours = backbones.load(name, "random:0")
    assert all(p.equal(theirs.state_dict()[n]) for n, p in ours.state_dict().items())
    pixels, tokens = torch.randn(2, 3, 224, 224), ours.tokenize(["a dog", "two cats " * 60])
    for mine, other in (
        (ours.image(pixels), theirs.encode_image(pixels, normalize=True)),
        (ours.text(tokens), theirs.encode_text(tokens, normalize=True)),
    ):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)


# -- when it is said


@pytest.mark.parametrize("pretrained", ["webli", "random:0", "/no/file.safetensors", None])
def test_it_is_said_before_weights_or_data(
    pretrained: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("something was built or fetched")

    monkeypatch.setattr(part("model"), "CLIP", never)
    monkeypatch.setattr("benchmark.hub.weights.resolve", never)
    monkeypatch.setattr("benchmark.run.request.find_method", never)
    for suite in ("mini", "retrieval"):
        with pytest.raises(BenchError, match="a bias on the similarity"):
            make_plan(Request("ft", suite=suite, backbone="ViT-B-16-SigLIP", pretrained=pretrained))
    for ask in (
        lambda: backbones.load("ViT-B-16-SigLIP", pretrained or "webli"),
        lambda: backbones.files_of("ViT-B-16-SigLIP", "webli"),
        lambda: backbones.tokenizer_of("ViT-B-16-SigLIP"),
    ):
        with pytest.raises(BenchError, match="a bias on the similarity"):
            ask()


def test_the_command_ends_with_that_sentence(tmp_path: Path) -> None:
    """Without torch: it is there before a method, and so torch, is imported."""
    code = (
        "import sys\n"
        "from benchmark.cli.main import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'open_clip'} & set(sys.modules)))"
    )
    command = ["run", "-m", "zs", "--suite", "mini", "--backbone", "ViT-B-16-SigLIP"]
    done = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == "[]\n"
    said = " ".join(done.stderr.split())
    assert "got 'ViT-B-16-SigLIP', which has a bias on the similarity" in said
    assert "choose a ViT-* model such as ViT-B-16-quickgelu." in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_unknown_names_get_near_ones() -> None:
    with pytest.raises(BenchError, match=r"did you mean .*'ViT-B-16'"):
        make_plan(Request("zs", backbone="ViT-B-61"))


# -- beside transformers

ALONE = """
import sys
sys.modules["transformers"] = None  # as where it is not installed
from benchmark.backbones.load import load
assert load("tiny-s", "bundled").fingerprint == sys.argv[1]
assert sys.modules["transformers"] is None
assert "benchmark.backbones.blip" not in sys.modules
"""
AFTER = """
import sys
from benchmark.backbones.load import load
assert "open_clip" not in sys.modules
assert load("tiny-s", "bundled").fingerprint == sys.argv[1]
import transformers
from open_clip import hf_model
assert hf_model.transformers is transformers  # open_clip's other towers are as ever
assert transformers.BertTokenizer.__name__ == "BertTokenizer"
"""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(ALONE, id="missing", marks=pytest.mark.slow),  # see test_cli.py: not imported
        pytest.param(AFTER, id="used afterwards", marks=pytest.mark.slow),
    ],
)
def test_transformers_is_missing_or_used_by_others(code: str) -> None:
    """Where it is imported before, see test_blip.py."""
    sha = backbones.load("tiny-s", "bundled").fingerprint
    done = subprocess.run(
        [sys.executable, "-c", code, sha], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
