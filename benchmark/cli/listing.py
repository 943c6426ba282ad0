"""What there is: methods, suites, records; and one record in full. No torch."""

from pathlib import Path
from typing import Any

from ..errors import BenchError, visible
from ..protocol.badges import UNSEEN
from ..records.overlap import overlap_file, overlap_line, read_overlap
from ..run.registry import method_names
from ..run.task_order import KINDS
from ..suites.find import find_suite
from ..suites.names import suite_names
from ..suites.suite import Recipe
from .described.method import describe_method
from .described.shown import (
    DIFFERS,
    Row,
    given_rows,
    recipe_rows,
    setting_rows,
    shown,
    terminal_width,
)
from .described.shown import columns as aligned

RESULTS = Path("results")


def listing(suite: str | None = None) -> str:
    """Methods, suites with tasks and recipe, orders, and the records under results/.

    Args:
        suite: a name or a .toml file, to list that suite alone.

    Raises:
        BenchError: see `find_suite`.
    """
    if suite is not None:
        return "\n".join(_suite(suite))
    lines = ["methods (--method NAME or a .py file; `cl-bench ls NAME`: settings and variants)"]
    names = method_names()
    width = max(len(name) for name in names)
    lines += [f"  {name:<{width}}  {origin}" for name, origin in sorted(names.items())]
    lines.append("\nsuites (--suite NAME or a .toml file)")
    for name in suite_names():
        lines += _suite(name)
    lines.append(f"\norders (--order): {KINDS}")
    return "\n".join([*lines, *_records()])


def describe(asked: str, suite: str | None = None) -> str:
    """One method: paper, badges, settings with their values, variants with what they change.

    Args:
        asked: as for --method; with a variant, the settings are those of the variant.
        suite: a name or a .toml file, to see what the method gets there.

    Raises:
        BenchError: see `find_method` and `find_suite`.
    """
    where = find_suite(suite) if suite is not None else None
    found = describe_method(asked, where.settings if where is not None else {})
    rows = list(setting_rows(
        found.settings, found.origins, found.defaults, found.varied, found.given, where, found.name,
    ))  # fmt: skip
    names, columns = max(map(len, [*found.settings, *found.variants])), terminal_width()
    lines = [
        f"{asked}: {found.label}",
        f"  paper  {found.paper or 'none'}",
        f"  uses   {', '.join(sorted(found.uses)) or 'the data of the current task alone'}",
        f"\nsettings (--hp KEY=VALUE){f' in {where.name}' if where is not None else ''}, "
        + _differing(rows),
        *aligned(rows, columns, name_width=names),
    ]
    if where is not None:
        lines.append(f"\nrecipe of {where.name} {where.version}, of all methods")
        lines += aligned(list(recipe_rows(where)), columns, name_width=names)
    if found.variants:
        lines.append(f"\nvariants (--method {found.call}VARIANT)")
    for tag, changes in found.variants.items():
        said = ", ".join(f"{key}={shown(value)}" for key, value in changes.items())
        lines.append(f"  {tag:<{names}}  {said}")
    if found.about:
        lines += [f"\n{found.file.name}, with what differs from the paper:\n", found.about]
    return "\n".join(lines)


def _differing(rows: list[Row]) -> str:
    """How many settings are not the paper's, and which."""
    names = [row.name for row in rows if row.differs]
    if not names:
        return "none of which is said to differ from the paper"
    number = f"{len(names)} settings differ" if len(names) > 1 else "1 setting differs"
    return f"{DIFFERS}: {number} from the paper ({', '.join(names)})"


def _suite(name: str) -> list[str]:
    suite = find_suite(name)
    r = suite.recipe
    budget = f"{r.steps} steps a task" if r.steps else f"{r.epochs} epochs"
    published = any(d.needs for d in suite.tasks)
    rows = aligned(list(given_rows(suite)), terminal_width(), indent="      ")
    given = " --from FOLDER" if name.endswith(("-coop", "-zscl")) else ""
    return [
        f"  {name} {suite.version}: {suite.about}",
        f"    tasks     {', '.join(d.name for d in suite.tasks)}"
        f"{' (each alone)' if suite.alone else ''}",
        *([f"    order ii  {', '.join(suite.order_ii)}"] if suite.order_ii else []),
        f"    held out  {', '.join(d.name for d in suite.held_out) or 'none'}",
        *([f"    reference {suite.reference.title}"] if suite.reference else []),
        *([f"    prompts   {suite.templates} (--templates)"] if suite.templates else []),
        f"    backbone  {suite.backbone} ({suite.pretrained})",
        f"    recipe    {budget}, batches of {r.batch_size}, lr {r.lr:g}"
        f" (added parameters {r.lr_added:g}), {r.precision}{_views(r)}",
        *(["    given to settings of methods", *rows] if rows else []),
        *([f"    data      cl-bench data prepare {name}{given}"] if published else []),
        f"    overlap   {_overlap(name)}",
    ]


def _views(recipe: Recipe) -> str:
    """What training sees of an image and of its captions, where it is not the usual."""
    captions = "every caption in an epoch" if recipe.caption_sampling == "all" else ""
    crops = "random crops of 0.9 to 1" if recipe.crops == "random" else ""
    return "".join(f", {said}" for said in (captions, crops) if said)


def _overlap(name: str) -> str:
    """What the suite's test data share with its training data, as far as it was measured."""
    path = overlap_file(RESULTS, name)
    if not path.is_file():
        return f"not measured here: cl-bench data stats --across {name}"
    line = overlap_line(read_overlap(path))
    return line[0].lower() + line[1:]


def _records() -> list[str]:
    from ..records.store import record_files

    lines = []
    suites = [path.parent for path in record_files(RESULTS)]
    for folder in sorted(p for p in RESULTS.glob("*") if p.is_dir()):
        lines.append(f"  {visible(str(folder))}: {suites.count(folder)} records")
    return ["\nrecords (cl-bench show FILE)", *(lines or ["  none yet"])]


def show_record(path: Path, k: int) -> str:
    """One record: identity, provenance in short, the end of the run, and its matrices.

    Raises:
        BenchError: no such file, not a record, or no scores at that k.
    """
    from ..records.store import read_record
    from ..tables.render import final_row, matrix, render_matrix

    if path.is_dir():
        raise BenchError(
            "a record's file", f"the folder '{path}'", "name one of its .parquet files"
        )
    record = read_record(path)
    frame = record.frame
    parts = [_head(record.provenance, frame.iloc[0]), final_row(frame)]
    for direction, title in (("t2i", "text to image"), ("i2t", "image to text")):
        if (frame["direction"] == direction).any():
            table = render_matrix(matrix(frame, direction, "hit", k))
            parts.append(f"{title} R@{k}, rows: after each stage\n{table}")
    if (frame["metric"] == "acc").any():
        table = render_matrix(matrix(frame, None, "acc", None))
        parts.append(f"accuracy, rows: after each stage\n{table}")
    parts += _routes(frame)
    # A record may be anybody's: nothing in it may move the cursor or colour the screen.
    return "\n".join(map(visible, "\n\n".join(parts).split("\n")))


def _head(about: dict[str, Any], row: Any) -> str:
    code = about.get("code", {})
    made = [f"made {about.get('created', '?')} at commit {str(code.get('commit'))[:12]}"]
    made += [f"numerics {code['numerics']}"] if "numerics" in code else []
    made += [f"{name} {seconds:.0f} s" for name, seconds in about.get("seconds", {}).items()]
    lines = [
        f"{row['suite']} {row['suite_version']}: {row['method']}"
        + (f".{row['variant']}" if row["variant"] else "")
        + (f" with {row['settings']}" if row["settings"] else ""),
        f"order {row['order']} ({row['task_order']}), seed {row['seed']}, {row['backbone']} "
        f"({row['pretrained']})",
        ", ".join(made + _memory(about.get("peak_memory", {}))),
    ]
    if failed := about.get("failed"):
        lines.append(f"the run failed: {visible(str(failed.get('error')))}")
    if about.get("unofficial"):
        lines.append("not for the leaderboard: " + "; ".join(about["unofficial"]))
    return "\n".join(lines)


def _memory(peaks: dict[str, Any]) -> list[str]:
    """The largest of a run, from peaks per phase or, in older records, of the whole process."""
    phases = [peak for peak in peaks.values() if isinstance(peak, dict)] or [peaks]
    shown = []
    for kind, head in (("process_mib", "peak"), ("gpu_mib", "GPU")):
        if found := [peak[kind] for peak in phases if kind in peak]:
            shown.append(f"{head} {max(found)} MiB")
    return shown


def _routes(frame: Any) -> list[str]:
    """Share of each set's items per adapter at the last stage, where the method notes it."""
    from ..tables.render import render_matrix

    rows = frame[(frame["metric"] == "route") & (frame["step"] == frame["step"].max())]
    parts = []
    for modality in ("image", "text"):
        mine = rows[rows["direction"] == modality]
        if mine.empty:
            continue
        table = mine.pivot(index="eval_task", columns="k", values="value").fillna(0.0)
        order = list(dict.fromkeys(mine["eval_task"]))
        names = mine.iloc[0]["task_order"].split(",")
        table = table.loc[order].rename(columns={**dict(enumerate(names)), UNSEEN: "unseen"})
        shares = render_matrix(table, "set")
        parts.append(f"{modality}s routed to each adapter, percent\n{shares}")
    return parts
