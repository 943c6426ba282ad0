"""Latent scenes: the space of a domain, its partition into roles, and draws without overlap.

A scene is a digit string in mixed radix, one digit per attribute, so a split of several 100k
images is one int64 array, and random access to image i needs nothing but its index.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..common.digests import digest
from ..errors import BenchError

Role = Literal["pretrain", "train", "test"]
Scene = dict[str, str]

# Residues of the scene's hash modulo 8. No scene is in two roles, whatever the seeds.
RESIDUES: dict[Role, frozenset[int]] = {
    "test": frozenset({0}),
    "train": frozenset({1, 2, 3}),
    "pretrain": frozenset({4, 5, 6, 7}),
}
BLOCK = 256
DRAWS_PER_SCENE = 100


def unchanged(scene: Scene) -> Scene | None:
    """For domains in which every combination of attributes is a scene of its own."""
    return scene


def uncaptioned(scene: Scene, pick: int) -> tuple[str, ...]:
    """For labelled domains."""
    return ()


@dataclass(frozen=True)
class Domain:
    """One procedurally rendered domain.

    Attributes:
        name: identifier, also in the keys of all random draws.
        title: column head in tables.
        attributes: attribute -> its values. A labelled domain's first attribute is its class.
        paint: scene and noise generator -> image of SIDE x SIDE.
        captions: scene and a number in [0, 2**16) that selects among templates -> captions.
        settle: the scene in canonical form (attributes that cannot be seen are blanked), or
            None for a combination that makes no scene.
        templates: prompts of a labelled domain; empty for captioned ones.
    """

    name: str
    title: str
    attributes: dict[str, tuple[str, ...]]
    paint: Callable[[Scene, np.random.Generator], Image.Image]
    captions: Callable[[Scene, int], tuple[str, ...]] = uncaptioned
    settle: Callable[[Scene], Scene | None] = unchanged
    templates: tuple[str, ...] = ()

    @property
    def combinations(self) -> int:
        """Number of digit strings; an upper bound on the number of scenes."""
        return prod(len(values) for values in self.attributes.values())

    @property
    def classnames(self) -> tuple[str, ...]:
        """Classes in label order; empty for captioned domains."""
        return next(iter(self.attributes.values())) if self.templates else ()

    def scene(self, index: int) -> Scene | None:
        """The scene with that number in mixed radix, first attribute least significant."""
        scene = {}
        for key, values in self.attributes.items():
            index, digit = divmod(index, len(values))
            scene[key] = values[digit]
        return self.settle(scene)


@dataclass(frozen=True)
class Draw:
    """The scenes of one split.

    Attributes:
        indices: (size,) scene numbers.
        captions: captions of each scene.
    """

    indices: npt.NDArray[np.int64]
    captions: tuple[tuple[str, ...], ...]


def generator(*key: str | int) -> np.random.Generator:
    """The random stream of that key, the same on every machine."""
    seed = int(digest([str(part) for part in key])[:32], 16)
    return np.random.Generator(np.random.PCG64(seed))


def fingerprint(scene: Scene) -> bytes:
    """A stable hash of the scene, on which the roles are partitioned."""
    return hashlib.sha256(repr(tuple(scene.values())).encode()).digest()


def _candidates(domain: Domain, role: Role, seed: int) -> Iterator[tuple[int, int]]:
    """Endless (scene number, template pick); independent of how many are asked for."""
    rng = generator("scenes", domain.name, role, seed)
    while True:
        numbers = rng.integers(0, domain.combinations, size=BLOCK).tolist()
        picks = rng.integers(0, 1 << 16, size=BLOCK).tolist()
        yield from zip(numbers, picks, strict=True)


def draw(domain: Domain, role: Role, size: int, seed: int) -> Draw:
    """Draws the scenes of a split; a longer split starts with the shorter one.

    Train and test hold no scene twice, test also no caption twice. Labels cycle through the
    classes, so that every prefix is balanced.

    Raises:
        BenchError: the domain has too few scenes for the size.
    """
    residues, classes = RESIDUES[role], len(domain.classnames)
    indices: list[int] = []
    captions: list[tuple[str, ...]] = []
    scenes: set[bytes] = set()
    texts: set[str] = set()
    left = DRAWS_PER_SCENE * (size + BLOCK)
    for number, pick in _candidates(domain, role, seed):
        if len(indices) == size:
            break
        left -= 1
        if left < 0:
            raise _too_small(domain, role, size, len(indices))
        index = number - number % classes + len(indices) % classes if classes else number
        scene = domain.scene(index)
        if scene is None:
            continue
        mark = fingerprint(scene)
        if mark[0] % 8 not in residues or mark in scenes:
            continue
        said = domain.captions(scene, pick)
        if role == "test":
            if len(set(said)) < len(said) or not texts.isdisjoint(said):
                continue
            texts.update(said)
        if role != "pretrain":
            scenes.add(mark)
        indices.append(index)
        captions.append(said)
    return Draw(np.asarray(indices, dtype=np.int64), tuple(captions))


def _too_small(domain: Domain, role: Role, size: int, found: int) -> BenchError:
    return BenchError(
        f"{size} distinct {role} scenes in '{domain.name}'",
        f"{found} from {domain.combinations} combinations of attributes",
        "ask for a smaller split",
    )


def scenes(domain: Domain, role: Role, size: int, seed: int) -> list[Scene]:
    """The scenes of a split in order, for checks of overlap."""
    found = (domain.scene(int(index)) for index in draw(domain, role, size, seed).indices)
    return [scene for scene in found if scene is not None]
