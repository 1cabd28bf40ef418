"""What the tests of translators share: specifications with a source, and the numbers of tests/golden/translation.py."""

from __future__ import annotations

import numpy
import torch
from golden.from_names import numbers, state

from ganzoo import Field, SampleSpec


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
