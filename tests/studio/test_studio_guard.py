"""The guard before the studio's web application: who may ask, for what, and how much."""

import asyncio
import base64
import json

import pytest

from ganzoo.studio import guard as guards
from ganzoo.studio.guard import Guard


def answered(guard, path, method="GET", body=b"", chunks=None, **headers):
    """Asks a guard once and returns (status, headers, body)."""
    given = {"host": "127.0.0.1:7860"} | {name.replace("_", "-"): value for name, value in headers.items()}
    if body and "content-length" not in given:
        given["content-length"] = str(len(body))
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
    }
    parts = list(chunks or [body])
    sent = []

    async def receive():
        part = parts.pop(0) if parts else b""
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(one.get("body", b"") for one in sent[1:])


@pytest.fixture
def seen():
    return []


@pytest.fixture
def application(seen):
    """A web application that answers everything and keeps what it was asked."""

    async def answer(scope, receive, send):
        body = (await receive())["body"] if scope["method"] == "POST" else b""
        seen.append((scope["path"], body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
        await send({"type": "http.response.body", "body": b"yes"})

    return answer


@pytest.fixture
def guard(application, tmp_path):
    return Guard(application, tmp_path, upload_bytes=1000)


@pytest.mark.parametrize(
    "path",
    ["/", "/config", "/theme.css", "/assets/index-1a.js", "/static/fonts/x.woff2", "/gradio_api/queue/data",
     "/gradio_api/info", "/gradio_api/heartbeat/abc"],
)  # fmt: skip
def test_what_the_page_needs_passes_with_a_policy(path, guard, seen):
    status, headers, body = answered(guard, path)
    assert (status, body, len(seen)) == (200, b"yes", 1)
    policy = headers[b"content-security-policy"].decode()
    assert "default-src 'self'" in policy and "http" not in policy and "frame-ancestors 'none'" in policy
    assert headers[b"x-own"] == b"1" and headers[b"x-content-type-options"] == b"nosniff"


@pytest.mark.parametrize(
    "path",
    ["/docs", "/openapi.json", "/gradio_api/proxy=http://example.org/", "/gradio_api/vibe-code", "/monitoring",
     "/gradio_api/call/x", "/gradio_api/run/predict", "/assets/../../etc/passwd", "/assets/..%2f..%2fetc/passwd",
     "/gradio_api/deep_link", "/login", "/gradio_api/runs", "/gradio_api/stream/x/y/z/playlist.m3u8"],
)  # fmt: skip
def test_everything_else_is_closed(path, guard, seen):
    assert [answered(guard, path, method)[0] for method in ("GET", "POST", "PUT")] == [404, 404, 404]
    assert seen == []


def test_only_files_of_its_folder_are_served(guard, seen, tmp_path):
    inside, secret = tmp_path / "made-1" / "grid.png", tmp_path.parent / "secret.txt"
    inside.parent.mkdir()
    inside.write_bytes(b"png")
    secret.write_text("secret")
    (tmp_path / "link.txt").symlink_to(secret)
    assert answered(guard, f"/gradio_api/file={inside}")[0] == 200
    hostile = [
        "/etc/passwd",
        str(secret),
        f"{tmp_path}/../secret.txt",
        f"{tmp_path}/%2e%2e/secret.txt",
        f"{tmp_path}/link.txt",
        f"{tmp_path}-other/x",
        "../../etc/passwd",
        "grid.png",
        "http://example.org/x.png",
        "file:///etc/passwd",
        f"{inside}\0.png",
        "/" + "a" * 5000,
        "~/.ssh/id_rsa",
    ]
    assert [answered(guard, f"/gradio_api/file={path}")[0] for path in hostile] == [403] * len(hostile)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "http://example.org/x.png", "https://example.org/x.png", "relative.png", "ftp://x/y"],
)
def test_a_request_names_uploaded_files_alone(path, guard, seen):
    data = {"data": ["x", [{"deep": {"path": path, "meta": {"_type": "gradio.FileData"}}}]]}
    status, _, body = answered(guard, "/gradio_api/queue/join", "POST", json.dumps(data).encode())
    assert status == 403 and b"not uploaded here" in body and seen == []


def test_a_request_with_an_uploaded_file_passes_unchanged(guard, seen, tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    body = json.dumps({"data": [{"path": str(tmp_path / "a.png")}]}).encode()
    assert answered(guard, "/gradio_api/queue/join", "POST", body)[0] == 200
    assert seen == [("/gradio_api/queue/join", body)]


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 100_000, json.dumps({"a": [[]] * 3}).encode()[:-1]])
def test_requests_that_are_no_json_are_refused(body, guard, seen):
    assert answered(guard, "/gradio_api/queue/join", "POST", body)[0] == 403 and seen == []


def test_uploads_are_bounded_whatever_they_announce(guard, seen):
    limit = 1000 + guards.FORM_BYTES
    upload = "/gradio_api/upload"
    assert answered(guard, upload, "POST", b"x" * limit)[0] == 200
    assert answered(guard, upload, "POST", b"x" * (limit + 1))[0] == 413
    assert answered(guard, upload, "POST", chunks=[b"x" * limit, b"x"])[0] == 413  # announces nothing
    assert answered(guard, upload, "POST", b"x", content_length="nonsense")[0] == 413
    big = b'"' + b"x" * guards.JSON_BYTES + b'"'
    assert answered(guard, "/gradio_api/queue/join", "POST", big)[0] == 413
    assert len(seen) == 1


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", ""])
def test_pages_whose_name_points_here_are_kept_out(host, guard, seen):
    assert answered(guard, "/", host=host)[0] == 421 and seen == []
    assert [answered(guard, "/", host=name)[0] for name in ("localhost:1", "[::1]:7860", "LOCALHOST")] == [200] * 3


def test_pages_of_other_sites_cannot_post(guard, seen):
    join = "/gradio_api/queue/join"
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999"):
        assert answered(guard, join, "POST", b"{}", origin=origin)[0] == 403
    assert answered(guard, join, "POST", b"{}", origin="http://127.0.0.1:7860")[0] == 200 and len(seen) == 1


def test_a_password_is_asked_for_everything(application, seen, tmp_path, monkeypatch):
    monkeypatch.setattr(guards, "PENALTY", 0.0)
    guard = Guard(application, tmp_path, upload_bytes=10, password="gähn", hosts=None)

    def basic(text):
        return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}

    for path in ("/", "/assets/x.js", "/gradio_api/queue/join", "/nowhere"):
        status, headers, _ = answered(guard, path)
        assert status == 401 and headers[b"www-authenticate"].startswith(b"Basic")
    for wrong in ("x:", "x:gahn", "gähn", "x:gähn ", ":"):
        assert answered(guard, "/", **basic(wrong))[0] == 401
    assert answered(guard, "/", authorization="Basic !!")[0] == 401
    assert answered(guard, "/", authorization="Bearer gähn".encode().decode("latin-1"))[0] == 401
    assert seen == []
    assert answered(guard, "/", **basic("anyone:gähn"), host="studio.example")[0] == 200


def test_a_space_may_be_framed(application, tmp_path):
    headers = answered(Guard(application, tmp_path, upload_bytes=1, hosts=None, framed=True), "/")[1]
    assert b"frame-ancestors" not in headers[b"content-security-policy"]
