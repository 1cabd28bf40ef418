"""The inputs that a network takes besides its first two arguments, as its `forward` names them."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def accepted_inputs(module: nn.Module, known: Collection[str]) -> tuple[str, ...]:
    """Returns which of the `known` inputs a network's `forward` takes: those that it names, or all with `**inputs`.

    Ask it before `torch.compile`, which hides the signature.
    """
    parameters = list(inspect.signature(module.forward).parameters.values())
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return tuple(known)
    named = {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL}
    return tuple(name for name in known if name in named)


def placement(module: nn.Module) -> Tensor:
    """Returns a tensor with the device and the number format of a network; of one without tensors, float32 on the CPU.

    Pass it to `Tensor.to`.
    """
    tensors = (tensor for found in (module.parameters(), module.buffers()) for tensor in found)
    return next((tensor for tensor in tensors if tensor.is_floating_point()), torch.empty(0))


def call(network: nn.Module, first: Any, label: Any, inputs: Mapping[str, Any]) -> Any:
    """Calls a generator with latents, or a discriminator with samples, labels, and those inputs that it takes."""
    return network(first, label, **select_inputs(network, inputs))


def select_inputs(module: nn.Module, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those of the inputs that a network takes, to be passed as keywords."""
    return {name: inputs[name] for name in accepted_inputs(module, inputs)}
