"""Bicubic interpolation (Keys 1981): the baseline of super-resolution, which has nothing to learn."""

from ganzoo import Part, Register, RegisterVariant, Sizes, Training, Variant, hookimpl


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="bicubic",
            summary="Enlarges by interpolation: the baseline of super-resolution, with nothing to learn.",
            paper="https://doi.org/10.1109/TASSP.1981.1163711",
            year=1981,
            generator=Part("bicubic"),
            discriminator=None,
            loss=Part("nothing"),
            sizes=Sizes(own=(128,), multiple=4, least=16, most=1024, square=False),
            task="super-resolution",
            inputs={"source": Part("downscale", {"factor": 4})},
            pairing="paired",
            tags=("super-resolution", "baseline"),
            training=Training(steps=1, batch_size=1),
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import Bicubic

    register("bicubic", Bicubic)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import Nothing

    register("nothing", Nothing)
