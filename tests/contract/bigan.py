"""BiGAN: an encoder, which only training needs, learns with G; D judges pictures and latents together."""

from ganzoo import Part, Training, Variant, hookimpl


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="bigan",
            summary="A discriminator of pairs of picture and latent.",
            paper="https://arxiv.org/abs/1605.09782",
            year=2016,
            generator=Part("tiny"),
            discriminator=Part("joint"),
            loss=Part("bidirectional"),
            sizes=(8,),
            tags=("unconditional",),
            training=Training(batch_size=4, steps=10, loss_lr=1e-4),
        )
    )


@hookimpl
def register_discriminators(register):
    import torch
    from torch import nn

    from contract.parts import TinyDiscriminator

    class Joint(TinyDiscriminator):
        def __init__(self, image, latent_dim: int = 6):
            super().__init__(image)
            self.head = nn.Sequential(nn.Linear(16 + latent_dim, 8), nn.Tanh(), nn.Linear(8, 1))

        def forward(self, images, label=None, latent=None):
            if latent is None:  # images alone, which the paper's discriminator never sees
                latent = images.new_zeros(len(images), self.head[0].in_features - 16)
            return self.head(torch.cat([self.features(images), latent], 1)).flatten()

    register("joint", Joint)


@hookimpl
def register_losses(register):
    from torch import nn
    from torch.nn.functional import softplus

    from ganzoo.losses import Loss, Phase

    class Bidirectional(Loss):
        """Donahue et al. 2016, equation 3; G and E swap the labels, as in its section 3.5."""

        phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator", "loss"), fresh=False))

        def __init__(self, image, latent_dim: int = 6):
            super().__init__()
            pixels = image.channels * image.size**2
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 8), nn.Tanh(), nn.Linear(8, latent_dim))

        def judge(self, turn):
            real = turn.logits(turn.real, latent=self.encoder(turn.real))
            return real, turn.logits(turn.fake, latent=turn.latent)

        def discriminator(self, turn):
            real, fake = self.judge(turn)
            return {"real": softplus(-real).mean(), "fake": softplus(fake).mean()}

        def generator(self, turn):
            real, fake = self.judge(turn)
            return {"real": softplus(real).mean(), "fake": softplus(-fake).mean()}

    register("bidirectional", Bidirectional)
