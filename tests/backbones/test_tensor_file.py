"""Weights files as people have them: wrapped, renamed, of another model, or no weights at all."""

import argparse
import json
import pickle
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmark.backbones import known
from benchmark.backbones.known import SHIPPED
from benchmark.backbones.load import load
from benchmark.backbones.tensor_file import read_file
from benchmark.backbones.weights import fit
from benchmark.common.files import weights_file
from benchmark.errors import BenchError

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return dict(load("tiny-s", "bundled").state_dict())


@pytest.fixture(scope="module")
def right() -> str:
    return load("tiny-s", "bundled").fingerprint


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return load("tiny-s", "random:0")


def take(model: nn.Module, file: Path) -> None:
    """What `load` does with a file, without building the model again for each."""
    fit(model, read_file(file)[0], "tiny-s", str(file))


def before(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def adam(state: State) -> dict[str, Any]:
    states = {i: {"step": torch.tensor(1.0), "exp_avg": t} for i, t in enumerate(state.values())}
    return {"state": states, "param_groups": [{"lr": 1e-5, "params": list(states)}]}


def compiled_tower(state: State) -> State:
    """torch.compile of one tower, by its own class: the name stands in the middle."""
    return {k.replace("visual.", "visual._orig_mod.", 1): v for k, v in state.items()}


def custom_text(state: State) -> State:
    """open_clip's CustomTextCLIP: the text tower is a module of its own."""
    image = {k: v for k, v in state.items() if k.startswith("visual.") or k == "logit_scale"}
    return image | before("text.", {k: v for k, v in state.items() if k not in image})


READ: dict[str, Callable[[State], Any]] = {
    "plain": lambda s: s,
    "compiled": lambda s: before("_orig_mod.", s),
    "DDP": lambda s: before("module.", s),
    "compiled in DDP": lambda s: before("module._orig_mod.", s),
    "DDP compiled": lambda s: before("_orig_mod.module.", s),
    "FSDP": lambda s: before("_fsdp_wrapped_module.", s),
    "a compiled tower": compiled_tower,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model": lambda s: {"model": before("module.", s), "args": {"lr": 0.1}},
    "model_state_dict": lambda s: {"model_state_dict": s, "optimizer_state_dict": adam(s)},
    "only EMA": lambda s: {"model_ema": s, "decay": 0.999},
    "twice wrapped": lambda s: {"checkpoint": {"model": before("_orig_mod.", s)}},
    "open_clip's training": lambda s: {
        "epoch": 32, "name": "run", "state_dict": before("module.", s), "optimizer": adam(s),
        "scaler": {"scale": 65536.0},
    },
    "Lightning": lambda s: {
        "state_dict": before("model.", s), "epoch": 1, "global_step": 9, "loops": {},
        "optimizer_states": [adam(s)], "pytorch-lightning_version": "2.4.0", "callbacks": {},
    },
    "Lightning, compiled": lambda s: {"state_dict": before("clip._orig_mod.", s)},
    "causal mask": lambda s: s | {"attn_mask": torch.zeros(77, 77)},
    "causal mask, wrapped": lambda s: before("module.", s | {"attn_mask": torch.zeros(77, 77)}),
    "CustomTextCLIP": custom_text,
    "CustomTextCLIP in DDP": lambda s: {"state_dict": before("module.", custom_text(s))},
    "not contiguous": lambda s: {
        k: v.t().contiguous().t() if v.ndim == 2 else v for k, v in s.items()
    },
    "double": lambda s: {k: v.double() for k, v in s.items()},
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_what_leaves_no_doubt_is_read(
    name: str, state: State, model: nn.Module, tmp_path: Path
) -> None:
    for tensor in model.state_dict().values():
        tensor.zero_()
    torch.save(READ[name](state), tmp_path / "w.pt")
    take(model, tmp_path / "w.pt")
    found = model.state_dict()
    assert found.keys() == state.keys()
    assert all(tensor.equal(state[name]) for name, tensor in found.items())


def test_a_compiled_and_wrapped_model_loads(state: State, right: str, tmp_path: Path) -> None:
    torch.save({"state_dict": before("module._orig_mod.", state), "epoch": 1}, tmp_path / "w.ckpt")
    assert load("tiny-s", str(tmp_path / "w.ckpt")).fingerprint == right


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(
    dtype: torch.dtype, state: State, model: nn.Module, tmp_path: Path
) -> None:
    half = {k: v.to(dtype) for k, v in state.items()}
    for file in (tmp_path / "w.pt", tmp_path / "w.safetensors"):
        (torch.save if file.suffix == ".pt" else save_file)(half, file)
        take(model, file)
        found = model.state_dict()
        assert all(v.dtype == torch.float32 for v in found.values())
        assert all(v.equal(half[k].float()) for k, v in found.items())


@pytest.mark.parametrize(
    "name",
    ["w.pt", "w.pth", "w.bin", "w.ckpt", "w.PT", "W.CKPT", "w.safetensors", "w.Safetensors"],
)
@pytest.mark.parametrize("kind", ["torch", "legacy", "safetensors"])
def test_the_kind_is_in_the_bytes_and_not_in_the_name(
    name: str, kind: str, state: State, tmp_path: Path
) -> None:
    some = {k: state[k] for k in ("logit_scale", "visual.proj")}
    if kind == "safetensors":
        save_file(some, tmp_path / name)
    else:
        torch.save(some, tmp_path / name, _use_new_zipfile_serialization=kind == "torch")
    tensors, quick = read_file(tmp_path / name)
    assert quick is None
    assert tensors.keys() == some.keys()
    assert tensors["visual.proj"].equal(some["visual.proj"])


def test_what_is_a_file_and_what_a_tag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: State, right: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for tag in ("openai", "laion2b_s34b_b79k", "random:3", "bundled", "ViT-B-32/openai"):
        assert weights_file(tag) is None
    for file in ("a.ckpt", "A.PTH", "./a", "../a", "/a/b", "model.safetensors.index.json"):
        assert weights_file(file) == Path(file)
    (tmp_path / "model.pth.tar-50").touch()  # as Dassl, and CoOp with it, names its checkpoints
    assert weights_file("model.pth.tar-50") == Path("model.pth.tar-50")
    torch.save(state, tmp_path / "weights")
    assert weights_file("weights") is None
    with pytest.raises(BenchError, match=r"write \./weights for the file of that name"):
        load("tiny-s", "weights")
    assert load("tiny-s", "./weights").fingerprint == right


# ---- More than one model -----------------------------------------------------------------------

SEVERAL: dict[str, tuple[Callable[[State], Any], tuple[str, ...]]] = {
    "timm": (
        lambda s: {"state_dict": s, "state_dict_ema": s},
        ("'state_dict'", "'state_dict_ema'", "torch.load('w.pt', weights_only=True)['state_dict']"),
    ),
    "model and EMA": (lambda s: {"model": before("module.", s), "ema": s}, ("'model", "'ema'")),
    "EMA without the scale": (
        lambda s: {"model": s, "ema": {k: v for k, v in s.items() if k != "logit_scale"}},
        ("'model'", "'ema'"),
    ),
    "in one dictionary": (
        lambda s: before("student.", s) | before("teacher.", s), ("'student'", "'teacher'"),
    ),
    "beside its own": (lambda s: s | before("ema.", s), ("'no key at all'", "'ema'")),
    "with and without a wrapper": (
        lambda s: s | {"module.logit_scale": torch.zeros(())},
        ("'logit_scale'", "'module.logit_scale'"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SEVERAL)
def test_several_models_in_a_file_are_named(
    name: str, state: State, model: nn.Module, tmp_path: Path
) -> None:
    content, words = SEVERAL[name]
    torch.save(content(state), tmp_path / "w.pt")
    with pytest.raises(BenchError) as error:
        take(model, tmp_path / "w.pt")
    assert error.value.expected == "the weights of one model"
    for word in words:
        assert word in str(error.value)
    assert "alone" in error.value.fix


# ---- Other tensors -----------------------------------------------------------------------------


def less(state: State, word: str) -> State:
    return {k: v for k, v in state.items() if word not in k}


ODD: dict[str, tuple[Callable[[State], Any], str, str]] = {
    "no text tower": (
        lambda s: {k: v for k, v in s.items() if k.startswith("visual.")},
        "missing: ln_final.bias, ln_final.weight, logit_scale ...", "save all tensors of the model",
    ),
    "another head": (
        lambda s: s | {"visual.proj": s["visual.proj"][:, :64]},
        "1 of another shape: visual.proj 128x64 instead of 128x128", "give the weights of a tiny-s",
    ),
    "a bias": (
        lambda s: s | {"logit_bias": torch.zeros(())}, "1 more than it has: logit_bias", "SigLIP",
    ),
    "LoRA": (
        lambda s: s | {"visual.transformer.resblocks.0.attn.lora_A": torch.zeros(2, 2)},
        "lora_A", "merge the adapters",
    ),
    "a head beside the model": (
        lambda s: {"state_dict": before("model.", s) | {"head.weight": torch.zeros(2)}},
        "1 more than it has: head.weight", "save the model's own tensors alone",
    ),
    "quantised": (
        lambda s: {k: v.to(torch.int8) if k == "visual.proj" else v for k, v in s.items()},
        "1 of whole numbers: visual.proj (torch.int8)", "give the weights of a tiny-s",
    ),
    "one number as a list": (
        lambda s: s | {"logit_scale": torch.ones(1)},
        "logit_scale 1 instead of one number", "give the weights of a tiny-s",
    ),
    "transformers' names": (
        lambda s: before("vision_model.", s) | before("text_model.encoder.", less(s, "visual.")),
        "that do not fit", "transformers' CLIPModel",
    ),
    "nothing of it": (lambda s: {"fc.weight": torch.zeros(3)}, "98 missing", "weights of a tiny-s"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_what_does_not_fit_is_named(
    name: str, state: State, model: nn.Module, tmp_path: Path
) -> None:
    content, got, fix = ODD[name]
    torch.save(content(state), tmp_path / "w.pt")
    with pytest.raises(BenchError) as error:
        take(model, tmp_path / "w.pt")
    assert "the 98 tensors of tiny-s" in error.value.expected
    assert got in error.value.got
    assert fix in error.value.fix
    assert len(str(error.value)) < 900


def test_the_weights_of_a_sister_are_recognised() -> None:
    with pytest.raises(BenchError, match="these are the weights of tiny-b: use that as --backbone"):
        load("tiny-s", str(SHIPPED / "tiny-b.safetensors"))


class Shapes(nn.Module):
    """A model of given names and shapes, on no device."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.shapes = {k: torch.empty(v, device="meta") for k, v in shapes.items()}

    def state_dict(self, *_: Any, **__: Any) -> Any:
        return self.shapes


def published(side: int, patch: int, width: int, layers: int, text: int, dim: int) -> Any:
    """Shapes of OpenAI's CLIP (Radford et al. 2021, table 20): 12 blocks of texts, 77 tokens."""
    shapes: dict[str, tuple[int, ...]] = {
        "visual.conv1.weight": (width, 3, patch, patch),
        "visual.positional_embedding": ((side // patch) ** 2 + 1, width),
        "positional_embedding": (77, text),
        "token_embedding.weight": (49408, text),
        "text_projection": (text, dim),
        "visual.proj": (width, dim),
    }
    for start, n, wide in (("visual.", layers, width), ("", 12, text)):
        for i in range(n):
            shapes[f"{start}transformer.resblocks.{i}.ln_1.weight"] = (wide,)
    return shapes


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("ViT-B-32", (224, 32, 768, 12, 512, 512)),
        ("ViT-B-16", (224, 16, 768, 12, 512, 512)),
        ("ViT-L-14", (224, 14, 1024, 24, 768, 768)),
        ("ViT-L-14-336", (336, 14, 1024, 24, 768, 768)),
    ],
)
def test_published_architectures_are_known_by_their_shapes(name: str, sizes: Any) -> None:
    found = known.looks_like(published(*sizes))
    assert {name, f"{name}-quickgelu"} <= set(found)
    assert not {"ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336"} - {name} & set(found)
    weights = {k: torch.empty(v, device="meta") for k, v in published(*sizes).items()}
    other = published(224, 32, 640, 12, 512, 512)
    with pytest.raises(BenchError, match=f"these are the weights of .*{name}"):
        fit(Shapes(other), weights, "other", "w.pt")


# ---- No weights --------------------------------------------------------------------------------


class Script(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def scripted(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is on its way out, and OpenAI's files are not
        torch.jit.save(torch.jit.script(Script()), path)


def sharded(path: Path) -> None:
    places = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    path.write_text(json.dumps({"metadata": {}, "weight_map": places}))


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"
NONE: dict[str, tuple[str, Callable[[Path], Any], str, str]] = {
    "pointer": ("w.safetensors", lambda p: p.write_bytes(POINTER), "git-lfs", "git lfs pull"),
    "page": ("w.pt", lambda p: p.write_text("<!doctype html><p>404"), "HTML", "the file itself"),
    "empty": ("w.ckpt", lambda p: p.touch(), "an empty file", "fetch it again"),
    "zeros": ("w.pt", lambda p: p.write_bytes(bytes(9999)), "nothing but zeros", "fetch it again"),
    "folder": ("w.bin", lambda p: p.mkdir(), "the folder", "name a file"),
    "index": (
        "model.safetensors.index.json", sharded,
        "the index of 2 files (model-00001-of-00002.safetensors ...)",
        "safetensors.torch.load_file",
    ),
    "json": ("w.bin", lambda p: p.write_text('{"error": "no access"}'), "JSON", "with the tensors"),
    "archive": ("w.pt", scripted, "TorchScript", 'torch.jit.load("w.pt").state_dict()'),
    "zip": ("w.pt", lambda p: p.write_bytes(b"PK\5\6" + bytes(18)), "a zip archive", "unpack it"),
    "settings": (
        "w.ckpt", lambda p: torch.save({"a": torch.ones(1), "args": argparse.Namespace()}, p),
        "objects of argparse.Namespace, which is not loaded", "weights_only=False",
    ),
    "model": ("w.pt", lambda p: torch.save(nn.Linear(1, 1), p), "torch.nn", "state_dict()"),
    "pickle": ("w.pt", lambda p: p.write_bytes(pickle.dumps({"a": [1]}, 2)), "(", "fetch it again"),
    "no tensors": ("w.pt", lambda p: torch.save({"epoch": 3}, p), "none in it", "state_dict()"),
    "text": ("w.safetensors", lambda p: p.write_text("hello" * 99), "(", "fetch it again"),
}  # fmt: skip


@pytest.mark.parametrize("case", NONE)
def test_what_is_no_weights_file_is_called_by_its_name(case: str, tmp_path: Path) -> None:
    name, make, got, fix = NONE[case]
    make(tmp_path / name)
    with pytest.raises(BenchError) as error:
        load("tiny-s", str(tmp_path / name))
    assert got in error.value.got
    assert fix in error.value.fix
    assert error.value.code == 4
    assert len(str(error.value)) < 700


def test_a_folder_of_weights_is_told_which_file(tmp_path: Path, state: State) -> None:
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(BenchError, match=r"name the file in it: .*model\.safetensors"):
        load("tiny-s", f"{tmp_path}")


class Runs:
    def __reduce__(self) -> Any:
        return open, ("ran", "w")


def test_nothing_in_a_pickle_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.ones(1), "b": Runs()}, tmp_path / "w.pt")
    with pytest.raises(BenchError, match=r"objects of .*open, which is not loaded"):
        load("tiny-s", str(tmp_path / "w.pt"))
    assert not (tmp_path / "ran").exists()
