"""The base class of generators: the prior, truncation, interpolation and named codes of their latents."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo.errors import UsageError


@dataclass(frozen=True)
class Code:
    """Columns `start` to `start + size` of a latent that have a meaning of their own, as InfoGAN's do.

    "categorical" columns are one one-hot vector; "continuous" ones are `size` separate numbers, sampled between `low`
    and `high`.
    """

    name: str
    start: int
    size: int
    kind: Literal["categorical", "continuous"]
    low: float = 0.0
    high: float = 1.0


class Generator(nn.Module):
    """Maps latents, and inputs such as a source image, to samples; the base class of every generator.

    A generator sets its `latent_dim`, which is 0 if it takes no latent, and defines `forward(latent, label=None)`, or
    `synthesis` and perhaps `mapping`. It takes latents (N, latent_dim), labels (N,) int64 or None, and the inputs that
    its forward names as keywords: `forward(latent, label=None, *, source)`. It returns samples: images (N, C, H, W), in
    evaluation mode in [-1, 1], or points (N, 2). `channels_last` is False for networks that are faster in torch's
    default layout, as those with many channels at a few pixels are; any module may state it. `codes` names the columns
    of the latent that have a meaning, if any have.
    """

    latent_dim: int
    channels_last: bool = True
    codes: tuple[Code, ...] = ()

    def latent(self, n: int, random: torch.Generator) -> Tensor:
        """Samples latents (n, latent_dim) from the prior on `random`'s device: standard normal unless overridden."""
        return torch.randn(n, self.latent_dim, generator=random, device=random.device, dtype=torch.float32)

    def truncate(self, latent: Tensor, truncation: float) -> Tensor:
        """Maps latents (N, latent_dim) into [-truncation, truncation], distributed as the prior cut off there.

        For a standard normal prior that is the truncation trick (Brock et al. 2018, section 3.1), which samples again
        the numbers outside. Here every number goes through its cumulative distribution and back through that of the
        truncated normal, z' = √2 erf⁻¹(erf(z/√2) erf(t/√2)): the same distribution, and a seed's latents move smoothly
        with `truncation`. Generators with another prior override it; UsageError if one does not.
        """
        if type(self).latent is not Generator.latent:
            raise UsageError(
                f"{type(self).__name__} has a prior of its own and does not define `truncate`: leave truncation out."
            )
        quantile = torch.erf(latent.detach().cpu().double() / math.sqrt(2)) * math.erf(truncation / math.sqrt(2))
        return (math.sqrt(2) * torch.erfinv(quantile)).clamp(-truncation, truncation).to(latent)

    def truncate_classes(self, style: Tensor, truncation: float, label: Tensor | None) -> Tensor:
        """Truncates styles (N, ..., D) of labels (N,): as `truncate`, unless the classes have mean styles of their own.

        StyleGAN-XL moves a style towards the mean of its class (Sauer et al. 2022, 2202.00273).
        """
        return self.truncate(style, truncation)

    def interpolate(self, start: Tensor, end: Tensor, t: float) -> Tensor:
        """Interpolates between latents `start` (t = 0) and `end` (t = 1) along the sphere on which normal latents lie.

        What a mapping gives lies on no sphere: between styles the line is straight. Generators with another prior
        override it (a straight line suits uniform codes). White 2016, section 2.1.
        """
        if self.has_mapping:
            return torch.lerp(start, end, t)
        cosine = functional.cosine_similarity(start, end, dim=1).clamp(-1 + 1e-6, 1 - 1e-6)
        angle = torch.acos(cosine)[:, None]
        return (torch.sin((1 - t) * angle) * start + torch.sin(t * angle) * end) / torch.sin(angle)

    def init_from_data(self, mean: Tensor) -> None:
        """Initializes parameters or buffers from the mean (C, H, W) in [-1, 1] of the training images.

        Called before training starts; does nothing unless overridden. It must sample no random numbers. `mean` is
        float32 on the CPU, where the generator is too. On resuming it may be called again, before the checkpoint is
        loaded.
        """

    @property
    def has_mapping(self) -> bool:
        """True if the generator maps latents to styles before it makes samples of them."""
        return type(self).mapping is not Generator.mapping

    def mapping(self, latent: Tensor, label: Tensor | None = None, **inputs: Any) -> Tensor:
        """Returns the styles of latents: the latents themselves unless overridden (Karras et al. 2019, section 2)."""
        return latent

    def synthesis(self, style: Tensor, label: Tensor | None = None, **inputs: Any) -> Tensor:
        """Returns the samples of styles; in evaluation mode `forward` is this after `mapping`."""
        if self.has_mapping:
            raise TypeError(f"{type(self).__name__} defines mapping and must define synthesis(style, label)")
        return self(style, label, **inputs)

    def _composed(self, latent: Tensor, label: Tensor | None = None, **inputs: Any) -> Tensor:
        if type(self).synthesis is Generator.synthesis:
            raise TypeError(f"{type(self).__name__} must define forward(latent, label) or synthesis(style, label)")
        return self.synthesis(self.mapping(latent, label, **inputs), label, **inputs)

    forward: Callable[..., Tensor] = _composed  # overridden with the inputs of each generator by name


class UniformGenerator(Generator):
    """A generator whose latents are uniform in [middle - edge, middle + edge), each number independently."""

    middle, edge = 0.0, 1.0

    def latent(self, n: int, random: torch.Generator) -> Tensor:
        unit = torch.rand(n, self.latent_dim, generator=random, device=random.device, dtype=torch.float32)
        return (unit * 2 - 1) * self.edge + self.middle

    def truncate(self, latent: Tensor, truncation: float) -> Tensor:
        """Scales latents to at most `truncation` from the middle: a uniform distribution cut off is a narrower one."""
        return (latent - self.middle) * min(truncation / self.edge, 1.0) + self.middle

    def interpolate(self, start: Tensor, end: Tensor, t: float) -> Tensor:
        """Interpolates along a straight line: latents that fill a cube lie on no sphere."""
        return torch.lerp(start, end, t)
