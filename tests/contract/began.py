"""BEGAN: D is an autoencoder, whose error takes the place of a logit, and the balance k is a buffer of the loss."""

from ganzoo import Part, Training, Variant, hookimpl


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="began",
            summary="An autoencoder as the discriminator, held in equilibrium.",
            paper="https://arxiv.org/abs/1703.10717",
            year=2017,
            generator=Part("tiny", {"norm": False}),
            discriminator=Part("autoencoder"),
            loss=Part("equilibrium"),
            sizes=(8,),
            tags=("unconditional",),
            training=Training(generator_lr=8e-5, discriminator_lr=8e-5, batch_size=4, steps=10),
        )
    )


@hookimpl
def register_discriminators(register):
    from torch import nn

    class Autoencoder(nn.Module):
        """Returns the mean absolute error (N,) of each reconstruction; pictures carry their gradient, as target too."""

        def __init__(self, image, width: int = 4):
            super().__init__()
            pixels = image.channels * image.size**2
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, width), nn.ELU())
            self.decoder = nn.Sequential(nn.Linear(width, pixels), nn.Unflatten(1, image.output.shape))

        def forward(self, images, label=None):
            return (images - self.decoder(self.encoder(images))).abs().flatten(1).mean(1)

    register("autoencoder", Autoencoder)


@hookimpl
def register_losses(register):
    import torch

    from ganzoo.losses import Loss, Phase

    class Equilibrium(Loss):
        """Berthelot et al. 2017, section 3.4."""

        phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",), fresh=False))

        def __init__(self, image, gamma: float = 0.5, rate: float = 0.001):
            super().__init__()
            self.gamma, self.rate = gamma, rate
            self.register_buffer("k", torch.full((), 0.25))

        def discriminator(self, turn):
            real, fake = turn.logits(turn.real).mean(), turn.logits(turn.fake).mean()
            balance = self.k.clone()  # the backward pass needs the k of this step
            self.k.add_(self.rate * (self.gamma * real - fake).detach()).clamp_(0, 1)
            return {"real": real, "fake": -balance * fake}

        def generator(self, turn):
            return {"fake": turn.logits(turn.fake).mean()}

    register("equilibrium", Equilibrium)
