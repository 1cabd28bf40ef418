"""Projected GAN: D sees frozen features, at two scales, and one head for each is scored on its own."""

from ganzoo import Part, Training, Variant, hookimpl


def still(phase: str, step: int) -> set[str]:
    """While every logit is inside the hinge's margin, the last biases cancel out of a difference of means."""
    return {"discriminator.heads.0.bias", "discriminator.heads.1.bias"}


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="projected",
            summary="Discriminators on the features of a frozen network.",
            paper="https://arxiv.org/abs/2111.01007",
            year=2021,
            generator=Part("tiny"),
            discriminator=Part("frozen-features"),
            loss=Part("hinge-over-scales"),
            sizes=(8,),
            tags=("unconditional",),
            training=Training(batch_size=4, steps=10),
        )
    )


@hookimpl
def register_discriminators(register):
    from torch import nn

    from ganzoo.networks import LeakyReLU

    class Features(nn.Module):
        """A fixed network; it stays in evaluation mode, or its batch statistics would follow the pictures."""

        def __init__(self, channels):
            super().__init__()
            self.fine = nn.Sequential(nn.Conv2d(channels, 4, 4, 2, 1), nn.BatchNorm2d(4), LeakyReLU())
            self.coarse = nn.Sequential(nn.Conv2d(4, 4, 4, 2, 1), nn.BatchNorm2d(4), LeakyReLU())
            self.requires_grad_(False)

        def train(self, mode=True):
            return super().train(False)

        def forward(self, images):
            fine = self.fine(images)
            return fine, self.coarse(fine)

    class FrozenFeatures(nn.Module):
        def __init__(self, image):
            super().__init__()
            self.features = Features(image.channels)
            self.heads = nn.ModuleList([nn.Conv2d(4, 1, 4), nn.Conv2d(4, 1, 2)])

        def forward(self, images, label=None):
            pairs = zip(self.heads, self.features(images), strict=True)
            return tuple(head(features).flatten(1).mean(1) for head, features in pairs)

    register("frozen-features", FrozenFeatures)


@hookimpl
def register_losses(register):
    from ganzoo.losses import Loss, Phase

    class HingeOverScales(Loss):
        """Sauer et al. 2021, equation 4: the sum over the feature discriminators."""

        phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",)))

        def __init__(self, image):
            super().__init__()

        def discriminator(self, turn):
            return {
                "real": sum((1 - logits).relu().mean() for logits in turn.logits(turn.real)),
                "fake": sum((1 + logits).relu().mean() for logits in turn.logits(turn.fake)),
            }

        def generator(self, turn):
            return {"fake": -sum(logits.mean() for logits in turn.logits(turn.fake))}

    register("hinge-over-scales", HingeOverScales)
