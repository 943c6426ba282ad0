"""Pictures that were drawn before, so that only what they show, or who draws, makes them anew."""

from base64 import b64decode, b64encode

from ...common.index import Index, code_sha, software
from .charts import Picture
from .stages.sheets import Sheet
from .studies.panels import Analysis

KIND = "pictures"


def drawn(picture: Picture | Sheet | Analysis, mark: str, index: Index) -> dict[str, bytes]:
    """As `draw.draw`, which is asked only for a picture that is not in the index."""
    of = [picture.digest, mark, code_sha(), software("numpy", "matplotlib", "fonttools", "pillow")]
    kept = None if of[2] is None else index.get(KIND, of)
    if kept is not None:
        return {kind: b64decode(content) for kind, content in kept.items()}
    from .draw import draw  # matplotlib, which takes a while to start

    files = draw(picture, mark)
    if of[2] is not None:
        index.put(KIND, of, {kind: b64encode(content).decode() for kind, content in files.items()})
    return files
