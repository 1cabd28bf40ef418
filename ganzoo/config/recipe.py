"""A variant with its parts looked up, so that nothing below needs the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ganzoo.config.parts import KIND_OF, conditions_of, parts_of
from ganzoo.registry.discovery import Plugin
from ganzoo.registry.registry import Registry
from ganzoo.variant import Part, Training, Variant


@dataclass(frozen=True)
class BoundPart:
    """A part of a variant together with the factory that the registry has under its name.

    `path` is its place in the settings ("generator", "regularizers.r1"), `plugin` the one that registered it.
    """

    path: str
    name: str
    options: Mapping[str, Any]
    factory: Callable[..., Any]
    plugin: Plugin


@dataclass(frozen=True)
class Recipe:
    """A resolved variant and all that building it needs: its parts by path, and the plugin that provides it.

    `conditions` compute inputs, by the name of the input.
    """

    variant: Variant
    parts: Mapping[str, BoundPart]
    plugin: Plugin
    conditions: Mapping[str, BoundPart] = field(default_factory=dict)

    @property
    def training(self) -> Training:
        """The training settings of the variant."""
        return self.variant.training

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """The plugins of the variant, of its parts and of its conditions."""
        return (self.plugin, *(part.plugin for part in (*self.parts.values(), *self.conditions.values())))

    def with_training(self, **changes: Any) -> Recipe:
        """The same recipe with some training settings replaced."""
        return replace(self, variant=replace(self.variant, training=replace(self.training, **changes)))


def bind_part(path: str, part: Part, registry: Registry) -> BoundPart:
    """Looks one part up; UsageError for an unknown name, PluginError for one that cannot be used."""
    claim = registry.claim(KIND_OF[path.partition(".")[0]], part.name)
    return BoundPart(path, part.name, part.options, claim.value, claim.plugin)


def bind(variant: Variant, registry: Registry) -> Recipe:
    """Looks up the parts of a variant as it is; `resolve` applies settings and checks options first."""
    parts = {path: bind_part(path, part, registry) for path, part in parts_of(variant).items()}
    conditions = {path: bind_part(path, part, registry) for path, part in conditions_of(variant).items()}
    inputs = {path.partition(".")[2]: part for path, part in conditions.items()}
    return Recipe(variant, parts, registry.claim("variants", variant.name).plugin, inputs)
