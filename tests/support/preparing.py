"""Short ways to prepare the small repositories of `hub_repos` in a folder of the test's own."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tiny_lock import write_lock

from benchmark.cli.display import Display
from benchmark.data.catalog import declaration
from benchmark.data.published.declare import Source, class_table
from benchmark.data.published.preparation import prepare
from benchmark.data.published.preparation.plan import Job, plan
from benchmark.data.published.store import Store
from benchmark.data.split import Split, StoredImages

SIDE = 32
QUIET = Display(quiet=True)


def hub_source(name: str) -> Source:
    """The primary repository of a set."""
    source = declaration(name).source
    assert isinstance(source, Source), f"{name} is read from a folder"
    return source


def served(hub: Any, place: Path, *names: str) -> None:
    """Serve the primary repositories of these sets, with their counts in the lock file."""
    hub.want(*(hub_source(name).repo for name in names))
    write_lock(place / "hub.lock.json", hub.facts)


def job(place: Path, name: str, **changes: Any) -> Job:
    """What `data prepare NAME --side 32` does, with changes."""
    declared = changes.pop("declared", declaration(name))
    defaults = {
        "source": declared.source,
        "side": SIDE,
        "root": place / "cache",
        "command": f"cl-bench data prepare {name}",
    }
    return Job(declared, **{**defaults, **changes})


def made(place: Path, name: str, **changes: Any) -> Store:
    """The prepared store."""
    return prepare.prepare(plan(job(place, name, **changes)), QUIET)


def fetched(hub: Any) -> list[str]:
    """The data files of which the hub has sent more than a part that was asked for."""
    sent = hub.server.downloads()
    return [each.path for each in sent if not each.part and each.path != "README.md"]


def files_of(folder: Path) -> dict[str, str]:
    """Every file below a folder with its sha256."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def stored_images(split: Split) -> StoredImages:
    """The images of a prepared split."""
    assert isinstance(split.images, StoredImages)
    return split.images


def coop_folder(root: Path) -> Path:
    """EuroSAT in CoOp's layout: two images a class and part, of one colour each."""
    from PIL import Image

    folder = root / "coop" / "eurosat"
    names = class_table("eurosat")["coop"]
    lists: dict[str, list[list[object]]] = {"train": [], "val": [], "test": []}
    for part in lists:
        for label, name in enumerate(names):
            for i in range(2):
                source = class_table("eurosat")["source"][label]
                path = f"{source}/{source}_{part}{i}.jpg"
                (folder / "2750" / path).parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 9), (label * 20, i * 90, 40)).save(folder / "2750" / path)
                lists[part].append([path, label, name])
    (folder / "split_zhou_EuroSAT.json").write_text(json.dumps(lists))
    return root / "coop"
