"""The base classes of losses, regularizers and augmentations, and gradient penalties for them."""

from ganzoo.losses.base import Augmentation, Loss, Regularizer
from ganzoo.losses.penalties import gradient_penalty, squared_gradient_norm, zero_centred_penalty
from ganzoo.losses.phase import Phase
from ganzoo.losses.turn import Turn

__all__ = ["Augmentation", "Loss", "Phase", "Regularizer", "Turn"]
__all__ += ["gradient_penalty", "squared_gradient_norm", "zero_centred_penalty"]
