"""The backbones of POSTECH-CVLab/PyTorch-StudioGAN, which its many variants share, and layouts of its checkpoints."""

from ganzoo import Register, hookimpl


@hookimpl
def register_generators(register: Register) -> None:
    from .convolutional import ConvolutionalGenerator
    from .residual import ResidualGenerator

    register("studiogan-residual", ResidualGenerator)
    register("studiogan-convolutional", ConvolutionalGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .convolutional import ConvolutionalDiscriminator
    from .residual import ResidualDiscriminator

    register("studiogan-residual", ResidualDiscriminator)
    register("studiogan-convolutional", ConvolutionalDiscriminator)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import BigResnet, DeepConv, Resnet

    register("studiogan-big-resnet", BigResnet)
    register("studiogan-resnet", Resnet)
    register("studiogan-deep-conv", DeepConv)
