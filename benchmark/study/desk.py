"""Where the points of a study are made and kept, one by one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..common.report import Report
from ..errors import BenchError
from ..records.naming import method_label
from ..records.study.file import STUDIES, StudyFile, read_study, study_path, write_study
from ..run.asked.official import code_reasons
from ..run.provenance.code import git_origin
from ..run.provenance.machine import hardware, versions
from ..run.provenance.numerics import NUMERICS
from ..run.request import Plan, Request, make_plan


@dataclass(frozen=True)
class Keeping:
    """Where a study is kept, and whether an older one may be replaced.

    Attributes:
        folder: of all studies; None for the default one.
        overwrite: begin anew where the points that are there were made otherwise.
    """

    folder: Path | None = None
    overwrite: bool = False


class Desk:
    """The file of one study, filled point by point.

    Args:
        study: its name.
        plans: one for each kind of point, for what they say of code, data and weights.
        asked: what is the same for all points beside.
        place: where it is kept.
        report: what the user sees.

    Raises:
        BenchError: points that were made by other code, from other data or otherwise are there, and
            they are not to be replaced.
    """

    def __init__(
        self,
        study: str,
        plans: list[Plan],
        asked: Mapping[str, Any],
        place: Keeping,
        report: Report,
    ) -> None:
        plan, self.report = plans[0], report
        reasons = sorted({r for one in plans for r in _reasons(one)})
        root = place.folder or STUDIES
        self.path = study_path(_unofficial_root(root) if reasons else root, plan.suite.name, study)
        for reason in reasons:
            report.line(f"this study goes to {self.path}: {reason}")
        self.file = StudyFile(
            study, plan.suite.name, plan.suite.version, plan.backbone, plan.pretrained,
            {"recipe": plan.recipe.asked(), "templates": plan.suite.templates,
             "limit": plan.request.limit, "precision": plan.precision,
             "settings": {_label(one): one.asked["config"] for one in plans}, **asked},
            _made(plans),
        )  # fmt: skip
        if self.path.exists():
            self._go_on(read_study(self.path), place.overwrite)

    def _go_on(self, there: StudyFile, overwrite: bool) -> None:
        if _identity(there) == _identity(self.file):
            self.file = there
        elif not overwrite:
            what = f"points in '{self.path}' that were asked for in the same way, of the same code"
            raise BenchError(what, "others", "give --overwrite, or another --output-dir")

    def missing(self, at: Mapping[str, Any]) -> bool:
        """Whether a point is still to be made."""
        return not self.file.has(at)

    def keep(self, at: Mapping[str, Any], found: Mapping[str, Any], weights: str) -> None:
        """One more point; on disk at once.

        Args:
            at: where it is.
            found: what was found.
            weights: sha256 of the pretrained weights.

        Raises:
            BenchError: those of the points before are others; or it cannot be written.
        """
        if self.file.made.setdefault("weights", weights) != weights:
            fix = "give --overwrite, or another --output-dir"
            raise BenchError(f"the weights of the other points in '{self.path}'", "others", fix)
        self.file = self.file.with_point(at, found)
        write_study(self.path, self.file)


def plan_of(request: Request, name: str) -> Plan:
    """A plan for one task; the other tasks and the held-out sets need not be prepared."""
    return make_plan(replace(request, order=name, evals="id"))


def _label(plan: Plan) -> str:
    return method_label(plan.method.name, plan.method.variant)


def _unofficial_root(root: Path) -> Path:
    return Path("scratch") / "studies" if root == STUDIES else root / "scratch"


def _reasons(plan: Plan) -> list[str]:
    published = any(d.needs for d in plan.suite.tasks)
    limited = plan.request.limit is not None
    said = [f"limited to {plan.request.limit} images a split"] if limited else []
    return said + code_reasons(plan.method, plan.git, published)


def _made(plans: list[Plan]) -> dict[str, Any]:
    """Provenance of all points: what numbers depend on, and by which commit."""
    plan = plans[0]
    return {
        "code": {"sha256": plan.code, "numerics": NUMERICS, "version": __version__,
                 "origin": git_origin(), **plan.git},
        "methods": {one.method.name: one.method.sha for one in plans},
        "versions": versions(),
        "hardware": {**hardware(), "asked": plan.request.device},
        "data": plan.asked["data"],
    }  # fmt: skip


def _identity(file: StudyFile) -> tuple[object, ...]:
    """What all points of a file have in common; a commit alone changes nothing."""
    code = file.made["code"]
    made = {k: v for k, v in file.made.items() if k != "weights"}  # asked at every point
    made["code"] = (code["sha256"], code["numerics"])
    return file.group, _plain(file.asked), _plain(made)


def _plain(value: object) -> object:
    """As JSON gives it back."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
