"""Builds the optimizer of each role by name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganzoo.errors import UsageError, did_you_mean
from ganzoo.variant import OPTIMIZERS, Training

FUSED = ("adam", "adamw", "sgd")


def build_optimizer(
    training: Training, role: str, parameters: Sequence[nn.Parameter], device: torch.device
) -> torch.optim.Optimizer:
    """Builds the optimizer of one role ("generator", "discriminator", "loss") from the training settings.

    The fused kernel is used where it exists. UsageError for an unknown optimizer or options that it refuses.
    """
    name = getattr(training, f"{role}_optimizer") or training.optimizer
    if name not in OPTIMIZERS:
        raise UsageError(f"No optimizer is called '{name}'.{did_you_mean(name, OPTIMIZERS)}")
    rate = getattr(training, f"{role}_lr")
    rate = training.generator_lr if rate is None else rate
    options = {**training.optimizer_options, **getattr(training, f"{role}_optimizer_options")}
    if "betas" in options:
        options["betas"] = tuple(float(beta) for beta in options["betas"])  # torch 2.13 refuses an int beside a float
    if name in FUSED and device.type in ("cpu", "cuda") and not options.get("foreach"):
        options.setdefault("fused", True)
    try:
        return getattr(torch.optim, OPTIMIZERS[name])(parameters, lr=rate, **options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The optimizer '{name}' of the {role} refuses its options {options}: {error}") from None


def stage(module: nn.Module) -> int | None:
    """Returns the stage that a growing network is in, its `optimizer_stage`; None for all others."""
    return getattr(module, "optimizer_stage", None)


def match_layout(optimizer: torch.optim.Optimizer) -> None:
    """Gives moments the memory layout of their parameter, because fused kernels walk both by address."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
