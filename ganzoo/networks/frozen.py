"""Pretrained networks that other modules use and that never learn."""

from __future__ import annotations

from typing import Any

from torch import nn


class FrozenNetwork:
    """Calls a pretrained network in evaluation mode, with gradients for its inputs and none for its weights.

    It is no module: a module that holds one has none of its parameters and buffers, so that no optimizer moves them and
    no checkpoint holds them. `network` is the module itself.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network.eval().requires_grad_(False)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.network(*inputs, **options)
