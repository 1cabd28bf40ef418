"""SNGAN (Miyato et al. 2018) and cGAN-PD (Miyato and Koyama 2018), after pfnet-research/sngan_projection."""

from ganzoo import ImageSpec, Part, Register, RegisterVariant, Schedule, Sizes, Training, Variant, Weights, hookimpl

CIFAR = Training(
    optimizer="adam",
    optimizer_options={"betas": (0.0, 0.9)},
    generator_lr=2e-4,
    discriminator_lr=2e-4,
    batch_size=64,
    steps=50_000,
    schedules={"generator_lr": Schedule(to_value=0.0), "discriminator_lr": Schedule(to_value=0.0)},
)

# The authors' command for these networks: example.sh of pfnet-research/chainer-gan-lib.
PLAIN = Training(
    optimizer="adam",
    optimizer_options={"betas": (0.5, 0.999)},
    generator_lr=2e-4,
    discriminator_lr=2e-4,
    batch_size=64,
    steps=100_000,
)


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="sngan",
            summary="Divides each weight of the discriminator by its largest singular value; ResNets, hinge loss.",
            paper="https://arxiv.org/abs/1802.05957",
            year=2018,
            generator=Part("sngan"),
            discriminator=Part("sngan"),
            loss=Part("sngan"),
            sizes=Sizes((32, 64), powers=True, least=16, most=256),
            tags=("unconditional", "resnet", "residual", "hinge", "spectral-norm"),
            training=CIFAR,
        )
    )
    register(
        Variant(
            name="sndcgan",
            summary="SNGAN on plain convolutions: the paper's CNN, spectral norm where DCGAN has batch norm.",
            paper="https://arxiv.org/abs/1802.05957",
            year=2018,
            generator=Part("sndcgan"),
            discriminator=Part("sndcgan"),
            loss=Part("sngan", {"critic_steps": 1, "dequantize": False, "generator_batch": 1}),
            sizes=Sizes((32, 64), multiple=8, least=16, most=256, square=False),
            tags=("unconditional", "convolutional", "hinge", "spectral-norm"),
            training=PLAIN,
            weights={
                "sndcgan.fashion-mnist": Weights(
                    image=ImageSpec(32, 1),
                    sha256="5a8bc3deaffb864f1e118069738563e38d853023dc6120ccb4403c43ce4958c9",
                    license="MIT",
                    package_file="ganzoo_plugins.sngan:files/fashion-mnist",
                )
            },
        )
    )
    register(
        Variant(
            name="cgan-pd",
            summary="SNGAN with labels: adds the inner product of features and a class embedding to the logit.",
            paper="https://arxiv.org/abs/1802.05637",
            year=2018,
            generator=Part("sngan"),
            discriminator=Part("sngan"),
            loss=Part("sngan"),
            sizes=Sizes((32, 64), powers=True, least=16, most=256),
            labels="required",
            tags=("conditional", "resnet", "residual", "hinge", "spectral-norm", "projection"),
            training=CIFAR,
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import SNGANGenerator
    from .sndcgan import SNDCGANGenerator

    register("sngan", SNGANGenerator)
    register("sndcgan", SNDCGANGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import SNGANDiscriminator
    from .sndcgan import SNDCGANDiscriminator

    register("sngan", SNGANDiscriminator)
    register("sndcgan", SNDCGANDiscriminator)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import SNGAN

    register("sngan", SNGAN)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import MimicryProjection, MimicrySNGAN

    register("mimicry-sngan", MimicrySNGAN)
    register("mimicry-cgan-pd", MimicryProjection)
