"""A few kilobytes of a file on the hub, for who wants to know what it is before fetching it all."""

import io
import re
import threading
from dataclasses import dataclass, field
from typing import Any

from ..errors import BenchError
from .client import RemoteFile, ask
from .session import LISTENER, endpoint
from .trouble import Repo

BLOCK = 1 << 16  # bytes of a request at least; most footers are smaller
LIMIT = 1 << 25  # bytes of a file at most: a footer that claims more is not believed
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class NoParts(Exception):
    """The server sends a file as a whole or not at all."""


@dataclass
class Traffic:
    """What was asked and got, by all threads."""

    requests: int = 0
    nbytes: int = 0
    whole: set[str] = field(default_factory=set)
    """Hubs that send no parts: the next file need not be asked for."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, requests: int, nbytes: int) -> None:
        """Add to them."""
        with self._lock:
            self.requests += requests
            self.nbytes += nbytes


class RemoteFileParts(io.RawIOBase):
    """A file on the hub that is fetched in parts, where a reader looks at it.

    Args:
        repo: the repository.
        commit: 40 hex digits.
        file: what is listed for it.
        traffic: is added to.

    Raises:
        NoParts: while reading, where the server sends no parts.
        BenchError: while reading: the hub does not answer, the file has another size than is
            listed, or more than `LIMIT` of it is asked for.
    """

    def __init__(self, repo: Repo, commit: str, file: RemoteFile, traffic: Traffic) -> None:
        super().__init__()
        self._repo, self._commit, self._file, self._traffic = repo, commit, file, traffic
        self._at, self._got = 0, 0
        self._parts: list[tuple[int, bytes]] = []

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go there; nothing is fetched."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes; -1 for all that are left."""
        left = max(0, self._file.size - self._at)
        size = left if size is None or size < 0 else min(size, left)
        if size == 0:
            return b""
        for start, part in self._parts:
            if start <= self._at and self._at + size <= start + len(part):
                found = part[self._at - start : self._at - start + size]
                break
        else:
            found = self._fetch(size)
        self._at += len(found)
        return found

    def _fetch(self, size: int) -> bytes:
        total = self._file.size
        # Readers of a footer come from the end, others from the front.
        start = max(0, min(self._at, total - BLOCK)) if self._at + BLOCK > total else self._at
        stop = min(total, max(self._at + size, start + BLOCK))
        if self._got + stop - start > LIMIT:
            raise BenchError(
                f"{self._file.path} of {self._repo.id} to say what it holds in {LIMIT >> 20} MiB",
                f"{stop - start} bytes more to read",
                "report it: it is damaged, or no file of this kind",
                code=5,
            )
        part: bytes | None = ask(self._repo, self._file.path, lambda: self._get(start, stop))
        if part is None:
            raise NoParts
        self._got += len(part)
        self._parts.append((start, part))
        if len(part) < stop - start:
            raise self._other_size(start + len(part))
        return part[self._at - start : self._at - start + size]

    def _get(self, start: int, stop: int) -> bytes | None:
        """The bytes from start to stop, None where the server sends no parts."""
        from huggingface_hub import get_session, hf_hub_url
        from huggingface_hub.utils._headers import build_hf_headers
        from huggingface_hub.utils._http import hf_raise_for_status

        if start > 0 and endpoint() in self._traffic.whole:
            return None
        url = hf_hub_url(
            self._repo.id, self._file.path, repo_type=self._repo.kind, revision=self._commit
        )
        asked = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        with get_session().stream("GET", url, headers={**build_hf_headers(), **asked}) as answer:
            self._traffic.count(1 + len(answer.history), 0)
            hf_raise_for_status(answer)
            if not self._is_part(answer, start):
                self._traffic.whole.add(endpoint())
                return None
            got = bytearray()
            for piece in answer.iter_bytes():
                LISTENER.heard()
                got += piece
                if len(got) >= stop - start:  # of a whole file, no more is read
                    break
        self._traffic.count(0, len(got))
        return bytes(got[: stop - start])

    def _is_part(self, answer: Any, start: int) -> bool:
        """Whether it is what was asked for; raises BenchError for a file of another size."""
        if answer.status_code == 206:
            said = RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if said is None or int(said[1]) != start:
                return False
            size = int(said[3])
        elif start > 0:
            return False
        else:
            size = int(answer.headers.get("Content-Length", self._file.size))
            size = self._file.size if answer.headers.get("Content-Encoding") else size
        if size != self._file.size:
            raise self._other_size(size)
        return True

    def _other_size(self, size: int) -> BenchError:
        return BenchError(
            f"{self._file.path} of {self._repo.id} with {self._file.size} bytes, as is listed",
            f"{size} bytes",
            "set HF_ENDPOINT to another mirror or look whether the repository was rewritten, then "
            f"repeat `{self._repo.command}`",
            code=5,
        )
