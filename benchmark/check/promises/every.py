"""All checks, in the order in which they are asked: what a check needs comes before it."""

from ..contract import Promise
from . import declaration, elsewhere, hostile, inference, state, static, training, whole

CHECKS: tuple[Promise, ...] = (
    *declaration.CHECKS,
    *static.CHECKS,
    *training.FIRST,
    *inference.CHECKS,
    *training.THEN,
    *state.CHECKS,
    *elsewhere.CHECKS,
    *hostile.CHECKS,
    *whole.CHECKS,
)
