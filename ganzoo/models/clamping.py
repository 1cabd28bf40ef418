"""Lets gradients through the clamp to [-1, 1] at the end of a generator, beyond which they would be 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CLAMPS = (torch.clamp, torch.clip, Tensor.clamp, Tensor.clip)


class ThroughClamp(TorchFunctionMode):
    """In its context, `clamp(-1, 1)` has the gradient 1 everywhere; its values stay.

    StyleGAN2 has no tanh and clamps its images in evaluation. A search that begins where a pixel is 1.5 and should be
    -1 would not move without it. Other clamps, as that of features, are as they are.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        found = func(*args, **given)
        if func not in CLAMPS or not isinstance(args[0], Tensor):
            return found
        low, high = [*args[1:], *[None] * 2][:2]
        if (given.get("min", low), given.get("max", high)) != (-1, 1):
            return found
        return args[0] + (found - args[0]).detach()
