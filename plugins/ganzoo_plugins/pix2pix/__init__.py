"""pix2pix (Isola et al. 2017): an image from its source, after junyanz/pytorch-CycleGAN-and-pix2pix."""

from ganzoo import Part, Register, RegisterVariant, Schedule, Sizes, Training, Variant, hookimpl


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
