"""How long a silent hub is waited for, and that nothing is set before it is asked."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

IMPORT = """
import json, os, sys
before = dict(os.environ)
import benchmark.hub.client, benchmark.hub.weights, benchmark.hub.lock
print(json.dumps([dict(os.environ) == before, "huggingface_hub" in sys.modules]))
"""
REQUESTS = """
import json, os
from benchmark.hub.session import limit_silence
from huggingface_hub import close_session, get_session
before = dict(os.environ)
get_session()  # another program's, made before ours
limit_silence()
limit_silence()
found = []
for _ in range(2):
    client = get_session()
    for method in ("GET", "HEAD"):
        request = client.build_request(method, "http://127.0.0.1:9/x", timeout=None)
        for hook in client.event_hooks["request"]:
            hook(request)
        assert "x-amzn-trace-id" in request.headers, "the client's own hook was dropped"
        assert len(set(request.extensions["timeout"].values())) == 1
        found.append(request.extensions["timeout"]["read"])
    close_session()  # as the client does after a failed connection
print(json.dumps([found, dict(os.environ) == before]))
"""


def _run(code: str, **variables: str) -> Any:
    unset = ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")
    env = {k: v for k, v in os.environ.items() if k not in unset} | variables
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_importing_the_client_changes_no_variable_and_imports_no_hub() -> None:
    assert _run(IMPORT) == [True, False]


@pytest.mark.parametrize(
    ("variables", "download", "head"),
    [
        ({}, 60, 60),
        ({"HF_HUB_DOWNLOAD_TIMEOUT": "7"}, 7, 7),
        ({"HF_HUB_ETAG_TIMEOUT": "5"}, 60, 5),
        ({"HF_HUB_DOWNLOAD_TIMEOUT": "300", "HF_HUB_ETAG_TIMEOUT": "10"}, 300, 10),
    ],
)
def test_every_request_has_a_limit_and_what_the_user_set_counts(
    variables: dict[str, str], download: int, head: int
) -> None:
    assert _run(REQUESTS, **variables) == [[download, head] * 2, True]
