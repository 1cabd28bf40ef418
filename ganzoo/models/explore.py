"""Shows what the latents of a generator control, without training: codes, or directions of latents or styles."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ganzoo.errors import UsageError
from ganzoo.models import styles
from ganzoo.models.latents import Latents, check_latents, images_of
from ganzoo.networks import Code, Generator
from ganzoo.networks.layers import is_layer

if TYPE_CHECKING:
    from ganzoo.models.model import Model

BATCH = 64
PRIOR_SAMPLES = 4096
STEP = 1e-3
LARGEST_REACH = 1e3  # standard deviations: farther out the samples stay the same, or overflow


@dataclass(frozen=True)
class Row:
    """One code or direction that is varied, with its values and the latents (samples, len(values), latent_dim).

    `kind` is that of the code, or "direction" with values in standard deviations of the prior. `strength` is the
    singular value of a direction: how far the first layer's output moves when the latent moves by one. With `styled`
    the latents are styles (samples, len(values), layers, style_dim). `base` are the latents that are moved, if they
    were given: their classes and noise are those of the images.
    """

    name: str
    kind: str
    caption: str
    values: tuple[float, ...]
    latents: Tensor
    trained: tuple[float, float] | None = None
    strength: float | None = None
    styled: bool = False
    base: Latents | None = None


def explore(
    model: Model,
    *,
    directions: int | None = None,
    samples: int = 2,
    steps: int = 7,
    reach: float | None = None,
    seed: int = 0,
    method: str | None = None,
    layers: str | None = None,
    latents: Latents | None = None,
) -> list[Row]:
    """Returns one row for each code of the generator, or for its top `directions` (8 if it has no codes).

    Each row varies one code or direction in the first `samples` latents of `seed`. A continuous code covers `reach`
    times the range that it was trained on (2 unless given) in `steps` steps, with another category in each sample; a
    direction covers -reach to +reach standard deviations (3 unless given). Of a generator with a mapping, directions
    are of its styles, found by `method` ("sefa" unless given, or "pca") and added in all layers, or those that `layers`
    names ("coarse", "0-3"). With `latents`, such as `ganzoo.invert` finds, these are moved, not those of the seed.
    UsageError if a layer that takes the latent or style cannot be found.
    """
    if (
        samples < 1
        or steps < 2
        or (directions is not None and directions < 1)
        or (reach is not None and not 0 < reach <= LARGEST_REACH)
    ):
        raise UsageError(
            "Explore at least one sample and one direction in at least two steps, over a range above 0 and up to "
            f"{LARGEST_REACH:g}."
        )
    model.refuse_sources()
    if latents is not None:
        check_latents(latents, model)
        rows = _moved(model, latents, directions, steps, reach or 3.0, method, layers)
        return [replace(row, base=latents) for row in rows]
    latent = model.latent(samples, seed)
    codes = model.generator.codes
    if codes and directions is None:
        for code in codes:
            if code.kind == "categorical":  # by chance two samples would often share one
                latent[:, code.start : code.start + code.size] = torch.eye(code.size)[torch.arange(samples) % code.size]
        return [row for code in codes for row in code_rows(code, latent, steps, reach or 2.0)]
    if model.generator.has_mapping:
        latent = model.style(latent, model.labels(samples))
    found = Latents(latent, model.generator.has_mapping)
    return _moved(model, found, directions, steps, reach or 3.0, method, layers)


def _moved(
    model: Model,
    latents: Latents,
    directions: int | None,
    steps: int,
    reach: float,
    method: str | None,
    layers: str | None,
) -> list[Row]:
    """Returns the rows of latents or styles that are moved along directions."""
    values = latents.values
    if latents.styled:
        where = slice(None) if layers is None else styles.chosen_layers(layers, styles.styled_layers(model))
        return style_rows(model, values, directions or min(8, values.shape[-1]), steps, reach, method, where)
    if method == "pca" or layers is not None:
        whose = "These latents have" if model.generator.has_mapping else f"The generator of '{model.variant}' has"
        raise UsageError(f"{whose} no styles: leave out --method and --layers.")
    return direction_rows(model, values, directions or min(8, model.generator.latent_dim), steps, reach)


def spread(reach: float, steps: int) -> Tensor:
    """Returns numbers (steps,) from -reach to reach, evenly spaced: of an odd number the middle one is exactly 0."""
    rising = torch.linspace(-reach, reach, steps, dtype=torch.float64)
    return (rising - rising.flip(0)) / 2


def code_rows(code: Code, latent: Tensor, steps: int, reach: float) -> list[Row]:
    """Returns the rows of one code: all categories of a categorical one, `steps` values of each continuous column."""
    columns = range(code.start, code.start + code.size)
    if code.kind == "categorical":
        latents = latent[:, None].repeat(1, code.size, 1)
        latents[:, :, list(columns)] = torch.eye(code.size)
        return [Row(code.name, code.kind, f"{code.name}: 0 to {code.size - 1}", tuple(range(code.size)), latents)]
    middle, half = (code.high + code.low) / 2, (code.high - code.low) / 2 * reach
    values = middle + spread(half, steps)
    rows = []
    for number, column in enumerate(columns, 1):
        name = code.name if code.size == 1 else f"{code.name} {number}"
        caption = f"{name}: {values[0]:g} to {values[-1]:g} (trained on {code.low:g} to {code.high:g})"
        latents = latent[:, None].repeat(1, steps, 1)
        latents[:, :, column] = values.to(latent)
        rows.append(Row(name, code.kind, caption, tuple(values.tolist()), latents, trained=(code.low, code.high)))
    return rows


def direction_rows(model: Model, latent: Tensor, count: int, steps: int, reach: float) -> list[Row]:
    """Returns the rows of the `count` strongest directions; measures the standard deviation of the prior along each."""
    labels = model.labels(1)
    vectors, strengths = principal_directions(model.generator, count, latent[:1], labels)
    deviations = (model.latent(PRIOR_SAMPLES) @ vectors.T).std(0)
    values = spread(reach, steps)
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


def style_rows(
    model: Model, style: Tensor, count: int, steps: int, reach: float, method: str | None, layers: slice
) -> list[Row]:
    """Returns the rows of the `count` strongest directions of styles (samples, ..., D), moved in these layers."""
    vectors, strengths = styles.style_directions(model, count, method or "sefa")
    values = spread(reach, steps)
    rows = []
    found = zip(vectors, strengths.tolist(), styles.deviations(model, vectors), strict=True)
    for number, (vector, strength, deviation) in enumerate(found, 1):
        caption = f"direction {number} of styles: {-reach:g} to {reach:g} standard deviations"
        moved = style[:, None].repeat(1, steps, *[1] * (style.ndim - 1))
        shift = (values.to(style)[:, None] * deviation * vector).reshape(1, steps, *[1] * (style.ndim - 2), -1)
        (moved[:, :, layers] if style.ndim == 3 else moved).add_(shift)
        name = f"direction {number}"
        rows.append(Row(name, "direction", caption, tuple(values.tolist()), moved, strength=strength, styled=True))
    return rows


def principal_directions(
    generator: Generator, count: int, latent: Tensor, label: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Returns the `count` orthogonal unit directions (count, latent_dim) that move the first layer most, by strength.

    They are the eigenvectors of AᵀA with the largest eigenvalues, A being the first layer's weight: Shen and Zhou 2021,
    "Closed-form factorization of latent semantics in GANs". The strengths (count,) are the square roots of the
    eigenvalues. UsageError if `count` is more than latent_dim.
    """
    if count > generator.latent_dim:
        raise UsageError(f"Latents of {generator.latent_dim} numbers have no more directions than that, got {count}.")
    weight = first_layer(generator, latent, label)
    values, vectors = torch.linalg.eigh(weight.T @ weight)
    strongest = vectors.T.flip(0)[:count]
    largest = strongest.gather(1, strongest.abs().argmax(1, keepdim=True))
    strengths = values.flip(0)[:count].clamp(min=0).sqrt()
    return (strongest * largest.sign()).float(), strengths.float()  # of v and -v, the one with a positive largest entry


def first_layer(generator: Generator, latent: Tensor, label: Tensor | None = None) -> Tensor:
    """Returns the weight A (features, latent_dim), in float64, of the first layer that receives the latent.

    It is the slope of the layer's output at `latent` (1, latent_dim): for a linear layer or a transposed convolution of
    one pixel that is its weight everywhere, behind a nonlinear function only at `latent`. UsageError if there is no
    such layer.
    """
    copy = deepcopy(generator).cpu().double().eval().requires_grad_(False)  # float32 would round the differences
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
    """Ends a forward pass and carries the module or output that it was run for."""

    def __init__(self, found: Any):
        super().__init__()
        self.found = found


def _first_to_receive(generator: Generator, latent: Tensor, label: Tensor | None) -> nn.Module:
    """Returns the first layer with own parameters whose input depends on the latent.

    The parameters of the generator must not require gradients.
    """

    def look(module: nn.Module, inputs: tuple, keywords: dict) -> None:
        if any(isinstance(value, Tensor) and value.requires_grad for value in (*inputs, *keywords.values())):
            raise _StoppedError(module)

    layers = [module for module in generator.modules() if module is not generator and is_layer(module)]
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
        f"The first layer of {type(generator).__name__} cannot be found: no module with parameters "
        "receives the latent. A generator with such a layer, or one that names its codes, can be explored."
    )


def _stop(module: nn.Module, inputs: tuple, output: Tensor) -> None:
    raise _StoppedError(output)


def _stopped_output(generator: Generator, latents: Tensor, label: Tensor | None) -> Tensor:
    """Returns the output (N, features) of the layer with the hook `_stop` for latents (N, latent_dim) of one label."""
    try:
        generator(latents, None if label is None else label.expand(len(latents)))
    except _StoppedError as stopped:
        return stopped.found.flatten(1)
    raise AssertionError("a layer that was reached once is reached again")


def sample_rows(model: Model, rows: list[Row], label: int | str | None = None) -> list[Tensor]:
    """Samples images (samples, values, C, H, W) of each row; sample i has the label that it has in `Model.sample`.

    Latents that were given keep their classes, unless `label` is another.
    """
    sampled = []
    for row in rows:
        samples, steps = row.latents.shape[:2]
        labels = model.labels(samples, label)
        if row.base is not None and label is None:
            labels = row.base.labels
        noise = () if row.base is None else row.base.noise
        moved = Latents(row.latents[:, 0], row.styled, labels, noise).repeated(steps)
        images = images_of(model, replace(moved, values=row.latents.flatten(0, 1)), BATCH)
        sampled.append(images.unflatten(0, (samples, steps)))
    return sampled


def sheet(rows: list[Row], sampled: list[Tensor]) -> Any:
    """Arranges the images in one Pillow picture: a caption for each row, then a line of images for each sample."""
    from ganzoo.files import pictures

    parts = [
        (row.caption, pictures.grid(images.flatten(0, 1), images.shape[1]))
        for row, images in zip(rows, sampled, strict=True)
    ]
    return pictures.captioned(parts)


def animation(rows: list[Row], sampled: list[Tensor]) -> list[Any]:
    """Returns Pillow pictures from the lowest values to the highest and back, with a caption for each row."""
    from ganzoo.files import pictures

    length = max(len(row.values) for row in rows)
    forth = []
    for frame in range(length):
        parts = [
            (row.caption, images[:, frame * images.shape[1] // length])
            for row, images in zip(rows, sampled, strict=True)
        ]
        forth.append(pictures.captioned([(caption, pictures.grid(images, len(images))) for caption, images in parts]))
    return forth + forth[-2:0:-1]
