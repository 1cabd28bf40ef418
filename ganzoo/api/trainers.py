"""`ganzoo.create_trainer`: a training whose loop is the program's own."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn
from torch.optim import Optimizer

from ganzoo.api.inputs import card_of, check_values, data_name, options_of, start_of
from ganzoo.api.public import public
from ganzoo.api.runs import Run
from ganzoo.checkpoints.checkpoint import save_checkpoint
from ganzoo.config.schema import RunConfig
from ganzoo.errors import DivergedError, UsageError, advice
from ganzoo.files.lock import FolderLock
from ganzoo.files.output_checks import path_of
from ganzoo.models.load import describe_run
from ganzoo.models.model import Model
from ganzoo.networks import Generator
from ganzoo.registry.registry import registry
from ganzoo.runs.collapse import CollapseDetector
from ganzoo.runs.folder import RunFolder
from ganzoo.runs.request import Request
from ganzoo.runs.sample_monitor import SampleMonitor, real_samples
from ganzoo.runs.train import Plan, plan_training
from ganzoo.variant import Variant

if TYPE_CHECKING:
    from ganzoo.api.inputs import Images, Parts

Size = int | tuple[int, int]


class OwnLoop:
    """A training step by step: `step()` as often as wanted, then `save(folder)`. `ganzoo.create_trainer` makes it.

    A step is that of `ganzoo.train` with the same settings, bit for bit: the same batches, random numbers and order.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._trainer = plan, plan.trainer
        self._began, self._terms, self._folder = time.monotonic(), dict[str, Tensor](), Path()
        self._optimizers = self._hyperparameters()

    def __repr__(self) -> str:
        config = self._plan.config
        data = f"{config.data.name}, {config.image.extent}"
        return f"<OwnLoop {config.variant.name} on {data}: {self.step_number} steps done>"

    @property
    def step_number(self) -> int:
        """The number of steps that were made."""
        return self._trainer.step_number

    @property
    def generator(self) -> Generator:
        """The generator being trained."""
        return self._trainer.generator

    @property
    def discriminator(self) -> nn.Module | None:
        """The discriminator being trained, or None."""
        return self._trainer.discriminator

    @property
    def loss(self) -> nn.Module:
        """The loss, with what it remembers in its buffers."""
        return self._trainer.loss

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """The optimizers by role; what a program changes in them is recorded by `save`, except where schedules do."""
        return self._trainer.optimizers

    @property
    def config(self) -> RunConfig:
        """The config.json that `save` writes: the resolved variant, the data, the seed and the versions."""
        training, steps = self._plan.config.variant.training, self.step_number
        if steps > training.steps and not training.schedules:  # a schedule is measured by the steps of the plan
            training = replace(training, steps=steps)
        return replace(self._plan.config, variant=replace(self._plan.config.variant, training=training))

    def step(self) -> dict[str, Tensor]:
        """Makes one training step; returns its terms as {"discriminator.loss": scalar}, detached and on the device."""
        self._terms = self._trainer.step()
        return dict(self._terms)

    def measure(self) -> dict[str, float]:
        """Returns "diversity" and "energy_distance" of samples, as metrics.jsonl has them.

        Raises:
            DivergedError: if samples are not finite.
        """
        return self._monitor().measure()

    def model(self) -> Model:
        """Returns a copy of the generator as a `Model` to sample from: the moving average if there is one."""
        config = describe_run(self.config, self.step_number, self._trainer.training.averages)
        sampler = deepcopy(self._trainer.sampler)
        return Model(sampler, replace(config, latent_dim=sampler.latent_dim))

    @public
    def save(self, folder: str | os.PathLike[str]) -> Run:
        """Writes the state as a run folder, which `ganzoo.load`, `ganzoo.open_run` and `--resume` take.

        A later call may name the same folder, which then has one more checkpoint.

        Raises:
            UsageError: if the folder has other content.
            DivergedError: if weights or terms are not finite; then nothing is written.
        """
        try:
            return self._save(RunFolder(path_of("folder", folder)))
        except DivergedError as error:
            raise DivergedError(f"{error} See {advice('Numbers explode')}.") from None

    def _save(self, files: RunFolder) -> Run:
        trainer, step = self._trainer, self.step_number
        terms = {name: float(value) for name, value in self._terms.items()}
        if bad := [name for name, value in terms.items() if not math.isfinite(value)]:
            raise DivergedError(f"Training diverged at step {step}: {bad[0]} is {terms[bad[0]]}.")
        monitor = self._monitor()
        measured = monitor.measure()
        if self._folder != files.path.absolute():
            files.create()
            self._folder = files.path.absolute()
        with FolderLock(files.path):
            files.write_config(self.config)
            facts = {"step": step, "images": trainer.images_seen, "seconds": time.monotonic() - self._began}
            if terms:
                files.log({**facts, "terms": terms})
            files.log({**facts, "samples": measured, **monitor.notes})
            changes = self._changes()
            text = "; ".join(["trained in a loop of its own", *changes])
            files.log({"step": step, "event": "own-loop", "text": text})
            trees = {**trainer.state(), "watch": CollapseDetector().state()}
            save_checkpoint(files.checkpoints, step, trees, summary={"step": step, **measured})
            files.log({"step": step, "event": "checkpoint", "text": f"step-{step:09d}"})
            files.samples.mkdir(exist_ok=True)
            for path in (files.samples / f"step-{step:09d}.png", files.path / "samples.png"):
                monitor.save_grid(path)
        return Run(files.path)

    def _monitor(self) -> SampleMonitor:
        return SampleMonitor(self._trainer, real_samples(self._plan.shown), paired=self._plan.paired)

    def _hyperparameters(self) -> dict[str, Any]:
        """The options of optimizers that no schedule moves, by role."""
        if self._trainer.training.schedules:
            return {}
        return {
            f"{role}.{name}": value
            for role, optimizer in self._trainer.optimizers.items()
            for name, value in optimizer.param_groups[0].items()
            if name != "params"
        }

    def _changes(self) -> list[str]:
        """What the program changed that config.json does not say."""
        now = self._hyperparameters()
        return [
            f"{name} changed from {old} to {now.get(name)}"
            for name, old in self._optimizers.items()
            if now.get(name) != old
        ]


@public
def create_trainer(
    variant: str | Variant | Parts,
    data: Images,
    *,
    image_size: Size | None = None,
    channels: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    overrides: Mapping[str, Any] = {},
    mixins: str | Sequence[str] = (),
    conditional: bool | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    precision: Literal["fp32", "bf16"] | None = None,
    source: Images | None = None,
    data_root: str | os.PathLike[str] | None = None,
    start_from: str | os.PathLike[str] | None = None,
) -> OwnLoop:
    """Prepares a training for a loop of your own; the arguments are those of `ganzoo.train`.

    Args:
        variant: a name, a card, or a mapping of parts: {"generator": "dcgan", "discriminator": "dcgan", "loss": Mine}.
            A part is a registered name, a `ganzoo.Part` with options, or a class, which is registered in this process.
            "regularizers" is a list of parts; "augmentation", "inputs", "labels", "sizes" and "training" are those of
            a `ganzoo.Variant`.
        data: as for `ganzoo.train`.
        steps: by which schedules are measured; None for the paper's.

    Raises:
        UsageError: for a request that cannot be met.
    """
    check_values(batch_size=batch_size, seed=seed)
    options = options_of(
        data=data_name(data),
        data_root=data_root,
        image_size=image_size,
        channels=channels,
        source=None if source is None else data_name(source),
        conditional=conditional,
        steps=steps,
        overrides=overrides,
        mixins=mixins,
        precision=precision,
        device=device,
        threads=threads,
    )
    request = Request(
        out=Path(),
        variant=card_of(variant),
        options=options,
        batch_size=batch_size,
        seed=seed,
        quiet=True,
        start_from=None if start_from is None else start_of(start_from),
    )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("A loop of its own runs in one process, not under torchrun: `ganzoo.train` takes several.")
    return OwnLoop(plan_training(request, registry()))
