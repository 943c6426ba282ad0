"""What was asked for, made exact: suite, method, backbone, recipe, and the name of the record."""

import hashlib
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ..backbones.known import check_backbone, image_side
from ..common.digests import digest
from ..common.files import cache_root, weights_file
from ..data.split import ImageSource, Pairs
from ..errors import BenchError
from ..hub.lock import lock_path
from ..records.naming import file_stem, suite_folder
from ..suites.find import find_suite
from ..suites.names import PUBLISHED, Templates
from ..suites.ready import PreparedData, ready
from ..suites.suite import Recipe, Suite
from .provenance.machine import code_sha, git_dirty, git_state
from .registry import ResolvedMethod, find_method
from .task_order import resolve_order

Evals = Literal["all", "id", "ood"]
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Request:
    """The options of `cl-bench run` for one seed; None takes the suite's default."""

    method: str
    order: str = "forward"
    suite: str = "mini"
    backbone: str | None = None
    pretrained: str | None = None
    seed: int = 42
    hp: tuple[str, ...] = ()
    epochs: int | None = None
    batch_size: int | None = None
    templates: Templates | None = None
    evals: Evals = "all"
    limit: int | None = None
    device: str = "auto"
    precision: Precision = "fp32"
    output_dir: Path | None = None
    cache_dir: Path | None = None
    overwrite: bool = False
    fresh: bool = False
    save_ranks: bool = False


@dataclass(frozen=True)
class Plan:
    """A request with every default filled in.

    Attributes:
        pretrained: the weights as records name them; weights: as they are loaded.
        settings: whatever differs from the suite's and the method's defaults, as text; part of
            the record's name.
        asked: everything that the numbers depend on, for comparison with an existing record.
        unofficial: why the record may not land in results/; empty if it may.
        left_out: optional held-out sets that are not prepared.
    """

    request: Request
    suite: Suite
    found: ResolvedMethod
    backbone: str
    pretrained: str
    weights: str
    recipe: Recipe
    settings: dict[str, str]
    asked: dict[str, Any]
    code: str
    git: dict[str, Any]
    unofficial: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """File name of the record, without suffix."""
        settings = ",".join(f"{k}={v}" for k, v in self.settings.items())
        return file_stem(
            self.found.name,
            self.found.variant,
            settings,
            self.backbone,
            self.request.order,
            self.request.seed,
        )

    @property
    def scratch(self) -> Path:
        """Folder of everything unfinished or unofficial."""
        given = self.request.output_dir
        return Path("scratch") if given is None else given / "scratch"

    @property
    def target(self) -> Path:
        """Where the finished record goes."""
        root = self.request.output_dir or Path("results")
        root = self.scratch if self.unofficial else root
        return root / suite_folder(self.suite.name) / f"{self.stem}.parquet"


def make_plan(request: Request) -> Plan:
    """Resolve a request.

    Raises:
        BenchError: an unknown suite, method, setting or a value out of range.
    """
    _check_range(request)
    suite = find_suite(request.suite, request.cache_dir, templates=request.templates)
    backbone = request.backbone or suite.backbone
    check_backbone(backbone)
    found = find_method(request.method, list(request.hp))
    names = [d.name for d in suite.tasks]
    zeros = dict.fromkeys(names, 0.0)
    order, _ = resolve_order(request.order, names, lambda: zeros, suite.order_ii)
    changed = {k: v for k in ("epochs", "batch_size") if (v := getattr(request, k)) is not None}
    if "epochs" in changed:
        changed["steps"] = 0
    recipe = replace(suite.recipe, **changed)
    if request.suite in PUBLISHED:
        side = image_side(backbone)
        suite = find_suite(request.suite, request.cache_dir, side, request.templates)
    there = _ready(request, suite, order, backbone, found.uses)
    if there is not None and there.left_out:
        held_out = tuple(d for d in suite.held_out if d.name not in there.left_out)
        suite = replace(suite, held_out=held_out)
    weights = request.pretrained or suite.weights
    pretrained = _weights_name(weights)
    settings = {**found.overrides, **_differences(request, suite, recipe, pretrained)}
    copies = there.copies if there is not None else {}
    settings |= {f"source.{name}": source for name, source in sorted(copies.items())}
    asked = {
        "suite": suite.name,
        "suite_version": suite.version,
        "method": found.name,
        "variant": found.variant,
        "config": _plain(asdict(found.config)),
        "recipe": {k: v for k, v in asdict(recipe).items() if k != "steps" or v},
        "backbone": backbone,
        "pretrained": pretrained,
        "order": request.order,
        "seed": request.seed,
        "evals": request.evals,
        "limit": request.limit,
        "precision": request.precision,
        "ranks": request.save_ranks,
        "data": _content(suite) if there is None else there.content,
    }
    if suite.templates is not None:
        asked["templates"] = suite.templates
    git = git_state(found.file)
    return Plan(
        request, suite, found, backbone, pretrained, weights, recipe, settings, asked, code_sha(),
        git, tuple(_unofficial(request, found, git, len(names) - len(order), there is not None)),
        there.left_out if there is not None else (),
    )  # fmt: skip


def _ready(
    request: Request, suite: Suite, order: list[str], backbone: str, uses: Collection[str]
) -> PreparedData | None:
    """What of the suite's published data is there; None for a suite that has none."""
    datasets = [d for d in suite.tasks if d.name in order]
    datasets += suite.held_out if request.evals != "id" else ()
    if suite.reference is not None and "reference data" in uses:
        datasets.append(suite.reference)
    if not any(d.needs for d in datasets):
        return None
    return ready(suite, datasets, cache_root(request.cache_dir), image_side(backbone))


def _weights_name(pretrained: str) -> str:
    """A tag as it is; a file by name and content, wherever it lies and whatever replaces it."""
    file = weights_file(pretrained)
    if file is None:
        return pretrained
    try:
        with file.open("rb") as f:
            return f"{file.name}@{hashlib.file_digest(f, 'sha256').hexdigest()[:12]}"
    except OSError as e:
        raise BenchError(
            "a weights file",
            f"'{file}' ({e.strerror or type(e).__name__})",
            "correct --pretrained",
            code=4,
        ) from e


def _content(suite: Suite) -> str | None:
    """Digest of a user's own suite, so that a record of edited data is not taken for this one."""
    if suite.folder is None:
        return None
    parts: list[str] = [suite.class_scope]
    for dataset in (*suite.tasks, *suite.held_out):
        for name in ("train", "test") if dataset in suite.tasks else ("test",):
            split = dataset.load(name)
            if isinstance(split, Pairs):
                texts = repr(split.captions)
            else:
                texts = repr((split.labels.tolist(), split.classnames, split.templates))
            assert isinstance(split.images, ImageSource), "of the user's own files"
            parts += [dataset.name, name, split.images.content, texts]
    return digest(parts)


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}


def _check_range(request: Request) -> None:
    for name, least in (("epochs", 1), ("batch_size", 2), ("limit", 1)):
        value = getattr(request, name)
        if value is not None and value < least:
            flag = "--" + name.replace("_", "-")
            raise BenchError(f"{flag} of at least {least}", str(value), "correct it")
    if not 0 <= request.seed < 2**31:
        raise BenchError("--seed in 0 ... 2147483647", str(request.seed), "correct it")
    for name, kind in (("evals", Evals), ("precision", Precision)):
        value = getattr(request, name)
        if value not in get_args(kind):
            known = ", ".join(get_args(kind))
            raise BenchError(f"--{name} of {known}", f"'{value}'", "choose one")


def _differences(request: Request, suite: Suite, recipe: Recipe, pretrained: str) -> dict[str, str]:
    found = {
        f.name: str(getattr(recipe, f.name))
        for f in fields(recipe)
        if getattr(recipe, f.name) != getattr(suite.recipe, f.name)
    }
    if found.pop("steps", None) is not None:  # a budget of steps, replaced by one of epochs
        found["epochs"] = str(recipe.epochs)
    if request.pretrained is not None and pretrained != _weights_name(suite.weights):
        found["pretrained"] = pretrained
    if request.precision != "fp32":
        found["precision"] = request.precision
    if request.evals != "all":
        found["evals"] = request.evals
    if request.limit is not None:
        found["limit"] = str(request.limit)
    chosen = request.templates
    if chosen not in (None, find_suite(request.suite, request.cache_dir).templates):
        found["templates"] = str(chosen)
    return dict(sorted(found.items()))


def _unofficial(
    request: Request, found: ResolvedMethod, git: dict[str, Any], left_out: int, published: bool
) -> list[str]:
    reasons = []
    if left_out:
        reasons.append(f"the order leaves {left_out} of the suite's tasks out")
    if request.limit is not None:
        reasons.append(f"limited to {request.limit} images a split")
    if request.evals != "all":
        reasons.append(f"evaluated on --evals {request.evals} only")
    if os.environ.get("CL_BENCH_LOCK"):
        reasons.append("the data are locked by CL_BENCH_LOCK, not by the repository's lock file")
    elif published and git["commit"] is not None and git_dirty(lock_path()):
        reasons.append(f"{lock_path().name} is not committed")
    if found.origin == "path":
        reasons.append("the method is a file outside methods/")
    if git["commit"] is None:
        reasons.append("the code is not in a git checkout")
    elif git["dirty"]:
        reasons.append(f"the code is not committed ({git['dirty'][0]} ...)")
    return reasons
