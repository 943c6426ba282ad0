"""From a record to the request that makes it again.

Nothing that a record names is run unless the registries of methods, suites and backbones know it.
A file that it names is never opened: the user gives it.
"""

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...backbones.known import Compile
from ...common.files import weights_file
from ...errors import BenchError, MethodError, nearest, quoted
from ...records.identity import same_request
from ...records.schema import invalid
from ...suites.find import find_suite
from ...suites.names import suite_names
from ...suites.suite import UNSAID, Suite
from ..provenance.given import weights_name
from ..registry import find_method, method_names
from ..request import Plan, Request, make_plan
from .original import Original

DEVICES = ("cpu", "cuda")
_PART = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")  # of "method.variant"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NONE = "not there"


@dataclass(frozen=True)
class Given:
    """What the user gives beside the record; None takes what the record says.

    Attributes:
        method, suite, pretrained: as `cl-bench run` takes them; needed where the record's were
            files.
        device: auto, cpu or cuda[:N]; None takes the record's kind.
        output_dir: where the new record goes. cache_dir: see `common.files.cache_root`.
    """

    output_dir: Path
    method: str | None = None
    suite: str | None = None
    pretrained: str | None = None
    device: str | None = None
    cache_dir: Path | None = None

    @property
    def any(self) -> bool:
        """Whether a part of the identity is given by the user."""
        return (self.method, self.suite, self.pretrained) != (None, None, None)


def plan_again(original: Original, given: Given) -> Plan:
    """The plan of a run of the very same identity, fresh, into `given.output_dir`.

    Raises:
        BenchError: code 2, what cannot be repeated here (a suite, method or setting that is not
            there, a file that the user has to give), or 4, data that are missing; 5, a record
            that no `cl-bench run` makes.
    """
    request = _request(original, given)
    with _of_record(original, given):
        plan = make_plan(request)
    _check_same(original, plan)
    return plan


@contextmanager
def _of_record(original: Original, given: Given) -> Iterator[None]:
    """What is wrong with a record's option is mended by its code, not by another option."""
    try:
        yield
    except MethodError:
        raise
    except BenchError as e:
        if e.code != 2 or given.any or not (commit := commit_of(original)):
            raise
        fix = f"check out {commit[:12]}, by which it was made, or choose another record"
        raise BenchError(e.expected, e.got, fix, e.code) from e


def commit_of(original: Original) -> str | None:
    """The commit that the record names, where it looks like one."""
    commit = original.record.provenance.get("code", {}).get("commit")
    return commit if isinstance(commit, str) and _COMMIT.fullmatch(commit) else None


def _request(original: Original, given: Given) -> Request:
    asked = original.asked
    named = given.suite or _suite(asked["suite"])
    suite = find_suite(named, given.cache_dir)
    method = given.method or _method(original)
    recipe = asked["recipe"]
    # Epochs replace a budget of steps; a recipe that differs in more is no run's.
    epochs = recipe.get("epochs"), recipe.get("steps", 0)
    own_epochs = epochs != (suite.recipe.epochs, suite.recipe.steps)
    size, templates = recipe.get("batch_size"), asked.get("templates")
    changed = {
        name: value
        for name in ("caption_sampling", "crops")
        if (value := recipe.get(name, UNSAID[name])) != getattr(suite.recipe, name)
    }
    device = _device(original) if given.device is None else given.device
    with _of_record(original, given):
        hp = tuple(_overrides(method, asked["config"], suite))
    return Request(
        method=method,
        order=asked["order"],
        suite=named,
        backbone=None if asked["backbone"] == suite.backbone else asked["backbone"],
        pretrained=given.pretrained or _weights(asked["pretrained"], suite),
        seed=asked["seed"],
        hp=hp,
        epochs=_number(original, "epochs", epochs[0]) if own_epochs else None,
        batch_size=None
        if size == suite.recipe.batch_size
        else _number(original, "batch_size", size),
        **changed,
        templates=None if templates == suite.templates else templates,
        evals=asked["evals"],
        limit=asked["limit"],
        device=device,
        precision=asked["precision"],
        compile=_compile(original, device),
        output_dir=given.output_dir,
        cache_dir=given.cache_dir,
        overwrite=True,
        fresh=True,
    )


def _suite(name: str) -> str:
    if name not in suite_names():
        raise BenchError(
            "--suite beside the record of a suite that a file declares",
            f"{quoted(name)} without it",
            "give the path to its .toml file by --suite",
        )
    return name


def _method(original: Original) -> str:
    name, variant = original.asked["method"], original.asked["variant"]
    origin = original.record.provenance.get("method", {}).get("origin")
    if origin == "path":
        raise BenchError(
            "--method beside the record of a method that was a file",
            f"{quoted(name)} without it",
            "give the path to its .py file by --method",
        )
    if name not in method_names():
        fix = nearest(name, method_names()) + "; `cl-bench ls` lists all"
        raise BenchError("a record of a method that is here", quoted(name), fix)
    # "dar" and "x.py" would be the path of a file.
    if variant and (not _PART.fullmatch(variant) or variant.endswith(".py")):
        raise invalid(original.record.path, "a variant's name", quoted(variant))
    return f"{name}.{variant}" if variant else str(name)


def _overrides(method: str, config: dict[str, Any], suite: Suite) -> Iterator[str]:
    """`--hp` of all settings that are not the method's, the suite's or the variant's."""
    base = asdict(find_method(method, [], suite.settings).config)
    for name, value in config.items():
        if name not in base:
            continue  # `_check_same` tells of it
        own = list(base[name]) if isinstance(base[name], tuple) else base[name]
        if value != own or type(value) is not type(own):
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{name}={text}"


def _weights(name: str, suite: Suite) -> str | None:
    if name == weights_name(suite.weights):
        return None
    if "@" in name or weights_file(name) is not None:
        raise BenchError(
            "--pretrained beside the record of weights that were a file",
            f"{quoted(name)} without it",
            "give the path to that file by --pretrained",
        )
    return name


def _number(original: Original, name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(original.record.path, f"a whole number of '{name}'", type(value).__name__)
    return value


def _device(original: Original) -> str:
    found = original.record.provenance.get("hardware", {}).get("device")
    return found if found in DEVICES else "auto"


def _compile(original: Original, device: str) -> Compile:
    """As the record was computed, where that is the device's kind; else what is usual there."""
    about = original.record.provenance
    if device.partition(":")[0] != about.get("hardware", {}).get("device"):
        return "auto"
    if about.get("computing", {}).get("compiled") is True:
        return "on"
    return "auto" if device == "cpu" else "off"  # on which they are the same


def _check_same(original: Original, plan: Plan) -> None:
    """The plan is that of the record, in every part; else it would be another run."""
    made, now = same_request(original.asked), plan.asked
    pairs = {key: (made.get(key, _NONE), now.get(key, _NONE)) for key in {**now, **made}}
    if made == now:
        return
    parts = [_told(key, one, other) for key, (one, other) in pairs.items() if one != other]
    fix = "give the same --suite, --method and --pretrained again, or choose another record"
    if commit := commit_of(original):
        fix = f"check out {commit[:12]}, by which it was made, or {fix}"
    raise BenchError("a record whose run can be repeated here", "; ".join(parts), fix)


def _told(key: str, made: Any, now: Any) -> str:
    if isinstance(made, dict) and isinstance(now, dict):
        name = next(n for n in (*made, *now) if made.get(n, _NONE) != now.get(n, _NONE))
        key, made, now = f"{key} {name}", made.get(name, _NONE), now.get(name, _NONE)
    return f"{key} {quoted(made)}, here {quoted(now)}"


def command(plan: Plan, threads: int | None) -> str:
    """The line for a shell that makes the record; every word is quoted as that needs it.

    Args:
        plan: of the run.
        threads: of the processor, where the record says their number.

    Raises:
        BenchError: code 5, for a word that could not be shown, or would be taken for an option.
    """
    request = plan.request
    options = {
        "method": request.method, "suite": request.suite, "order": request.order,
        "seed": request.seed, "backbone": request.backbone, "pretrained": request.pretrained,
        "epochs": request.epochs, "batch-size": request.batch_size,
        "caption-sampling": request.caption_sampling, "crops": request.crops,
        "templates": request.templates, "limit": request.limit,
        "evals": None if request.evals == "all" else request.evals,
        "precision": None if plan.precision == plan.recipe.precision else plan.precision,
        "device": request.device,
        "compile": None if request.compile == "auto" else request.compile,
    }  # fmt: skip
    words = [(f"--{name}", str(value)) for name, value in options.items() if value is not None]
    words += [("--hp", item) for item in request.hp]
    for _, word in words:
        if not word.isprintable() or word.startswith("-"):
            raise BenchError(
                "a record whose options can be shown", quoted(word), "choose another", 5
            )
    head = [] if threads is None else [f"OMP_NUM_THREADS={threads}"]
    return " ".join([*head, "cl-bench run", *(shlex.join(pair) for pair in words)])
