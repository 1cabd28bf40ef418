"""Registers parts in this process alone, for notebooks and scripts; a plugin does it with hooks. Torch-free."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ganzoo.errors import PluginError, UsageError
from ganzoo.files.text import quoted
from ganzoo.registry.plugin_guard import SlowLoadWarning
from ganzoo.registry.registry import IN_PROCESS, KINDS, SINGULAR, Registry, in_plugin_line, registry
from ganzoo.variant import Variant

NAMED = 6  # parts in a message

Factory = TypeVar("Factory", bound=Callable[..., Any])


def register_in_process(kind: str, name: str) -> Callable[[Factory], Factory]:
    """Returns a decorator that registers a factory under a name in this process, and returns it unchanged."""
    _refuse_plugins(kind)
    if not isinstance(name, str):
        raise UsageError(
            f"Registering a {SINGULAR[kind]} takes its name first, in quotation marks, not {quoted(name)}."
        )

    def register(factory: Factory) -> Factory:
        if not callable(factory):
            raise UsageError(f"A {SINGULAR[kind]} is a class or a function, not {quoted(factory)}.")
        _register(kind, name, factory)
        return factory

    return register


def register_variant_in_process(variant: Variant) -> Variant:
    """Registers a card in this process, and returns it."""
    _refuse_plugins("variants")
    if not isinstance(variant, Variant):
        raise UsageError(f"A variant is a ganzoo.Variant, not {quoted(variant)}.")
    _register("variants", variant)
    return variant


def _register(kind: str, *arguments: Any) -> None:
    try:
        registry().register(kind, *arguments)
    except ValueError as error:  # of `check_name`
        raise UsageError(f"{error}.") from None


def _refuse_plugins(kind: str) -> None:
    """PluginError while a plugin is being loaded: its import registers nothing."""
    if SlowLoadWarning.plugin is not None:
        raise PluginError(in_plugin_line(kind, SlowLoadWarning.plugin.name))


def facts_of(named: Iterable[tuple[str, str]], registry: Registry) -> dict[str, str]:
    """Returns those of the (kind, name) that are registered in this process alone, as a config.json states them.

    {"losses.mine": the sha256 of its source text, or "" where Python knows no source}.
    """
    found = {}
    for kind, name in named:
        if name in registry.names(kind):
            claim = registry.claim(kind, name)
            if claim.plugin.distribution == IN_PROCESS:
                found[f"{kind}.{name}"] = "" if isinstance(claim.value, Variant) else source_hash(claim.value)
    return found


def source_hash(factory: Any) -> str:
    """Returns the sha256 of the source text of a class or function; "" where Python knows none."""
    try:
        return hashlib.sha256(inspect.getsource(factory).encode()).hexdigest()
    except (OSError, TypeError, SyntaxError):
        return ""


def missing_here(facts: Mapping[str, Any], registry: Registry) -> list[str]:
    """Returns those of `facts_of` that nothing registers here, in words: "loss 'mine'"."""
    named = [key.partition(".") for key in facts if isinstance(key, str)]
    return [
        f"{SINGULAR[kind]} {quoted(name)}"
        for kind, _, name in named
        if kind in KINDS and name not in registry.names(kind)
    ]


def changed_here(facts: Mapping[str, Any], registry: Registry) -> list[str]:
    """Returns those of `facts_of` that are registered here with another source text, in words."""
    named = [(key.partition("."), value) for key, value in facts.items()]
    now = facts_of([(kind, name) for (kind, _, name), _ in named if kind in KINDS], registry)
    return [
        f"{SINGULAR[kind]} {quoted(name)}"
        for (kind, _, name), before in named
        if before and now.get(f"{kind}.{name}", before) not in (before, "")
    ]


def in_words(names: list[str]) -> str:
    """Names parts that are missing because no plugin has them: "the loss 'mine' (registered in ...)"."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    listed = " and the ".join(names[:NAMED])
    return f"the {listed}{more} (registered in the Python process that made it, and in no plugin)"
