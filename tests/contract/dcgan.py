"""DCGAN: batch normalization in both networks; the loss by the name of another plugin's."""

from ganzoo import Part, Training, Variant, hookimpl


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="dcgan",
            summary="Batch normalization and Adam.",
            paper="https://arxiv.org/abs/1511.06434",
            year=2015,
            generator=Part("tiny"),
            discriminator=Part("tiny", {"norm": True}),
            loss=Part("non-saturating"),
            sizes=(8,),
            tags=("unconditional",),
            training=Training(optimizer_options={"betas": (0.5, 0.999)}, batch_size=4, steps=10, ema=0.9),
        )
    )
