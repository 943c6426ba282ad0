"""A lock file for the small repositories of `hub_repos`: the row counts that they have.

python tests/support/tiny_lock.py FILE     # with hub_repos' counts
"""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import hub_repos
from local_hub import LocalHub

from benchmark.data.catalog import CATALOG
from benchmark.data.published.declare import Source
from benchmark.data.published.store import source_name
from benchmark.hub import lock
from benchmark.hub.lock import Entry


def _rows(source: Source, facts: "hub_repos.Facts") -> dict[str, int]:
    if source.part_column is not None:
        return {part: facts.groups["test"].count(part) for part in source.parts}
    found = {}
    for part, (pattern, *_) in source.parts.items():
        names = [n for n in facts.rows if n in pattern or (n[:3] == "val" and "val" in pattern)]
        found[part] = facts.rows[names[0]]
    return found


def write_lock(path: Path, facts: Mapping[str, "hub_repos.Facts"]) -> None:
    """Entries with the expected rows alone: revisions and files are resolved as usual."""
    entries = {}
    for declared in CATALOG.values():
        for source in (declared.source, *declared.fallbacks):
            if not isinstance(source, Source) or source.repo not in facts:
                continue
            key = declared.name
            if source is not declared.source:
                key += f"@{source_name(source)}"
            rows = _rows(source, facts[source.repo])
            entries[key] = Entry(source.repo, source.revision, rows=rows)
    lock.write(path, entries)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, LocalHub(Path(folder)) as hub:
        write_lock(Path(sys.argv[1]), hub_repos.build(hub))
