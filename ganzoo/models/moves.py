"""Moves samples along the codes and directions of a generator, each by a number, as sliders do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ganzoo.errors import UsageError, did_you_mean
from ganzoo.models import styles
from ganzoo.models.explore import PRIOR_SAMPLES, principal_directions
from ganzoo.models.truncation import Truncation

if TYPE_CHECKING:
    from ganzoo.models.model import Model

STRONGEST = 8  # directions that have a number
REACH = 3.0  # standard deviations of the prior
WIDER = 2.0  # how far a continuous code goes, in multiples of the range that it was trained on
LARGEST = 1e3
_DIRECTIONS: WeakKeyDictionary[Any, tuple[Tensor, Tensor]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Slider:
    """A code or direction by which samples can be moved, with the range that makes sense.

    `kind` is "categorical" (a category from 0), "continuous" (the value of the code) or "direction" (standard
    deviations of the prior, 0 for none). `column` is that of the latent, or the number of the direction from 0.
    """

    name: str
    kind: str
    low: float
    high: float
    column: int


def sliders(model: Model) -> list[Slider]:
    """Returns the sliders of a generator: its codes if it names any, else its strongest directions "1" to "8".

    Empty if the generator takes no latent.
    """
    generator = model.generator
    if generator.latent_dim == 0:
        return []
    if not generator.codes:
        numbers = range(len(directions(model)[0]))
        return [Slider(str(number + 1), "direction", -REACH, REACH, number) for number in numbers]
    found = []
    for code in generator.codes:
        if code.kind == "categorical":
            found.append(Slider(code.name, code.kind, 0, code.size - 1, code.start))
            continue
        middle, half = (code.high + code.low) / 2, (code.high - code.low) / 2 * WIDER
        for number in range(code.size):
            name = code.name if code.size == 1 else f"{code.name}-{number + 1}"
            found.append(Slider(name, code.kind, middle - half, middle + half, code.start + number))
    return found


def directions(model: Model) -> tuple[Tensor, Tensor]:
    """Returns the strongest directions (8, D) of latents, or styles if there are any, and the prior's deviations (8,).

    They are those of `ganzoo explore`, found once for each model. UsageError if no layer that takes them is found.
    """
    if model not in _DIRECTIONS:
        if model.generator.has_mapping:
            style = model.style(model.latent(1), model.labels(1))
            vectors, _ = styles.style_directions(model, min(STRONGEST, style.shape[-1]), "sefa")
            deviations = styles.deviations(model, vectors)
        else:
            count = min(STRONGEST, model.generator.latent_dim)
            vectors, _ = principal_directions(model.generator, count, model.latent(1), model.labels(1))
            deviations = (model.latent(PRIOR_SAMPLES) @ vectors.T).std(0)
        _DIRECTIONS[model] = vectors, deviations
    return _DIRECTIONS[model]


class Moves:
    """The moves of a request by name; UsageError for one that the generator does not have, or a value out of range."""

    def __init__(self, model: Model, values: Mapping[str, float]):
        known = {slider.name: slider for slider in sliders(model)}
        for name, value in values.items():
            if name not in known:
                kind = "code" if model.generator.codes else "direction"
                raise UsageError(f"The generator of '{model.variant}' has no such {kind}: {name}.{_hint(name, known)}")
            _check(known[name], value)
        self.model = model
        self.codes = [(known[name], float(value)) for name, value in values.items() if known[name].kind != "direction"]
        moved = {known[name].column: float(value) for name, value in values.items()} if not self.codes else {}
        self.shift: Tensor | None = None
        if moved:
            vectors, deviations = directions(model)
            weights = torch.tensor([moved.get(number, 0.0) for number in range(len(vectors))], dtype=vectors.dtype)
            self.shift = ((weights * deviations)[:, None] * vectors).sum(0)

    def sampled(self, latent: Tensor, label: Tensor | None, truncation: Truncation | None) -> Tensor:
        """Returns the images of latents (n, latent_dim) that are moved, after truncation."""
        model, latent = self.model, latent.clone()
        for slider, value in self.codes:
            if slider.kind == "categorical":
                latent[:, slider.column : slider.column + int(slider.high) + 1] = 0
                latent[:, slider.column + int(value)] = 1
            else:
                latent[:, slider.column] = value
        if not model.generator.has_mapping:
            return model.generate(latent if self.shift is None else latent + self.shift, label)
        style = model.style(latent, label, truncation)
        return model.render(style if self.shift is None else style + self.shift, label)


def _check(slider: Slider, value: float) -> None:
    """UsageError for a category that does not exist, or a number that is not finite or is absurd."""
    if slider.kind == "categorical" and not (value == int(value) and slider.low <= value <= slider.high):
        raise UsageError(f"Code {slider.name} has the categories {slider.low:g} to {slider.high:g}, not {value:g}.")
    if not abs(value) <= LARGEST:
        raise UsageError(f"A move is a number such as 1.5 or -2, not {value} ({slider.name}).")


def _hint(name: str, known: Mapping[str, Slider]) -> str:
    return did_you_mean(name, known) if known else " It takes no latent."
