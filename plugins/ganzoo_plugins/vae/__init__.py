"""The variational autoencoder (Kingma and Welling 2013), after pytorch/examples `vae/main.py`: a baseline for GANs."""

from ganzoo import ImageSpec, Part, Register, RegisterVariant, Sizes, Training, Variant, Weights, hookimpl


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="vae",
            summary="No adversary: decoder and encoder maximize a bound on the likelihood; a baseline for GANs.",
            paper="https://arxiv.org/abs/1312.6114",
            year=2013,
            generator=Part("vae"),
            discriminator=None,
            loss=Part("evidence-lower-bound"),
            sizes=Sizes((28, 32, 64), multiple=4, least=16, most=128, square=False),
            tags=("unconditional", "mlp", "likelihood", "baseline"),
            training=Training(optimizer="adam", generator_lr=1e-3, loss_lr=1e-3, batch_size=128, steps=10 * 469),
            weights={
                "vae.fashion-mnist": Weights(
                    image=ImageSpec(32, 1),
                    sha256="033df13d418da4241741fe0f39205bfc25946af5c098a00da2a432d49c5c90c5",
                    license="MIT",
                    package_file="ganzoo_plugins.vae:files/fashion-mnist",
                )
            },
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import Decoder

    register("vae", Decoder)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import EvidenceLowerBound

    register("evidence-lower-bound", EvidenceLowerBound)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import PytorchExamplesVAE

    register("pytorch-examples-vae", PytorchExamplesVAE)
