"""WGAN: clips all weights, batch norm's too, before each critic step; many critic steps at first and now and then."""

from ganzoo import Part, Training, Variant, hookimpl


def still(phase: str, step: int) -> set[str]:
    """The critic's last bias cancels out of a difference of means; clipping leaves a zero where it is."""
    return {"discriminator.head.bias"}


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="wgan",
            summary="The Wasserstein distance with clipped weights.",
            paper="https://arxiv.org/abs/1701.07875",
            year=2017,
            generator=Part("tiny"),
            discriminator=Part("zero-bias-critic"),
            loss=Part("wasserstein-clipped"),
            sizes=(8,),
            tags=("unconditional",),
            training=Training(optimizer="rmsprop", generator_lr=5e-5, discriminator_lr=5e-5, batch_size=4, steps=1000),
        )
    )


@hookimpl
def register_discriminators(register):
    from contract.parts import TinyDiscriminator

    def critic(image):
        discriminator = TinyDiscriminator(image, norm=True)
        discriminator.head.bias.data.zero_()
        return discriminator

    register("zero-bias-critic", critic)


@hookimpl
def register_losses(register):
    import torch

    from ganzoo.losses import Loss, Phase

    class WassersteinClipped(Loss):
        """The official code's sign: the critic is the negative of the paper's."""

        def __init__(self, image, clip: float = 0.01):
            super().__init__()
            self.clip = clip
            self.phases = (
                Phase("critic", ("discriminator",), repeats=critic_steps),
                Phase("generator", ("generator",)),
            )

        def critic(self, turn):
            with torch.no_grad():
                for parameter in turn.discriminator.parameters():
                    parameter.clamp_(-self.clip, self.clip)
            return {"real": turn.logits(turn.real).mean(), "fake": -turn.logits(turn.fake).mean()}

        def generator(self, turn):
            return {"fake": turn.logits(turn.fake).mean()}

    register("wasserstein-clipped", WassersteinClipped)


def critic_steps(step: int) -> int:
    """The official code's schedule, in generator steps."""
    return 100 if step < 25 or step % 500 == 0 else 5
