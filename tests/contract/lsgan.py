"""LSGAN: least squares with the codes a = 0, b = c = 1 (Mao et al. 2016, equation 9)."""

from ganzoo import Part, Training, Variant, hookimpl


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="lsgan",
            summary="Least squares instead of cross entropy.",
            paper="https://arxiv.org/abs/1611.04076",
            year=2016,
            generator=Part("tiny"),
            discriminator=Part("tiny"),
            loss=Part("least-squares"),
            sizes=(8,),
            tags=("unconditional",),
            training=Training(batch_size=4, steps=10),
        )
    )


@hookimpl
def register_losses(register):
    from ganzoo.losses import Loss, Phase

    class LeastSquares(Loss):
        phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",), fresh=False))

        def __init__(self, image):
            super().__init__()

        def discriminator(self, turn):
            real, fake = turn.logits(turn.real), turn.logits(turn.fake)
            return {"real": (real - 1).square().mean() / 2, "fake": fake.square().mean() / 2}

        def generator(self, turn):
            return {"fake": (turn.logits(turn.fake) - 1).square().mean() / 2}

    register("least-squares", LeastSquares)
