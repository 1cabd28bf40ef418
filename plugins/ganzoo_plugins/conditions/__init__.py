"""What turns any folder of images into a data set for translation: small copies, grey, line art, holes, cut-outs."""

from ganzoo import Register, hookimpl


@hookimpl
def register_conditions(register: Register) -> None:
    from .composite import Composite
    from .degrade import Degrade
    from .pixels import Downscale, Edges, Grey, Mask

    register("downscale", Downscale)
    register("grey", Grey)
    register("edges", Edges)
    register("mask", Mask)
    register("composite", Composite)
    register("degrade", Degrade)
