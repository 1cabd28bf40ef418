"""One of several processes that train together: writes what it saw to `<folder>/<case>-<rank>.safetensors`.

torchrun starts it with the folder as its argument; `watch` also gives, alone, what the whole batch gives.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from contract.harness import Pictures, contract_registry, spec
from ganzoo import ImageSpec, Part, Variant
from ganzoo.config.parts import parts_of
from ganzoo.config.recipe import bind_part
from ganzoo.engine.build import build_part
from ganzoo.engine.distributed import Processes, join, leave
from ganzoo.engine.randomness import seeded
from ganzoo.engine.trainer import Trainer
from ganzoo.losses import Regularizer
from ganzoo.registry.registry import registry

# As one process with the whole batch: nothing in them couples the samples of a batch but by a mean.
EXACT = ("wgan-gp", "infogan", "began", "cyclegan", "styles")
CASES = (*EXACT, "dcgan", "ada")
STEPS = 3


class Anchor(Regularizer):
    """Holds real logits near their running mean, which is a buffer."""

    phase = "critic"

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, turn):
        logits = turn.logits(turn.real)
        term = (logits - self.mean.clone()).square().mean()
        self.mean.lerp_(logits.detach().mean(), 0.5)
        return {"distance": term}


def styles() -> Variant:
    """The built-in StyleGAN2, narrow, without minibatch deviation, which couples the samples."""
    card, narrow = registry().get("variants", "stylegan2"), {"channel_base": 64, "width": 8}
    return replace(
        card,
        generator=Part("stylegan2", {**narrow, "latent_dim": 6, "mapping_layers": 2}),
        discriminator=Part("stylegan2", {**narrow, "deviation_channels": 0}),
        training=replace(card.training, generator_optimizer_options={}, discriminator_optimizer_options={}),
    )


def build(case: str, processes: Processes) -> Trainer:
    """A case in float64 on a batch of eight; each process starts with other weights, and the first one's must win."""
    known = registry() if case == "styles" else contract_registry()
    variant = styles() if case == "styles" else known.get("variants", case)
    if case in EXACT and variant.generator.name == "tiny":
        variant = replace(variant, generator=Part("tiny", {"norm": False}))
    image = ImageSpec(16, 3) if case == "styles" else spec(variant)
    with seeded(processes.rank):
        built = {role: build_part(bind_part(role, part, known), image) for role, part in parts_of(variant).items()}
    trainer = Trainer(
        generator=built["generator"],
        discriminator=built["discriminator"],
        loss=built["loss"],
        augmentation=built.get("augmentation"),
        regularizers={"anchor": Anchor()} if case == "wgan-gp" else None,
        batches=Pictures(image, 8),
        image=image,
        training=replace(variant.training, batch_size=8, ema=0.5, optimizer_options={"betas": (0.5, 0.9), "eps": 1e-3}),
        dtype=torch.float64,
        processes=processes,
    )
    if case == "styles":
        with torch.no_grad():
            for layer in trainer.generator.layers:
                layer.noise_strength.fill_(0.5)
    if case == "infogan":
        trainer.generator.eval()  # batch statistics couple the samples
    return trainer


def watch(case: str, processes: Processes) -> dict[str, torch.Tensor]:
    """Gradients of every optimizer step, terms averaged over processes, and the whole state after STEPS steps."""
    trainer = build(case, processes)
    seen: dict[str, torch.Tensor] = {}
    for role, optimizer in trainer.optimizers.items():
        spy(trainer, role, optimizer, seen)
    for step in range(STEPS):
        for name, term in trainer.step().items():
            seen[f"term.{step}.{name}"] = processes.average(term).clone()
        for name, buffer in (*trainer.loss.named_buffers(), *trainer.regularizers.named_buffers()):
            seen[f"buffer.{step}.{name}"] = buffer.clone()
    trees = trainer.state()
    for role in ("generator", "generator_ema", "discriminator"):
        seen |= {f"{role}.{name}": tensor.clone() for name, tensor in trees[role].items()}
    for role, tree in trees["training"]["modules"].items():
        seen |= {f"{role}.{name}": tensor.clone() for name, tensor in tree.items()}
    return {name: tensor.contiguous() for name, tensor in seen.items()}


def spy(trainer: Trainer, role: str, optimizer: torch.optim.Optimizer, seen: dict[str, torch.Tensor]) -> None:
    step, count = optimizer.step, iter(range(10**6))

    def spied():
        number = next(count)
        for name, parameter in trainer.modules()[role].named_parameters():
            if parameter.grad is not None:
                seen[f"gradient.{role}.{number}.{name}"] = parameter.grad.clone()
        step()

    optimizer.step = spied


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    processes = join("cpu")
    for case in CASES:
        save_file(watch(case, processes), folder / f"{case}-{processes.rank}.safetensors")
    assert processes.any(processes.rank == 1) and not processes.any(False)
    processes.barrier()
    leave()
    assert not torch.distributed.is_initialized()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
