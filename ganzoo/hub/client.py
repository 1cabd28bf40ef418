"""Guards the client of the Hugging Face Hub: limits of time, size and number of requests, and errors in one line.

The client alone waits forever, takes file names from servers, downloads without end and prints warnings. Inside
`guarded`, hooks of its HTTP session check every request and answer of the current thread.
"""

from __future__ import annotations

import contextlib
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
from ganzoo.hub.errors import TRANSIENT, HubTarget, RepeatedRequest, TransientStatus, explain, retry_after, retry_delay

COMMIT = re.compile(r"[0-9a-f]{40}")
DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
ANSWER_BYTES = 8 * 2**20
SECONDS = 15.0
DEADLINE = 60.0
SLOWEST = 64 * 2**10
WAITS = (0.5, 2.0)
MOST_REQUESTS = 100
TRIES_OF_A_BODY = 3
PROGRESS = 10 * 2**20


@dataclass
class Guard:
    """Limits of the requests of one call: seconds of each and of all, bytes of an answer, hashes as file names."""

    target: HubTarget
    limit: int
    until: float
    seconds: float
    commit: str | None = None
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
        request.extensions["timeout"] = {name: min(given.get(name) or self.seconds, self.seconds) for name in names}
        self.count(request)

    def count(self, request: Any) -> None:
        """Counts repetitions by the client, which waits as long as the server says: `call_hub` decides about them."""
        tries = self.tries.setdefault((request.method, str(request.url)), [])
        if tries and self.redirected:
            raise self.target.no_answer("redirect loop")
        if tries and time.monotonic() - tries[-1][0] >= self.seconds:
            raise self.target.no_answer("no answer in time")
        if tries and self.received - tries[-1][1] >= PROGRESS:
            tries.clear()
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
        response.iter_bytes = lambda *size, **sizes: self.counted(decoded(*size, **sizes))

    def check_headers(self, response: Any) -> None:
        headers = response.headers
        headers.pop(
            "x-xet-hash", None
        )  # the xet transfer has neither time limits nor an end: bodies come over plain HTTP
        commit, digest = headers.get("x-repo-commit"), headers.get("x-linked-etag") or headers.get("etag")
        if response.is_redirect and (commit is None or _same_host(response)):
            return
        if commit is not None and (not COMMIT.fullmatch(commit) or self.commit not in (None, commit)):
            raise self.target.failed(
                f"The Hub names another commit, {quoted(commit)}, for {self}: nothing of it is used."
            )
        if (
            response.status_code < 400
            and digest is not None
            and not DIGEST.fullmatch(digest.removeprefix("W/").strip('"'))
        ):
            raise self.target.failed(f"The Hub names no hash but {quoted(digest)} for {self}: nothing of it is used.")
        size = headers.get("x-linked-size") or headers.get("content-length") or "0"
        if response.status_code < 400 and (not size.isdecimal() or len(size) > 15 or int(size) > self.limit):
            raise self.too_large()

    def check_time(self) -> None:
        if time.monotonic() > self.until:
            raise self.target.no_answer("it took too long")

    def timed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.check_time()
            yield chunk

    def counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        size = 0
        for chunk in chunks:
            size += len(chunk)
            self.received += len(chunk)
            if size > self.limit:
                raise self.too_large()
            yield chunk

    def too_large(self) -> GanzooError:
        return self.target.failed(
            f"A file or answer of {self} is larger than {self.limit} bytes: it is not downloaded."
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
    *,
    limit: int = ANSWER_BYTES,
    size: int = 0,
    commit: str | None = None,
    seconds: float | None = None,
) -> Iterator[Guard]:
    """Limits the client's requests of this thread; other threads and users of the client are not affected.

    `limit` is the maximum number of bytes of one body, `size` the expected number of bytes (more bytes get more time),
    `commit` the only commit that answers may name, `seconds` the time limit of one answer.
    """
    _attach()
    guard = Guard(target, limit, time.monotonic() + DEADLINE + size / SLOWEST, seconds or SECONDS, commit)
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


def call_with_retries(call: Callable[[], Any], waits: tuple[float, ...], target: HubTarget, **bounds: Any) -> Any:
    """Returns the result of `call` under a guard; after a transient failure calls it again after each of `waits`."""
    for wait in waits:
        try:
            with guarded(target, **bounds):
                return call()
        except Exception as error:
            wanted = retry_delay(error)
            if wanted is None:
                raise
            time.sleep(max(wait, wanted))
    with guarded(target, **bounds):
        return call()


def _same_host(response: Any) -> bool:
    here = str(response.request.url)
    return urlsplit(urljoin(here, response.headers.get("location", ""))).netloc == urlsplit(here).netloc
