"""Fixtures of all tests.

The process that hands out the tests reads this file too, so that nothing heavy is imported before
a fixture needs it.
"""

import copy
import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hub_env import PORT  # first: the hub's client reads its variables when it is imported
from local_hub import LocalHub


def pytest_collection_finish() -> None:
    """Every run ends with a collection: it need not look through all that is imported by now."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """What was frozen is released as ever when the process ends."""
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Two workers share two cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _one_tokenizer() -> Iterator[None]:
    """Building open_clip's takes longer than a run of a test; it does not change with use."""
    from benchmark.backbones import load as backbones

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbones, "_tokenizer", lru_cache(backbones._tokenizer))
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_backbone() -> Iterator[None]:
    """A run takes a copy of a tiny model: building one takes as long as training it."""
    from benchmark.run import inputs as bench

    pytest_collection_finish()  # once more: few test files import as much by themselves
    load = bench.load
    once = lru_cache(load)

    def copied(name: str, pretrained: str) -> Any:
        tiny = name.startswith("tiny-") and pretrained in ("bundled", "random:0")
        return copy.deepcopy(once(name, pretrained)) if tiny else load(name, pretrained)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "load", copied)
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_draw() -> Iterator[None]:
    """The scenes of a rendered split, and the tokens of its texts, do not change either."""
    from benchmark.data import rendered as mini
    from benchmark.data import tensors as loaded

    draw, tokens_of = mini.draw, loaded.tokens_of
    drawn: dict[Any, Any] = {}
    tokens: dict[Any, Any] = {}

    def draw_once(domain: Any, *rest: Any) -> Any:
        key = (domain.name, *rest)
        if key not in drawn:
            drawn[key] = draw(domain, *rest)
            drawn[key].indices.flags.writeable = False
        return drawn[key]

    def tokens_once(texts: list[str], tokenize: Any, tokenizer: str, root: Path) -> Any:
        key = (tokenizer, *texts)
        if not tokenizer:
            return tokens_of(texts, tokenize, tokenizer, root)
        if key not in tokens:
            tokens[key] = tokens_of(texts, tokenize, tokenizer, root)
        return tokens[key].clone()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mini, "draw", draw_once)
        patch.setattr(loaded, "tokens_of", tokens_once)
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_sync() -> Iterator[None]:
    """Tests wait for no disk: processes are killed here, the machine is not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all workers of this session, so that a split is rendered once."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cl-bench-cache"


@pytest.fixture
def own_cache(cache: Path, tmp_path: Path) -> Path:
    """A cache of the test's own, which has only the decoded images of the session's."""
    (cache / "pixels").mkdir(parents=True, exist_ok=True)
    own = tmp_path / "cache"
    own.mkdir()
    (own / "pixels").symlink_to(cache / "pixels")
    return own


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    from lab import make_lab

    return make_lab(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def captioned(lab):
    """Five captions or fewer per image, never the same number twice in a row."""
    from lab import make_captioned

    return make_captioned(lab)


@pytest.fixture
def clip(lab):
    return lab.clip()


@dataclass
class Hub:
    """The local hub of a test run, and what its repositories hold."""

    server: LocalHub
    facts: dict[str, Any] = field(default_factory=dict)

    def want(self, *names: str) -> None:
        """Serve these repositories."""
        import hub_repos

        missing = [name for name in names if name not in self.facts]
        if missing:
            self.facts |= hub_repos.build(self.server, missing)


@pytest.fixture(scope="session")
def hub_server(tmp_path_factory):
    with LocalHub(tmp_path_factory.mktemp("hub"), port=PORT) as server:
        yield Hub(server)


@pytest.fixture
def hub(hub_server, monkeypatch):
    """The local hub without faults, and no waiting between our attempts."""
    monkeypatch.setattr("benchmark.hub.client.LONGEST_WAIT", 0.01)
    hub_server.server.calm()
    hub_server.server.requests.clear()
    yield hub_server
    hub_server.server.calm()
    hub_server.server.rate = None
    assert hub_server.server.errors == []


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A cache folder and a lock file of the test's own."""
    monkeypatch.setenv("CL_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CL_BENCH_LOCK", str(tmp_path / "hub.lock.json"))
    return tmp_path
