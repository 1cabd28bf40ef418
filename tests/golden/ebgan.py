"""Runs the discriminator of EBGAN once: `python tests/golden/ebgan.py CHECKOUT`.

CHECKOUT is a clone of hwalsuklee/tensorflow-generative-model-collections. Its sizes are fixed (28 pixels, 64 channels,
codes of 32 numbers); its weights follow from their names. Its pulling-away term lacks the square of the paper's
equation 4. As cos²(a, b) is the cosine of the matrices aaᵀ and bbᵀ, the paper's term is the port's of those, which is
what is recorded, beside an independent sum over pairs in numpy.
"""

import sys

import numpy
import tensorflow1
from tensorflow1 import reset, single, tf

BATCH = 4


def pulling_away(codes):
    """Equation 4 of arXiv 1609.03126, pair by pair."""
    cosines = [a @ b / numpy.sqrt(a @ a * (b @ b)) for i, a in enumerate(codes) for j, b in enumerate(codes) if i != j]
    return numpy.square(cosines).sum() / (len(codes) * (len(codes) - 1))


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    tensorflow1.without("utils")
    import EBGAN

    random = numpy.random.RandomState(0)
    pixels = single(random.uniform(0, 1, (BATCH, 1, 7, 7)))
    port = EBGAN.EBGAN.__new__(EBGAN.EBGAN)
    port.batch_size = BATCH
    with tensorflow1.double_precision():
        images = tf.constant(pixels.repeat(4, 2).repeat(4, 3).transpose(0, 2, 3, 1), tf.float64)
        drawn, error, code = port.discriminator(images)
        squares = tf.reshape(code[:, :, None] * code[:, None, :], [BATCH, -1])
        fetched = {
            "drawn": drawn,
            "error": error,
            "code": code,
            "pulling": port.pullaway_loss(code),
            "pulling_squared": port.pullaway_loss(squares),
        }
    with tensorflow1.session() as running:
        running.run(tf.global_variables_initializer())
        reset(running)
        out = running.run(fetched)
    out["drawn"] = out["drawn"].transpose(0, 3, 1, 2)[:, :, ::3, ::3]
    out["pulling_by_pairs"] = pulling_away(out["code"])
    tensorflow1.save(out | {"pixels": pixels}, "ebgan")
    print({name: out[name] for name in ("error", "pulling", "pulling_squared", "pulling_by_pairs")})
    print([variable.name for variable in tf.global_variables()])
