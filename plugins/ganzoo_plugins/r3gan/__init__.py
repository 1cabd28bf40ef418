"""R3GAN (Huang et al. 2024): a modern baseline without tricks, with the presets of brownvc/R3GAN."""

from ganzoo import ImageSpec, Part, Register, RegisterVariant, Schedule, Sizes, Training, Variant, Weights, hookimpl

PAPER = "https://arxiv.org/abs/2501.05441"
TAGS = ("conditional", "unconditional", "residual", "relativistic", "gradient-penalty", "modern")
IMAGES = 20_000_000  # every schedule ends here; the official runs may continue with the final values


def training(batch_size: int, half_life: float, images: int = IMAGES) -> Training:
    """Settings of train.py: its schedules of learning rate, beta2, gamma and EMA share one shape and length."""
    return Training(
        optimizer="adam",
        optimizer_options={"betas": (0.0, 0.9), "eps": 1e-8},
        generator_lr=2e-4,
        discriminator_lr=2e-4,
        batch_size=batch_size,
        steps=images // batch_size,
        ema=0.999,
        mirror=True,
        schedules={
            "generator_lr": Schedule(to_value=5e-5, shape="cosine"),
            "discriminator_lr": Schedule(to_value=5e-5, shape="cosine"),
            "beta2": Schedule(to_value=0.99, shape="cosine"),
            "loss.share": Schedule(to_value=0.1, shape="cosine"),
            "ema_half_life": Schedule(from_value=0.0, to_value=half_life, shape="cosine"),
        },
    )


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="r3gan",
            summary="A relativistic loss with R1 and R2 on grouped residual blocks; no normalization, no tricks.",
            paper=PAPER,
            year=2024,
            generator=Part("r3gan"),
            discriminator=Part("r3gan"),
            loss=Part("relativistic-r1-r2", {"gamma": 0.05}),
            sizes=Sizes((32, 28), powers=True, least=16, most=32),
            labels="optional",
            tags=TAGS,
            training=training(batch_size=512, half_life=0.25),
            weights={
                "r3gan.fashion-mnist": Weights(
                    image=ImageSpec(32, 1),
                    sha256="6bf93fc44e49c2a15740d99c05aed11c702c5fb107b0427518ef5f9ab5254794",
                    license="MIT",
                    package_file="ganzoo_plugins.r3gan:files/fashion-mnist",
                )
            },
        )
    )
    register(
        Variant(
            name="r3gan-64",
            summary="R3GAN for 64×64 pixels: one more stage of half the width, and penalties forty times as strong.",
            paper=PAPER,
            year=2024,
            generator=Part("r3gan"),
            discriminator=Part("r3gan"),
            loss=Part("relativistic-r1-r2", {"gamma": 2.0}),
            sizes=Sizes((64,), powers=True, least=64, most=256),
            labels="optional",
            tags=TAGS,
            training=training(batch_size=256, half_life=0.025),
        )
    )
    register(
        Variant(
            name="r3gan-256",
            summary="R3GAN for 256×256 pixels: seven stages, and penalties three thousand times as strong.",
            paper=PAPER,
            year=2024,
            generator=Part("r3gan"),
            discriminator=Part("r3gan"),
            loss=Part("relativistic-r1-r2", {"gamma": 150.0}),
            sizes=Sizes((256,), powers=True, least=32, most=256),
            labels="optional",
            tags=TAGS,
            training=training(batch_size=256, half_life=0.025),
        )
    )
    for size, gamma, options in ((32, 0.5, {}), (64, 1.0, {"full_width_stages": 5})):
        wide = {"width": 1536, "group_width": 32, **options}
        register(
            Variant(
                name=f"r3gan-imagenet-{size}",
                summary=f"R3GAN for the classes of ImageNet at {size}×{size} pixels: twice as wide, batches of 4096.",
                paper=PAPER,
                year=2024,
                generator=Part("r3gan", wide),
                discriminator=Part("r3gan", wide),
                loss=Part("relativistic-r1-r2", {"gamma": gamma}),
                sizes=(size,),
                labels="required",
                tags=tuple(tag for tag in TAGS if tag != "unconditional"),
                training=training(batch_size=4096, half_life=0.25, images=10 * IMAGES),
            )
        )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import R3GANGenerator

    register("r3gan", R3GANGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import R3GANDiscriminator

    register("r3gan", R3GANDiscriminator)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import RelativisticR1R2

    register("relativistic-r1-r2", RelativisticR1R2)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import R3GAN

    register("r3gan", R3GAN)
