"""A server on the loopback that plays the hub: repositories with branches and commits, large files, rights, failures.

It answers what huggingface_hub calls to read and to publish models, as the hub answers it; what was asked is kept in
`requests`. Connections are cut and requests refused as `FakeHub`'s fields say.
"""

import base64
import hashlib
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".jpg", ".bin")
"""Files that are stored outside of git."""


@dataclass
class Repository:
    private: bool = False
    gated: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        """Add `files` to those of a branch, and return the new commit."""
        before = self.branches.get(branch, "")
        number = hashlib.sha1(f"{before}{len(self.commits)}".encode()).hexdigest()
        self.commits[number] = {**self.commits.get(before, {}), **files}
        self.branches[branch] = number
        return number

    def find(self, revision: str) -> str | None:
        commit = self.branches.get(revision, revision)
        return commit if commit in self.commits else None


@dataclass
class FakeHub:
    users: dict[str, str] = field(default_factory=lambda: {"hf_writer": "zaphod"})
    """Token -> its user, who may write below the own name."""
    repositories: dict[str, Repository] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    """Content of large files by their SHA-256."""
    requests: list[str] = field(default_factory=list)
    uploaded: Counter[str] = field(default_factory=Counter)
    """How often each large file's content was sent to its end."""
    cuts: dict[str, int] = field(default_factory=dict)
    """Method -> how many of its next transfers of large files are cut in the middle."""
    failing: int | None = None
    """Status of every answer, where the hub is down."""
    endpoint: str = ""

    def add(
        self, name: str, files: dict[str, bytes], branch: str = "main", private: bool = False, gated: bool = False
    ) -> str:
        repository = self.repositories.setdefault(name, Repository(private, gated))
        for path, content in files.items():
            if path.endswith(LARGE):
                self.stored[hashlib.sha256(content).hexdigest()] = content
        return repository.commit(branch, files)

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        repository = self.repositories[name]
        return repository.commits[repository.branches[branch]]


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Let `hub` answer at its `endpoint` inside the block."""

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _RefusedError(Exception):
    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_PUT(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        try:
            if self.command == "PUT":
                self.store(path.rpartition("/")[2])
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.hub.failing is not None:
                raise _RefusedError(self.hub.failing)
            self.route(path, body)
        except _RefusedError as refused:
            headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.message}
            content = json.dumps({"error": refused.message}).encode()
            self.send(refused.status, content, {name: value for name, value in headers.items() if value})

    def route(self, path: str, body: bytes) -> None:
        if path == "/api/repos/create":
            self.create(json.loads(body))
        elif path == "/api/validate-yaml":
            self.send_json({"warnings": [], "errors": []})
        elif match := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            self.repository(match[1], writes=True)
            objects = [self.upload_of(each) for each in json.loads(body)["objects"]]
            self.send_json({"transfer": "basic", "objects": objects})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self.send_info(match[1], match[2] or "main")
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(branch|preupload|commit)/(.+)", path):
            repository = self.repository(match[1], writes=True)
            getattr(self, f"post_{match[2]}")(repository, match[1], match[3], body)
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/(.+)/([^/]+)", path):
            self.resolve(*match.groups())
        elif match := re.fullmatch(r"/stored/([0-9a-f]{64})", path):
            self.send_file(self.hub.stored[match[1]], {"ETag": f'"{match[1]}"'})
        else:
            raise _RefusedError(404, message=f"no such page: {path}")

    @property
    def user(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.users:
            raise _RefusedError(401, message="Invalid credentials in Authorization header")
        return self.hub.users.get(token)

    def repository(self, name: str, writes: bool = False) -> Repository:
        repository, owner = self.hub.repositories.get(name), name.partition("/")[0]
        user = self.user
        if writes and user is None:
            raise _RefusedError(401, message="Invalid username or password.")
        if repository is None or (repository.private and user != owner):
            raise _RefusedError(404 if user else 401, "RepoNotFound", "Repository not found")
        if writes and user != owner:
            raise _RefusedError(403, message=f"You don't have the rights to write to {name}")
        if repository.gated and user != owner and not writes:
            raise _RefusedError(403 if user else 401, "GatedRepo", "Access to this model is restricted")
        return repository

    def create(self, asked: dict[str, Any]) -> None:
        user, owner = self.user, asked.get("organization")
        if user is None:
            raise _RefusedError(401, message="Invalid username or password.")
        if owner not in (None, user):
            raise _RefusedError(403, message=f"You don't have the rights to create a model under the namespace {owner}")
        name = f"{user}/{asked['name']}"
        url = f"{self.hub.endpoint}/{name}"
        if name in self.hub.repositories:
            self.send(409, json.dumps({"error": "You already created this model repo", "url": url}).encode(), {})
            return
        self.hub.add(
            name, {".gitattributes": b"*.safetensors filter=lfs\n"}, private=asked.get("visibility") == "private"
        )
        self.send_json({"url": url})

    def send_info(self, name: str, revision: str) -> None:
        repository = self.repository(name)
        if (commit := repository.find(revision)) is None:
            raise _RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        siblings = [{"rfilename": path} for path in repository.commits[commit]]
        self.send_json({"id": name, "sha": commit, "private": repository.private, "siblings": siblings})

    def post_branch(self, repository: Repository, name: str, branch: str, body: bytes) -> None:
        if branch in repository.branches:
            raise _RefusedError(409, message="Reference already exists")
        repository.branches[branch] = repository.branches["main"]
        self.send_json({})

    def post_preupload(self, repository: Repository, name: str, revision: str, body: bytes) -> None:
        if (commit := repository.find(revision)) is None:
            raise _RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        there = repository.commits[commit]
        self.send_json({"files": [
            {
                "path": (path := file["path"]), "shouldIgnore": False,
                "uploadMode": "lfs" if path.endswith(LARGE) else "regular",
                **({"oid": _object_id(path, there[path])} if path in there else {}),
            }
            for file in json.loads(body)["files"]
        ]})  # fmt: skip

    def upload_of(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return where to send a large file; nothing where its content is there already."""
        known = {"oid": asked["oid"], "size": asked["size"]}
        if asked["oid"] in self.hub.stored:
            return known
        return {**known, "actions": {"upload": {"href": f"{self.hub.endpoint}/stored/{asked['oid']}"}}}

    def store(self, number: str) -> None:
        size = int(self.headers["Content-Length"])
        if self.cuts("PUT"):
            self.rfile.read(size // 2)
            self.cut()
            return
        content = self.rfile.read(size)
        assert hashlib.sha256(content).hexdigest() == number
        self.hub.stored[number] = content
        self.hub.uploaded[number] += 1
        self.send(200, b"", {})

    def post_commit(self, repository: Repository, name: str, branch: str, body: bytes) -> None:
        files: dict[str, bytes] = {}
        removed: set[str] = set()
        for line in body.splitlines():
            change = json.loads(line)
            value = change["value"]
            if change["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif change["key"] == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
            elif change["key"] == "deletedFile":
                removed.add(value["path"])
        commit = repository.commit(branch, files)
        for path in removed:
            del repository.commits[commit][path]
        self.send_json({"commitUrl": f"{self.hub.endpoint}/{name}/commit/{commit}", "commitOid": commit})

    def resolve(self, name: str, revision: str, path: str) -> None:
        repository = self.repository(name)
        if (commit := repository.find(revision)) is None:
            raise _RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if (content := repository.commits[commit].get(path)) is None:
            raise _RefusedError(404, "EntryNotFound", "Entry not found")
        number = _object_id(path, content)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{number}"'}
        if path.endswith(LARGE):
            headers |= {"X-Linked-ETag": f'"{number}"', "X-Linked-Size": str(len(content))}
            elsewhere = self.hub.endpoint.replace("127.0.0.1", "localhost")  # the hub's store has another host
            self.send(302, b"", {**headers, "Location": f"{elsewhere}/stored/{number}"})
        else:
            self.send_file(content, headers)

    def send_file(self, content: bytes, headers: dict[str, str]) -> None:
        status = 200
        if wanted := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start, status = int(wanted[1]), 206
            headers |= {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            content = content[start:]
        if self.command == "GET" and self.cuts("GET"):
            self.send_head(status, len(content), headers)
            self.wfile.write(content[: len(content) // 2])
            self.cut()
            return
        self.send(status, content, headers)

    def cuts(self, method: str) -> bool:
        self.hub.cuts[method] = self.hub.cuts.get(method, 0) - 1
        return self.hub.cuts[method] >= 0

    def cut(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def send_json(self, value: Any) -> None:
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_head(status, len(content), headers)
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_head(self, status: int, size: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(size)}.items():
            self.send_header(name, value)
        self.end_headers()


def _object_id(path: str, content: bytes) -> str:
    """Return a file's name in the store: by its content for large ones, else git's."""
    if path.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
