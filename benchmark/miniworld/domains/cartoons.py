"""Cartoons: flat colours, thick contours, and characters who do something somewhere."""

import numpy as np
from PIL import Image

from ..canvas import BIG, RGB, Pen, finished, reduced, shade
from ..sampling import Domain, Scene

INK: RGB = (0, 0, 0)
HEROES: dict[str, RGB] = {
    "girl": (255, 214, 176),
    "boy": (232, 180, 136),
    "robot": (176, 190, 206),
    "bear": (150, 96, 52),
    "rabbit": (240, 232, 236),
    "frog": (110, 206, 80),
}
SHIRTS: dict[str, RGB] = {
    "orange": (255, 140, 26),
    "purple": (144, 66, 204),
    "lime": (178, 238, 40),
    "cyan": (64, 214, 240),
    "maroon": (140, 20, 40),
    "indigo": (50, 52, 160),
}
HATS: dict[str, str] = {
    "none": "no hat",
    "crown": "a crown",
    "wizard": "a wizard hat",
    "bow": "a bow",
}
FACES: dict[str, str] = {
    "happy": "happy",
    "sad": "sad",
    "angry": "angry",
    "shocked": "surprised",
}
ACTIONS: dict[str, str] = {
    "waves": "waves hello",
    "balloon": "holds a balloon",
    "skates": "rides a skateboard",
    "jumps": "jumps high",
    "flag": "carries a flag",
}
PLACES: dict[str, tuple[str, RGB, RGB]] = {
    "bedroom": ("in the bedroom", (255, 206, 220), (206, 150, 96)),
    "moon": ("on the moon", (20, 16, 60), (206, 206, 214)),
    "yard": ("in the playground", (140, 214, 255), (120, 214, 90)),
    "castle": ("before a castle", (250, 226, 140), (160, 190, 90)),
    "sea": ("under the sea", (36, 130, 214), (244, 222, 150)),
    "street": ("by a candy shop", (190, 240, 226), (190, 186, 196)),
}
FRIENDS: dict[str, str] = {
    "none": "",
    "ghost": "a ghost",
    "snail": "a snail",
    "kitten": "a kitten",
    "chick": "a chick",
}
TEMPLATES: tuple[str, ...] = (
    "one day {a} {face} {hero} with {hat} and {shirt} shirt {action} {place} {friend}.",
    "{place} the {face} {hero} wearing {hat} and {shirt} shirt {action} {friend}.",
    "look, the {hero} in {shirt} shirt and {hat} feels {face} and {action} {place} {friend}.",
)


def _settle(scene: Scene) -> Scene | None:
    return {**scene, "side": ""} if scene["friend"] == "none" else scene


def _captions(scene: Scene, pick: int) -> tuple[str, ...]:
    friend = FRIENDS[scene["friend"]]
    words = {
        "hero": scene["hero"],
        "a": "an" if scene["face"] == "angry" else "a",
        "face": FACES[scene["face"]],
        "hat": HATS[scene["hat"]],
        "shirt": scene["shirt"],
        "action": ACTIONS[scene["action"]],
        "place": PLACES[scene["place"]][0],
        "friend": f"while {friend} watches from the {scene['side']}" if friend else "all alone",
    }
    return (TEMPLATES[pick % len(TEMPLATES)].format(**words),)


def _stage(p: Pen, kind: str) -> None:
    _, wall, floor = PLACES[kind]
    p.rect(-2, -2, 98, 98, wall)
    if kind == "moon":
        for x, y in ((10, 10), (84, 22), (30, 26), (64, 8), (90, 50), (6, 48)):
            p.image.paste((255, 250, 190), (x, y, x + 3, y + 3))
    elif kind == "castle":
        grey: RGB = (200, 130, 110)
        p.poly([(4, 72), (4, 16), (14, 16), (14, 24), (24, 24), (24, 16), (34, 16), (34, 40),
                (62, 40), (62, 16), (72, 16), (72, 24), (82, 24), (82, 16), (92, 16), (92, 72)],
               grey)  # fmt: skip
    elif kind == "street":
        p.rect(6, 22, 90, 74, (255, 250, 240))
        for x in range(6, 90, 14):
            p.rect(x, 16, x + 14, 28, ((240, 50, 90), (255, 255, 255))[x // 14 % 2])
    p.rect(-2, 72, 98, 98, floor)
    if kind == "bedroom":
        p.rect(6, 10, 34, 38, (170, 226, 255))
        p.line([(20, 10), (20, 38)], INK, 3)
        p.rect(66, 52, 98, 76, (120, 130, 230))
    elif kind == "moon":
        p.oval(8, 78, 34, 88, (160, 160, 170))
        p.oval(62, 84, 90, 94, (160, 160, 170))
    elif kind == "yard":
        p.poly([(70, 74), (74, 24), (84, 24), (84, 74)], (250, 210, 50))
        p.line([(74, 26), (46, 74)], (240, 80, 60), 6)
        p.disc(10, 10, 11, (255, 226, 60))
    elif kind == "sea":
        for x, y in ((12, 20), (20, 42), (82, 14), (74, 36)):
            p.disc(x, y, 4, (180, 226, 255))
        for x in (8, 86):
            p.poly([(x - 5, 78), (x - 2, 50), (x + 2, 62), (x + 5, 46), (x + 6, 78)], (30, 160, 90))


def _head(p: Pen, hero: str) -> None:
    skin = HEROES[hero]
    if hero == "girl":
        for x in (-0.8, 0.8):
            p.oval(x - 0.4, -0.7, x + 0.4, 1.1, (236, 130, 30))
    elif hero == "bear":
        for x in (-0.65, 0.65):
            p.disc(x, -0.7, 0.36, skin)
    elif hero == "rabbit":
        for x in (-0.4, 0.4):
            p.oval(x - 0.25, -2, x + 0.25, -0.4, skin)
    elif hero == "frog":
        for x in (-0.55, 0.55):
            p.disc(x, -0.75, 0.4, skin)
    if hero == "robot":
        p.rect(-0.85, -0.8, 0.85, 0.8, skin)
    else:
        p.disc(0, 0, 0.85, skin)
    if hero == "girl":
        p.poly([(-0.8, -0.2), (-0.7, -0.8), (0, -1), (0.7, -0.8), (0.8, -0.2), (0, -0.6)],
               (236, 130, 30))  # fmt: skip
    elif hero == "boy":
        p.poly([(-0.9, -0.1), (-0.85, -0.8), (-0.3, -0.7), (0, -1.1), (0.3, -0.7), (0.85, -0.8),
                (0.9, -0.1), (0.4, -0.4), (-0.4, -0.4)], (60, 36, 20))  # fmt: skip


def _face(p: Pen, mood: str) -> None:
    for x in (-0.35, 0.35):
        p.image.paste(INK, _dot(p, x, -0.05, 0.13))
    if mood == "happy":
        p.poly([(-0.45, 0.25), (0.45, 0.25), (0.2, 0.6), (-0.2, 0.6)], (255, 255, 255))
    elif mood == "sad":
        p.line([(-0.3, 0.6), (-0.12, 0.42), (0.12, 0.42), (0.3, 0.6)], INK, 0.12)
        for x in (-0.45, 0.45):
            p.image.paste((40, 130, 255), _dot(p, x, 0.35, 0.14))
    elif mood == "angry":
        p.line([(-0.65, -0.5), (-0.1, -0.2)], INK, 0.22)
        p.line([(0.65, -0.5), (0.1, -0.2)], INK, 0.22)
        p.line([(-0.3, 0.5), (0.3, 0.5)], INK, 0.14)
    else:
        p.oval(-0.2, 0.25, 0.2, 0.75, (220, 30, 50))


def _dot(p: Pen, x: float, y: float, r: float) -> tuple[int, int, int, int]:
    (x0, y0), (x1, y1) = p.placed([(x - r, y - r), (x + r, y + r)])
    return int(x0), int(y0), int(x1) + 1, int(y1) + 1


def _hat(p: Pen, kind: str) -> None:
    if kind == "crown":
        p.poly([(-0.7, -0.6), (-0.8, -1.4), (-0.35, -1), (0, -1.5), (0.35, -1), (0.8, -1.4),
                (0.7, -0.6)], (255, 214, 20))  # fmt: skip
    elif kind == "wizard":
        p.poly([(-0.7, -0.65), (0.15, -2.1), (0.7, -0.65)], (40, 60, 190))
        p.oval(-1.1, -0.85, 1.1, -0.45, (40, 60, 190))
    elif kind == "bow":
        p.poly([(0, -0.85), (-0.7, -1.25), (-0.7, -0.5)], (255, 60, 150))
        p.poly([(0, -0.85), (0.7, -1.25), (0.7, -0.5)], (255, 60, 150))


def _body(p: Pen, scene: Scene) -> None:
    skin, shirt = HEROES[scene["hero"]], SHIRTS[scene["shirt"]]
    action = scene["action"]
    if action == "skates":
        p.rect(-1.1, 1.75, 1.1, 2, (240, 60, 60))
        for x in (-0.7, 0.7):
            p.disc(x, 2.1, 0.2, (255, 255, 255))
    spread = 0.5 if action == "jumps" else 0.0
    for s in (-1, 1):
        p.poly([(s * 0.1, 1), (s * 0.5, 1), (s * (0.5 + spread), 1.8), (s * (0.1 + spread), 1.8)],
               (70, 80, 120))  # fmt: skip
    raised = {"waves": (0, 1), "balloon": (0, 1), "skates": (0, 0), "jumps": (1, 1), "flag": (1, 0)}
    for s, up in zip((-1, 1), raised[action], strict=True):
        tip = (s * 1.25, -0.35) if up else (s * 1.1, 0.85)
        p.poly([(s * 0.4, 0.05), (s * 0.4, 0.45), tip, (tip[0], tip[1] - 0.35)], shade(shirt, 0.9))
        p.disc(tip[0], tip[1] - 0.15, 0.22, skin)
    p.poly([(-0.45, 0), (0.45, 0), (0.65, 1.1), (-0.65, 1.1)], shirt)
    if action == "balloon":
        p.line([(1.25, -0.5), (1.3, -1.6)], INK, 0.08)
        p.oval(0.8, -2.8, 1.8, -1.5, (255, 40, 60))
    elif action == "flag":
        p.line([(-1.3, 0.2), (-1.3, -2.4)], INK, 0.14)
        p.poly([(-1.3, -2.4), (-2.4, -2), (-1.3, -1.5)], (40, 190, 80))


def _friend(p: Pen, kind: str) -> None:
    eye: RGB = (0, 0, 0)
    if kind == "ghost":
        p.poly([(-0.7, 1), (-0.7, -0.4), (-0.3, -0.9), (0.3, -0.9), (0.7, -0.4), (0.7, 1),
                (0.35, 0.7), (0, 1), (-0.35, 0.7)], (250, 250, 255))  # fmt: skip
    elif kind == "snail":
        p.poly([(-1, 1), (1, 1), (1, 0), (0.7, 0), (0.6, 0.6), (-1, 0.7)], (240, 210, 140))
        p.disc(-0.2, 0.2, 0.6, (220, 90, 60))
        p.disc(-0.2, 0.2, 0.25, (250, 170, 120))
        return
    elif kind == "kitten":
        p.poly([(-0.7, 1), (-0.75, -0.9), (-0.25, -0.4), (0.25, -0.4), (0.75, -0.9), (0.7, 1)],
               (120, 124, 134))  # fmt: skip
    else:
        p.disc(0, 0.3, 0.7, (255, 236, 60))
        p.poly([(-0.2, 0.3), (0.2, 0.3), (0, 0.6)], (255, 120, 0))
    for x in (-0.28, 0.28):
        p.image.paste(eye, _dot(p, x, 0.0, 0.1))


def _paint(scene: Scene, rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (BIG, BIG))
    _stage(Pen(image, 0, 0, 1, outline=INK, width=2), scene["place"])
    sign = {"left": -1, "right": 1, "": 0}[scene["side"]]
    x = 48 - sign * 12 + int(rng.integers(-3, 4))
    y = 52 + int(rng.integers(-2, 3)) - (12 if scene["action"] == "jumps" else 0)
    if scene["action"] == "jumps":
        Pen(image, x, 88, 16).oval(-0.8, -0.2, 0.8, 0.2, (60, 60, 60))
    _body(Pen(image, x, y, 18, outline=INK, width=3), scene)
    head = Pen(image, x, y - 13, 16, outline=INK, width=3)
    _head(head, scene["hero"])
    _face(Pen(image, x, y - 13, 16, outline=INK, width=1), scene["face"])
    _hat(head, scene["hat"])
    if sign:
        _friend(Pen(image, 48 + sign * 33, 78, 12, outline=INK, width=2), scene["friend"])
    return finished(reduced(image))


CARTOONS = Domain(
    name="cartoons",
    title="Cartoons",
    attributes={
        "hero": tuple(HEROES),
        "shirt": tuple(SHIRTS),
        "hat": tuple(HATS),
        "face": tuple(FACES),
        "action": tuple(ACTIONS),
        "place": tuple(PLACES),
        "friend": tuple(FRIENDS),
        "side": ("left", "right"),
    },
    settle=_settle,
    captions=_captions,
    paint=_paint,
)
