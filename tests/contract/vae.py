"""A variational autoencoder: no discriminator; the encoder, for training only, is a submodule of the loss."""

from ganzoo import Part, Training, Variant, hookimpl


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="vae",
            summary="A decoder trained with the evidence lower bound.",
            paper="https://arxiv.org/abs/1312.6114",
            year=2013,
            generator=Part("tiny", {"norm": False}),
            discriminator=None,
            loss=Part("evidence-lower-bound"),
            sizes=(8,),
            tags=("unconditional",),
            training=Training(generator_lr=1e-3, batch_size=4, steps=10),
        )
    )


@hookimpl
def register_losses(register):
    import torch
    from torch import nn

    from ganzoo.losses import Loss, Phase

    class EvidenceLowerBound(Loss):
        """Kingma and Welling 2013, equation 10, with a Gaussian of variance ½ for the pixels."""

        phases = (Phase("elbo", ("generator", "loss")),)

        def __init__(self, image, latent_dim: int = 6):
            super().__init__()
            pixels = image.channels * image.size**2
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 8), nn.Tanh(), nn.Linear(8, 2 * latent_dim))

        def elbo(self, turn):
            mean, log_variance = self.encoder(turn.real).chunk(2, 1)
            latent = mean + turn.normal(mean.shape[1]) * torch.exp(log_variance / 2)
            decoded = turn.generator(latent, turn.label)
            divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
            return {"pixels": (decoded - turn.real).square().flatten(1).sum(1).mean(), "divergence": divergence.mean()}

    register("evidence-lower-bound", EvidenceLowerBound)
