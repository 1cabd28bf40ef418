"""Scores a model that makes images of images on data whose truth is known, beside a copy of the source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo.data import Batches
from ganzoo.data.request import Direction, load_data, request_of
from ganzoo.data.sources import Data
from ganzoo.errors import UsageError
from ganzoo.files.pictures import to_uint8
from ganzoo.files.text import quoted
from ganzoo.metrics.features import as_images
from ganzoo.metrics.image_sets import PairScores, paired_metrics
from ganzoo.metrics.paired import WHOLE, ComparedPart
from ganzoo.models.model import Model
from ganzoo.models.rasters import with_channels
from ganzoo.registry.registry import Registry

BATCH = 16


@dataclass(frozen=True)
class TranslationScores:
    """The numbers of a model's outputs, and of the sources themselves, brought to the size and channels of outputs."""

    model: PairScores
    source: PairScores


def data_for(
    model: Model,
    output: str,
    registry: Registry,
    *,
    source: str | None = None,
    side_by_side: bool = False,
    direction: Direction | None = None,
    root: Path | None = None,
) -> Data:
    """Loads the data that a model was made for: its size and channels, its conditions, or the sources of `source`.

    UsageError for a model without a source, or data that do not have it.
    """
    geometry = model.geometry  # refuses models of latents alone
    part = model.config.inputs.get(geometry.name)
    if part is not None and (source or side_by_side or direction):
        raise UsageError(
            f"The sources of this model are computed by {quoted(part.name)}: "
            "leave out --source, --pairs and --direction."
        )
    stored = part and getattr(registry.get("conditions", part.name), "stored_channels", None)
    channels, *size = model.image.output.shape
    source_channels, *source_size = geometry.source.shape
    request = request_of(
        output,
        (size[0], size[1]),
        {geometry.name: part},
        registry,
        source=source,
        side_by_side=side_by_side,
        direction=direction,
        root=root,
        source_size=None if part else (source_size[0], source_size[1]),
        channels=None if stored else channels,
        source_channels=None if part else source_channels,
    )
    return load_data(request)


def score_translations(
    model: Model,
    data: Data,
    metrics: Sequence[str] = (),
    *,
    seed: int = 0,
    batch_size: int = BATCH,
    part: ComparedPart = WHOLE,
) -> TranslationScores:
    """Compares what a model makes of every source with the truth; outputs are rounded to 8 bits, as in an image file.

    `metrics` are names of `ganzoo.metrics.paired.PAIRED`, by default all but lpips that fit the size. A condition's
    random numbers depend on the row alone. `part` is the part of images that is compared. UsageError for data of other
    shapes or classes than the model's.
    """
    spec, name = data.spec, model.geometry.name
    for field, own in {"output": model.image.output, name: model.geometry.source}.items():
        found = spec.output if field == "output" else spec.sources.get(field)
        if found is None or found.shape != own.shape:
            shape = "none" if found is None else str(found.shape)
            raise UsageError(f"The model's {field} has the shape {own.shape}, and that of the data is {shape}.")
    if model.image.classes and tuple(data.output.classes) != tuple(model.class_names):
        raise UsageError("The classes of the data are not those of the model, by name and in order.")
    chosen = paired_metrics(metrics, min(model.image.output.shape[1:]), part.border)
    values: dict[str, dict[str, list[float]]] = {side: {one: [] for one in chosen} for side in ("model", "source")}
    masked = model.config.inputs.get(name) is not None and model.geometry.source.shape[0] in (2, 4)
    for made, fields in _translated(model, data, seed, batch_size):
        truth = fields["output"].float().cpu()
        for side, images in {"model": made, "source": as_output(fields[name].float().cpu(), truth, masked)}.items():
            for one, metric in chosen.items():
                values[side][one] += metric(part(images), part(truth)).tolist()
    names = tuple(map(str, range(len(next(iter(values["model"].values()))))))
    scores = {
        side: PairScores(names, {one: tuple(got) for one, got in found.items()}) for side, found in values.items()
    }
    return TranslationScores(**scores)


def _translated(model: Model, data: Data, seed: int, batch_size: int) -> Iterator[tuple[Tensor, Mapping[str, Tensor]]]:
    """Yields the outputs of every row, rounded to 8 bits, beside the fields of the rows."""
    count = len(data.output)
    batches = Batches(data, batch_size=1, seed=0)
    latent = model.latent(count, seed)
    for start in range(0, count, batch_size):
        part = slice(start, min(start + batch_size, count))
        fields = batches.evaluation(count, part)
        label = fields["label"] if model.image.classes else None
        made = model.generate(latent[part], label, **{model.geometry.name: fields[model.geometry.name]})
        yield as_images(to_uint8(made)), fields


def as_output(source: Tensor, truth: Tensor, masked: bool) -> Tensor:
    """Brings sources to the size and channels of the truth: enlarged bicubically, without their mask."""
    colours = source[:, :-1] if masked else source
    if colours.shape[2:] != truth.shape[2:]:
        colours = functional.interpolate(colours, truth.shape[2:], mode="bicubic", antialias=True)
    return with_channels(colours, truth.shape[1]).clamp(-1, 1)


def score_model(model: Model, output: str, registry: Registry, **options: Any) -> TranslationScores:
    """Loads the data with `data_for` and scores the model on all of it.

    `metrics`, `seed` and `part` are those of `score_translations`.
    """
    own = {name: options.pop(name) for name in ("metrics", "seed", "part") if name in options}
    with torch.no_grad():
        return score_translations(model, data_for(model, output, registry, **options), **own)
