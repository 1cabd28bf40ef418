"""Installs and removes plugins with pip in the environment of this ganzoo. Torch-free.

ganzoo itself and what it needs (torch, numpy, click, pluggy ...) are never replaced.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import invalidate_caches, metadata, util
from pathlib import Path
from typing import Any

from ganzoo.errors import PluginError, UsageError, did_you_mean
from ganzoo.files.text import one_line, quoted
from ganzoo.registry.discovery import GROUP, Plugin, installed, normalize
from ganzoo.registry.wheels import refuse_intruders

log = logging.getLogger(__name__)

SOURCES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
LISTING_SECONDS = 120
REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Planned:
    """A distribution that pip would install; `requested` is False for a dependency."""

    name: str
    version: str
    url: str
    requested: bool


def pip_command(action: str, words: Sequence[str] = ()) -> list[str]:
    """Returns `python -m pip <action>` for this environment; without pip, UsageError with the `uv pip` command."""
    if util.find_spec("pip") is None:
        instead = " ".join(["uv pip", action, "--python", sys.executable, *words])
        raise UsageError(
            f"This environment has no pip (uv creates such ones). Run: {instead}   and then: ganzoo plugins"
        )
    return [sys.executable, "-m", "pip", action, "--disable-pip-version-check"]


def install(
    packages: Sequence[str], editable: Sequence[str], options: Sequence[str], dry_run: bool = False
) -> list[str]:
    """Installs plugins and returns the names of the requested distributions, normalized.

    pip's plan and command are logged first; `dry_run` stops there. `options` go to pip. PluginError if pip cannot
    install them, UsageError if ganzoo or something it needs would be replaced, or files of another distribution;
    nothing is changed then. `dry_run` takes wheels alone, because pip runs the code of sources to plan.
    """
    refuse_protected(packages)
    if dry_run:
        refuse_sources([*editable, *packages])
    words = [*packages, *(word for path in editable for word in ("-e", path)), *options]
    command = pip_command("install", words)
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "protected.txt"
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in protected_versions().items()))
        command += ["--upgrade-strategy", "only-if-needed", "--constraint", str(constraints), *words]
        planned = plan([*command, *(("--only-binary", ":all:") if dry_run else ())])
        refuse_replacing(planned)
        refuse_intruders([item.url for item in planned], pip_command("download"))
        log.info(f"Into {sys.prefix}:")
        for item in planned:
            log.info(
                f"  {item.name} {item.version}  from {item.url}{'' if item.requested else '  (needed by another)'}"
            )
        if not planned:
            log.info("  nothing: already installed")
        elif not dry_run:
            kept = ", ".join(f"{name}=={version}" for name, version in list(protected_versions().items())[:2])
            log.info(f"Running: {' '.join(command)}   ({constraints.name}: {kept} ...)")
            run_pip(command, "install", words)
    invalidate_caches()
    return sorted(
        {normalize(item.name) for item in planned if item.requested} | {name_in(word) for word in packages} - {""}
    )


@cache
def protected_versions() -> dict[str, str]:
    """Returns the installed versions of ganzoo and of all that it needs, ganzoo and torch first.

    No plugin may replace these: without them no command starts, not even `ganzoo uninstall`.
    """
    found: dict[str, str] = {}
    waiting = [GROUP, "torch"]
    while waiting:
        name = waiting.pop(0)
        try:
            found[name] = metadata.version(name)
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        names = [name_in(line) for line in needed if "extra ==" not in line]
        waiting += [name for name in names if name not in found and name not in waiting]
    return found


def refuse_sources(words: Sequence[str]) -> None:
    """UsageError if one of these is a folder, an archive of sources or a repository, whose code pip runs to plan."""
    for word in words:
        place = word.partition(" @ ")[2].strip() or word
        if place.partition("#")[0].endswith(SOURCES) or "+" in place.partition("://")[0] or os.path.isdir(place):
            raise UsageError(
                f"--dry-run takes wheels alone: {quoted(word)} is source, and pip would run its code to plan. "
                "Read it, and leave out --dry-run."
            )


def plan(command: Sequence[str]) -> list[Planned]:
    """Returns what pip would install, from pip's dry run: requested distributions first."""
    done = subprocess.run([*command, "--dry-run", "--quiet", "--report", "-"], stdout=subprocess.PIPE)
    if done.returncode:
        raise PluginError(
            f"pip cannot install that{_as_wheels(command)} (exit code {done.returncode}; see its message above). "
            "Nothing was changed."
        )
    found = []
    for item in json.loads(done.stdout)["install"]:
        facts = item["metadata"]
        found.append(
            Planned(
                facts["name"], facts["version"], one_line(item["download_info"]["url"]), bool(item.get("requested"))
            )
        )
    return sorted(found, key=lambda item: (not item.requested, item.name))


def _as_wheels(command: Sequence[str]) -> str:
    return " from wheels alone, as --dry-run asks" if "--only-binary" in command else ""


def refuse_protected(packages: Sequence[str]) -> None:
    """UsageError if ganzoo, or something it needs, is requested by name."""
    for name in map(name_in, packages):
        if name in protected_versions():
            raise UsageError(f"ganzoo install adds plugins; install or upgrade {name} itself with pip.")


def refuse_replacing(planned: Sequence[Planned]) -> None:
    """UsageError if pip would replace ganzoo or something it needs."""
    for item in planned:
        if (here := protected_versions().get(normalize(item.name))) is not None:
            raise UsageError(
                f"That would install {item.name} {item.version} over {here}, which plugins must not. "
                "Nothing was changed."
            )


def name_in(word: str) -> str:
    """Returns the normalized distribution name in a requirement or a wheel's file name; "" for other paths and URLs."""
    before = word.partition(" @ ")[0]
    if before.endswith(".whl"):
        return normalize(Path(before).name.partition("-")[0])
    if re.search(r"[/\\]|^\.", before):
        return ""
    found = REQUIREMENT.match(before)
    return normalize(found[0]) if found else ""


def run_pip(command: Sequence[str], action: str, words: Sequence[str]) -> None:
    """Runs pip with its output on stderr."""
    done = subprocess.run([*command, "--quiet"], stdout=sys.stderr)
    if done.returncode:
        raise PluginError(
            f"pip {action} {' '.join(words)} failed (exit code {done.returncode}; see its message above)."
        )


def listing() -> dict[str, Any]:
    """Lists all plugins in a fresh process, ignoring GANZOO_LOAD_PLUGINS: {"plugins": [...], "warnings": [...]}.

    PluginError if a plugin crashes that process or hangs.
    """
    environment = {key: value for key, value in os.environ.items() if key != "GANZOO_LOAD_PLUGINS"}
    command = [sys.executable, "-m", GROUP, "plugins", "--json"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LISTING_SECONDS)
        return json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise PluginError(f"`ganzoo plugins` does not end within {LISTING_SECONDS} seconds: a plugin hangs.") from None
    except ValueError:
        last = (done.stderr.splitlines() or ["no output"])[-1]
        raise PluginError(f"`ganzoo plugins` fails (exit code {done.returncode}): {one_line(last)}") from None


def removable(names: Sequence[str]) -> list[Plugin]:
    """Returns the installed plugins of the distributions; UsageError for ganzoo itself and for one without plugins."""
    everyone = [plugin for plugin in all_installed() if not plugin.builtin]
    found = []
    for name in map(normalize, names):
        mine = [plugin for plugin in everyone if plugin.distribution == name]
        if name == GROUP:
            raise UsageError("ganzoo uninstall removes plugins, not ganzoo itself and its built-ins.")
        if not mine:
            known = {plugin.distribution for plugin in everyone}
            there = did_you_mean(name, known) or " No plugin is installed."
            message = f"No installed distribution {quoted(name)} has a ganzoo plugin; use pip to remove others"
            raise UsageError(f"{message}.{there}")
        found += mine
    return found


def uninstall(names: Sequence[str]) -> None:
    """Removes the distributions with pip; PluginError if pip leaves one, as it does outside its own environment."""
    words = ["--yes", *names]
    command = [*pip_command("uninstall", names), *words]
    log.info(f"Running: {' '.join(command)}")
    run_pip(command, "uninstall", names)
    invalidate_caches()
    left = {plugin.distribution for plugin in all_installed()} & {normalize(name) for name in names}
    if left:
        raise PluginError(f"pip has left {', '.join(sorted(left))}: not installed in {sys.prefix}, or installed twice.")


def all_installed() -> list[Plugin]:
    """Returns `installed()` without the limit of GANZOO_LOAD_PLUGINS."""
    limit = os.environ.pop("GANZOO_LOAD_PLUGINS", None)
    try:
        return installed()
    finally:
        if limit is not None:
            os.environ["GANZOO_LOAD_PLUGINS"] = limit
