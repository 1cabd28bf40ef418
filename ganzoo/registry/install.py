"""Installs and removes plugins with pip, in the environment that runs ganzoo, without touching ganzoo or torch. Torch-free."""

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
from importlib import invalidate_caches, metadata, util
from pathlib import Path
from typing import Any

from ganzoo.errors import PluginError, UsageError, did_you_mean
from ganzoo.registry.discovery import GROUP, Plugin, installed, normalize, printable

log = logging.getLogger(__name__)

KEPT = (GROUP, "torch")  # what no plugin may replace: one would be another program, the other is gigabytes
LISTING_SECONDS = 120
REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Planned:
    """A distribution that pip would install: from where, and whether it was asked for or is needed by another."""

    name: str
    version: str
    url: str
    requested: bool


def pip_command(action: str, words: Sequence[str] = ()) -> list[str]:
    """`python -m pip <action>` of this environment; UsageError with the command to give instead where there is no pip."""
    if util.find_spec("pip") is None:
        instead = " ".join(["uv pip", action, "--python", sys.executable, *words])
        raise UsageError(f"This environment has no pip, as uv makes them. Run: {instead}   and then: ganzoo plugins")
    return [sys.executable, "-m", "pip", action, "--disable-pip-version-check"]


def install(
    packages: Sequence[str], editable: Sequence[str], options: Sequence[str], dry_run: bool = False
) -> list[str]:
    """Installs plugins and returns the names of the distributions that were asked for.

    pip says first what it would install; That and the command are logged. UsageError, and nothing is changed, if pip cannot
    or if ganzoo or torch would be replaced. `options` go to pip.
    """
    refuse_kept(packages)
    words = [*packages, *(word for path in editable for word in ("-e", path)), *options]
    command = pip_command("install", words)
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "kept.txt"
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in kept_versions().items()))
        command += ["--upgrade-strategy", "only-if-needed", "--constraint", str(constraints), *words]
        planned = plan(command)
        refuse_replacing(planned)
        log.info(f"Into {sys.prefix}:")
        for item in planned:
            log.info(
                f"  {item.name} {item.version}  from {item.url}{'' if item.requested else '  (needed by another)'}"
            )
        if not planned:
            log.info("  nothing: what was asked for is installed already")
        elif not dry_run:
            kept = ", ".join(f"{name}=={version}" for name, version in kept_versions().items())
            log.info(f"Running: {' '.join(command)}   ({constraints.name}: {kept})")
            run_pip(command, "install", words)
    invalidate_caches()
    return sorted(
        {normalize(item.name) for item in planned if item.requested} | {name_in(word) for word in packages} - {""}
    )


def kept_versions() -> dict[str, str]:
    """The installed versions of what is not replaced."""
    found = {}
    for name in KEPT:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def plan(command: Sequence[str]) -> list[Planned]:
    """What pip would install, by its own dry run."""
    done = subprocess.run([*command, "--dry-run", "--quiet", "--report", "-"], stdout=subprocess.PIPE)
    if done.returncode:
        raise PluginError(
            f"pip cannot install that (exit code {done.returncode}); its own words stand above. Nothing was changed."
        )
    found = []
    for item in json.loads(done.stdout)["install"]:
        facts = item["metadata"]
        found.append(
            Planned(
                facts["name"], facts["version"], printable(item["download_info"]["url"]), bool(item.get("requested"))
            )
        )
    return sorted(found, key=lambda item: (not item.requested, item.name))


def refuse_kept(packages: Sequence[str]) -> None:
    """UsageError if ganzoo or torch is asked for by name."""
    for name in map(name_in, packages):
        if name in KEPT:
            raise UsageError(
                f"ganzoo install adds plugins; {name} itself is installed with pip, by whoever keeps this environment."
            )


def refuse_replacing(planned: Sequence[Planned]) -> None:
    """UsageError if pip would put another ganzoo or torch in the place of this one."""
    for item in planned:
        if normalize(item.name) in KEPT:
            here = kept_versions().get(normalize(item.name), "none")
            raise UsageError(
                f"That would install {item.name} {item.version} over {here}, which plugins must not. Nothing was changed."
            )


def name_in(word: str) -> str:
    """The distribution that a requirement or a wheel's file name names, normalized; "" for another path or an address."""
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
            f"pip {action} {' '.join(words)} failed (exit code {done.returncode}); its own words stand above."
        )


def listing() -> dict[str, Any]:
    """What a fresh process says of all plugins, limited by nothing: {"plugins": [...], "warnings": [...]}.

    PluginError if a plugin ends that process, or does not let it come to an end.
    """
    environment = {key: value for key, value in os.environ.items() if key != "GANZOO_LOAD_PLUGINS"}
    command = [sys.executable, "-m", GROUP, "plugins", "--json"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LISTING_SECONDS)
        return json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise PluginError(f"`ganzoo plugins` does not end within {LISTING_SECONDS} seconds: a plugin hangs.") from None
    except ValueError:
        last = (done.stderr.splitlines() or ["it says nothing"])[-1]
        raise PluginError(f"`ganzoo plugins` fails (exit code {done.returncode}): {printable(last)}") from None


def removable(names: Sequence[str]) -> list[Plugin]:
    """The installed plugins of the distributions; UsageError for ganzoo itself and for what is no plugin."""
    everyone = [plugin for plugin in installed_without_limit() if not plugin.builtin]
    found = []
    for name in map(normalize, names):
        mine = [plugin for plugin in everyone if plugin.distribution == name]
        if name == GROUP:
            raise UsageError("ganzoo uninstall removes plugins, not ganzoo itself and its built-ins.")
        if not mine:
            known = {plugin.distribution for plugin in everyone}
            there = did_you_mean(name, known) or " No plugin is installed."
            what = f"No installed distribution '{printable(name)}' has a ganzoo plugin; what is no plugin is for pip to remove"
            raise UsageError(f"{what}.{there}")
        found += mine
    return found


def uninstall(names: Sequence[str]) -> None:
    """Removes the distributions with pip; PluginError if pip leaves one of them, as it does outside its own environment."""
    words = ["--yes", *names]
    command = [*pip_command("uninstall", names), *words]
    log.info(f"Running: {' '.join(command)}")
    run_pip(command, "uninstall", names)
    invalidate_caches()
    left = {plugin.distribution for plugin in installed_without_limit()} & {normalize(name) for name in names}
    if left:
        raise PluginError(f"pip has left {', '.join(sorted(left))}: not installed in {sys.prefix}, or installed twice.")


def installed_without_limit() -> list[Plugin]:
    """As `installed`, whatever GANZOO_LOAD_PLUGINS says."""
    limit = os.environ.pop("GANZOO_LOAD_PLUGINS", None)
    try:
        return installed()
    finally:
        if limit is not None:
            os.environ["GANZOO_LOAD_PLUGINS"] = limit
