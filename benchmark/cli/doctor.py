"""`cl-bench doctor`: what is installed, what a run would use, what can be reached."""

import http.client
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from ..common.files import ROOT, cache_root
from ..errors import BenchError
from ..hub.network import BadSetting, reason
from ..hub.session import library, limit_silence
from ..run.provenance.code import git_state
from ..run.provenance.machine import hardware, versions
from ..run.provenance.numerics import NUMERICS

HUB = "https://huggingface.co"


def report() -> str:
    """Plain lines, a problem and its remedy where there is one."""
    lines = [f"{name} {number}" for name, number in versions().items()]
    lines += [f"{name}: {value}" for name, value in hardware().items()]
    git = git_state(ROOT / "methods" / "__init__.py")
    if git["commit"] is None:
        lines.append("code: not in a git checkout; records go to scratch")
    elif git["dirty"]:
        lines.append(f"code: {git['commit'][:12]} with changes, records go to scratch: commit them")
        lines += [f"  {path}" for path in git["dirty"]]
    else:
        lines.append(f"code: {git['commit'][:12]}, clean")
    lines.append(f"numerics: {NUMERICS}")
    return "\n".join([*lines, _cache(), _hub()])


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # a run may have replaced it since the folder was read


def _used(folder: Path) -> int:
    # os.walk passes over folders that vanish or are closed to us; rglob ends with an error.
    return sum(_size(Path(at, name)) for at, _, names in os.walk(folder) for name in names)


def _cache() -> str:
    root = cache_root(None)
    size = _used(root)
    passing = sum(_used(root / name) for name in ("features", "trained"))
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            free = shutil.disk_usage(root).free / 2**30
    except OSError as e:
        return (
            f"cache: '{root}' cannot be written ({e.strerror}): set CL_BENCH_CACHE or --cache-dir"
        )
    return (
        f"cache: {root}, {size / 2**20:.0f} MiB used, {free:.0f} GiB free\n"
        f"  of it {passing / 2**20:.0f} MiB in features/ and trained/, which may be removed: "
        "runs make them again"
    )


def _hub() -> str:
    endpoint = os.environ.get("HF_ENDPOINT", HUB)
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return "hub: offline by HF_HUB_OFFLINE; unset it to reach the hub"
    try:
        get_session = library().get_session
        limit_silence()
        get_session()  # reads certificates and proxies
    except BenchError as e:
        return f"hub: {endpoint} not reachable; {e.fix}"
    except BadSetting as e:
        return f"hub: {endpoint} not reachable ({e.got}); {e.fix}"
    try:
        request = urllib.request.Request(endpoint, method="HEAD")
        with urllib.request.urlopen(request, timeout=4) as answer:
            return f"hub: {endpoint} reachable ({answer.status})"
    except urllib.error.HTTPError as e:
        return f"hub: {endpoint} reachable ({e.code})"
    except (OSError, ValueError, http.client.HTTPException) as e:
        got, fix = reason(e, endpoint)
        return f"hub: {endpoint} not reachable ({got}); the embedded suite needs none, else {fix}"
