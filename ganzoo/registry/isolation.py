"""Running a plugin's code so that whatever it does harms no other, and is known by its name. Torch-free."""

from __future__ import annotations

import sys
import threading
import time

from ganzoo.errors import PluginError
from ganzoo.registry.discovery import Plugin, printable
from ganzoo.registry.hookspecs import API_VERSION

SLOW_IMPORTS = ("torch", "numpy", "huggingface_hub")
SLOW_SECONDS = 1.0  # of the processor, for on a busy machine the clock blames whoever was interrupted
PATIENCE_SECONDS = 3.0  # of the clock


class isolated:
    """`with isolated(plugin):` whatever a plugin's code does in there is that plugin's `error`, or if one can live with it, its `note`.

    `every_command` says that every command runs this code: then it may neither be slow nor import anything heavy. What it
    prints would spoil `--json`, so it goes to stderr. A class, because with hundreds of plugins a generator costs too much.
    """

    def __init__(self, plugin: Plugin, every_command: bool = True):
        self.plugin, self.every_command = plugin, every_command

    def __enter__(self) -> None:
        self.before = [name for name in SLOW_IMPORTS if self.every_command and name not in sys.modules]
        self.began = time.perf_counter(), time.process_time()
        Impatience.plugin = self.plugin
        self.stdout, sys.stdout = sys.stdout, _ToErrors()
        self.listener = sys.stdout

    def __exit__(self, kind, error: BaseException | None, trace) -> bool:
        sys.stdout = self.stdout
        Impatience.plugin = None
        if isinstance(error, KeyboardInterrupt):
            return False
        if error is not None:
            self.plugin.error = one_line(error)
        if self.listener.heard:
            note(
                self.plugin, f"prints while it is loaded ({printable(self.listener.heard)!r}); a plugin prints nothing"
            )
        if imported := [name for name in self.before if name in sys.modules]:
            note(
                self.plugin,
                f"imports {', '.join(imported)}, which slows every command; import it inside the hooks of the parts",
            )
        elif self.every_command and (seconds := self._waited()):
            note(
                self.plugin,
                f"takes {seconds:.1f} s to load, for which every command waits; do that inside the hooks of the parts",
            )
        return True

    def _waited(self) -> float:
        """The seconds that the plugin took, if they are too many."""
        seconds, worked = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
        return seconds if seconds > PATIENCE_SECONDS or worked > SLOW_SECONDS else 0.0


def note(plugin: Plugin, text: str) -> None:
    """Adds to what is wrong with a plugin that works; `ganzoo plugins` shows it, and every command as one line."""
    if text not in (plugin.note or ""):
        plugin.note = f"{plugin.note}; {text}" if plugin.note else text


def deprecated(plugin: Plugin, what: str, instead: str) -> None:
    """Says that a plugin uses what the next version of the plugin API will not have, and what to write instead."""
    note(plugin, f"uses {what}, which plugin API {API_VERSION + 1} will not have; {instead}")


def check_api(module: object) -> None:
    """PluginError if a plugin's module says, as `ganzoo_api`, that it was written for an API that this ganzoo does not have."""
    version = getattr(module, "ganzoo_api", 1)
    if type(version) is not int or version < 1:
        raise PluginError(f"its ganzoo_api must be a whole number from 1, got {printable(repr(version))[:60]}")
    if version > API_VERSION:
        raise PluginError(
            f"is written for plugin API {version}, this ganzoo has {API_VERSION}: update ganzoo, or install an older version of the plugin"
        )


class _ToErrors:
    """A standard output that writes to standard error and remembers the first line."""

    heard = ""

    def write(self, text: str) -> int:
        if text.strip() and not self.heard:
            self.heard = text.strip().splitlines()[0][:60]
        return sys.stderr.write(text) if sys.stderr is not None else len(text)

    def __getattr__(self, name: str):
        return getattr(sys.stderr, name)


class Impatience:
    """Says on stderr which plugin is being loaded if that takes long, for one that hangs can say nothing itself."""

    plugin: Plugin | None = None  # whose code runs now

    def __init__(self):
        self._timer = threading.Timer(PATIENCE_SECONDS, self._tell)
        self._timer.daemon = True

    def __enter__(self) -> Impatience:
        self._timer.start()
        return self

    def __exit__(self, *error) -> None:
        self._timer.cancel()

    def _tell(self) -> None:
        plugin = Impatience.plugin
        if plugin is not None and sys.__stderr__ is not None:
            text = f"Still loading plugin {plugin.name}; GANZOO_LOAD_PLUGINS= (empty) leaves out all plugins but the built-in ones."
            print(text, file=sys.__stderr__, flush=True)


def one_line(error: BaseException) -> str:
    """An exception as one printable line; a PluginError's is its message alone."""
    try:
        text = " ".join(str(error).split()) or "no message"
    except Exception:
        text = "no readable message"
    return printable(text if isinstance(error, PluginError) else f"{type(error).__name__}: {text}")
