"""GAN, CGAN and DRAGAN once more, in numpy float64: `python tests/golden/perceptrons.py` writes their golden values.

The originals need Theano and pylearn2, an unpublished program, and TensorFlow 0.x, so their equations are written out
here from their sources (GAN: `mnist.yaml`, `AdversaryCost2` and pylearn2's Maxout; DRAGAN: the notebook) or the paper
(CGAN), layer by layer, with gradients by hand. Pixels are in [0, 1], as there. Weights are (inputs, outputs).
"""

from pathlib import Path

import numpy
from safetensors.numpy import save_file

HERE = Path(__file__).parent
PIXELS, LATENT, CLASSES, BATCH = 16, 3, 4, 5
random = numpy.random.default_rng(0)


def layer(tensors, name, inputs, outputs):
    tensors[f"{name}_W"], tensors[f"{name}_b"] = (
        random.normal(size=(inputs, outputs)) * 0.5,
        random.normal(size=outputs) * 0.2,
    )


def affine(tensors, name, x):
    return x @ tensors[f"{name}_W"] + tensors[f"{name}_b"]


def maxout(z, pieces):
    """pylearn2's Maxout: unit u is the largest of columns u·pieces to (u + 1)·pieces."""
    result = z[:, 0::pieces]
    for piece in range(1, pieces):
        result = numpy.maximum(result, z[:, piece::pieces])
    return result


def relu(z):
    return numpy.maximum(z, 0)


def sigmoid(z):
    return 1 / (1 + numpy.exp(-z))


def cross_entropy(target, logits):
    probability = sigmoid(logits)
    return -(target * numpy.log(probability) + (1 - target) * numpy.log(1 - probability)).mean()


def gan():
    t = {"real": random.random((BATCH, PIXELS)), "z": random.uniform(-(3**0.5), 3**0.5, (BATCH, LATENT))}
    for name, inputs, outputs in (
        ("g_h0", LATENT, 6),
        ("g_h1", 6, 6),
        ("g_y", 6, PIXELS),
        ("d_h0", PIXELS, 6),
        ("d_h1", 2, 6),
        ("d_y", 2, 1),
    ):
        layer(t, name, inputs, outputs)
    judge = lambda x: affine(t, "d_y", maxout(affine(t, "d_h1", maxout(affine(t, "d_h0", x), 3)), 3))[:, 0]  # noqa: E731
    t["fake"] = sigmoid(affine(t, "g_y", relu(affine(t, "g_h1", relu(affine(t, "g_h0", t["z"]))))))
    t["logits_real"], t["logits_fake"] = judge(t["real"]), judge(t["fake"])
    t["d_obj"] = numpy.array(0.5 * (cross_entropy(1, t["logits_real"]) + cross_entropy(0, t["logits_fake"])))
    t["g_obj"] = numpy.array(cross_entropy(1, t["logits_fake"]))
    return t


def cgan():
    label = numpy.array([0, 3, 1, 2, 3])
    y = numpy.eye(CLASSES)[label]
    t = {"real": random.random((BATCH, PIXELS)), "z": random.random((BATCH, LATENT)), "label": label}
    shapes = {"g_z": (LATENT, 4), "g_y": (CLASSES, 5), "g_h": (9, 6), "g_x": (6, PIXELS)}
    shapes |= {"d_x": (PIXELS, 6), "d_y": (CLASSES, 4), "d_h": (5, 9), "d_out": (3, 1)}
    for name, shape in shapes.items():
        layer(t, name, *shape)
    hidden = relu(numpy.concatenate([affine(t, "g_z", t["z"]), affine(t, "g_y", y)], 1))
    t["fake"] = sigmoid(affine(t, "g_x", relu(affine(t, "g_h", hidden))))

    def judge(x):
        seen = numpy.concatenate([maxout(affine(t, "d_x", x), 2), maxout(affine(t, "d_y", y), 2)], 1)
        return affine(t, "d_out", maxout(affine(t, "d_h", seen), 3))[:, 0]

    t["logits_real"], t["logits_fake"] = judge(t["real"]), judge(t["fake"])
    return t


def dragan():
    t = {"real": random.random((BATCH, PIXELS)), "z": random.uniform(-1, 1, (BATCH, LATENT))}
    t |= {"noise": random.random((BATCH, PIXELS)), "alpha": random.random((BATCH, 1))}
    for name, inputs, outputs in (("g_1", LATENT, 6), ("g_2", 6, PIXELS), ("d_1", PIXELS, 6), ("d_2", 6, 1)):
        layer(t, name, inputs, outputs)
    judge = lambda x: affine(t, "d_2", relu(affine(t, "d_1", x)))[:, 0]  # noqa: E731
    t["fake"] = sigmoid(affine(t, "g_2", relu(affine(t, "g_1", t["z"]))))
    t["logits_real"], t["logits_fake"] = judge(t["real"]), judge(t["fake"])
    around = t["real"] + 0.5 * t["real"].std() * t["noise"]
    between = t["real"] + t["alpha"] * (around - t["real"])
    gradient = ((affine(t, "d_1", between) > 0) * t["d_2_W"][:, 0]) @ t["d_1_W"].T
    t["penalty"] = numpy.array(((numpy.sqrt((gradient**2).sum(1)) - 1) ** 2).mean())
    t["disc_cost"] = cross_entropy(1, t["logits_real"]) + cross_entropy(0, t["logits_fake"]) + 10 * t["penalty"]
    t["gen_cost"] = numpy.array(cross_entropy(1, t["logits_fake"]))
    return t


if __name__ == "__main__":
    for make in (gan, cgan, dragan):
        arrays = {
            name: numpy.ascontiguousarray(value if value.dtype == numpy.int64 else value.astype(numpy.float32))
            for name, value in make().items()
        }
        save_file(arrays, HERE / f"{make.__name__}.safetensors")
