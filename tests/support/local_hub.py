"""A small Hugging Face hub on 127.0.0.1, with faults on request.

It speaks as much of the hub's protocol as the unmodified `huggingface_hub` and `datasets` need with
HF_ENDPOINT pointing at it. A second port plays the CDN: the clients follow a redirect of the first
request to a file only while it stays on the hub's own origin, and so would skip half their code.

    python tests/support/local_hub.py [--port N] [--folder DIR]
"""

import argparse
import hashlib
import json
import re
import shutil
import socket
import struct
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

Kind = Literal["dataset", "model"]
Body = Literal["stall", "cut", "reset", "short", "flip"]
Only = Literal["GET", "HEAD", "api"]

ALLOWED = "hf_allowed"  # the one token with access to gated repositories
STALL = 60.0  # seconds
LFS_FROM = 1024  # bytes; smaller files are git blobs unless their suffix says otherwise
LFS_SUFFIXES = {".bin", ".jpg", ".parquet", ".png", ".pt", ".safetensors", ".tar", ".zip"}
EXPANDED_PAGE = 50  # entries; the hub's own limit once last commits are asked for
AGENTS = "/api/agent-harnesses"  # asked when the client runs in a coding agent: not on the record
SHA = re.compile(r"[0-9a-f]{40}")
RANGE = re.compile(r"bytes=(\d*)-(\d*)")
REVISION = r"(?P<rev>refs/(?:convert|pr|heads|tags)/[^/]+|[^/]+)"  # quoted or not
RESOLVE = re.compile(
    rf"/(?P<kind>datasets/)?(?P<repo>[^/]+(?:/[^/]+)?)/resolve/{REVISION}/(?P<path>.+)"
)
API = re.compile(
    r"/api/(?P<kind>dataset|model)s/(?P<repo>[^/]+(?:/[^/]+)??)"
    rf"(?:/(?P<what>revision|tree|paths-info|commits)/{REVISION}(?:/(?P<path>.+))?|/(?P<refs>refs))?"
)


@dataclass(frozen=True)
class Blob:
    """The content of one file, as git and LFS name it."""

    at: Path
    size: int
    sha256: str
    oid: str  # git's sha1, of the pointer for an LFS file
    pointer: int | None  # size of the LFS pointer; None for a plain git blob

    @property
    def etag(self) -> str:
        return self.oid if self.pointer is None else self.sha256


@dataclass(frozen=True)
class Commit:
    """A named, dated list of files."""

    sha: str
    date: str
    title: str
    files: dict[str, Blob]

    @property
    def last(self) -> dict[str, str]:
        return {"id": self.sha, "title": self.title, "date": self.date}


@dataclass
class Repo:
    """All commits of a repository, and which of them each ref has gone through."""

    kind: Kind
    name: str
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    history: dict[str, list[str]] = field(default_factory=dict)  # per ref, oldest first

    def find(self, revision: str) -> Commit | None:
        for ref in (revision, revision.removeprefix("refs/heads/"), f"refs/tags/{revision}"):
            if shas := self.history.get(ref):
                return self.commits[shas[-1]]
        return self.commits.get(revision)  # whole ids only: the hub takes no prefixes

    def log(self, commit: Commit) -> list[Commit]:
        """The commit and those before it, newest first."""
        for shas in self.history.values():
            if commit.sha in shas:
                return [self.commits[s] for s in reversed(shas[: shas.index(commit.sha) + 1])]
        return [commit]


@dataclass
class Download:
    """A file body that was sent, or as much of it as went out."""

    repo: str
    path: str
    start: int
    sent: int = 0
    part: bool = False  # what a Range asked for


@dataclass
class Fault:
    """What goes wrong, where, and how often yet."""

    kind: Body | int
    path: str
    left: int | None
    after: int
    only: Only | None
    code: str | None
    retry_after: int | None


@dataclass
class Reply:
    """An answer before any fault of the transport."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Blob = b""
    download: Download | None = None


class Refused(Exception):
    """An error answer with the headers that the clients read."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        extra = {"X-Error-Code": code} if code else {}
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        self.reply = Reply(
            status,
            {"Content-Type": "application/json", "X-Error-Message": message, **extra, **named},
            json.dumps({"error": message}).encode(),
        )


@dataclass
class Request:
    """A request taken apart far enough to know what it is about."""

    method: str
    target: str
    headers: Message
    body: bytes
    cdn: bool

    def __post_init__(self) -> None:
        parts = urlsplit(self.target)
        self.raw = parts.path
        self.query = parse_qs(parts.query)
        self.file: tuple[Kind, str, str, str] | None = None  # kind, repository, revision, path
        if self.cdn:
            if of := self.query.get("of"):
                kind, repo, rev, path = of[0].split("|", 3)
                self.file = ("model" if kind == "model" else "dataset", repo, rev, path)
        elif not self.raw.startswith("/api/") and (m := RESOLVE.fullmatch(self.raw)):
            of_kind: Kind = "dataset" if m["kind"] else "model"
            self.file = (of_kind, unquote(m["repo"]), unquote(m["rev"]), unquote(m["path"]))

    @property
    def token(self) -> str | None:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return token or None if scheme.lower() == "bearer" else None

    @property
    def subject(self) -> str:
        """What the path of a fault is looked for in."""
        return f"{self.file[1]}/{self.file[3]}" if self.file else unquote(self.raw)

    @property
    def where(self) -> str:
        return self.method if self.file else "api"

    def flag(self, name: str) -> bool:
        return self.query.get(name, ["false"])[0].lower() in {"1", "true"}


class LocalHub:
    """Repositories served at `url` while the `with` block lasts; blobs are kept in `folder`."""

    def __init__(self, folder: str | Path, *, port: int = 0, page_size: int = 1000) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = port
        self.page_size = page_size
        self.rate: float | None = None  # bytes per second of every file body
        self.ranges = True  # else files are sent as a whole, whatever a Range asks for
        self.latency = 0.0  # seconds before every answer
        self.requests: list[tuple[str, str]] = []
        self.errors: list[str] = []  # tracebacks of the hub itself; each was a 500 to the client
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._repos: dict[tuple[Kind, str], Repo] = {}
        self._faults: list[Fault] = []
        self._downloads: list[Download] = []
        self._servers: list[_Server] = []

    # -- life ------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.closing.clear()
        self._servers = [_Server(self, self.port, cdn=False), _Server(self, 0, cdn=True)]
        for server in self._servers:
            server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        for server in self._servers:
            server.stop()
        self._servers = []

    @property
    def url(self) -> str:
        return self._servers[0].url

    @property
    def cdn_url(self) -> str:
        return self._servers[1].url

    # -- content ---------------------------------------------------------------------------------

    def add(
        self,
        repo_id: str,
        files: Mapping[str, bytes | Path],
        *,
        kind: Kind = "dataset",
        revision: str | None = None,
        ref: str = "main",
        gated: bool = False,
        refs: Mapping[str, str] | None = None,
    ) -> str:
        """Make a commit of `files` the head of `ref`; gives its id."""
        blobs = {path: self._store(path, content) for path, content in sorted(files.items())}
        if revision is None:
            listing = "".join(f"{path}\0{blob.sha256}\n" for path, blob in blobs.items())
            revision = hashlib.sha1(f"{repo_id}\n{listing}".encode()).hexdigest()
        if not SHA.fullmatch(revision):
            raise ValueError(f"{revision!r} is not a commit id")
        with self._lock:
            repo = self._repos.setdefault((kind, repo_id), Repo(kind, repo_id))
            repo.gated = gated
            date = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=len(repo.commits))
            stamp = date.strftime("%Y-%m-%dT%H:%M:%S.000Z")
            title = f"Upload {len(blobs)} files"
            repo.commits[revision] = Commit(revision, stamp, title, blobs)
            for name, sha in {ref: revision, **(refs or {})}.items():
                if sha not in repo.commits:
                    raise ValueError(f"{repo_id} has no commit {sha} for {name}")
                shas = repo.history.setdefault(name, [])
                if sha in shas:
                    shas.remove(sha)
                shas.append(sha)
        return revision

    def forget(self, repo_id: str, revision: str | None = None, *, kind: Kind = "dataset") -> None:
        """Drop a repository, or one commit; a ref at that commit falls back to the one before."""
        with self._lock:
            if revision is None:
                del self._repos[kind, repo_id]
                return
            repo = self._repos[kind, repo_id]
            del repo.commits[revision]
            for name, shas in list(repo.history.items()):
                repo.history[name] = [sha for sha in shas if sha != revision]

    def _store(self, path: str, content: bytes | Path) -> Blob:
        if isinstance(content, bytes):
            sha256, size = hashlib.sha256(content).hexdigest(), len(content)
        else:
            with content.open("rb") as file:
                sha256, size = hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
        at = self.folder / sha256
        if not at.exists():
            if isinstance(content, bytes):
                at.write_bytes(content)
            else:
                shutil.copyfile(content, at)
        if size > LFS_FROM or Path(path).suffix.lower() in LFS_SUFFIXES:
            text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
            return Blob(at, size, sha256, _git_oid(text.encode()), len(text))
        return Blob(at, size, sha256, _git_oid(at.read_bytes()), None)

    # -- faults and records ----------------------------------------------------------------------

    def fail(
        self,
        kind: Body | int,
        path: str = "",
        *,
        times: int | None = 1,
        after: int = 0,
        only: Only | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Let requests whose `owner/name/file path` (or API path) contains `path` go wrong.

        A number is an HTTP status, for any request unless `only` says which, with `code` as its
        X-Error-Code. The others hit the bodies of files, or what `only` names: "stall" goes silent
        and "cut" (a clean end) or "reset" (an RST) closes the connection after `after` bytes,
        "short" is whole but `after` bytes too short, "flip" changes one byte (at `after`, or in the
        middle). `times=None` is for ever.
        """
        if retry_after is None and kind == 429:
            retry_after = 1
        with self._lock:
            self._faults.append(Fault(kind, path, times, after, only, code, retry_after))

    def calm(self) -> None:
        """Remove all faults."""
        self.ranges, self.latency = True, 0.0
        with self._lock:
            self._faults.clear()

    def downloads(self) -> list[Download]:
        """The file bodies sent since the start, by GET."""
        with self._lock:
            return list(self._downloads)

    def _fault(self, request: Request, *, status: bool) -> Fault | None:
        """The first fault that this request meets, which is used up once."""
        with self._lock:
            for fault in self._faults:
                if isinstance(fault.kind, int) is not status or fault.left == 0:
                    continue
                wanted = fault.only or (request.where if status else "GET")
                if wanted == request.where and fault.path in request.subject:
                    if fault.left is not None:
                        fault.left -= 1
                    return fault
        return None

    # -- answers ---------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Reply:
        if request.token and not request.token.startswith("hf_"):
            raise Refused(401, "Invalid credentials in Authorization header")
        if request.cdn:
            return self._cdn(request)
        if request.raw == "/api/whoami-v2":
            if request.token is None:
                raise Refused(401, "Invalid username or password.")
            return _json({"type": "user", "id": "0", "name": "tester", "orgs": [], "auth": {}})
        if request.file:
            return self._resolve(request, *request.file)
        if m := API.fullmatch(request.raw):
            kind: Kind = "model" if m["kind"] == "model" else "dataset"
            repo = self._repo(request, kind, unquote(m["repo"]))
            if m["refs"]:
                return _json(_refs(repo, pulls=request.flag("include_prs")))
            commit = self._commit(repo, unquote(m["rev"]) if m["rev"] else "main")
            match m["what"]:
                case "tree":
                    return self._tree(request, commit, unquote(m["path"] or ""))
                case "paths-info" if request.method == "POST":
                    return _paths_info(request, commit)
                case "commits":
                    log = [
                        {**c.last, "message": "", "authors": [{"user": "tester"}]}
                        for c in repo.log(commit)
                    ]
                    return self._page(request, log, min(self.page_size, EXPANDED_PAGE))
                case None | "revision":
                    return _json(_info(request, repo, commit))
        raise Refused(404, "Sorry, we can't find the page you are looking for.")

    def _repo(self, request: Request, kind: Kind, name: str) -> Repo:
        with self._lock:
            repo = self._repos.get((kind, name))
        if repo is None:  # a stranger is not told whether a private one has this name
            if request.token is None:
                raise Refused(401, "Invalid username or password.", "RepoNotFound")
            raise Refused(404, "Repository not found", "RepoNotFound")
        return repo

    def _commit(self, repo: Repo, revision: str) -> Commit:
        with self._lock:
            commit = repo.find(revision)
        if commit is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def _resolve(self, request: Request, kind: Kind, name: str, rev: str, path: str) -> Reply:
        repo = self._repo(request, kind, name)
        if repo.gated and request.token != ALLOWED:
            what = f"Access to {kind} {name} is restricted"
            if request.token is None:
                why = "You must have access to it and be authenticated to access it. Please log in."
                raise Refused(401, f"{what}. {why}", "GatedRepo")
            raise Refused(403, f"{what} and you are not in the authorized list.", "GatedRepo")
        commit = self._commit(repo, rev)
        blob = commit.files.get(path)
        if blob is None:
            raise Refused(404, "Entry not found", "EntryNotFound", X_Repo_Commit=commit.sha)
        headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        if blob.pointer is not None:
            of = urlencode({"of": f"{kind}|{name}|{commit.sha}|{path}"})
            location = f"{self.cdn_url}/cdn/{blob.sha256}?{of}"
            linked = {"X-Linked-Size": str(blob.size), "X-Linked-ETag": f'"{blob.sha256}"'}
            return Reply(302, {**headers, **linked, "Location": location}, b"Found.")
        return self._file(request, blob, headers, Download(name, path, 0))

    def _cdn(self, request: Request) -> Reply:
        if request.headers.get("Authorization"):  # a signed url is authorization enough
            raise Refused(400, "Only one auth mechanism allowed")
        with self._lock:
            repo = self._repos.get(request.file[:2]) if request.file else None
        commit = repo.commits.get(request.file[2]) if repo and request.file else None
        blob = commit.files.get(request.file[3]) if commit and request.file else None
        if not (blob and request.file and request.raw == f"/cdn/{blob.sha256}"):
            raise Refused(403, "Access denied")
        headers = {"Accept-Ranges": "bytes"}
        return self._file(request, blob, headers, Download(request.file[1], request.file[3], 0))

    def _file(
        self, request: Request, blob: Blob, headers: dict[str, str], download: Download
    ) -> Reply:
        headers |= {"ETag": f'"{blob.etag}"', "Content-Type": "application/octet-stream"}
        asked = RANGE.fullmatch(request.headers.get("Range", ""))
        if asked is None or not any(asked.groups()) or not self.ranges:
            return Reply(200, headers, blob, download)
        first, last = asked.groups()
        start = int(first) if first else max(0, blob.size - int(last))
        stop = min(int(last) + 1, blob.size) if first and last else blob.size
        if start >= stop:
            raise Refused(416, "Range not satisfiable", Content_Range=f"bytes */{blob.size}")
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{blob.size}"
        download.start, download.part = start, True
        return Reply(206, headers | {"Content-Length": str(stop - start)}, blob, download)

    def _tree(self, request: Request, commit: Commit, folder: str) -> Reply:
        folder = folder.strip("/")
        paths = _below(commit, folder)
        if folder and not paths:
            message = f"{folder} does not exist on {commit.sha}"
            raise Refused(404, message, "EntryNotFound", X_Repo_Commit=commit.sha)
        if not request.flag("recursive"):
            depth = folder.count("/") + 1 if folder else 0
            paths = [path for path in paths if path.count("/") == depth]
        expand = request.flag("expand")
        entries = [_entry(commit, path, expand=expand) for path in paths]
        size = min(self.page_size, EXPANDED_PAGE) if expand else self.page_size
        return self._page(request, entries, size)

    def _page(self, request: Request, entries: list[dict[str, Any]], size: int) -> Reply:
        start = int(request.query.get("cursor", ["0"])[0])
        reply = _json(entries[start : start + size])
        if start + size < len(entries):
            query = {key: value[0] for key, value in request.query.items()}
            more = urlencode({**query, "cursor": str(start + size)})
            reply.headers["Link"] = f'<{self.url}{request.raw}?{more}>; rel="next"'
        return reply


def _git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _json(value: object) -> Reply:
    return Reply(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


def _below(commit: Commit, folder: str) -> list[str]:
    """Files and folders below `folder` ("" is the root), at any depth, sorted."""
    prefix = f"{folder}/" if folder else ""
    found = set()
    for path in commit.files:
        if path.startswith(prefix):
            parts = path[len(prefix) :].split("/")
            found |= {prefix + "/".join(parts[: i + 1]) for i in range(len(parts))}
    return sorted(found)


def _entry(commit: Commit, path: str, *, expand: bool) -> dict[str, Any]:
    """A file or folder as tree and paths-info list it."""
    blob = commit.files.get(path)
    last = {"lastCommit": commit.last} if expand else {}
    if blob is None:
        oid = hashlib.sha1(f"{commit.sha}/{path}".encode()).hexdigest()
        return {"type": "directory", "oid": oid, "size": 0, "path": path, **last}
    entry = {"type": "file", "oid": blob.oid, "size": blob.size, "path": path, **last}
    if blob.pointer is not None:
        entry["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": blob.pointer}
    if expand:
        scans = {"avScan": None, "pickleImportScan": None}
        entry["securityFileStatus"] = {"status": "safe", **scans}
    return entry


def _paths_info(request: Request, commit: Commit) -> Reply:
    if request.headers.get("Content-Type", "").startswith("application/json"):
        asked = json.loads(request.body)
        paths, expand = asked["paths"], bool(asked.get("expand"))
    else:
        pairs = parse_qsl(request.body.decode())
        paths = [value for key, value in pairs if key == "paths"]
        expand = ("expand", "true") in [(key, value.lower()) for key, value in pairs]
    known = set(_below(commit, ""))
    return _json([_entry(commit, path, expand=expand) for path in paths if path in known])


def _info(request: Request, repo: Repo, commit: Commit) -> dict[str, Any]:
    siblings = []
    for path, blob in commit.files.items():
        item: dict[str, Any] = {"rfilename": path}
        if request.flag("blobs"):
            item |= {"size": blob.size, "blobId": blob.oid}
            if blob.pointer is not None:
                lfs = {"sha256": blob.sha256, "size": blob.size, "pointerSize": blob.pointer}
                item["lfs"] = lfs
        siblings.append(item)
    head = {"_id": hashlib.sha1(repo.name.encode()).hexdigest()[:24], "id": repo.name}
    info = {
        "author": repo.name.split("/")[0],
        "sha": commit.sha,
        "lastModified": commit.date,
        "createdAt": next(iter(repo.commits.values())).date,
        "private": False,
        "gated": "auto" if repo.gated else False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "cardData": {},
        "siblings": siblings,
        "usedStorage": sum(blob.size for blob in commit.files.values()),
    }
    if repo.kind == "model":
        head["modelId"] = repo.name
    if wanted := {*request.query.get("expand", []), *request.query.get("expand[]", [])}:
        return head | {key: value for key, value in info.items() if key in wanted}
    return head | info


def _refs(repo: Repo, *, pulls: bool) -> dict[str, Any]:
    groups: dict[str, Any] = {"branches": [], "converts": [], "tags": []}
    if pulls:
        groups["pullRequests"] = []
    keys = {"convert": "converts", "tags": "tags", "pr": "pullRequests", "heads": "branches"}
    for name, shas in repo.history.items():
        ref = name if name.startswith("refs/") else f"refs/heads/{name}"
        _, group, short = ref.split("/", 2)
        if shas and keys[group] in groups:
            item = {"name": short, "ref": ref, "targetCommit": shas[-1]}
            groups[keys[group]].append(item)
    return groups


# -- transport -----------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    """One port; it can end its open connections, which keep-alive clients would hold for ever."""

    daemon_threads = True
    request_queue_size = 64
    allow_reuse_address = True

    def __init__(self, hub: LocalHub, port: int, *, cdn: bool) -> None:
        self.hub = hub
        self.cdn = cdn
        self.open: dict[socket.socket, threading.Thread] = {}
        super().__init__(("127.0.0.1", port), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.shutdown()
        self.thread.join()
        for connection, thread in list(self.open.items()):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(5)
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are the point of some tests: only the hub's own errors count."""
        if not isinstance(sys.exception(), OSError):
            self.hub.errors.append(traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    connection: socket.socket
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self.server.open[self.request] = threading.current_thread()
        super().setup()

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self.server.open.pop(self.request, None)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        hub = self.server.hub
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == AGENTS:
            self._send(Refused(404, "Not found").reply, None)
            return
        hub.requests.append((self.command, self.path))
        hub.closing.wait(hub.latency)
        fault = None
        try:
            request = Request(self.command, self.path, self.headers, body, self.server.cdn)
            if (refusal := hub._fault(request, status=True)) is not None:
                wait = refusal.retry_after
                headers = {} if wait is None else {"Retry_After": str(wait)}
                message = f"Injected {refusal.kind}"
                raise Refused(int(refusal.kind), message, refusal.code, **headers)
            reply = hub._answer(request)
            if request.where == "api" or request.method == "HEAD" or reply.download:
                fault = hub._fault(request, status=False)
        except Refused as refused:
            reply = refused.reply
        except Exception:
            hub.errors.append(traceback.format_exc())
            reply = Refused(500, "The local hub is broken; see LocalHub.errors").reply
        self._send(reply, fault)

    def _send(self, reply: Reply, fault: Fault | None) -> None:
        hub = self.server.hub
        kind = fault.kind if fault else None
        after = fault.after if fault else 0
        if self.command == "HEAD" and kind in {"stall", "cut", "reset"}:
            self._break(str(kind))  # a HEAD has no body to spoil, so it is not answered at all
            return
        body = reply.body
        size = body.size if isinstance(body, Blob) else len(body)
        start = reply.download.start if reply.download else 0
        length = int(reply.headers.pop("Content-Length", size))
        if kind == "short":
            length = max(0, length - max(1, after))
        self.send_response(reply.status)
        for key, value in reply.headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command == "HEAD":
            return
        stop = min(after, length) if kind in {"stall", "cut", "reset"} else length
        flip = min(after or length // 2, length - 1) if kind == "flip" else None
        if reply.download:
            with hub._lock:
                hub._downloads.append(reply.download)
        sent = 0
        for piece in _pieces(body, start, start + stop, hub.rate):
            if flip is not None and sent <= flip < sent + len(piece):
                spoiled = bytearray(piece)
                spoiled[flip - sent] ^= 0xFF
                piece = bytes(spoiled)
            self.wfile.write(piece)
            sent += len(piece)
            if reply.download:
                reply.download.sent = sent
                if hub.rate and hub.closing.wait(len(piece) / hub.rate):
                    self.close_connection = True
                    return
        if kind in {"stall", "cut", "reset"}:
            self._break(str(kind))

    def _break(self, kind: str) -> None:
        self.close_connection = True
        if kind == "stall":
            self.server.hub.closing.wait(STALL)
        elif kind == "reset":
            linger = struct.pack("ii", 1, 0)  # close() then sends RST in place of FIN
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.rfile.close()  # it holds the socket open
            self.connection.close()


def _pieces(body: bytes | Blob, start: int, stop: int, rate: float | None) -> Iterator[bytes]:
    """The bytes from start to stop, in pieces of about a twentieth of a second."""
    step = max(1, min(1 << 18, int(rate / 20))) if rate else 1 << 18
    if isinstance(body, bytes):
        if stop > start:
            yield body[start:stop]
        return
    with body.at.open("rb") as file:
        file.seek(start)
        for at in range(start, stop, step):
            yield file.read(min(step, stop - at))


def main() -> None:
    import hub_repos  # beside this file, which is on the path when it runs as a script

    parser = argparse.ArgumentParser(description="Serve the test repositories until Ctrl-C.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where blobs are kept (default: temporary)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        hub = LocalHub(options.folder or scratch, port=options.port)
        with hub, suppress(KeyboardInterrupt):
            facts = hub_repos.build(hub)
            print(f"export HF_ENDPOINT={hub.url}", flush=True)  # noqa: T201
            for name, fact in facts.items():
                print(f"# {fact.revision} {name} {fact.rows}", flush=True)  # noqa: T201
            threading.Event().wait()


if __name__ == "__main__":
    main()
