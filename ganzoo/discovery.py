"""Finds the plugins that installed distributions declare; a damaged distribution harms no other. Torch-free.

`importlib.metadata.entry_points` stops for all at the first file that it cannot parse, so the files are read one by one.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from importlib import metadata

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
    for distribution in metadata.distributions():
        plugins = declared(distribution)
        if plugins and (wanted is None or plugins[0].distribution in wanted):
            found.setdefault(plugins[0].distribution, plugins)
    for name in {GROUP, *(wanted or ())} - {"", *found}:
        reason = "run `pip install -e .` in the checkout" if name == GROUP else "GANZOO_LOAD_PLUGINS names it"
        found[name] = [Plugin("?", name, "?", module="?", error=f"no installed distribution of this name has a ganzoo plugin ({reason})")]
    everyone = [plugin for plugins in found.values() for plugin in plugins]
    return sorted(everyone, key=lambda plugin: (not plugin.builtin, plugin.distribution, plugin.entry_point))


def declared(distribution: metadata.Distribution) -> list[Plugin]:
    """The plugins in one distribution's `entry_points.txt`; those that cannot be loaded carry the reason as `error`."""
    try:
        text = distribution.read_text("entry_points.txt") or ""
    except (OSError, ValueError) as error:
        _let_torch_start()
        if f"[{GROUP}]".encode() not in getattr(error, "object", b""):
            return []
        return [Plugin("?", *identity(distribution), module="?", error=f"its entry_points.txt cannot be read: {error}")]
    if f"[{GROUP}]" not in text:
        return []
    name, version = identity(distribution)
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
            plugin.error = f"its entry_points.txt has '{plugin.entry_point}' twice; {plugins[plugin.entry_point].module} is used"
        if plugin.error:
            again.append(plugin)
    return [*plugins.values(), *again]


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


def identity(distribution: metadata.Distribution) -> tuple[str, str]:
    """Name and version, as the metadata folder is called: `my_plugin-1.0.dist-info`; else as METADATA says.

    `Distribution.name` would parse METADATA, which takes as long as importing the plugin, and fails where that is damaged.
    """
    folder = os.path.basename(str(getattr(distribution, "_path", "")))
    if found := FOLDER.fullmatch(folder):
        return normalize(found["name"]), found["version"]
    try:
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    except (OSError, ValueError):
        text = ""
    headers = dict(IDENTITY.findall(text.partition("\n\n")[0]))
    return normalize(headers.get("Name", folder)) or "unknown", headers.get("Version", "unknown")


def normalize(name: str) -> str:
    """A distribution's name as all of its spellings are compared: lower case, with one `-` for every run of `-`, `_` and `.`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def printable(text: str) -> str:
    """One line that a terminal shows as it is: control letters are escaped, and what is longer than 300 letters is cut."""
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return text if len(text) <= 300 else text[:297] + "..."
