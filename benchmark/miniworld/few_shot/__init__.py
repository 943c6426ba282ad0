"""The labelled domains that the few-shot suites learn, each with a look and words of its own.

One class name, "sunflower", is in two of them, as names are in the published union of classes.
The weights `bundled` have seen none of these renders: class names made of words that their captions
use start above chance, the others at chance. `bundled-few-shot`, which the few-shot suites start
from, have seen renders of role "pretrain", and know the domains and a part of the classes.
"""

from ..sampling import Domain
from .blossoms import BLOSSOMS8
from .curios import CURIOS10
from .digits import DIGITS10
from .dishes import DISHES8
from .motors import MOTORS9
from .planes import PLANES8
from .scenes import SCENES8
from .textures import TEXTURES8

__all__ = ["FEW_SHOT"]

FEW_SHOT: dict[str, Domain] = {
    domain.name: domain
    for domain in (PLANES8, CURIOS10, TEXTURES8, BLOSSOMS8, DISHES8, DIGITS10, MOTORS9,
                   SCENES8)
}  # fmt: skip
