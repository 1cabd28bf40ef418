"""BigGAN (Brock, Donahue and Simonyan 2018), after ajbrock/BigGAN-PyTorch: settings for ImageNet and CIFAR-10."""

from ganzoo import Part, Register, RegisterVariant, Sizes, Training, Variant, hookimpl

PAPER = "https://arxiv.org/abs/1809.11096"
TAGS = ("conditional", "resnet", "residual", "hinge", "spectral-norm", "projection")


def hinge(critic_steps: int) -> Part:
    """The hinge loss of `sngan`: discriminator first, as many fakes as real images, no dequantization."""
    return Part(
        "sngan", {"critic_steps": critic_steps, "generator_first": False, "generator_batch": 1, "dequantize": False}
    )


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="biggan",
            summary="Large batches, latent and class in every block, orthogonal weights, attention, truncated latents.",
            paper=PAPER,
            year=2018,
            generator=Part("biggan"),
            discriminator=Part("biggan"),
            loss=hinge(1),
            sizes=Sizes((64, 32), powers=True, least=16, most=256),
            labels="required",
            tags=(*TAGS, "attention"),
            training=Training(
                optimizer="adam",
                optimizer_options={"betas": (0.0, 0.999), "eps": 1e-6},
                generator_lr=1e-4,
                discriminator_lr=4e-4,
                batch_size=2048,
                accumulate=8,
                steps=150_000,
                ema=0.9999,
                ema_start=20_000,
            ),
        )
    )
    plain = {"width": 64, "attention": 0, "initialization": "normal"}
    register(
        Variant(
            name="biggan-cifar",
            summary="BigGAN for CIFAR-10: latent at the first layer only, scales and shifts per class, no attention.",
            paper=PAPER,
            year=2018,
            generator=Part("biggan", {**plain, "latent_dim": 128, "hierarchical": False, "shared_dim": 0}),
            discriminator=Part("biggan", plain),
            loss=hinge(4),
            sizes=Sizes((32, 64), powers=True, least=16, most=256),
            labels="required",
            tags=TAGS,
            training=Training(
                optimizer="adam",
                optimizer_options={"betas": (0.0, 0.999)},
                generator_lr=2e-4,
                discriminator_lr=2e-4,
                batch_size=50,
                steps=500 * 250,
                ema=0.9999,
                ema_start=1000,
            ),
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import BigGANGenerator

    register("biggan", BigGANGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import BigGANDiscriminator

    register("biggan", BigGANDiscriminator)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import AjbrockBigGAN

    register("ajbrock-biggan", AjbrockBigGAN)
