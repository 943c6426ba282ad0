"""What ships with the package is compared with its digest before a number can come from it."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmark.backbones import known, open_clip_files
from benchmark.backbones.known import DIGESTS, SHIPPED, describe
from benchmark.backbones.load import files_of, tokenizer_of
from benchmark.errors import BenchError


def test_every_shipped_file_has_its_digest() -> None:
    found = json.loads((SHIPPED / DIGESTS).read_text())
    assert found == {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest()
        for p in SHIPPED.iterdir()
        if p.name != DIGESTS
    }


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy, for spoiling."""
    folder = shutil.copytree(SHIPPED, tmp_path / "shipped")
    for module in (known, open_clip_files):
        monkeypatch.setattr(module, "SHIPPED", folder)
    monkeypatch.setattr(known, "BLIPS", folder)
    monkeypatch.setattr(open_clip_files, "VOCABULARY", folder / "tiny-vocabulary.json")
    known.configs.cache_clear()
    open_clip_files.tiny_tokenizer.cache_clear()
    yield folder
    known.configs.cache_clear()
    open_clip_files.tiny_tokenizer.cache_clear()


USES: dict[str, Callable[[], object]] = {
    "tiny-s.safetensors": lambda: files_of("tiny-s", "bundled"),
    "tiny-s.json": lambda: describe("tiny-s"),
    "blip-base.json": lambda: describe("blip-base"),
    "tiny-vocabulary.json": lambda: tokenizer_of("tiny-b"),
}


@pytest.mark.parametrize("name", USES)
def test_a_changed_byte_is_refused(name: str, shipped: Path) -> None:
    USES[name]()
    path = shipped / name
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"1", b"2", 1))
    with pytest.raises(BenchError, match=name) as error:
        USES[name]()
    assert error.value.code == 5
    path.write_bytes(raw)
    USES[name]()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"tiny-s.json": 1}'])
def test_damaged_digests_are_refused(text: str, shipped: Path) -> None:
    (shipped / DIGESTS).write_text(text)
    with pytest.raises(BenchError, match="as it was shipped"):
        describe("tiny-s")


def test_a_config_of_ones_own_needs_no_digest(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = shutil.copy(shipped / "tiny-s.json", tmp_path / "mine.json")
    monkeypatch.setitem(known.configs(), "mine", Path(mine))
    assert describe("mine").image_side == 48
