"""The networks of registered variants with the shapes of their tensors, for files that have our own names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import Tensor

from ganzoo.config.recipe import bind_part
from ganzoo.convert.bundles import Shapes
from ganzoo.convert.request import Request
from ganzoo.engine.build import build_part
from ganzoo.errors import GanzooError, UsageError
from ganzoo.layouts import Match
from ganzoo.models.meta_device import without_numbers
from ganzoo.registry.registry import Registry
from ganzoo.variant import Field, ImageSpec, Part, SampleSpec, Variant

Role = Literal["generator", "discriminator"]
DIGITS = re.compile(r"\d+")


@dataclass
class OwnNetworks:
    """Builds the networks that a request may mean, each once, without memory and without initialization."""

    request: Request
    registry: Registry
    built: dict[Any, Shapes | GanzooError] = field(default_factory=dict)

    def state_of(self, match: Match) -> dict[str, Tensor]:
        """Returns the tensors of a network on the meta device."""
        with without_numbers():
            return build_part(bind_part(match.role, match.part, self.registry), match.image).state_dict()

    def shapes_of(self, match: Match) -> Shapes:
        """Returns names and shapes of a network's tensors; GanzooError if it cannot be built for these images."""
        key = match.role, match.part.name, repr(sorted(match.part.options.items())), match.image
        if key not in self.built:
            try:
                self.built[key] = {name: tuple(tensor.shape) for name, tensor in self.state_of(match).items()}
            except GanzooError as error:
                self.built[key] = error
        found = self.built[key]
        if isinstance(found, GanzooError):
            raise found
        return found

    def guesses(self, variant: Variant, role: Role) -> list[tuple[Shapes, Match]]:
        """Returns the networks of a variant for every image size and number of channels that the request leaves open.

        GanzooError if none of them can be built.
        """
        found, problem = [], None
        for match in self._matches(variant, role):
            try:
                found.append((self.shapes_of(match), match))
            except GanzooError as error:
                problem = error
        if not found and problem is not None:
            raise problem
        return found

    def may_fit(self, variant: Variant, role: Role, shapes: Shapes) -> bool:
        """False if the network of the variant's own size shares no first part of a name with the file.

        Numbers in names are ignored: other sizes have more layers of the same names.
        """
        parts = {DIGITS.sub("", part) for name in shapes for part in name.split(".")}
        for match in self._matches(variant, role):
            try:
                return any(DIGITS.sub("", name.partition(".")[0]) in parts for name in self.shapes_of(match))
            except GanzooError:  # not for these images: the next guess
                continue
        return False

    def _matches(self, variant: Variant, role: Role) -> Iterator[Match]:
        """Yields the networks that a request may mean, the variant's own size first."""
        part, request = getattr(variant, role), self.request
        if part is None:
            raise UsageError(f"The variant {variant.name} has no {role}.")
        rule = variant.size_rule
        # Translators of any multiple are fully convolutional: their weights are the same at all sizes.
        sizes = rule.own if variant.inputs and rule.multiple else rule.every()
        for size in [request.image_size] if request.image_size else sizes:
            for channels in [request.channels] if request.channels else [3, 1]:
                image = with_inputs(variant, ImageSpec(size, channels, request.classes or 0), self.registry)
                yield Match(part, image, role)


def with_inputs(variant: Variant, image: SampleSpec, registry: Registry) -> SampleSpec:
    """Returns a specification with the inputs of a variant: as its conditions make them, else shaped as the output."""
    inputs = dict(image.inputs)
    for name, part in variant.inputs.items():
        inputs[name] = _made(part, image.output, registry) or image.output
    return SampleSpec(image.output, inputs)


def conditions_of(variant: Variant, image: SampleSpec, registry: Registry) -> dict[str, Part | None]:
    """Returns the conditions of a variant that make the inputs of a specification, None for an input that none makes.

    A condition with a `factor` is given that of the specification.
    """
    found: dict[str, Part | None] = {}
    for name, one in image.sources.items():
        part = variant.inputs.get(name)
        if part is not None and "factor" in part.options and one.kind == image.output.kind == "image":
            part = replace(part, options={**part.options, "factor": image.output.shape[1] // one.shape[1]})
        found[name] = part if _made(part, image.output, registry) == one else None
    return found


def _made(part: Part | None, output: Field, registry: Registry) -> Field | None:
    """Returns the source that a condition makes of an output; None if it cannot, as one that stores alpha."""
    if part is None:
        return None
    try:
        return dict(registry.get("conditions", part.name)(SampleSpec(output), **part.options).fields).get("source")
    except (GanzooError, ValueError):
        return None
