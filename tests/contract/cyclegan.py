"""CycleGAN: both directions in one generator and one discriminator; a real "image" is a pair along the channels."""

from ganzoo import Part, Training, Variant, hookimpl


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="cyclegan",
            summary="Two translators that undo each other.",
            paper="https://arxiv.org/abs/1703.10593",
            year=2017,
            generator=Part("translators"),
            discriminator=Part("one-a-side"),
            loss=Part("cycle"),
            sizes=(8,),
            tags=("paired",),
            training=Training(optimizer_options={"betas": (0.5, 0.999)}, batch_size=2, steps=10),
        )
    )


@hookimpl
def register_generators(register):
    import torch
    from torch import nn

    from ganzoo.networks import Generator

    class Translators(Generator):
        """The latent is a pair of pictures, flattened; what comes back is the pair (A made of b, B made of a)."""

        def __init__(self, image, width: int = 4):
            super().__init__()
            self.shape = (2 * image.channels, image.size, image.size)
            self.latent_dim = 2 * image.channels * image.size**2
            for side in ("to_a", "to_b"):
                layers = [
                    nn.Conv2d(image.channels, width, 3, 1, 1),
                    nn.LeakyReLU(0.2),
                    nn.Conv2d(width, image.channels, 3, 1, 1),
                ]
                self.add_module(side, nn.Sequential(*layers))

        def latent(self, n, random):
            return torch.rand(n, self.latent_dim, generator=random, device=random.device) * 2 - 1

        def forward(self, latent, label=None):
            a, b = latent.view(-1, *self.shape).chunk(2, 1)
            return torch.cat([b + self.to_a(b), a + self.to_b(a)], 1)

    register("translators", Translators)


@hookimpl
def register_discriminators(register):
    from torch import nn

    from contract.parts import TinyDiscriminator

    class OneASide(nn.Module):
        def __init__(self, image):
            super().__init__()
            self.a, self.b = TinyDiscriminator(image), TinyDiscriminator(image)

        def forward(self, pair, label=None):
            a, b = pair.chunk(2, 1)
            return self.a(a), self.b(b)

    register("one-a-side", OneASide)


@hookimpl
def register_losses(register):
    import torch

    from ganzoo.losses import Loss, Phase

    class Cycle(Loss):
        """Zhu et al. 2017, equation 3 with least squares, and the identity term of section 5.2."""

        phases = (Phase("generator", ("generator",)), Phase("discriminator", ("discriminator",), fresh=False))

        def __init__(self, image, cycle: float = 10.0, identity: float = 5.0):
            super().__init__()
            self.cycle, self.identity = cycle, identity

        def generator(self, turn):
            fake = turn.generator(turn.real.flatten(1))
            back = turn.generator(fake.flatten(1))
            same = turn.generator(torch.cat(turn.real.chunk(2, 1)[::-1], 1).flatten(1))
            return {
                "fake": sum((logits - 1).square().mean() for logits in turn.logits(fake)),
                "cycle": self.cycle * 2 * (back - turn.real).abs().mean(),
                "identity": self.identity * 2 * (same - turn.real).abs().mean(),
            }

        def discriminator(self, turn):
            fake = turn.generator(turn.real.flatten(1))
            return {
                "real": sum((logits - 1).square().mean() / 2 for logits in turn.logits(turn.real)),
                "fake": sum(logits.square().mean() / 2 for logits in turn.logits(fake)),
            }

    register("cycle", Cycle)
