"""CycleGAN (Zhu et al. 2017): two sets of images without pairs, after junyanz/pytorch-CycleGAN-and-pix2pix."""

from ganzoo import Part, Register, RegisterVariant, Schedule, Sizes, Training, Variant, hookimpl


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="cyclegan",
            summary="Translates between two sets of images without pairs: two translators that undo each other.",
            paper="https://arxiv.org/abs/1703.10593",
            year=2017,
            generator=Part("cyclegan"),
            discriminator=Part("cyclegan"),
            loss=Part("cyclegan"),
            sizes=Sizes(own=(256, 128), multiple=4, least=32, most=1024, square=False),
            task="translation",
            inputs={"source": None},
            pairing="independent",
            tags=("translation", "residual", "least-squares", "patches"),
            training=Training(
                optimizer="adam",
                optimizer_options={"betas": (0.5, 0.999)},
                generator_lr=2e-4,
                discriminator_lr=2e-4,
                batch_size=1,
                steps=266_800,  # 200 epochs of horse2zebra, whose larger side has 1,334 images
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
    from .model import Translator, Translators

    register("cyclegan", Translators)
    register("cyclegan-one-way", Translator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import Judges

    register("cyclegan", Judges)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import Cycle

    register("cyclegan", Cycle)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import OfficialTranslator

    register("cyclegan-official", OfficialTranslator)
