"""Pivotal tuning: changes a generator a little, so that the latents that were found for images give these images.

Roich et al. 2021 (2106.05744). Their regularization moves a fixed distance from the pivot, which suits one scale of
styles; here it moves a random share of the way to a drawn latent or style.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ganzoo.engine.randomness import hashed, seeded
from ganzoo.errors import UsageError
from ganzoo.models.clamping import ThroughClamp
from ganzoo.models.distances import Distance, distance_for
from ganzoo.models.inversion import Inversion
from ganzoo.models.latents import Latents, between
from ganzoo.models.model import Model
from ganzoo.models.noise import played
from ganzoo.networks import Generator
from ganzoo.networks.inputs import placement
from ganzoo.networks.latents import whole_seed
from ganzoo.networks.precision import float32_by_default

METHOD = "pivotal tuning, Roich et al. 2021"


def tune(
    model: Model,
    inversion: Inversion,
    *,
    steps: int = 350,
    rate: float = 3e-4,
    locality: float = 0.1,
    perceptual: str | os.PathLike[str] | None = None,
    seed: int = 0,
    batch_size: int = 8,
    name: str = "",
    on_step: Callable[[int, int], object] = lambda done, total: None,
) -> Model:
    """Returns a copy of a model that is fine-tuned around the latents that `invert` found for images.

    Args:
        model: the model that the inversion is of; it stays as it is.
        inversion: what `invert` returned.
        steps: of Adam, each on at most `batch_size` images, in turn.
        rate: the learning rate.
        locality: the weight of the distance between the old and the new samples of latents on the way to drawn ones,
            so that the generator changes near the pivots alone; 0 leaves it out.
        perceptual: a safetensors file of VGG-19 or LPIPS for the distance; None compares pixels and their averages.
        seed: of the drawn latents.
        batch_size: images of a step.
        name: of the model, for the new config.json.
        on_step: called with the number of steps done and that of all.

    Returns:
        The tuned model, whose config says so under `training.tuned`; `Model.save` writes it.

    Raises:
        UsageError: for numbers out of range.
    """
    seed = whole_seed(seed)
    if steps < 1 or batch_size < 1 or rate <= 0 or locality < 0:
        raise UsageError(
            "Tuning needs at least 1 step and images in a batch, a rate above 0 and a locality of at least 0."
        )
    latents, targets = inversion.latents, inversion.targets
    distance = distance_for(model.image, perceptual, placement(model.generator).device)
    generator = copy.deepcopy(model.generator).eval().requires_grad_(True)
    with float32_by_default(), seeded(seed):
        parameters = [one for one in generator.parameters() if one.is_floating_point()]
        adam = torch.optim.Adam(parameters, rate)
        for step, numbers in enumerate(_batches(len(latents), batch_size, steps)):
            part, aims = _picked(latents, numbers), targets[numbers]
            loss = distance.between(distance.features(_made(generator, part)), _features(distance, aims, generator))
            total = loss.mean()
            if locality:
                moved = _moved(model, part, seed, step)
                with torch.no_grad():
                    before = distance.features(_made(model.generator, moved))
                total = total + locality * distance.between(distance.features(_made(generator, moved)), before).mean()
            adam.zero_grad()
            total.backward()
            adam.step()
            on_step(step + 1, steps)
    facts = {"method": METHOD, "space": inversion.space, "images": len(latents), "steps": steps, "rate": rate}
    facts |= {"locality": locality, "distance": distance.name, "of": _origin(model, name)}
    config = replace(
        model.config,
        weights=None,
        discriminator=None,
        discriminator_weights=None,
        training={"tuned": facts},
        metrics={},
    )
    return Model(generator, config)


def _batches(count: int, size: int, steps: int) -> Iterator[list[int]]:
    """Yields the numbers of the images of each step: all in turn."""
    size = min(size, count)
    for step in range(steps):
        yield [(step * size + number) % count for number in range(size)]


def _picked(latents: Latents, numbers: list[int]) -> Latents:
    labels = None if latents.labels is None else latents.labels[numbers]
    return Latents(latents.values[numbers], latents.styled, labels, tuple(one[numbers] for one in latents.noise))


def _features(distance: Distance, samples: Tensor, generator: Generator) -> list[Tensor]:
    with torch.no_grad():
        return distance.features(samples.to(placement(generator).device))


def _made(generator: Generator, latents: Latents) -> Tensor:
    """Returns the samples of latents, with gradients for the weights."""
    weight = placement(generator)
    values, labels = latents.values.to(weight), latents.labels
    labels = None if labels is None else labels.to(weight.device)
    own: dict[str, Any] = {"noise": played([one.to(weight) for one in latents.noise])} if latents.noise else {}
    with ThroughClamp():
        made = generator.synthesis(values, labels, **own) if latents.styled else generator(values, labels)
    return made.float()


def _moved(model: Model, pivots: Latents, seed: int, step: int) -> Latents:
    """Returns each pivot moved a random share of the way to a drawn latent, or its style."""
    random = torch.Generator().manual_seed(hashed("ganzoo tune", seed, step))
    drawn = model.generator.latent(len(pivots), random)
    values = model.style(drawn, pivots.labels).clone() if pivots.styled else drawn
    share = float(torch.rand((), generator=random))
    ends = Latents(values, pivots.styled, pivots.labels, pivots.noise)
    return between(model, pivots, ends, share)


def _origin(model: Model, name: str) -> dict[str, Any]:
    """Returns what config.json says of the model that was tuned."""
    config = model.config
    said: dict[str, Any] = {"model": name, "variant": config.variant, "license": config.license}
    said["sha256"] = config.weights.sha256 if config.weights is not None else None
    return {key: value for key, value in said.items() if value}
