"""pix2pix (Isola et al. 2017): an image from its source, after junyanz/pytorch-CycleGAN-and-pix2pix."""

from ganzoo import (
    Field,
    Part,
    Register,
    RegisterVariant,
    SampleSpec,
    Schedule,
    Sizes,
    Training,
    Variant,
    Weights,
    hookimpl,
)

COLOUR_64 = Field((3, 64, 64))
EMOJI = SampleSpec(COLOUR_64, {"source": COLOUR_64})


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="pix2pix",
            summary="Learns to translate from pairs: a U-Net, and a discriminator of patches that sees the source too.",
            paper="https://arxiv.org/abs/1611.07004",
            year=2017,
            generator=Part("unet"),
            discriminator=Part("patchgan"),
            loss=Part("pix2pix"),
            sizes=Sizes(own=(256, 128), powers=True, least=32, most=1024),
            task="translation",
            inputs={"source": None},
            pairing="paired",
            tags=("translation", "convolutional", "u-net", "patches"),
            training=Training(
                optimizer="adam",
                optimizer_options={"betas": (0.5, 0.999)},
                generator_lr=2e-4,
                discriminator_lr=2e-4,
                batch_size=1,
                steps=80_000,  # 200 epochs of the 400 facades
                mirror=True,
                load_ratio=286 / 256,
                schedules={
                    "generator_lr": Schedule(to_value=0.0, from_fraction=0.5),
                    "discriminator_lr": Schedule(to_value=0.0, from_fraction=0.5),
                },
            ),
            weights={
                "pix2pix.emoji-3d": Weights(
                    image=EMOJI,
                    sha256="e8115dda4c2c593725b742d03ae10ea1f4e010970dad33d7802ae118c18b565d",
                    license="MIT",
                    package_file="ganzoo_plugins.pix2pix:files/emoji-3d",
                ),
                "pix2pix.line-to-colour": Weights(
                    image=EMOJI,
                    sha256="c9ce00fbbd4289e698e58415127713cc6cbb24ea134a1f344811263fc23d911d",
                    license="MIT",
                    package_file="ganzoo_plugins.pix2pix:files/line-to-colour",
                ),
            },
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import UNet

    register("unet", UNet)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import PatchGAN, PixelGAN

    register("patchgan", PatchGAN)
    register("pixelgan", PixelGAN)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import Pix2Pix

    register("pix2pix", Pix2Pix)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import OfficialUNet

    register("pix2pix-official", OfficialUNet)
