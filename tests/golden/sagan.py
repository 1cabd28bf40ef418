"""Runs SAGAN's official networks and losses once: `python tests/golden/sagan.py CHECKOUT`.

CHECKOUT is a clone of brain-research/self-attention-gan. Their widths are arguments; their weights follow from their
names.
"""

import sys

import numpy
import tensorflow1
from tensorflow1 import official_name, reset, single, tf

GENERATOR_WIDTH, DISCRIMINATOR_WIDTH, LATENT, CLASSES, BATCH = 4, 8, 6, 3, 3
SCALE = numpy.float32(0.7)  # of attention, which starts at 0


def vectors(running, role):
    """The vectors of the power method as they are now."""
    found = [
        variable
        for variable in tf.global_variables()
        if variable.name.startswith(f"model/{role}") and variable.name.endswith("/u:0")
    ]
    return {f"after.{official_name(variable)}": running.run(variable) for variable in found}


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    tensorflow1.without("utils_ori")
    import discriminator
    import generator
    import model

    random = numpy.random.RandomState(0)
    pixels, latent = single(random.uniform(-1, 1, (BATCH, 3, 8, 8))), single(random.standard_normal((BATCH, LATENT)))
    label = numpy.array([2, 0, 1])
    images = pixels.repeat(16, 2).repeat(16, 3).transpose(0, 2, 3, 1)
    with tensorflow1.double_precision():
        z, x, y = tf.constant(latent, tf.float64), tf.constant(images, tf.float64), tf.constant(label)
        draw = [generator.generator_test(z, y, GENERATOR_WIDTH, CLASSES, training) for training in (False, True)]
        judge = [
            discriminator.discriminator_test(x, y, DISCRIMINATOR_WIDTH, CLASSES, update) for update in (None, "NO_OPS")
        ]
        losses = {name: getattr(model, f"_get_{name}_loss")(judge[1]) for name in ("d_real", "d_fake", "g")}
    out = {"pixels": pixels, "latent": latent, "label": label}
    with tensorflow1.session() as running:
        for name, graph in zip(("drawn", "drawn_in_training"), draw, strict=True):
            reset(running, sigma_ratio=SCALE)
            out[name] = running.run(graph).transpose(0, 3, 1, 2)[:, :, ::9, ::9]
        out |= vectors(running, "g_")
        reset(running, sigma_ratio=SCALE)
        out |= {f"logits.{number}": running.run(judge[0])[:, 0] for number in (0, 1)}
        out |= vectors(running, "d_")
        out |= {"logits.2": running.run(judge[1])[:, 0], **{name: running.run(loss) for name, loss in losses.items()}}
    tensorflow1.save(out, "sagan")
