"""Weights: which files they are in, how a model takes its own from these, and their sha256."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..common.digests import tensor_digest
from ..errors import BenchError, nearest, quoted
from ..hub.weights import hub_weights
from .known import looks_like
from .tensor_file import OPENAI

WRAPPERS = frozenset(
    {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
)  # of DataParallel, torch.compile and FSDP, in any order and at any depth
TEXT_TOWER = frozenset(
    {"transformer", "token_embedding", "positional_embedding", "ln_final", "text_projection"}
)
TRANSFORMERS = ("vision_model.", "text_model.")  # the towers of transformers' CLIPModel
BUFFERS = re.compile(r"(^|\.)attn_mask$")  # made anew by the model


@dataclass(frozen=True)
class Files:
    """What a model is read from.

    Attributes:
        asked: `--pretrained`, for messages.
        weights: None for random ones.
        config: published beside the weights, None where there is none.
        vocabulary: None where the library brings its own.
        origin: repository, commit and file of the weights, where they are from the hub.
        table: of a tag, what the library's own table of published weights says of it.
    """

    asked: str
    weights: Path | None = None
    config: Path | None = None
    vocabulary: Path | None = None
    origin: str = ""
    table: Mapping[str, Any] | None = None


def from_hub(name: str, tag: str, place: tuple[str, str]) -> tuple[Path, str]:
    """A file of published weights, pinned and verified, and its origin.

    Args:
        name: of the model.
        tag: of its weights.
        place: repository and file.

    Raises:
        BenchError: as `hub_weights`.
    """
    return hub_weights(*place, f"cl-bench data prepare {name}/{tag}")


def tag_advice(tag: str, tags: Sequence[str]) -> str:
    """What to do about weights of an unknown name."""
    if Path(tag).is_file():
        return f"write ./{tag} for the file of that name"
    return nearest(tag, tags) if tags else "give --pretrained a file"


def random_seed(pretrained: str) -> int | None:
    """The seed of "random:<seed>", None for other weights.

    Raises:
        BenchError: no such seed.
    """
    if not pretrained.startswith("random:"):
        return None
    seed = pretrained.removeprefix("random:")
    if not (seed.isascii() and seed.isdigit() and len(seed) <= 18):
        raise BenchError(
            "random:<whole number of up to 18 digits>", f"'{pretrained}'", "give such a seed"
        )
    return int(seed)


def fit(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    name: str,
    source: str,
    *,
    unused: re.Pattern[str] = BUFFERS,
    default: Mapping[str, Tensor] | None = None,
) -> None:
    """Give a model its weights, as float32.

    They may stand under any name that a wrapper puts before them or between ("module.",
    "_orig_mod.", a key of a checkpoint), where that leaves no doubt.

    Args:
        model: takes them.
        weights: tensors by name.
        name: of the model.
        source: of the weights, for messages.
        unused: names that are of no account.
        default: for what the weights may lack.

    Raises:
        BenchError: names or shapes are not the model's, or the file holds several such models.
    """
    own = model.state_dict()
    plain = _without_wrappers(weights, own, source)
    start = _start(plain, own, source)
    # Beside the model, a checkpoint may keep dictionaries of its own, such as an optimizer's.
    within = start[: start.rfind("/") + 1]
    given = dict(default or {})
    for full, tensor in plain.items():
        if full.startswith(within) and "/" not in full[len(within) :]:
            short = full.removeprefix(start).removeprefix(within)
            if not unused.search(short) and short not in OPENAI:
                given[short] = tensor
    _check(own, given, name, source)
    model.load_state_dict({k: v.float() for k, v in given.items()})


def _without_wrappers(
    weights: Mapping[str, Tensor], own: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """The tensors by their names without what torch's wrappers put into these.

    So is the "text" that open_clip's CustomTextCLIP has before the names of the text tower.
    """
    found: dict[str, Tensor] = {}
    first: dict[str, str] = {}
    for full, tensor in weights.items():
        within, slash, name = full.rpartition("/")
        parts = [part for part in name.split(".") if part not in WRAPPERS]
        if "token_embedding.weight" in own:
            parts = [p for p, after in zip(parts, [*parts[1:], ""], strict=True)
                     if p != "text" or after not in TEXT_TOWER]  # fmt: skip
        short = within + slash + ".".join(parts)
        if short in found:
            raise _several(source, [first[short], full])
        found[short], first[short] = tensor, full
    return found


def _start(plain: Mapping[str, Tensor], own: Mapping[str, Tensor], source: str) -> str:
    """What stands before the names of the model's tensors: most of them are found behind it.

    Raises:
        BenchError: they stand there more than once.
    """
    counts: Counter[str] = Counter()
    for full in plain:
        name = full.replace("/", ".")
        for cut in (0, *(match.end() for match in re.finditer(r"\.", name))):
            if name[cut:] in own:
                counts[full[:cut]] += 1
    most = max(counts.values(), default=0)
    near = [start for start, n in counts.items() if n >= 0.9 * most]
    # A tower's blocks have the same names as the other's, one step further in.
    rivals = [s for s in near if counts[s] == most or not any(
        s != other and s.startswith(other) for other in near)]  # fmt: skip
    if len(rivals) > 1:
        raise _several(source, sorted(rivals))
    return rivals[0] if rivals else ""


def _several(source: str, places: Sequence[str]) -> BenchError:
    """The error for a file that holds the tensors of one model twice."""
    shown = [quoted(place.rstrip("./") or "no key at all") for place in places]
    key = next((p[:-1] for p in places if p.endswith("/") and "/" not in p[:-1]), None)
    fix = "save the tensors of the one that is meant alone"
    if key is not None:
        whole = f"torch.load({Path(source).name!r}, weights_only=True)"
        fix += f', such as torch.save({whole}[{key!r}], "weights.pt")'
    return BenchError(
        "the weights of one model", f"'{source}' with several: {', '.join(shown)}", fix
    )


def _check(own: Mapping[str, Tensor], given: Mapping[str, Tensor], name: str, source: str) -> None:
    """Refuse tensors that are not the model's own, all of them and nothing else."""
    missing, more = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    both = sorted(own.keys() & given.keys())
    whole = [k for k in both if not given[k].is_floating_point()]
    wrong = [
        f"{k} {_shape(given[k])} instead of {_shape(own[k])}"
        for k in both if own[k].shape != given[k].shape
    ]  # fmt: skip
    kinds = {"missing": missing, "more than it has": more, "of another shape": wrong,
             "of whole numbers": [f"{k} ({given[k].dtype})" for k in whole],
             "without values, or sparse": [k for k in both if given[k].is_meta
                                           or given[k].layout != torch.strided]}  # fmt: skip
    count = sum(map(len, kinds.values()))
    if not count:
        return
    told = [f"{len(v)} {kind}: {_first(v)}" for kind, v in kinds.items() if v]
    raise BenchError(
        f"the {len(own)} tensors of {name}",
        f"'{source}' with {count} that do not fit ({'; '.join(told)})",
        _advice(given, name, missing=bool(missing), more=more, wrong=bool(wrong)),
    )


def _advice(
    given: Mapping[str, Tensor], name: str, *, missing: bool, more: Sequence[str], wrong: bool
) -> str:
    """What helps against tensors that do not fit."""
    if any(k.startswith(TRANSFORMERS) for k in more):
        return (
            "these are names of transformers' CLIPModel or the like, which open_clip does not "
            f"convert: use a tag of {name} (`cl-bench data prepare --help`), or a file that "
            "open_clip has saved"
        )
    others = [o for o in looks_like({k: tuple(v.shape) for k, v in given.items()}) if o != name]
    if others and (missing or wrong):
        return f"these are the weights of {' or '.join(others[:4])}: use that as --backbone"
    if "logit_bias" in more:
        return "give weights that were trained without a bias on the similarity (SigLIP's loss)"
    if any("lora_" in k or "adapter" in k for k in more):
        return "merge the adapters into the weights, and save the model's own tensors alone"
    if missing and not (more or wrong):
        return "save all tensors of the model, as its state_dict() gives them"
    if more and not (missing or wrong):
        return "save the model's own tensors alone"
    return f"give the weights of a {name}"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(str, names[:3])) + (" ..." if names[3:] else "")


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """sha256 over names, types, shapes and bytes of the tensors, sorted by name."""
    parts = ((f"{n}:{t.dtype}:{tuple(t.shape)};", t) for n, t in sorted(state.items()))
    return tensor_digest(part for both in parts for part in both)
