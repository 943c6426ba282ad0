"""Fixtures of all tests.

The process that hands out the tests reads this file too, so that nothing heavy is imported before
a fixture needs it.
"""

import gc
import os
from dataclasses import dataclass, field
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


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all workers of this session, so that a split is rendered once."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cl-bench-cache"


@pytest.fixture
def own_cache(cache: Path, tmp_path: Path) -> Path:
    """A cache of the test's own, which has only the decoded images and tokens of the session's."""
    for kind in ("pixels", "tokens"):
        (cache / kind).mkdir(parents=True, exist_ok=True)
    own = tmp_path / "cache"
    own.mkdir()
    for kind in ("pixels", "tokens"):
        (own / kind).symlink_to(cache / kind)
    return own


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    from benchmark.check.lab import make_lab

    return make_lab(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def captioned(lab):
    """Five captions or fewer per image, never the same number twice in a row."""
    from benchmark.check.lab import make_captioned

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
