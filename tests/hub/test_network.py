"""A hub that cannot be reached: what is said, when, and what helps; never a secret."""

import errno
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from preparing import job, served

from benchmark.data.published.preparation import plan
from benchmark.errors import BenchError
from benchmark.hub import session
from benchmark.hub.client import ask
from benchmark.hub.network import NoAnswer, clean, reason, setting_fault
from benchmark.hub.trouble import NoHub, Repo, sentence

REPO = Repo("owner/name", "dataset", "cl-bench data lock x", (), "cl-bench data lock x --relock")
SETTINGS = (
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY",
    "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HF_TOKEN",
    "HF_HUB_DOWNLOAD_TIMEOUT",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of this machine."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


def lock(place: Path, **variables: str) -> tuple[str, float, int]:
    """Standard error of `data lock sketch` in a process of its own, seconds, exit code."""
    env = {k: v for k, v in os.environ.items() if k not in SETTINGS}
    env |= {"CL_BENCH_LOCK": str(place / "lock.json"), "CL_BENCH_CACHE": str(place / "cache")}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", "data", "lock", "sketch"],
        env={**env, **variables}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.stderr, time.monotonic() - began, done.returncode


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "got", "fix"),
    [
        ({"SSL_CERT_FILE": "/nonexistent.pem"}, "SSL_CERT_FILE=/nonexistent.pem (no such file)",
         "unset it"),
        ({"SSL_CERT_FILE": "/etc/hostname"}, "SSL_CERT_FILE=/etc/hostname", "PEM format"),
        ({"HTTPS_PROXY": "foo://bar"}, "HTTPS_PROXY that is no address", "unset it"),
        ({"HTTPS_PROXY": "socks5://127.0.0.1:9"}, "a SOCKS proxy", "httpx2[socks]"),
        ({"HTTPS_PROXY": "http://me:secret@127.0.0.1:9", "HF_ENDPOINT": "https://hub.invalid"},
         "by way of HTTPS_PROXY (127.0.0.1:9)", "unset it if this machine needs no proxy"),
        ({"HF_TOKEN": "hf_secr\u00e9t"}, "a token that is none", "set HF_TOKEN"),
        ({"HF_ENDPOINT": "https://[x"}, "'https://[x'", "HF_ENDPOINT"),
        ({"HF_ENDPOINT": "huggingface.co"}, "missing an 'http://'", "https:// in front"),
        ({"HF_ENDPOINT": "https://hub.invalid"}, "no address for the name 'hub.invalid'",
         "check the network"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "'connection refused'", "HF_ENDPOINT"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_work_is_named(place, variables, got, fix) -> None:
    variables = {"HF_ENDPOINT": "https://hub.invalid", **variables}
    said, seconds, code = lock(place, **variables)
    assert code == 4
    assert seconds < 60
    last = said.splitlines()[-1]
    assert last.startswith("error: expected ")
    assert got in last
    assert fix in last
    assert "free some space" not in said
    assert "secr" not in said


def untrusted(code: int, message: str) -> NoAnswer:
    """What the client raises where a server's certificate is not accepted."""
    inner = ssl.SSLCertVerificationError(1, f"certificate verify failed: {message}")
    inner.verify_code, inner.verify_message = code, message
    outer = ConnectionError(str(inner))
    outer.__cause__ = inner
    return NoAnswer(outer)


@pytest.mark.parametrize(
    ("code", "message", "variable", "fix"),
    [
        (10, "certificate has expired", "", "clock of this machine"),
        (9, "certificate is not yet valid", "SSL_CERT_FILE", "clock of this machine"),
        (18, "self-signed certificate", "", "set SSL_CERT_FILE to a file"),
        (20, "unable to get local issuer certificate", "SSL_CERT_DIR", "set SSL_CERT_DIR (now /x)"),
        (19, "self-signed certificate in certificate chain", "REQUESTS_CA_BUNDLE",
         "set SSL_CERT_FILE to /x: the hub's client does not read REQUESTS_CA_BUNDLE"),
    ],
)  # fmt: skip
def test_a_certificate_that_is_not_trusted(monkeypatch, code, message, variable, fix) -> None:
    if variable:
        monkeypatch.setenv(variable, "/x")
    said = sentence(REPO, "main", untrusted(code, message))
    assert isinstance(said, NoHub)
    assert message in said.got
    assert fix in said.fix
    assert "again and again" not in said.got  # it was asked once


def test_no_setting_is_blamed_for_what_is_not_its_fault(monkeypatch) -> None:
    assert setting_fault(FileNotFoundError(2, "No such file")) is None
    assert setting_fault(MemoryError()) is None
    monkeypatch.setenv("SSL_CERT_FILE", "/x")
    assert "SSL_CERT_FILE" in str(setting_fault(FileNotFoundError(2, "No such file")))


def test_a_name_without_an_address() -> None:
    outer = OSError("[Errno -2] Name or service not known")
    outer.__cause__ = socket.gaierror(-2, "Name or service not known")
    got, fix = reason(outer, "https://hub.invalid")
    assert got == "no address for the name 'hub.invalid'"
    assert "HF_HUB_OFFLINE" in fix


@pytest.mark.parametrize(
    ("text", "kept", "gone"),
    [
        ("for url https://cdn.example/ab/cd?X-Amz-Signature=0123&Expires=9 now", "/ab/cd", "0123"),
        ("size 3 (\u2026signature%3D0123.parquet).\nmore", "size 3", "0123"),
        ("Illegal header value b'Bearer hf_abc def'", "Illegal header", "hf_abc"),
        ("proxy http://me:secret@host:1/ refused", "host:1", "secret"),
        ("x" * 4000, "xxx", "x" * 200),
        ("\n\n  first\nsecond", "first", "second"),
    ],
)
def test_no_secret_and_no_flood_is_shown(text, kept, gone) -> None:
    said = clean(text)
    assert kept in said
    assert gone not in said


@pytest.mark.parametrize(
    ("number", "folder", "fix", "code"),
    [
        (errno.EACCES, None, "set HF_HOME to another folder", 6),
        (errno.EROFS, None, "make ", 6),
        (errno.ENOSPC, None, "free some space in ", 6),
        (errno.EDQUOT, Path("/cache"), "give --cache-dir another folder", 6),
        (errno.EACCES, Path("/cache"), "make /cache writable for you, or give --cache-dir", 6),
        (errno.EMFILE, Path("/cache"), "ulimit -n", 6),
        (errno.EIO, Path("/cache"), "look at the disk of /cache", 6),
    ],
)
def test_what_a_disk_refuses_names_the_folder_and_what_moves_it(number, folder, fix, code) -> None:
    said = sentence(REPO, "a", OSError(number, os.strerror(number)), folder)
    assert said.code == code
    assert fix in said.fix
    assert os.strerror(number) in said.got
    assert ("free some space" in said.fix) is (number in (errno.ENOSPC, errno.EDQUOT))


def test_a_revision_that_is_gone_names_the_command_of_that_set(hub, place) -> None:
    served(hub, place, "sketch")
    hub.server.fail(404, "zoheb/sketch-scene", times=None, code="RevisionNotFound")
    with pytest.raises(BenchError, match="`cl-bench data lock sketch --relock` takes a new"):
        plan.plan(job(place, "sketch"))


def test_a_file_of_a_wrong_size_shows_no_part_of_an_address(hub, place) -> None:
    from preparing import made

    served(hub, place, "kream")
    hub.server.fail("short", "kream-product-blip-captions/data/train-00001", times=None, after=3)
    with pytest.raises(BenchError, match=r"should be of size \d+ but has size \d+") as error:
        made(place, "kream")
    assert "\u2026" not in str(error.value)
    assert "%7C" not in str(error.value)


# -- another kind of server


class Answers:
    """A server of plain sockets: what it sends to everybody, after reading the request."""

    def __init__(self, answer: bytes) -> None:
        self.answer, self.asked = answer, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.asked += 1
            self.open.append(connection)
            if self.answer:
                connection.recv(1 << 16)
                connection.sendall(self.answer)
                connection.close()

    def close(self) -> None:
        self.socket.close()
        for connection in self.open:
            connection.close()


@pytest.fixture
def server(request, monkeypatch):
    """Instead of the hub, one that gives the test's answer."""
    made = Answers(request.param)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", made.url)
    monkeypatch.setattr("benchmark.hub.client.LONGEST_WAIT", 0.01)
    yield made
    made.close()


PAGE = b"<html>Log in to the network</html>"
HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (
    len(PAGE), PAGE,
)  # fmt: skip


def list_files() -> Any:
    from huggingface_hub import HfApi

    api = HfApi()
    return ask(REPO, "main", lambda: list(api.list_repo_tree(REPO.id, repo_type="dataset")))


@pytest.mark.parametrize("server", [HTML], indirect=True)
def test_a_login_page_in_place_of_the_hub(server) -> None:
    with pytest.raises(NoHub, match="an answer that is no hub's, like a web page; log in") as error:
        list_files()
    assert server.asked == 1
    assert error.value.code == 4


@pytest.mark.parametrize("server", [b""], indirect=True)
def test_a_silent_server_is_said_at_once_and_every_attempt_after_it(
    server, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "x")  # that it is set
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.4)
    assert session.SILENCE <= 14  # seconds: of the fifteen that a user waits for a word
    monkeypatch.setattr("benchmark.hub.session.SILENCE", 0.1)
    with pytest.raises(BenchError, match=r"no data for 0.4 s again and again; raise HF_HUB_DOWN"):
        list_files()
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"the hub at {server.url} has not answered for 0 s; a request waits")
    assert "HF_HUB_OFFLINE=1 if all is prepared" in said[0]
    attempts = [line.partition("; attempt ")[2] for line in said if "; attempt " in line]
    assert attempts == ["2 of 3 in 0.01 s", "3 of 3 in 0.01 s"]
    assert server.asked == 3


def test_a_hub_that_is_not_there_is_tried_by_one_for_all(monkeypatch, capsys) -> None:
    """Twenty sets at once: three attempts in all, and none once it is known."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("benchmark.hub.client.LONGEST_WAIT", 0.05)
    found: list[BaseException] = []

    def one() -> None:
        try:
            list_files()
        except BenchError as error:
            found.append(error)

    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert all(isinstance(error, NoHub) for error in found)
    said = capsys.readouterr().err.splitlines()
    assert [line.partition("; ")[2] for line in said] == [
        "attempt 2 of 3 in 0.05 s", "attempt 3 of 3 in 0.05 s",
    ]  # fmt: skip


def test_waiting_for_too_many_requests_is_said(hub, place, capsys) -> None:
    served(hub, place, "sketch")
    hub.server.fail(429, "/tree/", times=2, only="api", retry_after=7)
    plan.plan(job(place, "sketch"))
    said = capsys.readouterr().err
    assert "answers with status 429 (too many requests; HF_TOKEN raises the limit)" in said
    assert "attempt 3 of 5" in said


def test_the_hub_says_in_its_headers_how_long_to_wait() -> None:
    """Header and numbers of the IETF draft that the hub follows (ratelimit-headers-09)."""
    from benchmark.hub.trouble import asked_wait

    class Limited(Exception):
        class response:
            status_code = 429
            headers = {"RateLimit": '"api";r=0;t=55', "Retry-After": "1"}

    assert asked_wait(Limited()) == 56
    Limited.response.headers = {"Retry-After": "120"}
    assert asked_wait(Limited()) == 120


def test_a_broken_standard_error_ends_no_download(monkeypatch) -> None:
    class Closed:
        def write(self, _: str) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    session.say("x")
    monkeypatch.setattr(sys, "stderr", None)
    session.say("x")
