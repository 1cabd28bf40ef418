"""The spaces in which an inversion searches: latents z, one style w for all layers, or a style for each layer, w+."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ganzoo.errors import UsageError
from ganzoo.models.latents import Latents
from ganzoo.models.model import Model
from ganzoo.networks.latents import sample_latents

SPACES = ("z", "w", "w+")
MAPPED = 10_000  # latents whose styles give the mean and deviation, as in the projector of StyleGAN2
DRAWN = 4096  # latents whose extremes bound those that are found
MAPPED_AT_ONCE = 500


class Space(Protocol):
    """What is searched: rows of numbers, of which latents or styles are made.

    `rate` is Adam's usual rate there, `deviation` that of the noise that is added to rows at first.
    """

    name: str
    rate: float
    deviation: float

    def candidates(self, draws: int | None, starts: int, seed: int, label: int | str | None) -> Latents:
        """Returns rows where a search may begin, with their classes: at least `starts`."""
        ...

    def latents(self, rows: Tensor, labels: Tensor | None, noise: tuple[Tensor, ...] = ()) -> Latents:
        """Returns the latents or styles of rows, differentiably."""
        ...

    def confined(self, rows: Tensor, start: Tensor) -> Tensor:
        """Returns rows that the search may have moved out of their bounds, moved back into them."""
        ...


def _refuse_few(draws: int | None, needed: int, starts: int) -> None:
    """UsageError if fewer candidates were asked for than searches need to start from."""
    if draws is not None and draws < needed:
        raise UsageError(f"{starts} starts need {needed} draws, not {draws}: raise draws, or leave it out.")


class LatentSpace:
    """Latents z, within the extremes of 4096 draws of the prior if `bounded`.

    These bound each number, and the distance from 0. The columns of a categorical code stay as they were drawn, those
    of a continuous code within its training range.
    """

    name, rate, deviation = "z", 0.2, 0.0

    def __init__(self, model: Model, bounded: bool) -> None:
        self.model, self.bounded = model, bounded
        drawn = sample_latents(model.generator, DRAWN, 0)
        self.free = torch.ones(drawn.shape[1], dtype=torch.bool)
        self.low, self.high = drawn.amin(0), drawn.amax(0)
        for code in model.generator.codes:
            columns = slice(code.start, code.start + code.size)
            if code.kind == "categorical":
                self.free[columns] = False
            else:
                self.low[columns], self.high[columns] = code.low, code.high
        self.radius = float(drawn[:, self.free].norm(dim=1).max())

    def candidates(self, draws: int | None, starts: int, seed: int, label: int | str | None) -> Latents:
        count = max(1000 if draws is None else draws, starts)
        _refuse_few(draws, count, starts)
        return Latents(self.model.latent(count, seed), labels=self.model.labels(count, label))

    def latents(self, rows: Tensor, labels: Tensor | None, noise: tuple[Tensor, ...] = ()) -> Latents:
        return Latents(rows, labels=labels)

    def confined(self, rows: Tensor, start: Tensor) -> Tensor:
        free = self.free.to(rows.device)
        if self.bounded:
            rows = torch.minimum(torch.maximum(rows, self.low.to(rows)), self.high.to(rows))
            length = rows[:, free].norm(dim=1, keepdim=True)
            rows = rows * (self.radius / length.clamp(min=1e-12)).clamp(max=1)
        return torch.where(free, rows, start)


class StyleSpace:
    """Styles: of all layers together (w), or with `apart` of each layer (w+).

    A search begins at the mean of 10,000 styles, of each class if there are classes, or at a drawn style that is
    nearer. Rows have (D,) numbers, with `apart` (layers, D).
    """

    rate = 0.1

    def __init__(self, model: Model, apart: bool) -> None:
        style = model.style(model.latent(1), model.labels(1))
        if apart and style.ndim != 3:
            raise UsageError(f"The generator of '{model.variant}' has one style for all layers: choose the space w.")
        self.model, self.apart, self.name = model, apart, "w+" if apart else "w"
        self.layers = style.shape[1] if style.ndim == 3 else 0
        self.deviation = 0.0  # known with the candidates

    def candidates(self, draws: int | None, starts: int, seed: int, label: int | str | None) -> Latents:
        labels = self.model.labels(MAPPED, label)
        styles = self._mapped(self.model.latent(MAPPED, seed), labels)
        self.deviation = float((styles - styles.mean(0)).square().sum(1).mean().sqrt())
        classes = None if labels is None else labels.unique()
        if labels is None or classes is None:
            means = styles.mean(0, keepdim=True)
        else:
            means = torch.stack([styles[labels == one].mean(0) for one in classes])
        count = max(draws or 0, starts - len(means), 0)
        _refuse_few(draws, count, starts)
        rows = torch.cat([means, styles[:count]])
        if self.apart:
            rows = rows[:, None].repeat(1, self.layers, 1)
        if labels is None or classes is None:
            return Latents(rows, True)
        return Latents(rows, True, torch.cat([classes, labels[:count]]))

    def _mapped(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Returns the styles (N, D) of latents; those of several layers are averaged."""
        parts = []
        for start in range(0, len(latents), MAPPED_AT_ONCE):
            part = slice(start, start + MAPPED_AT_ONCE)
            style = self.model.style(latents[part], None if labels is None else labels[part])
            parts.append((style.mean(1) if style.ndim == 3 else style).clone())
        return torch.cat(parts)

    def latents(self, rows: Tensor, labels: Tensor | None, noise: tuple[Tensor, ...] = ()) -> Latents:
        styles = rows[:, None].expand(-1, self.layers, -1) if self.layers and not self.apart else rows
        return Latents(styles, True, labels, noise)

    def confined(self, rows: Tensor, start: Tensor) -> Tensor:
        return rows


def space_named(model: Model, name: str | None, bounded: bool) -> Space:
    """Returns the space of a name, None for w where there are styles and z elsewhere; UsageError if there is none."""
    model.refuse_sources()
    mapped = model.generator.has_mapping
    if name is not None and name not in SPACES:
        raise UsageError(f"A space is {', '.join(SPACES[:-1])} or {SPACES[-1]}, not {name!r}.")
    if name in ("w", "w+") and not mapped:
        raise UsageError(f"The generator of '{model.variant}' has no styles: its space is z.")
    if name == "z" or not mapped:
        return LatentSpace(model, bounded)
    return StyleSpace(model, name == "w+")
