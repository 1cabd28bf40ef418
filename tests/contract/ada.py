"""Adaptive augmentation: its probability is a buffer that moves as the discriminator learns; R1 mixed in by name."""

from ganzoo import Part, Training, Variant, hookimpl


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="ada",
            summary="Augmentation whose strength follows the discriminator.",
            paper="https://arxiv.org/abs/2006.06676",
            year=2020,
            generator=Part("tiny", {"norm": False}),
            discriminator=Part("tiny"),
            loss=Part("non-saturating"),
            sizes=(8,),
            tags=("unconditional",),
            regularizers=(Part("r1", {"every": 2}),),
            augmentation=Part("adaptive-contrast"),
            training=Training(batch_size=4, steps=10),
        )
    )


@hookimpl
def register_augmentations(register):
    import torch

    from ganzoo.losses import Augmentation

    class AdaptiveContrast(Augmentation):
        """Doubles the contrast of a picture with probability `p`, which aims at a mean sign of the real logits of 0.6.

        Karras et al. 2020, section 3: every `interval` batches p moves so far that it reaches 1 in `images` images.
        """

        def __init__(self, image, target: float = 0.6, interval: int = 2, images: int = 500_000):
            super().__init__()
            self.target, self.interval, self.images = target, interval, images
            self.register_buffer("p", torch.zeros(()))
            self.register_buffer("signs", torch.zeros(()))
            self.register_buffer("seen", torch.zeros(()))
            self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

        def forward(self, images):
            chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < self.p
            return torch.where(chosen, 2 * images, images)

        def observe(self, real_logits):
            self.signs += real_logits.sign().sum()
            self.seen += len(real_logits)
            self.batches += 1
            if self.batches % self.interval == 0:
                direction = (self.signs / self.seen - self.target).sign()
                self.p.add_(direction * self.seen / self.images).clamp_(min=0)
                self.signs.zero_()
                self.seen.zero_()

    register("adaptive-contrast", AdaptiveContrast)
