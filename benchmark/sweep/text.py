"""A sweep's result for the terminal."""

from typing import Any

from tabulate import tabulate

from .result import Document
from .trials import RECIPE, as_text


def table(document: Document) -> str:
    """The trials, one a line, best marked by *, not separated from it by ~."""
    tasks = list(document["tasks"])
    names = list(dict.fromkeys(key for t in document["trials"] for key in t["settings"]))
    alike = document["not_separated_from_the_chosen"]
    chosen = document["chosen"] and document["chosen"]["trial"]
    lines = []
    for trial in document["trials"]:
        number, settings = trial["trial"], trial["settings"]
        mark = "*" if number == chosen else "~" if number in alike else ""
        values = [as_text(settings[n]) if n in settings else "" for n in names]
        lines.append([str(number), *values, *_numbers(trial, tasks), mark])
    heads = ["trial", *names, *tasks, document["score"]["name"], "sd seeds", "se images", ""]
    align = ["right"] * (len(heads) - 1) + ["left"]
    return tabulate(lines, heads, tablefmt="simple", disable_numparse=True, colalign=align)


def _numbers(trial: Document, tasks: list[str]) -> list[str]:
    if trial["status"] != "ok":
        return ["failed"] * (len(tasks) + 1) + ["", ""]
    runs = trial["runs"]
    each = [sum(run["tasks"][task] for run in runs) / len(runs) for task in tasks]
    rest = (trial["mean"], trial["standard_deviation_over_seeds"])
    return [_percent(value) for value in (*each, *rest, trial["standard_error_of_images"])]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def sentences(document: Document) -> list[str]:
    """What was chosen, how sharp that is, and what to write."""
    failed = [f"trial {t['trial']} has failed: {_why(t)}" for t in document["trials"]
              if t["status"] != "ok"]  # fmt: skip
    if document["chosen"] is None:
        return [*failed, "every trial has failed, so nothing is chosen"]
    chosen, alike = document["chosen"], document["not_separated_from_the_chosen"]
    n, sweep = len(document["trials"]), document["sweep"]
    said = f"chosen: trial {chosen['trial']} of {n} (*)"
    if alike:
        said += f"; by no more than noise behind it (~): {', '.join(map(str, alike))}"
    lines = [*failed, said]
    for name, value in chosen["settings"].items():
        if name in RECIPE:
            lines.append(f"write in the suite's recipe: {name} = {as_text(value)}")
        else:
            given = f'{_python(value)}, sweep="{sweep}", trials={n}'
            lines.append(f"write in the method's Config: {name} = setting({given})")
    return lines


def _why(trial: Document) -> str:
    return next(f"{run['error']} (seed {run['seed']})" for run in trial["runs"] if "error" in run)


def _python(value: Any) -> str:
    if isinstance(value, str) and value.lower() == "none":
        return "None"
    return repr(tuple(value) if isinstance(value, list) else value)
