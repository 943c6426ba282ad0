"""The embedded data: eleven domains of the `mini` suite and those of the few-shot suites.

All are rendered from a seed; there are no files. Scenes are split by a hash into roles, so that no
scene is seen both in training (or pre-training) and in a test.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from .. import miniworld
from ..common.digests import digest
from ..errors import BenchError, nearest
from ..miniworld.canvas import SIDE
from ..miniworld.domains.cartoons import CARTOONS
from ..miniworld.domains.gen_art import GEN_ART
from ..miniworld.domains.labelled import LAND8, OBJECTS10
from ..miniworld.domains.paintings import PAINTINGS
from ..miniworld.domains.pantry import PANTRY
from ..miniworld.domains.photos import PHOTOS
from ..miniworld.domains.products import PRODUCTS
from ..miniworld.domains.scans import SCANS
from ..miniworld.domains.sketches import SKETCHES
from ..miniworld.domains.street import STREET
from ..miniworld.few_shot import FEW_SHOT as _FEW_SHOT
from ..miniworld.sampling import Domain, Draw, Role, draw, generator
from .split import ImageSource, Labelled, Pairs

__all__ = [
    "CAPTIONED",
    "FEW_SHOT",
    "LABELLED",
    "SIDE",
    "TITLES",
    "Role",
    "classes_of",
    "render_labelled",
    "render_pairs",
]

_DOMAINS: dict[str, Domain] = {
    domain.name: domain
    for domain in (PHOTOS, GEN_ART, PRODUCTS, PAINTINGS, CARTOONS, SKETCHES, SCANS, STREET, PANTRY,
                   OBJECTS10, LAND8)
}  # fmt: skip
TITLES: dict[str, str] = {name: domain.title for name, domain in _DOMAINS.items()}
LABELLED: tuple[str, ...] = tuple(name for name, domain in _DOMAINS.items() if domain.templates)
CAPTIONED: tuple[str, ...] = tuple(name for name in _DOMAINS if name not in LABELLED)
# Apart from the rest: the weights `bundled` were not trained on these, and must not be.
FEW_SHOT: dict[str, str] = {name: domain.title for name, domain in _FEW_SHOT.items()}
_ALL: dict[str, Domain] = {**_DOMAINS, **_FEW_SHOT}


@dataclass(frozen=True)
class _Opener:
    """Renders image i. A class of its own, so that a split can be sent to other processes."""

    domain: str
    role: Role
    seed: int
    indices: npt.NDArray[np.int64]

    def __call__(self, i: int) -> Image.Image:
        domain = _ALL[self.domain]
        scene = domain.scene(int(self.indices[i]))
        if scene is None:
            raise RuntimeError(f"scene {self.indices[i]} of '{self.domain}' was drawn but is void")
        return domain.paint(scene, generator("noise", self.domain, self.role, self.seed, i))


@cache
def _renderer_source() -> list[bytes]:
    return [path.read_bytes() for path in sorted(Path(miniworld.__file__).parent.rglob("*.py"))]


def _source(domain: str, role: Role, seed: int, indices: npt.NDArray[np.int64]) -> ImageSource:
    size = len(indices)
    key = [domain, role, str(size), str(seed)]
    opener = _Opener(domain, role, seed, indices)
    return ImageSource(size, opener, digest([*_renderer_source(), *key]))


@cache
def _drawn(domain: str, role: Role, size: int, seed: int) -> Draw:
    """As `draw`, once in a process: every run of a call reads the same splits."""
    drawn = draw(_ALL[domain], role, size, seed)
    drawn.indices.flags.writeable = False  # they are shared
    return drawn


def classes_of(domain: str) -> int:
    """Number of classes of a labelled domain.

    Raises:
        BenchError: no such domain.
    """
    return len(_known(domain, (*LABELLED, *FEW_SHOT), "labelled").classnames)


def _known(name: str, names: tuple[str, ...], kind: str) -> Domain:
    if name not in names:
        raise BenchError(f"a {kind} domain of the mini suite", f"'{name}'", nearest(name, names))
    return _ALL[name]


def render_pairs(domain: str, role: Role, size: int, seed: int) -> Pairs:
    """Images with captions.

    Args:
        domain: one of CAPTIONED.
        role: which part of the domain's scenes to draw from.
        size: number of images; the first n of a larger split are the split of size n.
        seed: of scenes and render noise.

    Raises:
        BenchError: no such domain, or it has too few scenes.
    """
    _known(domain, CAPTIONED, "captioned")
    drawn = _drawn(domain, role, size, seed)
    return Pairs(domain, _source(domain, role, seed, drawn.indices), drawn.captions)


def render_labelled(domain: str, role: Role, size: int, seed: int) -> Labelled:
    """Images with class labels; classes are balanced up to rounding.

    Args:
        domain: one of LABELLED or FEW_SHOT.
        role: which part of the domain's scenes to draw from.
        size: number of images; the first n of a larger split are the split of size n.
        seed: of scenes and render noise.

    Raises:
        BenchError: no such domain, or it has too few scenes.
    """
    found = _known(domain, (*LABELLED, *FEW_SHOT), "labelled")
    drawn = _drawn(domain, role, size, seed)
    return Labelled(
        name=domain,
        images=_source(domain, role, seed, drawn.indices),
        labels=drawn.indices % len(found.classnames),
        classnames=found.classnames,
        templates=found.templates,
    )
