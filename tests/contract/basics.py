"""Small parts that several variants name: a generator, a discriminator, a linear critic, non-saturating terms, R1."""

from ganzoo import hookimpl


@hookimpl
def register_generators(register):
    from contract.parts import TinyGenerator

    register("tiny", TinyGenerator)


@hookimpl
def register_discriminators(register):
    from contract.parts import LinearCritic, TinyDiscriminator

    register("tiny", TinyDiscriminator)
    register("linear", LinearCritic)


@hookimpl
def register_losses(register):
    from contract.parts import NonSaturating

    register("non-saturating", NonSaturating)


@hookimpl
def register_regularizers(register):
    from contract.parts import R1

    register("r1", R1)
