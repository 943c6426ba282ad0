"""Silhouettes in the local frame of a `Pen`; all stand on y = 1."""

from collections.abc import Callable

from .canvas import RGB, Pen, shade

SKIN: RGB = (226, 178, 142)
DARK: RGB = (40, 34, 34)
Shape = Callable[[Pen, RGB], None]


def dog(p: Pen, c: RGB) -> None:
    """Faces right, tail up."""
    p.line([(-0.7, 0.2), (-0.95, -0.35)], c, 0.16)
    for x in (-0.6, -0.35, 0.2, 0.42):
        p.rect(x, 0.3, x + 0.17, 1, shade(c, 0.85))
    p.oval(-0.8, -0.05, 0.6, 0.6, c)
    p.disc(0.6, -0.25, 0.34, c)
    p.rect(0.65, -0.25, 1.05, 0.02, c)
    p.oval(0.3, -0.55, 0.55, 0.08, shade(c, 0.55))
    p.disc(1.0, -0.2, 0.09, DARK)


def horse(p: Pen, c: RGB) -> None:
    """Faces right, long neck and legs."""
    for x in (-0.65, -0.4, 0.2, 0.42):
        p.rect(x, 0.2, x + 0.14, 1, shade(c, 0.85))
    p.poly([(0.2, 0.05), (0.5, -0.85), (0.75, -0.8), (0.62, 0.2)], c)
    p.oval(-0.75, -0.2, 0.68, 0.4, c)
    p.poly([(0.48, -0.95), (0.75, -1), (1.1, -0.6), (0.98, -0.45), (0.55, -0.65)], c)
    p.line([(0.15, -0.1), (0.45, -0.95)], shade(c, 0.45), 0.16)
    p.line([(-0.7, 0), (-0.95, 0.6)], shade(c, 0.45), 0.16)


def sheep(p: Pen, c: RGB) -> None:
    """A ball of wool with a dark face."""
    for x in (-0.5, -0.2, 0.2, 0.45):
        p.rect(x, 0.5, x + 0.12, 1, DARK)
    for x, y in ((-0.5, 0), (-0.1, -0.2), (0.3, -0.05), (-0.4, 0.35), (0, 0.4), (0.35, 0.35)):
        p.disc(x, y, 0.38, c)
    p.oval(0.5, -0.35, 1, 0.2, DARK)


def duck(p: Pen, c: RGB) -> None:
    """Swims or sits to the right."""
    p.poly([(-1, 0.1), (-0.6, 0.3), (-0.5, 0.7)], c)
    p.oval(-0.85, 0.1, 0.6, 1, c)
    p.poly([(0.15, 0.5), (0.25, -0.4), (0.65, -0.4), (0.55, 0.6)], c)
    p.disc(0.45, -0.45, 0.33, c)
    p.poly([(0.7, -0.55), (1.1, -0.38), (0.7, -0.25)], (240, 150, 30))
    p.oval(-0.55, 0.3, 0.2, 0.75, shade(c, 0.75))


def child(p: Pen, c: RGB) -> None:
    """Stands in a wide coat."""
    p.rect(-0.25, 0.5, -0.05, 1, DARK)
    p.rect(0.05, 0.5, 0.25, 1, DARK)
    p.line([(-0.2, 0), (-0.6, 0.35)], c, 0.18)
    p.line([(0.2, 0), (0.6, -0.3)], c, 0.18)
    p.poly([(-0.22, -0.2), (0.22, -0.2), (0.5, 0.6), (-0.5, 0.6)], c)
    p.disc(0, -0.5, 0.32, SKIN)
    p.poly([(-0.34, -0.5), (-0.2, -0.88), (0.2, -0.88), (0.34, -0.5), (0, -0.68)], (90, 56, 30))


def bicycle(p: Pen, c: RGB) -> None:
    """Two wheels and a frame."""
    for x in (-0.6, 0.6):
        p.ring(x, 0.55, 0.42, DARK, 0.1)
    p.line([(-0.6, 0.55), (-0.25, -0.1), (0.4, -0.1), (0, 0.55), (-0.6, 0.55)], c, 0.15)
    p.line([(0.6, 0.55), (0.35, -0.4), (0.6, -0.45)], c, 0.15)
    p.line([(0, 0.55), (-0.3, -0.3)], c, 0.13)
    p.rect(-0.5, -0.4, -0.1, -0.28, DARK)


def tent(p: Pen, c: RGB) -> None:
    """A ridge tent with an open front."""
    p.poly([(0, -0.7), (1.1, 1), (-1.1, 1)], c)
    p.poly([(0, -0.7), (1.1, 1), (0.6, 1)], shade(c, 0.7))
    p.poly([(0, -0.1), (0.4, 1), (-0.4, 1)], DARK)


def bench(p: Pen, c: RGB) -> None:
    """Slats, seat and two legs."""
    for y in (-0.35, -0.05, 0.25):
        p.rect(-1.1, y, 1.1, y + 0.2, c)
    p.rect(-1.2, 0.45, 1.2, 0.62, shade(c, 0.8))
    for x in (-0.95, 0.8):
        p.rect(x, 0.6, x + 0.16, 1, DARK)


def boat(p: Pen, c: RGB) -> None:
    """A hull with a white sail."""
    p.line([(0, 0.4), (0, -1)], (90, 70, 50), 0.1)
    p.poly([(0.08, -0.95), (0.85, 0.3), (0.08, 0.3)], (244, 240, 230))
    p.poly([(-0.08, -0.7), (-0.6, 0.3), (-0.08, 0.3)], (224, 220, 210))
    p.poly([(-1.1, 0.4), (1.1, 0.4), (0.7, 1), (-0.7, 1)], c)


def chair(p: Pen, c: RGB) -> None:
    """A high back on the left, a seat and legs."""
    p.rect(-0.6, -1, -0.38, 1, c)
    p.rect(-0.6, 0.05, 0.6, 0.3, shade(c, 0.85))
    p.rect(0.4, 0.25, 0.6, 1, c)
    p.rect(-0.6, -0.9, -0.3, -0.1, c)


def tree(p: Pen, c: RGB) -> None:
    """A trunk and a round crown."""
    p.rect(-0.13, 0.1, 0.13, 1, (96, 66, 42))
    for x, y, r in ((-0.35, -0.05, 0.4), (0.35, -0.05, 0.4), (0, -0.5, 0.5)):
        p.disc(x, y, r, c)


def car(p: Pen, c: RGB) -> None:
    """Faces right: the bonnet is lower than the boot."""
    p.poly([(-0.75, 0.15), (-0.6, -0.4), (0.2, -0.4), (0.5, 0.15)], c)
    p.poly([(-0.6, 0.1), (-0.5, -0.27), (-0.2, -0.27), (-0.2, 0.1)], (190, 214, 226))
    p.poly([(-0.1, 0.1), (-0.1, -0.27), (0.14, -0.27), (0.36, 0.1)], (190, 214, 226))
    p.rect(-1.1, 0.1, 1.1, 0.7, c)
    p.rect(0.95, 0.22, 1.1, 0.4, (255, 240, 170))
    for x in (-0.6, 0.6):
        p.disc(x, 0.7, 0.3, DARK)
        p.disc(x, 0.7, 0.12, (170, 170, 170))


def mug(p: Pen, c: RGB) -> None:
    """A straight cup with a handle on the right."""
    p.ring(0.6, 0.2, 0.36, shade(c, 0.85), 0.16)
    p.rect(-0.65, -0.6, 0.55, 0.95, c)
    p.oval(-0.65, -0.75, 0.55, -0.4, shade(c, 0.55))


def house(p: Pen, c: RGB) -> None:
    """A wall with a gable, a door and a window."""
    p.rect(-0.75, -0.05, 0.75, 1, (236, 226, 206))
    p.poly([(-1, 0), (0, -0.95), (1, 0)], c)
    p.rect(-0.5, 0.35, -0.1, 1, shade(c, 0.6))
    p.rect(0.2, 0.25, 0.55, 0.6, (120, 170, 210))


def person(p: Pen, c: RGB) -> None:
    """A plain upright figure with a coat of the colour."""
    p.rect(-0.22, 0.4, -0.04, 1, DARK)
    p.rect(0.04, 0.4, 0.22, 1, DARK)
    p.rect(-0.32, -0.4, 0.32, 0.45, c)
    p.disc(0, -0.68, 0.27, SKIN)
