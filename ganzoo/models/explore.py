"""What a generator's latents mean, shown without training: its codes, or the principal directions of its first layer."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganzoo.errors import UsageError
from ganzoo.networks import Code, Generator

if TYPE_CHECKING:
    from ganzoo.models.model import Model

BATCH = 64
PRIOR_DRAWS = 4096
STEP = 1e-3


@dataclass(frozen=True)
class Row:
    """One thing that is varied: `values` of it from left to right, and the latents (samples, len(values), latent_dim) they give.

    `kind` is that of the code, or "direction", whose values are in standard deviations of the prior. `strength` is then the
    singular value: how far the first layer's output moves when the latent moves by one.
    """

    name: str
    kind: str
    caption: str
    values: tuple[float, ...]
    latents: Tensor
    trained: tuple[float, float] | None = None
    strength: float | None = None


def explore(
    model: Model,
    *,
    directions: int | None = None,
    samples: int = 2,
    steps: int = 7,
    reach: float | None = None,
    seed: int = 0,
) -> list[Row]:
    """One row for each code of the generator, or for its top `directions`; those that have no codes show 8.

    Each row varies one thing in the first `samples` latents of `seed`. A continuous code goes over `reach` times the range that
    it was trained on (2 unless given), in `steps` steps, on another category in each sample; a direction from -reach to +reach
    standard deviations (3 unless given).
    UsageError if the generator's first layer cannot be found.
    """
    if (
        samples < 1
        or steps < 2
        or (directions is not None and directions < 1)
        or (reach is not None and not 0 < reach < float("inf"))
    ):
        raise UsageError("Explore at least one sample and one direction in at least two steps, over a range above 0.")
    latent = model.latent(samples, seed)
    codes = model.generator.codes
    if codes and directions is None:
        for code in codes:
            if code.kind == "categorical":  # by chance two samples would often share one
                latent[:, code.start : code.start + code.size] = torch.eye(code.size)[torch.arange(samples) % code.size]
        return [row for code in codes for row in code_rows(code, latent, steps, reach or 2.0)]
    return direction_rows(model, latent, directions or min(8, model.generator.latent_dim), steps, reach or 3.0)


def code_rows(code: Code, latent: Tensor, steps: int, reach: float) -> list[Row]:
    """The rows of one code: every category of a categorical one, or `steps` values of each continuous column."""
    columns = range(code.start, code.start + code.size)
    if code.kind == "categorical":
        latents = latent[:, None].repeat(1, code.size, 1)
        latents[:, :, list(columns)] = torch.eye(code.size)
        return [Row(code.name, code.kind, f"{code.name}: 0 to {code.size - 1}", tuple(range(code.size)), latents)]
    middle, half = (code.high + code.low) / 2, (code.high - code.low) / 2 * reach
    values = torch.linspace(middle - half, middle + half, steps, dtype=torch.float64)
    rows = []
    for number, column in enumerate(columns, 1):
        name = code.name if code.size == 1 else f"{code.name} {number}"
        caption = f"{name}: {values[0]:g} to {values[-1]:g} (trained on {code.low:g} to {code.high:g})"
        latents = latent[:, None].repeat(1, steps, 1)
        latents[:, :, column] = values.to(latent)
        rows.append(Row(name, code.kind, caption, tuple(values.tolist()), latents, trained=(code.low, code.high)))
    return rows


def direction_rows(model: Model, latent: Tensor, count: int, steps: int, reach: float) -> list[Row]:
    """The rows of the `count` strongest directions; the prior's standard deviation along each is measured."""
    labels = model.labels(1)
    vectors, strengths = principal_directions(model.generator, count, latent[:1], labels)
    deviations = (model.latent(PRIOR_DRAWS) @ vectors.T).std(0)
    values = torch.linspace(-reach, reach, steps, dtype=torch.float64)
    rows = []
    for number, (vector, strength, deviation) in enumerate(
        zip(vectors, strengths.tolist(), deviations, strict=True), 1
    ):
        caption = f"direction {number}: {-reach:g} to {reach:g} standard deviations"
        latents = latent[:, None] + values.to(latent)[None, :, None] * deviation * vector
        rows.append(
            Row(f"direction {number}", "direction", caption, tuple(values.tolist()), latents, strength=strength)
        )
    return rows


def principal_directions(
    generator: Generator, count: int, latent: Tensor, label: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The `count` orthogonal unit directions (count, latent_dim) that move the first layer's output most, and by how much (count,).

    They are the eigenvectors of AᵀA with the largest eigenvalues, A being the first layer's weight: Shen and Zhou 2021, "Unsupervised
    semantic factorization". The strengths are the roots of the eigenvalues. UsageError if `count` is more than latent_dim.
    """
    if count > generator.latent_dim:
        raise UsageError(f"Latents of {generator.latent_dim} numbers have no more directions than that, got {count}.")
    weight = first_layer(generator, latent, label)
    values, vectors = torch.linalg.eigh(weight.T @ weight)
    strongest = vectors.T.flip(0)[:count]
    largest = strongest.gather(1, strongest.abs().argmax(1, keepdim=True))
    return (strongest * largest.sign()).float(), values.flip(0)[:count].clamp(
        min=0
    ).sqrt().float()  # v and -v are one: the sign is fixed


def first_layer(generator: Generator, latent: Tensor, label: Tensor | None = None) -> Tensor:
    """The weight A (features, latent_dim) of the first layer that receives the latent, whatever kind of layer it is, in float64.

    It is taken as the slope of the layer's output at `latent` (1, latent_dim): for a linear layer or a transposed convolution of one
    pixel that is its weight, wherever `latent` lies; behind a nonlinear function it holds there alone. UsageError if no such
    layer is found.
    """
    copy = (
        deepcopy(generator).cpu().double().eval().requires_grad_(False)
    )  # rounding would stay in the differences below
    point, labels = latent.detach().cpu().double(), None if label is None else label.cpu()
    layer = _first_to_receive(copy, point, labels)
    layer.register_forward_hook(_stop)
    steps = STEP * torch.eye(point.shape[1], dtype=torch.float64)
    with torch.no_grad():
        rises = [
            _stopped_output(copy, point + part, labels) - _stopped_output(copy, point - part, labels)
            for part in steps.split(BATCH)
        ]
    return torch.cat(rises).T / (2 * STEP)


class _StoppedError(Exception):
    """Ends a forward pass as soon as it has shown what was asked."""

    def __init__(self, found):
        super().__init__()
        self.found = found


def _first_to_receive(generator: Generator, latent: Tensor, label: Tensor | None) -> nn.Module:
    """The first layer with parameters of its own whose input depends on the latent; the generator's parameters need no gradients."""

    def look(module: nn.Module, inputs: tuple, keywords: dict) -> None:
        if any(isinstance(value, Tensor) and value.requires_grad for value in (*inputs, *keywords.values())):
            raise _StoppedError(module)

    layers = [module for module in generator.modules() if module is not generator and _is_layer(module)]
    handles = [layer.register_forward_pre_hook(look, with_kwargs=True) for layer in layers]
    try:
        with torch.enable_grad():
            generator(latent.clone().requires_grad_(True), label)
    except _StoppedError as stopped:
        return stopped.found
    finally:
        for handle in handles:
            handle.remove()
    raise UsageError(
        f"The first layer of {type(generator).__name__} cannot be found: no module with parameters receives the latent. "
        "A generator with such a layer, or one that names its codes, can be explored."
    )


def _is_layer(module: nn.Module) -> bool:
    """Whether a module has parameters, or parametrized ones, and no child that has."""
    if parametrize.is_parametrized(module):
        return True
    own, below = (
        list(module.parameters(recurse=False)),
        [child for child in module.children() if list(child.parameters())],
    )
    return bool(own) and not below


def _stop(module: nn.Module, inputs: tuple, output: Tensor) -> None:
    raise _StoppedError(output)


def _stopped_output(generator: Generator, latents: Tensor, label: Tensor | None) -> Tensor:
    """What the layer with the hook `_stop` returns for latents (N, latent_dim) of one label: (N, features)."""
    try:
        generator(latents, None if label is None else label.expand(len(latents)))
    except _StoppedError as stopped:
        return stopped.found.flatten(1)
    raise AssertionError("a layer that was reached once is reached again")


def sample_rows(model: Model, rows: list[Row], label: int | str | None = None) -> list[Tensor]:
    """Images (samples, values, C, H, W) of each row; sample number i has the same label everywhere, as in `Model.sample`."""
    drawn = []
    for row in rows:
        samples, steps, size = row.latents.shape
        latents, labels = row.latents.reshape(-1, size), model.labels(samples, label)
        if labels is not None:
            labels = labels.repeat_interleave(steps)
        parts = [slice(start, start + BATCH) for start in range(0, len(latents), BATCH)]
        images = torch.cat([model.generate(latents[part], None if labels is None else labels[part]) for part in parts])
        drawn.append(images.unflatten(0, (samples, steps)))
    return drawn


def sheet(rows: list[Row], drawn: list[Tensor]) -> Any:
    """One Pillow picture: under each row's caption one line of images for each sample, from the lowest value to the highest."""
    from ganzoo.files import pictures

    parts = [
        (row.caption, pictures.grid(images.flatten(0, 1), images.shape[1]))
        for row, images in zip(rows, drawn, strict=True)
    ]
    return pictures.captioned(parts)


def animation(rows: list[Row], drawn: list[Tensor]) -> list[Any]:
    """Pillow pictures from the lowest values to the highest and back: under each row's caption the samples side by side."""
    from ganzoo.files import pictures

    length = max(len(row.values) for row in rows)
    forth = []
    for frame in range(length):
        parts = [
            (row.caption, images[:, frame * images.shape[1] // length]) for row, images in zip(rows, drawn, strict=True)
        ]
        forth.append(pictures.captioned([(caption, pictures.grid(images, len(images))) for caption, images in parts]))
    return forth + forth[-2:0:-1]
