"""A sweep as its TOML file declares it: everything that is tried is written down before it runs."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from ..common.files import file_sha256, weights_file
from ..errors import BenchError, quoted
from ..run.asked.validation import SHARE, Validation
from ..suites.names import Templates
from ..suites.toml_keys import Keys

Score = Literal["last", "average"]
Settings = Mapping[str, Any]
_TEXTS = ("suite", "method", "order", "backbone", "pretrained", "templates", "score")
_KEYS = (*_TEXTS, "about", "tasks", "share", "seeds", "trial", "grid")
_MOST = 1000  # trials; a typing error in a grid is no year of work


@dataclass(frozen=True)
class Sweep:
    """What a sweep tries, and how it chooses.

    Attributes:
        file: the TOML file. sha256: of its bytes.
        suite: name, or the path of a suite's file. method: as `cl-bench run --method` takes it.
        order, backbone, pretrained, templates: as of `cl-bench run`; None takes the suite's.
        validation: the first tasks that are learned, and the share that scores them.
        seeds: of every trial. score: see `scores.terms_of`.
        trials: the settings of each, in the order of the file.
        about: why, in the words of whoever wrote the file; "" for none.
    """

    file: Path
    sha256: str
    suite: str
    method: str
    order: str
    backbone: str | None
    pretrained: str | None
    templates: Templates | None
    validation: Validation
    seeds: tuple[int, ...]
    score: Score
    trials: tuple[Settings, ...]
    about: str

    @property
    def name(self) -> str:
        """As a method's setting names the sweep that it was chosen by."""
        return self.file.stem

    @property
    def result(self) -> Path:
        """The file of its result."""
        return self.file.with_suffix(".json")


def read_sweep(file: Path) -> Sweep:
    """Read the file of a sweep.

    Args:
        file: a TOML file; the paths in it are relative to its folder.

    Raises:
        BenchError: no such file, no TOML, an unknown or missing key, a value out of range, or no
            trial.
    """
    if file.suffix != ".toml":
        raise BenchError("the .toml file of a sweep", f"'{file}'", "name that file")
    sha256 = file_sha256(file)
    keys = Keys.of(file).only(_KEYS)
    text = {key: keys.text(key) if key in keys else None for key in _TEXTS}
    return Sweep(
        file=file,
        sha256=sha256,
        suite=_path(keys.text("suite"), ".toml", file),
        method=_path(keys.text("method"), ".py", file),
        order=text["order"] or "forward",
        backbone=text["backbone"],
        pretrained=_weights(text["pretrained"], file),
        templates=cast("Templates | None", _choice(keys, "templates", get_args(Templates))),
        validation=_validation(keys),
        seeds=_seeds(keys),
        score=cast(Score, _choice(keys, "score", get_args(Score)) or "last"),
        trials=_trials(keys),
        about=keys.text("about") if "about" in keys else "",
    )


def _path(name: str, ending: str, file: Path) -> str:
    """A name as it is; a path, which may be followed by ":variant", from the file's folder."""
    path = name.partition(":")[0] if ending == ".py" else name
    return str(file.parent / name) if path.endswith(ending) else name


def _weights(pretrained: str | None, file: Path) -> str | None:
    if pretrained is None or weights_file(pretrained) is None:
        return pretrained
    return str(file.parent / pretrained)


def _choice(keys: Keys, key: str, known: tuple[str, ...]) -> str | None:
    if key not in keys:
        return None
    found = keys.text(key)
    if found not in known:
        keys.bad(f"`{key}` of {', '.join(known)}", quoted(found), "choose one")
    return found


def _validation(keys: Keys) -> Validation:
    tasks = keys.number("tasks", 1, float("inf"), whole=True)
    share = keys.number("share", 0, 1, whole=False, default=SHARE)
    if share in (0.0, 1.0):
        keys.bad("a `share` between 0 and 1", f"{share:g}", "leave some for both parts")
    return Validation(tasks, share)


def _seeds(keys: Keys) -> tuple[int, ...]:
    seeds = keys.raw.get("seeds")
    right = isinstance(seeds, list) and all(type(s) is int and 0 <= s < 2**31 for s in seeds)
    if not right or not seeds or len(set(seeds)) < len(seeds):
        expected = "a list of distinct whole numbers from 0 to 2147483647 for `seeds`"
        got = "none" if seeds is None else quoted(seeds)
        keys.bad(expected, got, "write for example seeds = [42, 43, 44]")
    return tuple(seeds)


def _trials(keys: Keys) -> tuple[Settings, ...]:
    """The trials of a file, which names them one by one or as the product of lists."""
    if ("trial" in keys) == ("grid" in keys):
        got = "both" if "grid" in keys else "neither"
        keys.bad("either [[trial]] tables or a [grid]", got, "say what is tried in one of them")
    if "trial" in keys:
        tables = keys.tables("trial")
        found = [dict(table.raw) for table in tables]
        if not found:
            keys.bad("at least one [[trial]]", "none", "add one")
    else:
        found = list(_product(keys.table("grid")))
    if len(found) > _MOST:
        keys.bad(f"at most {_MOST} trials", str(len(found)), "try fewer values")
    for number, settings in enumerate(found, start=1):
        if not settings:
            keys.bad(f"a setting in trial {number}", "none", "name one, or remove the trial")
        for key, value in settings.items():
            if not _is_value(value):
                expected = f"a text, number, true, false or a list of them for `{key}`"
                keys.bad(f"{expected} in trial {number}", quoted(value), "correct it")
    return tuple(found)


def _product(grid: Keys) -> Iterator[dict[str, Any]]:
    for key, values in grid.raw.items():
        if not isinstance(values, list) or not values:
            grid.bad(f"a list of values for `{key}`", quoted(values), f"write {key} = [..., ...]")
    count = 1
    for values in grid.raw.values():
        count *= len(values)
    if not grid.raw or count > _MOST:
        got = f"{count} trials" if grid.raw else "an empty one"
        grid.bad(f"a grid of 1 to {_MOST} trials", got, "change its lists")
    every = itertools.product(*grid.raw.values())
    return (dict(zip(grid.raw, values, strict=True)) for values in every)


def _is_value(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_is_value(one) and not isinstance(one, list) for one in value)
    return isinstance(value, str | int | float)
