"""What the tests of translators share: specifications with a source, and the numbers of tests/golden/translation.py."""

from __future__ import annotations

from dataclasses import replace

import numpy
import torch
from golden.from_names import numbers, state

from ganzoo import Field, SampleSpec
from ganzoo.config.recipe import bind
from ganzoo.engine.build import build_trainer
from ganzoo.registry.registry import registry


def pairs(height: int, width: int | None = None, *, source: int = 3, output: int = 3) -> SampleSpec:
    """Outputs and sources of one size, with these channels."""
    size = (height, width or height)
    return SampleSpec(Field((output, *size)), {"source": Field((source, *size))})


def load_named(network: torch.nn.Module, prefix: str) -> torch.nn.Module:
    """Gives a network, whose tensors have the official names, the numbers of the official one; in float64."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    named = {name: torch.from_numpy(value).double() for name, value in state(shapes, prefix).items()}
    wanting = network.double().load_state_dict(named, strict=False)
    assert all(name.endswith(("num_batches_tracked", "filt")) for name in wanting.missing_keys)
    return network


def images(name: str, *shape: int) -> torch.Tensor:
    """The images of this name, float64 in [-1, 1]."""
    return torch.from_numpy(numpy.tanh(numbers(name, shape, outputs=0) * 5)).double()


def trace(network: torch.nn.Module, role: str) -> torch.Tensor:
    """The sum of all parameters, each times a number of its name."""
    return sum(
        (value.detach() * torch.from_numpy(numbers(f"trace.{role}.{name}", tuple(value.shape)))).sum()
        for name, value in network.named_parameters()
    )


class NamedBatches:
    """The minibatches of a golden script: images `<name>.A.<number>` as sources and `<name>.B.<number>` as outputs."""

    def __init__(self, spec: SampleSpec, size: int, name: str):
        self.spec, self.batch_size, self.name = spec, size, name

    def sample(self, number, part):
        fields = {"A": self.spec.inputs["source"], "B": self.spec.output}
        made = {side: images(f"{self.name}.{side}.{number}", self.batch_size, *fields[side].shape) for side in fields}
        return {"source": made["A"][part], "output": made["B"][part]}


def translation_trainer(variant, spec, batches, *, generator=None, discriminator=None, loss=None, **training):
    """The trainer of a registered variant with changed options, in float64."""
    variant = registry().get("variants", variant)
    for role, more in (("generator", generator), ("discriminator", discriminator), ("loss", loss)):
        part = getattr(variant, role)
        variant = replace(variant, **{role: replace(part, options={**part.options, **(more or {})})})
    training = {"batch_size": batches.batch_size, **training}
    variant = replace(variant, training=replace(variant.training, **training))
    return build_trainer(bind(variant, registry()), spec, batches, dtype=torch.float64)
