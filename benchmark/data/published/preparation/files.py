"""Which files of a repository are a dataset's, and of which part.

What the repository's README says of its splits counts, and else the patterns of the declaration.
Both are read for the same commit, so that the answer is the same on every machine.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from ....errors import BenchError
from ....hub.client import RemoteFile, matches, no_files, tree
from ....hub.partial import Traffic
from ....hub.splits import Configuration, Splits, card_text, configured
from ....hub.trouble import Repo
from ...files.stream import TAR_ENDINGS
from ...split_rules import shown
from ..declare import Source

ENDINGS = (".parquet", *TAR_ENDINGS)


def find_files(
    repo: Repo, commit: str, source: Source, traffic: Traffic
) -> tuple[tuple[RemoteFile, ...], dict[str, str]]:
    """The files of a source at a commit, by path, and the part of each ('' if a column says it).

    Raises:
        BenchError: the hub does not answer; no files; files of a part in two folders, a file in
            two parts; a README that can be understood in two ways or contradicts the declaration.
    """
    there = tree(repo, commit)
    declared = _declared(source, [f.path for f in there])
    said = _configured(repo, commit, source, there, traffic)
    every = tuple(dict.fromkeys(p for patterns in source.parts.values() for p in patterns))
    found = declared if said is None else said
    if not any(found.values()):
        raise no_files(repo, commit, every, there)
    if source.part_column is None and said is not None:
        _agree(repo, declared, said)
    for part, paths in found.items():
        folders = sorted({str(PurePosixPath(path).parent) for path in paths})
        if len(folders) != 1:  # two configurations of one dataset, read twice
            raise BenchError(
                f"the files of part '{part}' of {source.repo} in one folder",
                ", ".join(folders) or "none",
                "mend the patterns of its declaration",
                code=5,
            )
    wanted = {path for paths in found.values() for path in paths}
    files = tuple(f for f in there if f.path in wanted)
    return files, parts_of(source, found, files)


def declared_parts(source: Source, files: Sequence[RemoteFile]) -> dict[str, str] | None:
    """The part of each file as the declaration says it, None where it does not say it of all."""
    paths = [f.path for f in files]
    found = _declared(source, paths)
    known = {path for of in found.values() for path in of}
    return parts_of(source, found, files) if known == set(paths) else None


def card_parts(
    repo: Repo, commit: str, source: Source, files: Sequence[RemoteFile], traffic: Traffic
) -> dict[str, str]:
    """The part of each of a repository's known files, as its README says it.

    Raises:
        BenchError: the README cannot be had, or does not say it.
    """
    text = card_text(repo, commit, None, traffic)
    found = _fitting(_configurations(text, files), source, repo) or {}
    return parts_of(source, found, files)


def parts_of(
    source: Source, found: Mapping[str, Sequence[str]], files: Sequence[RemoteFile]
) -> dict[str, str]:
    """Path -> part; raises BenchError for a file in two parts, or in none."""
    if source.part_column is not None:
        return {file.path: "" for file in files}
    of: dict[str, str] = {}
    for file in files:
        parts = [part for part, paths in found.items() if file.path in paths]
        if len(parts) != 1:
            got = f"'{file.path}' in {shown(parts) or 'none'}"
            raise BenchError(
                f"each file of {source.repo} in one part", got, "mend the declaration", 5
            )
        of[file.path] = parts[0]
    return of


def _declared(source: Source, paths: Sequence[str]) -> Splits:
    """Part -> the paths that its patterns match."""
    return {
        part: [path for path in paths if any(matches(path, p) for p in patterns)]
        for part, patterns in source.parts.items()
    }


def _agree(repo: Repo, declared: Splits, said: Splits) -> None:
    """Raises BenchError where README and declaration put a file into different parts."""
    for part, paths in said.items():
        for other, matched in declared.items():
            both = set(paths) & set(matched) if other != part else ()
            if both:
                raise BenchError(
                    f"'{min(both)}' of {repo.id} in part '{other}', as is declared",
                    f"part '{part}' by its README",
                    "mend the declaration",
                    code=5,
                )


# -- the repository's own configuration ------------------------------------------------------------


def _configured(
    repo: Repo,
    commit: str,
    source: Source,
    there: Sequence[RemoteFile],
    traffic: Traffic,
) -> Splits | None:
    """Part -> paths by the README, None where it says nothing of the declared parts."""
    text = card_text(repo, commit, there, traffic)
    return _fitting(_configurations(text, there), source, repo)


def _configurations(card: str, files: Sequence[RemoteFile]) -> list[Configuration]:
    return configured(card, [f.path for f in files if f.path.endswith(ENDINGS)])


def _fitting(configs: Sequence[Configuration], source: Source, repo: Repo) -> Splits | None:
    """Part -> files of the configuration that has the declared parts, None where none has them.

    Raises:
        BenchError: several have them, and neither the patterns of the declaration nor the README
            prefer one.
    """
    fits = [(c, parts) for c in configs if (parts := _as_parts(c.splits, source))]
    exact = [(c, parts) for c, parts in fits if _as_declared(parts, source)]
    preferred = [(c, parts) for c, parts in fits if c.preferred]
    for some in (exact, fits, preferred):
        if len(some) == 1:
            return some[0][1]
    if fits:
        raise BenchError(
            f"one configuration of {repo.id} with the parts {shown(source.parts)}",
            shown([config.name for config, _ in fits]),
            "let the patterns of its declaration begin with the folder of one of them",
            code=5,
        )
    return None


def _as_declared(parts: Splits, source: Source) -> bool:
    """Whether all files match the patterns of their part."""
    return all(
        any(matches(path, pattern) for pattern in source.parts[part])
        for part, paths in parts.items()
        for path in paths
    )


def _as_parts(splits: Splits, source: Source) -> Splits | None:
    """The files of the declared parts, None where a part is no split."""
    names = {part: _split_of(part, source, splits) for part in source.parts}
    if None in names.values():
        return None
    if source.part_column is None and len(set(names.values())) < len(names):
        return None
    return {part: splits[str(name)] for part, name in names.items()}


def _split_of(part: str, source: Source, splits: Splits) -> str | None:
    """What a part is called in a README: as its patterns begin, or one of that name's kind."""
    from datasets.data_files import SPLIT_KEYWORDS

    stems = [_stem(pattern) for pattern in source.parts[part]]
    kinds = [[str(k) for k in keywords] for keywords in SPLIT_KEYWORDS.values()]
    known = [(stem, wild) for stem, wild in stems if any(stem in kind for kind in kinds)]
    for stem, wild in known or [*stems, (part, False)]:
        near = next((kind for kind in kinds if stem in kind), [])
        for name in (stem, *(s for s in splits if wild and stem and s.startswith(stem)), *near):
            if name in splits:
                return name
    return None


def _stem(pattern: str) -> tuple[str, bool]:
    """How the names of a pattern's files begin, else their folder; whether more letters follow.

    `**/train-*.parquet` is train, `**/val*-*.parquet` begins with val, `test/*.tar` is test.
    """
    folder, _, name = pattern.rpartition("/")
    stem = re.split(r"[-.*?\[]", name, maxsplit=1)[0]
    if stem:
        return stem.lower(), name[len(stem) :].startswith("*")
    return folder.rpartition("/")[2].lower(), False
