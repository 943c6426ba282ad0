"""Where the value of a setting is from: the paper, a sweep, or neither."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from ..errors import MethodError

Value = TypeVar("Value")
Kind = Literal["paper", "default", "tuned"]


@dataclass(frozen=True)
class Origin:
    """Where a default is from.

    Attributes:
        source: where the value stands ("section 4.1", "official code, args.py").
        paper: the paper's value, where ours is another, in words where it is no single value.
        why: the reason for ours.
        sweep: name of the sweep that chose it, `sweeps/<sweep>.toml`; "" for none.
        trials: how many settings that sweep tried.
    """

    source: str = ""
    paper: str = ""
    why: str = ""
    sweep: str = ""
    trials: int = 0

    @property
    def kind(self) -> Kind:
        """Tuned by a sweep; the paper's or its code's; or a default that neither gives."""
        if self.sweep:
            return "tuned"
        return "paper" if self.source and not self.paper else "default"

    def is_papers(self, value: object) -> bool:
        """Whether a value is `paper`, where that is a value and, perhaps, words in brackets."""
        paper = self.paper.partition(" (")[0]
        try:
            return float(paper) == value
        except ValueError:
            return bool(paper) and paper.lower() == str(value).lower()


NOWHERE = Origin()


def setting(
    default: Value, *, source: str = "", paper: str = "", why: str = "", sweep: str = "",
    trials: int = 0,
) -> Value:  # fmt: skip
    """A field of a Config that says where its default is from; see `Origin` for the arguments.

    Written with plain values, so that `cl-bench ls` can read it without importing the file.

    Raises:
        MethodError: another value than the paper's without a reason, or a sweep without trials.
    """
    origin = Origin(source, paper, why, sweep, trials)
    if paper and not why:
        raise MethodError(f"a reason for {default!r} instead of {paper}", "none", "give `why`")
    if bool(sweep) != (trials > 0):
        got = f"sweep={sweep!r}, trials={trials}"
        raise MethodError("a sweep and its number of trials", got, "give both, or neither")
    return field(default=default, metadata={"origin": origin})


def told(named: Mapping[str, Origin], given: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says of a run's settings as a whole.

    Args:
        named: setting -> origin of its value in this run.
        given: what the call changed.

    Returns:
        kind: "given" where the call changed something, else "tuned" where a sweep chose a value,
        else "default" where one is no paper's, else "paper"; trials: of all sweeps; sweeps: names.
    """
    sweeps = {origin.sweep: origin.trials for origin in named.values() if origin.sweep}
    kinds = {origin.kind for origin in named.values()}
    ranked = ("tuned", "default", "paper")
    kind = "given" if given else next((one for one in ranked if one in kinds), "paper")
    return {"kind": kind, "trials": sum(sweeps.values()), "sweeps": sorted(sweeps)}
