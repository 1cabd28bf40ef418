"""R3GAN: real and fake logits in pairs, R1 and R2 at every step, and a fresh real batch for the generator."""

from ganzoo import Part, Schedule, Training, Variant, hookimpl


def still(phase: str, step: int) -> set[str]:
    """The last bias cancels out of the difference of a pair."""
    return {"discriminator.head.bias"}


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="r3gan",
            summary="A relativistic loss with both zero-centred penalties.",
            paper="https://arxiv.org/abs/2501.05441",
            year=2024,
            generator=Part("tiny", {"norm": False}),
            discriminator=Part("tiny"),
            loss=Part("relativistic"),
            sizes=(8,),
            tags=("unconditional",),
            training=Training(
                optimizer_options={"betas": (0.0, 0.9)},
                batch_size=4,
                steps=10,
                ema=0.9,
                schedules={
                    "generator_lr": Schedule(to_value=5e-5, shape="cosine"),
                    "discriminator_lr": Schedule(to_value=5e-5, shape="cosine"),
                    "beta2": Schedule(to_value=0.99, shape="cosine"),
                    "ema": Schedule(from_value=0.0, to_value=0.99, to_fraction=0.5),
                    "loss.gamma": Schedule(to_value=0.2, shape="cosine"),
                },
            ),
        )
    )


@hookimpl
def register_losses(register):
    from torch.nn.functional import softplus

    from ganzoo.losses import Loss, Phase, zero_centred_penalty

    class Relativistic(Loss):
        phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",)))

        def __init__(self, image, gamma: float = 2.0):
            super().__init__()
            self.gamma = gamma

        def discriminator(self, turn):
            pair = turn.logits(turn.real) - turn.logits(turn.fake)
            return {
                "pair": softplus(-pair).mean(),
                "r1": self.gamma * zero_centred_penalty(turn.logits, turn.real),
                "r2": self.gamma * zero_centred_penalty(turn.logits, turn.fake),
            }

        def generator(self, turn):
            return {"pair": softplus(turn.logits(turn.real) - turn.logits(turn.fake)).mean()}

    register("relativistic", Relativistic)
