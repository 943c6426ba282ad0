"""The HTTP session of the hub's client: how long a silent hub is waited for."""

import os
from functools import cache
from typing import Any

DOWNLOAD, ETAG = "HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"
PATIENCE = 60  # seconds; the client's own ten are too few for a busy hub


def patience(variable: str) -> float:
    """Seconds without an answer: what the user set in one of the client's variables, or ours."""
    from huggingface_hub import constants

    return float(getattr(constants, variable)) if os.environ.get(variable) else PATIENCE


@cache
def limit_silence() -> None:
    """From now on, no request of the client waits longer than `patience` for a silent hub.

    By itself the client lists files without any limit. Its session is made by a factory, which may
    be set (`huggingface_hub.set_client_factory`), and made anew after a connection has failed.
    """
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def limited() -> Any:
        client = default_client_factory()
        client.event_hooks["request"].append(_limit)
        return client

    set_client_factory(limited)


def _limit(request: Any) -> None:
    seconds = patience(DOWNLOAD)
    if request.method == "HEAD":  # asks for a file's facts
        seconds = min(seconds, patience(ETAG))
    kinds = ("connect", "read", "write", "pool")
    request.extensions["timeout"] = dict.fromkeys(kinds, seconds)
