"""What is known of a backbone before it is built: its image side. No torch."""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from .errors import BenchError, nearest

WEIGHTS = Path(__file__).parent / "weights"


@cache
def configs() -> dict[str, Path]:
    """Every open_clip model and the tiny ones that ship with the package: name -> config file."""
    spec = find_spec("open_clip")
    folders = (spec.submodule_search_locations if spec is not None else None) or []
    found = {p.stem: p for at in folders for p in (Path(at) / "model_configs").glob("*.json")}
    return found | {p.stem: p for p in WEIGHTS.glob("tiny-?.json")}


def image_side(name: str) -> int:
    """Side of a model's images in pixels.

    Raises:
        BenchError: open_clip knows no model of that name, or its images are not square.
    """
    known = configs()
    if name not in known:
        raise BenchError("an open_clip model name", f"'{name}'", nearest(name, known))
    size = json.loads(known[name].read_text()).get("vision_cfg", {}).get("image_size", 224)
    sides = set(size) if isinstance(size, list) else {size}
    if len(sides) > 1:
        raise BenchError("a model with square images", f"'{name}' with {size}", "choose another")
    return int(sides.pop())
