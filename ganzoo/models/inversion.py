"""Finds the latents or styles whose images are nearest to given ones.

The search is that of StyleGAN2's projector (Karras et al. 2020, section 5 and appendix D), here for any generator.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganzoo.data.decode import fit
from ganzoo.engine.randomness import hashed, seeded
from ganzoo.errors import UsageError
from ganzoo.files.text import quoted
from ganzoo.models.clamping import ThroughClamp
from ganzoo.models.distances import Distance, Pyramid, Squares, distance_for
from ganzoo.models.latents import Latents, images_of
from ganzoo.models.model import Model
from ganzoo.models.noise import autocorrelation, noise_shapes, normalized, played, takes_noise
from ganzoo.models.spaces import Space, space_named
from ganzoo.networks.inputs import placement
from ganzoo.networks.latents import whole_seed
from ganzoo.networks.precision import float32_by_default

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

RAMP_UP, RAMP_DOWN = 0.05, 0.25  # shares of the steps in which the rate rises and falls
PERTURBED, PERTURBATION = 0.75, 0.05  # share of the steps with noise on styles, and its size in their deviation


@dataclass(frozen=True, kw_only=True)
class Search:
    """How an inversion searches; `invert` documents the fields."""

    steps: int
    starts: int
    rate: float
    noise: bool
    noise_weight: float
    seed: int


@dataclass(frozen=True, eq=False)
class Inversion:
    """The latents of given samples, and how near their images are.

    `targets` and `images` (N, ...) are in [-1, 1]; `start` and `distance` (N,) are the distances before and after the
    search, by `distance_name`; `space` is "z", "w" or "w+". `search` is how was searched, from `candidates` starts.
    """

    latents: Latents
    targets: Tensor
    images: Tensor
    start: Tensor
    distance: Tensor
    distance_name: str
    space: str
    search: Search
    candidates: int

    @property
    def psnr(self) -> Tensor:
        """The peak signal-to-noise ratio (N,) of the images in dB."""
        return psnr(self.images, self.targets)


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Returns the peak signal-to-noise ratio (N,) in dB of samples in [-1, 1]."""
    return -10 * torch.log10((images - targets).double().square().flatten(1).mean(1) / 4)


def invert(
    model: Model,
    images: PillowImage | Sequence[PillowImage] | Tensor,
    *,
    space: str | None = None,
    noise: bool | None = None,
    label: int | str | None = None,
    steps: int = 500,
    starts: int | None = None,
    draws: int | None = None,
    rate: float | None = None,
    noise_weight: float = 1e5,
    bounded: bool = True,
    perceptual: str | os.PathLike[str] | None = None,
    seed: int = 0,
    batch_size: int = 32,
    on_step: Callable[[int, int], object] = lambda done, total: None,
    stop: Callable[[], bool] = lambda: False,
) -> Inversion:
    """Finds the latents or styles whose images are nearest to the given images.

    Args:
        model: a loaded generator that makes its samples of latents.
        images: Pillow images, cropped and resized as training data is, or samples (N, C, H, W) in [-1, 1].
        space: "z", "w" (one style for all layers) or "w+" (one each); None is w where there are styles, else z.
        noise: also searches the noise of layers that take it, in w and w+; None does if there are such layers.
        label: the class of all images, a name or position; None takes the nearest class of each.
        steps: of Adam; 0 gives the nearest of the candidates.
        starts: searches of each image, of which the best counts; None is 4 in z and 1 in w and w+.
        draws: latents that are drawn as candidates for the start; None is 1000 in z. In w and w+ the mean style is a
            candidate, and None draws no others.
        rate: the largest learning rate; None is 0.2 in z and 0.1 in w and w+.
        noise_weight: of the correlations of noise with itself, which keep pictures out of it.
        bounded: keeps latents z within the extremes of 4096 draws of the prior.
        perceptual: a safetensors file of VGG-19 or LPIPS for the distance; None compares pixels and their averages.
        seed: the same seed gives the same result.
        batch_size: searches at once.
        on_step: called with the number of steps done and that of all.
        stop: asked before each step; once it is true, the search ends with the best so far.

    Returns:
        What was found, for every image.

    Raises:
        UsageError: for a generator without latents, or images and options that do not fit it.
    """
    seed = whole_seed(seed)
    whole = (steps, batch_size, 1 if starts is None else starts, 1 if draws is None else draws)
    if not all(isinstance(one, int) for one in whole) or steps < 0 or min(whole[1:]) < 1:
        raise UsageError("An inversion needs at least 0 steps, and starts, draws and batch_size above 0, all whole.")
    if rate is not None and not (isinstance(rate, int | float) and 0 < rate < float("inf")):
        raise UsageError(f"The rate of an inversion is a number above 0, such as 0.2, not {quoted(rate)}.")
    found = space_named(model, space, bounded)
    if noise and (found.name == "z" or not takes_noise(model.generator)):
        raise UsageError(f"No noise of '{model.variant}' can be searched in {found.name}: leave out noise.")
    settings = Search(
        steps=steps,
        starts=(4 if found.name == "z" else 1) if starts is None else starts,
        rate=found.rate if rate is None else rate,
        noise=found.name != "z" and takes_noise(model.generator) and noise is not False,
        noise_weight=noise_weight,
        seed=seed,
    )
    device = placement(model.generator).device
    distance = distance_for(model.image, perceptual, device)
    targets = as_targets(model, images)
    with float32_by_default(), seeded(seed):
        candidates = found.candidates(draws, settings.starts, seed, label)
        nearest = nearest_of(model, found, candidates, targets, settings.starts)
        searcher = _Searcher(model, found, distance, settings, candidates)
        each = max(1, model.batch_of(batch_size) // settings.starts)
        parts = [range(start, min(start + each, len(targets))) for start in range(0, len(targets), each)]
        results = []
        for number, part in enumerate(parts):
            begun = number * steps

            def count(step: int, begun: int = begun) -> None:
                on_step(begun + step, len(parts) * steps)

            results.append(searcher.search(part, targets[list(part)], nearest[list(part)], count, stop))
        latents, start, reached = _joined(results)
        latents = found.latents(latents.values, latents.labels, latents.noise)
        made = images_of(model, latents)
    return Inversion(latents, targets, made, start, reached, distance.name, found.name, settings, len(candidates))


def as_targets(model: Model, images: Any) -> Tensor:
    """Converts Pillow images, or samples of the right shape, to samples (N, ...) on the CPU; UsageError for others."""
    shape = model.image.output.shape
    if isinstance(images, Tensor):
        if images.shape[1:] != shape or not images.is_floating_point() or not len(images):
            raise UsageError(
                f"invert takes a float tensor {('N', *shape)} of samples as '{model.variant}' makes them, not "
                f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}; Pillow images are made to fit."
            )
        kind, largest = model.image.output.kind, float(images.detach().abs().max())
        if not math.isfinite(largest) or (kind == "image" and largest > 1 + 1e-3):
            raise UsageError(
                "invert takes numbers in [-1, 1], and the tensor holds others: scale bytes by v / 127.5 - 1."
            )
        return images.detach().float().cpu()
    given = list(images) if isinstance(images, Sequence) else [images]
    if model.image.output.kind != "image":
        kind = model.image.output.kind
        raise UsageError(f"The samples of '{model.variant}' are {kind}, not images: give a tensor {('N', *shape)}.")
    if not given or not all(hasattr(one, "getexif") for one in given):
        raise UsageError("invert takes Pillow images, at least one, or a float tensor (N, C, H, W) in [-1, 1].")
    channels, height, width = shape
    pixels = [torch.tensor(fit(one, (height, width), channels)) for one in given]
    return torch.stack(pixels).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def nearest_of(model: Model, space: Space, candidates: Latents, targets: Tensor, count: int) -> Tensor:
    """Returns the positions (N, count) of the candidates whose samples are nearest to each target, by pixels."""
    if len(candidates) == 1:
        return torch.zeros(len(targets), 1, dtype=torch.int64)
    plain: Squares = Pyramid() if targets.ndim == 4 else Squares()
    theirs, size, columns = plain.features(targets), model.batch_of(64), []
    for start in range(0, len(candidates), size):
        part = candidates[start : start + size]
        ours = plain.features(images_of(model, space.latents(part.values, part.labels)))
        rows = [plain.between(ours, [one[number : number + 1] for one in theirs]) for number in range(len(targets))]
        columns.append(torch.stack(rows))
    distances = torch.cat(columns, 1)
    if not torch.isfinite(distances).all():
        raise UsageError(f"'{model.variant}' makes samples that are not finite: nothing is near to them.")
    return distances.argsort(dim=1, stable=True)[:, :count]


class _Searcher:
    """Searches the latents of a few targets at once, each from several starts."""

    def __init__(self, model: Model, space: Space, distance: Distance, search: Search, candidates: Latents) -> None:
        self.model, self.space, self.distance, self.search_settings = model, space, distance, search
        self.candidates = candidates
        self.shapes = noise_shapes(model) if search.noise else []

    def search(
        self,
        numbers: range,
        targets: Tensor,
        nearest: Tensor,
        on_step: Callable[[int], object],
        stop: Callable[[], bool],
    ) -> tuple[Latents, Tensor, Tensor]:
        """Returns the rows that were found for targets, and their distances (n,) before and after.

        `numbers` are the positions of the targets among all, `nearest` those of their starts among the candidates.
        """
        settings, weight = self.search_settings, placement(self.model.generator)
        streams = [torch.Generator().manual_seed(hashed("ganzoo invert", settings.seed, one)) for one in numbers]
        begin = nearest.flatten()
        start = self.candidates.values[begin].to(weight.device, torch.float32)
        labels = None if self.candidates.labels is None else self.candidates.labels[begin].to(weight.device)
        noise = [self._drawn(streams, shape).to(weight.device) for shape in self.shapes]
        aims = [
            one.repeat_interleave(settings.starts, 0)
            for one in self.distance.features(targets.to(weight.device, torch.float32))
        ]
        first = self._clean(start, labels, noise, aims)
        rows, best, maps = start.clone(), first.clone(), noise
        found, found_noise = start.clone(), [one.clone() for one in noise]
        searched = [rows, *maps]
        adam = torch.optim.Adam(searched)

        def keep(reached: Tensor) -> None:
            better = reached < best
            best.copy_(torch.where(better, reached, best))
            for kept, now in zip((found, *found_noise), (rows, *maps), strict=True):
                kept.copy_(torch.where(better.view(-1, *[1] * (now.ndim - 1)), now, kept))

        for step in range(settings.steps):
            if stop():
                break
            share = step / settings.steps
            strength = self.space.deviation * PERTURBATION * max(0.0, 1 - share / PERTURBED) ** 2
            shift = self._drawn(streams, start.shape[1:]) * strength if strength else None
            reached, slopes = self._slopes(rows, maps, labels, aims, shift)
            if strength == 0:
                keep(reached)
            adam.param_groups[0]["lr"] = settings.rate * ramp(share)
            for one, slope in zip(searched, slopes, strict=True):
                one.grad = slope
            adam.step()
            rows.copy_(self.space.confined(rows, start))
            for one, fresh in zip(maps, normalized(maps), strict=True):
                one.copy_(fresh)
            on_step(step + 1)
        keep(self._clean(rows, labels, maps, aims))
        return self._chosen(Latents(found, labels=labels, noise=tuple(found_noise)), first, best)

    def _drawn(self, streams: list[torch.Generator], shape: Sequence[int]) -> Tensor:
        """Returns normal numbers (n * starts, *shape), those of each target from its own stream."""
        count = self.search_settings.starts
        return torch.cat([torch.randn(count, *shape, generator=stream) for stream in streams])

    def _made(self, rows: Tensor, labels: Tensor | None, noise: Sequence[Tensor]) -> Tensor:
        """Returns the samples of rows, differentiably."""
        latents, generator = self.space.latents(rows, labels), self.model.generator
        values = latents.values.to(placement(generator).dtype)
        if not latents.styled:
            return generator(values, labels)
        return generator.synthesis(values, labels, **({"noise": played(noise)} if noise else {}))

    def _clean(self, rows: Tensor, labels: Tensor | None, noise: Sequence[Tensor], aims: list[Tensor]) -> Tensor:
        """Returns the distances of rows from their targets."""
        with torch.no_grad():
            return self.distance.between(self.distance.features(self._made(rows, labels, noise).float()), aims)

    def _slopes(
        self, rows: Tensor, noise: list[Tensor], labels: Tensor | None, aims: list[Tensor], shift: Tensor | None
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Returns the distances of the rows moved by `shift`, and the gradients of rows and noise."""
        searched = [rows.detach().requires_grad_(True), *(one.detach().requires_grad_(True) for one in noise)]
        moved = searched[0] if shift is None else searched[0] + shift.to(rows.device)
        with ThroughClamp():
            samples = self._made(moved, labels, searched[1:])
        if not samples.requires_grad:
            raise UsageError(f"The generator of '{self.model.variant}' gives no gradient: it cannot be searched.")
        distances = self.distance.between(self.distance.features(samples.float()), aims)
        total = distances.sum()
        if noise:
            total = total + self.search_settings.noise_weight * autocorrelation(searched[1:]).sum()
        return distances.detach(), torch.autograd.grad(total, searched)

    def _chosen(self, found: Latents, start: Tensor, reached: Tensor) -> tuple[Latents, Tensor, Tensor]:
        """Returns the best of the searches of each target, on the CPU, and the distance of its first start."""
        count = self.search_settings.starts
        best = reached.view(-1, count).argmin(1) + torch.arange(len(reached) // count, device=reached.device) * count
        labels = None if found.labels is None else found.labels[best].cpu()
        noise = tuple(one[best].cpu() for one in found.noise)
        return (
            Latents(found.values[best].cpu(), labels=labels, noise=noise),
            start.view(-1, count)[:, 0].cpu(),
            reached[best].cpu(),
        )


def ramp(share: float) -> float:
    """The learning rate at a share of the steps: a linear rise, and the fall of a cosine at the end."""
    fall = min(1.0, (1 - share) / RAMP_DOWN)
    return (0.5 - 0.5 * math.cos(math.pi * fall)) * min(1.0, share / RAMP_UP)


def _joined(results: list[tuple[Latents, Tensor, Tensor]]) -> tuple[Latents, Tensor, Tensor]:
    """Joins the results of all batches."""
    parts = [latents for latents, _, _ in results]
    labels = None if parts[0].labels is None else torch.cat([one.labels for one in parts if one.labels is not None])
    noise = tuple(torch.cat(maps) for maps in zip(*(one.noise for one in parts), strict=True))
    latents = Latents(torch.cat([one.values for one in parts]), labels=labels, noise=noise)
    return latents, torch.cat([start for _, start, _ in results]), torch.cat([reached for _, _, reached in results])
