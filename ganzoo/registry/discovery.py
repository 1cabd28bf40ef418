"""Finds the plugins of all installed distributions, so that a damaged distribution affects no other. Torch-free.

`importlib.metadata.entry_points` fails for all distributions at the first file that it cannot parse, so
`entry_points.txt` is read one by one. The folders are listed without `importlib.metadata`: importing it makes every
command 0.03 s slower. `ganzoo list` takes 1.0 times the CPU time of a script that imports click and pluggy and reads
the entry points, and would take 1.27 times with `importlib.metadata.distributions` (`benchmarks/list_startup.py`,
interleaved); the bound is 1.3.
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

from ganzoo.files.text import one_line

GROUP = "ganzoo"
FILES = "file"  # the distribution of plugins that are single files
VALUE = re.compile(r"(\w+)(\.\w+)*\s*(:\s*(\w+)(\.\w+)*)?\s*(\[.*\])?")
FOLDER = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(-.*)?\.(dist|egg)-info")
RECORDED = re.compile(r"^[^,\n]*\.dist-info/entry_points\.txt,[^,\n]*,(\d+)$", re.MULTILINE)
IDENTITY = re.compile(r"^(Name|Version):[ \t]*(\S+)[ \t]*$", re.MULTILINE)


@dataclass(eq=False)
class Plugin:
    """One entry point of the group `ganzoo`: its provider, its registered names and its errors.

    `distribution` is normalized (`My_Plugin` is `my-plugin`). `registered` maps a kind ("variants", "losses", ...) to
    names, which are ignored if `error` is set. `note` is a warning about a plugin that works.
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
    """Returns all declared plugins: the built-ins first, then by distribution and name.

    The environment variable `GANZOO_LOAD_PLUGINS` limits them to the built-ins and the distributions that it names
    (comma-separated; empty: the built-ins alone). A name without a plugin is returned as a broken plugin. Of two copies
    of one distribution the first on `sys.path` counts, as for imports. Files in `GANZOO_PLUGINS_DIR` are plugins of a
    distribution called "file".
    """
    limit = os.environ.get("GANZOO_LOAD_PLUGINS")
    wanted = None if limit is None else {GROUP, *map(normalize, limit.split(","))}
    found: dict[str, list[Plugin]] = {}
    for folder in metadata_folders():
        plugins = declared(folder)
        if plugins and (wanted is None or plugins[0].distribution in wanted):
            found.setdefault(plugins[0].distribution, plugins)
    if wanted is None or FILES in wanted:
        found |= {FILES: files} if (files := in_folder()) else {}
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


def in_folder() -> list[Plugin]:
    """Returns a plugin for each .py file in the folder that `GANZOO_PLUGINS_DIR` names, and a broken one if it is none.

    Its version is the beginning of the file's sha256. Names that begin with an underscore are left out.
    """
    folder = os.environ.get("GANZOO_PLUGINS_DIR", "")
    if not folder:
        return []
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        reason = f"GANZOO_PLUGINS_DIR names {one_line(folder)}: {error.strerror}"
        return [Plugin("?", FILES, "?", module="?", error=reason)]
    from hashlib import sha256

    found = []
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix != ".py" or stem.startswith("_"):
            continue
        plugin = Plugin(normalize(stem) or "?", FILES, "?", module=os.path.abspath(os.path.join(folder, name)))
        try:
            with open(plugin.module, "rb") as file:
                plugin.version = sha256(file.read()).hexdigest()[:12]
        except OSError as error:
            plugin.error = f"{one_line(plugin.module)} cannot be read: {error.strerror}"
        found.append(plugin)
    return found


@dataclass(frozen=True)
class Folder:
    """The metadata folder of one installed distribution, such as `my_plugin-1.0.dist-info`."""

    path: str

    def read_text(self, name: str) -> str | None:
        """Returns the text of a file, None if it cannot be opened; OSError or ValueError if it is unreadable."""
        try:
            with open(os.path.join(self.path, name), "rb") as file:
                return file.read().decode()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
            return None


def metadata_folders() -> Iterator[Folder]:
    """Yields the metadata of every installed distribution, as `importlib.metadata` does, in `sys.path` order."""
    elsewhere = []
    for entry in dict.fromkeys(entry for entry in sys.path if isinstance(entry, str)):
        try:
            names = sorted(os.listdir(entry or "."))
        except OSError:  # missing, or a zip file
            elsewhere.append(entry)
            continue
        egg = entry.lower().endswith(".egg")
        for name in names:
            if name.lower().endswith((".dist-info", ".egg-info")) or (egg and name.lower() == "egg-info"):
                yield Folder(os.path.join(entry, name))
    yield from _from_importlib([entry for entry in elsewhere if os.path.isfile(entry)])


def _from_importlib(files: list[str]) -> Iterator[Any]:
    """Yields distributions in zip files, and those of finders other than Python's own.

    The backport `importlib_metadata` puts a finder of the same folders in place of Python's, and takes its method away.
    """
    finders = [
        finder
        for finder in sys.meta_path
        if finder is not PathFinder
        and hasattr(finder, "find_distributions")
        and type(finder).__module__.partition(".")[0] != "importlib_metadata"
    ]
    if files or finders:
        from importlib.metadata import DistributionFinder, MetadataPathFinder

        yield from MetadataPathFinder.find_distributions(DistributionFinder.Context(path=files))
        for finder in finders:
            yield from finder.find_distributions(DistributionFinder.Context())


def declared(folder: Folder) -> list[Plugin]:
    """Returns the plugins in one `entry_points.txt`; an invalid line becomes a plugin with an `error`."""
    try:
        text = folder.read_text("entry_points.txt") or ""
    except (OSError, ValueError) as error:
        _disable_backend_search()
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
        plugin = Plugin(one_line(entry_point), name, version, one_line(module))
        if "=" not in line:
            _disable_backend_search()
        if not entry_point or not VALUE.fullmatch(module):
            plugin.error = f"its entry_points.txt has a line that is not 'name = package.module': {one_line(line)}"
        elif plugins.setdefault(plugin.entry_point, plugin) is not plugin:
            plugin.error = (
                f"its entry_points.txt has '{plugin.entry_point}' twice; {plugins[plugin.entry_point].module} is used"
            )
        if plugin.error:
            again.append(plugin)
    return [*plugins.values(), *again]


def damaged() -> list[str]:
    """Returns a line for every `entry_points.txt` that cannot be read as a whole: plugins in it would be missing.

    Only `ganzoo plugins` asks, because it compares every file with the size that pip recorded.
    """
    lines = []
    for folder in metadata_folders():
        if isinstance(folder, Folder) and (problem := _damage(folder)):
            name, version = identity(folder)
            lines.append(
                f"The entry_points.txt of {name} {version} {problem}: plugins in it are missing. Install it again."
            )
    return lines


def _damage(folder: Folder) -> str:
    """What is wrong with the `entry_points.txt` of a distribution; "" if nothing is, or if it has none."""
    file = os.path.join(folder.path, "entry_points.txt")
    try:
        with open(os.path.join(folder.path, "RECORD"), encoding="utf-8", errors="replace") as record:
            found = RECORDED.search(record.read())
    except OSError:
        found = None
    if not found and not os.path.lexists(file):
        return ""
    try:
        with open(file, "rb") as opened:
            data = opened.read()
        text = data.decode()
    except (OSError, ValueError) as error:
        return f"cannot be read ({one_line(error)})"
    if found and len(data) != int(found[1]):
        return f"has {len(data)} bytes, and had {found[1]} when it was installed"
    heads = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith(("#", ";"))][:1]
    return "" if all(head.startswith("[") and head.endswith("]") for head in heads) else "does not begin with a [group]"


def _load_file(path: str) -> object:
    """Imports a file as a module of its own, which is registered as an import registers it."""
    from importlib.util import module_from_spec, spec_from_file_location

    name = f"ganzoo_file_{normalize(os.path.basename(path)[:-3]).replace('-', '_')}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def load(value: str) -> object:
    """Imports an entry point: `package.module`, `package.module:attribute`, or the path of a .py file.

    Raises whatever the import raises.
    """
    if os.path.isabs(value) and value.endswith(".py"):
        return _load_file(value)
    module, _, path = value.partition("[")[0].partition(":")
    return reduce(getattr, filter(None, path.strip().split(".")), import_module(module.strip()))


def _disable_backend_search() -> None:
    """Turns off torch's search for device backends, which fails at a damaged file and leaves torch half imported."""
    os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")


def section(text: str) -> list[str]:
    """Returns the lines of the group `ganzoo`, without comments and blank lines."""
    lines: list[str] = []
    inside = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            inside = line == f"[{GROUP}]"
        elif inside and line and not line.startswith("#"):
            lines.append(line)
    return lines


def identity(folder: Folder) -> tuple[str, str]:
    """Returns name and version, from the folder's name (`my_plugin-1.0.dist-info`) or else from METADATA.

    The name comes first because parsing METADATA takes as long as importing a plugin, and fails if it is damaged.
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
    """Normalizes the name of a distribution: lower case, with one `-` for every run of `-`, `_` and `.`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
