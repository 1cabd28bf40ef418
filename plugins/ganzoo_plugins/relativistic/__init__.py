"""Relativistic GANs (Jolicoeur-Martineau 2018): four losses that score real images relative to fakes."""

from ganzoo import Part, Register, RegisterVariant, Sizes, Training, Variant, hookimpl

SUMMARIES = {
    "rsgan": "A real image should look more real than a fake: cross-entropy of the difference of paired logits.",
    "rasgan": "A real image should look more real than the average fake, and the other way round: cross-entropy.",
    "ralsgan": "The relativistic average with least squares in place of cross-entropy.",
    "rahinge": "The relativistic average with the hinge loss in place of cross-entropy.",
}


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    for name, summary in SUMMARIES.items():
        average = () if name == "rsgan" else ("relativistic-average",)
        register(
            Variant(
                name=name,
                summary=summary,
                paper="https://arxiv.org/abs/1807.00734",
                year=2018,
                generator=Part("sndcgan"),
                discriminator=Part("relativistic"),
                loss=Part(name),
                sizes=Sizes((32, 64), multiple=8, least=16, most=256, square=False),
                tags=("unconditional", "convolutional", "spectral-norm", "relativistic", *average),
                training=Training(
                    optimizer="adam",
                    optimizer_options={"betas": (0.5, 0.999)},
                    generator_lr=2e-4,
                    discriminator_lr=2e-4,
                    batch_size=32,
                    steps=100_000,
                ),
            )
        )


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import RelativisticDiscriminator

    register("relativistic", RelativisticDiscriminator)


@hookimpl
def register_losses(register: Register) -> None:
    from . import model

    register("rsgan", model.RelativisticPairs)
    register("rasgan", model.RelativisticAverage)
    register("ralsgan", model.RelativisticAverageLeastSquares)
    register("rahinge", model.RelativisticAverageHinge)
