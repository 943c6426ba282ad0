"""What is shown of the checks: text for a terminal, markdown for a pull request, JSON."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict

from .outcome import Checked, Outcome, Status

_WORD = {"pass": "ok", "fail": "FAIL", "warning": "warning", "not applicable": "-"}
WIDTH = 100


def text(checked: Checked) -> str:
    """Groups with their checks; a failure with what was found and what to do."""
    lines: list[str] = []
    for group, outcomes in checked.in_groups():
        lines.append(group)
        for ones in _alike(outcomes):
            lines += _shown(ones)
    return "\n".join([*lines, "", summary(checked)])


def summary(checked: Checked) -> str:
    """One sentence."""
    broken = list(dict.fromkeys(one.check for one in checked.of("fail")))
    how = "--full" if checked.full else "--quick"
    words: dict[Status, str] = {
        "pass": "hold", "fail": "do not", "warning": "to look at",
        "not applicable": "not applicable",
    }  # fmt: skip
    counts = [f"{len(checked.of(s))} {word}" for s, word in words.items() if checked.of(s)]
    said = f"{checked.asked} ({how}, {checked.seconds:.0f} s): {', '.join(counts)}"
    return said + (f"; broken: {', '.join(broken)}" if broken else "")


def _alike(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    """Outcomes of one check on both kinds, together where they say the same."""
    found: dict[tuple[str, str, str], list[Outcome]] = {}
    for one in outcomes:
        said = "" if one.status == "pass" else one.said
        found.setdefault((one.check, one.status, said), []).append(one)
    return list(found.values())


def _shown(ones: list[Outcome]) -> list[str]:
    one = ones[0]
    kinds = " and ".join(o.kind for o in ones if o.kind)
    head = f"{one.check} ({kinds})" if kinds else one.check
    notes = "; ".join(dict.fromkeys(o.said for o in ones if o.said))
    tail = f"  {notes}" if notes and one.status in ("pass", "not applicable") else ""
    lines = [f"  {_WORD[one.status]:<7}  {head}{tail}"]
    if one.status in ("fail", "warning"):
        for label, words in (("promise", one.promise), ("found", one.said), ("remedy", one.remedy)):
            first = f"           {label:<8} "
            lines += textwrap.wrap(
                words, WIDTH, initial_indent=first, subsequent_indent=" " * len(first),
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
    return lines


def markdown(checked: Checked) -> str:
    """A page for a pull request."""
    verdict = "passes" if checked.passed else "does not pass"
    how = "--full" if checked.full else "--quick"
    uses = ", ".join(checked.uses) or "the data of the current task alone"
    lines = [
        f"# `{_cell(checked.asked)}` {verdict} `cl-bench check-method {how}`",
        "",
        f"Label {_cell(checked.label) or 'none'}, uses {_cell(uses)}, "
        f"sha256 `{checked.sha[:12] or 'none'}`, cl-bench {checked.version}, "
        f"{checked.seconds:.0f} s.",
        "",
        "| group | check | tasks | outcome | found |",
        "|---|---|---|---|---|",
    ]
    for group, outcomes in checked.in_groups():
        for one in outcomes:
            status = f"**{one.status}**" if one.status in ("fail", "warning") else one.status
            lines.append(f"| {group} | {one.check} | {one.kind} | {status} | {_cell(one.said)} |")
    if told := [*checked.of("fail"), *checked.of("warning")]:
        lines += ["", "## What to do", ""]
        lines += [f"- **{o.head}**: {_cell(o.promise)} {_cell(o.remedy)}" for o in told]
    return "\n".join([*lines, ""])


def _cell(words: str) -> str:
    """Text of a method's as a table can hold it: one line, no markup that would act."""
    plain = " ".join(words.split())
    for mark, shown in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("[", "\\["),
                        ("@", "&#64;")):  # fmt: skip
        plain = plain.replace(mark, shown)
    return plain


def as_json(checked: Checked) -> str:
    """Everything, for a program."""
    return json.dumps({**asdict(checked), "passed": checked.passed}, indent=2)
