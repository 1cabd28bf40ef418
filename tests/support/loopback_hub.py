"""A stand-in for the Hugging Face Hub on this machine: the real client pushes to it and pulls from it by HF_ENDPOINT.

It keeps repositories in memory, sends large files from another origin as the real one does, can be told to answer
wrongly, and remembers every request. What it does not have: xet, pull requests, more than one branch, datasets.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from loopback_faults import ALL, Answer, Fault, as_json, break_connection, refused
from loopback_repositories import Repository, facts, is_large, oid

WRITER, READER = "hf_writer_secret", "hf_reader_secret"
OWNERS = {WRITER: {"owner", "team"}, READER: set()}
NAME = r"(?P<name>[\w.-]+/[\w.-]+)"
ROUTES = [
    ("create", "POST", r"/api/repos/create"),
    ("yaml", "POST", r"/api/validate-yaml"),
    ("info", "GET", rf"/api/(?:models|spaces)/{NAME}(?:/revision/(?P<revision>.+))?"),
    ("list", "GET", r"/api/models"),
    ("preupload", "POST", rf"/api/(?:models|spaces)/{NAME}/preupload/(?P<revision>.+)"),
    ("commit", "POST", rf"/api/(?:models|spaces)/{NAME}/commit/(?P<revision>.+)"),
    ("tag", "POST", rf"/api/models/{NAME}/tag/(?P<revision>.+)"),
    ("batch", "POST", rf"(?:/spaces)?/{NAME}\.git/info/lfs/objects/batch"),
    ("verify", "POST", rf"(?:/spaces)?/{NAME}\.git/info/lfs/objects/verify"),
    ("put", "PUT", r"/lfs/(?P<oid>[0-9a-f]{64})"),
    ("large", "GET", r"/lfs/(?P<oid>[0-9a-f]{64})"),
    ("small", "HEAD|GET", rf"/api/resolve-cache/models/{NAME}/(?P<revision>\w+)/(?P<path>.+)"),
    ("resolve", "HEAD|GET", rf"/{NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)"),
]


def spot_of(route: str, method: str, path: str) -> str:
    """The name under which a fault is asked for.

    It is the route, but config.json and weights are told apart by what fetches them.
    """
    if route == "resolve":
        return "head weights" if is_large(path) else "redirect"
    return {"small": f"{method.lower()} config", "large": "get weights"}.get(route, route)


class LoopbackHub:
    """Two servers, `endpoint` and the origin of large files, over one state. `faults` are what goes wrong next."""

    def __init__(self):
        self.lock, self.closing = threading.Lock(), threading.Event()
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.log: list[dict] = []
        self.page = 2
        handlers = [type("Origin", (Handler,), {"hub": self, "origin": origin}) for origin in ("api", "cdn")]
        self.servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for handler in handlers]
        self.endpoint, self.cdn = (f"http://127.0.0.1:{server.server_port}" for server in self.servers)
        for server in self.servers:
            server.daemon_threads, server.block_on_close = True, False
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.closing.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def put(self, name: str, files: dict[str, bytes], **facts) -> str:
        """A commit as somebody else would make it; the repository is made if there is none."""
        repository = self.repositories.setdefault(name, Repository(**facts))
        self.large |= {oid(path, data): data for path, data in files.items() if is_large(path)}
        return repository.add(files)

    def requests(self, method: str = "", part: str = "") -> list[dict]:
        return [entry for entry in self.log if entry["method"].startswith(method) and part in entry["path"]]

    def answer(self, method: str, target: str, body: bytes, token: str | None, origin: str) -> Answer:
        path = unquote(urlsplit(target).path)
        routes = [
            (route, re.fullmatch(pattern, path)) for route, methods, pattern in ROUTES if method in methods.split("|")
        ]
        route, match = next(((route, match) for route, match in routes if match), ("unknown", None))
        spot = spot_of(route, method, path)
        with self.lock:  # decided here, sent outside: an answer that stalls must not stop others
            self.log.append({"method": method, "path": path, "spot": spot, "token": token, "origin": origin})
            fault = next((f for f in self.faults if f.spot == spot and f.times != 0), None)
            if fault is not None:
                fault.times -= 1
            if fault is not None and spot in ("put", "commit", "create", "tag") and fault.kind not in ("slow", "lost"):
                answer = Answer(200, b"{}")  # nothing was done
            elif match is None:
                answer = refused(404)
            else:
                answer = getattr(self, f"on_{route}")(match, parse_qs(urlsplit(target).query), body, token)
        if fault is not None and fault.kind == "lost":
            answer.cut, answer.reset = 0, True
        elif fault is not None:
            ALL[fault.kind](answer)
        return answer

    def visible(self, name: str, token: str | None) -> Repository | Answer:
        repository = self.repositories.get(name)
        owner = name.partition("/")[0]
        if token is not None and token not in OWNERS:
            return refused(401, message="Invalid credentials in Authorization header")
        if repository is None or (repository.private and owner not in OWNERS.get(token, ())):
            return refused(404 if token else 401, "RepoNotFound")
        return repository

    def writable(self, name: str, token: str | None) -> Repository | Answer:
        found = self.visible(name, token)
        if isinstance(found, Repository) and name.partition("/")[0] not in OWNERS.get(token, ()):
            return refused(403 if token else 401, message="You don't have the rights to write here")
        return found

    def on_info(self, match, query, body, token) -> Answer:
        repository = self.visible(match["name"], token)
        if isinstance(repository, Answer):
            return repository
        found = repository.files(match["revision"] or "main")
        return as_json(facts(match["name"], repository, *found)) if found else refused(404, "RevisionNotFound")

    def on_list(self, match, query, body, token) -> Answer:
        wanted, words = set(query.get("filter", [])), query.get("search", [""])[0].lower()
        rows = [
            facts(name, r, *r.files("main"))
            for name, r in self.repositories.items()
            if not r.private and words in name.lower()
        ]
        rows = sorted((row for row in rows if wanted <= set(row["tags"])), key=lambda row: -row["downloads"])
        start = int(query.get("cursor", ["0"])[0])
        answer = as_json(rows[start : start + self.page])
        if start + self.page < len(rows):
            following = urlencode({**query, "cursor": [start + self.page]}, doseq=True)
            answer.headers["Link"] = f'<{self.endpoint}/api/models?{following}>; rel="next"'
        return answer

    def on_resolve(self, match, query, body, token) -> Answer:
        repository = self.visible(match["name"], token)
        if isinstance(repository, Answer):
            return repository
        if repository.gated and match["name"].partition("/")[0] not in OWNERS.get(token, ()):
            return refused(403 if token else 401, "GatedRepo")
        if (found := repository.files(match["revision"])) is None:
            return refused(404, "RevisionNotFound")
        sha, path = found[0], match["path"]
        if path not in found[1]:
            return Answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
        data = found[1][path]
        repository.downloads += 1
        headers = {"X-Repo-Commit": sha, "ETag": f'"{oid(path, data)}"'}
        if not is_large(path):
            return Answer(307, b"", headers | {"Location": f"/api/resolve-cache/models/{match['name']}/{sha}/{path}"})
        linked = {"X-Linked-Etag": f'"{oid(path, data)}"', "X-Linked-Size": str(len(data))}
        return Answer(
            302,
            b"",
            headers | linked | {"Location": f"{self.cdn}/lfs/{oid(path, data)}", "ETag": 'W/"of the redirect"'},
        )

    def on_small(self, match, query, body, token) -> Answer:
        data = self.repositories[match["name"]].commits[match["revision"]][match["path"]]
        return Answer(200, data, {"X-Repo-Commit": match["revision"], "ETag": f'"{oid(match["path"], data)}"'})

    def on_large(self, match, query, body, token) -> Answer:
        return Answer(200, self.large[match["oid"]], {"ETag": '"of-the-store"', "Accept-Ranges": "bytes"})

    def on_create(self, match, query, body, token) -> Answer:
        asked = json.loads(body)
        owner = asked.get("organization") or "owner"
        name = f"{owner}/{asked['name']}"
        if token not in OWNERS:
            return refused(401, message="Invalid username or password.")
        if owner not in OWNERS[token]:
            return refused(403, message="You don't have the rights to create a model under this namespace")
        address = {"url": f"{self.endpoint}/{name}", "name": name}
        if name in self.repositories:
            return as_json(address | {"error": "You already created this model repo"}, 409)
        self.repositories[name] = Repository(private=asked.get("visibility") == "private" or bool(asked.get("private")))
        self.repositories[name].add({".gitattributes": b"*.safetensors filter=lfs\n"})
        return as_json(address)

    def on_yaml(self, match, query, body, token) -> Answer:
        return as_json({"errors": [], "warnings": []})

    def on_preupload(self, match, query, body, token) -> Answer:
        repository = self.writable(match["name"], token)
        if isinstance(repository, Answer):
            return repository
        rows = []
        for file in json.loads(body)["files"]:
            path, data = file["path"], repository.head.get(file["path"])
            mode = "lfs" if is_large(path) else "regular"
            rows.append(
                {
                    "path": path,
                    "uploadMode": mode,
                    "shouldIgnore": False,
                    "oid": None if data is None else oid(path, data),
                }
            )
        return as_json({"files": rows})

    def on_batch(self, match, query, body, token) -> Answer:
        repository = self.writable(match["name"], token)
        if isinstance(repository, Answer):
            return repository
        rows = []
        for wanted in json.loads(body)["objects"]:
            verify = f"{self.endpoint}/{match['name']}.git/info/lfs/objects/verify"
            href = {"upload": {"href": f"{self.cdn}/lfs/{wanted['oid']}"}, "verify": {"href": verify}}
            rows.append(wanted | ({} if wanted["oid"] in self.large else {"actions": href}))
        return as_json({"transfer": "basic", "objects": rows})

    def on_put(self, match, query, body, token) -> Answer:
        if hashlib.sha256(body).hexdigest() != match["oid"]:
            return refused(400)
        self.large[match["oid"]] = body
        return Answer()

    def on_verify(self, match, query, body, token) -> Answer:
        return Answer() if json.loads(body)["oid"] in self.large else refused(404)

    def on_commit(self, match, query, body, token) -> Answer:
        repository = self.writable(match["name"], token)
        if isinstance(repository, Answer):
            return repository
        head, *lines = [json.loads(line) for line in body.splitlines()]
        if head["value"].get("parentCommit") not in (None, repository.refs["main"]):
            return refused(412, message="A commit has happened since. Please refresh and try again.")
        files = dict(repository.head)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile" and value["oid"] in self.large:
                files[value["path"]] = self.large[value["oid"]]
            elif line["key"] == "deletedFile":
                files.pop(value["path"])
            else:
                return refused(400)
        sha = repository.add(files)
        return as_json(
            {
                "success": True,
                "commitOid": sha,
                "commitUrl": f"{self.endpoint}/{match['name']}/commit/{sha}",
                "hookOutput": "",
            }
        )

    def on_tag(self, match, query, body, token) -> Answer:
        repository = self.writable(match["name"], token)
        if isinstance(repository, Answer):
            return repository
        tag = json.loads(body)["tag"]
        if tag in repository.refs:
            return refused(409, message="Tag reference exists already")
        repository.refs[tag] = match["revision"]
        return Answer()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: LoopbackHub
    origin: str

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.send(self.hub.answer(self.command, self.path, body, token, self.origin))

    do_HEAD = do_POST = do_PUT = do_GET

    def send(self, answer: Answer) -> None:
        if answer.silent:
            self.hub.closing.wait(5)
            self.close_connection = True
            return
        time.sleep(answer.delay)
        broken = answer.cut is not None and (answer.cut == 0 or self.command != "HEAD")
        if not (broken and answer.cut == 0):
            self.send_response(answer.status)
            for name, value in (answer.headers | {"Content-Length": str(len(answer.body))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.send_body(answer)
        if broken:
            self.wfile.flush()
            self.close_connection = True
            if answer.reset:
                break_connection(self.connection)

    def send_body(self, answer: Answer) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client may have given up
            if answer.pause:
                until = time.monotonic() + 5
                for byte in answer.body:
                    self.wfile.write(bytes([byte]))
                    if self.hub.closing.wait(answer.pause) or time.monotonic() > until:
                        self.close_connection = True
                        return
            else:
                self.wfile.write(answer.body[: answer.cut])
            if answer.stalls:
                self.hub.closing.wait(5)

    def log_message(self, *_):
        """Keeps the tests' output quiet."""
