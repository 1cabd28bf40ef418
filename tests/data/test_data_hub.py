"""Data sets from a stand-in of the Hub on this machine, through the real client in a process of its own."""

import hashlib
import io
import json
import os
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest
from forks import Talk
from PIL import Image

pyarrow = pytest.importorskip("pyarrow")

CLIENT = """
import json, sys, time
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.01))  # between one attempt and the next
from pathlib import Path
from ganzoo.data import HubSource, load_images
from ganzoo.errors import GanzooError
from messages import logged
datasets = {"named": lambda root: HubSource("owner/broken", "named", hint="Use another.")}
for line in sys.stdin:
    request = json.loads(line)
    try:
        with logged() as lines:
            data = load_images(request, size=6, datasets=datasets, cache=Path(sys.argv[1]))
        answer = {"greys": data.images[:, 0, 0, 0].tolist(), "revision": data.revision, "classes": data.classes,
                  "labels": None if data.labels is None else data.labels.tolist()}
    except GanzooError as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    print(json.dumps({**answer, "report": " ".join(lines)}), flush=True)
"""


def parquet(*greys: int) -> bytes:
    """A Parquet file as the Hub has them; labels are whether a grey value is odd."""
    import pyarrow.parquet

    images = []
    for grey in greys:
        buffer = io.BytesIO()
        Image.new("L", (6, 6), grey).save(buffer, "PNG")
        images.append({"bytes": buffer.getvalue(), "path": None})
    table = pyarrow.table({"image": images, "label": [grey % 2 for grey in greys]})
    names = {"info": {"features": {"label": {"names": ["even", "odd"]}}}}
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table.replace_schema_metadata({"huggingface": json.dumps(names)}), buffer)
    return buffer.getvalue()


def commit(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


TRAIN, TEST = "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"
OUTSIDE = "../../../escaped.parquet"
SEVERAL = {"small/train/0000.parquet": parquet(30), "large/train/0000.parquet": parquet(31, 32)}
# Repository: {revision: files}; every revision is a commit of its own.
REPOSITORIES = {
    "owner/good": {"main": {"README.md": b"text", TRAIN: parquet(1, 2, 3), TEST: parquet(9)}},
    "owner/pictures": {"main": {"a.png": b"x"}, "refs/convert/parquet": {"default/train/0000.parquet": parquet(4, 5)}},
    "owner/several": {"main": SEVERAL},
    "owner/partial": {"main": {"default/partial-train/0000.parquet": parquet(6)}},
    "owner/nothing": {"main": {"a.png": b"x"}},
    "owner/once": {"main": {TRAIN: parquet(11)}},
    "owner/always": {"main": {TRAIN: parquet(12)}},
    "owner/short": {"main": {TRAIN: parquet(13)}},
    "owner/lost": {"main": {TRAIN: parquet(15)}},
    "owner/lying": {"main": {TRAIN: parquet(16)}},
    "owner/outside": {"main": {OUTSIDE: parquet(17)}},
    "owner/blocked": {"main": {TRAIN: parquet(18)}},
}
REFUSALS = {
    "owner/missing": (404, "RepoNotFound"),
    "owner/gated": (403, "GatedRepo"),
    "owner/broken": (500, ""),
    "owner/busy": (429, ""),
    "owner/private": (401, ""),
}
INFO = re.compile(r"/api/datasets/(\w+/\w+)(?:/revision/(.+))?")
FILE = re.compile(r"/datasets/(\w+/\w+)/resolve/([^/]+)/(.+)")


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.log.append((self.command, path))
        if match := INFO.fullmatch(path):
            self.info(match[1], match[2] or "main")
        elif match := FILE.fullmatch(path):
            self.file(match[1], match[2], match[3])
        else:
            self.answer(404, b"")

    do_HEAD = do_GET

    def log_message(self, *_):
        """Keeps the tests' output quiet."""

    def answer(self, status: int, body: bytes, length: int | None = None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def info(self, repository: str, revision: str):
        if repository == "owner/reset":
            self.close_connection = True
            return None
        if repository == "owner/html":
            return self.answer(200, b"<html>log in to the hotel</html>")
        if repository in REFUSALS:
            status, code = REFUSALS[repository]
            return self.answer(status, b"{}", X_Error_Code=code)
        revisions = REPOSITORIES[repository]
        known = {commit(repository + name): name for name in revisions}
        revision = known.get(revision, revision)
        if revision not in revisions:
            return self.answer(404, b"{}", X_Error_Code="RevisionNotFound")
        siblings = [
            {"rfilename": name, "size": len(data), "lfs": self.lfs(data) if name.endswith(".parquet") else None}
            for name, data in revisions[revision].items()
        ]
        sha = commit(repository + revision)
        return self.answer(200, json.dumps({"id": repository, "sha": sha, "siblings": siblings}).encode())

    def lfs(self, data: bytes) -> dict:
        return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}

    def file(self, repository: str, revision: str, name: str):
        files = {commit(repository + name): files for name, files in REPOSITORIES[repository].items()}
        data = files[revision][name]
        digest = "0" * 64 if repository == "owner/lying" else hashlib.sha256(data).hexdigest()
        headers = {"ETag": f'"{digest}"', "X_Repo_Commit": revision}
        count = sum(entry == ("GET", unquote(self.path)) for entry in self.server.log)
        if repository == "owner/lost":
            return self.answer(404, b"", X_Error_Code="EntryNotFound")
        if repository == "owner/always" or (repository == "owner/once" and count == 1):
            data = data[:100] + bytes([data[100] ^ 1]) + data[101:]
        if repository == "owner/short" and self.command == "GET":
            self.close_connection = True
            return self.answer(200, data[:-50], length=len(data), **headers)
        return self.answer(200, data, **headers)


@pytest.fixture(scope="module")
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    server.log = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


class Client:
    """A process with its own HF_HOME that loads what it is asked for, one request a line."""

    def __init__(self, folder, endpoint: str, **environment):
        self.folder = folder
        variables = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        self.process = Talk(
            "-c",
            CLIENT,
            folder / "cache",
            environment=variables
            | {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_XET": "1"}
            | {
                "HF_HUB_DISABLE_PROGRESS_BARS": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                **environment,
            },
        )

    def __call__(self, source: str) -> dict:
        self.process.stdin.write(json.dumps(source) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "\n" not in answer.get("error", "")
        return answer

    def close(self):
        self.process.close()


@pytest.fixture(scope="module")
def client(hub, tmp_path_factory):
    client = Client(tmp_path_factory.mktemp("online"), f"http://127.0.0.1:{hub.server_port}")
    yield client
    client.close()


def test_train_is_the_default_and_the_commit_is_recorded(hub, client):
    answer = client("hf://datasets/owner/good")
    assert answer["greys"] == [1, 2, 3] and answer["labels"] == [1, 0, 1] and answer["classes"] == ["even", "odd"]
    assert answer["revision"] == commit("owner/goodmain")
    fetched = {path for method, path in hub.log if "/resolve/" in path and "good" in path}
    assert fetched == {f"/datasets/owner/good/resolve/{commit('owner/goodmain')}/{TRAIN}"}


def test_split_folder_and_revision(client):
    assert client("hf://datasets/owner/good:test")["greys"] == [9]
    assert client("hf://datasets/owner/good@main/data:test")["greys"] == [9]
    assert client("hf://datasets/owner/pictures@refs/convert/parquet")["greys"] == [4, 5]


def test_a_whole_commit_that_is_kept_needs_no_request(hub, client):
    address = f"hf://datasets/owner/good@{commit('owner/goodmain')}"
    client(address)
    before = len(hub.log)
    assert client(address)["greys"] == [1, 2, 3]
    assert len(hub.log) == before


def test_without_parquet_files_the_converted_branch_is_used(client):
    answer = client("hf://datasets/owner/pictures")
    assert answer["greys"] == [4, 5] and answer["revision"] == commit("owner/picturesrefs/convert/parquet")


def test_a_part_is_not_taken_for_the_whole_in_silence(client):
    answer = client("hf://datasets/owner/partial")
    assert answer["greys"] == [6] and "only a part" in answer["report"]


def test_a_damaged_download_is_fetched_again(hub, client):
    assert client("hf://datasets/owner/once")["greys"] == [11]
    assert sum(method == "GET" and "owner/once/resolve" in path for method, path in hub.log) == 2


ERRORS = {
    "hf://datasets/owner/missing": ("UsageError", "no data set 'owner/missing'"),
    "hf://datasets/owner/good@nope": ("UsageError", "no revision 'nope'"),
    "hf://datasets/owner/good:validation": ("UsageError", "no split called 'validation'.*train"),
    "hf://datasets/owner/several": ("UsageError", "configurations, large/?, small.*hf://datasets/owner/several/large"),
    "hf://datasets/owner/nothing": ("UsageError", "no Parquet files"),
    "hf://datasets/owner/gated": ("DataError", "gated: accept its terms"),
    "hf://datasets/owner/private": ("DataError", "log in|no data set"),
    "hf://datasets/owner/broken": ("Unreachable", "status 500"),
    "hf://datasets/owner/busy": ("Unreachable", "status 429"),
    "hf://datasets/owner/reset": ("Unreachable", "cannot be reached"),
    "hf://datasets/owner/html": ("Unreachable", "cannot be reached"),
    "hf://datasets/owner/always": ("DataError", "arrives damaged"),
    "hf://datasets/owner/short": ("DataError|Unreachable", "owner/short"),
    "hf://datasets/owner/lost": ("DataError", "has lost a file"),
    "hf://datasets/owner/lying": ("DataError", f"names the hash {'0' * 64} .*, where .* is stated"),
    "hf://datasets/owner/outside": ("DataError", "'owner/outside' outside of it, '../../../escaped.parquet'"),
    "named": ("Unreachable", "owner/broken.*Use another.$"),
}


@pytest.mark.parametrize("address", ERRORS)
def test_every_failure_is_one_clear_line(client, address):
    kind, words = ERRORS[address]
    answer = client(address)
    assert re.fullmatch(kind, answer["kind"]) and re.search(words, answer["error"]), answer


def test_one_of_several_configurations(client):
    assert client("hf://datasets/owner/several/large")["greys"] == [31, 32]


def test_damaged_copies_are_not_left_in_the_cache(client):
    client("hf://datasets/owner/always")
    left = [path for path in (client.folder / "hf").rglob("*") if path.is_file() and "always" in str(path)]
    assert not [path for path in left if path.suffix == ".parquet" or "blobs" in path.parts]


def test_a_file_outside_of_the_repository_is_not_touched(client):
    (client.folder / "hf" / "hub").mkdir(parents=True, exist_ok=True)
    escaped = client.folder / "hf" / "hub" / "escaped.parquet"
    escaped.write_bytes(b"mine")
    assert "error" in client("hf://datasets/owner/outside") and escaped.read_bytes() == b"mine"


def test_a_hash_that_is_not_that_of_the_content_names_no_file(client):
    assert "error" in client("hf://datasets/owner/lying")
    assert not list((client.folder / "hf").rglob("0" * 64))


def test_a_folder_in_the_place_of_a_cached_file_is_replaced(client):
    storage = client.folder / "hf" / "hub" / "datasets--owner--blocked"
    place = storage / "snapshots" / commit("owner/blockedmain") / TRAIN
    (place / "inside").mkdir(parents=True)
    (storage / "blobs" / hashlib.sha256(REPOSITORIES["owner/blocked"]["main"][TRAIN]).hexdigest()).mkdir(parents=True)
    answer = client("hf://datasets/owner/blocked")
    assert answer["greys"] == [18] and "damaged in the cache" in answer["report"] and place.is_file()


def test_offline_uses_what_was_pulled_and_says_so(client):
    client("hf://datasets/owner/good")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}"
        for environment in ({}, {"HF_HUB_OFFLINE": "1"}):
            offline = Client(client.folder, closed, **environment)
            answer = offline("hf://datasets/owner/good")
            assert answer["greys"] == [1, 2, 3] and answer["revision"] == commit("owner/goodmain")
            assert commit("owner/goodmain") in answer["report"]
            answer = offline("hf://datasets/owner/never")
            assert answer["kind"] == "Unreachable" and "owner/never" in answer["error"]
            offline.close()
