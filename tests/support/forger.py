"""What a forger can do: honest records taken apart, changed, and made consistent again."""

import json
import shutil
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.records.answers import AnswerKey, Evidence
from benchmark.records.evidence import evidence_file, read_evidence, write_evidence
from benchmark.records.identity import identity_of
from benchmark.records.naming import file_stem, suite_folder
from benchmark.records.schema import SCHEMA
from benchmark.records.store import METADATA_KEY
from benchmark.validation.code_book import CodeBook
from benchmark.validation.findings import Finding
from benchmark.validation.inspect import inspect
from benchmark.validation.ledger import parsed_ledger

HONEST = Path(__file__).parents[1] / "golden" / "honest"
Row = dict[str, Any]


def book() -> CodeBook:
    """Of the commit of the honest records, whatever history the tests run in."""
    return CodeBook(parsed_ledger((HONEST / "code.json").read_text()), git=False)


@dataclass
class Forgery:
    """A record that can be changed in every part.

    Attributes:
        rows, about, evidence: as read. Whoever changes them calls what makes them fit again.
        stem, folder: where it goes; None for the place that its content gives.
        sealed: whether the record names the evidence that is written.
        table, content, beside: what is done to the table, the file and the evidence's file.
    """

    rows: list[Row]
    about: dict[str, Any]
    evidence: Evidence | None
    stem: str | None = None
    folder: str | None = None
    sealed: bool = True
    table: Callable[[pa.Table], pa.Table] = field(default=lambda table: table)
    content: Callable[[bytes], bytes] = field(default=lambda content: content)
    beside: Callable[[bytes], bytes] | None = None

    def set(self, **values: Any) -> None:
        """The same value in every row, and in what was asked for where that has it."""
        for row in self.rows:
            row.update(values)
        self.about["asked"].update({k: v for k, v in values.items() if k in self.about["asked"]})

    def named(self, method: str, variant: str = "") -> None:
        """Another name, everywhere that it stands."""
        self.set(method=method, variant=variant)
        label = f"{method}.{variant}" if variant else method
        self.about["command"] = ["run", "--method", label]

    def at(self, **where: Any) -> list[Row]:
        """Rows with these values."""
        return [row for row in self.rows if all(row[k] == v for k, v in where.items())]

    def identify(self) -> None:
        """The identity and the evidence's run recompute."""
        self.about["identity"] = identity_of(self.about)
        if self.evidence is not None:
            self.evidence = replace(self.evidence, run=self.about["identity"]["sha256"])

    def count(self) -> None:
        """Hits follow from the evidence, and values from hits."""
        assert self.evidence is not None
        told = self.evidence.hits()
        for row in self.rows:
            where = row["eval_task"], row["direction"], row["step"], row["metric"], row["k"]
            if where in told:
                row["hits"], row["n_queries"] = told[where]
            if row["hits"] is not None:
                row["value"] = row["hits"] / row["n_queries"]

    def answer(self, change: Callable[[tuple[Any, ...], Any], Any]) -> None:
        """Other answers: (set, direction, step) and answers (Q,) -> answers (Q,)."""
        assert self.evidence is not None
        answers = {where: change(where, a.copy()) for where, a in self.evidence.answers.items()}
        self.evidence = replace(self.evidence, answers=answers)

    def write(self, results: Path) -> Path:
        """Both files; returns the record's path."""
        row = self.rows[0]
        names = ("method", "variant", "settings", "backbone", "order", "seed")
        stem = self.stem or file_stem(*(row[name] for name in names))
        path = results / (self.folder or suite_folder(row["suite"])) / f"{stem}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        about = dict(self.about)
        if self.evidence is not None:
            seal = write_evidence(evidence_file(path), self.evidence)
            if self.sealed:
                about["evidence"] = dict(seal)
            if self.beside is not None:
                other = evidence_file(path)
                other.write_bytes(self.beside(other.read_bytes()))
        metadata = json.dumps(about, sort_keys=True)
        table = self.table(pa.Table.from_pylist(self.rows, schema=SCHEMA))
        table = table.replace_schema_metadata({METADATA_KEY: metadata.encode()})
        out = pa.BufferOutputStream()
        pq.write_table(table, out, compression="zstd", write_page_checksum=True)
        path.write_bytes(self.content(out.getvalue().to_pybytes()))
        return path


def honest(name: str, suite: str = "mini-xtail") -> Forgery:
    """An honest record, `ft--forward--s42`, before anybody touches it."""
    method, order, seed = name.split("--")
    path = HONEST / suite / f"{method}--tiny-s--{order}--{seed}.parquet"
    table = pq.ParquetFile(path).read()
    about = json.loads(table.schema.metadata[METADATA_KEY])
    return Forgery(table.to_pylist(), deepcopy(about), read_evidence(evidence_file(path)))


def copied(results: Path, *names: str, suite: str = "mini-xtail") -> None:
    """Honest records as they are."""
    (results / suite).mkdir(parents=True, exist_ok=True)
    for name in names:
        method, order, seed = name.split("--")
        for path in (HONEST / suite).glob(f"{method}--tiny-s--{order}--{seed}.*"):
            shutil.copy(path, results / suite)


def found(results: Path, path: Path | None = None) -> list[Finding]:
    """What validation finds, of one record or of all."""
    findings, _ = inspect(results, book=book())
    return [one for one in findings if path is None or one.path == path]


def codes(findings: Iterable[Finding], severity: str = "error") -> set[str]:
    """The codes among findings."""
    return {one.code for one in findings if one.severity == severity}


def more_right(share: float, seed: int = 0) -> Callable[[tuple[Any, ...], Any], Any]:
    """Answers of later steps of which a share more is right; step 0 stays."""
    rng = np.random.default_rng(seed)

    def change(where: tuple[Any, ...], answer_Q: Any) -> Any:
        if where[2]:
            answer_Q[rng.random(len(answer_Q)) < share] = 0
        return answer_Q

    return change


def rekeyed(evidence: Evidence, task: str, key: AnswerKey) -> Evidence:
    """The same evidence with another key of one set."""
    return replace(evidence, keys={**evidence.keys, task: key})
