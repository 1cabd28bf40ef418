"""A projection cGAN: the label enters D as an inner product, and G's fakes have labels of their own."""

from ganzoo import Part, Training, Variant, hookimpl


def still(phase: str, step: int) -> set[str]:
    """While every logit is inside the hinge's margin, the last bias cancels out of a difference of means."""
    return {"discriminator.head.bias"}


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="projection",
            summary="The label meets the features in an inner product.",
            paper="https://arxiv.org/abs/1802.05637",
            year=2018,
            generator=Part("embedding"),
            discriminator=Part("projection"),
            loss=Part("hinge-labelled"),
            sizes=(8,),
            tags=("unconditional",),
            labels="required",
            training=Training(optimizer_options={"betas": (0.0, 0.9)}, batch_size=4, steps=10),
        )
    )


@hookimpl
def register_generators(register):
    from torch import nn

    from contract.parts import TinyGenerator

    class Embedding(TinyGenerator):
        def __init__(self, image):
            super().__init__(image)
            self.embedding = nn.Embedding(image.classes, self.latent_dim)

        def forward(self, latent, label=None):
            return self.main(latent + self.embedding(label))

    register("embedding", Embedding)


@hookimpl
def register_discriminators(register):
    from torch import nn

    from contract.parts import TinyDiscriminator

    class Projection(TinyDiscriminator):
        """Miyato and Koyama 2018, equation 4."""

        def __init__(self, image):
            super().__init__(image)
            self.embedding = nn.Embedding(image.classes, 16)

        def forward(self, images, label=None):
            features = self.features(images)
            return self.head(features).flatten() + (self.embedding(label) * features).sum(1)

    register("projection", Projection)


@hookimpl
def register_losses(register):
    from ganzoo.losses import Loss, Phase

    class HingeLabelled(Loss):
        phases = (Phase("generator", ("generator",)), Phase("discriminator", ("discriminator",), repeats=2))

        def __init__(self, image):
            super().__init__()

        def generator(self, turn):
            label = turn.random_label()
            return {"fake": -turn.logits(turn.generator(turn.latent, label), label).mean()}

        def discriminator(self, turn):
            label = turn.random_label()
            fake = turn.logits(turn.generator(turn.latent, label), label)
            return {"real": (1 - turn.logits(turn.real)).relu().mean(), "fake": (1 + fake).relu().mean()}

    register("hinge-labelled", HingeLabelled)
