"""V16: what a change does to records that were there."""

import csv
import hashlib
import io
import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

from ...common.files import atomic
from ...common.git import git, git_line
from ...errors import BenchError, quoted
from ...records.noise import FOLDER as NOISE
from ...records.replays import FOLDER as REPLAYS
from ..findings import Finding
from .files import SUPERSEDED

HEAD = ("file", "sha256", "date", "reason")
_FIX = (
    "restore it, or run `python scripts/results.py SUITE --renew --reason TEXT`, which says why in "
    f"{SUPERSEDED}"
)


def superseded(text: str, path: Path) -> list[tuple[str, ...]]:
    """The lines of a list of superseded records: file, sha256 of what it was, date, reason.

    Raises:
        BenchError: code 5, for a text that is no such list.
    """
    try:
        lines = [tuple(line) for line in csv.reader(io.StringIO(text)) if line]
    except csv.Error:
        lines = []
    if not lines or lines[0] != HEAD or any(not _is_line(line) for line in lines[1:]):
        got, fix = "another text", "restore it from version control"
        raise BenchError(f"lines of {', '.join(HEAD)} in '{path}'", got, fix, 5)
    return lines[1:]


def _is_line(line: tuple[str, ...]) -> bool:
    try:
        date.fromisoformat(line[2])
    except (ValueError, IndexError):
        return False
    return len(line) == len(HEAD) and len(line[1]) == 64 and bool(line[3].strip())


def supersede(results: Path, files: list[Path], reason: str) -> None:
    """Say why records are replaced or removed, before they are.

    Args:
        results: the folder.
        files: records in it, as they are until now.
        reason: one line.

    Raises:
        BenchError: no reason is given, or the list there is none.
    """
    _add(results, [(file.relative_to(results), file.read_bytes()) for file in files], reason)


def _add(results: Path, old: list[tuple[Path, bytes]], reason: str) -> None:
    """Lines for records, by place and content that they had."""
    reason = " ".join(reason.split())
    if not reason:
        raise BenchError("a reason why records are replaced", "none", "give one")
    path = results / SUPERSEDED
    lines = (
        superseded(path.read_text(encoding="utf-8", errors="replace"), path)
        if path.exists()
        else []
    )
    today = datetime.now(UTC).date().isoformat()
    for place, content in old:
        new = (place.as_posix(), hashlib.sha256(content).hexdigest(), today, reason)
        if new[:2] not in {line[:2] for line in lines}:
            lines.append(new)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([HEAD, *lines])
    with atomic(path) as temporary:
        temporary.write_text(out.getvalue(), encoding="utf-8")


def supersede_since(results: Path, ref: str, reason: str) -> int:
    """Say why records that were there at a ref are others now, or gone; the number of them.

    Raises:
        BenchError: as `supersede` and `check_history`.
    """
    top, base = _base(results, ref)
    findings, _ = check_history(results, ref)
    inside = results.resolve().relative_to(top)
    old = [one.path.relative_to(results) for one in findings if one.path.suffix == ".parquet"]
    _add(results, [(p, git("show", f"{base}:{inside / p}", at=top)) for p in old], reason)
    return len(old)


def check_history(results: Path, ref: str) -> tuple[list[Finding], set[Path]]:
    """What changed since the last common commit with a ref.

    Args:
        results: the folder, in a checkout of git.
        ref: a branch, tag or commit.

    Returns:
        Findings, and the paths of records that are new, changed, or of which the evidence is.

    Raises:
        BenchError: the folder is in no checkout, or there is no such ref.
    """
    top, base = _base(results, ref)
    inside = results.resolve().relative_to(top).as_posix()
    try:
        listed = git("diff", "--name-status", "--no-renames", "-z", base, "--", inside, at=top)
        new = git("ls-files", "--others", "--exclude-standard", "-z", "--", inside, at=top)
    except (OSError, subprocess.SubprocessError) as error:
        raise BenchError(
            "git to list what changed", f"'{error}'", "run it in a checkout"
        ) from error
    words = listed.decode(errors="replace").split("\0")[:-1]
    status = dict(zip(words[1::2], words[::2], strict=True))
    status |= {name: "A" for name in new.decode(errors="replace").split("\0")[:-1]}
    told, findings = _told(results, top, base, inside)
    changed = set()
    for name, kind in sorted(status.items()):
        path = results / Path(name).relative_to(inside)
        if path.parent.name in (REPLAYS, NOISE) and kind != "D":
            expected = "no replay and no noise in a change: they are a maintainer's word"
            fix = "leave it out; a maintainer makes it with `cl-bench repro` or `cl-bench noise`"
            findings.append(Finding("V16", "error", path, "", expected, "one", fix))
        if path.suffix not in (".parquet", ".evidence"):
            continue
        record = path.with_suffix(".parquet")
        if kind != "D":
            changed.add(record)
        if kind != "A" and path.suffix == ".parquet":
            sha = hashlib.sha256(git("show", f"{base}:{name}", at=top)).hexdigest()
            if (record.relative_to(results).as_posix(), sha) not in told:
                got = "none that was there" if kind == "D" else "another one"
                expected = f"the record that was there at {ref}, {sha[:12]}..."
                findings.append(Finding("V16", "error", path, "", expected, got, _FIX))
    return findings, changed


def _base(results: Path, ref: str) -> tuple[Path, str]:
    try:
        top = Path(git_line("rev-parse", "--show-toplevel", at=results)).resolve()
        if ref.startswith("-"):
            raise ValueError
        return top, git_line("merge-base", ref, "HEAD", at=results)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        got = f"{quoted(ref)} for '{results}'"
        fix = "give a ref of that checkout, and fetch its history"
        raise BenchError("--against with a commit that this checkout has", got, fix) from error


def _told(
    results: Path, top: Path, base: str, inside: str
) -> tuple[set[tuple[str, ...]], list[Finding]]:
    """Files with what they were, of the list as it is now; lines that it has lost."""
    path = results / SUPERSEDED
    now = (
        superseded(path.read_text(encoding="utf-8", errors="replace"), path)
        if path.exists()
        else []
    )
    try:
        old = git("show", f"{base}:{inside}/{SUPERSEDED}", at=top).decode(errors="replace")
    except subprocess.SubprocessError:
        old = ""
    lost = [line for line in (superseded(old, path) if old else []) if line not in now]
    findings = [
        Finding("V16", "error", path, line[0], "the line that was there", "none", "restore it")
        for line in lost
    ]
    return {line[:2] for line in now}, findings
