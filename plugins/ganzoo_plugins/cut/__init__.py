"""CUT and FastCUT (Park et al. 2020): one translator without pairs, after taesungp/contrastive-unpaired-translation."""

from ganzoo import Part, Register, RegisterVariant, Schedule, Sizes, Training, Variant, hookimpl

PAPER = "https://arxiv.org/abs/2007.15651"
SIZES = Sizes(own=(256, 128), multiple=4, least=32, most=1024, square=False)


def training(steps: int, decay_from: float) -> Training:
    """Settings of train_options.py; the steps are epochs of horse2zebra, whose larger side has 1,334 images."""
    fall = Schedule(to_value=0.0, from_fraction=decay_from)
    return Training(
        optimizer="adam",
        optimizer_options={"betas": (0.5, 0.999)},
        generator_lr=2e-4,
        discriminator_lr=2e-4,
        loss_lr=2e-4,
        batch_size=1,
        steps=steps,
        mirror=True,
        load_ratio=286 / 256,
        schedules={"generator_lr": fall, "discriminator_lr": fall, "loss_lr": fall},
    )


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="cut",
            summary="Translates without pairs, one way: each patch must stay recognizable among those of its source.",
            paper=PAPER,
            year=2020,
            generator=Part("cut"),
            discriminator=Part("cut"),
            loss=Part("cut"),
            sizes=SIZES,
            task="translation",
            inputs={"source": None},
            pairing="independent",
            tags=("translation", "residual", "contrastive", "least-squares", "patches"),
            training=training(533_600, 0.5),
        )
    )
    register(
        Variant(
            name="fastcut",
            summary="CUT with ten times the contrast and mirrored sources, and without translating outputs: faster.",
            paper=PAPER,
            year=2020,
            generator=Part("cut"),
            discriminator=Part("cut"),
            loss=Part("cut", {"nce": 10.0, "identity": False, "flip": True}),
            sizes=SIZES,
            task="translation",
            inputs={"source": None},
            pairing="independent",
            tags=("translation", "residual", "contrastive", "least-squares", "patches"),
            training=training(266_800, 0.75),
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import AntialiasedTranslator

    register("cut", AntialiasedTranslator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import PatchGAN

    register("cut", PatchGAN)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import CUT

    register("cut", CUT)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import OfficialAntialiased

    register("cut-official", OfficialAntialiased)
