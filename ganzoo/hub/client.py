"""Guards the client of the Hugging Face Hub: limits of time, size and number of requests, and errors in one line.

The client alone waits forever, takes file names from servers, downloads without end and prints warnings. Inside
`guarded`, hooks of its HTTP session check every request and answer of the current thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from ganzoo.errors import GanzooError
from ganzoo.files.text import quoted
from ganzoo.hub.errors import (
    TRANSIENT,
    DamagedContent,
    HubTarget,
    RepeatedRequest,
    TransientStatus,
    explain,
    retry_after,
    retry_delay,
)

COMMIT = re.compile(r"[0-9a-f]{40}")
DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
ANSWER_BYTES = 8 * 2**20
SECONDS = 15.0
DEADLINE = 60.0  # of a call, its repetitions included, without a further PROGRESS
SLOWEST = 64 * 2**10
WAITS = (0.5, 2.0)
MOST_REQUESTS = 100
TRIES_OF_A_BODY = 3
PROGRESS = 2**20
SHORTEST = 1.0  # the time limit of an answer shortly before the deadline


class Deadline:
    """The end of one call with all its repetitions: a minute without a further MiB, and a total by its size.

    `received` and `sent` are the bytes that are expected; the progress of an upload is not seen.
    """

    def __init__(self, received: int = 0, sent: int = 0):
        self.patience = DEADLINE + sent / SLOWEST
        self.last = time.monotonic() + self.patience + received / SLOWEST
        self.until = time.monotonic() + self.patience
        self.arrived = 0

    def left(self) -> float:
        """Returns the seconds to the end, below 0 if it has passed."""
        return min(self.until, self.last) - time.monotonic()

    def count(self, size: int) -> None:
        """Counts bytes that have arrived."""
        self.arrived += size
        if self.arrived >= PROGRESS:
            self.arrived, self.until = 0, time.monotonic() + self.patience


class Content:
    """The hash of a file while it arrives, over the answers that an interrupted download is made of."""

    def __init__(self, digest: str, size: int | None):
        self.digest, self.size, self.arrived = digest, size, 0
        self.hash = self._new()

    def _new(self) -> Any:
        if len(self.digest) == 64:
            return hashlib.sha256()
        header = None if self.size is None else b"blob %d\0" % self.size  # git's hash
        return None if header is None else hashlib.sha1(header, usedforsecurity=False)

    def begin(self, response: Any) -> None:
        """Starts anew unless the answer continues the bytes so far; what they cannot tell is not checked here."""
        start = re.fullmatch(r"bytes=(\d+)-", response.request.headers.get("range", ""))
        if response.status_code != 206 or start is None:
            self.hash, self.arrived = self._new(), 0
        elif int(start[1]) != self.arrived:
            self.hash = None

    def add(self, chunk: bytes) -> None:
        self.arrived += len(chunk)
        if self.hash is not None:
            self.hash.update(chunk)

    def check(self) -> None:
        """Raises DamagedContent if the file is whole and is not the one that the Hub names."""
        if self.hash is None or self.size not in (None, self.arrived) or self.hash.hexdigest() == self.digest:
            return
        raise DamagedContent(f"the Hub names the hash {self.digest}, and the content has {self.hash.hexdigest()}")


@dataclass
class Guard:
    """Limits of the requests of one call: seconds of each and of all, bytes of an answer, hashes as file names."""

    target: HubTarget
    limit: int
    deadline: Deadline
    seconds: float
    commit: str | None = None
    digest: str | None = None
    content: Content | None = None
    requests: int = 0
    received: int = 0
    tries: dict[Any, list[tuple[float, int]]] = field(default_factory=dict)
    redirected: bool = False
    unconnected: bool = False

    def before(self, request: Any) -> None:
        """Sets the time limits of a request; refuses one beyond the limits of the call."""
        self.check_time()
        self.requests += 1
        if self.requests > MOST_REQUESTS:
            raise self.target.no_answer(f"more than {MOST_REQUESTS} requests")
        given = request.extensions.get("timeout") or {}
        names = ("connect", "read", "write", "pool")
        most = min(self.seconds, max(self.deadline.left(), SHORTEST))
        request.extensions["timeout"] = {name: min(given.get(name) or most, most) for name in names}
        self.count(request)

    def count(self, request: Any) -> None:
        """Counts repetitions by the client, which waits as long as the server says: `call_hub` decides about them."""
        tries = self.tries.setdefault((request.method, str(request.url)), [])
        if tries and self.redirected:
            raise self.target.no_answer("redirect loop")
        if tries and self.received - tries[-1][1] >= PROGRESS:
            tries.clear()
        if tries and time.monotonic() - tries[-1][0] >= self.seconds:
            raise self.target.no_answer("no answer in time")
        if len(tries) >= (TRIES_OF_A_BODY if self.commit and request.method == "GET" else 1):
            raise RepeatedRequest("no connection" if self.unconnected else "no connection, or it breaks off")
        tries.append((time.monotonic(), self.received))
        self.redirected = False

    def after(self, response: Any) -> None:
        """Checks the headers of an answer before the client does, and limits its body."""
        self.redirected = response.is_redirect
        if response.status_code in TRANSIENT:
            raise TransientStatus(response.status_code, retry_after(response.headers))
        if response.request.method == "HEAD":
            self.check_headers(response)
        raw, decoded = response.iter_raw, response.iter_bytes
        response.iter_raw = lambda *size, **sizes: self.timed(raw(*size, **sizes))
        response.iter_bytes = lambda *size, **sizes: self.counted(decoded(*size, **sizes), response)

    def check_headers(self, response: Any) -> None:
        headers = response.headers
        # the xet transfer has neither time limits nor an end: bodies come over plain HTTP
        headers.pop("x-xet-hash", None)
        commit, digest = headers.get("x-repo-commit"), headers.get("x-linked-etag") or headers.get("etag")
        if response.is_redirect and (commit is None or _same_host(response)):
            return
        if commit is not None and (not COMMIT.fullmatch(commit) or self.commit not in (None, commit)):
            raise self.target.failed(
                f"The Hub names another commit, {quoted(commit)}, for {self.target}: nothing of it is used."
            )
        if response.status_code >= 400:
            return
        size = headers.get("x-linked-size") or headers.get("content-length")
        if not (size or "0").isdecimal() or len(size or "0") > 15 or int(size or "0") > self.limit:
            raise self.too_large()
        if digest is not None:
            self.content = Content(self.checked_digest(digest), None if size is None else int(size))

    def checked_digest(self, text: str) -> str:
        """Returns the hash in a header, which becomes the name of the file; refuses another than is expected."""
        digest = text.removeprefix("W/").strip('"')
        if not DIGEST.fullmatch(digest):
            raise self.target.failed(
                f"The Hub names no hash but {quoted(text)} for {self.target}: nothing of it is used."
            )
        if self.digest is not None and len(self.digest) == len(digest) and self.digest != digest:
            raise self.target.failed(
                f"The Hub names the hash {digest} for a file of {self.target}, where {self.digest} is stated: "
                "nothing of it is used."
            )
        return digest

    def check_time(self) -> None:
        if self.deadline.left() < 0:
            raise self.target.no_answer("it took too long")

    def timed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.deadline.count(len(chunk))
            self.check_time()
            yield chunk

    def counted(self, chunks: Iterator[bytes], response: Any) -> Iterator[bytes]:
        size, content = 0, self.content if self.commit and response.request.method == "GET" else None
        if content is not None:
            content.begin(response)
        for chunk in chunks:
            size += len(chunk)
            self.received += len(chunk)
            if size > self.limit:
                raise self.too_large()
            if content is not None:
                content.add(chunk)
            yield chunk
        if content is not None and response.status_code < 300:
            content.check()

    def too_large(self) -> GanzooError:
        return self.target.failed(
            f"A file or answer of {self.target} is larger than {self.limit} bytes: it is not downloaded."
        )


_guard: ContextVar[Guard | None] = ContextVar("guard", default=None)


def _before(request: Any) -> None:
    if (guard := _guard.get()) is not None:
        guard.before(request)


def _after(response: Any) -> None:
    if (guard := _guard.get()) is not None:
        guard.after(response)


def _attach() -> None:
    """Adds the hooks to the client's session, and to the next one when the client drops it."""
    from huggingface_hub import get_session

    session = get_session()
    hooks, close = session.event_hooks, session.close
    if _before in hooks["request"]:
        return

    def closed() -> None:
        close()
        if (guard := _guard.get()) is not None:
            guard.unconnected = True
            _attach()

    session.event_hooks = {"request": [*hooks["request"], _before], "response": [*hooks["response"], _after]}
    session.close = closed  # type: ignore[method-assign]


@contextlib.contextmanager
def guarded(
    target: HubTarget,
    deadline: Deadline,
    *,
    limit: int = ANSWER_BYTES,
    commit: str | None = None,
    digest: str | None = None,
    seconds: float | None = None,
) -> Iterator[Guard]:
    """Limits the client's requests of this thread; other threads and users of the client are not affected.

    `limit` is the maximum number of bytes of one body, `commit` the only commit that answers may name, `digest` the
    hash of the file that they may name, `seconds` the time limit of one answer.
    """
    _attach()
    guard = Guard(target, limit, deadline, seconds or SECONDS, commit, digest)
    token = _guard.set(guard)
    try:
        with _quiet():
            yield guard
    finally:
        _guard.reset(token)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the client's warnings, which our errors repeat, and its progress bars outside of terminals."""
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    verbosity = logging.get_verbosity()
    bars = not are_progress_bars_disabled() and "HF_HUB_DISABLE_PROGRESS_BARS" not in os.environ and not on_terminal()
    logging.set_verbosity_error()
    if bars:
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            enable_progress_bars()


def on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def call_hub(call: Callable[[], Any], target: HubTarget, **bounds: Any) -> Any:
    """Returns the result of `call` under a guard, repeated after transient failures; failures are GanzooErrors."""
    try:
        return call_with_retries(call, WAITS, target, **bounds)
    except GanzooError:
        raise
    except Exception as error:
        raise explain(error, target) from error


def call_with_retries(
    call: Callable[[], Any], waits: tuple[float, ...], target: HubTarget, *, size: int = 0, sent: int = 0, **bounds: Any
) -> Any:
    """Returns the result of `call` under a guard; after a transient failure calls it again after each of `waits`.

    `size` and `sent` are the numbers of bytes that are downloaded and uploaded: more bytes get more time.
    """
    deadline = Deadline(size, sent)
    for wait in waits:
        try:
            with guarded(target, deadline, **bounds):
                return call()
        except Exception as error:
            wanted = retry_delay(error)
            if wanted is None:
                raise
            time.sleep(max(wait, wanted))
    with guarded(target, deadline, **bounds):
        return call()


def _same_host(response: Any) -> bool:
    here = str(response.request.url)
    return urlsplit(urljoin(here, response.headers.get("location", ""))).netloc == urlsplit(here).netloc
