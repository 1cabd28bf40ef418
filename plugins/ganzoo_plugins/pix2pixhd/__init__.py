"""pix2pixHD (Wang et al. 2018): large images from their sources, after NVIDIA/pix2pixHD."""

from ganzoo import Part, Register, RegisterVariant, Schedule, Sizes, Training, Variant, hookimpl


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="pix2pixhd",
            summary="pix2pix for large images: a deep residual translator, discriminators of scales, feature matching.",
            paper="https://arxiv.org/abs/1711.11585",
            year=2018,
            generator=Part("pix2pixhd"),
            discriminator=Part("pix2pixhd"),
            loss=Part("pix2pixhd"),
            sizes=Sizes(own=(512,), multiple=16, least=64, most=2048, square=False),
            task="translation",
            inputs={"source": None},
            pairing="paired",
            tags=("translation", "residual", "least-squares", "patches", "feature-matching"),
            training=Training(
                optimizer="adam",
                optimizer_options={"betas": (0.5, 0.999)},
                generator_lr=2e-4,
                discriminator_lr=2e-4,
                batch_size=1,
                steps=595_000,  # 200 epochs of the 2,975 images of Cityscapes
                mirror=True,
                schedules={
                    "generator_lr": Schedule(to_value=0.0, from_fraction=0.5),
                    "discriminator_lr": Schedule(to_value=0.0, from_fraction=0.5),
                },
            ),
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import GlobalGenerator, LocalEnhancer

    register("pix2pixhd", GlobalGenerator)
    register("local-enhancer", LocalEnhancer)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import MultiscaleDiscriminator

    register("pix2pixhd", MultiscaleDiscriminator)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import Pix2PixHD

    register("pix2pixhd", Pix2PixHD)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import OfficialGlobalGenerator, OfficialLocalEnhancer

    register("pix2pixhd-official", OfficialGlobalGenerator)
    register("pix2pixhd-local-official", OfficialLocalEnhancer)
