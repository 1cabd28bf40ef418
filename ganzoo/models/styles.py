"""Directions in the space of styles, and mixtures of styles, of generators that map latents to styles."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ganzoo.errors import UsageError
from ganzoo.models.truncation import Truncation
from ganzoo.networks import Generator
from ganzoo.networks.layers import is_layer

if TYPE_CHECKING:
    from ganzoo.models.model import Model

STEP = 1e-3
PRIOR_SAMPLES = 4096
LAYERS = {"coarse": (0, 3), "middle": (4, 7), "fine": (8, None)}  # 4² and 8², 16² and 32², larger


def chosen_layers(text: str, count: int) -> slice:
    """Returns the layers that "coarse", "middle", "fine", "3" or "0-6" names, of `count`; UsageError if none does."""
    found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", text)
    if text in LAYERS:
        first, last = LAYERS[text]
    elif found:
        first, last = int(found[1]), int(found[2] or found[1])
    else:
        raise UsageError(f"Layers are coarse, middle, fine, or numbers as 3 or 0-6, not '{text}'.")
    last = count - 1 if last is None else last
    if first >= count or last < first or (found and last >= count):
        begin = f", and {text} ones begin with layer {first}" if text in LAYERS else ""
        raise UsageError(f"Layers {text}: this generator has the layers 0 to {count - 1}{begin}.")
    return slice(first, last + 1)


def styled_layers(model: Model) -> int:
    """Returns how many layers have a style of their own; UsageError if the generator has no such layers."""
    style = model.style(model.latent(1), model.labels(1)) if model.generator.has_mapping else None
    if style is None or style.ndim != 3:
        raise UsageError(f"The generator of '{model.variant}' has no layers with styles of their own.")
    return style.shape[1]


def style_directions(model: Model, count: int, method: str) -> tuple[Tensor, Tensor]:
    """Returns `count` orthogonal unit directions (count, D) of the style of every layer, and their strengths (count,).

    "sefa": the eigenvectors of AᵀA, A being the weights of all layers that take a style, one below the other (Shen and
    Zhou 2021). "pca": the principal components of 4096 styles (Härkönen et al. 2020). UsageError if `count` is more
    than D, or if no layer takes the styles.
    """
    labels = model.labels(PRIOR_SAMPLES)
    styles = model.style(model.latent(PRIOR_SAMPLES), labels)
    if count > styles.shape[-1]:
        raise UsageError(f"Styles of {styles.shape[-1]} numbers have no more directions than that, got {count}.")
    if method == "pca":
        each = (styles.mean(1) if styles.ndim == 3 else styles).double()
        values, vectors = torch.linalg.eigh(torch.cov(each.T))
    else:
        weight = style_weights(model.generator, styles[:1], None if labels is None else labels[:1])
        values, vectors = torch.linalg.eigh(weight.T @ weight)
    strongest = vectors.T.flip(0)[:count]
    largest = strongest.gather(1, strongest.abs().argmax(1, keepdim=True))
    return (strongest * largest.sign()).float(), values.flip(0)[:count].clamp(min=0).sqrt().float()


def style_weights(generator: Generator, style: Tensor, label: Tensor | None = None) -> Tensor:
    """Returns the weights (features, D), in float64, of all layers that take the style (1, D) or (1, layers, D)."""
    copy = deepcopy(generator).cpu().double().eval().requires_grad_(False)
    point, label = style.detach().cpu().double().clone(), None if label is None else label.cpu()
    storage, found = point.untyped_storage().data_ptr(), dict[nn.Module, Tensor]()

    def look(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        given = inputs[0] if inputs else None
        if isinstance(given, Tensor) and given.untyped_storage().data_ptr() == storage and given.ndim == 2:
            found[module] = given

    handles = [module.register_forward_pre_hook(look) for module in copy.modules() if is_layer(module)]
    with torch.no_grad():
        copy.synthesis(point, label)
        for handle in handles:
            handle.remove()
        steps = STEP * torch.eye(point.shape[-1], dtype=torch.float64)
        slopes = [(layer(given + steps) - layer(given - steps)).flatten(1).T for layer, given in found.items()]
    if not slopes:
        raise UsageError(
            f"No layer of {type(generator).__name__} takes the styles as they are: --method pca needs none."
        )
    return torch.cat(slopes) / (2 * STEP)


def deviations(model: Model, vectors: Tensor) -> Tensor:
    """Returns the standard deviation (count,) of styles along each direction (count, D)."""
    styles = model.style(model.latent(PRIOR_SAMPLES), model.labels(PRIOR_SAMPLES))
    each = styles.mean(1) if styles.ndim == 3 else styles
    return (each @ vectors.T).std(0)


def mixed(
    model: Model,
    layers: slice,
    *,
    rows: int = 4,
    columns: int = 6,
    seed: int = 0,
    label: int | str | None = None,
    truncation: Truncation | None = None,
) -> Tensor:
    """Returns images (rows + 1, columns + 1, C, H, W): those of a row with `layers` of a column's style.

    The first column has the images of the rows and the first row those of the columns (Karras et al. 2019, figure 3),
    of the latents of `seed`, columns first; the corner is white.
    """
    latent, labels = model.latent(rows + columns, seed), model.labels(rows + columns, label)
    styles = model.style(latent, labels, truncation)
    of_columns, of_rows = styles[:columns], styles[columns:]
    grid = of_rows[:, None].repeat(1, columns + 1, 1, 1)
    grid[:, 1:, layers] = of_columns[:, layers]
    every = torch.cat([of_columns, grid.flatten(0, 1)])
    if labels is not None:
        labels = torch.cat([labels[:columns], labels[columns:].repeat_interleave(columns + 1)])
    batch = model.batch_of(64)
    parts = [slice(start, start + batch) for start in range(0, len(every), batch)]
    images = torch.cat([model.render(every[part], None if labels is None else labels[part]) for part in parts])
    corner = torch.ones_like(images[:1])
    return torch.cat([corner, images]).unflatten(0, (rows + 1, columns + 1))
