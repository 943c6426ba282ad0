"""Writes results/code.json: what the code was at every commit that a committed record names.

python scripts/ledger.py            # git must have the history
python scripts/ledger.py --check    # changes nothing; fails if it is not what git says
"""

import argparse
import sys

from benchmark.common.files import ROOT
from benchmark.records.store import read_records
from benchmark.validation.ledger import LEDGER, made_from_git, renew_ledger


def commits_of_results() -> set[str]:
    """The commits that the records under results/ name."""
    records = read_records(ROOT / LEDGER.parent)
    found = (record.provenance.get("code", {}).get("commit") for record in records)
    return {commit for commit in found if isinstance(commit, str)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    asked = parser.parse_args()
    commits = commits_of_results()
    if asked.check:
        path = ROOT / LEDGER
        there = path.read_text(encoding="utf-8") if path.exists() else ""
        wrong = made_from_git(commits).text() != there
        sys.exit(f"{LEDGER} is not what git says: run `python scripts/ledger.py`" if wrong else 0)
    print(f"{LEDGER} {'written' if renew_ledger(commits) else 'is up to date'}")


if __name__ == "__main__":
    main()
