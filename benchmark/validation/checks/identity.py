"""V03: a run is what its rows and its settings say."""

from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import quoted
from ...records.identity import identity_of
from ...records.naming import overrides
from ...records.provenance import on_validation
from ...suites.find import find_suite
from ...suites.names import PUBLISHED
from ...suites.suite import UNSAID, settings_for
from ..declared import Declared
from ..pins import PinnedSuite
from ..runs import Examined

_AGAIN = "delete the record and repeat its run"
_SAME = ("suite", "suite_version", "method", "variant", "backbone", "pretrained", "order", "seed")
_BUDGET = ("epochs", "batch_size", "caption_sampling", "crops")


def check_is_result(run: Examined) -> None:
    """Scores on a validation part, which choose settings, are no result, whatever they say."""
    if on_validation(run.about) or "validation" in run.changed:
        expected, got = "scores on test sets", "scores on a part of the training data"
        run.error("V03", expected, got, "move it out of the results")


def check_identity(run: Examined, declared: Declared | None, pins: PinnedSuite | None) -> None:
    """Rows, settings and identity against what was asked for.

    Args:
        run: the run.
        declared: what its method's file declares; None where that is not known.
        pins: of its suite, None without any.
    """
    asked = run.part("asked")
    if not isinstance(asked, Mapping) or not asked:
        run.error("V03", "a provenance that says what was asked for", "none", _AGAIN)
        return
    for name in _SAME:
        if asked.get(name) != run.row[name]:
            expected = f"the {name} that was asked for, {quoted(asked.get(name))}"
            run.error("V03", expected, f"{quoted(run.row[name])} in the rows", _AGAIN)
            return
    if run.part("weights", "backbone") != run.row["backbone"]:
        got = quoted(run.part("weights", "backbone"))
        run.error("V03", f"weights of {run.row['backbone']}", got, _AGAIN)
    if run.part("order", "tasks") != run.tasks:
        got = quoted(run.part("order", "tasks"))
        run.error("V03", "the tasks in the order that the rows have", got, _AGAIN)
    _check_settings(run, asked, declared, pins)
    _check_claims(run, asked)
    if run.schema > 1 and run.part("identity") != identity_of(run.about):
        got = quoted(run.part("identity"))
        run.error("V03", f"the identity {identity_of(run.about)['sha256'][:12]}...", got, _AGAIN)


def _check_settings(
    run: Examined, asked: Mapping[str, Any], declared: Declared | None, pins: PinnedSuite | None
) -> None:
    config = asked.get("config")
    if not isinstance(config, Mapping) or not isinstance(asked.get("recipe"), Mapping):
        run.error("V03", "a config and a recipe in what was asked for", "none", _AGAIN)
        return
    if declared is None or run.row["variant"] not in ("", *declared.variants):
        # Who made it may not be known, and is then said by V04 or V05. An old file may be
        # unreadable, and its records have no evidence either.
        return
    defaults = declared.config(run.row["variant"], of_suite(run, pins))
    if config.keys() != defaults.keys():
        odd = sorted(config.keys() ^ defaults.keys())
        run.error("V03", "the settings of the method's file", f"other ones: {quoted(odd)}", _AGAIN)
        return
    own = {key: _text(config[key]) for key in sorted(config) if config[key] != defaults[key]}
    items = [item.partition("=") for item in overrides(run.row["settings"])]
    given = {key: value for key, _, value in items}
    copies = {key: value for key, value in given.items() if key.startswith("source.")}
    if pins is not None and pins.version == run.row["suite_version"]:
        wanted = {**own, **dict(sorted(_differences(run, asked, pins))), **copies}
    else:
        free = {"pretrained", "templates"}
        wanted = {**own, **dict(sorted(_plain_differences(asked, _precision(run, asked))))}
        recipe = asked["recipe"]
        wanted |= {k: str(recipe.get(k, UNSAID.get(k))) for k in _BUDGET if k in given}
        wanted |= {k: v for k, v in given.items() if k in free} | copies
    if given != wanted or len(given) != len(items):
        text = ",".join(f"{key}={value}" for key, value in wanted.items())
        expected = f"the settings {quoted(text)}, which is what differs from the defaults"
        run.error("V03", expected, quoted(run.row["settings"]), _AGAIN)


def of_suite(run: Examined, pins: PinnedSuite | None) -> Mapping[str, Any]:
    """The settings that a run's suite gives to methods that have such.

    As pinned, or by the suite's code, where that is of this version; else by the record.
    """
    if pins is not None and pins.version == run.row["suite_version"]:
        return settings_for(pins.settings, run.row["method"])
    if run.row["suite"] in PUBLISHED:
        suite = find_suite(run.row["suite"])
        if suite.version == run.row["suite_version"]:
            return suite.settings_for(run.row["method"])
    found = run.part("asked", "suite_settings")
    return found if isinstance(found, Mapping) else {}


def _precision(run: Examined, asked: Mapping[str, Any]) -> Any:
    """What a suite without pins declares.

    By its code, where that is of this version; else by the record, which says nothing where it is
    fp32, as all were once.
    """
    if run.row["suite"] in PUBLISHED:
        suite = find_suite(run.row["suite"])
        if suite.version == run.row["suite_version"]:
            return suite.recipe.precision
    return {**UNSAID, **asked["recipe"]}["precision"]


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _plain_differences(asked: Mapping[str, Any], precision: Any) -> Iterator[tuple[str, str]]:
    """What differs from the precision that the suite declares, and from the other defaults."""
    for name, without in (("precision", precision), ("evals", "all"), ("limit", None)):
        if asked.get(name) != without:
            yield name, str(asked.get(name))


def _differences(
    run: Examined, asked: Mapping[str, Any], pins: PinnedSuite
) -> Iterator[tuple[str, str]]:
    """What differs from the suite's defaults, as `run` names it."""
    usual = {**UNSAID, **pins.recipe}
    yield from _plain_differences(asked, usual["precision"])
    recipe = {**UNSAID, **asked["recipe"]}
    differs = {name for name in recipe.keys() | usual.keys() if recipe.get(name) != usual.get(name)}
    if "steps" in differs:
        differs = differs - {"steps"} | {"epochs"}
    yield from ((name, str(recipe.get(name))) for name in differs)
    if run.row["pretrained"] != pins.pretrained:
        yield "pretrained", run.row["pretrained"]
    if asked.get("templates") != pins.templates:
        yield "templates", str(asked.get("templates"))


def _check_claims(run: Examined, asked: Mapping[str, Any]) -> None:
    """What makes a run unofficial must be said, where it can be seen."""
    reasons = []
    if asked.get("limit") is not None:
        reasons.append(f"a limit of {asked['limit']} images")
    if asked.get("evals") not in ("all", None):
        reasons.append(f"--evals {asked['evals']}")
    if reasons and run.official:
        run.error("V03", f"an unofficial record, for {reasons[0]}", "an official one", _AGAIN)
