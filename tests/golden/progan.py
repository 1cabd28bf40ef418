"""Writes progan.safetensors with networks.py and loss.py of tkarras/progressive_growing_of_gans: README-tensorflow.md.

TensorFlow convolves on a CPU with channels last only, so its convolutions are called that way.
"""

import sys
from functools import partial
from types import ModuleType, SimpleNamespace

import numpy as np
import tensorflow1  # noqa: F401  before tensorflow
from from_names import numbers
from tensorflow1 import official_name, single, tf

SIZE, CLASSES, COUNT, LATENT = 16, 3, 8, 5
LODS = (2.0, 1.3, 1.0, 0.6, 0.0)
FADING = 0.6
NETWORK = dict(
    num_channels=3,
    resolution=SIZE,
    label_size=CLASSES,
    fmap_base=32,
    fmap_max=6,
    structure="recursive",
    dtype="float64",
)


def channels_last(function):
    """The function of TensorFlow, called with channels last."""

    def call(x, *rest, data_format, **options):
        assert data_format == "NCHW"
        turned = {
            name: [value[0], *value[2:], value[1]] for name, value in options.items() if name in ("strides", "ksize")
        }
        rest = [[one[0], *one[2:], one[1]] if isinstance(one, list) else one for one in rest]
        y = function(tf.transpose(x, [0, 2, 3, 1]), *rest, **{**options, **turned, "data_format": "NHWC"})
        return tf.transpose(y, [0, 3, 1, 2])

    return call


for name in ("conv2d", "conv2d_transpose", "avg_pool"):
    setattr(tf.nn, name, channels_last(getattr(tf.nn, name)))
tfutil = ModuleType("tfutil")
tfutil.autosummary, tfutil.lerp = (lambda name, value: value), lambda a, b, t: a + (b - a) * t
sys.modules["tfutil"] = tfutil
sys.path.insert(0, sys.argv[1])
import loss  # noqa: E402
import networks  # noqa: E402


class Network:
    """One of their networks in a variable scope of its name."""

    def __init__(self, name, build, **options):
        self.name, self.build = name, partial(build, **options)
        self.output_shapes = [[None, 1], [None, CLASSES]]
        self.input_shapes = [[None, LATENT]]

    def get_output_for(self, *inputs, is_training=True):
        with tf.variable_scope(self.name, reuse=tf.AUTO_REUSE):
            return self.build(*inputs)

    def variables(self):
        return [one for one in tf.trainable_variables() if one.name.startswith(f"{self.name}/")]


def unit(name, shape):
    """Random numbers of deviation 1 for weights, 0.3 for biases."""
    return numbers(name, shape) / (1.4 * (shape[-1] / np.prod(shape)) ** 0.5 if len(shape) > 1 else 1)


random = np.random.RandomState(0)
given = {
    "latent": random.standard_normal((COUNT, LATENT)),
    "real": random.uniform(-1, 1, (COUNT, 3, SIZE, SIZE)),
    "mix": random.uniform(size=(COUNT, 1, 1, 1)),
}
given = {name: single(value) for name, value in given.items()}
labels = tf.constant(np.eye(CLASSES)[np.arange(COUNT) % CLASSES])
real = tf.constant(given["real"].astype(np.float64))
tf.random_normal = lambda *shape, **options: tf.constant(given["latent"].astype(np.float64))
tf.random_uniform = lambda *shape, **options: tf.constant(given["mix"].astype(np.float64))
kept, tf.float32 = tf.float32, tf.float64
G = Network("G", networks.G_paper, latent_size=LATENT, **NETWORK)
D = Network("D", networks.D_paper, **NETWORK)
images = G.get_output_for(tf.constant(given["latent"].astype(np.float64)), labels)
scores, classes = D.get_output_for(real)
opt = SimpleNamespace(apply_loss_scaling=lambda x: x, undo_loss_scaling=lambda x: x)
sets = SimpleNamespace(get_random_labels_tf=lambda count: labels)
terms = {
    "discriminator": tf.reduce_mean(loss.D_wgangp_acgan(G, D, opt, sets, COUNT, real, labels)),
    "generator": tf.reduce_mean(loss.G_wgan_acgan(G, D, opt, sets, COUNT)),
}
slopes = {
    role: dict(zip(map(official_name, one.variables()), tf.gradients(terms[role], one.variables()), strict=True))
    for role, one in (("discriminator", D), ("generator", G))
}
out = dict(given)
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for one in [*G.variables(), *D.variables()]:
        one.load(unit(official_name(one), tuple(one.shape.as_list())), session)
    for lod in LODS:
        for one in tf.global_variables():
            if one.name.endswith("lod:0"):
                one.load(lod, session)
        found = session.run({"images": images[:2], "scores": scores, "classes": classes})
        out |= {f"{lod}.{name}": single(value) for name, value in found.items()}
        if lod == FADING:
            out |= {f"loss.{name}": single(value) for name, value in session.run(terms).items()}
            for role, one in slopes.items():
                there = {name: value for name, value in one.items() if value is not None}
                out |= {f"{role}.{name}": single(value) for name, value in session.run(there).items()}
tensorflow1.save_file({name: np.ascontiguousarray(value) for name, value in out.items()}, "progan.safetensors")
tf.float32 = kept
for size in (32, 1024):
    with tf.Graph().as_default():
        full = dict(num_channels=3, resolution=size, structure="linear", is_template_graph=True)
        with tf.variable_scope("G"):
            networks.G_paper(tf.placeholder(kept, [None, 512]), tf.placeholder(kept, [None, 0]), **full)
        with tf.variable_scope("D"):
            networks.D_paper(tf.placeholder(kept, [None, 3, size, size]), **full)
        for role in ("G/", "D/"):
            print(size, sum(int(np.prod(one.shape)) for one in tf.trainable_variables() if one.name.startswith(role)))
