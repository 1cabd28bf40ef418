"""What everything that talks to the Hugging Face Hub shares: a guard around the client, and one line for whatever goes wrong.

The client alone waits for ever, takes names of files from servers, downloads what has no end and prints warnings of its own.
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
    """Bounds for the requests of one call: seconds for each and for all, bytes of an answer, and what may become a file's name."""

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
        """Gives a request its time limits; refuses one that the call may no longer make."""
        self.check_time()
        self.requests += 1
        if self.requests > MOST_REQUESTS:
            raise self.target.no_answer("it asks for ever more requests")
        given = request.extensions.get("timeout") or {}
        names = ("connect", "read", "write", "pool")
        request.extensions["timeout"] = {name: min(given.get(name) or self.seconds, self.seconds) for name in names}
        self.count(request)

    def count(self, request: Any) -> None:
        """The client makes a request again that failed, and waits as long as it is told to: that is for `call_hub` to decide."""
        tries = self.tries.setdefault((request.method, str(request.url)), [])
        if tries and self.redirected:
            raise self.target.no_answer("it sends the request in circles")
        if tries and time.monotonic() - tries[-1][0] >= self.seconds:
            raise self.target.no_answer("no answer in time")
        if tries and self.received - tries[-1][1] >= PROGRESS:
            tries.clear()
        if len(tries) >= (TRIES_OF_A_BODY if self.commit and request.method == "GET" else 1):
            raise RepeatedRequest("no connection" if self.unconnected else "no connection, or it breaks off")
        tries.append((time.monotonic(), self.received))
        self.redirected = False

    def after(self, response: Any) -> None:
        """Looks at an answer's headers before the client does, and watches its body."""
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
    """Lets the guards see the requests of the client's session, and of the one that follows when the client drops it."""
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
    session.close = closed


@contextlib.contextmanager
def guarded(
    target: HubTarget,
    *,
    limit: int = ANSWER_BYTES,
    size: int = 0,
    commit: str | None = None,
    seconds: float | None = None,
) -> Iterator[Guard]:
    """Inside it the client's requests of this thread have limits; other threads and callers of the client see nothing of it.

    `limit` is the most bytes of one body, `size` the bytes that are expected to move (more time for more), `commit` the only
    commit that answers may name, `seconds` how long one answer may take.
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
    """The client's own warnings say what the one line says; its bars are for terminals."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars, logging

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
    """What `call` returns under a guard; it is called again after a fault that may pass. Every failure is one GanzooError."""
    try:
        return call_with_retries(call, WAITS, target, **bounds)
    except GanzooError:
        raise
    except Exception as error:
        raise explain(error, target) from error


def call_with_retries(call: Callable[[], Any], waits: tuple[float, ...], target: HubTarget, **bounds: Any) -> Any:
    """What `call` returns under a guard, or raises at last; after a fault that may pass it is called again after each of `waits`."""
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
