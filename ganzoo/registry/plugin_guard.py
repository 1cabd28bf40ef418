"""Guards calls of plugin code, and records errors, output and slow imports under the plugin's name. Torch-free."""

from __future__ import annotations

import builtins
import io
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType, ModuleType, TracebackType
from typing import Any

from ganzoo.errors import PluginError
from ganzoo.files.streams import keep_descriptors, restore_descriptors
from ganzoo.files.text import one_line
from ganzoo.registry.discovery import Plugin
from ganzoo.registry.hookspecs import API_VERSION

SLOW_IMPORTS = ("torch", "numpy", "huggingface_hub")
# What a plugin may not leave changed: the outputs, the ways to end, and what every command calls.
KEPT: tuple[tuple[ModuleType, str], ...] = (
    *((sys, name) for name in ("stdin", "stdout", "stderr", "__stdout__", "__stderr__", "exit", "excepthook")),
    *((builtins, name) for name in ("print", "open", "input", "exit", "quit")),
)
SLOW_CPU_SECONDS = 1.0  # CPU time, because on a busy machine wall time blames a plugin that was only interrupted
SLOW_WALL_SECONDS = 3.0  # wall time, for plugins that sleep or wait for a network


class guard_plugin:
    """Context manager around a plugin's code: an exception becomes the plugin's `error`, bad behaviour its `note`.

    `every_command` states that every command runs this code: then it must be quick and import nothing heavy. Output
    goes to stderr, also what is written to file descriptor 1, because it would corrupt `--json`. Closed outputs and
    replaced functions such as `sys.exit` are restored. A KeyboardInterrupt that no signal has caused is an exception as
    any other. This is a class because with hundreds of plugins a generator is too slow.
    """

    def __init__(self, plugin: Plugin, every_command: bool = True) -> None:
        self.plugin, self.every_command = plugin, every_command

    def __enter__(self) -> None:
        self.before = [name for name in SLOW_IMPORTS if self.every_command and name not in sys.modules]
        self.began = time.perf_counter(), time.process_time()
        SlowLoadWarning.plugin = self.plugin
        self.kept = [(module, name, getattr(module, name)) for module, name in KEPT if hasattr(module, name)]
        self.interrupted, self.handler = False, None
        if threading.current_thread() is threading.main_thread():
            self.handler = signal.getsignal(signal.SIGINT)
            if self.handler is signal.default_int_handler:
                signal.signal(signal.SIGINT, self._interrupt)
        self.descriptors = keep_descriptors(sys.stdout, sys.__stdout__)
        self.redirected = _StdoutToStderr()
        sys.stdout = self.redirected

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        replaced = [
            f"{module.__name__}.{name}" for module, name, value in self.kept if self._changed(module, name, value)
        ]
        for module, name, value in self.kept:
            setattr(module, name, value)
        restore_descriptors(self.descriptors, sys.stdout, sys.__stdout__)
        if self.handler is not None:
            signal.signal(signal.SIGINT, self.handler)
        SlowLoadWarning.plugin = None
        if isinstance(error, KeyboardInterrupt) and self.interrupted:
            return False
        if replaced:
            add_note(self.plugin, f"replaces {', '.join(replaced)} while it is loaded, which was undone")
        if error is not None:
            self.plugin.error = described(error)
        if first := one_line(self.redirected.first_line):
            add_note(self.plugin, f"prints while it is loaded ({first!r}); a plugin must print nothing")
        if imported := [name for name in self.before if name in sys.modules]:
            add_note(
                self.plugin,
                f"imports {', '.join(imported)}, which slows every command; import it inside the hooks of the parts",
            )
        elif self.every_command and (seconds := self._slow_seconds()):
            add_note(
                self.plugin,
                f"takes {seconds:.1f} s to load, which slows every command; do that work inside the hooks of the parts",
            )
        return True

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True
        raise KeyboardInterrupt

    def _changed(self, module: ModuleType, name: str, value: object) -> bool:
        """True if the plugin has put something else in place of a function; its outputs are restored without a note."""
        return not name.strip("_").startswith("std") and getattr(module, name, None) is not value

    def _slow_seconds(self) -> float:
        """Returns the wall time of loading if it was too slow, else 0."""
        wall, cpu = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
        return wall if wall > SLOW_WALL_SECONDS or cpu > SLOW_CPU_SECONDS else 0.0


def add_note(plugin: Plugin, text: str) -> None:
    """Adds a warning to a plugin that works. `ganzoo plugins` shows it, and every command prints it as one line."""
    if text not in (plugin.note or ""):
        plugin.note = f"{plugin.note}; {text}" if plugin.note else text


def deprecated(plugin: Plugin, what: str, instead: str) -> None:
    """Notes that a plugin uses a feature that the next plugin API removes, and what to write instead."""
    add_note(plugin, f"uses {what}, which plugin API {API_VERSION + 1} will not have; {instead}")


def check_api(module: object) -> None:
    """PluginError if the module's `ganzoo_api`, a version of the plugin API, is newer than this one or invalid."""
    version = getattr(module, "ganzoo_api", 1)
    if type(version) is not int or version < 1:
        raise PluginError(f"its ganzoo_api must be a whole number from 1, got {one_line(repr(version))[:60]}")
    if version > API_VERSION:
        raise PluginError(
            f"is written for plugin API {version}, this ganzoo has {API_VERSION}: "
            "update ganzoo, or install an older version of the plugin"
        )


class _StdoutToStderr:
    """A standard output that writes to standard error and remembers the first line."""

    first_line = ""

    def write(self, text: str) -> int:
        if text.strip() and not self.first_line:
            self.first_line = text.strip().splitlines()[0][:60]
        return sys.stderr.write(text) if sys.stderr is not None else len(text)

    def close(self) -> None:
        """Closes nothing: it would be standard error."""

    def detach(self) -> None:
        """Refuses, as a stream without a buffer of its own does."""
        raise io.UnsupportedOperation("detach")

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


class SlowLoadWarning:
    """Context manager that names the plugin being loaded on stderr after a few seconds, in case it hangs."""

    plugin: Plugin | None = None  # the one whose code runs now

    def __init__(self) -> None:
        self._timer = threading.Timer(SLOW_WALL_SECONDS, self._warn)
        self._timer.daemon = True

    def __enter__(self) -> SlowLoadWarning:
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()

    def _warn(self) -> None:
        plugin = SlowLoadWarning.plugin
        if plugin is not None and sys.__stderr__ is not None:
            advice = "set GANZOO_LOAD_PLUGINS= (empty) to load only the built-in plugins"
            with suppress(OSError, ValueError):
                print(f"Still loading plugin {plugin.name}; {advice}.", file=sys.__stderr__, flush=True)


def described(error: BaseException) -> str:
    """Formats an exception as one printable line, with its type unless it is a PluginError."""
    try:
        text = " ".join(str(error).split()) or "no message"
    except Exception:
        text = "no readable message"
    return one_line(text if isinstance(error, PluginError) else f"{type(error).__name__}: {text}")
