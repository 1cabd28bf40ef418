"""Regularizers for any loss: R1, R2, gradient penalties, LeCam, consistency, orthogonal weights, and top-k."""

from ganzoo import Register, hookimpl


@hookimpl
def register_regularizers(register: Register) -> None:
    from .others import Consistency, LeCam, Orthogonal, TopK
    from .slopes import R1, R2, DraganPenalty, GradientPenalty

    register("r1", R1)
    register("r2", R2)
    register("gradient-penalty", GradientPenalty)
    register("dragan-penalty", DraganPenalty)
    register("lecam", LeCam)
    register("consistency", Consistency)
    register("orthogonal", Orthogonal)
    register("top-k", TopK)
