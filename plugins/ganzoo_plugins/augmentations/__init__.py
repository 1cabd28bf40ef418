"""What real and fake images go through on their way to the discriminator: DiffAugment and adaptive augmentation (ADA)."""

from ganzoo import hookimpl


@hookimpl
def register_augmentations(register):
    from .ada import Adaptive
    from .diffaugment import DiffAugment

    register("ada", Adaptive)
    register("diffaugment", DiffAugment)
