"""Augmentations of the discriminator's input, real and fake: DiffAugment and adaptive augmentation (ADA)."""

from ganzoo import Register, hookimpl


@hookimpl
def register_augmentations(register: Register) -> None:
    from .ada import Adaptive
    from .diffaugment import DiffAugment

    register("ada", Adaptive)
    register("diffaugment", DiffAugment)
