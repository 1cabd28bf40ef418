"""Samples a generator while it trains: grids of images, and the numbers that detect a collapse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo.data import ImageData
from ganzoo.engine.randomness import seeded
from ganzoo.engine.trainer import Trainer
from ganzoo.errors import DivergedError, PluginError, UsageError
from ganzoo.files import pictures
from ganzoo.files.atomic import write_atomically
from ganzoo.files.text import one_line
from ganzoo.networks.latents import sample_latents
from ganzoo.networks.precision import float32_by_default
from ganzoo.runs.collapse import Spread, compare, spread

MONITORED = 256
LARGEST_MEASURED = 64
BATCH = 64


def select_real(data: ImageData) -> Tensor:
    """Returns at most 256 real images (N, C, H, W) in [-1, 1] from all over the data set."""
    rows = torch.linspace(0, len(data) - 1, min(MONITORED, len(data)), dtype=torch.float32).long()
    parts = [data.images[part].permute(0, 3, 1, 2).float() / 127.5 - 1 for part in rows.split(BATCH)]
    return torch.cat([measurable(part) for part in parts])


class RealImages(NamedTuple):
    """Real images (N, C, H, W) in [-1, 1] and the mean distances between them."""

    images: Tensor
    spread: Spread


_CACHED: dict[str, RealImages] = {}


def real_images(data: ImageData) -> RealImages:
    """Returns the real images that samples are compared with; the last result is cached, also for forked processes."""
    if data.fingerprint not in _CACHED:
        images = select_real(data)
        _CACHED.clear()
        _CACHED[data.fingerprint] = RealImages(images, spread(images))
    return _CACHED[data.fingerprint]


def measurable(images: Tensor) -> Tensor:
    """Averages images of more than 64 pixels down to 64: distances change little, and memory stays small."""
    return functional.adaptive_avg_pool2d(images, LARGEST_MEASURED) if images.shape[-1] > LARGEST_MEASURED else images


def samples(trainer: Trainer, n: int) -> Iterator[Tensor]:
    """Yields samples (m, C, H, W) on the CPU in batches: of the first `n` latents of the seed, all classes in turn."""
    labels = torch.arange(n) % trainer.image.classes if trainer.image.classes else None
    with _evaluating(trainer.sampler), seeded(0), torch.no_grad(), float32_by_default():
        latent = sample_latents(trainer.sampler, n, trainer.seed).to(trainer.device, trainer.dtype)
        for start in range(0, n, BATCH):
            part = slice(start, start + BATCH)
            images = trainer.sampler(latent[part], None if labels is None else labels[part].to(trainer.device))
            yield images.float().cpu()


class SampleMonitor:
    """Samples the generator that a checkpoint would hold, from latents that stay the same during the whole run."""

    def __init__(self, trainer: Trainer, real: RealImages):
        self.trainer, self.real = trainer, real
        self._saved: tuple[tuple[int, int], Path] | None = None

    def measure(self) -> dict[str, float]:
        """Returns "diversity" and "energy_distance" (see `compare`); DivergedError if samples are not finite."""
        fake = torch.cat([measurable(part) for part in samples(self.trainer, MONITORED)])
        if not torch.isfinite(fake).all():
            step = self.trainer.step_number
            raise DivergedError(f"Training diverged at step {step}: samples of the generator are not finite.")
        return compare(fake, *self.real)

    def save_grid(self, path: Path) -> None:
        """Writes a grid of samples as PNG; a conditional generator's columns are its classes, if they are few.

        A second grid of the same step is a copy of the first.
        """
        moment = self.trainer.step_number, self.trainer.attempt
        if self._saved is not None and self._saved[0] == moment and self._saved[1].exists():
            write_atomically(path, self._saved[1].read_bytes())
            return
        classes = self.trainer.image.classes
        columns = classes if 2 <= classes <= 12 else 8
        images = torch.cat(list(samples(self.trainer, 8 * columns)))
        self._saved = moment, pictures.save_picture(pictures.enlarged(pictures.grid(images, columns)), path)


def dry_run(trainer: Trainer, name: str) -> None:
    """Samples two images, to find options that do not work before a run folder is made; `name` is the generator's.

    UsageError if the generator fails, PluginError if its images have another shape than requested.
    """
    image = trainer.image
    try:
        shape = tuple(torch.cat(list(samples(trainer, 2))).shape)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise UsageError(f"The generator '{name}' cannot sample with these settings: {one_line(error)}") from None
    wanted = (2, image.channels, image.size, image.size)
    if shape != wanted:
        raise PluginError(f"The generator '{name}' returned images of shape {shape}, not {wanted}.")


@contextmanager
def _evaluating(generator: nn.Module) -> Iterator[None]:
    training = {module: module.training for module in generator.modules()}
    generator.eval()
    try:
        yield
    finally:
        for module, flag in training.items():
            module.training = flag
