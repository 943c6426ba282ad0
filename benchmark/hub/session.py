"""The HTTP session of the hub's client: how long a silent hub is waited for, and what is said."""

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, Self

from ..errors import BenchError, quoted
from .network import BadSetting, NoAnswer, from_network, setting_fault

DOWNLOAD, ETAG = "HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"
PATIENCE = 60  # seconds; the client's own ten are too few for a busy hub
CONNECT = 6  # seconds for the first connection: without one, there may be no hub at all
SILENCE = 10.0  # seconds after which the user hears that nothing is heard
FORGET = 60.0  # seconds after which a hub that could not be reached is tried anew
BUSY = (408, 429)  # statuses that pass; those from 500 on do too


_said: dict[str, float] = {}  # a line -> when it was said last


def say(text: str) -> None:
    """A status line on standard error, wherever in a command the hub is asked."""
    with suppress(OSError, ValueError, AttributeError):  # a closed stream must end no download
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def say_for_all(text: str) -> None:
    """As `say`, once where several threads hear the same at about the same time."""
    now = time.monotonic()
    if now - _said.get(text, float("-inf")) >= SILENCE:
        _said[text] = now
        say(text)


def library() -> Any:
    """The package `huggingface_hub`, which takes HF_ENDPOINT apart when it is imported.

    Raises:
        BenchError: that is no address.
    """
    try:
        import huggingface_hub
        import huggingface_hub.utils._http
    except ValueError as error:
        given = quoted(os.environ.get("HF_ENDPOINT", ""))
        fix = "set HF_ENDPOINT to the hub's address with https:// in front, or unset it"
        raise BenchError("the hub's address in HF_ENDPOINT", given, fix, 4) from error
    return huggingface_hub


def endpoint() -> str:
    """The hub that is asked."""
    return str(library().constants.ENDPOINT)


class Listener:
    """Around requests that wait: says once in a while that the hub is silent.

    Threads may be inside it at the same time: they wait for one hub, of which one line is said.
    """

    def __init__(self) -> None:
        self.answered: set[str] = set()
        """The hubs that have answered anything in this process."""
        self._lock, self._inside, self._heard = threading.Lock(), 0, 0.0
        self._end = threading.Event()

    @property
    def waits(self) -> bool:
        """Whether any request is on its way."""
        return self._inside > 0

    def heard(self) -> None:
        """Something arrived: an answer, or a part of a file."""
        self._heard = time.monotonic()
        self.answered.add(endpoint())

    def __enter__(self) -> Self:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._heard, self._end = time.monotonic(), threading.Event()
                threading.Thread(target=self._listen, args=(self._end,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._end.set()

    def _listen(self, end: threading.Event) -> None:
        due = SILENCE
        while not end.wait(min(0.5, SILENCE / 4)):
            silent = time.monotonic() - self._heard
            if silent < SILENCE:
                due = SILENCE
            elif silent >= due:
                due *= 3
                say(
                    f"the hub at {endpoint()} has not answered for {silent:.0f} s; a request waits "
                    f"up to {patience(DOWNLOAD):g} s; check the network, or set HF_HUB_OFFLINE=1 "
                    "if all is prepared"
                )


LISTENER = Listener()


class Gate:
    """Lets one request through at a time, as long as no hub has answered any.

    Many threads would find out in vain, one by one and aloud, that there is none.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gone: dict[str, tuple[Exception, float]] = {}

    def gone(self, error: Exception) -> None:
        """Note a vain attempt to reach the hub."""
        self._gone[endpoint()] = error, time.monotonic()

    @contextmanager
    def first_contact(self) -> Iterator[Exception | None]:
        """Around a request; gives the error of who tried in vain just now."""
        mine = False
        while endpoint() not in LISTENER.answered and not mine:
            mine = self._lock.acquire(timeout=0.05)
        try:
            error, when = self._gone.get(endpoint(), (None, 0.0))
            recent = mine and time.monotonic() - when < FORGET
            yield error if recent else None
        finally:
            if mine:
                self._lock.release()


GATE = Gate()


def patience(variable: str) -> float:
    """Seconds without an answer: what the user set in one of the client's variables, or ours."""
    return float(getattr(library().constants, variable)) if os.environ.get(variable) else PATIENCE


@cache
def limit_silence() -> None:
    """From now on, no request of the client waits longer than `patience` for a silent hub.

    By itself the client lists files without any limit, and repeats what fails without a word. Its
    session is made by a factory, which may be set (`huggingface_hub.set_client_factory`), and made
    anew after a connection has failed. What ours gets no answer to, or one that asks to come back,
    is raised at once: it is repeated in `client.ask` alone, where it is said.
    """
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def limited() -> Any:
        try:
            client = default_client_factory()
        except Exception as error:  # it reads certificates and proxies
            fault = setting_fault(error)
            if fault is None:
                raise
            raise BadSetting(*fault) from error
        client.event_hooks["request"].append(_limit)
        client.event_hooks["response"].append(_answered)
        send = client.send

        def once(request: Any, **options: Any) -> Any:
            try:
                return send(request, **options)
            except Exception as error:
                if from_network(error) and getattr(error, "response", None) is None:
                    raise NoAnswer(error) from error
                raise

        setattr(client, "send", once)  # noqa: B010  # its own method, for all that it sends
        return client

    set_client_factory(limited)


@contextmanager
def quiet() -> Iterator[None]:
    """Silences the client's own lines about its attempts; what fails in the end, we report."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _limit(request: Any) -> None:
    seconds = patience(DOWNLOAD)
    if request.method == "HEAD":  # asks for a file's facts
        seconds = min(seconds, patience(ETAG))
    limits = dict.fromkeys(("connect", "read", "write", "pool"), seconds)
    if LISTENER.waits and endpoint() not in LISTENER.answered:
        limits["connect"] = min(seconds, CONNECT)
    request.extensions["timeout"] = limits


def _answered(response: Any) -> None:
    from huggingface_hub.utils._http import hf_raise_for_status

    LISTENER.heard()
    if response.status_code in BUSY or response.status_code >= 500:
        response.read()
        hf_raise_for_status(response)
