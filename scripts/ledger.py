"""Writes results/code.json: what the code was at every commit that a committed record names.

python scripts/ledger.py            # adds what is missing; git must have the history
python scripts/ledger.py --check    # changes nothing; fails if something is missing or wrong
"""

import argparse
import sys
from collections.abc import Iterable

from benchmark.common.files import ROOT, atomic
from benchmark.errors import BenchError
from benchmark.records.store import Record, read_records
from benchmark.validation.ledger import LEDGER, Ledger, from_git

RESULTS = ROOT / "results"


def commits_of(records: Iterable[Record]) -> set[str]:
    """The commits that records name."""
    found = (record.provenance.get("code", {}).get("commit") for record in records)
    return {commit for commit in found if isinstance(commit, str)}


def made(commits: Iterable[str]) -> Ledger:
    """What git says of these commits; BenchError where it does not have one."""
    ledger = Ledger()
    for commit in sorted(commits):
        found = from_git(commit)
        if found is None:
            fix = "make those records again from a commit of this history"
            raise BenchError("commits in the history of HEAD", f"'{commit}'", fix, 5)
        ledger = ledger.merged(found)
    return ledger


def renew() -> bool:
    """Bring the ledger up to date; whether that changed it."""
    text = made(commits_of(read_records(RESULTS))).text()
    if text == _there():
        return False
    with atomic(ROOT / LEDGER) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return True


def _there() -> str:
    path = ROOT / LEDGER
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    asked = parser.parse_args()
    if asked.check:
        wrong = made(commits_of(read_records(RESULTS))).text() != _there()
        sys.exit(f"{LEDGER} is not what git says: run `python scripts/ledger.py`" if wrong else 0)
    print(f"{LEDGER} {'written' if renew() else 'is up to date'}")


if __name__ == "__main__":
    main()
