"""Recomputes batch-norm statistics for the EMA generator (standing statistics, Brock et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ganzoo.networks import Generator

BATCHES, BATCH = 16, 64


def has_statistics(generator: nn.Module) -> bool:
    """Whether any layer normalizes by running statistics."""
    return any(isinstance(module, _BatchNorm) and module.track_running_stats for module in generator.modules())


@torch.no_grad()
def recalibrate_batch_norm(
    generator: Generator, batches: Iterable[tuple[Tensor, Tensor | None, Mapping[str, Tensor]]]
) -> None:
    """Replaces all running statistics by their mean over `batches` of (latents, labels, inputs).

    The rest of the generator stays in evaluation mode.
    """
    norms = [module for module in generator.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    try:
        for latent, label, inputs in batches:
            generator(latent, label, **inputs)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
