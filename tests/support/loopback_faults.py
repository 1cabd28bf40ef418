"""Answers of the stand-in for the Hub, and everything that can be wrong with one."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Answer:
    """What is sent: `cut` bytes of the body at most, then the connection breaks.

    `length` is the Content-Length that is claimed. A body that `stalls` ends after `cut` bytes and the connection stays
    open; with a `pause` it comes byte by byte.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    cut: int | None = None
    delay: float = 0.0
    silent: bool = False
    reset: bool = False
    stalls: bool = False
    pause: float = 0.0


@dataclass
class Fault:
    """What is wrong with the next `times` answers at `spot` (-1: with all).

    It is applied to the answer that would be right.
    """

    spot: str
    kind: str
    times: int = 1


def refused(status: int, code: str = "", message: str = "") -> Answer:
    """An answer as the Hub refuses with."""
    headers = {"X-Error-Code": code} if code else {}
    return Answer(status, json.dumps({"error": message or code}).encode(), headers)


def as_json(value, status: int = 200, **headers: str) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


def status(number: int, code: str = "", **headers: str) -> Callable[[Answer], None]:
    def change(answer: Answer) -> None:
        answer.status, answer.body, answer.headers = number, b"{}", ({"X-Error-Code": code} if code else {}) | headers

    return change


def setting(**values) -> Callable[[Answer], None]:
    def change(answer: Answer) -> None:
        for name, value in values.items():
            setattr(answer, name, value)

    return change


def lie(*names: str, value: str | None) -> Callable[[Answer], None]:
    """Headers that are left out (None) or say something else, where the right answer has them."""

    def change(answer: Answer) -> None:
        for name in names:
            if name in answer.headers:
                answer.headers[name] = value or ""
                if value is None:
                    del answer.headers[name]

    return change


def half(answer: Answer) -> None:
    answer.cut = len(answer.body) // 2


def reset_in_body(answer: Answer) -> None:
    answer.cut, answer.reset = len(answer.body) // 2, True


def stall_in_body(answer: Answer) -> None:
    answer.cut, answer.stalls = len(answer.body) // 2, True


def nothing(answer: Answer) -> None:
    answer.cut = 0


def shorter(answer: Answer) -> None:
    answer.body = answer.body[:-7]


def flipped(answer: Answer) -> None:
    if answer.body:
        middle = len(answer.body) // 2
        answer.body = answer.body[:middle] + bytes([answer.body[middle] ^ 1]) + answer.body[middle + 1 :]


def zeros(answer: Answer) -> None:
    answer.body = bytes(len(answer.body))


def html(answer: Answer) -> None:
    answer.status, answer.body, answer.headers = (
        200,
        b"<html>Please log in to the hotel's network</html>",
        {"Content-Type": "text/html"},
    )


def page_of_json(answer: Answer) -> None:
    answer.status, answer.body, answer.headers = 200, b"[" * 5000, {"Content-Type": "application/json"}


def loop(answer: Answer) -> None:
    answer.status, answer.body, answer.headers["Location"] = 302, b"", "?again"


def elsewhere(answer: Answer) -> None:
    answer.status, answer.body, answer.headers["Location"] = 302, b"", "http://127.0.0.1:9/nobody"


ETAGS = ("ETag", "X-Linked-Etag")
# What may happen to any answer, and lies in the headers of one.
FAULTS: dict[str, Callable[[Answer], None]] = {
    "500": status(500),
    "503": status(503),
    "429": status(429),
    "429 soon": status(429, **{"Retry-After": "0"}),
    "429 late": status(429, **{"Retry-After": "3600"}),
    "401": status(401),
    "403": status(403),
    "404": status(404),
    "404 repository": status(404, "RepoNotFound"),
    "416": status(416),
    "slow": setting(delay=0.1),
    "stall": setting(silent=True),
    "reset": setting(cut=0, reset=True),
    "closed": nothing,
    "reset in body": reset_in_body,
    "stall in body": stall_in_body,
    "half": half,
    "shorter": shorter,
    "flipped": flipped,
    "zeros": zeros,
}
LIES: dict[str, Callable[[Answer], None]] = {
    "no commit": lie("X-Repo-Commit", value=None),
    "other commit": lie("X-Repo-Commit", value="0" * 40),
    "commit ../": lie("X-Repo-Commit", value="../../../escaped"),
    "no etag": lie(*ETAGS, value=None),
    "other etag": lie(*ETAGS, value=f'"{"0" * 64}"'),
    "etag ../": lie(*ETAGS, value='"../../../escaped"'),
    "etag /": lie(*ETAGS, value='"/tmp/escaped"'),
    "no size": lie("X-Linked-Size", value=None),
    "other size": lie("X-Linked-Size", value="17"),
    "huge size": lie("X-Linked-Size", value="9" * 12),
    "elsewhere": elsewhere,
    "html": html,
    "nested": page_of_json,
    "encoding": lambda answer: answer.headers.update({"Content-Encoding": "gzip"}),
    "loop": loop,
}
ALL = FAULTS | LIES | {"trickle": setting(pause=0.05)}


def break_connection(connection: socket.socket) -> None:
    """Ends a connection so that the other side sees a reset, not an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
