"""Serves the studio: a socket, the web application behind its guard, and an end without leftovers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.errors import UsageError
from ganzoo.files.text import reason
from ganzoo.studio.guard import Application, Guard, loopback_names

if TYPE_CHECKING:
    from ganzoo.registry.registry import Registry
    from ganzoo.studio.shelf import Shelf

UPLOAD_BYTES = 20 * 2**20
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SECONDS_TO_END = 2
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_MCP_SERVER": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


@dataclass(frozen=True)
class Studio:
    """What a studio shows: models, a folder of runs, a folder of benches, and where it may write.

    `of_models_alone` leaves out the tabs that need no model.
    """

    shelf: Shelf
    folder: Path
    registry: Registry
    runs: Path | None = None
    bench: Path | None = None
    title: str = "ganzoo studio"
    of_models_alone: bool = False


@dataclass(frozen=True)
class Address:
    """Where to listen; `public` states that anybody may come, as on the Hub, and pages there show it in a frame."""

    host: str = "127.0.0.1"
    port: int = 7860
    password: str | None = None
    public: bool = False

    @property
    def is_loopback(self) -> bool:
        """True if only this machine reaches it."""
        return self.host in LOOPBACK


def check_packages() -> None:
    """UsageError if the packages of the extra `web` are missing."""
    os.environ.update(QUIET)  # before the import, which reads them
    try:
        import fastapi  # noqa: F401
        import gradio  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        missing = getattr(error, "name", None) or "gradio"
        raise UsageError(
            f"The studio needs the package {missing}: pip install 'gradio>=6.31,<7' (the extra web)."
        ) from None


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """Yields a new folder for uploads and pictures, which Gradio uses too, and removes it."""
    with tempfile.TemporaryDirectory(prefix="ganzoo-studio-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        os.environ["GRADIO_TEMP_DIR"] = str(folder)
        yield folder


def open_socket(address: Address) -> socket.socket:
    """Binds the address; UsageError if it is taken, unknown, or open to others without a password."""
    if not address.is_loopback and not address.password and not address.public:
        raise UsageError(f"--host {address.host} lets other machines in: give --password-file or --password too.")
    try:
        family, kind, _, _, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(place)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"The studio cannot listen on {address.host}, port {address.port}: {reason(error)}. "
            "Choose another with --port, or 0 for any that is free."
        ) from None
    return found


def serve(
    application: Application, folder: Path, address: Address, listening: socket.socket, ready: Callable[[str], None]
) -> int:
    """Serves a web application behind a guard until a signal comes, and returns its number.

    `folder` is that of its files, `ready` is called with the address once it answers.
    """
    import uvicorn

    port = listening.getsockname()[1]
    host = f"[{address.host}]" if ":" in address.host else address.host
    guard = Guard(
        application,
        folder,
        upload_bytes=UPLOAD_BYTES,
        password=address.password,
        hosts=loopback_names(address.host) if address.is_loopback else None,
        framed=address.public,
    )
    config = uvicorn.Config(
        guard,
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=SECONDS_TO_END,
        proxy_headers=address.public,
        forwarded_allow_ips="*" if address.public else None,
        server_header=False,
    )
    return _run(uvicorn.Server(config), listening, lambda: ready(f"http://{host}:{port}"))


def end(code: int, shelf: Shelf) -> None:
    """Ends the process at once if a thread still computes: torch's would crash the interpreter while it ends."""
    if shelf.is_computing():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(server: Any, listening: socket.socket, ready: Callable[[], None]) -> int:
    """Runs the server in a thread of its own, so that a signal ends it and not the process."""
    caught: list[int] = []
    over = threading.Event()

    def end(number: int, frame: Any) -> None:
        caught.append(number)
        over.set()

    def run() -> None:
        try:
            server.run(sockets=[listening])
        finally:
            over.set()

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, end) for number in numbers}
    thread = threading.Thread(target=run, daemon=True)
    try:
        thread.start()
        while not server.started and not over.wait(0.02):
            pass
        if server.started:
            ready()
            over.wait()
    finally:
        server.should_exit = True
        thread.join(SECONDS_TO_END + 3)
        listening.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    return caught[0] if caught else 0
