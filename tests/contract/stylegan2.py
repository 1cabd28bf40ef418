"""StyleGAN2: mapping and modulated convolutions, style mixing in `forward`, lazy R1 and path length, a running mean."""

from ganzoo import Part, Training, Variant, hookimpl


def still(phase: str, step: int) -> set[str]:
    """Biases without a second derivative: of a last layer, and of D, whose activations are piecewise linear."""
    biases = {f"discriminator.{layer}.bias" for layer in ("features.0", "features.2", "head")}
    return {"path_length": {"generator.to_rgb.bias"}, "r1": biases}.get(phase, set())


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="stylegan2",
            summary="Modulated convolutions and lazy regularization.",
            paper="https://arxiv.org/abs/1912.04958",
            year=2019,
            generator=Part("style"),
            discriminator=Part("tiny"),
            loss=Part("lazy"),
            sizes=(8,),
            tags=("unconditional",),
            training=Training(
                optimizer_options={"betas": (0.0, 0.99)},
                generator_lr=2e-3,
                discriminator_lr=2e-3,
                discriminator_optimizer_options={"betas": (0.0, 0.99 ** (2 / 3))},
                batch_size=4,
                steps=10,
                ema=0.9,
            ),
        )
    )


@hookimpl
def register_generators(register):
    from contract.style import StyleGenerator

    register("style", StyleGenerator)


@hookimpl
def register_losses(register):
    from contract.style import Lazy

    register("lazy", Lazy)
