"""Small doubles of the real repositories, for `LocalHub`.

Files, columns, types and class names are those of the published pages, as hub_doubles/README.md
says; the content is noise. Nothing here is read from the product's own declarations or class
tables, so that a test compares the two.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hub_doubles.captioned import CAPTIONED
from hub_doubles.files import make_files, whole
from hub_doubles.fine_grained import FINE_GRAINED
from hub_doubles.general import GENERAL, OUTDATED
from hub_doubles.kinds import UNDECODABLE, Spec

SPECS: dict[str, Callable[[], Spec]] = CAPTIONED | GENERAL | FINE_GRAINED


@dataclass(frozen=True)
class Facts:
    """What a test may know of a repository.

    Attributes:
        revision: head of where the files are. before: earlier commits there, newest first.
        refs: where that is, if it is not `main`.
        rows: per split.
        values: per split and row: the captions, or the label's number in the repository.
        names: per split and row: the publisher's own name of the class, however it is spelled
            in the repository.
        groups: per split and row: what a column beside the label divides them by, '' for nothing.
        odd: rows with unusual images. undecodable: those whose image is none.
    """

    revision: str
    rows: dict[str, int]
    values: dict[str, list[Any]]
    names: dict[str, list[str]]
    groups: dict[str, list[str]]
    undecodable: tuple[tuple[str, int], ...] = ()
    odd: dict[tuple[str, int], str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False


class Hub(Protocol):
    """The part of `LocalHub` that is used here."""

    def add(
        self,
        repo_id: str,
        files: Mapping[str, bytes | Path],
        *,
        revision: str | None = None,
        ref: str = "main",
        gated: bool = False,
    ) -> str: ...


def build(hub: Hub, names: Collection[str] | None = None, seed: int = 0) -> dict[str, Facts]:
    """Register the repositories (all, or those named); equal seeds give equal bytes."""
    if unknown := set(names or ()) - SPECS.keys():
        raise KeyError(f"no such repositories here: {sorted(unknown)}")
    wanted = [name for name in SPECS if names is None or name in names]
    return {name: add(hub, name, SPECS[name](), seed) for name in wanted}


def add(hub: Hub, name: str, spec: Spec, seed: int = 0) -> Facts:
    """Register one repository, with the commits before its head."""
    files, rows = make_files(name, spec, seed)
    before: list[str] = []
    if name in OUTDATED and spec.ref == "main":
        was = OUTDATED[name]()
        old = make_files(name, was, seed)[0]
        before.append(hub.add(name, old, revision=whole(was.revision, name)))
    if spec.data:
        older = files | {"README.md": b"---\nlicense: other\n---\n"}
        before.append(hub.add(name, older, revision=whole(spec.data, name)))
    head = hub.add(name, files, revision=whole(spec.revision, name), ref=spec.ref, gated=spec.gated)
    if spec.script:
        hub.add(name, spec.script, revision=whole("", f"{name} script"))
    return Facts(
        revision=head,
        rows={split: len(made) for split, made in rows.items()},
        values={
            split: [row.label if spec.classes else row.captions for row in made]
            for split, made in rows.items()
        },
        names={
            split: [spec.canonical[row.label] for row in made] if spec.classes else []
            for split, made in rows.items()
        },
        groups={split: [row.group for row in made] for split, made in rows.items()},
        undecodable=tuple(at for at, odd in spec.odd.items() if odd in UNDECODABLE),
        odd={at: str(odd) for at, odd in spec.odd.items()},
        before=tuple(before),
        refs={} if spec.ref == "main" else {spec.ref: head},
        gated=spec.gated,
    )
