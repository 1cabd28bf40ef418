"""The base classes of losses, regularizers and augmentations, and gradient penalties for them."""

from ganzoo.losses.contract import Augmentation, Loss, Regularizer
from ganzoo.losses.penalties import gradient_penalty, squared_gradient_norm, zero_centred_penalty
from ganzoo.losses.phase import ROLES, Phase
from ganzoo.losses.turn import Minibatch, Turn

__all__ = ["ROLES", "Augmentation", "Loss", "Minibatch", "Phase", "Regularizer", "Turn"]
__all__ += ["gradient_penalty", "squared_gradient_norm", "zero_centred_penalty"]
