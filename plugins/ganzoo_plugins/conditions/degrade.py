"""Photographs made bad as cameras, editors and the web do it: the second-order degradation of Real-ESRGAN."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor

from ganzoo import Field, SampleSpec
from ganzoo.data import Condition
from ganzoo.networks import sharpened

from .degrade_draws import DICE, KernelShares, Order, Plan, Range, Shares, check_probability, draw
from .degrade_stages import blurred, compressed, noisy, resized

FACTORS = (1, 2, 3, 4, 8)
SMALLEST = 4  # pixels of a source


class Degrade(Condition):
    """A copy of the output, smaller and as bad as photographs on the web, as Real-ESRGAN learns from.

    The output is sharpened, blurred, resized, made noisy and compressed as JPEG, twice, and brought to its size with a
    sinc filter before or after the last compression; all of it is drawn for each image. Grey or RGB images, rounded to
    bytes. Options have the names and values of Real-ESRGAN's train_realesrgan_x4plus.yml; those of the second order end
    with 2. The first order leaves out all after the first JPEG but the resize. A `strength` below 1 weakens what is
    drawn: deviations, noises, 1 - scales and 100 - qualities are multiplied by it.

    Options:
        factor: how many times smaller the source is: 1, 2, 3, 4 or 8.
        strength: factor of what is drawn; 1: as strong as Real-ESRGAN's.
        second_order: whether all stages come twice.
        sharpen: whether the image is sharpened beside its edges first.
        kernel_prob: probabilities of six kinds of blur, as kernel_list of the official settings.
        sinc_prob: probability of a sinc filter in place of a blur.
        blur_sigma: least and most deviation of a blur, in pixels.
        betag_range: least and most shape of generalized Gaussians.
        betap_range: least and most shape of plateaus.
        resize_prob: probabilities to enlarge, shrink and keep.
        resize_range: least and most factor of a resize.
        gaussian_noise_prob: probability of Gaussian noise; else noise of photons.
        noise_range: least and most deviation of noise, in 255ths.
        poisson_scale_range: least and most strength of the noise of photons.
        gray_noise_prob: probability that noise is grey.
        jpeg_range: least and most quality of JPEG.
        second_blur_prob: probability of the second blur.
        kernel_prob2: probabilities of six kinds of blur, as kernel_list of the official settings, the second time.
        sinc_prob2: probability of a sinc filter in place of a blur, the second time.
        blur_sigma2: least and most deviation of a blur, in pixels, the second time.
        betag_range2: least and most shape of generalized Gaussians, the second time.
        betap_range2: least and most shape of plateaus, the second time.
        resize_prob2: probabilities to enlarge, shrink and keep, the second time.
        resize_range2: least and most factor of a resize, the second time.
        gaussian_noise_prob2: probability of Gaussian noise; else noise of photons, the second time.
        noise_range2: least and most deviation of noise, in 255ths, the second time.
        poisson_scale_range2: least and most strength of the noise of photons, the second time.
        gray_noise_prob2: probability that noise is grey, the second time.
        jpeg_range2: least and most quality of JPEG, the second time.
        final_sinc_prob: probability of the last sinc filter.
    """

    def __init__(
        self,
        stored: SampleSpec,
        factor: Literal[1, 2, 3, 4, 8] = 4,
        strength: float = 1.0,
        second_order: bool = True,
        sharpen: bool = True,
        kernel_prob: KernelShares = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03),
        sinc_prob: float = 0.1,
        blur_sigma: Range = (0.2, 3.0),
        betag_range: Range = (0.5, 4.0),
        betap_range: Range = (1.0, 2.0),
        resize_prob: Shares = (0.2, 0.7, 0.1),
        resize_range: Range = (0.15, 1.5),
        gaussian_noise_prob: float = 0.5,
        noise_range: Range = (1.0, 30.0),
        poisson_scale_range: Range = (0.05, 3.0),
        gray_noise_prob: float = 0.4,
        jpeg_range: Range = (30.0, 95.0),
        second_blur_prob: float = 0.8,
        kernel_prob2: KernelShares = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03),
        sinc_prob2: float = 0.1,
        blur_sigma2: Range = (0.2, 1.5),
        betag_range2: Range = (0.5, 4.0),
        betap_range2: Range = (1.0, 2.0),
        resize_prob2: Shares = (0.3, 0.4, 0.3),
        resize_range2: Range = (0.3, 1.2),
        gaussian_noise_prob2: float = 0.5,
        noise_range2: Range = (1.0, 25.0),
        poisson_scale_range2: Range = (0.05, 2.5),
        gray_noise_prob2: float = 0.4,
        jpeg_range2: Range = (30.0, 95.0),
        final_sinc_prob: float = 0.8,
    ) -> None:
        super().__init__(stored)
        self.first = Order(
            kernel_prob, sinc_prob, blur_sigma, betag_range, betap_range, resize_prob, resize_range,
            gaussian_noise_prob, noise_range, poisson_scale_range, gray_noise_prob, jpeg_range,
        )  # fmt: skip
        self.second = Order(
            kernel_prob2, sinc_prob2, blur_sigma2, betag_range2, betap_range2, resize_prob2, resize_range2,
            gaussian_noise_prob2, noise_range2, poisson_scale_range2, gray_noise_prob2, jpeg_range2,
        )  # fmt: skip
        self.factor, self.strength, self.second_order, self.sharpen = factor, strength, second_order, sharpen
        self.second_blur_prob, self.final_sinc_prob = second_blur_prob, final_sinc_prob
        self._check()
        self.size = (stored.height // factor, stored.width // factor)
        self.fields = {"source": Field((stored.channels, *self.size))}

    def draw(self, n: int, random: torch.Generator) -> Mapping[str, Tensor]:
        uniform = torch.rand(n, DICE, generator=random, dtype=torch.float64)
        chances = self.second_blur_prob, self.final_sinc_prob
        kernels, plan = draw(self.first, self.second, *chances, self.strength, uniform)
        return {"kernels": kernels, "plan": plan, "seed": torch.randint(2**62, (n,), generator=random)}

    def compute(self, stored: Mapping[str, Tensor], drawn: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        images = stored["output"]
        found = images.new_empty(len(images), *self.fields["source"].shape)
        for place, (row, seed) in enumerate(zip(drawn["plan"].tolist(), drawn["seed"].tolist(), strict=True)):
            for _, made in self.stages(images[place : place + 1], drawn["kernels"][place], Plan(*row), seed):
                last = made
            found[place : place + 1] = last * 2 - 1
        return {"source": found}

    def stages(self, image: Tensor, kernels: Tensor, plan: Plan, seed: int) -> Iterator[tuple[str, Tensor]]:
        """Yields the name of each stage and what it makes of an image (1, C, H, W) in [-1, 1]: one in [0, 1].

        `kernels` (3, 21, 21) are those of both orders and the sinc filter, `seed` is that of the noises.
        """
        random = torch.Generator(image.device).manual_seed(seed)
        found = (image.float().contiguous() + 1) / 2
        if self.sharpen:
            found = (sharpened(image.float().contiguous()) + 1) / 2
            yield "sharpened", found
        found = blurred(found, kernels[0], plan.size)
        yield "blurred", found
        found = resized(found, plan.mode, scale=plan.scale)
        yield "resized", found
        found = noisy(found, plan.gaussian, plan.noise, plan.grey, random)
        yield "noisy", found
        found = compressed(found, plan.quality)
        yield "compressed", found
        if self.second_order:
            found = yield from self._second(found, kernels, plan, random)
        else:
            found = resized(found, plan.mode3, size=self.size)
            yield "resized to its size", found
        yield "rounded", (found * 255).round().clamp(0, 255) / 255

    def _second(
        self, found: Tensor, kernels: Tensor, plan: Plan, random: torch.Generator
    ) -> Generator[tuple[str, Tensor], None, Tensor]:
        """The stages after the first compression, but the rounding; returns what the last of them made."""
        if plan.blur2:
            found = blurred(found, kernels[1], plan.size2)
            yield "blurred again", found
        height, width = (max(int(side * plan.scale2), 1) for side in self.size)
        found = resized(found, plan.mode2, size=(height, width))
        yield "resized again", found
        found = noisy(found, plan.gaussian2, plan.noise2, plan.grey2, random)
        yield "noisy again", found
        for finish in (True, False) if plan.sinc_first else (False, True):
            if finish:
                found = resized(found, plan.mode3, size=self.size)
                yield "resized to its size", found
                found = blurred(found, kernels[2], plan.sinc_size)
                yield "filtered", found
            else:
                found = compressed(found.clamp(0, 1), plan.quality2)
                yield "compressed again", found
        return found

    def _check(self) -> None:
        """ValueError for images and options that cannot be used."""
        channels, height, width = self.stored.output.shape
        if channels not in (1, 3):
            raise ValueError(f"images of {channels} channels cannot be degraded, only grey and RGB: use --channels 3")
        if self.factor not in FACTORS:
            raise ValueError(f"factor must be 1, 2, 3, 4 or 8, got {self.factor}")
        if height % self.factor or width % self.factor or min(height, width) < SMALLEST * self.factor:
            raise ValueError(
                f"{height} x {width} pixels cannot be made {self.factor} times smaller: whole pixels, at least"
                f" {SMALLEST} each way, must remain"
            )
        if not 0 < self.strength <= 1:
            raise ValueError(f"strength must be above 0 and at most 1, got {self.strength}")
        for name in ("second_blur_prob", "final_sinc_prob"):
            check_probability(name, getattr(self, name))
        for order, end in ((self.first, ""), (self.second, "2")):
            order.check(end)
            smallest = order.resize_range[0] * min(height, width) / (self.factor if end else 1)
            if smallest < 1:
                raise ValueError(
                    f"resize_range{end} leaves less than a pixel of {height} x {width}: raise its first number"
                )
