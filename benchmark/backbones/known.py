"""What is known of a model before it is built: its library, layout and image side. No torch."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from ..common.checked import checked_sha256
from ..errors import BenchError, nearest

Precision = Literal["fp32", "bf16"]  # of the towers
Compile = Literal["auto", "on", "off"]  # their blocks
SHIPPED = Path(__file__).parent / "shipped"
DIGESTS = "sha256.json"  # of the files there; scripts/train_tiny_clip.py writes it
BLIPS = SHIPPED  # folder of blip-*.json
# Settings of open_clip's towers that change what a block computes.
BLOCKS = (
    "qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc",
)  # fmt: skip


@dataclass(frozen=True)
class Architecture:
    """A model that can run, by what its config says.

    Attributes:
        name: of the model.
        library: whose code builds it.
        about: open_clip's config; of a BLIP `config` as transformers has it, `tags` with the
            repository on the hub of each, `context`, `mean` and `std`.
        image_side: of its square images, in pixels.
    """

    name: str
    library: Literal["open_clip", "transformers"]
    about: Mapping[str, Any]
    image_side: int


@cache
def configs() -> dict[str, Path]:
    """open_clip's models and the tiny ones that ship with the package: name -> config file."""
    spec = find_spec("open_clip")
    folders = (spec.submodule_search_locations if spec is not None else None) or []
    found = {p.stem: p for at in folders for p in (Path(at) / "model_configs").glob("*.json")}
    return found | {p.stem: p for p in SHIPPED.glob("tiny-?.json")}


def looks_like(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The models whose tensors have these shapes, by name: those of open_clip that can run here.

    Args:
        shapes: of tensors by open_clip's names for them.
    """
    try:
        image, text = shapes["visual.conv1.weight"], shapes["token_embedding.weight"]
        places = shapes["visual.positional_embedding"][0], shapes["positional_embedding"][0]
        dim = shapes["text_projection"][1]
    except (KeyError, IndexError):
        return []
    blocks = [
        len({k.split(".")[at] for k in shapes if k.startswith(f"{tower}transformer.resblocks.")})
        for tower, at in (("visual.", 3), ("", 2))
    ]
    found = (image[0], image[-1], blocks[0], places[0], text[1], text[0], blocks[1], places[1], dim)
    return sorted(
        name for name in configs() if _sizes(json.loads(configs()[name].read_text())) == found
    )


def _sizes(config: Mapping[str, Any]) -> tuple[int, ...] | None:
    """What `looks_like` compares; None for towers that cannot run here.

    The defaults are open_clip's (CLIPVisionCfg and CLIPTextCfg in its model.py).
    """
    try:
        check_layout("", config)
    except BenchError:
        return None
    image, text = config.get("vision_cfg", {}), config.get("text_cfg", {})
    patch, side = image.get("patch_size", 16), _sides(config)[0]
    return (
        image.get("width", 768), patch, image.get("layers", 12), (side // patch) ** 2 + 1,
        text.get("width", 512), text.get("vocab_size", 49408), text.get("layers", 12),
        text.get("context_length", 77), config["embed_dim"],
    )  # fmt: skip


def blips() -> dict[str, Path]:
    """The BLIPs: name -> file of what is known of them."""
    return {p.stem: p for p in BLIPS.glob("blip-*.json")}


def checked(path: Path) -> Path:
    """A file, compared with its sha256 where it ships with the package.

    Raises:
        BenchError: it has other bytes than were shipped.
    """
    if path.parent == SHIPPED and checked_sha256(path) != _digests().get(path.name):
        raise BenchError(
            f"'{path}' as it was shipped (sha256 in {DIGESTS} beside it)",
            "other bytes",
            "restore it: in a checkout `git checkout -- benchmark/backbones/shipped`, else "
            "`pip install --force-reinstall --no-deps cl-bench`",
            code=5,
        )
    return path


def _digests() -> dict[str, str]:
    try:
        found = json.loads((SHIPPED / DIGESTS).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def bundled() -> tuple[str, ...]:
    """Names of the tiny models whose weights ship with the package."""
    return tuple(sorted(p.stem for p in SHIPPED.glob("tiny-?.json")))


BUNDLED = "bundled"
"""The tag of the weights that ship; others of a model have it with a word more."""


def bundled_weights() -> dict[tuple[str, str], Path]:
    """Model and tag -> the file of its weights: "bundled", and "bundled-few-shot" for some."""
    files = SHIPPED.glob("tiny-?*.safetensors")
    return {(p.stem[:6], BUNDLED + p.stem[6:]): p for p in sorted(files)}


def describe(name: str) -> Architecture:
    """What a model's config says: the only place that tells the libraries apart.

    A model that cannot run is refused here, before anything is built or fetched.

    Raises:
        BenchError: no model has that name, its towers are not those of OpenAI's CLIP, its images
            are not square, or its library is not installed.
    """
    if name in blips():
        _check_transformers(name)
        about = json.loads(checked(blips()[name]).read_text())
        side = int(about["config"]["vision_config"]["image_size"])
        return Architecture(name, "transformers", about, side)
    if name not in configs():
        expected = f"an open_clip model name, or {', '.join(sorted(blips()))}"
        raise BenchError(expected, f"'{name}'", nearest(name, {**configs(), **blips()}))
    config = json.loads(checked(configs()[name]).read_text())
    check_layout(name, config)
    if len(sides := _sides(config)) > 1:
        got = f"'{name}' with {' x '.join(map(str, sides))} pixels"
        raise BenchError("a model with square images", got, "choose another")
    return Architecture(name, "open_clip", config, sides[0])


def _check_transformers(name: str) -> None:
    try:
        found = version("transformers")
    except PackageNotFoundError:
        found = "none"
    if found.split(".")[0] != "5":
        raise BenchError(
            f"transformers 5, which {name} needs",
            found,
            "install the extra: pip install 'cl-bench[blip]' (in a checkout, -e '.[blip]')",
        )


def check_backbone(name: str) -> None:
    """Refuse a model that cannot run; raises as `describe`."""
    describe(name)


def image_side(name: str) -> int:
    """Side of a model's images in pixels; raises as `describe`."""
    return describe(name).image_side


def check_layout(name: str, config: Mapping[str, Any]) -> None:
    """Refuse an open_clip config whose model is more, or other, than two plain transformers.

    The towers are run block by block (backbones/open_clip.py), so that adapters and prompts have
    their places. What a model does beside that would be left out, and every number would be wrong.

    Raises:
        BenchError: it names all that differs.
    """
    found = []
    if config.get("init_logit_bias") is not None:
        found.append("a bias on the similarity (SigLIP's sigmoid loss)")
    if config.get("nonscalar_logit_scale"):
        found.append("a similarity scale that is no scalar")
    if "multimodal_cfg" in config:
        found.append("a decoder that writes captions (CoCa)")
    found += _image_tower(config.get("vision_cfg", {}))
    found += _text_tower(config.get("text_cfg", {}))
    if not found and config.get("custom_text"):
        found.append("a text tower of its own (custom_text)")
    if found:
        raise BenchError(
            "a CLIP with two plain transformers (OpenAI's layout)",
            f"'{name}', which has {', '.join(found[:-1])}{' and ' if found[1:] else ''}{found[-1]}",
            "choose a ViT-* model such as ViT-B-16-quickgelu",
        )


def _image_tower(config: Mapping[str, Any]) -> Iterator[str]:
    if config.get("timm_model_name"):
        yield f"an image tower of timm ({config['timm_model_name']})"
    elif isinstance(config.get("layers"), list):
        yield "a ResNet as image tower"
    else:
        if config.get("attentional_pool"):
            yield "images pooled by attention"
        elif (pool := config.get("pool_type", "tok")) != "tok":
            yield f"images pooled by '{pool}' instead of at the class token"
        if (places := config.get("pos_embed_type", "learnable")) != "learnable":
            yield f"fixed positions of patches ({places})"
        yield from _blocks(config, "image")


def _text_tower(config: Mapping[str, Any]) -> Iterator[str]:
    if config.get("hf_model_name"):
        yield f"a text tower of transformers ({config['hf_model_name']})"
        return
    if (pool := config.get("pool_type", "argmax")) != "argmax":
        yield f"texts read at '{pool}' instead of at the token of highest id"
    if config.get("no_causal_mask"):
        yield "no causal mask on texts"
    if config.get("embed_cls"):
        yield "a class token in the text tower"
    if config.get("proj_type", "linear") != "linear" or config.get("proj_bias"):
        yield "a projection of texts that is no plain matrix"
    yield from _blocks(config, "text")


def _blocks(config: Mapping[str, Any], tower: str) -> Iterator[str]:
    odd = [key for key in BLOCKS if config.get(key)]
    odd += ["block_type"] if config.get("block_type") not in (None, "default") else []
    if odd:
        yield f"other blocks in the {tower} tower ({', '.join(odd)})"


def _sides(config: Mapping[str, Any]) -> list[int]:
    """The side of square images, else height and width."""
    size = config.get("vision_cfg", {}).get("image_size", 224)
    return list(dict.fromkeys(size)) if isinstance(size, list) else [size]
