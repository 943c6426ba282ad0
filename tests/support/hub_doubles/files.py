"""The files of a repository from its `Spec`: parquet, tars, and the card."""

import hashlib
import io
import json
import tarfile
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .content import picture, sentence
from .kinds import Column, Era, Row, Spec

ROW_GROUP = 5  # rows, so that every shard has several groups


def make_rows(spec: Spec, split: str, first: int, rng: np.random.Generator) -> list[Row]:
    """The rows of a split; `first` counts those of the splits before."""
    size = spec.splits[split]
    labels = np.zeros(size.rows, dtype=int)
    if spec.classes and len(spec.classes) < 1000:
        labels = rng.permutation(np.repeat(np.arange(len(spec.classes)), size.rows))
    elif spec.classes:  # ImageNet: some classes only
        labels = rng.choice(len(spec.classes), size.rows, replace=False)
    rows = []
    for index, of in enumerate(labels):
        odd = spec.odd.get((split, index))
        data, shape = picture(
            rng, suffix=spec.image, mode=spec.mode, size=spec.size, odd=odd, hue=int(of)
        )
        captions: list[str] = []
        if not spec.classes and size.captioned:
            total = spec.captions + (spec.more * (1 + index % 2) if index % 5 == 4 else 0)
            for i in range(total):
                caption = sentence(rng, 20 * (first + index) + i)
                captions.append(spec.wording.format(caption=caption, number=first + index))
        row = Row(split, index, first + index, data, shape, spec.image, captions, int(of), rng)
        row.group = spec.group(row)
        rows.append(row)
    for index, other in (spec.repeats if split == "train" else {}).items():
        rows[index].captions = rows[other].captions
    return rows


def parquet(columns: dict[str, Column], rows: list[Row], era: Era) -> bytes:
    """A file as `Dataset.to_parquet` writes it: the features are in the schema's metadata."""
    features = {name: column.feature(era) for name, column in columns.items()}
    said = None if era is None else {"huggingface": json.dumps({"info": {"features": features}})}
    schema = pa.schema({name: column.type for name, column in columns.items()}, metadata=said)
    data = {name: [column.value(row) for row in rows] for name, column in columns.items()}
    sink = io.BytesIO()
    pq.write_table(pa.table(data, schema=schema), sink, row_group_size=ROW_GROUP)
    return sink.getvalue()


def tar(columns: dict[str, Column], rows: list[Row]) -> bytes:
    """A webdataset shard: `sNNNNNNN.jpg` and its text beside it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for row in rows:
            for suffix in columns:
                texts = {"txt": "\n".join(row.captions), "cls": str(row.label)}
                data = texts[suffix].encode() if suffix in texts else row.image
                info = tarfile.TarInfo(f"s{row.index:07d}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def card(spec: Spec, rows: dict[str, list[Row]]) -> bytes:
    """A README with the configuration that `load_dataset` goes by, as push_to_hub writes it."""
    lines = ["---", *spec.card]
    if spec.files.endswith(".parquet") and spec.ref == "main":
        lines += ["dataset_info:"]
        lines += [f"  config_name: {spec.config}"] if spec.config != "default" else []
        lines += ["  features:"]
        for name, column in spec.columns.items():
            lines += column.card(name)
        lines += ["  splits:"]
        for split, made in rows.items():
            size = sum(len(row.image) for row in made)
            lines += [f"  - name: {split}", f"    num_bytes: {size}"]
            lines += [f"    num_examples: {len(made)}"]
        lines += ["configs:", f"- config_name: {spec.config}", "  data_files:"]
        for split in spec.splits:
            pattern = spec.files.split("{i")[0].replace("{split}", split) + "*"
            lines += [f"  - split: {split}", f"    path: {pattern}"]
    return "\n".join([*lines, "---", "", "# A double for tests", ""]).encode()


def make_files(name: str, spec: Spec, seed: int) -> tuple[dict[str, bytes], dict[str, list[Row]]]:
    """All files of a repository, and its rows."""
    rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
    files = {".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n", **spec.extra}
    rows: dict[str, list[Row]] = {}
    first = 0
    for split, size in spec.splits.items():
        made = rows[split] = make_rows(spec, split, first, rng)
        first += len(made)
        cuts = [len(made) * i // size.shards for i in range(size.shards + 1)]
        for i in range(size.shards):
            part = made[cuts[i] : cuts[i + 1]]
            digest = hashlib.sha1(f"{seed}/{name}/{split}/{i}".encode()).hexdigest()[:16]
            path = spec.files.format(split=split, i=i, n=size.shards, hash=digest)
            tarred = path.endswith(".tar")
            files[path] = (
                tar(spec.columns, part) if tarred else parquet(spec.columns, part, spec.era)
            )
        if spec.files.endswith(".tar"):
            files[f"{split}/nshards.txt"] = f"{size.shards}\n".encode()
    if spec.ref == "main":
        files["README.md"] = card(spec, rows)
    return files, rows


def whole(revision: str, name: str) -> str:
    """A commit id that begins with `revision`, or is it."""
    return revision + hashlib.sha1(name.encode()).hexdigest()[len(revision) :]
