"""ESRGAN (Wang et al. 2018): super-resolution with dense blocks and a relativistic discriminator, after BasicSR."""

from ganzoo import Part, Register, RegisterVariant, Schedule, Sizes, Training, Variant, hookimpl

RATE = 1e-4
HALVINGS = Schedule(to_value=RATE / 16, shape="steps", milestones=(1 / 8, 1 / 4, 1 / 2, 3 / 4))


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="esrgan",
            summary="Enlarges photographs: residual dense blocks, judged as more or less real than the true images.",
            paper="https://arxiv.org/abs/1809.00219",
            year=2018,
            generator=Part("rrdbnet"),
            discriminator=Part("vgg-style"),
            loss=Part("super-resolution", {"relativistic": True}),
            sizes=Sizes(own=(128,), multiple=4, least=32, most=1024, square=False),
            task="super-resolution",
            inputs={"source": Part("downscale", {"factor": 4})},
            pairing="paired",
            tags=("super-resolution", "convolutional", "residual", "relativistic"),
            training=Training(
                optimizer="adam",
                optimizer_options={"betas": (0.9, 0.99)},
                generator_lr=RATE,
                discriminator_lr=RATE,
                batch_size=16,
                steps=400_000,
                ema=0.999,
                mirror=True,
                schedules={"generator_lr": HALVINGS, "discriminator_lr": HALVINGS},
            ),
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import RRDBNet

    register("rrdbnet", RRDBNet)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import BSRGAN, BasicSR, Ncnn, OldESRGAN

    register("basicsr-rrdbnet", BasicSR)
    register("esrgan-old", OldESRGAN)
    register("bsrgan", BSRGAN)
    register("ncnn-rrdbnet", Ncnn)
