"""How every tab calls its functions: one at a time, and an error is one line."""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from ganzoo.errors import GanzooError
from ganzoo.files.text import one_line, printable_lines

log = logging.getLogger(__name__)

# Events that are not listed as an interface, and of which the last of several waits.
QUIET: dict[str, Any] = {"api_visibility": "private", "trigger_mode": "always_last", "concurrency_id": "studio"}


class StopRequested(Exception):
    """The person who began a computation does not want it any more."""


class Stops:
    """Ends computations that report their progress, each on request of the browser session that began it.

    Gradio's own `cancels` ends what waits in the queue, and not a function that runs.
    """

    def __init__(self) -> None:
        self._asked: set[str] = set()
        self._lock = threading.Lock()

    def began(self, session: str | None) -> None:
        """Forgets a request that came before this computation."""
        with self._lock:
            self._asked.discard(session or "")

    def ask(self, session: str | None) -> None:
        """Remembers that a session wants an end."""
        with self._lock:
            self._asked.add(session or "")

    def check(self, session: str | None) -> None:
        """StopRequested if the session wants an end."""
        with self._lock:
            if (session or "") in self._asked:
                raise StopRequested

    def connect(self, button: Any, event: Any) -> None:
        """Lets a click on a button end an event, whether it waits or runs."""
        import gradio

        def ask(request: Any) -> None:
            self.ask(request.session_hash)

        ask.__annotations__["request"] = gradio.Request  # Gradio goes by the type
        button.click(ask, None, None, cancels=[event], api_visibility="private", concurrency_id="stop")


class Place(NamedTuple):
    """Where a tab is drawn: the Gradio page, which loads once, and the tab, which is selected."""

    page: Any
    tab: Any


def shown(function: Callable[..., Any]) -> Callable[..., Any]:
    """Shows an error of a function in the page as the line that the command line would print.

    Gradio finds a parameter whose default is `gradio.Progress` in the signature of the function itself.
    """

    @functools.wraps(function)
    def safe(*arguments: Any, **more: Any) -> Any:
        try:
            return function(*arguments, **more)
        except Exception as error:
            raise _visible(error) from None

    return safe


def shown_steps(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `shown`, of a generator."""

    @functools.wraps(function)
    def safe(*arguments: Any) -> Any:
        try:
            yield from function(*arguments)
        except Exception as error:
            raise _visible(error) from None

    return safe


def _visible(error: Exception) -> Exception:
    import gradio

    if isinstance(error, gradio.Error):
        return error
    if os.environ.get("GANZOO_DEBUG", "") not in ("", "0"):
        log.error("in the studio", exc_info=error)
    if isinstance(error, GanzooError):
        line = str(error)
    elif isinstance(error, OSError):
        line = f"{error.strerror or error}"
    else:
        line = f"{type(error).__name__}: {one_line(error)[:500]}"
    return gradio.Error(printable_lines(line), duration=20, title="Error", print_exception=False)


def run_and_stop(name: str) -> tuple[Any, Any]:
    """Draws the button that begins a computation, and beside it the one that stops it."""
    import gradio as gr

    with gr.Row():
        return gr.Button(name, variant="primary", min_width=120), gr.Button("Stop", variant="stop", min_width=120)
