"""What tells an encoder from all others, by the contents of what computes its rows."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ...backbones.backbone import Backbone, Tower
from ...backbones.content import parameters_of
from ...protocol.items import Keyed, OwnTower
from ...protocol.parts import Part
from .embeddings import PRISTINE, EncoderKey
from .frozen import FrozenFeatures
from .plain import code_of, contents


@dataclass(frozen=True)
class Asking:
    """What `items.cached` was asked with."""

    part: Keyed
    encode: Callable[..., Tensor]
    given: Tensor | None


def encoder_key(
    clip: Backbone, frozen: FrozenFeatures, kind: Tower, asking: Asking, test: bool
) -> EncoderKey | None:
    """The key; None where its rows are of no use to anyone later, or nothing tells what makes them.

    Args:
        clip: the run's backbone.
        frozen: its features before training.
        kind: of the items.
        asking: for rows.
        test: whether they are a test set's.
    """
    part, encode, given = asking.part, asking.encode, asking.given
    base = part.clip if isinstance(part, Part) else part
    clip = base if isinstance(base, Backbone) else clip
    alone = clip is part
    if not test and (not alone or clip.training or _learns(clip)):
        return None
    if (own := contents(clip, kind)) is None:
        return None
    pristine = frozen.is_pristine(kind, own)
    if alone and isinstance(encode, OwnTower) and encode.clip is part:
        return PRISTINE if pristine else EncoderKey(f"{own} {kind}", False)
    what = "" if alone else part.digest()
    form = "" if given is None else f" {given.dtype} {tuple(given.shape[1:])}"
    return EncoderKey(f"{own} {kind} {code_of(encode)} {what}{form}", pristine)


def _learns(clip: Backbone) -> bool:
    return any(p.requires_grad for _, p in parameters_of(clip))
