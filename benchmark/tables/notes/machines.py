"""Where the times of a table were taken."""

from collections.abc import Iterator, Sequence

from ..cells import TableRow


def machine_notes(rows: Sequence[TableRow]) -> Iterator[str]:
    """The machine, or, where there are several, that of each row and that times are apart."""
    by_row = {row.label: {run.machine for run in row.runs} - {""} for row in rows}
    every = sorted(set[str]().union(*by_row.values()))
    if len(every) == 1:
        yield f"Times were taken on: {every[0]}."
    elif every:
        listed = (f"{name}: {', '.join(sorted(on)) or '?'}" for name, on in by_row.items())
        yield f"Times are of several machines, and not to be compared: {'; '.join(listed)}."
