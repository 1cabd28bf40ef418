"""Samples a generator while it trains: grids of images, and the numbers that detect a collapse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganzoo.data import ImageData, Stream
from ganzoo.engine.randomness import seeded
from ganzoo.engine.trainer import Trainer
from ganzoo.errors import DivergedError, PluginError, UsageError
from ganzoo.files import pictures
from ganzoo.files.atomic import write_atomically
from ganzoo.files.text import one_line
from ganzoo.networks.latents import sample_latents
from ganzoo.networks.precision import float32_by_default
from ganzoo.runs.collapse import spread
from ganzoo.runs.modalities import MODALITIES, RealImages, RealPoints, modality_of, real_points

MONITORED = 256
BATCH = 64
EXAMPLES = 8  # of a generator with inputs


def select_real(data: ImageData) -> Tensor:
    """Returns at most 256 real images (N, C, H, W) in [-1, 1] from all over the data set."""
    rows = torch.linspace(0, len(data) - 1, min(MONITORED, len(data)), dtype=torch.float32).long()
    parts = [data.images[part].permute(0, 3, 1, 2).float() / 127.5 - 1 for part in rows.split(BATCH)]
    return torch.cat([MODALITIES["image"].measurable(part) for part in parts])


_CACHED: dict[str, RealImages] = {}


def real_images(data: ImageData) -> RealImages:
    """Returns the real images that samples are compared with; the last result is cached, also for forked processes."""
    if data.fingerprint not in _CACHED:
        images = select_real(data)
        _CACHED.clear()
        _CACHED[data.fingerprint] = RealImages(images, spread(images))
    return _CACHED[data.fingerprint]


def real_samples(data: ImageData | Stream) -> RealImages | RealPoints:
    """Returns the real samples that those of a generator are compared with."""
    return real_points(data) if isinstance(data, Stream) else real_images(data)


class Evaluation(NamedTuple):
    """Samples of a generator beside the fields that they belong to, on the CPU."""

    output: Tensor
    fields: Mapping[str, Tensor]


def samples(trainer: Trainer, n: int, *, average: bool = True) -> Iterator[Evaluation]:
    """Yields samples in batches: of the first `n` latents of the seed, all classes in turn.

    They are those of the moving average if there is one, unless `average` is False. A generator with inputs gets those
    of the evaluation view of the data, with their labels; `fields` holds the view.
    """
    sampler = trainer.sampler if average else trainer.generator
    inputs, classes = trainer.generator_inputs, trainer.image.classes
    n = min(n, trainer.batches.evaluation_rows) if inputs else n  # type: ignore[attr-defined]
    with evaluating(sampler), seeded(0), torch.no_grad(), float32_by_default():
        latent = sample_latents(sampler, n, trainer.seed).to(trainer.device, trainer.dtype)
        for start in range(0, n, BATCH):
            part = slice(start, min(start + BATCH, n))
            fields: Mapping[str, Tensor] = {}
            if inputs:
                fields = trainer.batches.evaluation(n, part)  # type: ignore[attr-defined]
            given = {name: fields[name].to(trainer.device, trainer.dtype) for name in inputs}
            label = None
            if classes:
                label = fields["label"] if inputs else torch.arange(part.start, part.stop) % classes
                label = label.to(trainer.device)
            output = sampler(latent[part], label, **given)
            yield Evaluation(output.float().cpu(), {name: fields[name].float().cpu() for name in fields})


class SampleMonitor:
    """Samples the generator that a checkpoint would hold, from latents that stay the same during the whole run."""

    def __init__(self, trainer: Trainer, real: RealImages | RealPoints, *, paired: bool = False):
        self.trainer, self.real, self.paired = trainer, real, paired and bool(trainer.generator_inputs)
        self.modality = modality_of(trainer.image)
        self.least_diversity = self.modality.least_diversity(real)
        self.notes: dict[str, list[float]] = {}  # lists that belong to the last measurement
        self._saved: tuple[tuple[int, int], Path] | None = None

    def measure(self) -> dict[str, float]:
        """Returns "diversity" and "energy_distance" (see `compare`); DivergedError if samples are not finite.

        With paired data also "l1", the mean absolute difference from the truth: the energy distance of outputs that
        belong to other sources would be 0. Points also have the numbers of `ganzoo.metrics.modes`, beside a moving
        average with "raw-" those of the generator being trained.
        """
        found = [
            (self.modality.measurable(part.output), self._l1(part))
            for part in samples(self.trainer, self.modality.monitored)
        ]
        fake = self._finite(torch.cat([output for output, _ in found]))
        paired = {"l1": sum(l1 * len(output) for output, l1 in found) / len(fake)} if self.paired else {}
        self.notes = self.modality.notes(fake, self.real)
        raw = {}
        if self.modality.raw and self.trainer.ema is not None:
            own = self._finite(self.sample(self.modality.monitored, average=False))
            raw = {f"raw-{name}": value for name, value in self.modality.compare(own, self.real).items()}
            self.notes |= {f"raw-{name}": value for name, value in self.modality.notes(own, self.real).items()}
        return {**self.modality.compare(fake, self.real), **paired, **raw}

    def final(self, looks: Sequence[dict[str, Any]]) -> dict[str, float]:
        """Returns the numbers of the end of a run, empty for images; `looks` are the records of its measurements."""
        numbers = self.modality.final(self.sample, self.real, looks)
        if numbers and self.trainer.ema is not None:
            raw_looks = [{name.removeprefix("raw-"): value for name, value in look.items()} for look in looks]
            own = self.modality.final(lambda n: self.sample(n, average=False), self.real, raw_looks)
            numbers |= {f"raw-{name}": value for name, value in own.items()}
        return numbers

    def sample(self, n: int, *, average: bool = True) -> Tensor:
        """Returns the samples of the first `n` latents of the seed, on the CPU."""
        return torch.cat([part.output for part in samples(self.trainer, n, average=average)])

    def _finite(self, fake: Tensor) -> Tensor:
        if not torch.isfinite(fake).all():
            step = self.trainer.step_number
            raise DivergedError(f"Training diverged at step {step}: samples of the generator are not finite.")
        return fake

    def _l1(self, part: Evaluation) -> float:
        return float((part.output - part.fields["output"]).abs().mean()) if self.paired else 0.0

    def save_grid(self, path: Path) -> None:
        """Writes a picture of samples as PNG, as the modality draws them.

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
            sheet = self.modality.preview(self.trainer, self.sample, self.real)
        self._saved = moment, pictures.save_picture(sheet, path)

    def save_real(self, data: ImageData | Stream, path: Path) -> None:
        """Writes a picture of real samples as PNG, arranged as `save_grid` arranges generated ones without inputs."""
        pictures.save_picture(self.modality.real_preview(data, self.trainer.image.classes), path)

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
def evaluating(generator: nn.Module) -> Iterator[None]:
    """Sets a network to evaluation for a while, so that its buffers stay as they are."""
    training = {module: module.training for module in generator.modules()}
    generator.eval()
    try:
        yield
    finally:
        for module, flag in training.items():
            module.training = flag
