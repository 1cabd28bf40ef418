"""Samples a generator while it trains: grids of images, and the numbers that detect a collapse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

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
EXAMPLES = 8  # of a generator with inputs


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
    size = (min(images.shape[2], LARGEST_MEASURED), min(images.shape[3], LARGEST_MEASURED))
    return images if size == images.shape[2:] else functional.adaptive_avg_pool2d(images, size)


class Evaluation(NamedTuple):
    """Samples of a generator beside the fields that they belong to, on the CPU."""

    output: Tensor
    fields: Mapping[str, Tensor]


def samples(trainer: Trainer, n: int) -> Iterator[Evaluation]:
    """Yields samples in batches: of the first `n` latents of the seed, all classes in turn.

    A generator with inputs gets those of the evaluation view of the data, with their labels; `fields` holds the view.
    """
    inputs = trainer.generator_inputs
    fields: Mapping[str, Tensor] = trainer.batches.evaluation(n) if inputs else {}  # type: ignore[attr-defined]
    n = min([n, *(len(fields[name]) for name in inputs)])
    classes = trainer.image.classes
    labels = (fields["label"] if inputs else torch.arange(n) % classes) if classes else None
    with _evaluating(trainer.sampler), seeded(0), torch.no_grad(), float32_by_default():
        latent = sample_latents(trainer.sampler, n, trainer.seed).to(trainer.device, trainer.dtype)
        for start in range(0, n, BATCH):
            part = slice(start, start + BATCH)
            given = {name: fields[name][part].to(trainer.device, trainer.dtype) for name in inputs}
            label = None if labels is None else labels[part].to(trainer.device)
            output = trainer.sampler(latent[part], label, **given)
            yield Evaluation(output.float().cpu(), {name: fields[name][part].float().cpu() for name in fields})


class SampleMonitor:
    """Samples the generator that a checkpoint would hold, from latents that stay the same during the whole run."""

    def __init__(self, trainer: Trainer, real: RealImages, *, paired: bool = False):
        self.trainer, self.real, self.paired = trainer, real, paired and bool(trainer.generator_inputs)
        self._saved: tuple[tuple[int, int], Path] | None = None

    def measure(self) -> dict[str, float]:
        """Returns "diversity" and "energy_distance" (see `compare`); DivergedError if samples are not finite.

        With paired data also "l1", the mean absolute difference from the truth: the energy distance of outputs that
        belong to other sources would be 0.
        """
        found = [(measurable(part.output), self._l1(part)) for part in samples(self.trainer, MONITORED)]
        fake = torch.cat([output for output, _ in found])
        if not torch.isfinite(fake).all():
            step = self.trainer.step_number
            raise DivergedError(f"Training diverged at step {step}: samples of the generator are not finite.")
        paired = {"l1": sum(l1 * len(output) for output, l1 in found) / len(fake)} if self.paired else {}
        return {**compare(fake, *self.real), **paired}

    def _l1(self, part: Evaluation) -> float:
        return float((part.output - part.fields["output"]).abs().mean()) if self.paired else 0.0

    def save_grid(self, path: Path) -> None:
        """Writes a grid of samples as PNG; a conditional generator's columns are its classes, if they are few.

        A generator with inputs has a column for each example: the inputs, its output, and the truth of paired data. A
        second grid of the same step is a copy of the first.
        """
        moment = self.trainer.step_number, self.trainer.attempt
        if self._saved is not None and self._saved[0] == moment and self._saved[1].exists():
            write_atomically(path, self._saved[1].read_bytes())
            return
        if self.trainer.generator_inputs:
            sheet = self._examples()
        else:
            classes = self.trainer.image.classes
            columns = classes if 2 <= classes <= 12 else 8
            images = torch.cat([part.output for part in samples(self.trainer, 8 * columns)])
            sheet = pictures.enlarged(pictures.grid(images, columns))
        self._saved = moment, pictures.save_picture(sheet, path)

    def _examples(self) -> Any:
        """Returns the picture of examples: rows of inputs, output and, if the data are paired, truth."""
        parts = list(samples(self.trainer, EXAMPLES))
        fields = {name: torch.cat([part.fields[name] for part in parts]) for name in parts[0].fields}
        rows = [
            fields[name] for name in self.trainer.generator_inputs if self.trainer.image.inputs[name].kind == "image"
        ]
        rows += [torch.cat([part.output for part in parts]), *([fields["output"]] if self.paired else [])]
        return pictures.enlarged(pictures.rows_of(rows))


def dry_run(trainer: Trainer, name: str) -> None:
    """Samples twice, to find options that do not work before a run folder is made; `name` is the generator's.

    UsageError if the generator fails, PluginError if its samples have another shape than requested.
    """
    try:
        shape = tuple(torch.cat([part.output for part in samples(trainer, 2)]).shape)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise UsageError(f"The generator '{name}' cannot sample with these settings: {one_line(error)}") from None
    wanted = (2, *trainer.image.output.shape)
    if shape != wanted:
        raise PluginError(f"The generator '{name}' returned samples of shape {shape}, not {wanted}.")


@contextmanager
def _evaluating(generator: nn.Module) -> Iterator[None]:
    training = {module: module.training for module in generator.modules()}
    generator.eval()
    try:
        yield
    finally:
        for module, flag in training.items():
            module.training = flag
