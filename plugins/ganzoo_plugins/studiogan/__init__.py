"""The backbones of POSTECH-CVLab/PyTorch-StudioGAN, which its many variants share, and how its checkpoints name their tensors."""

from ganzoo import hookimpl


@hookimpl
def register_generators(register):
    from .residual import ResidualGenerator

    register("studiogan-residual", ResidualGenerator)


@hookimpl
def register_discriminators(register):
    from .residual import ResidualDiscriminator

    register("studiogan-residual", ResidualDiscriminator)


@hookimpl
def register_layouts(register):
    from .layouts import BigResnet, Resnet

    register("studiogan-big-resnet", BigResnet)
    register("studiogan-resnet", Resnet)
