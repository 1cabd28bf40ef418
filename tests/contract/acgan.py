"""AC-GAN: D also classifies, real and fake pictures, and G is rewarded for the right class."""

from ganzoo import Part, Training, Variant, hookimpl


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="acgan",
            summary="An auxiliary classifier in the discriminator.",
            paper="https://arxiv.org/abs/1610.09585",
            year=2016,
            generator=Part("embedding"),
            discriminator=Part("classifying"),
            loss=Part("auxiliary-classifier"),
            sizes=(8,),
            tags=("unconditional",),
            labels="required",
            training=Training(batch_size=4, steps=10),
        )
    )


@hookimpl
def register_discriminators(register):
    from torch import nn

    from contract.parts import TinyDiscriminator

    class Classifying(TinyDiscriminator):
        def __init__(self, image):
            super().__init__(image)
            self.classes = nn.Linear(16, image.classes)

        def forward(self, images, label=None):
            features = self.features(images)
            return self.head(features).flatten(), self.classes(features)

    register("classifying", Classifying)


@hookimpl
def register_losses(register):
    from torch.nn.functional import cross_entropy, softplus

    from ganzoo.losses import Loss, Phase

    class AuxiliaryClassifier(Loss):
        """Odena et al. 2016, equations 2 and 3; the fakes share the labels of the real pictures."""

        phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",), fresh=False))

        def __init__(self, image):
            super().__init__()

        def discriminator(self, turn):
            (real, real_class), (fake, fake_class) = turn.logits(turn.real), turn.logits(turn.fake)
            return {
                "real": softplus(-real).mean(),
                "fake": softplus(fake).mean(),
                "real_class": cross_entropy(real_class, turn.label),
                "fake_class": cross_entropy(fake_class, turn.label),
            }

        def generator(self, turn):
            fake, fake_class = turn.logits(turn.fake)
            return {"fake": softplus(-fake).mean(), "fake_class": cross_entropy(fake_class, turn.label)}

    register("auxiliary-classifier", AuxiliaryClassifier)
