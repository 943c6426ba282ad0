"""What parameters contain, as a digest that is computed again only where they may have changed."""

from collections.abc import Mapping

from torch import Tensor, nn

from ..common.digests import tensor_digest


def modules_of(module: nn.Module) -> list[nn.Module]:
    """As `modules()`, without its generators, which take longer than what is asked of each."""
    found: dict[int, nn.Module] = {}

    def walk(at: nn.Module) -> None:
        if id(at) not in found:
            found[id(at)] = at
            for part in at._modules.values():
                if part is not None:
                    walk(part)

    walk(module)
    return list(found.values())


def parameters_of(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """As `named_parameters()`, see `modules_of`."""
    found: list[tuple[str, nn.Parameter]] = []
    seen: set[int] = set()

    def walk(at: nn.Module, prefix: str) -> None:
        if id(at) in seen:
            return
        seen.add(id(at))
        for name, own in at._parameters.items():
            if own is not None and id(own) not in seen:
                seen.add(id(own))
                found.append((prefix + name, own))
        for name, part in at._modules.items():
            if part is not None:
                walk(part, f"{prefix}{name}.")

    walk(module, "")
    return found


def set_mode(module: nn.Module, mode: bool) -> None:
    """As `module.train(mode)`, without a walk of generators where nothing is to be done."""
    if any(part.training != mode for part in modules_of(module)):
        nn.Module.train(module, mode)


class Content:
    """Digests of named tensors, kept until one of them is changed in place or moved.

    A write through `.data`, or by a kernel that torch does not know of, leaves no trace: whoever
    makes one calls `torch.autograd.graph.increment_version`, or `forget` before the next digest.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[object, str, object]] = {}  # by what they are digests of

    def __deepcopy__(self, memo: object) -> "Content":
        """A copy's tensors lie elsewhere."""
        return Content()

    def forget(self) -> None:
        """Compute all digests again when they are asked for."""
        self._known.clear()

    def digest(self, about: str, named: Mapping[str, Tensor]) -> str:
        """Sha256 of `about`, and of names, types, shapes and values of the tensors."""
        state = [writes(), *((name, *_where(t)) for name, t in named.items())]
        if self._known.get(about, (None, ""))[0] != state:
            heads = (f"{n}:{t.dtype}:{tuple(t.shape)};" for n, t in named.items())
            pairs = zip(heads, named.values(), strict=True)
            parts = (part for both in pairs for part in both)
            # What is kept alive leaves its place in memory to no other tensor.
            alive = [t.detach() for t in named.values()]
            self._known[about] = state, tensor_digest([about, *parts]), alive
        return self._known[about][1]


class _Writes:
    count = 0


def forget_all() -> None:
    """Every `Content` computes its digests again: values may have been written without a trace."""
    _Writes.count += 1


def writes() -> int:
    """How often `forget_all` was called."""
    return _Writes.count


def _where(t: Tensor) -> tuple[object, ...]:
    """Where a tensor lies, how it is read, and how often it was written to."""
    version = object() if t.is_inference() else t._version  # which has none: never the same
    return t.data_ptr(), version, t.dtype, tuple(t.shape), t.stride()
