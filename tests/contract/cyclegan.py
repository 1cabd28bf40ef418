"""CycleGAN: both directions in one generator, both judges in one discriminator, images without partners."""

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
            task="translation",
            inputs={"source": None},
            pairing="independent",
            tags=("translation",),
            training=Training(optimizer_options={"betas": (0.5, 0.999)}, batch_size=2, steps=10),
        )
    )


@hookimpl
def register_generators(register):
    from torch import nn

    from ganzoo.networks import Generator

    class Translators(Generator):
        """Makes an output of the source, or with `back` a source of the output; it takes no latent."""

        latent_dim = 0

        def __init__(self, sample, width: int = 4):
            super().__init__()
            self.there, self.back = (self.translator(one, width) for one in (sample, sample.turned("source")))

        def translator(self, sample, width):
            return nn.Sequential(
                nn.Conv2d(sample.inputs["source"].shape[0], width, 3, 1, 1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(width, sample.channels, 3, 1, 1),
                nn.Tanh(),
            )

        def forward(self, latent, label=None, *, source, back=False):
            return (self.back if back else self.there)(source)

    register("translators", Translators)


@hookimpl
def register_discriminators(register):
    from torch import nn

    from contract.parts import TinyDiscriminator

    class OneASide(nn.Module):
        def __init__(self, sample):
            super().__init__()
            self.output, self.source = TinyDiscriminator(sample), TinyDiscriminator(sample.turned("source"))

        def forward(self, images, label=None, side="output"):
            return getattr(self, side)(images)

    register("one-a-side", OneASide)


@hookimpl
def register_losses(register):
    import torch

    from ganzoo.losses import Loss, Phase

    class Cycle(Loss):
        """Zhu et al. 2017, equation 3 with least squares, the identity term of section 5.2, and a pool of fakes."""

        phases = (Phase("generator", ("generator",)), Phase("discriminator", ("discriminator",), fresh=False))

        def __init__(self, sample, cycle: float = 10.0, identity: float = 5.0, pool: int = 4):
            super().__init__()
            self.cycle, self.identity = cycle, identity
            self.register_buffer("pool", torch.zeros(pool, *sample.output.shape))
            self.register_buffer("pooled", torch.zeros(()))

        def generator(self, turn):
            source, output = turn["source"], turn["output"]
            back = turn.made("back", source=output, back=True)
            cycles = {
                "source": (turn.made("source again", source=turn.fake, back=True) - source).abs().mean(),
                "output": (turn.made("output again", source=back) - output).abs().mean(),
            }
            same = turn.made("same output", source=output), turn.made("same source", source=source, back=True)
            return {
                "fake": (turn.logits(turn.fake) - 1).square().mean(),
                "fake source": (turn.logits(back, side="source") - 1).square().mean(),
                "cycle": self.cycle * (cycles["source"] + cycles["output"]),
                "identity": self.identity * ((same[0] - output).abs().mean() + (same[1] - source).abs().mean()),
            }

        def discriminator(self, turn):
            back = turn.made("back", source=turn["output"], back=True)
            return {
                "real": (turn.logits(turn.real) - 1).square().mean() / 2,
                "fake": turn.logits(self.from_pool(turn), stands_for="fake").square().mean() / 2,
                "real source": (turn.logits(turn["source"], side="source") - 1).square().mean() / 2,
                "fake source": turn.logits(back, side="source").square().mean() / 2,
            }

        @torch.no_grad()
        def from_pool(self, turn):
            """Exchanges every other fake for one of the pool, the same in every process."""
            fakes, chances = turn.gather(turn.fake), turn.gather(turn.uniform(2))
            for fake, (which, chance) in zip(fakes.clone(), chances, strict=True):
                if self.pooled < len(self.pool):
                    self.pool[int(self.pooled)] = fake
                    self.pooled += 1
                elif chance < 0.5:
                    self.pool[int(which * len(self.pool))] = fake
            fresh = turn.uniform(1, 1, 1) < 0.5
            old = self.pool[(turn.uniform() * self.pooled).long()]
            return torch.where(fresh, turn.fake, old)

    register("cycle", Cycle)
