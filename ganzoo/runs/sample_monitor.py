"""Looking at a generator while it trains: sample grids for people, numbers for the collapse watch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo.engine.randomness import seeded
from ganzoo.engine.trainer import Trainer
from ganzoo.errors import DivergedError, PluginError, UsageError
from ganzoo.files import pictures
from ganzoo.files.atomic import write_atomically
from ganzoo.files.text import one_line
from ganzoo.networks.latents import sample_latents
from ganzoo.runs import collapse as watch

LOOKED_AT = 256
LARGEST_MEASURED = 64
AT_ONCE = 64


def some_real(data) -> Tensor:
    """At most 256 real images (N, C, H, W) in [-1, 1], spread over the whole data set, to compare samples with."""
    rows = torch.linspace(0, len(data) - 1, min(LOOKED_AT, len(data))).long()
    parts = [data.images[part].permute(0, 3, 1, 2).float() / 127.5 - 1 for part in rows.split(AT_ONCE)]
    return torch.cat([measurable(part) for part in parts])


class Real(NamedTuple):
    """Real images (N, C, H, W) in [-1, 1] and how far they lie apart."""

    images: Tensor
    spread: watch.Spread


_REAL: dict[str, Real] = {}


def remembered_real(data) -> Real:
    """What samples are compared with, worked out once for the last data set: processes that are forked later need not."""
    if data.fingerprint not in _REAL:
        images = some_real(data)
        _REAL.clear()
        _REAL[data.fingerprint] = Real(images, watch.spread(images))
    return _REAL[data.fingerprint]


def measurable(images: Tensor) -> Tensor:
    """Images of more than 64 pixels averaged down to 64: distances change little, and memory stays small."""
    return functional.adaptive_avg_pool2d(images, LARGEST_MEASURED) if images.shape[-1] > LARGEST_MEASURED else images


def draw(trainer: Trainer, n: int) -> Iterator[Tensor]:
    """Images (m, C, H, W) of the first `n` latents of the run's seed, all classes in turn, a part at a time, on the CPU."""
    labels = torch.arange(n) % trainer.image.classes if trainer.image.classes else None
    with _evaluating(trainer.sampler), seeded(0), torch.no_grad():
        latent = sample_latents(trainer.sampler, n, trainer.seed).to(trainer.device, trainer.dtype)
        for start in range(0, n, AT_ONCE):
            part = slice(start, start + AT_ONCE)
            images = trainer.sampler(latent[part], None if labels is None else labels[part].to(trainer.device))
            yield images.float().cpu()


class Looks:
    """Draws with the generator that a checkpoint would hold, from latents that stay the same during the whole run."""

    def __init__(self, trainer: Trainer, real: Real):
        self.trainer, self.real = trainer, real
        self._saved: tuple[tuple[int, int], Path] | None = None

    def measure(self) -> dict[str, float]:
        """How varied samples are and how far from real ones; DivergedError if they are not finite."""
        fake = torch.cat([measurable(part) for part in draw(self.trainer, LOOKED_AT)])
        if not torch.isfinite(fake).all():
            raise DivergedError(
                f"Training diverged at step {self.trainer.step_number}: the generator draws values that are not finite."
            )
        return watch.compare(fake, *self.real)

    def save_grid(self, path: Path) -> None:
        """Writes a grid of samples as PNG; a conditional generator's columns are its classes, if they are few.

        A grid of the same step is copied from the last one.
        """
        moment = self.trainer.step_number, self.trainer.attempt
        if self._saved is not None and self._saved[0] == moment and self._saved[1].exists():
            write_atomically(path, self._saved[1].read_bytes())
            return
        classes = self.trainer.image.classes
        columns = classes if 2 <= classes <= 12 else 8
        images = torch.cat(list(draw(self.trainer, 8 * columns)))
        self._saved = moment, pictures.save_picture(pictures.enlarged(pictures.grid(images, columns)), path)


def try_out(trainer: Trainer, name: str) -> None:
    """Draws two images, so that options which the generator called `name` cannot work with are found before a run folder is made."""
    image = trainer.image
    try:
        shape = tuple(torch.cat(list(draw(trainer, 2))).shape)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise UsageError(f"The generator '{name}' cannot draw with these settings: {one_line(error)}") from None
    if shape != (2, image.channels, image.size, image.size):
        raise PluginError(
            f"The generator '{name}' drew {shape} where {(2, image.channels, image.size, image.size)} was asked for."
        )


@contextmanager
def _evaluating(generator: nn.Module) -> Iterator[None]:
    training = {module: module.training for module in generator.modules()}
    generator.eval()
    try:
        yield
    finally:
        for module, flag in training.items():
            module.training = flag
