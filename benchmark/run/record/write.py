"""A run's provenance, and its files."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ... import __version__
from ...common.files import atomic
from ...common.origins import NOWHERE, Origin, told
from ...data.cache.decoded import transform_id
from ...protocol.class_rows import PROMPTS
from ...records.evidence import evidence_file, write_evidence
from ...records.identity import identity_of
from ...records.schema import validate
from ...records.store import RANKS_SUFFIX, to_frame, write_record
from ..device.precision import steps_in_tf32
from ..inputs import Inputs
from ..provenance.code import git_origin
from ..provenance.machine import hardware, versions
from ..provenance.numerics import NUMERICS
from ..provenance.usage import Usage
from ..request import Plan
from .costs import Costs
from .rows import Cell, evidence_of, ranks_of, rows_of


def provenance_of(plan: Plan, inputs: Inputs, costs: Costs, usage: Usage) -> dict[str, Any]:
    """All that the numbers came from and what they cost; the evidence is not in it yet."""
    names = {*inputs.identity["train"], *inputs.identity["test"]}
    reference = inputs.identity["reference"]
    used = (
        d for d in plan.suite.datasets
        if d.name in names or (reference is not None and d == plan.suite.reference)
    )  # fmt: skip
    about = {
        "asked": plan.asked,
        "options": {
            "device": plan.request.device,
            "ranks": plan.request.save_ranks,
            "fresh": plan.request.fresh,
            "checkpointing": plan.request.checkpointing,
            "compile": plan.request.compile,
        },
        "submitter": None,
        "eval_batch": _batch(plan),
        "command": sys.argv[1:],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "unofficial": list(plan.unofficial),
        "method": {
            "label": plan.method.cls.label,
            "paper": plan.method.cls.paper,
            "origin": plan.method.origin,
            "sha256": plan.method.sha,
        },
        "settings": told(_origins(plan), plan.settings),
        "code": _code(plan),
        "versions": versions(),
        "hardware": {**hardware(), "device": inputs.device.type},
        "computing": _computing(plan, inputs),
        "weights": {
            "backbone": plan.backbone,
            "sha256": inputs.clip.fingerprint,
            "origin": inputs.clip.origin,
        },
        "transform": transform_id(inputs.clip.size),
        "data": {
            "train": inputs.identity["train"],
            "test": inputs.identity["test"],
            **({} if reference is None else {"reference": reference}),
            **({"crops": inputs.identity["crops"]} if "crops" in inputs.identity else {}),
            "left_out": list(plan.left_out),
        },
        "sources": {
            d.name: {
                "licence": d.licence,
                "citation": d.citation,
                "data": d.origin()
                if d.needs is None
                else (plan.asked["data"] or {}).get(d.needs, [None])[0],
            }
            for d in used
        },
        "order": {"tasks": list(inputs.order), "measured": inputs.measured},
        **_costs(inputs, costs, usage),
    }
    return about | {"identity": identity_of(about)}


def _origins(plan: Plan) -> dict[str, Origin]:
    """Where the values of a run's settings are from: the method's, the suite's, its recipe's."""
    told, own = plan.suite.origins_for(plan.method.name), plan.method.origins
    given = {k: told.get(k, NOWHERE) for k in plan.method.of_suite if k not in own}
    return {**{k: o for k, o in told.items() if k in plan.recipe.asked()}, **own, **given}


def _computing(plan: Plan, inputs: Inputs) -> dict[str, Any]:
    """How the towers were computed, and what the suite declares."""
    tf32 = steps_in_tf32(plan.precision, inputs.device)
    about = {"precision": plan.precision, "declared": plan.recipe.precision, "tf32": tf32}
    return about | {"compiled": inputs.clip.compiler is not None}


def _code(plan: Plan) -> dict[str, Any]:
    about = {"sha256": plan.code, "numerics": NUMERICS, "version": __version__}
    return {**about, "origin": git_origin(), **plan.git}


def _costs(inputs: Inputs, costs: Costs, usage: Usage) -> dict[str, Any]:
    return {
        "parameters": {
            "total": sum(p.numel() for p in inputs.clip.parameters()),
            "trainable": costs.trainable,
            "inference": costs.inference,
        },
        "state_bytes": costs.state_bytes,
        "inference_bytes": costs.inference_bytes,
        "seconds": {k: round(v, 2) for k, v in usage.seconds.items()},
        "peak_memory": usage.memory,
        "losses": costs.losses,
        "chunks": costs.chunks,
        "shared": costs.shared,
        "reports": costs.reports,
        "resumed": costs.resumed,
    }


def write_run(
    plan: Plan,
    inputs: Inputs,
    costs: Costs,
    usage: Usage,
    cells: list[Cell],
    failed: Mapping[str, Any] | None = None,
) -> None:
    """Check and write the record, its evidence, and the ranks where they were asked for.

    Args:
        plan: what was asked for.
        inputs: its data.
        costs: of its tasks.
        usage: what it has spent.
        cells: of all stages.
        failed: why the run did not reach its end; None where it did.

    Raises:
        BenchError: the record is not consistent, or the folder cannot be written.
    """
    rows, about = rows_of(plan, inputs, cells), provenance_of(plan, inputs, costs, usage)
    validate(to_frame(rows), plan.target)
    evidence = evidence_of(cells, about["identity"]["sha256"])
    ranks = plan.target.with_suffix(RANKS_SUFFIX)
    # What lies beside a record that is replaced is another run's. The record comes last: until
    # then the run is not finished, and its unfinished work is kept.
    for old in (plan.target, evidence_file(plan.target), ranks):
        old.unlink(missing_ok=True)
    if plan.request.save_ranks:
        with atomic(ranks) as temporary:
            pq.write_table(pa.Table.from_pylist(ranks_of(cells)), temporary, compression="zstd")
    seal = write_evidence(evidence_file(plan.target), evidence)
    told = {} if failed is None else {"failed": dict(failed)}
    write_record(plan.target, rows, about | {"evidence": dict(seal)} | told)


def _batch(plan: Plan) -> int:
    """Items that the method's own encoders were given at a time, at most."""
    method = plan.method
    return PROMPTS if "test batch" in method.uses else method.cls.at_once
