"""What was asked for, made exact: suite, method, backbone, recipe, and the name of the record."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ..backbones.known import Compile, Precision, check_backbone, image_side
from ..common.files import cache_root
from ..common.index import open_index
from ..errors import BenchError
from ..records.naming import file_stem, suite_folder
from ..suites.find import find_suite
from ..suites.names import PUBLISHED, CaptionSampling, Crops, Templates
from ..suites.ready import PreparedData, check_crops, ready
from ..suites.suite import Recipe, Suite, check_recipe
from .asked.official import code_reasons
from .asked.validation import Validation, validation_suite
from .provenance.code import code_sha, git_state
from .provenance.given import own_content, weights_name
from .registry import ResolvedMethod, find_method
from .suitable import check_suitable
from .task_order import check_alone, resolve_order

Evals = Literal["all", "id", "ood"]
_CHOICES = {"evals": Evals, "precision": Precision, "compile": Compile, "crops": Crops}
_CHOICES["caption_sampling"] = CaptionSampling


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
    caption_sampling: CaptionSampling | None = None
    crops: Crops | None = None
    templates: Templates | None = None
    evals: Evals = "all"
    limit: int | None = None
    validation: Validation | None = None
    device: str = "auto"
    precision: Precision | None = None
    output_dir: Path | None = None
    cache_dir: Path | None = None
    overwrite: bool = False
    fresh: bool = False
    save_ranks: bool = False
    checkpointing: bool = False
    compile: Compile = "auto"


@dataclass(frozen=True)
class Plan:
    """A request with every default filled in.

    Attributes:
        pretrained: the weights as records name them; weights: as they are loaded.
        settings: whatever differs from the suite's and the method's defaults, as text; part of
            the record's name.
        asked: everything that the numbers depend on, and nothing else, for comparison with an
            existing record.
        code: see `code_sha`. git: see `git_state`.
        unofficial: why the record may not land in results/; empty if it may.
        left_out: optional held-out sets that are not prepared.
        precision: of the towers. instead: why it is not what the suite declares; "" where it is,
            or another was asked for.
    """

    request: Request
    suite: Suite
    method: ResolvedMethod
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
    precision: Precision = "fp32"
    instead: str = ""

    @property
    def stem(self) -> str:
        """File name of the record, without suffix."""
        settings = ",".join(f"{k}={v}" for k, v in self.settings.items())
        return file_stem(
            self.method.name,
            self.method.variant,
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
        BenchError: an unknown suite, method, setting or a value out of range; a method that is
            not defined for the suite; data that is not prepared.
    """
    _check_range(request)
    suite = find_suite(request.suite, request.cache_dir, templates=request.templates)
    backbone = request.backbone or suite.backbone
    check_backbone(backbone)
    method = find_method(request.method, list(request.hp), suite.settings)
    names = [d.name for d in suite.tasks]
    unmeasured = dict.fromkeys(names, 0.0)
    tasks, _ = resolve_order(request.order, names, lambda: unmeasured, suite.order_ii)
    check_alone(request.order, tasks, suite)
    if request.suite in PUBLISHED:  # its images are read at the backbone's side
        side = image_side(backbone)
        suite = find_suite(request.suite, request.cache_dir, side, request.templates)
    if request.validation is not None:  # nothing of the other tasks, and no test set
        suite, tasks = validation_suite(suite, request.validation, request.order, tasks)
        request = replace(request, order=",".join(tasks))
    check_suitable(method, suite, tasks)
    prepared = _prepared(request, suite, tasks, backbone, method.uses)
    if prepared is not None:
        held_out = tuple(d for d in suite.held_out if d.name not in prepared.left_out)
        suite = replace(suite, held_out=held_out)
    recipe = _recipe(request, suite)
    if prepared is not None and recipe.crops == "random":
        learned = [d for d in suite.tasks if d.name in tasks]
        check_crops(suite, learned, cache_root(request.cache_dir), image_side(backbone))
    precision, instead = _precision(request, recipe)
    weights = request.pretrained or suite.weights
    pretrained = weights_name(weights)
    copies = {} if prepared is None else prepared.copies
    settings = {
        **method.overrides,
        **_differences(request, suite, recipe, pretrained, precision),
        **{f"source.{name}": source for name, source in sorted(copies.items())},
    }
    git, left_out = git_state(method.file), 0 if suite.alone else len(names) - len(tasks)
    return Plan(
        request=request,
        suite=suite,
        method=method,
        backbone=backbone,
        pretrained=pretrained,
        weights=weights,
        recipe=recipe,
        settings=settings,
        asked=_asked(request, suite, method, backbone, pretrained, recipe, precision, prepared),
        code=code_sha(open_index(request.cache_dir)),
        git=git,
        unofficial=tuple(_unofficial(request, method, git, left_out, prepared is not None)),
        left_out=() if prepared is None else prepared.left_out,
        precision=precision,
        instead=instead,
    )


def _recipe(request: Request, suite: Suite) -> Recipe:
    """The suite's, with what the request changes; epochs replace a budget of steps."""
    own, epochs = suite.recipe, request.epochs
    recipe = own if epochs is None else replace(own, epochs=epochs, steps=0)
    for name in ("batch_size", "caption_sampling", "crops"):
        if (given := getattr(request, name)) is not None:
            recipe = replace(recipe, **{name: given})
    check_recipe(suite, recipe)
    return recipe


def _precision(request: Request, recipe: Recipe) -> tuple[Precision, str]:
    """See `Plan.precision` and `Plan.instead`."""
    if "bf16" not in (request.precision, recipe.precision):
        return request.precision or recipe.precision, ""
    from .device.precision import chosen_precision  # torch

    return chosen_precision(request.precision, recipe.precision, request.device)


def _prepared(
    request: Request, suite: Suite, tasks: list[str], backbone: str, uses: Collection[str]
) -> PreparedData | None:
    """What of the suite's published data is there; None for a suite that has none."""
    datasets = [d for d in suite.tasks if d.name in tasks]
    datasets += suite.held_out if request.evals != "id" else ()
    if suite.reference is not None and "reference data" in uses:
        datasets.append(suite.reference)
    if not any(d.needs for d in datasets):
        return None
    return ready(suite, datasets, cache_root(request.cache_dir), image_side(backbone))


def _asked(
    request: Request, suite: Suite, method: ResolvedMethod, backbone: str, pretrained: str,
    recipe: Recipe, precision: Precision, prepared: PreparedData | None,
) -> dict[str, Any]:  # fmt: skip
    """See `Plan.asked`. Its entries are compared with those of records: none changes its form."""
    asked = {
        "suite": suite.name,
        "suite_version": suite.version,
        "method": method.name,
        "variant": method.variant,
        "config": _plain(asdict(method.config)),
        "recipe": recipe.asked(),
        "backbone": backbone,
        "pretrained": pretrained,
        "order": request.order,
        "seed": request.seed,
        "evals": request.evals,
        "limit": request.limit,
        "precision": precision,
        "data": own_content(suite) if prepared is None else prepared.content,
    }
    if method.of_suite:
        asked["suite_settings"] = _plain(method.of_suite)
    asked |= {} if suite.templates is None else {"templates": suite.templates}
    return asked if (held := request.validation) is None else {**asked, "validation": held.asked()}


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives them back."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}


def _check_range(request: Request) -> None:
    for name, least in (("epochs", 1), ("batch_size", 2), ("limit", 1)):
        value = getattr(request, name)
        if value is not None and value < least:
            flag = "--" + name.replace("_", "-")
            raise BenchError(f"{flag} of at least {least}", str(value), "correct it")
    if not 0 <= request.seed < 2**31:
        raise BenchError("--seed in 0 ... 2147483647", str(request.seed), "correct it")
    for name, kind in _CHOICES.items():
        value = getattr(request, name)
        if value is not None and value not in get_args(kind):
            flag, known = "--" + name.replace("_", "-"), ", ".join(get_args(kind))
            raise BenchError(f"{flag} of {known}", f"'{value}'", "choose one")


def _differences(
    request: Request, suite: Suite, recipe: Recipe, pretrained: str, precision: Precision
) -> dict[str, str]:
    found = {
        f.name: str(getattr(recipe, f.name))
        for f in fields(recipe)
        if getattr(recipe, f.name) != getattr(suite.recipe, f.name)
    }
    if found.pop("steps", None) is not None:  # a budget of steps, replaced by one of epochs
        found["epochs"] = str(recipe.epochs)
    if request.pretrained is not None and pretrained != weights_name(suite.weights):
        found["pretrained"] = pretrained
    if precision != recipe.precision:
        found["precision"] = precision
    if request.evals != "all":
        found["evals"] = request.evals
    if request.limit is not None:
        found["limit"] = str(request.limit)
    found |= {} if request.validation is None else request.validation.settings
    chosen = request.templates
    if chosen not in (None, find_suite(request.suite, request.cache_dir).templates):
        found["templates"] = str(chosen)
    return dict(sorted(found.items()))


def _unofficial(
    request: Request, method: ResolvedMethod, git: dict[str, Any], left_out: int, published: bool
) -> list[str]:
    reasons = [] if request.validation is None else [request.validation.claim]
    if left_out:
        reasons.append(f"the order leaves {left_out} of the suite's tasks out")
    if request.limit is not None:
        reasons.append(f"limited to {request.limit} images a split")
    if request.evals != "all":
        reasons.append(f"evaluated on --evals {request.evals} only")
    return reasons + code_reasons(method, git, published)
