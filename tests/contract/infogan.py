"""InfoGAN: structured codes in the prior, Q as a head of D, and the information term in both phases."""

from ganzoo import Part, Training, Variant, hookimpl


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="infogan",
            summary="Codes that a head of the discriminator reads back.",
            paper="https://arxiv.org/abs/1606.03657",
            year=2016,
            generator=Part("coded"),
            discriminator=Part("with-codes"),
            loss=Part("information"),
            sizes=(8,),
            tags=("unconditional",),
            training=Training(optimizer_options={"betas": (0.5, 0.999)}, generator_lr=1e-3, batch_size=4, steps=10),
        )
    )


@hookimpl
def register_generators(register):
    import torch

    from contract.parts import TinyGenerator

    class Coded(TinyGenerator):
        """Latents are 3 of noise, one of 10 categories as one-hot and 2 continuous codes, all uniform."""

        def __init__(self, image):
            super().__init__(image, latent_dim=15)

        def latent(self, n, random):
            uniform = torch.rand(n, 5, generator=random, device=random.device) * 2 - 1
            category = torch.randint(10, (n,), generator=random, device=random.device)
            return torch.cat([uniform[:, :3], torch.nn.functional.one_hot(category, 10), uniform[:, 3:]], 1)

    register("coded", Coded)


@hookimpl
def register_discriminators(register):
    from torch import nn

    from contract.parts import TinyDiscriminator

    class WithCodes(TinyDiscriminator):
        """With `codes=True` also 10 category logits and 2 means."""

        def __init__(self, image):
            super().__init__(image)
            self.codes = nn.Linear(16, 12)

        def forward(self, images, label=None, codes=False):
            features = self.features(images)
            logits = self.head(features).flatten()
            return (logits, self.codes(features)) if codes else logits

    register("with-codes", WithCodes)


@hookimpl
def register_losses(register):
    import math

    from torch.nn.functional import cross_entropy, softplus

    from ganzoo.losses import Loss, Phase

    class Information(Loss):
        phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",)))

        def __init__(self, image):
            super().__init__()

        def discriminator(self, turn):
            logits, codes = turn.logits(turn.fake, codes=True)
            real = softplus(-turn.logits(turn.real)).mean()
            return {"real": real, "fake": softplus(logits).mean(), **information(turn.latent, codes)}

        def generator(self, turn):
            logits, codes = turn.logits(turn.fake, codes=True)
            return {"fake": softplus(-logits).mean(), **information(turn.latent, codes)}

    def information(latent, codes):
        """Returns the halves of -L_I without the prior's constant entropy (equation 5); Gaussians of deviation 1."""
        density = (latent[:, 13:] - codes[:, 10:]).square().sum(1) / 2 + math.log(2 * math.pi)
        return {"category": cross_entropy(codes[:, :10], latent[:, 3:13].argmax(1)), "continuous": density.mean()}

    register("information", Information)
