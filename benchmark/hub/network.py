"""Why a hub cannot be reached, in words: settings, certificates, proxies, names, connections."""

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # the first that is set counts
OTHERS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # of other programs; the client reads neither
EXPIRED, TOO_EARLY = 10, 9  # OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED and _NOT_YET_VALID
SHOWN = 160  # letters of a foreign message


class NoAnswer(Exception):
    """Nothing came back from the hub. Not the client's own kind, so that it repeats nothing."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class BadSetting(Exception):
    """A variable of the environment with which no request can be made."""

    def __init__(self, got: str, fix: str) -> None:
        super().__init__(got)
        self.got, self.fix = got, fix


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it came of."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def from_network(error: BaseException) -> bool:
    """Errors of the client's HTTP library, whichever it is (httpx, httpx2, requests)."""
    modules = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
    return bool(modules & {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}) or (
        "Xet" in type(error).__name__
    )


def clean(text: object) -> str:
    """A foreign message that may be shown: one short line, no token, no signed address."""
    line = next((part.strip() for part in str(text).splitlines() if part.strip()), "")
    line = re.sub(r"(https?://)[^\s/'\"@]*@", r"\1", line)  # a name and a password
    line = re.sub(r"(https?://[^\s'\"?]*)\?[^\s'\"]*", r"\1", line)
    line = re.sub(r"\s*\(\u2026[^)]*\)", "", line)  # the end of an address
    line = re.sub(r"Bearer \S+|\bhf_\w+", "(token)", line)
    return line if len(line) <= SHOWN else line[: SHOWN - 3] + "..."


def setting_fault(error: Exception) -> tuple[str, str] | None:
    """What is wrong with the environment where the client cannot even be made, and what helps."""
    name = next((name for name in CERTIFICATES if os.environ.get(name)), None)
    if isinstance(error, OSError) and name is not None:  # SSLError is one
        what = "no such file" if isinstance(error, FileNotFoundError) else clean(error)
        got = f"{name}={os.environ[name]} ({what})"
        return got, f"set {name} to a file of certificates in PEM format, or unset it"
    proxies = ", ".join(_proxy_names()) or "HTTPS_PROXY"
    if isinstance(error, ImportError) and "socks" in str(error).lower():
        fix = f"install 'httpx2[socks]', or set {proxies} to a proxy with http://"
        return f"a SOCKS proxy in {proxies}, for which a package is missing", fix
    if isinstance(error, ValueError) or type(error).__name__ == "InvalidURL":
        got = f"a proxy in {proxies} that is no address ('{clean(error)}')"
        return got, f"correct {proxies} (like http://host:port), or unset it"
    return None


def _proxy_names() -> list[str]:
    """The variables that name a proxy, as the user wrote them."""
    wanted = ("https_proxy", "http_proxy", "all_proxy")
    return [name for name in os.environ if name.lower() in wanted and os.environ[name]]


def _proxy(address: str) -> str | None:
    """'HTTPS_PROXY (host:port)' where requests to an address go through a proxy."""
    host = _host(address)
    if not host or proxy_bypass(host):
        return None
    for scheme in (address.partition(":")[0].lower(), "all"):
        if given := getproxies().get(scheme):
            place = given.rpartition("@")[2].removeprefix("http://").rstrip("/")
            names = [n for n in _proxy_names() if n.lower() == f"{scheme}_proxy"]
            return f"{names[0] if names else 'the proxy of the system'} ({place})"
    return None


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:  # brackets without an address in them
        return None


def gives_up(error: Exception) -> bool:
    """Whether another attempt would end as this one did: a certificate, a header, no address."""
    final = ("UnsupportedProtocol", "InvalidURL", "LocalProtocolError", "ProxyError")
    return any(
        isinstance(each, ssl.SSLCertVerificationError | UnicodeError | BadSetting)
        or type(each).__name__ in final
        or (isinstance(each, ssl.SSLError) and _plain(each))
        for each in chain(error)
    )


def _plain(error: BaseException) -> bool:
    """An answer without TLS where one with TLS was expected."""
    return any(word in str(error) for word in ("WRONG_VERSION", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"))


def connection_failed(error: Exception) -> bool:
    """Whether no connection was made at all."""
    names = ("ConnectError", "ConnectTimeout", "ConnectionRefusedError", "ProxyError", "gaierror")
    return any(type(each).__name__ in names for each in chain(error))


def reason(error: Exception, address: str) -> tuple[str, str]:
    """What a request without an answer failed of, and what helps.

    Args:
        error: of the client or its HTTP library.
        address: of the hub.
    """
    found = list(chain(error))
    settings = next((e for e in found if isinstance(e, BadSetting)), None)
    if settings is not None:
        return settings.got, settings.fix
    untrusted = next((e for e in found if isinstance(e, ssl.SSLCertVerificationError)), None)
    if untrusted is not None:
        return _untrusted(untrusted)
    if any(isinstance(e, ssl.SSLError) and _plain(e) for e in found):
        fix = "write http:// in front of HF_ENDPOINT, or of the proxy's address in HTTPS_PROXY"
        return "an answer without TLS to a request with https://", fix
    if any(isinstance(e, UnicodeError) or "eader value" in str(e) for e in found):
        fix = "set HF_TOKEN to the token alone, without blanks or other letters, or unset it"
        return "a token that is none", fix
    text = clean(found[0])
    if any(type(e).__name__ in ("UnsupportedProtocol", "InvalidURL") for e in found):
        fix = "set HF_ENDPOINT to the hub's address with https:// in front, or unset it"
        return f"'{text}'", fix
    if proxy := _proxy(address):
        fix = "correct that variable, or unset it if this machine needs no proxy"
        return f"{_what(found, text)} by way of {proxy}", fix
    fix = (
        "check the network, or set HF_ENDPOINT to a mirror, or HF_HUB_OFFLINE=1 if all is prepared"
    )
    if any(isinstance(e, socket.gaierror) for e in found):
        return f"no address for the name '{_host(address)}'", fix
    if connection_failed(error):
        fix += "; a cluster may reach it from its login nodes only"
    return _what(found, text), fix


def _what(found: list[BaseException], text: str) -> str:
    numbers = {getattr(e, "errno", None) for e in found}
    if errno.ECONNREFUSED in numbers:
        return "'connection refused'"
    if numbers & {errno.ENETUNREACH, errno.EHOSTUNREACH}:
        return "'no route to it'"
    if any(isinstance(e, socket.gaierror) for e in found):
        return "'no such name'"
    if any(type(e).__name__ == "ConnectTimeout" for e in found):
        return "no connection in time"
    return f"{type(found[0]).__name__} '{text}'"


def _untrusted(error: ssl.SSLCertVerificationError) -> tuple[str, str]:
    got = f"a certificate that is not trusted ('{error.verify_message}')"
    if error.verify_code in (EXPIRED, TOO_EARLY):
        now = f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
        return got, f"look whether the clock of this machine is right: it says {now}"
    for name in CERTIFICATES:
        if value := os.environ.get(name):
            fix = f"set {name} (now {value}) to certificates that include it, or unset it"
            return got, fix
    for name in OTHERS:
        if value := os.environ.get(name):
            return got, f"set SSL_CERT_FILE to {value}: the hub's client does not read {name}"
    fix = "set SSL_CERT_FILE to a file with the certificates of your network (a proxy that looks "
    return got, fix + "into TLS has its own), or correct HF_ENDPOINT"
