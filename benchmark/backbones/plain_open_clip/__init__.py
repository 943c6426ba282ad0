"""open_clip's own modules, without the libraries that its other towers come from.

`import open_clip` imports transformers, timm and torchvision, for towers that are refused here:
half of the time that a run's imports would take. This package has open_clip's folder on its path,
behind its own: `part("model")` is made from open_clip's file, and where that imports a module that
stands here too, it gets this one, which imports the library when a tower of it is made. The modules
have names of their own. Whoever imports open_clip, before or after, has it whole, and neither is
changed by the other.
"""

import importlib
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

_WHOLE = "open_clip"

if (_found := find_spec(_WHOLE)) is not None:  # which imports nothing
    __path__ = [*__path__, *(_found.submodule_search_locations or ())]


def part(name: str) -> Any:
    """A module of open_clip.

    Of a release whose modules import each other in another way, it is the one that
    `import open_clip` gives, with all that that imports.

    Args:
        name: of the module, without the package's.
    """
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except Exception:  # whatever it is, the whole package has it too, or shows what it is
        return importlib.import_module(f"{_WHOLE}.{name}")


def published() -> Any:
    """open_clip's table of published weights: that of `import open_clip` where someone has it.

    People add tags of their own to that one.
    """
    return sys.modules.get(f"{_WHOLE}.pretrained") or part("pretrained")


def later(module: str) -> Callable[[str], Callable[..., Any]]:
    """A module's `__getattr__`: functions that call those of open_clip's module of that name.

    Args:
        module: of open_clip, which is imported at the first call.
    """

    def found(name: str) -> Callable[..., Any]:
        if name.startswith("__"):  # what Python asks of modules
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            whole = importlib.import_module(f"{_WHOLE}.{module}")
            return getattr(whole, name)(*args, **kwargs)

        return call

    return found
