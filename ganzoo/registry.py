"""The registry: finds plugins, isolates the broken ones, and looks names up. Torch-free."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any

import pluggy

from . import hookspecs
from .errors import PluginError, UsageError, did_you_mean
from .variant import Variant, check_name

GROUP = "ganzoo"
KINDS = ("variants", "generators", "discriminators", "losses", "regularizers", "augmentations", "datasets", "extractors", "metrics")
SINGULAR = {kind: kind[:-1] for kind in KINDS} | {"losses": "loss", "datasets": "data set"}


@dataclass
class Plugin:
    """One entry point of the group `ganzoo`: who provides it, and why it does not work if it does not."""

    name: str
    distribution: str
    version: str
    module: str
    builtin: bool
    error: str | None = None
    registered: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """A name, what is registered under it, and the plugin that says so."""

    plugin: Plugin
    value: Any


class Registry:
    """All plugins and what they registered; part hooks are called only when a part is first looked up."""

    def __init__(self, entry_points=None):
        self.plugins: list[Plugin] = []
        self.warnings: list[str] = []
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._claims: dict[str, dict[str, list[Claim]]] = {}
        for entry_point in sorted(installed() if entry_points is None else entry_points, key=_order):
            self._load(entry_point)
        self._table("variants")

    # -- loading ---------------------------------------------------------------------------------------------------

    def _load(self, entry_point) -> None:
        distribution = entry_point.dist
        plugin = Plugin(
            name=f"{distribution.name}:{entry_point.name}",
            distribution=distribution.name,
            version=distribution.version,
            module=entry_point.value,
            builtin=distribution.name == GROUP,
        )
        self.plugins.append(plugin)
        try:
            with contextlib.redirect_stdout(sys.stderr):  # a print at import would spoil --json
                module = entry_point.load()
            self._manager.register(module, plugin.name)
            callers = self._manager.get_hookcallers(module) or []
            unknown = [caller.name for caller in callers if not caller.has_spec()]
            if unknown:
                raise PluginError(f"implements an unknown hook '{unknown[0]}'." + did_you_mean(unknown[0], _hook_names()))
            if not callers:
                raise PluginError("registers nothing: none of its functions is marked with @ganzoo.hookimpl")
        except (Exception, SystemExit) as error:
            self._blame(plugin, error)

    def _blame(self, plugin: Plugin, error: BaseException) -> None:
        """Takes a plugin out of the game: one line for people, a row for `ganzoo plugins`."""
        plugin.error = _one_line(error)
        plugin.registered.clear()
        for table in self._claims.values():
            for name in list(table):
                table[name] = [claim for claim in table[name] if claim.plugin is not plugin]
                if not table[name]:
                    del table[name]
        if self._manager.has_plugin(plugin.name):
            self._manager.unregister(name=plugin.name)
        self.warnings.append(f"plugin {plugin.name} is broken and left out: {plugin.error}")

    def _table(self, kind: str) -> dict[str, list[Claim]]:
        """Calls the hook of one kind, once, plugin by plugin in a fixed order, and returns every claim by name."""
        if kind in self._claims:
            return self._claims[kind]
        table = self._claims[kind] = {}
        hook = getattr(self._manager.hook, f"register_{kind}")
        implementations = {implementation.plugin_name: implementation for implementation in hook.get_hookimpls()}
        for plugin in [plugin for plugin in self.plugins if plugin.name in implementations]:
            try:
                mine = self._call(kind, implementations[plugin.name])
            except (Exception, SystemExit) as error:
                self._blame(plugin, error)
                continue
            plugin.registered[kind] = sorted(mine)
            for name, value in mine.items():
                table.setdefault(name, []).append(Claim(plugin, value))
        for name, claims in table.items():
            if len(claims) > 1:
                self.warnings.append(_clash(kind, name, claims))
        return table

    def _call(self, kind: str, implementation) -> dict[str, Any]:
        mine: dict[str, Any] = {}

        def register(*arguments):
            name, value = _named(kind, arguments)
            if name in mine:
                raise PluginError(f"registers the {SINGULAR[kind]} '{name}' twice")
            mine[name] = value

        if implementation.hookwrapper or implementation.wrapper:
            raise PluginError(f"wraps register_{kind}: hook wrappers are not part of the contract, implement the hook itself")
        with contextlib.redirect_stdout(sys.stderr):
            implementation.function(*(register for _ in implementation.argnames))
        return mine

    # -- looking up ------------------------------------------------------------------------------------------------

    def names(self, kind: str) -> list[str]:
        """Sorted names of one kind that can be used: a name that several claim counts only if a built-in has it."""
        return sorted(name for name, claims in self._table(kind).items() if _winner(claims))

    def claim(self, kind: str, name: str) -> Claim:
        """The claim behind a name; UsageError with the nearest known name, or PluginError if several plugins claim it."""
        table = self._table(kind)
        claims = table.get(name, [])
        if winner := _winner(claims):
            return winner
        if claims:
            raise PluginError(_clash(kind, name, claims))
        broken = sum(plugin.error is not None for plugin in self.plugins)
        hint = f" ({broken} broken plugin{'s' * (broken > 1)} left out: see `ganzoo plugins`)" if broken else ""
        raise UsageError(f"No {SINGULAR[kind]} is called '{name}'.{did_you_mean(name, self.names(kind))}{hint}")

    def get(self, kind: str, name: str) -> Any:
        """What is registered under a name (a Variant, or a factory); errors as `claim`."""
        return self.claim(kind, name).value

    def table(self, kind: str) -> dict[str, Any]:
        """Every usable name of one kind with what is registered under it."""
        return {name: self.get(kind, name) for name in self.names(kind)}

    def variants(self) -> list[Variant]:
        """All variants, sorted by name."""
        return list(self.table("variants").values())


def _named(kind: str, arguments: tuple) -> tuple[str, Any]:
    if kind == "variants":
        if len(arguments) != 1 or not isinstance(arguments[0], Variant):
            raise PluginError(f"register_variants takes register(Variant), got register({', '.join(map(_short, arguments))})")
        return arguments[0].name, arguments[0]
    if len(arguments) != 2 or not callable(arguments[1]):
        raise PluginError(f"register_{kind} takes register(name, factory), got register({', '.join(map(_short, arguments))})")
    return check_name(arguments[0]), arguments[1]


def _winner(claims: list[Claim]) -> Claim | None:
    builtin = [claim for claim in claims if claim.plugin.builtin]
    if len(builtin) == 1:
        return builtin[0]
    return claims[0] if len(claims) == 1 else None


def _clash(kind: str, name: str, claims: list[Claim]) -> str:
    owners = " and ".join(claim.plugin.name for claim in claims)
    winner = _winner(claims)
    verdict = f"the built-in one of {winner.plugin.name} is used" if winner else "none is used; uninstall all but one"
    return f"The {SINGULAR[kind]} '{name}' is registered by {owners}: {verdict}."


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or "no message"
    return text if isinstance(error, PluginError) else f"{type(error).__name__}: {text}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _hook_names() -> list[str]:
    return [f"register_{kind}" for kind in KINDS]


def _order(entry_point) -> tuple:
    return entry_point.dist.name != GROUP, entry_point.dist.name.lower(), entry_point.name


def installed() -> list:
    """The entry points to load: all, or the built-ins and the distributions that `GANZOO_LOAD_PLUGINS` names, by commas."""
    found = list(metadata.entry_points(group=GROUP))
    limit = os.environ.get("GANZOO_LOAD_PLUGINS")
    if limit is None:
        return found
    wanted = {GROUP} | {name.strip() for name in limit.split(",")}
    return [entry_point for entry_point in found if entry_point.dist.name in wanted]


@cache
def registry() -> Registry:
    """The registry of this process."""
    return Registry()
