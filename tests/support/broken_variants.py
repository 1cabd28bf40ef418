"""One mistake for each check.

As (the check that must see it, what its sentence must say, what of the tiny variant is other).
"""

from __future__ import annotations

import copy
import itertools
import random

import torch
from tiny_variant import TinyDiscriminator, TinyGenerator, TinyLoss
from torch import nn

from ganzoo import Part, Training
from ganzoo.losses import Phase

COUNTER = itertools.count()


class UnboundedGenerator(TinyGenerator):
    def forward(self, latent, label=None):
        return super().forward(latent, label) * 3


class SmallGenerator(TinyGenerator):
    def forward(self, latent, label=None):
        return super().forward(latent, label)[:, :, 1:]


class NotFiniteGenerator(TinyGenerator):
    def forward(self, latent, label=None):
        return super().forward(latent, label) / latent.new_zeros(())


class ColumnDiscriminator(TinyDiscriminator):
    def forward(self, images, label=None):
        return super().forward(images, label)[:, None]


class ChanceGenerator(TinyGenerator):
    def __init__(self, image):
        super().__init__(image)
        nn.init.constant_(self.last.bias, next(COUNTER) / 100)


class SeedingGenerator(TinyGenerator):
    def __init__(self, image):
        torch.manual_seed(0)
        super().__init__(image)


class ForgetfulLoss(TinyLoss):
    """Weighs its term by a count of the steps that no checkpoint has."""

    def __init__(self, image):
        super().__init__(image)
        self.count = 0.0

    def generator(self, turn):
        self.count += 1
        return {"fake": super().generator(turn)["fake"] * self.count, "count": (self.count - turn.fake).square().mean()}


class UnseededLoss(TinyLoss):
    def discriminator(self, turn):
        terms = super().discriminator(turn)
        return {**terms, "real": terms["real"] * random.SystemRandom().random()}


class MeddlingLoss(TinyLoss):
    """Writes to the generator while the discriminator learns."""

    def discriminator(self, turn):
        with torch.no_grad():
            turn.generator.last.bias.add_(0.1)
        return super().discriminator(turn)


class BackwardLoss(TinyLoss):
    """Calls backward itself, into a network that the phase does not update."""

    def discriminator(self, turn):
        turn.generator.requires_grad_(True)
        turn.logits(turn.generator(turn.latent, turn.label)).mean().backward()
        return super().discriminator(turn)


class IdlePhaseLoss(TinyLoss):
    """Says that a phase updates the generator, which no term of it reaches."""

    phases = (Phase("discriminator", ("discriminator", "generator")), Phase("generator", ("generator",), every=2))

    def discriminator(self, turn):
        fake = turn.fake.detach()
        return {
            "real": nn.functional.softplus(-turn.logits(turn.real)).mean(),
            "fake": nn.functional.softplus(turn.logits(fake)).mean(),
        }


class DetachedGenerator(TinyGenerator):
    """Its first layer is cut off from the gradient."""

    def forward(self, latent, label=None):
        start = latent if label is None else latent + self.embedding(label)
        hidden = self.first(start).relu().detach()
        return self.last(hidden).tanh().view(-1, self.image.channels, self.image.size, self.image.size)


class NeverUpdatedLoss(TinyLoss):
    """Has a network of its own that no phase updates."""

    def __init__(self, image):
        super().__init__(image)
        self.encoder = nn.Linear(3, 3)


class InPlaceDiscriminator(TinyDiscriminator):
    def forward(self, images, label=None):
        return super().forward(images.mul_(0.5) if not images.requires_grad else images, label)


class InPlaceGenerator(TinyGenerator):
    def forward(self, latent, label=None):
        return super().forward(latent.clamp_(-1, 1), label)


class CoupledGenerator(TinyGenerator):
    """Normalizes by the batch even in evaluation."""

    def forward(self, latent, label=None):
        return super().forward(latent - latent.mean(0), label)


class EvenDiscriminator(TinyDiscriminator):
    def forward(self, images, label=None):
        return super().forward(images, label).view(2, -1).flatten()


class UnsavedGenerator(TinyGenerator):
    """Keeps what it learned in a plain tensor."""

    def __init__(self, image):
        super().__init__(image)
        self.shift = torch.zeros(self.latent_dim)

    def forward(self, latent, label=None):
        if self.training:
            self.shift = self.shift + 0.1
        return super().forward(latent + self.shift, label)


class NoisyGenerator(TinyGenerator):
    def forward(self, latent, label=None):
        return super().forward(latent + torch.randn_like(latent), label)


class Bfloat16Discriminator(TinyDiscriminator):
    """Divides by what bfloat16 rounds to zero."""

    def forward(self, images, label=None):
        x = self.first(images.flatten(1))
        return super().forward(images, label) / ((x.sum() * 0 + 1.001) - 1)


class DeafGenerator(TinyGenerator):
    def latent(self, n, random):
        return torch.ones(n, self.latent_dim)


class ProcessGenerator(TinyGenerator):
    def latent(self, n, random):
        return torch.randn(n, self.latent_dim)


class JumpingGenerator(TinyGenerator):
    def interpolate(self, start, end, t):
        return end


class ForgetfulCopyGenerator(TinyGenerator):
    """Its copies draw something else, but not of the two latents that are compared first."""

    bent = 0.0

    def __deepcopy__(self, memo):
        twin = copy.copy(self)
        twin.bent = 0.5
        return twin

    def forward(self, latent, label=None):
        images = super().forward(latent, label)
        return images * (1 - self.bent) if len(latent) > 2 else images


class RandomModuleGenerator(TinyGenerator):
    def forward(self, latent, label=None):
        random.random()
        return super().forward(latent, label)


class ThreadsLoss(TinyLoss):
    def generator(self, turn):
        torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
        return super().generator(turn)


class PrintingLoss(TinyLoss):
    def generator(self, turn):
        print("step", turn.step)
        return super().generator(turn)


class WrongSignLoss(TinyLoss):
    """The generator learns to be recognized."""

    def generator(self, turn):
        return {"fake": -super().generator(turn)["fake"]}


class WrongSignInAShortRunLoss(WrongSignLoss):
    """Says how it keeps pace in a short run, which makes no wrong sign right."""

    short_run = {"pace": 10.0}

    def __init__(self, image, pace: float = 1.0):
        super().__init__(image)
        self.pace = pace

    def discriminator(self, turn):
        return {name: self.pace * term for name, term in super().discriminator(turn).items()}


class MisspeltShortRunLoss(WrongSignInAShortRunLoss):
    short_run = {"pase": 10.0}


MISTAKES = [
    ("card", "ends with a full stop", {"summary": "no sentence"}),
    ("card", "paper must be an https address, got 'http://arxiv.org'", {"paper": "http://arxiv.org"}),
    ("card", "year must be 1981 to", {"year": 3014}),
    ("card", "sizes must be 4 to 4096 pixels, got 3", {"sizes": (8, 3)}),
    ("card", "tags are lower-case words", {"tags": ("Two Words",)}),
    ("card", "no optimizer is called", {"training": Training(optimizer="adan")}),
    (
        "parts",
        "generator.widht: unknown option. Did you mean 'width'?",
        {"parts": {"generator": Part("tiny", {"widht": 3})}},
    ),
    ("parts", "loss: No loss is called 'tony'. Did you mean 'tiny'?", {"parts": {"loss": Part("tony")}}),
    ("parts", "generator.width: Expected `int`, got `str`", {"parts": {"generator": Part("tiny", {"width": "wide"})}}),
    ("shapes", "in [-1, 1] in evaluation mode, so end in tanh, rescale", {"generator": UnboundedGenerator}),
    ("shapes", "images must be (3, 1, 8, 8)", {"generator": SmallGenerator}),
    ("shapes", "not finite", {"generator": NotFiniteGenerator}),
    ("shapes", "logits are (3,), so flatten them", {"discriminator": ColumnDiscriminator}),
    ("seeds", "Two builds of seed 0 differ in generator.last.bias", {"generator": ChanceGenerator}),
    ("seeds", "Two trainings of seed 0 differ in generator.embedding.weight after step 1", {"loss": UnseededLoss}),
    ("seeds", "Seeds 0 and 1 build the same weights", {"generator": SeedingGenerator}),
    (
        "gradients",
        "Phase 'discriminator' of broken_variants.MeddlingLoss changes generator.last.bias",
        {"loss": MeddlingLoss},
    ),
    ("gradients", "calls no backward", {"loss": BackwardLoss}),
    ("gradients", "updates the generator, but no parameter of it changed", {"loss": IdlePhaseLoss}),
    (
        "parameters",
        "generator.embedding.weight, generator.first.weight, generator.first.bias never got a gradient",
        {"generator": DetachedGenerator},
    ),
    ("parameters", "loss.encoder.bias, loss.encoder.weight can be trained, but no phase", {"loss": NeverUpdatedLoss}),
    ("inputs", "changed the real images (turn.real) in place", {"discriminator": InPlaceDiscriminator}),
    ("inputs", "changed the latents (turn.latent) in place", {"generator": InPlaceGenerator}),
    ("batches", "generates other images one by one than in a batch", {"generator": CoupledGenerator}),
    ("batches", "forward (support/broken_variants.py, line", {"discriminator": EvenDiscriminator}),
    ("save", "make shift a buffer with register_buffer", {"generator": UnsavedGenerator}),
    ("save", "generates other images of the same latents the second time", {"generator": NoisyGenerator}),
    ("resume", "must be a buffer (register_buffer), not a plain attribute", {"loss": ForgetfulLoss}),
    ("bf16", "in step 1 with --precision bf16", {"discriminator": Bfloat16Discriminator}),
    ("latents", "the same latents for another random generator", {"generator": DeafGenerator}),
    ("latents", "draw with `generator=random`", {"generator": ProcessGenerator}),
    ("latents", "interpolate at t = 0 is not its start", {"generator": JumpingGenerator}),
    ("fast-path", "generates other images through a copy of itself", {"generator": ForgetfulCopyGenerator}),
    ("globals", "Random numbers of the process (random) were used", {"generator": RandomModuleGenerator}),
    ("globals", "Random numbers of the process (torch) were used", {"generator": ProcessGenerator}),
    ("globals", "broken_variants.py, line", {"generator": SeedingGenerator}),
    ("globals", "torch.backends.cudnn.benchmark was", {"loss": ThreadsLoss}),
    ("silence", "generator (support/broken_variants.py, line", {"loss": PrintingLoss}),
    ("learns", "check the signs of the terms", {"loss": WrongSignLoss}),
    ("learns", "steps on 8 images, loss.pace=10.0 the distance", {"loss": WrongSignInAShortRunLoss}),
    ("learns", "loss.pase: unknown option. Did you mean 'pace'?", {"loss": MisspeltShortRunLoss}),
]
