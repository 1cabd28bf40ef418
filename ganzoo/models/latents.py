"""Latents and styles of chosen images: kept as a safetensors file, sampled again, and joined by walks."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ganzoo.errors import CheckpointError, UsageError
from ganzoo.files.atomic import write_atomically
from ganzoo.files.strict_json import read_bytes
from ganzoo.files.text import one_line, quoted
from ganzoo.models.header import read_header
from ganzoo.models.model import Model
from ganzoo.models.noise import noise_shapes
from ganzoo.models.truncation import Truncation, truncated
from ganzoo.networks.inputs import placement

LARGEST = 2**32  # bytes of a file
MARK = {"ganzoo": "latents 1"}


@dataclass(frozen=True, eq=False)
class Latents:
    """Latents of images, or with `styled` their styles, and the classes and noise that belong to them.

    `values` are latents (N, latent_dim), or styles (N, D) or (N, layers, D). `labels` (N,) are classes of a conditional
    generator. `noise` are the maps (N, 1, H, W) of the layers that take noise, in their order; empty for those that the
    generator keeps.
    """

    values: Tensor
    styled: bool = False
    labels: Tensor | None = None
    noise: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, chosen: slice) -> Latents:
        labels = None if self.labels is None else self.labels[chosen]
        return Latents(self.values[chosen], self.styled, labels, tuple(one[chosen] for one in self.noise))

    def repeated(self, times: int) -> Latents:
        """Returns every latent so many times, one after the other."""
        labels = None if self.labels is None else self.labels.repeat_interleave(times)
        noise = tuple(one.repeat_interleave(times, 0) for one in self.noise)
        return Latents(self.values.repeat_interleave(times, 0), self.styled, labels, noise)

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file that `read_latents` reads, whole or not at all."""
        write_atomically(path, self.as_bytes())

    def as_bytes(self) -> bytes:
        """Returns the content of the file: `latent` or `style`, `label`, and `noise.0`, `noise.1`, ..."""
        tensors = {"style" if self.styled else "latent": self.values.float()}
        if self.labels is not None:
            tensors["label"] = self.labels
        tensors |= {f"noise.{number}": one.float() for number, one in enumerate(self.noise)}
        return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, MARK)


def read_latents(path: str | Path, model: Model) -> Latents:
    """Reads a file of `Latents.save` for a model; CheckpointError or UsageError unless it fits its generator."""
    data = read_bytes(path, LARGEST)
    read_header(io.BytesIO(data), path, len(data))
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no safetensors file: {one_line(error)}") from None
    names = [name for name in ("latent", "style") if name in tensors]
    if len(names) != 1:
        found = ", ".join(map(quoted, list(tensors)[:5])) or "nothing"
        raise CheckpointError(
            f"{path} holds neither 'latent' nor 'style', as `ganzoo invert` writes them, but {found}."
        )
    maps = sorted((name for name in tensors if name.startswith("noise.")), key=lambda name: (len(name), name))
    values = tensors[names[0]]
    latents = Latents(values, names[0] == "style", tensors.get("label"), tuple(tensors[name] for name in maps))
    for name, tensor in tensors.items():
        if tensor.dim() == 0 or len(tensor) != len(values) or not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"{path}: {quoted(name)} has other rows than {names[0]}, or numbers that are not finite."
            )
    check_latents(latents, model, str(path))
    return latents


def check_latents(latents: Latents, model: Model, where: str = "the latents") -> None:
    """UsageError unless latents have the shape that the generator of a model takes."""
    model.refuse_sources()
    if latents.styled and not model.generator.has_mapping:
        raise UsageError(f"{where}: the generator of '{model.variant}' takes no styles.")
    first = model.latent(1), model.labels(1)
    wanted = tuple((model.style(*first) if latents.styled else first[0]).shape[1:])
    shape = tuple(latents.values.shape[1:])
    if not len(latents):
        raise UsageError(f"{where}: it holds no latent at all.")
    if shape != wanted:
        kind = "style" if latents.styled else "latent"
        raise UsageError(f"{where}: a {kind} has the shape {shape}, and '{model.variant}' takes {wanted}.")
    classes = model.image.classes
    if (latents.labels is not None) != bool(classes):
        state = f"has {classes} classes" if classes else "is unconditional"
        raise UsageError(f"{where}: classes are {'missing' if classes else 'given'}, and '{model.variant}' {state}.")
    if latents.labels is not None and not ((latents.labels >= 0) & (latents.labels < classes)).all():
        raise UsageError(f"{where}: a class is not within the {classes} of '{model.variant}'.")
    if latents.noise:
        sizes = noise_shapes(model)
        if [tuple(one.shape[1:]) for one in latents.noise] != sizes:
            raise UsageError(f"{where}: its noise is not that of the {len(sizes)} layers of '{model.variant}'.")


def images_of(model: Model, latents: Latents, batch_size: int = 64) -> Tensor:
    """Generates the images (N, C, H, W) of latents, on the CPU; a batch has no more pixels than `batch_of` allows."""
    size, parts = model.batch_of(batch_size), []
    for start in range(0, len(latents), size):
        part = latents[start : start + size]
        if part.styled:
            parts.append(model.render(part.values, part.labels, part.noise))
        else:
            parts.append(model.generate(part.values, part.labels))
    return torch.cat(parts)


def truncated_latents(model: Model, latents: Latents, truncation: Truncation) -> Latents:
    """Moves styles towards their mean, with the same classes and noise."""
    weight = placement(model.generator)
    label = None if latents.labels is None else latents.labels.to(weight.device)
    moved = truncated(model.generator, latents.values.to(weight), truncation, label)
    return replace(latents, values=moved.float().cpu())


def walk(model: Model, latents: Latents, frames: int = 12, *, closed: bool = True) -> Iterator[Tensor]:
    """Yields images (1, C, H, W) between latents, `frames` from each to the next, and back to the first if `closed`.

    Noise is mixed linearly; a class changes halfway. A walk that is not closed ends with the image of the last.
    """
    stops = [latents[number : number + 1] for number in range(len(latents))]
    if len(stops) < 2 or frames < 1:
        raise UsageError(f"A walk needs at least two stops and one frame a stretch, got {len(stops)} and {frames}.")
    for start, end in zip(stops, [*stops[1:], *stops[: int(closed)]], strict=False):
        for frame in range(frames):
            yield images_of(model, between(model, start, end, frame / frames))
    if not closed:
        yield images_of(model, stops[-1])


def between(model: Model, start: Latents, end: Latents, t: float) -> Latents:
    """Interpolates from `start` (t = 0) to `end` (t = 1) as the generator does; a class changes at one half."""
    if start.styled:
        values = torch.lerp(start.values, end.values, t)
    else:
        values = model.generator.interpolate(start.values, end.values, t)
    noise = tuple(torch.lerp(one, other, t) for one, other in zip(start.noise, end.noise, strict=True))
    return Latents(values, start.styled, start.labels if t < 0.5 else end.labels, noise)
