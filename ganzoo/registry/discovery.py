"""Finds the plugins that installed distributions declare; a damaged distribution harms no other. Torch-free.

`importlib.metadata.entry_points` stops for all at the first file that it cannot parse, so the files are read one by one. And
importing `importlib.metadata` takes longer than everything else that `ganzoo list` does, so only what lies in no folder needs it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from importlib import import_module
from importlib.machinery import PathFinder
from typing import Any

GROUP = "ganzoo"
VALUE = re.compile(r"(\w+)(\.\w+)*\s*(:\s*(\w+)(\.\w+)*)?\s*(\[.*\])?")
FOLDER = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(-.*)?\.(dist|egg)-info")
IDENTITY = re.compile(r"^(Name|Version):[ \t]*(\S+)[ \t]*$", re.MULTILINE)


@dataclass(eq=False)
class Plugin:
    """One entry point of the group `ganzoo`: who provides it, what it registered, and why it does not work if it does not.

    `distribution` is normalized (`My_Plugin` is `my-plugin`). `registered` has the names by kind ("variants", "losses", ...);
    none of them counts when `error` is set. `note` says what is wrong with a plugin that works.
    """

    entry_point: str
    distribution: str
    version: str
    module: str
    error: str | None = None
    note: str | None = None
    registered: dict[str, list[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.distribution}:{self.entry_point}"

    @property
    def builtin(self) -> bool:
        return self.distribution == GROUP


def installed() -> list[Plugin]:
    """All declared plugins, the built-ins first, then by distribution and name, so that no file system decides an order.

    With the environment variable `GANZOO_LOAD_PLUGINS` only the built-ins and those of the distributions that it names, by
    commas; empty means the built-ins alone, and a name that has no plugin is answered by a broken one. Of two copies of one
    distribution the first on `sys.path` counts, as for imports.
    """
    limit = os.environ.get("GANZOO_LOAD_PLUGINS")
    wanted = None if limit is None else {GROUP, *map(normalize, limit.split(","))}
    found: dict[str, list[Plugin]] = {}
    for folder in information():
        plugins = declared(folder)
        if plugins and (wanted is None or plugins[0].distribution in wanted):
            found.setdefault(plugins[0].distribution, plugins)
    for name in {GROUP, *(wanted or ())} - {"", *found}:
        reason = "run `pip install -e .` in the checkout" if name == GROUP else "GANZOO_LOAD_PLUGINS names it"
        found[name] = [
            Plugin(
                "?",
                name,
                "?",
                module="?",
                error=f"no installed distribution of this name has a ganzoo plugin ({reason})",
            )
        ]
    everyone = [plugin for plugins in found.values() for plugin in plugins]
    return sorted(everyone, key=lambda plugin: (not plugin.builtin, plugin.distribution, plugin.entry_point))


@dataclass(frozen=True)
class Folder:
    """The folder with the metadata of one installed distribution, such as `my_plugin-1.0.dist-info`."""

    path: str

    def read_text(self, name: str) -> str | None:
        """A file in it, None if there is none that can be opened; OSError or ValueError if it cannot be read."""
        try:
            with open(os.path.join(self.path, name), "rb") as file:
                return file.read().decode()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
            return None


def information() -> Iterator[Folder]:
    """The metadata of every installed distribution, in the order of `sys.path`, as `importlib.metadata` finds it."""
    elsewhere = []
    for entry in dict.fromkeys(entry for entry in sys.path if isinstance(entry, str)):
        try:
            names = sorted(os.listdir(entry or "."))
        except OSError:  # nothing, or a zip file
            elsewhere.append(entry)
            continue
        egg = entry.lower().endswith(".egg")
        for name in names:
            if name.lower().endswith((".dist-info", ".egg-info")) or (egg and name.lower() == "egg-info"):
                yield Folder(os.path.join(entry, name))
    yield from _found_by_others([entry for entry in elsewhere if os.path.isfile(entry)])


def _found_by_others(files: list[str]) -> Iterator[Any]:
    """What lies in zip files, and what finders know that somebody has added to Python's own."""
    finders = [finder for finder in sys.meta_path if finder is not PathFinder and hasattr(finder, "find_distributions")]
    if files or finders:
        from importlib.metadata import DistributionFinder

        yield from PathFinder.find_distributions(DistributionFinder.Context(path=files))
        for finder in finders:
            yield from finder.find_distributions(DistributionFinder.Context())


def declared(folder: Folder) -> list[Plugin]:
    """The plugins in one distribution's `entry_points.txt`; those that cannot be loaded carry the reason as `error`."""
    try:
        text = folder.read_text("entry_points.txt") or ""
    except (OSError, ValueError) as error:
        _let_torch_start()
        if f"[{GROUP}]".encode() not in getattr(error, "object", b""):
            return []
        return [Plugin("?", *identity(folder), module="?", error=f"its entry_points.txt cannot be read: {error}")]
    if f"[{GROUP}]" not in text:
        return []
    name, version = identity(folder)
    plugins: dict[str, Plugin] = {}
    again = []
    for line in section(text):
        entry_point, _, module = (half.strip() for half in line.partition("="))
        plugin = Plugin(printable(entry_point), name, version, printable(module))
        if "=" not in line:
            _let_torch_start()
        if not entry_point or not VALUE.fullmatch(module):
            plugin.error = f"its entry_points.txt has a line that is not 'name = package.module': {printable(line)}"
        elif plugins.setdefault(plugin.entry_point, plugin) is not plugin:
            plugin.error = (
                f"its entry_points.txt has '{plugin.entry_point}' twice; {plugins[plugin.entry_point].module} is used"
            )
        if plugin.error:
            again.append(plugin)
    return [*plugins.values(), *again]


def load(value: str) -> object:
    """What an entry point names: `package.module`, or `package.module:attribute`; whatever importing it raises."""
    module, _, path = value.partition("[")[0].partition(":")
    return reduce(getattr, filter(None, path.strip().split(".")), import_module(module.strip()))


def _let_torch_start() -> None:
    """Keeps torch from its search for device backends, which stops at the damaged file and leaves torch half imported."""
    os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")


def section(text: str) -> list[str]:
    """The lines of the group `ganzoo`, without comments and blank lines."""
    lines: list[str] = []
    inside = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            inside = line == f"[{GROUP}]"
        elif inside and line and not line.startswith("#"):
            lines.append(line)
    return lines


def identity(folder: Folder) -> tuple[str, str]:
    """Name and version, as the folder is called: `my_plugin-1.0.dist-info`; else as METADATA says.

    Parsing METADATA takes as long as importing the plugin, and fails where that is damaged.
    """
    called = os.path.basename(str(getattr(folder, "path", getattr(folder, "_path", ""))))
    if found := FOLDER.fullmatch(called):
        return normalize(found["name"]), found["version"]
    try:
        text = folder.read_text("METADATA") or folder.read_text("PKG-INFO") or ""
    except (OSError, ValueError):
        text = ""
    headers = dict(IDENTITY.findall(text.partition("\n\n")[0]))
    return normalize(headers.get("Name", called)) or "unknown", headers.get("Version", "unknown")


def normalize(name: str) -> str:
    """A distribution's name as all of its spellings are compared: lower case, with one `-` for every run of `-`, `_` and `.`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def printable(text: str) -> str:
    """One line that a terminal shows as it is: control letters are escaped, and what is longer than 300 letters is cut."""
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return text if len(text) <= 300 else text[:297] + "..."
