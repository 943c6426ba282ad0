"""The precision of a run: what its suite declares, what the device can do, and TF32.

With `bf16`, the towers multiply in bfloat16 under autocast; weights, optimiser, losses and
similarities are float32. With `fp32`, everything is. Metrics count in float64.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ...backbones.known import Precision
from ...errors import BenchError
from .pick import pick_device

_AMPERE = 8  # compute capability of the first GPUs that have TF32


def chosen_precision(
    asked: Precision | None, declared: Precision, device: str
) -> tuple[Precision, str]:
    """What the towers of a run multiply in, and a sentence where that is not what is declared.

    Args:
        asked: by `--precision`; None takes what is declared.
        declared: by the suite's recipe.
        device: of the request, auto, cpu or cuda[:N].

    Raises:
        BenchError: the device cannot do at all what is asked for, or is none of this machine.
    """
    if "bf16" not in (asked, declared) or asked == "fp32":
        return asked or declared, ""
    where = pick_device(device)
    if asked is not None:
        if where.type == "cuda" and not multiplies_bf16(where):
            got = f"'bf16' on {torch.cuda.get_device_name(where)}"
            raise BenchError("a --precision that the device can do", got, "give fp32")
        return asked, ""
    if multiplies_bf16(where):
        return declared, ""
    return "fp32", (
        f"precision: the suite declares {declared}, which this {where.type} does not multiply in; "
        "the run takes fp32 and is named precision=fp32"
    )


def multiplies_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16; what has none would imitate it, slowly."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return True
    return any(_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _capabilities() -> dict[str, object]:
    """Of the processor, by torch's names."""
    told = getattr(torch.cpu, "get_capabilities", None)  # since torch 2.12
    if told is not None:
        return dict(told())
    return {"avx512_bf16": torch.cpu._is_avx512_bf16_supported()}


def steps_in_tf32(precision: Precision, device: torch.device) -> bool:
    """Whether training steps multiply in TF32 what they multiply in float32.

    All else does not, whatever the precision: what hooks fit, merging, routing and scores.
    """
    if precision == "fp32" or device.type != "cuda":
        return False
    return torch.cuda.get_device_capability(device)[0] >= _AMPERE


@contextmanager
def float32_products(tf32: bool) -> Iterator[None]:
    """Inside, a GPU multiplies float32 in TF32, or else as float32; afterwards all is as before.

    torch's own defaults are neither: products are exact there, convolutions are not.

    Args:
        tf32: 10 bits of mantissa in the factors, 23 in the sums.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    # By the older of torch's two interfaces: whoever reads the one after the other was used
    # gets an error, and libraries read this one.
    general, before = torch.get_float32_matmul_precision(), (matmul.allow_tf32, cudnn.allow_tf32)
    torch.set_float32_matmul_precision("highest")  # of the CPU as well, which is never asked less
    matmul.allow_tf32 = cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(general)
        matmul.allow_tf32, cudnn.allow_tf32 = before
