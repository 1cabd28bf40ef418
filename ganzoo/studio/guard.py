"""Stands before the web application: who may ask, for what, and how much; an ASGI application of its own.

Gradio has routes that fetch addresses, serve files or rewrite its code. Only those that the page needs pass, and they
reach files of one folder alone.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON_BYTES = 2**20  # of a request that is no upload
FORM_BYTES = 2**14  # around the file of an upload
PENALTY = 1.0  # seconds after a wrong password
API = "/gradio_api"
PAGES = re.compile(r"/|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/(assets|static|svelte)/[\w./@+-]+")
READ = re.compile(
    rf"{API}/(info|startup-events|app_id|login_check|user|theme\.css|queue/data|upload_progress|heartbeat/\w+)/?"
)
WRITTEN = re.compile(rf"{API}/(queue/join|cancel|reset|upload)/?")
FILE = re.compile(rf"{API}/file=(.+)", re.S)
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")  # as a browser writes them
POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # Gradio writes its settings into the page
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    ]
)


class Guard:
    """Passes requests on to `application` and refuses all others with one line.

    Args:
        application: the web application.
        files: the folder of its uploads and pictures: nothing else is served or read.
        upload_bytes: the largest upload.
        password: what a browser must know, under any user name; None for none.
        hosts: names that the address may have, without port; None for any. On loopback they keep out pages of other
            sites whose name points here.
        framed: whether pages of other sites may show this one in a frame, as the Hub does.
    """

    def __init__(
        self,
        application: Application,
        files: Path,
        *,
        upload_bytes: int,
        password: str | None = None,
        hosts: Iterable[str] | None = LOOPBACK,
        framed: bool = False,
    ):
        self.application, self.files, self.upload_bytes = application, files.resolve(), upload_bytes
        self.password, self.hosts = password, None if hosts is None else set(hosts)
        ancestors = "" if framed else "; frame-ancestors 'none'"
        self.headers = [
            (b"content-security-policy", (POLICY + ancestors).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        given = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        status, line = self._problem(scope, given)
        if status == 401:
            await asyncio.sleep(PENALTY if "authorization" in given else 0)
        body = None
        if not status and scope["method"] == "POST":
            is_upload = scope["path"].rstrip("/").endswith("/upload")
            limit = self.upload_bytes + FORM_BYTES if is_upload else JSON_BYTES
            body = await _read(receive, limit, given.get("content-length", "0"))
            if body is None:
                status, line = 413, f"More than {limit:,} bytes."
            elif not is_upload and (outside := self._outside(body)):
                status, line = 403, outside
        if status:
            await self._refuse(send, status, line)
            return
        await self.application(scope, receive if body is None else _replayed(body, receive), self._with_headers(send))

    def _problem(self, scope: Scope, given: dict[str, str]) -> tuple[int, str]:
        """Returns the status and line of a refusal, 0 for none."""
        host = given.get("host", "")
        name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
        if self.hosts is not None and name.lower() not in self.hosts:
            return 421, "This address has another name: open the one that the studio printed."
        if self.password is not None and not self._knows_password(given.get("authorization", "")):
            return 401, "The password of this studio, under any user name."
        origin, method = given.get("origin", ""), scope["method"]
        if method == "POST" and origin and urlsplit(origin).netloc != host:
            return 403, "A page of another site asks."
        path = unquote(scope["path"])
        readable = PAGES.fullmatch(path) or READ.fullmatch(path)
        if method in ("GET", "HEAD") and readable and ".." not in path:
            return 0, ""
        if method == "POST" and WRITTEN.fullmatch(path):
            return 0, ""
        if method in ("GET", "HEAD") and (file := FILE.fullmatch(path)):
            return (0, "") if self._is_own(file[1]) else (403, "No such file here.")
        return 404, "Nothing is here."

    def _knows_password(self, header: str) -> bool:
        kind, _, code = header.partition(" ")
        try:
            text = base64.b64decode(code, validate=True) if kind.lower() == "basic" else b""
        except ValueError:
            return False
        return hmac.compare_digest(text.partition(b":")[2], (self.password or "").encode())

    def _is_own(self, path: str) -> bool:
        """True for a path that leads to a file in the folder of this studio, also through links."""
        if "\0" in path or len(path) > 4096:
            return False
        try:
            return Path(path).is_absolute() and Path(path).resolve().is_relative_to(self.files)
        except (OSError, ValueError, RuntimeError):
            return False

    def _outside(self, body: bytes) -> str:
        """Returns a line if a request names a file or an address that is not this studio's, else ""."""
        try:
            value = json.loads(body or b"null")
        except (ValueError, RecursionError):
            return "The request is no JSON."
        stack = [(value, 0)]
        while stack:
            one, depth = stack.pop()
            if depth > 64:
                return "The request is nested too deeply."
            if isinstance(one, dict):
                if isinstance(path := one.get("path"), str) and not self._is_own(path):
                    return "The request names a file that was not uploaded here."
                stack += [(item, depth + 1) for item in one.values()]
            elif isinstance(one, list):
                stack += [(item, depth + 1) for item in one]
        return ""

    def _with_headers(self, send: Send) -> Send:
        async def passed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in self.headers}
                kept = [(name, value) for name, value in message.get("headers", []) if name.lower() not in names]
                message = {**message, "headers": kept + self.headers}
            await send(message)

        return passed

    async def _refuse(self, send: Send, status: int, line: str) -> None:
        headers = [*self.headers, (b"content-type", b"text/plain; charset=utf-8")]
        if status == 401:
            headers.append((b"www-authenticate", b'Basic realm="ganzoo studio", charset="UTF-8"'))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": f"{line}\n".encode()})


async def _read(receive: Receive, limit: int, announced: str) -> bytes | None:
    """Reads the body of a request; None as soon as it is longer than the limit."""
    if not announced.isascii() or not announced.isdigit() or int(announced) > limit:
        return None
    parts, size = [], 0
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            return None
        if not message.get("more_body", False) or message["type"] == "http.disconnect":
            return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read, and then what else comes."""
    waiting = [body]

    async def next_message() -> MutableMapping[str, Any]:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return next_message


def loopback_names(host: str) -> set[str]:
    """Returns the names under which a browser of this machine may open a loopback address."""
    return {*LOOPBACK, f"[{host}]" if ":" in host else host}
