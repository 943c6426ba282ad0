"""Says in results/superseded.csv why records that were there at a ref are others now, or gone.

    python scripts/supersede.py --against origin/main --reason "evidence was added"

`scripts/results.py --renew` does so for what it replaces.
"""

import argparse

from benchmark.common.files import ROOT
from benchmark.validation.checks.history import supersede_since


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", required=True, metavar="REF", help="where the old ones are")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="one line")
    asked = parser.parse_args()
    print(f"{supersede_since(ROOT / 'results', asked.against, asked.reason)} lines added")


if __name__ == "__main__":
    main()
