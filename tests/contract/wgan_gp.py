"""WGAN-GP: the generator first, then five critic steps with the gradient penalty."""

from ganzoo import Part, Training, Variant, hookimpl


def still(phase: str, step: int) -> set[str]:
    """The critic's last bias cancels out of a difference of means and of every gradient."""
    return {"discriminator.head.bias"}


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="wgan-gp",
            summary="The Wasserstein distance with a gradient penalty.",
            paper="https://arxiv.org/abs/1704.00028",
            year=2017,
            generator=Part("tiny"),
            discriminator=Part("tiny"),
            loss=Part("wasserstein-penalty"),
            sizes=(8,),
            tags=("unconditional",),
            training=Training(
                optimizer_options={"betas": (0.5, 0.9)},
                generator_lr=1e-4,
                discriminator_lr=1e-4,
                batch_size=4,
                steps=10,
            ),
        )
    )


@hookimpl
def register_losses(register):
    from ganzoo.losses import Loss, Phase, gradient_penalty

    class WassersteinPenalty(Loss):
        def __init__(self, image, penalty: float = 10.0, critic_steps: int = 5):
            super().__init__()
            self.penalty = penalty
            self.phases = (
                Phase("generator", ("generator",)),
                Phase("critic", ("discriminator",), repeats=critic_steps),
            )

        def generator(self, turn):
            return {"fake": -turn.logits(turn.fake).mean()}

        def critic(self, turn):
            penalty = gradient_penalty(turn.logits, turn.real, turn.fake, turn.uniform(1, 1, 1))
            return {
                "real": -turn.logits(turn.real).mean(),
                "fake": turn.logits(turn.fake).mean(),
                "penalty": self.penalty * penalty,
            }

    register("wasserstein-penalty", WassersteinPenalty)
