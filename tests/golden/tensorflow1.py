"""TensorFlow 1 as far as the official codes here use it, on TensorFlow 2: import this before them.

`tensorflow` becomes `tensorflow.compat.v1`, to which is added what was `tf.contrib` (slim is now the package tf_slim).
Packages that the official files import and that nothing here calls become empty modules.
"""

import os
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras.src.legacy_tf_layers as legacy
import numpy
import tensorflow.compat.v1 as tf
import tf_slim
from from_names import numbers
from keras.src.legacy_tf_layers import base, convolutional, core, normalization, pooling  # noqa: F401
from safetensors.numpy import save_file
from tensorflow.python.framework import ops
from tf_slim.ops.variables import get_variables

tf.disable_v2_behavior()
layers = SimpleNamespace(
    xavier_initializer=tf.glorot_uniform_initializer, batch_norm=partial(tf_slim.batch_norm, fused=False)
)
tf.contrib = SimpleNamespace(
    layers=layers, slim=tf_slim, gan=None, framework=SimpleNamespace(get_variables=get_variables)
)
sys.modules["tensorflow"], ops.Tensor = tf, tf.Tensor
for name in (
    "base",
    "convolutional",
    "core",
    "normalization",
    "pooling",
):  # TensorFlow looks for them where Keras 2.15 has them no more
    sys.modules[f"tf_keras.legacy_tf_layers.{name}"] = getattr(legacy, name)


class Nothing(ModuleType):
    """A module of which every name is None."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)


def without(*names: str) -> None:
    """Puts modules without content in place of those that are not needed."""
    for name in names:
        sys.modules[name] = Nothing(name)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, sys.modules[name])


def official_name(variable) -> str:
    return variable.name.removesuffix(":0")


@contextmanager
def double_precision():
    """Makes variables float64, also where the official code says float32: so the record has no rounding of its own."""
    kept = {name: getattr(tf, name) for name in ("float32", "random_uniform", "Variable")}
    tf.float32, tf.random_uniform = tf.float64, partial(tf.random_uniform, dtype=tf.float64)
    tf.Variable = lambda value, **options: kept["Variable"](numpy.asarray(value), **options)
    with tf.variable_scope("", dtype=tf.float64):
        yield
    for name, value in kept.items():
        setattr(tf, name, value)


def single(values) -> numpy.ndarray:
    """Rounded to float32, the precision of what is stored."""
    return numpy.asarray(values, numpy.float32)


def save(tensors, name: str) -> None:
    """Writes tests/golden/<name>.safetensors, floating point as float32."""
    rounded = {
        key: numpy.ascontiguousarray(single(value) if value.dtype == numpy.float64 else value)
        for key, value in tensors.items()
    }
    save_file(rounded, Path(__file__).parent / f"{name}.safetensors")


def session():
    """A session on one thread."""
    return tf.Session(config=tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1))


def reset(running, **given) -> None:
    """Sets every variable to the numbers of its name, or to those given for the last part of its name."""
    for variable in tf.global_variables():
        name = official_name(variable)
        last = name.rpartition("/")[2]
        variable.load(given[last] if last in given else numbers(name, tuple(variable.shape.as_list())), running)
