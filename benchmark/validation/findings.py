"""What a check says, and what each check is."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from ..errors import BenchError, nearest, quoted, visible

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        code: of the check, see `CHECKS`. severity: an error keeps a record from being ranked.
        path: the file. cell: where in it, '' for the whole.
        expected, got: as noun phrases. fix: what to do, as an imperative clause.
    """

    code: str
    severity: Severity
    path: Path
    cell: str
    expected: str
    got: str
    fix: str

    def line(self) -> str:
        """`V04 path cell: expected ..., got ...; fix.`, on one line, nothing invisible."""
        where = f"{self.path} {self.cell}".strip()
        mark = "" if self.severity == "error" else " (warning)"
        text = f"{where}: expected {self.expected}, got {self.got}; {self.fix}."
        return f"{self.code}{mark} {visible(text)}"


class Check(NamedTuple):
    """What a check is: its title, what it looks at, why, and what whoever fails it can do."""

    title: str
    what: str
    why: str
    mend: str


_AGAIN = "Delete the record with its evidence and repeat the run from a committed checkout."
CHECKS: Mapping[str, Check] = {
    "V01": Check(
        "form",
        "A record is whole parquet of the schema, of one run, with known words, names and titles "
        "of plain characters, under the name that its content gives.",
        "What cannot be read in one way only says nothing; and what is printed into a page must "
        "not be able to change the page.",
        _AGAIN + " A title may have letters, digits, spaces and . , : + - / ( ) & ' % only.",
    ),
    "V02": Check(
        "files",
        "A results folder holds records of at most 200 kB, evidence of at most 5 MB, the ledger "
        "and the counts of overlap; no links, no other files, names of A-Za-z0-9._+=,- only.",
        "A file that is large, special or elsewhere costs whoever checks it more than it tells.",
        "Move other files out of the folder.",
    ),
    "V03": Check(
        "identity",
        "What the rows say was run (method, settings, order, seed ...) is what the provenance "
        "says was asked for; settings name all that differs from the defaults of the suite and of "
        "the method's file; the digest of the run's identity recomputes. Scores on a validation "
        "part are no result.",
        "A setting that is not named makes another method look like this one.",
        _AGAIN,
    ),
    "V04": Check(
        "code",
        "The commit is in the history, nothing of the code was changed beside it, and the digests "
        "of harness and method are those of that commit. With --against, a commit outside the "
        "ref's history counts only with code that the change shows.",
        "Numbers of unknown code cannot be made again.",
        "Commit the code, push it, and repeat the run. If the commit is new: "
        "`python scripts/ledger.py` adds it to results/code.json.",
    ),
    "V05": Check(
        "method",
        "The method and its variant exist, and label and paper are those of its file.",
        "A name on the board stands for code that anybody can read.",
        "Contribute the method's file first, or correct the name and repeat the run.",
    ),
    "V06": Check(
        "suite",
        "Version, sets, titles, counts of queries and gallery, label space, what is right, order "
        "of tasks and fingerprints of all data are those pinned for the suite; without pins, those "
        "of the records beside it.",
        "A smaller gallery or another split makes every score higher.",
        "Prepare the data anew (`cl-bench data prepare`) and repeat the run.",
    ),
    "V07": Check(
        "complete",
        "Every step, set, direction and K has exactly one row, with a score or the reason why "
        "there is none.",
        "A cell that is left out cannot be told from one that went badly.",
        _AGAIN,
    ),
    "V08": Check(
        "arithmetic",
        "value = hits / n, hits that grow with K, both directions of the same images and "
        "captions, routes that add up to what was routed.",
        "Scores that contradict each other were not measured.",
        _AGAIN,
    ),
    "V09": Check(
        "evidence",
        "The evidence is the file that the record names, is of this run, and every hit recomputes "
        "from it. Without any (a record of an older schema) there is a warning: such a record is "
        "shown below the line. With --against, a new record without evidence is an error.",
        "What each query got is much harder to invent than a sum.",
        _AGAIN,
    ),
    "V10": Check(
        "zero-shot rows",
        "The rows of step 0 are those of the untouched backbone: pinned for these weights, else "
        "those of the records beside it. On a GPU, 2 hits or 0.5 % of the queries may differ.",
        "They do not depend on the method; where they differ, data, weights or harness did.",
        "Look at `cl-bench doctor` and the weights, and repeat the run.",
    ),
    "V11": Check(
        "promises",
        "What the method's class declares under `invariants` holds in every hit.",
        "A run that breaks what its own method promises was made by something else.",
        _AGAIN,
    ),
    "V12": Check(
        "duplicates",
        "No two methods or variants have the same hits after step 0, or answers that differ in "
        "next to none that training moved, unless one declares under `aliases` that it does the "
        "same.",
        "Equal numbers under two names are one run with a new name.",
        "Remove the copy; if both do the same by construction, say so in the method's `aliases`.",
    ),
    "V13": Check(
        "seeds",
        "No two seeds or orders of a method have the same hits after step 0, or nearly the same "
        "answers, unless it promises so.",
        "A copied seed makes three runs of one, and the deviation between them smaller.",
        "Run each seed; if nothing is drawn, promise `same in every seed` in `invariants`.",
    ),
    "V14": Check(
        "plausibility",
        "Warnings only: trained, but nothing moved; a twentieth of the others' time; far above "
        "what is told more; answers that differ between seeds less or more evenly than chance has "
        "it. Whoever merges such a record should replay it.",
        "Numbers can be consistent and still be invented.",
        "`cl-bench repro` runs it again and compares every cell.",
    ),
    "V15": Check(
        "source",
        "Every row is measured by this program.",
        "Printed numbers of papers stand in their own blocks of the tables.",
        "Add a paper's numbers to the paper's tables, not to results/.",
    ),
    "V16": Check(
        "history",
        "With --against: a record that was there is neither changed nor removed without a line in "
        "results/superseded.csv that gives its sha256 and the reason.",
        "Results that change silently cannot be cited.",
        "`python scripts/results.py SUITE --renew --reason TEXT` writes the lines.",
    ),
    "V17": Check(
        "honesty",
        "`uses` has the badges that the method declares for these settings; a report of a task "
        "is at most 16 KiB.",
        "What a method is told of the test is part of its name on the board.",
        _AGAIN,
    ),
}


Tier = Literal["self", "evidence", "replayed"]
TIERS: tuple[Tier, ...] = get_args(Tier)


@dataclass(frozen=True)
class Standing:
    """How far a record is verified: computed from files, never written into one.

    Attributes:
        tier: self: the word of whoever made it. evidence: every score recomputes from what each
            query got. replayed: run again by others, and equal.
        findings: what the checks said of it.
    """

    tier: Tier
    findings: tuple[Finding, ...] = ()

    def why(self) -> str:
        """Why it is compared with nothing, '' if it may be: codes and titles of the errors."""
        codes = sorted({one.code for one in errors(self.findings)})
        return ", ".join(f"{code} {CHECKS[code].title}" for code in codes)


def explain(code: str) -> str:
    """What a check is, why there is such a check, and how to mend what it finds.

    Raises:
        BenchError: no such check.
    """
    if code not in CHECKS:
        fix = nearest(code, CHECKS)
        raise BenchError("the code of a check, V01 to V17", quoted(code), fix)
    check = CHECKS[code]
    parts = (f"{code} {check.title}", check.what, f"Why: {check.why}", f"To mend: {check.mend}")
    return "\n\n".join(parts)


def errors(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Those that keep a record from being ranked."""
    return (one for one in findings if one.severity == "error")
