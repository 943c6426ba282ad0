"""What a call of `cl-bench data prepare` has to do: its datasets, its weights, what is there."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import typer

from ...backbones.known import image_side
from ...common.files import weights_file
from ...data.catalog import CATALOG, declaration
from ...data.published.declare import Folder
from ...data.published.load import usable
from ...data.published.preparation.ahead import together
from ...data.published.preparation.plan import Job, Planned, plan
from ...data.published.preparation.preflight import Seen, preflight
from ...data.published.store import Store, identity
from ...errors import BenchError
from ...hub.trouble import NoHub
from ...suites.find import find_suite
from ...suites.ready import cropped_shots
from ..display import Display
from .names import FULL_DISK, Selection, cache_folder, check_one_source, source_of

PLANNED_AT_ONCE = 8  # sets
INVALID = 5  # exit code: the published data are not what is declared


@dataclass(frozen=True)
class Options:
    """How to prepare; see `cl-bench data prepare --help`."""

    side: int | None = None
    backbone: str | None = None
    pretrained: str | None = None
    source: str | None = None
    given: Path | None = None
    yes: bool = False
    keep_raw: bool = False
    cache_dir: Path | None = None


def jobs_of(asked: Selection, options: Options) -> list[Job]:
    """One job for each dataset; an optional one whose files are not given is left out.

    Raises:
        BenchError: options that do not fit the names.
    """
    root = cache_folder(options.cache_dir)
    own = image_side(options.backbone or find_suite("retrieval").backbone)
    check_one_source(asked, options.source)
    if options.pretrained is not None and not asked.suites:
        fix = "name a suite, or the weights themselves as MODEL/TAG"
        raise BenchError("a suite beside --pretrained", "none", fix)
    jobs = []
    for name in asked.names:
        declared = declaration(name)
        source = source_of(declared, options.source)
        if isinstance(source, Folder) and name in asked.optional and not _holds(options, source):
            continue
        command = _command(name, options)
        side = options.side or own
        crops = cropped_shots(name) if name in asked.cropped else ()
        keep, given = options.keep_raw, options.given
        jobs.append(Job(declared, source, side, root, given, keep, command, crops))
    if options.given is not None and not any(isinstance(j.source, Folder) for j in jobs):
        known = ", ".join(n for n, d in CATALOG.items() if isinstance(d.source, Folder))
        got = "--from beside data that come from the hub"
        raise BenchError(f"a dataset of given files ({known})", got, "remove --from")
    return jobs


def _holds(options: Options, source: Folder) -> bool:
    """Whether the given folder has a dataset's files."""
    folder = options.given
    return folder is not None and (folder / source.listing).exists()


def _command(name: str, options: Options) -> str:
    """The command of one dataset as the user gave it, to be repeated after trouble."""
    given = {
        "--side": options.side, "--backbone": options.backbone, "--source": options.source,
        "--from": options.given, "--cache-dir": options.cache_dir,
    }  # fmt: skip
    words = [f"{option} {value}" for option, value in given.items() if value is not None]
    words += ["--keep-raw"] * options.keep_raw + ["--yes"] * options.yes
    return " ".join(["cl-bench data prepare", name, *words])


def store_of(job: Job) -> Store | None:
    """The whole store of exactly this source and side, None where there is none."""
    mine = identity(job.declared, job.source)
    found = usable(job.root, job.declared)
    return next((s for s in found if s.side == job.side and s.manifest["identity"] == mine), None)


def plans_of(
    jobs: Sequence[Job], relock: bool = False
) -> tuple[list[Planned], list[tuple[str, BenchError]]]:
    """Revision and files of every job, and the troubles by the name of their set.

    Many are asked for at a time: a hub far away takes most of it for the way.

    Raises:
        BenchError: a full disk, or no way to the hub.
    """
    found, troubles = [], []
    with closing(together(jobs, lambda job: plan(job, relock), PLANNED_AT_ONCE)) as plans:
        for job, planned in zip(jobs, plans, strict=True):
            try:
                found.append(planned.result())
            except BenchError as error:
                if error.code == FULL_DISK or isinstance(error, NoHub):
                    raise
                troubles.append((job.declared.name, error))
    return found, troubles


def looked_at(
    planned: Sequence[Planned], display: Display, relock: bool = False
) -> tuple[list[Seen], list[tuple[str, BenchError]]]:
    """What the files of each set say of themselves, and what of it does not fit, by name."""
    seen = preflight(planned, display, relock) if planned else []
    for each in seen:
        for note in each.notes:
            display.line(f"{each.planned.job.declared.name}: {note}")
    named = [(each.planned.job.declared.name, each.troubles) for each in seen]
    return seen, [(name, error) for name, troubles in named for error in troubles]


def said(troubles: Sequence[tuple[str, BenchError]]) -> int:
    """Say in one list what went wrong, a line each; the exit code.

    It is 5 where something is not as it should be, else that of the first trouble.
    """
    for name, error in troubles:
        typer.echo(f"error: {name}: {error}" if name else f"error: {error}", err=True)
    codes = [error.code for _, error in troubles]
    return INVALID if INVALID in codes else next(iter(codes), 0)


def weight_tags(asked: Selection, options: Options) -> list[str]:
    """The "model/tag" pairs that are on the hub."""
    found = list(asked.weights)
    if options.backbone or options.pretrained:
        for suite in map(find_suite, asked.suites):
            found.remove(f"{suite.backbone}/{suite.pretrained}")
            model = options.backbone or suite.backbone
            own = "bundled" if model.startswith("tiny-") else suite.pretrained
            found.append(f"{model}/{options.pretrained or own}")
    plain = [f for f in dict.fromkeys(found) if "/" in f and weights_file(f) is None]
    return [f for f in plain if not f.partition("/")[2].startswith(("random:", "bundled"))]


def weight_sizes(
    tags: Sequence[str],
) -> tuple[Mapping[str, int], list[tuple[str, BenchError]]]:
    """Bytes to download of each, and the troubles; 0 for those that are there or need no hub."""
    if not tags:
        return {}, []
    from ...backbones.load import hub_places
    from ...hub.weights import left_to_fetch

    found, troubles = {}, []
    for tag in tags:
        name, _, pretrained = tag.partition("/")
        command = f"cl-bench data prepare {tag}"
        try:
            places = hub_places(name, pretrained)
            found[tag] = sum(left_to_fetch(*place, command) for place in places)
        except BenchError as error:
            if isinstance(error, NoHub):
                raise
            troubles.append((tag, error))
    return found, troubles
